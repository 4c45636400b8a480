"""What the core keeps between inputs: one frozen `LaneState`, with a `Track` per vehicle in physical order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from drivers.api import Stamp
from edge_agent.model.conveyance import Conveyance, ZoneTimes
from edge_agent.model.decision import ActKind, ActResult, ControlChange, Hold, Lease, Refused
from edge_agent.model.identity import Sighting
from edge_agent.model.inputs import BarrierChanged, SignalChanged
from edge_agent.model.lane import Geometry, Kinematics, LaneIdentity, LaneMode, LanePolicy, Zone

from .identity_digest import NO_IDENTITY

NEVER = 1 << 62
"""A due time that never comes."""
ZONES: tuple[Zone, ...] = (Zone.A, Zone.D, Zone.S, Zone.BEAM, Zone.X)
"""Upstream to downstream."""
RANK: dict[Zone, int] = {zone: rank for rank, zone in enumerate(ZONES)}
AT_LINE = RANK[Zone.S]
CROSSED = RANK[Zone.BEAM]

ClaimKeys = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CoreConfig:
    """All that the core needs to know of its lane."""

    identity: LaneIdentity
    geometry: Geometry
    kinematics: Kinematics
    policy: LanePolicy
    mode_at_start: LaneMode = LaneMode.CLOSED


@dataclass(frozen=True, slots=True)
class Spent:
    """A lease that ended because the beam alone was broken: should its vehicle turn out to have crossed, it was
    released. `confirmed`: feedback had confirmed its green."""

    standing: bool
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Torn:
    """Since `at_ns` (monotonic nanoseconds) zones may show another vehicle on a record than before. `claims` were read
    before the last tear, `times` are what zones had shown before the first. `apart`: other tags were read between
    two tears, and no tag ties all three together any more."""

    at_ns: int
    claims: ClaimKeys
    times: ZoneTimes
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Track:
    """A conveyance and what only the core needs to follow it.

    `fixes`: zone times good for dead reckoning (emptied when continuity is lost). `reached`: rank of the farthest zone
    the nose has reached. `over`: zones it occupies. `asked`: claims of the last request, None before the first.
    `again_ns`: when to ask again (0: not at all). `decisions_from`: decisions before this index are of another life of
    the agent. `suspect`: it came out of order, so that its identity proves nothing. `excused_ns`: until then a crossing
    on red is not the driver's doing. `worn_ns`: decisions received up to then have had their green. `directed`: an
    officer told the driver where to go; `directed_before`: in another life of the agent; `diverted`: it has left the
    lane upstream of the line since. `rolled`, `stood`: it crossed on a rolling or a standing lease. `request_open`:
    central still owes an answer. `green_at_gap`: it had a lease when continuity was last lost. `perhaps_crossed`: the
    beam was broken when it can have been there, but not the stop loop; `spent`: the lease it had then. `loop_off_ns`:
    when its tail left the stop loop (0: not yet). `beyond`: when (monotonic nanoseconds) and from where on (metres)
    zone inputs that came back after a gap found its nose. `flickered`: A chattered when it came, if it did. `torn`:
    what of its record may be another's.
    """

    conveyance: Conveyance
    moved: Stamp
    reached: int
    fixes: ZoneTimes = field(default_factory=ZoneTimes)
    over: tuple[Zone, ...] = ()
    digest: str = NO_IDENTITY
    asked: ClaimKeys | None = None
    asked_complete: bool = False
    claims_changed_ns: int = 0
    unanswered: int = 0
    again_ns: int = 0
    decisions_from: int = 0
    worn_ns: int = -1
    lost_ns: int = 0
    suspect: bool = False
    standing: Stamp | None = None
    excused_ns: int = 0
    directed: bool = False
    directed_before: bool = False
    diverted: bool = False
    rolled: bool = False
    stood: bool = False
    request_open: bool = False
    green_at_gap: bool = False
    perhaps_crossed: bool = False
    spent: Spent | None = None
    loop_off_ns: int = 0
    beyond: tuple[int, float] | None = None
    flickered: bool = False
    torn: Torn | None = None

    @property
    def id(self) -> str:
        """The conveyance id."""
        return self.conveyance.conveyance_id

    @property
    def unseen(self) -> bool:
        """Whether no zone has seen it since continuity was last lost."""
        return not self.over and self.fixes == ZoneTimes()

    @property
    def upstream(self) -> bool:
        """Whether the nose is still upstream of the stop line."""
        return self.reached < CROSSED


@dataclass(frozen=True, slots=True)
class ZoneInputs:
    """The zone inputs as last seen; `fresh` False from loss of continuity until the next snapshot. `since`: when they
    were last known, None when that cannot be told."""

    fresh: bool = False
    since: Stamp | None = None
    session: int = -1
    levels: Mapping[Zone, bool] = field(default_factory=dict)
    edges: Mapping[Zone, int] = field(default_factory=dict)
    line_disagrees: bool = False

    def occupied(self, zone: Zone) -> bool:
        """Whether the zone is known to be occupied."""
        return self.levels.get(zone, False)


@dataclass(frozen=True, slots=True)
class Order:
    """Whether the order of vehicles in the corridor is known. `lost_ns`: the last event that put it in doubt;
    `accounted`: since then a vehicle that entered at A was released standing and has left through X."""

    known: bool = False
    since: Stamp | None = None
    reason: str = "not_started"
    lost_ns: int = 0
    accounted: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """Something that is there or not, and since when."""

    up: bool
    since: Stamp | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class DeviceDown:
    """A device that is down."""

    device: str
    since: Stamp
    code: str
    required: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the signal or of the barrier arm, latched until an authorised person clears it."""

    code: str
    since: Stamp


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Somebody works at the lane, until `until_ns` at the latest."""

    since: Stamp
    until_ns: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Control:
    """Who controls the lane ("": nobody), since when and why; `previous` is who did before. It lasts `lasts_s` without
    a sign of life. `unbroken`: since when somebody has controlled the lane without a gap, through take-overs too."""

    officer: str = ""
    since: Stamp | None = None
    change: ControlChange = ControlChange.NONE
    reason: str = ""
    previous: str = ""
    lasts_s: float = 0.0
    unbroken: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """Somebody has silenced the alarms up to this moment."""

    at: Stamp
    by: str


@dataclass(frozen=True, slots=True)
class Capturing:
    """A device's link is being captured."""

    capture: str
    device: str
    since: Stamp
    until_ns: int
    by: str


@dataclass(frozen=True, slots=True)
class Tested:
    """The signal test that was passed since the latched fault came up, on this device."""

    at: Stamp
    by: str
    device: str


@dataclass(frozen=True, slots=True)
class LeaseHeld:
    """The lease in force, when it was granted, and since when its vehicle has had one without interruption. `late_ns`:
    since when its vehicle may be inside C(v) without having been shown green (0: it is not)."""

    lease: Lease
    granted: Stamp
    first: Stamp
    late_ns: int = 0


@dataclass(frozen=True, slots=True)
class Pending:
    """A sighting given to no vehicle (yet). `stray`: counted as such already. `choice`: the vehicle that fitted best at
    the peak of `choice_ns`. `doubted_ns`: the peak for which it was reported ambiguous (-1: it was not)."""

    sighting: Sighting
    stray: bool = False
    choice: str = ""
    choice_ns: int = -1
    doubted_ns: int = -1


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer given to an act, kept to answer a repeat the same way."""

    request_id: str
    kind: ActKind
    result: ActResult
    message: str
    etag: str
    may_clear: tuple[str, ...]
    refused: Refused = Refused.OTHERWISE
    controlled_by: str = ""


@dataclass(frozen=True, slots=True)
class SealedPassage:
    """Enough of a sealed passage to supplement it, and to know its tags while they linger: `sightings` are ids,
    `claims` (kind, token) pairs, `at_ns` when it was sealed, `exit_owed`: before X had seen its tail leave;
    `left`: when X had seen it; `mixed`: its record claims none of them."""

    conveyance_id: str
    bundle_id: str
    highest_revision: int
    at_ns: int = 0
    sightings: tuple[str, ...] = ()
    claims: ClaimKeys = ()
    exit_owed: bool = False
    left: bool = False
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class LooseTag:
    """A tag heard by this antenna with nobody there: litter, a card on a desk, a parked vehicle. `level_cdbm` is the
    strongest it was while so; `last_ns` when it was last heard."""

    token: str
    device: str
    antenna: int
    since_ns: int
    last_ns: int
    level_cdbm: int


@dataclass(frozen=True, slots=True)
class Flicker:
    """The latest noses and pulses of a loop. `since_ns`: it chatters since then, 0 when it does not. `rose_ns`: the
    last nose, 0 where that is not known; `rises`, `short`: when noses came, and pulses ended that no vehicle can have
    made."""

    since_ns: int = 0
    rose_ns: int = 0
    rises: tuple[int, ...] = ()
    short: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Remembered:
    """A token once given to a vehicle: to which, when (wall time, so that it holds over a restart), and the chip it was
    first read with ("" where that was not read)."""

    conveyance_id: str
    at_utc_ns: int
    tid_token: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """Since the journal began."""

    detected: int = 0
    sealed: int = 0
    released: int = 0
    violations: int = 0
    strays: int = 0


@dataclass(frozen=True, slots=True)
class LaneState:
    """Everything the core knows. `mode` is the mode in effect, `wanted_mode` the one that was set; `tracks` are in
    physical order, most downstream first; before `due_ns` no tick changes anything; `seen` is the last input that did
    change something; `gap_end`: when zone inputs last came back after a gap; `stray_times`: the latest strays of each
    antenna; `named`: the antennas, or loops, that a condition about them names now; `flicker`: of loops; `tokens`: the
    latest identities given; `barrier_cleared`: how often a fault of the arm was cleared; `told`: what central has told
    of other lanes (conveyance, token, lane); `excused_ns`: until then a crossing by a vehicle that came out of order is
    not the driver's doing."""

    config: CoreConfig
    wanted_mode: LaneMode
    mode: LaneMode
    mode_since: Stamp | None = None
    mode_planned: bool = True
    boot_id: str = ""
    seed: bytes = b""
    minted: int = 0
    counts: Counts = field(default_factory=Counts)
    tracks: tuple[Track, ...] = ()
    zones: ZoneInputs = field(default_factory=ZoneInputs)
    order: Order = field(default_factory=Order)
    held: LeaseHeld | None = None
    lease_seq: int = 0
    hold: Hold | None = None
    centre: Link = field(default_factory=lambda: Link(False))
    console: Link = field(default_factory=lambda: Link(False))
    control: Control = field(default_factory=Control)
    store: Link = field(default_factory=lambda: Link(True))
    signal: SignalChanged | None = None
    fault: Fault | None = None
    tested: Tested | None = None
    commissioned: Link = field(default_factory=lambda: Link(True))
    barrier: BarrierChanged | None = None
    barrier_fault: Fault | None = None
    barrier_cleared: int = 0
    devices_down: tuple[DeviceDown, ...] = ()
    pending: tuple[Pending, ...] = ()
    strays: tuple[tuple[str, int], ...] = ()
    stray_times: tuple[tuple[str, tuple[int, ...]], ...] = ()
    loose: tuple[LooseTag, ...] = ()
    named: tuple[tuple[str, tuple[str, ...]], ...] = ()
    flicker: Mapping[Zone, Flicker] = field(default_factory=dict)
    tokens: Mapping[str, Remembered] = field(default_factory=dict)
    told: tuple[tuple[str, str, str], ...] = ()
    conditions: tuple[str, ...] = ()
    answered: tuple[Answered, ...] = ()
    sealed: tuple[SealedPassage, ...] = ()
    due_ns: int = NEVER
    seen: Stamp | None = None
    gap_end: Stamp | None = None
    excused_ns: int = 0
    maintenance: Maintenance | None = None
    captures: tuple[Capturing, ...] = ()
    silenced: Silence | None = None

    @property
    def order_known(self) -> bool:
        """The interlock's fact `order_known`."""
        return self.order.known

    @property
    def closed_and_empty(self) -> bool:
        """The interlock's fact `closed`: the lane was set CLOSED, or MAINTENANCE, which is a closed lane somebody works
        at (a latched fault may show as FAULT), with no vehicle known in it."""
        shut = self.wanted_mode in (LaneMode.CLOSED, LaneMode.MAINTENANCE)
        return shut and self.mode in (self.wanted_mode, LaneMode.FAULT) and not self.tracks

    @property
    def lease(self) -> Lease | None:
        """The lease in force."""
        return self.held.lease if self.held is not None else None

    @property
    def conveyances(self) -> tuple[Conveyance, ...]:
        """Conveyances not sealed yet, most downstream first."""
        return tuple(track.conveyance for track in self.tracks)

    @property
    def first_upstream(self) -> Track | None:
        """The first vehicle whose nose is still upstream of the stop line: the only one green may be for."""
        return next((track for track in self.tracks if track.upstream), None)

    def track(self, conveyance_id: str) -> Track | None:
        """The track of a conveyance that is not sealed yet."""
        for track in self.tracks:  # asked for at every turn: no generator
            if track.conveyance.conveyance_id == conveyance_id:
                return track
        return None

    def sealed_since(self, since_ns: int) -> Iterator[SealedPassage]:
        """Passages sealed at that moment or later, the latest first."""
        return takewhile(lambda passage: passage.at_ns >= since_ns, reversed(self.sealed))

    def held_conveyance(self, conveyance_id: str) -> bool:
        """The interlock's fact `hold`: a hold on the lane or on this conveyance."""
        track = self.track(conveyance_id)
        return self.hold is not None or (track is not None and track.conveyance.hold is not None)


def initial_state(config: CoreConfig) -> LaneState:
    """The state before the first input: nothing known, red."""
    return LaneState(config=config, wanted_mode=config.mode_at_start, mode=config.mode_at_start)
