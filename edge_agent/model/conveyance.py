"""What is known of one vehicle in the lane: the record the passage core keeps and the bundle is built from."""

from dataclasses import dataclass, field
from enum import StrEnum

from drivers.api import Aspect, Grade, Stamp

from .decision import Decision, Hold, Lease
from .identity import Assignment


class Phase(StrEnum):
    """Where a conveyance stands in its passage, in this order."""

    DETECTED = "detected"
    IDENTIFYING = "identifying"
    REQUESTED = "requested"
    DECIDED = "decided"
    GRANTED = "granted"
    PASSING = "passing"
    CLEARED = "cleared"
    EXITED = "exited"
    SEALED = "sealed"


class Flag(StrEnum):
    """Side states and facts worth an officer's or auditor's eye. A conveyance carries any number of them."""

    WAITING_AT_LINE = "waiting_at_line"
    LATE = "late"
    REVOKED = "revoked"
    LATE_REVOCATION = "late_revocation"
    LATE_CHANGE = "late_change"
    REVERSED = "reversed"
    DIVERTED = "diverted"
    AMBIGUOUS = "ambiguous"
    VIOLATION = "violation"
    ORPHANED = "orphaned"
    ABANDONED = "abandoned"
    NO_TAG = "no_tag"
    MULTIPLE_CARDS = "multiple_cards"
    ORDER_UNKNOWN = "order_unknown"
    UNCONFIRMED_GREEN = "unconfirmed_green"
    STALLED_AFTER_GREEN = "stalled_after_green"
    STOPPED_IN_CORRIDOR = "stopped_in_corridor"
    CENTRE_LOST = "centre_lost"
    SENSOR_FAULT = "sensor_fault"
    RESTARTED = "restarted"
    CLOCK_STEPPED = "clock_stepped"
    DUPLICATE_IDENTITY = "duplicate_identity"
    READER_GAP = "reader_gap"
    DOUBTFUL = "doubtful"
    """The sensors contradict each other about it: when and on what light it crossed, or whether it did."""
    UNPROVEN = "unproven"
    """One sensor alone ever showed it, or an officer who looked saw nobody: it may have been no vehicle at all."""
    MIXED = "mixed"
    """What zones and readers showed may be two vehicles': nothing that was read is claimed as its own."""
    LATE_CARD = "late_card"
    PASSBACK = "passback"
    SEEN_ELSEWHERE = "seen_elsewhere"
    TID_MISMATCH = "tid_mismatch"


class Outcome(StrEnum):
    """How a passage ended, once and for all."""

    RELEASED_ROLLING = "released_rolling"
    RELEASED_STOPPED = "released_stopped"
    REFERRED = "referred"
    REFUSED = "refused"
    MANUAL = "manual"
    VIOLATION = "violation"
    ABANDONED = "abandoned"
    REVERSED = "reversed"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True)
class ZoneTimes:
    """When nose and tail passed each zone; None while unknown. `*_nose` = zone became active, `*_tail` = inactive."""

    a_nose: Stamp | None = None
    a_tail: Stamp | None = None
    d_nose: Stamp | None = None
    d_tail: Stamp | None = None
    s_loop: Stamp | None = None
    s_nose: Stamp | None = None
    s_tail: Stamp | None = None
    x_nose: Stamp | None = None
    x_tail: Stamp | None = None


@dataclass(frozen=True, slots=True)
class RequestMade:
    """One release request sent for the conveyance."""

    at: Stamp
    revision: int
    identity_digest: str
    complete: bool


@dataclass(frozen=True, slots=True)
class SignalEvent:
    """What was commanded and what feedback confirmed while this conveyance was first in order."""

    at: Stamp
    commanded: Aspect
    confirmed: Aspect | None
    grade: Grade
    reason: str


@dataclass(frozen=True, slots=True)
class Intervention:
    """An officer's act that named this conveyance, or the lane while it was in it."""

    at: Stamp
    act: str
    officer: str
    role: str
    request_id: str
    result: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conveyance:
    """One vehicle as one physical thing. Created and ordered by presence; identity is attached.

    `order` rises strictly in the order of detection. `flags` sorted, without repeats. `stops` counts intervals >= 1 s
    below the policy's stop speed between A and S tail, `dwell_ms` their sum. `committed` once its earliest possible
    position is inside C(v). `speed_kmh` the last measured speed (0 while unknown). `length_m` 0 while unknown.
    `doubtful` are sightings that may be its own or a rival's: they support no leg and are in no digest.
    """

    conveyance_id: str
    bundle_id: str
    order: int
    detected: Stamp
    phase: Phase = Phase.DETECTED
    times: ZoneTimes = field(default_factory=ZoneTimes)
    assignments: tuple[Assignment, ...] = ()
    doubtful: tuple[Assignment, ...] = ()
    requests: tuple[RequestMade, ...] = ()
    decisions: tuple[Decision, ...] = ()
    signals: tuple[SignalEvent, ...] = ()
    interventions: tuple[Intervention, ...] = ()
    flags: tuple[Flag, ...] = ()
    hold: Hold | None = None
    lease: Lease | None = None
    granted: Stamp | None = None
    committed: Stamp | None = None
    speed_kmh: float = 0.0
    length_m: float = 0.0
    stops: int = 0
    dwell_ms: int = 0
    outcome: Outcome | None = None
    ended: Stamp | None = None
