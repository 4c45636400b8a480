"""The barrier arm's rule: when the agent may ask the arm's operator to raise or to lower it. Pure and total, no clock.

The arm grants nothing and is no protection: its operator has its own loop, its own anti-crush and its own safety
circuit. The agent asks by pulses; without a pulse the arm stays where it is. It is asked up when nothing but the arm
stands between a vehicle and its green. It is asked down only when every input says that nobody is near it; presence,
doubt and stale inputs never lower it. Whether green agrees with the arm is the interlock's, on the same raw inputs.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from drivers.api import InputSnapshot

UP_ROLE, DOWN_ROLE, UNDER_ROLE = "barrier_up", "barrier_down", "barrier_presence"
NEAR_ROLES = ("zone_s", "stop_line_beam", UNDER_ROLE)
"""The inputs that must all be free before the arm is asked down: stop loop, crossing beam and the arm's own presence
input. One of them missing counts as unknown."""

_MS = 1_000_000
_S = 1_000_000_000


class Arm(StrEnum):
    """Where the limit switches say the arm is. BETWEEN: neither is made. BOTH: they contradict each other. UNKNOWN: no
    fresh input."""

    UP = "up"
    DOWN = "down"
    BETWEEN = "between"
    BOTH = "both"
    UNKNOWN = "unknown"


class Near(StrEnum):
    """Whether anybody is near the arm. UNKNOWN: an input is stale or missing."""

    FREE = "free"
    PRESENT = "present"
    UNKNOWN = "unknown"


class Move(StrEnum):
    """What the operator is asked for: one pulse, or nothing."""

    NONE = "none"
    RAISE = "raise"
    LOWER = "lower"


class ArmFault(StrEnum):
    """Faults of the arm. Each latches until a person clears it; while it lasts the arm is asked for nothing."""

    LIMITS = "BARRIER_LIMITS_CONFLICT"
    NOT_MOVED = "BARRIER_NOT_MOVED"
    MOVED_UNASKED = "BARRIER_MOVED_UNASKED"


class ArmReason(StrEnum):
    """Why the arm is not asked down, most important first; the order here is the order of `ArmRuling.reasons`."""

    FAULT = "fault"
    POSITION_UNKNOWN = "position_unknown"
    NEAR_UNKNOWN = "near_unknown"
    PRESENCE = "presence"
    NOT_FREE_LONG = "not_free_long"
    LIGHT_NOT_RED = "light_not_red"
    DOUBT = "doubt"
    NEEDED = "needed"
    MOVING = "moving"
    NOT_UP = "not_up"


@dataclass(frozen=True, slots=True)
class ArmFacts:
    """All that the rule looks at, at one instant. `fault`: one is latched, or a movement that nobody asked for is being
    judged. `free_long`: nobody near for the whole clearing time. `red`: red is
    commanded and freshly confirmed. `sure`: the order of the corridor is known and nobody is over the line. `needed`:
    green is shown, or nothing but the arm speaks against it. `asked`: the movement under way."""

    fault: bool
    arm: Arm
    near: Near
    free_long: bool
    red: bool
    sure: bool
    needed: bool
    asked: Move


@dataclass(frozen=True, slots=True)
class ArmRuling:
    """What to ask the operator for now, and every reason against lowering (empty exactly when it is LOWER)."""

    move: Move
    reasons: tuple[ArmReason, ...]


def rule_arm(facts: ArmFacts) -> ArmRuling:
    """LOWER exactly when nothing speaks against it; RAISE when the arm is needed up, or somebody comes under a lowering
    one; else nothing. Never raises an exception. A value outside its declared type never moves the arm."""
    reasons = _against_lowering(facts)
    if not reasons:
        return ArmRuling(Move.LOWER, ())
    return ArmRuling(Move.RAISE if _wants_up(facts) else Move.NONE, reasons)


def _wants_up(f: ArmFacts) -> bool:
    if f.fault is not False or not (f.arm is Arm.DOWN or f.arm is Arm.BETWEEN):
        return False
    if f.asked is Move.LOWER:
        return f.needed is True or f.near is Near.PRESENT
    return f.asked is Move.NONE and f.needed is True


def _against_lowering(f: ArmFacts) -> tuple[ArmReason, ...]:
    located = f.arm is Arm.UP or f.arm is Arm.DOWN or f.arm is Arm.BETWEEN
    checks = (
        (f.fault is not False, ArmReason.FAULT),
        (not located, ArmReason.POSITION_UNKNOWN),
        (not (f.near is Near.FREE or f.near is Near.PRESENT), ArmReason.NEAR_UNKNOWN),
        (f.near is Near.PRESENT, ArmReason.PRESENCE),
        (f.free_long is not True, ArmReason.NOT_FREE_LONG),
        (f.red is not True, ArmReason.LIGHT_NOT_RED),
        (f.sure is not True, ArmReason.DOUBT),
        (f.needed is not False, ArmReason.NEEDED),
        (f.asked is not Move.NONE, ArmReason.MOVING),
        (f.arm is Arm.DOWN or f.arm is Arm.BETWEEN, ArmReason.NOT_UP),
    )
    return tuple(reason for applies, reason in checks if applies)


# ---- numbers in, facts out ----


@dataclass(frozen=True, slots=True)
class ArmLimits:
    """The T values of one arm, in ns: `stale_ns` age at which inputs are worthless [300 ms]; `travel_ns` T_move, a
    movement that has not ended by then is a fault [10 s]; `free_ns` nobody near for so long before the arm is asked
    down [2 s]; `settle_ns` a contradiction of the limit switches, or a movement nobody asked for, is a fault after
    it [500 ms]."""

    stale_ns: int = 300 * _MS
    travel_ns: int = 10 * _S
    free_ns: int = 2 * _S
    settle_ns: int = 500 * _MS


@dataclass(frozen=True, slots=True)
class ArmOrders:
    """What the rest of the program tells the arm, as levels. `cleared_seq` counts authorised fault clearings."""

    needed: bool
    red: bool
    sure: bool
    cleared_seq: int = 0


@dataclass(frozen=True, slots=True)
class ArmHistory:
    """What the arm's loop remembers between looks; times in ns. `asked` the movement under way since `asked_ns`; `rest`
    where the arm came to rest last (None: not seen at rest since continuity was lost); `free_since_ns`, `both_since_ns`
    and `astray_since_ns`: since when without interruption; `session` of the inputs seen last."""

    asked: Move = Move.NONE
    asked_ns: int = 0
    rest: Arm | None = None
    free_since_ns: int | None = None
    both_since_ns: int | None = None
    astray_since_ns: int | None = None
    session: int | None = None
    fault: ArmFault | None = None
    cleared_seq: int = 0


def classify_arm(
    history: ArmHistory, orders: ArmOrders, zones: InputSnapshot | None, now_ns: int, limits: ArmLimits
) -> tuple[ArmFacts, ArmHistory]:
    """The facts at `now_ns`, and the history with what was seen added."""
    seen = zones if zones is not None and now_ns - zones.stamp.mono_ns <= limits.stale_ns else None
    arm, near = arm_at(seen), near_arm(seen)
    history = _watched(_continued(_cleared(history, orders.cleared_seq), seen), arm, now_ns, limits)
    free_since = _since(near is Near.FREE, history.free_since_ns, now_ns)
    history = replace(history, free_since_ns=free_since)
    facts = ArmFacts(
        fault=history.fault is not None or history.astray_since_ns is not None,
        arm=arm,
        near=near,
        free_long=free_since is not None and now_ns - free_since >= limits.free_ns,
        red=orders.red,
        sure=orders.sure,
        needed=orders.needed,
        asked=history.asked,
    )
    return facts, history


def begin_move(history: ArmHistory, move: Move, now_ns: int) -> ArmHistory:
    """Called before a pulse goes on the wire: from here on the arm may move, even if the write fails."""
    return replace(history, asked=move, asked_ns=now_ns, rest=None, astray_since_ns=None)


def arm_at(zones: InputSnapshot | None) -> Arm:
    """Where fresh inputs say the arm is; UNKNOWN without them or without a limit switch among them."""
    up, down = (None, None) if zones is None else (zones.levels.get(UP_ROLE), zones.levels.get(DOWN_ROLE))
    if up is None or down is None:
        return Arm.UNKNOWN
    if up:
        return Arm.BOTH if down else Arm.UP
    return Arm.DOWN if down else Arm.BETWEEN


def near_arm(zones: InputSnapshot | None) -> Near:
    """Whether fresh inputs show anybody near the arm. A presence that is seen counts more than an input missing."""
    if zones is None:
        return Near.UNKNOWN
    levels = [zones.levels.get(role) for role in NEAR_ROLES]
    if True in levels:
        return Near.PRESENT
    return Near.UNKNOWN if None in levels else Near.FREE


def arm_up(zones: InputSnapshot | None, now_ns: int, stale_ns: int) -> bool:
    """The interlock's fact: the arm is freshly known to be up, by both limit switches."""
    return zones is not None and now_ns - zones.stamp.mono_ns <= stale_ns and arm_at(zones) is Arm.UP


def _cleared(history: ArmHistory, cleared_seq: int) -> ArmHistory:
    """Where the arm is after a repair, is where it is: nobody asked it there, and that is no fault."""
    if cleared_seq <= history.cleared_seq:
        return history
    return replace(history, cleared_seq=cleared_seq, fault=None, asked=Move.NONE, rest=None)


def _continued(history: ArmHistory, seen: InputSnapshot | None) -> ArmHistory:
    """Without continuity of the inputs nothing is known of what the arm did, nor of who passed under it."""
    session = seen.session if seen is not None else None
    if session == history.session:
        return history
    return replace(history, session=session, rest=None, free_since_ns=None, both_since_ns=None, astray_since_ns=None)


def _watched(history: ArmHistory, arm: Arm, now_ns: int, limits: ArmLimits) -> ArmHistory:
    """The movement asked for, and any other, against the limit switches."""
    both = _since(arm is Arm.BOTH, history.both_since_ns, now_ns)
    history = replace(history, both_since_ns=both)
    if both is not None and now_ns - both > limits.settle_ns:
        return _faulty(history, ArmFault.LIMITS)
    if history.asked is not Move.NONE:
        target = Arm.UP if history.asked is Move.RAISE else Arm.DOWN
        if arm is target:
            return replace(history, asked=Move.NONE, rest=arm)
        return _faulty(history, ArmFault.NOT_MOVED) if now_ns - history.asked_ns > limits.travel_ns else history
    if history.rest is None:
        return replace(history, rest=arm if arm is Arm.UP or arm is Arm.DOWN else None)
    astray = _since(arm is not history.rest and arm is not Arm.UNKNOWN, history.astray_since_ns, now_ns)
    history = replace(history, astray_since_ns=astray)
    if astray is not None and now_ns - astray > limits.settle_ns:
        return _faulty(history, ArmFault.MOVED_UNASKED)
    return history


def _faulty(history: ArmHistory, fault: ArmFault) -> ArmHistory:
    """The first fault stays the one that is told."""
    return replace(history, fault=history.fault or fault, asked=Move.NONE, rest=None, astray_since_ns=None)


def _since(holds: bool, since_ns: int | None, now_ns: int) -> int | None:
    if not holds:
        return None
    return now_ns if since_ns is None else since_ns
