"""One step in progress: the state as changed so far and the effects so far. Lives only inside `step`."""

from collections.abc import Iterator

from drivers.api import Stamp
from edge_agent.model.conveyance import Conveyance, Flag
from edge_agent.model.effects import Effect, EmitEvent, SetCondition, Severity
from edge_agent.model.records import replace

from .association import Candidate
from .codes import ConditionCode, EventCode
from .state import LaneState, Track
from .uuid7 import uuid7


class Turn:
    """Mutable working copy of one step."""

    __slots__ = ("at", "effects", "found", "now_ns", "quiet", "state")

    def __init__(self, state: LaneState, at: Stamp) -> None:
        self.state = state
        self.at = at
        self.now_ns = at.mono_ns
        """Monotonic time of this input."""
        self.effects: list[Effect] = []
        self.found: dict[str, tuple[tuple[object, ...], tuple[Candidate, ...]]] = {}
        """Per sighting the vehicles it may belong to, with what they were worked out from."""
        self.quiet = False
        """The input only added weight to what is known: nothing can follow from it before something is due by time."""

    def each(self) -> Iterator[Track]:
        """Every track as it is when its turn comes, whatever happened to it meanwhile."""
        tracks = self.state.tracks
        for track in tracks:
            now = track if self.state.tracks is tracks else self.state.track(track.id)
            if now is not None:
                yield now

    def put(self, track: Track) -> Track:
        """Store a changed track under its conveyance id."""
        known = track.id
        tracks = tuple([track if t.id == known else t for t in self.state.tracks])
        self.state = replace(self.state, tracks=tracks)
        return track

    def put_conveyance(self, track: Track, conveyance: Conveyance) -> Track:
        """Store a changed conveyance on its track."""
        return self.put(replace(track, conveyance=conveyance))

    def flag(self, track: Track, *flags: Flag) -> Track:
        """Add flags, sorted and without repeats."""
        have = track.conveyance.flags
        if all(flag in have for flag in flags):
            return track
        return self.put_conveyance(track, replace(track.conveyance, flags=tuple(sorted({*have, *flags}))))

    def flag_all(self, *flags: Flag, upstream_only: bool = False) -> None:
        """Flag every vehicle in the lane (or every one that has not crossed)."""
        for track in self.each():
            if track.upstream or not upstream_only:
                self.flag(track, *flags)

    def event(self, code: EventCode, severity: Severity, conveyance_id: str = "", **facts: str | int) -> None:
        """Emit a lane event; facts must not hold identity values."""
        pairs = tuple((key, str(value)) for key, value in facts.items())
        self.effects.append(EmitEvent(self.at, code.value, severity, conveyance_id, pairs))

    def condition(self, code: ConditionCode, severity: Severity, active: bool, title: str, hint: str) -> None:
        """Raise or clear a condition; nothing when it already is so."""
        have = self.state.conditions
        if (code in have) == active:
            return
        rest = {*have, code.value} if active else {*have} - {code.value}
        self.state = replace(self.state, conditions=tuple(sorted(rest)))
        self.effects.append(SetCondition(self.at, code.value, severity, active, title, hint))

    def mint(self) -> str:
        """The next UUIDv7 of this lane."""
        self.state = replace(self.state, minted=self.state.minted + 1)
        return uuid7(self.at.utc_ns, self.state.seed, self.state.minted)
