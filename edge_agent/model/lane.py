"""The lane itself: modes, zones, geometry and the one kinematic parameter set everything else is derived from."""

from dataclasses import dataclass
from enum import StrEnum

from .presence import PresenceLayout


class LaneMode(StrEnum):
    """How the lane works now. Only REMOTE rolls; ATTENDED and DEGRADED release standing vehicles only. MAINTENANCE is
    CLOSED with somebody working at the lane: it ends by itself and leaves the lane CLOSED."""

    CLOSED = "closed"
    ATTENDED = "attended"
    REMOTE = "remote"
    DEGRADED = "degraded"
    ALL_HOLD = "all_hold"
    FAULT = "fault"
    MAINTENANCE = "maintenance"


class Zone(StrEnum):
    """Where a vehicle can be felt; the values are role names of the configuration. Active = occupied, beam = broken.
    BEAM is whatever the lane's layout has at the stop line: `control/line_sensor.py` makes one input of it."""

    A = "zone_a"
    D = "zone_d"
    S = "zone_s"
    BEAM = "stop_line_beam"
    X = "zone_x"


@dataclass(frozen=True, slots=True)
class ZoneSpan:
    """Where a detection zone begins and ends, in metres from the stop line, downstream positive."""

    start_m: float
    end_m: float


@dataclass(frozen=True, slots=True)
class Geometry:
    """Positions along the lane in metres from the stop line S = 0, downstream positive (A is negative).

    `a`, `d`, `s`, `x` are the presence loops; where X is not `exit_sensed`, `x` is the place where the lane ends.
    `beam_m` is the upstream edge of the sensor at the stop line and `line_length_m` its length along the lane (0: a
    beam or curtain). `antennas` maps
    (device, antenna) to the span in which a tag on a vehicle is read. `floors` maps (device, antenna) to the level, in
    centi-dBm, that a tag of this lane's vehicles reaches and one of the next lane's does not; antennas not named have
    none.
    """

    a: ZoneSpan
    d: ZoneSpan
    s: ZoneSpan
    beam_m: float
    x: ZoneSpan
    antennas: tuple[tuple[str, int, ZoneSpan], ...]
    length_max_m: float = 27.5
    floors: tuple[tuple[str, int, int], ...] = ()
    layout: PresenceLayout = PresenceLayout.LOOPS_AND_BEAM
    line_length_m: float = 0.0
    exit_sensed: bool = True


@dataclass(frozen=True, slots=True)
class Kinematics:
    """One parameter set per lane: commit distance, minimum amber and minimum follower gap all follow from it.

    Commit distance C(v) = v * reaction_s + v^2 / (2 * decel_ms2).
    """

    v_max_kmh: float
    v_min_kmh: float
    reaction_s: float
    decel_ms2: float
    stop_kmh: float = 2.0


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """What this lane asks for before green, and its times. All times in seconds unless the name says otherwise."""

    required_driver: bool = True
    required_conveyance: bool = True
    required_cargo: bool = True
    early_reads: int = 3
    early_margin_cdb: int = 600
    settle_s: float = 0.3
    debounce_s: float = 0.3
    commit_margin_s: float = 0.3
    lease_ttl_s: float = 30.0
    officer_lease_s: float = 20.0
    request_ttl_s: float = 5.0
    green_max_s: float = 45.0
    stall_after_green_s: float = 12.0
    abandon_s: float = 900.0
    stopped_factor: float = 2.0
    centre_grace_s: float = 0.0
    officer_presence_required: bool = False
    control_s: float = 4.0
    sighting_lost_s: float = 2.0
    stray_after_s: float = 60.0
    maintenance_max_s: float = 7200.0
    static_after_s: float = 120.0
    static_rise_cdb: int = 600
    static_forget_s: float = 300.0
    stray_alarm: int = 20
    stray_window_s: float = 3600.0
    passback_s: float = 600.0


@dataclass(frozen=True, slots=True)
class LaneIdentity:
    """Names that go into every record."""

    lane: str
    """Resource name, `ports/{office}/lanes/{lane}`."""
    office: str
    unlocode: str
    direction: str
    agent_version: str
    config_digest: str
    profile_digest: str
    interlock_digest: str
