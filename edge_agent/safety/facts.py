"""The question put to the interlock, and its answer. Every field is a small enumeration or a truth value, so that all
combinations can be tried; the numbers behind them are classified in `timing.py`."""

from dataclasses import dataclass
from enum import StrEnum

from drivers.api import Aspect


class Permit(StrEnum):
    """What the lane mode allows: REMOTE -> ROLLING; ATTENDED, DEGRADED -> STANDING; CLOSED, ALL_HOLD, FAULT -> NONE."""

    NONE = "none"
    STANDING = "standing"
    ROLLING = "rolling"


class LeaseState(StrEnum):
    """The lease for green: none was granted, it is live, or its deadline has passed."""

    NONE = "none"
    LIVE = "live"
    EXPIRED = "expired"


class StopLine(StrEnum):
    """The crossing beam at the stop line, on raw input. UNKNOWN: no fresh input, or another input session than the
    lease's. BROKEN: something is in the beam now. CROSSED: clear now, but an edge was counted since the lease."""

    CLEAR = "clear"
    BROKEN = "broken"
    CROSSED = "crossed"
    UNKNOWN = "unknown"


class Readback(StrEnum):
    """Command against what the module and its feedback show. AGREES also while a change settles (within T_rb)."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    UNKNOWN = "unknown"


class Amber(StrEnum):
    """NOT_FITTED: the head has none. DUE: fitted, and its time has not passed since green ended. PASSED: it has."""

    NOT_FITTED = "not_fitted"
    DUE = "due"
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the interlock looks at, at one instant."""

    permit: Permit
    hold: bool
    """A hold on the lane, or on the conveyance the lease names."""
    fault_latched: bool
    """A signal fault that no authorised person has cleared."""
    module_ready: bool
    """The head's module is identified, its watchdog armed and red was verified in this session."""
    can_confirm: bool
    """The head's wiring confirms green by contact or lamp current."""
    order_known: bool
    """The order of vehicles in the corridor is known."""
    lease: LeaseState
    lease_standing: bool
    """The lease is for a vehicle standing at the stop line only."""
    stop_loop_occupied: bool
    """The presence loop at the stop line is freshly known to be occupied (unknown counts as not)."""
    stop_line: StopLine
    source_alive: bool
    """Whoever gave the lease can still revoke it (centre link or officer's console, within the lane's grace)."""
    readback: Readback
    red_long_enough: bool
    """Red has been shown for the minimum time since the last green (no chatter towards green)."""
    arm_up: bool
    """The barrier arm is freshly known to be up and has no fault; true on a lane without an arm."""
    green_overdue: bool
    """The green in force has lasted its maximum, or the vehicle has stalled on it."""
    showing: Aspect
    """The aspect commanded now: RED, AMBER or GREEN."""
    amber: Amber


class Reason(StrEnum):
    """Why the ruling is not green, in order of importance; the order here is the order of `Ruling.reasons`."""

    FAULT_LATCHED = "fault_latched"
    HOLD = "hold"
    MODULE_NOT_READY = "module_not_ready"
    READBACK_DISAGREES = "readback_disagrees"
    READBACK_UNKNOWN = "readback_unknown"
    CANNOT_CONFIRM = "cannot_confirm"
    MODE = "mode"
    STOP_LINE_UNKNOWN = "stop_line_unknown"
    NOSE_OVER_LINE = "nose_over_line"
    ALREADY_CROSSED = "already_crossed"
    NO_LEASE = "no_lease"
    LEASE_EXPIRED = "lease_expired"
    SOURCE_LOST = "source_lost"
    ORDER_UNKNOWN = "order_unknown"
    NOT_STANDING = "not_standing"
    GREEN_OVERDUE = "green_overdue"
    BARRIER_NOT_UP = "barrier_not_up"
    MINIMUM_RED = "minimum_red"
    LANE_NOT_EMPTY = "lane_not_empty"
    SIGNAL_TEST = "signal_test"


@dataclass(frozen=True, slots=True)
class HeadTestFacts:
    """All that the interlock looks at while the head is tested in a closed lane. No lease is involved, and none is
    used up; a latched fault does not forbid the test, because the test is the way to its clearing."""

    asked: Aspect
    """The aspect to show now: RED, AMBER or GREEN."""
    live: bool
    """The time for this aspect has not run out."""
    closed: bool
    """The lane was set CLOSED, and no vehicle is known in it."""
    hold: bool
    """A hold on the lane."""
    lane_empty: bool
    """Every zone input is freshly known to be free (unknown counts as occupied)."""
    module_ready: bool
    """As in `Facts`."""
    can_confirm: bool
    """As in `Facts`."""
    readback: Readback
    """As in `Facts`."""
    trouble: bool
    """The newest reading shows a signal fault, latched already or not."""
    red_long_enough: bool
    """As in `Facts`."""
    showing: Aspect
    """The aspect commanded now: RED, AMBER or GREEN."""
    amber_fitted: bool
    """The head has an amber."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The interlock's answer: RED, AMBER or GREEN, and every reason against green (empty exactly when green)."""

    aspect: Aspect
    reasons: tuple[Reason, ...]
