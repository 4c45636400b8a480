"""Everything that may change the passage core's state: the reduced inputs. The journal records exactly these, in order;
state is a fold over them. `Tick` is journalled only when it changed something."""

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.api import Aspect, Grade, Stamp

from .decision import Decision, OfficerAct
from .identity import Sighting
from .lane import Zone


@dataclass(frozen=True, slots=True)
class Started:
    """First input after every start of the process: continuity was lost, whoever is inside is an orphan.

    `seed` feeds the ids the core derives (UUIDv7 random bits), so that a fold gives the same ids."""

    at: Stamp
    boot_id: str
    seed: bytes


@dataclass(frozen=True, slots=True)
class ZonesChanged:
    """Levels and edge counters of all zone inputs at one instant; sent when any of them or the session changed.

    `line_disagrees`: the two outputs of the sensor at the stop line have contradicted each other for too long, and have
    not been seen to break together since."""

    at: Stamp
    session: int
    levels: Mapping[Zone, bool]
    edges: Mapping[Zone, int]
    line_disagrees: bool = False


@dataclass(frozen=True, slots=True)
class ZonesLost:
    """Zone inputs are stale or their module is gone: every zone is unknown until the next `ZonesChanged`."""

    at: Stamp
    code: str


@dataclass(frozen=True, slots=True)
class SightingChanged:
    """A sighting opened, gained weight (more reads, a new peak) or closed."""

    at: Stamp
    sighting: Sighting


@dataclass(frozen=True, slots=True)
class VehicleUnread:
    """A reader felt a vehicle at an antenna (0: it does not say which) and read no tag on it."""

    at: Stamp
    device: str
    antenna: int


@dataclass(frozen=True, slots=True)
class DecisionReceived:
    """A decision or revision from the release service."""

    at: Stamp
    decision: Decision


@dataclass(frozen=True, slots=True)
class SeenElsewhere:
    """The release service tells that another lane has seen this token, too soon for one vehicle to have been at both.

    `seen_utc_ns` by central's clock; `rssi_peak_cdbm` as that lane heard it, 0 where it is not known."""

    at: Stamp
    conveyance_id: str
    token: str
    lane: str
    seen_utc_ns: int
    rssi_peak_cdbm: int


@dataclass(frozen=True, slots=True)
class ActReceived:
    """An officer's act, already authenticated; the core decides whether it holds."""

    at: Stamp
    act: OfficerAct


@dataclass(frozen=True, slots=True)
class CentreLink:
    """The release service answers heartbeats, or has missed three."""

    at: Stamp
    up: bool


@dataclass(frozen=True, slots=True)
class ConsolePresence:
    """An officer's console is watching this lane, or none is."""

    at: Stamp
    present: bool


@dataclass(frozen=True, slots=True)
class ControlLost:
    """Nothing has renewed this officer's control of the lane for as long as it lasts without a sign of life."""

    at: Stamp
    officer: str


@dataclass(frozen=True, slots=True)
class SignalChanged:
    """The signal loop's commanded or confirmed aspect changed. `reason` is the first reason of its ruling;
    `fault` names a latched signal fault ("" when none); `lease_seq` the lease the ruling was made on (0: none); `test`:
    it was shown in a signal test, for nobody."""

    at: Stamp
    commanded: Aspect
    confirmed: Aspect | None
    grade: Grade
    reason: str
    fault: str
    lease_seq: int
    test: bool = False


@dataclass(frozen=True, slots=True)
class HeadTested:
    """A signal test or a kill test of the head's module came to its end. `kind` signal_test or kill_test; `device` the
    module, `module` the digest of its identity; `by` the person's pseudonym; `facts` what was seen, as small texts."""

    at: Stamp
    kind: str
    passed: bool
    device: str
    module: str
    by: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class HeadCommissioned:
    """Whether a kill test on this very module with this profile is on record (`ok`); else `why` not."""

    at: Stamp
    ok: bool
    why: str


@dataclass(frozen=True, slots=True)
class BarrierChanged:
    """The barrier arm is elsewhere (`arm`: up, down, between, both or unknown, by its limit switches), was asked for
    another movement (`asked`: none, raise or lower; `reasons` against lowering it), or has a fault ("" for none)."""

    at: Stamp
    arm: str
    asked: str
    fault: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceChanged:
    """A device came up or went down; `required` when policy withholds green without it (camera, reader)."""

    at: Stamp
    device: str
    up: bool
    code: str
    required: bool


@dataclass(frozen=True, slots=True)
class ClockStepped:
    """Wall time moved against the monotonic clock by `step_ms`; evidence only, nothing expires by it."""

    at: Stamp
    step_ms: int


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """The store is below its reserve or failing (`ok` False), or well again."""

    at: Stamp
    ok: bool
    code: str


@dataclass(frozen=True, slots=True)
class CaptureEnded:
    """A capture of a device's link ended without an act: `cause` time, size, disk or failed; `size_bytes` of its
    file."""

    at: Stamp
    capture: str
    cause: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. The core has no other clock."""

    at: Stamp


CoreInput = (
    Started
    | ZonesChanged
    | ZonesLost
    | SightingChanged
    | VehicleUnread
    | DecisionReceived
    | SeenElsewhere
    | ActReceived
    | CentreLink
    | ConsolePresence
    | ControlLost
    | SignalChanged
    | HeadTested
    | HeadCommissioned
    | BarrierChanged
    | DeviceChanged
    | ClockStepped
    | StoreHealth
    | CaptureEnded
    | Tick
)
