"""The interlock: one question, one answer. Pure, total, no state; anything unknown, stale or not of its type is red.

Why each condition exists and which test proves it: `README.md` beside this file.
"""

from itertools import compress

from drivers.api import Aspect

from .facts import Amber, Facts, HeadTestFacts, LeaseState, Permit, Readback, Reason, Ruling, StopLine

_PLANNED = frozenset({Reason.LEASE_EXPIRED, Reason.MODE, Reason.MINIMUM_RED})
"""The only reasons that may end green through amber; every other one is red at once."""
# Read off their classes once: on Python 3.11 that costs more than a call, and every cycle of the signal asks for forty.
_REASONS = tuple(Reason)
_RED, _AMBER, _GREEN = Aspect.RED, Aspect.AMBER, Aspect.GREEN
_CLEAR, _BROKEN, _CROSSED = StopLine.CLEAR, StopLine.BROKEN, StopLine.CROSSED
_NO_LEASE, _LIVE, _EXPIRED = LeaseState.NONE, LeaseState.LIVE, LeaseState.EXPIRED
_AGREES, _DISAGREES = Readback.AGREES, Readback.DISAGREES
_STANDING, _ROLLING = Permit.STANDING, Permit.ROLLING


def rule(facts: Facts) -> Ruling:
    """Green exactly when nothing speaks against it; amber only to end a green as planned; everything else red.

    Never raises. A value outside its declared type counts as the unsafe one.
    """
    reasons = _against(facts)
    if not reasons:
        return Ruling(_GREEN, ())
    if _may_end_in_amber(facts, reasons):
        return Ruling(_AMBER, reasons)
    return Ruling(_RED, reasons)


def _against(f: Facts) -> tuple[Reason, ...]:
    """Every reason against green: the checks stand in the order of `Reason`. Tests are by identity, so that a foreign
    value never passes for a permission."""
    showable = f.showing is _RED or f.showing is _AMBER or f.showing is _GREEN
    standing_will_do = f.lease_standing is True or f.lease is _NO_LEASE  # no lease offends no mode
    permitted = f.permit is _ROLLING or (f.permit is _STANDING and standing_will_do)
    judged_by_readback = f.readback is _AGREES or f.readback is _DISAGREES
    line_seen = f.stop_line is _CLEAR or f.stop_line is _BROKEN or f.stop_line is _CROSSED
    granted = f.lease is _LIVE or f.lease is _EXPIRED
    checks = (
        f.fault_latched is not False,  # FAULT_LATCHED
        f.hold is not False,  # HOLD
        f.module_ready is not True,  # MODULE_NOT_READY
        f.readback is _DISAGREES,  # READBACK_DISAGREES
        not judged_by_readback or not showable,  # READBACK_UNKNOWN
        f.can_confirm is not True,  # CANNOT_CONFIRM
        not permitted,  # MODE
        not line_seen,  # STOP_LINE_UNKNOWN
        f.stop_line is _BROKEN,  # NOSE_OVER_LINE
        f.stop_line is _CROSSED,  # ALREADY_CROSSED
        not granted,  # NO_LEASE
        f.lease is _EXPIRED,  # LEASE_EXPIRED
        f.source_alive is not True,  # SOURCE_LOST
        f.order_known is not True and f.lease_standing is not True,  # ORDER_UNKNOWN
        f.lease_standing is not False and f.stop_loop_occupied is not True,  # NOT_STANDING
        f.green_overdue is not False,  # GREEN_OVERDUE
        f.arm_up is not True,  # BARRIER_NOT_UP
        f.showing is not _GREEN and f.red_long_enough is not True,  # MINIMUM_RED
    )
    return tuple(compress(_REASONS, checks))


def _may_end_in_amber(f: Facts, reasons: tuple[Reason, ...]) -> bool:
    """Amber warns a driver who can still stop: green or amber is showing, the nose is upstream, the end is planned."""
    return (
        (f.showing is _GREEN or f.showing is _AMBER)
        and f.amber is Amber.DUE
        and f.stop_line is _CLEAR
        and type(f.permit) is Permit
        and _PLANNED.issuperset(reasons)
    )


def rule_test(facts: HeadTestFacts) -> Ruling:
    """What the head may show while it is tested: the aspect asked for exactly when nothing speaks against it, one at a
    time with red in between; everything else red. `Ruling.reasons` is empty exactly when that aspect is not red.

    Never raises. A value outside its declared type counts as the unsafe one.
    """
    f = facts
    judged_by_readback = f.readback is _AGREES or f.readback is _DISAGREES
    green_or_amber = f.asked is _GREEN or (f.asked is _AMBER and f.amber_fitted is True)
    goes_on = f.showing is f.asked
    from_red = f.showing is _RED and f.red_long_enough is True
    checks = (
        (f.hold is not False, Reason.HOLD),
        (f.module_ready is not True, Reason.MODULE_NOT_READY),
        (f.readback is _DISAGREES or f.trouble is not False, Reason.READBACK_DISAGREES),
        (not judged_by_readback, Reason.READBACK_UNKNOWN),
        (f.can_confirm is not True, Reason.CANNOT_CONFIRM),
        (f.closed is not True, Reason.MODE),
        (not goes_on and not from_red, Reason.MINIMUM_RED),
        (f.lane_empty is not True, Reason.LANE_NOT_EMPTY),
        (not green_or_amber or f.live is not True, Reason.SIGNAL_TEST),
    )
    reasons = tuple(reason for applies, reason in checks if applies)
    return Ruling(_RED, reasons) if reasons else Ruling(f.asked, ())
