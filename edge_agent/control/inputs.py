"""From observations to core inputs: zone snapshots reduced to changes, tags to sightings, staleness and clock steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from drivers.api import Clock, InputSnapshot, ReaderEvent, ReaderEventCode, Stamp, TagRead
from edge_agent.model.inputs import ClockStepped, CoreInput, SightingChanged, VehicleUnread, ZonesChanged, ZonesLost
from edge_agent.model.lane import Zone
from edge_agent.model.presence import PresenceLayout
from edge_agent.runtime.channel import Channel, Overflow
from edge_agent.safety.barrier import DOWN_ROLE, UP_ROLE

from .line_sensor import LineSensor
from .sightings import SightingTracker

CLOCK_STEP_MS = 500
_SWEEP_NS = 100_000_000
_UNREAD_NS = 1_000_000_000
"""An unread vehicle is told at most this often by one antenna: a detector that flutters must not fill the journal."""
_LIMITS = (UP_ROLE, DOWN_ROLE)


@dataclass(frozen=True, slots=True)
class _Seen:
    session: int
    levels: Mapping[Zone, bool]
    edges: Mapping[Zone, int]
    arm: tuple[bool | None, ...]
    line_disagrees: bool

    def at_line(self) -> tuple[int, int | None, bool | None, tuple[bool | None, ...]]:
        """What the interlock looks at: session, edges of the beam, stop loop, limit switches of the barrier arm."""
        return self.session, self.edges.get(Zone.BEAM), self.levels.get(Zone.S), self.arm


class LaneInputs:
    """Holds the newest snapshot for the signal loop and tells the core what changed; both know the sensors at the line
    as one, whatever `layout` says there is.

    Zone inputs go straight through: nothing queues in front of them. `wake` rings the signal loop on every edge of the
    stop-line beam or the stop loop, before the core is told, and on every change of the head's feedback. Tags wait in a
    bounded channel whose oldest entries go first.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        tracker: SightingTracker,
        submit: Callable[[CoreInput], None],
        wake: Callable[[], None],
        stale_ms: int,
        layout: PresenceLayout = PresenceLayout.LOOPS_AND_BEAM,
    ) -> None:
        self.snapshot: InputSnapshot | None = None
        self.tags: Channel[TagRead] = Channel("tags", 1024, Overflow.DROP_OLDEST)
        self._clock = clock
        self._tracker = tracker
        self._submit = submit
        self._wake = wake
        self._stale_ns = stale_ms * 1_000_000
        self._line = LineSensor(layout, self._stale_ns)
        self._seen: _Seen | None = None
        self._felt: Mapping[str, int] = {}
        self._lost = False
        self._wall_ns: int | None = None
        self._swept_ns = 0
        self._unread: dict[tuple[str, int], int] = {}

    def take_snapshot(self, snapshot: InputSnapshot) -> None:
        """A poll's result; told to the core only when something changed."""
        self.snapshot = snapshot = self._line.joined(snapshot)
        levels = {zone: snapshot.levels[zone.value] for zone in Zone if zone.value in snapshot.levels}
        edges = {zone: snapshot.edges.get(zone.value, 0) for zone in levels}
        arm = tuple(snapshot.levels.get(role) for role in _LIMITS)
        now = _Seen(snapshot.session, levels, edges, arm, self._line.disagrees(snapshot.stamp.mono_ns))
        before = self._seen
        if now == before and not self._lost:
            return
        back, self._seen, self._lost = self._lost, now, False
        if before is None or now.at_line() != before.at_line():
            self._wake()
        if before is not None and not back and replace(before, arm=now.arm) == now:
            return  # only the arm moved: its own loop tells the core
        self._submit(ZonesChanged(snapshot.stamp, snapshot.session, levels, edges, now.line_disagrees))

    def feel(self, snapshot: InputSnapshot) -> None:
        """A poll of the head's module: a lamp that changed is looked at now, and not at the next cycle."""
        felt = {role: count for role, count in snapshot.edges.items() if role.endswith("_feedback")}
        if felt != self._felt:
            self._felt = felt
            self._wake()

    def lose_zones(self, code: str) -> None:
        """The I/O module is gone: every zone is unknown from now on."""
        if not self._lost:
            self._lost = True
            self.snapshot = None
            self._wake()
            self._submit(ZonesLost(at=self._clock.stamp(), code=code))

    def hear(self, event: ReaderEvent) -> None:
        """What a reader tells besides tags: the core hears of vehicles that it felt and could not read."""
        if event.code is not ReaderEventCode.UNREAD_VEHICLE:
            return
        now = self._clock.stamp()
        where = event.device, event.antenna or 0
        if now.mono_ns - self._unread.get(where, -_UNREAD_NS) >= _UNREAD_NS:
            self._unread[where] = now.mono_ns
            self._submit(VehicleUnread(now, *where))

    async def follow_tags(self) -> None:
        """Turn queued tag reads into sightings, until cancelled."""
        async for first in self.tags:
            read: TagRead | None = first
            while read is not None:
                change = self._tracker.read(read)
                if change is not None:
                    # Reads wait in the channel; the core must see inputs in the order of their stamps.
                    self._submit(SightingChanged(self._clock.stamp(), change.sighting))
                read = self.tags.take()

    def tick(self, now: Stamp) -> None:
        """Staleness, silent sightings and the wall clock; called ten times a second."""
        snapshot = self.snapshot
        if snapshot is not None and now.mono_ns - snapshot.stamp.mono_ns > self._stale_ns:
            self.lose_zones("INPUTS_STALE")
        if now.mono_ns - self._swept_ns >= _SWEEP_NS:
            self._swept_ns = now.mono_ns
            for change in self._tracker.sweep(now):
                self._submit(change)
        self._watch_wall_clock(now)

    def _watch_wall_clock(self, now: Stamp) -> None:
        offset_ns = now.utc_ns - now.mono_ns
        if self._wall_ns is not None:
            step_ms = (offset_ns - self._wall_ns) // 1_000_000
            if abs(step_ms) >= CLOCK_STEP_MS:
                self._submit(ClockStepped(at=now, step_ms=step_ms))
        self._wall_ns = offset_ns
