"""Numbers in, facts out: everything the interlock asks that involves time, counters or the past. Pure, no clock.

The past is a `History` record that goes in and comes out; the signal loop keeps it and owns nothing else. All times are
nanoseconds on one monotonic clock. Figures in brackets are the lane defaults.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from enum import StrEnum

from drivers.api import Aspect, Grade, InputSnapshot, SignalReadback
from edge_agent.model.decision import Lease
from edge_agent.model.lane import Zone

from .barrier import arm_up
from .facts import Amber, Facts, HeadTestFacts, LeaseState, Permit, Readback, StopLine

_MS = 1_000_000
_S = 1_000_000_000
# Read off their classes once: on Python 3.11 that costs more than a call, and every cycle of the signal asks for many.
_RED, _GREEN = Aspect.RED, Aspect.GREEN
_BEAM, _STOP_LOOP = Zone.BEAM, Zone.S
_CLEAR, _LINE_UNKNOWN = StopLine.CLEAR, StopLine.UNKNOWN
_AGREES, _CONTACT = Readback.AGREES, Grade.CONTACT


class SignalFault(StrEnum):
    """Signal faults that latch until an authorised person clears them. STUCK_GREEN is the gravest: software cannot
    end it."""

    STUCK_GREEN = "SIGNAL_STUCK_GREEN"
    CONFLICT = "SIGNAL_CONFLICT"
    DARK = "SIGNAL_DARK"
    DISAGREES = "SIGNAL_DISAGREES"
    FOREIGN_WRITE = "SIGNAL_FOREIGN_WRITE"
    CHATTER = "SIGNAL_CHATTER"


@dataclass(frozen=True, slots=True)
class Limits:
    """The T values of one lane, in ns.

    `stale_ns` age at which inputs and readbacks are worthless [300 ms]; `settle_ns` T_rb, time for a change to be
    confirmed and for a disagreement to become a fault [300 ms]; `dark_ns` red lamp missing [700 ms, not less: NEMA TS 2
    red failure]; `conflict_ns` red and green together [200 ms, not less; with a poll of 100 ms tripped before 450 ms:
    NEMA TS 2]; `red_min_ns` shortest red after green [500 ms]; `amber_ns` length of amber, 0 on heads without (see
    `minimum_amber_ns`); `green_max_ns` longest green [45 s]; `stall_ns` longest stay on the stop loop under green
    [12 s]; `source_grace_ns` how long a green outlives the source of its lease [0]; `chatter_max` most changes of the
    commanded aspect in any minute [40]; `barrier` a barrier
    arm is fitted; `zones` the zone inputs that the lane has [all].
    """

    stale_ns: int = 300 * _MS
    settle_ns: int = 300 * _MS
    dark_ns: int = 700 * _MS
    conflict_ns: int = 200 * _MS
    red_min_ns: int = 500 * _MS
    amber_ns: int = 0
    green_max_ns: int = 45 * _S
    stall_ns: int = 12 * _S
    source_grace_ns: int = 0
    chatter_max: int = 40
    barrier: bool = False
    zones: tuple[Zone, ...] = tuple(Zone)


@dataclass(frozen=True, slots=True)
class HeadTest:
    """One aspect of a signal test. `feed` False: the aspect is written once and then left to the module's watchdog, to
    see that it drops it."""

    asked: Aspect
    deadline_mono_ns: int
    feed: bool = True


@dataclass(frozen=True, slots=True)
class SignalOrders:
    """What the rest of the program asks of the signal, as levels: always the newest, never a queue.

    `hold` is a hold on the lane or on the conveyance of `lease`. `fault_cleared_seq` counts authorised fault clearings;
    only an increase clears. `source_alive` is raw (the grace is applied here): whoever gave `lease` can revoke it.
    `test` is a signal test under way, `closed` that the lane was set CLOSED and no vehicle is known in it.
    `arm_fault`: a fault of the barrier arm is latched. `too_late`: the vehicle of `lease` may be inside its commit
    distance, so that a green which has not begun must not begin.
    """

    permit: Permit
    hold: bool
    fault_cleared_seq: int
    order_known: bool
    lease: Lease | None
    source_alive: bool
    closed: bool = False
    test: HeadTest | None = None
    arm_fault: bool = False
    too_late: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """What the signal loop remembers between cycles; times in ns.

    `commanded` the last aspect the module acknowledged (None: unknown, e.g. after a failed exchange or in a new
    session), unchanged since `changed_ns`. `ready` once red was read back in this session. `mismatch_ns` and
    `conflict_ns`: since when without interruption. `fault` the latched one. `green_seq` and `green_for`: lease and
    conveyance of the green in force, or else of the last one, whose lease is used up. `waiting_ns`: under green, since
    when somebody is on the stop loop. `overdue_seq`: leases up to this one have had a green that was withdrawn as
    overdue. `trouble`: the fault that the newest reading shows, latched or not. `changes`: when the commanded aspect
    changed within the last minute.
    """

    commanded: Aspect | None = None
    changed_ns: int = 0
    ready: bool = False
    mismatch_ns: int | None = None
    conflict_ns: int | None = None
    fault: SignalFault | None = None
    cleared_seq: int = 0
    newest_seq: int = 0
    green_seq: int = 0
    green_for: str = ""
    waiting_ns: int | None = None
    overdue_seq: int = 0
    source_lost_ns: int | None = None
    trouble: SignalFault | None = None
    changes: tuple[int, ...] = ()


def classify(
    history: History,
    orders: SignalOrders,
    zones: InputSnapshot | None,
    reading: SignalReadback | None,
    now_ns: int,
    limits: Limits,
) -> tuple[Facts, History]:
    """The facts at `now_ns`, and the history with what was seen added. Asking twice at one instant changes nothing."""
    occupied = stop_loop_occupied(zones, now_ns, limits.stale_ns)
    history = _with_reading(_with_orders(history, orders, occupied, now_ns), reading, limits)
    history = _with_chatter(history, now_ns, limits.chatter_max)
    overdue = _overdue_now(history, now_ns, limits)
    if overdue:
        history = replace(history, overdue_seq=history.newest_seq)
    lease = orders.lease
    # By place, in the order of `Facts`: by name the call costs as much as all the rest of this function.
    facts = Facts(
        orders.permit,  # permit
        orders.hold,  # hold
        history.fault is not None,  # fault_latched
        history.ready,  # module_ready
        _can_confirm(reading),  # can_confirm
        orders.order_known,  # order_known
        lease_state(history, lease, orders.too_late, now_ns),  # lease
        lease is not None and lease.standing,  # lease_standing
        occupied,  # stop_loop_occupied
        stop_line(zones, lease, now_ns, limits.stale_ns),  # stop_line
        source_alive(history, now_ns, limits.source_grace_ns),  # source_alive
        readback(history, reading, now_ns, limits),  # readback
        _red_long_enough(history, now_ns, limits),  # red_long_enough
        not limits.barrier or (arm_up(zones, now_ns, limits.stale_ns) and not orders.arm_fault),  # arm_up
        overdue or (lease is not None and lease.seq <= history.overdue_seq),  # green_overdue
        history.commanded or _RED,  # showing
        amber_phase(history, now_ns, limits.amber_ns),  # amber
    )
    return facts, history


def test_facts(
    history: History,
    orders: SignalOrders,
    test: HeadTest,
    zones: InputSnapshot | None,
    reading: SignalReadback | None,
    now_ns: int,
    limits: Limits,
) -> HeadTestFacts:
    """The facts for `test` at `now_ns`; `history` is what `classify` gave for the same instant."""
    return HeadTestFacts(
        asked=test.asked,
        live=now_ns < test.deadline_mono_ns,
        closed=orders.closed,
        hold=orders.hold,
        lane_empty=lane_empty(zones, now_ns, limits),
        module_ready=history.ready,
        can_confirm=_can_confirm(reading),
        readback=readback(history, reading, now_ns, limits),
        trouble=history.trouble is not None,
        red_long_enough=_red_long_enough(history, now_ns, limits),
        showing=history.commanded or _RED,
        amber_fitted=limits.amber_ns > 0,
    )


def begin_test(history: History) -> History:
    """Called before a test's green goes on the wire: it is nobody's, so that no lease can take it over."""
    return replace(history, green_for="")


def begin_green(history: History, lease: Lease) -> History:
    """Called before green goes on the wire: from here on the lease counts as used, even if the write fails."""
    if (lease.seq, lease.conveyance_id) == (history.green_seq, history.green_for):
        return history
    return replace(history, green_seq=lease.seq, green_for=lease.conveyance_id)


def acknowledged(history: History, aspect: Aspect, now_ns: int) -> History:
    """The module has taken `aspect`. A change must be confirmed from now on."""
    if aspect is history.commanded:
        return history
    changes = _recent(history.changes, now_ns)
    if history.commanded is not None:  # red after a lost session is no change that the agent made
        changes = (*changes, now_ns)
    return replace(history, commanded=aspect, changed_ns=now_ns, mismatch_ns=now_ns, waiting_ns=None, changes=changes)


def exchange_lost(history: History) -> History:
    """An exchange failed or the session ended: what the module shows is unknown until red is written and read back.
    A latched fault stays."""
    lost = replace(history, commanded=None, ready=False, mismatch_ns=None, conflict_ns=None, waiting_ns=None)
    return replace(lost, trouble=None)


def unsettled(history: History) -> bool:
    """Whether the next readback should come soon: a change or deviation is not yet confirmed nor judged."""
    return history.fault is None and (history.mismatch_ns is not None or history.conflict_ns is not None)


def lease_state(history: History, lease: Lease | None, too_late: bool, now_ns: int) -> LeaseState:
    """One green per lease and per conveyance: a lease that had its green, or that names another conveyance than the
    green in force, or whose green would begin too late, counts as expired; an older one than the newest seen counts as
    none (replay)."""
    if lease is None or lease.seq < history.newest_seq:
        return LeaseState.NONE
    in_force = history.commanded is _GREEN
    if in_force and lease.conveyance_id != history.green_for:
        return LeaseState.EXPIRED
    if not in_force and (too_late or lease.seq <= history.green_seq):
        return LeaseState.EXPIRED
    return LeaseState.LIVE if now_ns < lease.deadline_mono_ns else LeaseState.EXPIRED


def stop_line(zones: InputSnapshot | None, lease: Lease | None, now_ns: int, stale_ns: int) -> StopLine:
    """The crossing beam. Without a lease there is no counter to compare with: then only the level speaks."""
    if zones is None or not _fresh(zones.stamp.mono_ns, now_ns, stale_ns):
        return _LINE_UNKNOWN
    level, edges = zones.levels.get(_BEAM), zones.edges.get(_BEAM)
    if level is None or edges is None:
        return _LINE_UNKNOWN
    if level:
        return StopLine.BROKEN
    if lease is None:
        return _CLEAR
    if zones.session != lease.input_session:
        return _LINE_UNKNOWN
    return _CLEAR if edges == lease.beam_edges else StopLine.CROSSED


def stop_loop_occupied(zones: InputSnapshot | None, now_ns: int, stale_ns: int) -> bool:
    """Whether the stop loop is freshly known to be occupied."""
    return zones is not None and _fresh(zones.stamp.mono_ns, now_ns, stale_ns) and zones.levels.get(_STOP_LOOP) is True


def lane_empty(zones: InputSnapshot | None, now_ns: int, limits: Limits) -> bool:
    """Whether every zone that the lane has is freshly known to be free."""
    if zones is None or not _fresh(zones.stamp.mono_ns, now_ns, limits.stale_ns):
        return False
    return all(zones.levels.get(zone) is False for zone in limits.zones)


def readback(history: History, reading: SignalReadback | None, now_ns: int, limits: Limits) -> Readback:
    """Command against feedback.

    While a change settles, and for lamp flicker under green or amber up to T_rb, it agrees. Under red every deviation
    counts at once: it costs nothing and forbids green. Outputs that differ count at once after the settling time. Ages
    run to the reading's stamp, as for the faults: a disagreement that ends a green also latches.
    """
    if reading is None or history.commanded is None or not _fresh(reading.stamp.mono_ns, now_ns, limits.stale_ns):
        return Readback.UNKNOWN
    at_ns = reading.stamp.mono_ns
    if _longer(history.conflict_ns, at_ns, limits.conflict_ns):
        return Readback.DISAGREES
    if history.mismatch_ns is None or at_ns - history.changed_ns <= limits.settle_ns:
        return _AGREES
    if history.commanded is _RED or reading.coils is not history.commanded:
        return Readback.DISAGREES
    return Readback.DISAGREES if _longer(history.mismatch_ns, at_ns, limits.settle_ns) else _AGREES


def source_alive(history: History, now_ns: int, grace_ns: int) -> bool:
    """A lost source gives no new green at once; a green in force outlives it by the grace."""
    if history.source_lost_ns is None:
        return True
    return history.commanded is _GREEN and now_ns - history.source_lost_ns < grace_ns


def amber_phase(history: History, now_ns: int, amber_ns: int) -> Amber:
    """Amber is due while green shows and for `amber_ns` after it; 0 means that the head has none."""
    if amber_ns == 0:
        return Amber.NOT_FITTED
    if history.commanded is _GREEN:
        return Amber.DUE
    if history.commanded is Aspect.AMBER and now_ns - history.changed_ns < amber_ns:
        return Amber.DUE
    return Amber.PASSED


def minimum_amber_ns(v_max_kmh: float, reaction_s: float, decel_ms2: float) -> int:
    """Shortest amber a driver at `v_max_kmh` can obey: t + v / (2 a), the kinematic formula of the ITE and the MUTCD.

    `reaction_s` > 0, `decel_ms2` > 0. Rounded up to 1 ms.
    """
    seconds = reaction_s + v_max_kmh / 3.6 / (2 * decel_ms2)
    return math.ceil(seconds * 1000) * _MS


def confirmed(reading: SignalReadback | None) -> Aspect | None:
    """What feedback shows: lamps where wired, else the outputs; None while unknown or in conflict."""
    if reading is None or reading.conflict:
        return None
    return reading.coils if reading.lamps is None else reading.lamps


def _with_orders(history: History, orders: SignalOrders, occupied: bool, now_ns: int) -> History:
    """Notice clearings, the newest lease, a waiting vehicle and a lost source."""
    clears = orders.fault_cleared_seq > history.cleared_seq
    fault = None if clears else history.fault
    cleared_seq = max(history.cleared_seq, orders.fault_cleared_seq)
    newest_seq = max(history.newest_seq, orders.lease.seq if orders.lease is not None else 0)
    waiting_ns = _since(history.commanded is _GREEN and occupied, history.waiting_ns, now_ns)
    source_lost_ns = _since(not orders.source_alive, history.source_lost_ns, now_ns)
    known = (history.fault, history.cleared_seq, history.newest_seq, history.waiting_ns, history.source_lost_ns)
    if (fault, cleared_seq, newest_seq, waiting_ns, source_lost_ns) == known:
        return history  # nearly every cycle: nothing is copied
    return replace(
        history,
        fault=fault,
        changes=() if clears else history.changes,
        cleared_seq=cleared_seq,
        newest_seq=newest_seq,
        waiting_ns=waiting_ns,
        source_lost_ns=source_lost_ns,
    )


def _with_reading(history: History, reading: SignalReadback | None, limits: Limits) -> History:
    """Run the deviation timers on the reading's own stamp. A reading from before the last change says nothing."""
    if reading is None or history.commanded is None or reading.stamp.mono_ns <= history.changed_ns:
        return history
    at_ns = reading.stamp.mono_ns
    deviates = reading.conflict or reading.coils is not history.commanded or not _lamps_agree(history, reading)
    mismatch_ns = _since(deviates, history.mismatch_ns, at_ns)
    conflict_ns = _since(reading.conflict, history.conflict_ns, at_ns)
    ready = not reading.tripped and (history.ready or (history.commanded is _RED and not deviates))
    if (mismatch_ns, conflict_ns, ready) != (history.mismatch_ns, history.conflict_ns, history.ready):
        history = replace(history, mismatch_ns=mismatch_ns, conflict_ns=conflict_ns, ready=ready)
    trouble = _fault(history, reading, limits)
    fault = history.fault or trouble
    if (fault, trouble) == (history.fault, history.trouble):
        return history
    return replace(history, fault=fault, trouble=trouble)


def _with_chatter(history: History, now_ns: int, most: int) -> History:
    """A head that changes too often is latched red: whatever drives it so, no driver can follow it."""
    if history.fault is not None or len(_recent(history.changes, now_ns)) <= most:
        return history
    return replace(history, fault=SignalFault.CHATTER)


def _fault(history: History, reading: SignalReadback, limits: Limits) -> SignalFault | None:
    """The fault that this reading makes certain. Thresholds are also the point where the readback disagrees, so that
    going red in consequence cannot hide the fault."""
    at_ns = reading.stamp.mono_ns
    if reading.foreign_write and not reading.tripped:
        return SignalFault.FOREIGN_WRITE
    if _longer(history.conflict_ns, at_ns, limits.conflict_ns):
        return SignalFault.CONFLICT
    red_lamp_out = history.commanded is _RED and reading.coils is _RED and reading.lamps is Aspect.DARK
    if not _longer(history.mismatch_ns, at_ns, limits.dark_ns if red_lamp_out else limits.settle_ns):
        return None
    if history.commanded is not _GREEN and _GREEN in (reading.coils, reading.lamps):
        return SignalFault.STUCK_GREEN
    if reading.tripped:
        return None  # the module went to its safe state by itself: the session starts anew, with red
    return SignalFault.DARK if reading.lamps is Aspect.DARK else SignalFault.DISAGREES


def _can_confirm(reading: SignalReadback | None) -> bool:
    return reading is not None and reading.lamps is not None and reading.grade >= _CONTACT


def _red_long_enough(history: History, now_ns: int, limits: Limits) -> bool:
    return history.commanded is _RED and now_ns - history.changed_ns >= limits.red_min_ns


def _recent(changes: tuple[int, ...], now_ns: int) -> tuple[int, ...]:
    """Those of the last minute; they are in order."""
    return changes[bisect_right(changes, now_ns - 60 * _S) :]


def _lamps_agree(history: History, reading: SignalReadback) -> bool:
    return reading.lamps is None or reading.lamps is history.commanded


def _overdue_now(history: History, now_ns: int, limits: Limits) -> bool:
    """Green has lasted its maximum, or somebody stands on the stop loop under green and does not move off."""
    if history.commanded is not _GREEN:
        return False
    stalled = history.waiting_ns is not None and now_ns - history.waiting_ns >= limits.stall_ns
    return stalled or now_ns - history.changed_ns >= limits.green_max_ns


def _since(holds: bool, since_ns: int | None, now_ns: int) -> int | None:
    """Start of an uninterrupted condition: kept while it holds, None when it does not."""
    if not holds:
        return None
    return now_ns if since_ns is None else since_ns


def _longer(since_ns: int | None, now_ns: int, limit_ns: int) -> bool:
    return since_ns is not None and now_ns - since_ns > limit_ns


def _fresh(stamp_ns: int, now_ns: int, stale_ns: int) -> bool:
    return now_ns - stamp_ns <= stale_ns
