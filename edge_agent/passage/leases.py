"""The lease for green: granted to exactly one vehicle, refreshed while nothing is against it, withdrawn otherwise."""

from drivers.api import Aspect
from edge_agent.model.conveyance import Flag, SignalEvent
from edge_agent.model.decision import Authority, Decision, Lease
from edge_agent.model.effects import GrantLease, Severity, WithdrawLease
from edge_agent.model.lane import LaneMode, LanePolicy, Zone
from edge_agent.model.records import replace

from .causes import Cause, causes
from .codes import CauseCode, EventCode
from .decisions import effective
from .kinematics import NS, commit_time_ns, course_of, excuse_ns, may_be_committed
from .state import NEVER, LaneState, LeaseHeld, Track
from .turn import Turn

PROCEED = frozenset({Aspect.GREEN, Aspect.AMBER})
CONSUMED = frozenset({"nose_over_line", "already_crossed"})
"""Rulings that answer the crossing itself: red shown because of it is not the red it was made on."""
LIT_GRACE_NS = NS // 5
"""A green that was on its way to the head when its vehicle came inside C(v) is told within it."""
REVOCATIONS = frozenset({CauseCode.NOT_RELEASED, CauseCode.HOLD, CauseCode.LANE_HOLD})
"""Somebody took the release back: inside C(v) that is a late revocation."""


def review_lease(turn: Turn) -> None:
    """Bring the lease in line with everything known now."""
    held = turn.state.held
    if held is not None:
        _review_held(turn, held)
    if turn.state.held is None:
        track = turn.state.first_upstream
        if track is not None and not causes(turn.state, track, turn.now_ns, None):
            _grant(turn, track, None)


def withdraw(turn: Turn, reason: str, *, immediate: bool, code: CauseCode | None = None, excuse: bool = True) -> None:
    """No lease is in force from now on. A vehicle that can no longer stop is excused for the crossing to come, unless
    it was shown no green (`excuse` False)."""
    held = turn.state.held
    if held is None:
        return
    turn.state = replace(turn.state, held=None)
    turn.effects.append(WithdrawLease(turn.at, held.lease.seq, reason, immediate))
    track = turn.state.track(held.lease.conveyance_id)
    if track is None:
        return
    turn.event(EventCode.WITHDRAWN, Severity.INFO, track.id, reason=reason, seq=held.lease.seq)
    track = turn.put_conveyance(track, replace(track.conveyance, lease=None))
    if track.upstream and excuse:
        _excuse(turn, track, code)
        # Its driver may have moved off on the green: whether it stands must be seen anew, from now on.
        turn.put(replace(turn.state.track(track.id) or track, standing=None, lost_ns=turn.now_ns))


def _excuse(turn: Turn, track: Track, code: CauseCode | None) -> None:
    """Inside C(v) the driver cannot stop: the crossing is not a violation, and central is told at once."""
    revoked = code in REVOCATIONS
    committed = track.conveyance.committed is not None
    config = turn.state.config
    # A mean speed between two zones with a stop in it says nothing of the speed now: who may be inside is excused.
    if committed or may_be_committed(track.fixes, turn.now_ns, config.geometry, config.kinematics):
        until_ns = turn.now_ns + excuse_ns(config.kinematics, standing=track.standing is not None)
        track = turn.put(replace(track, excused_ns=until_ns))
        turn.state = replace(turn.state, excused_ns=until_ns)
    if not revoked:
        return
    if committed and track.standing is None:
        turn.flag(track, Flag.LATE_REVOCATION)
        turn.event(EventCode.LATE_REVOCATION, Severity.ALARM, track.id, action="intercept_downstream")
    elif code is CauseCode.NOT_RELEASED:
        turn.flag(track, Flag.REVOKED)
        turn.event(EventCode.REVOKED, Severity.WARNING, track.id)


def _review_held(turn: Turn, held: LeaseHeld) -> None:
    state = turn.state
    track = state.first_upstream
    if track is None or track.id != held.lease.conveyance_id or state.zones.session != held.lease.input_session:
        withdraw(turn, "not_first_or_inputs_restarted", immediate=True)
        return
    if _ended_by_head(held, track):
        withdraw(turn, "ended_by_the_head", immediate=True)
        return
    if turn.now_ns >= late_due_ns(state, held):
        if held.late_ns:
            withdraw(turn, "not_lit_in_time", immediate=True, excuse=False)
            return
        held = replace(held, late_ns=turn.now_ns)
        turn.state = state = replace(state, held=held)
    if _stalled(turn, held, track):
        return
    against = causes(state, track, turn.now_ns, held)
    if against:
        _end(turn, against)
        return
    decision = effective(track, turn.now_ns)
    assert decision is not None
    another = decision.decision_id != held.lease.decision_id
    if another or (turn.now_ns >= half_time_ns(held) and _deadline_ns(turn, decision) > held.lease.deadline_mono_ns):
        _grant(turn, track, held)


def _ended_by_head(held: LeaseHeld, track: Track) -> bool:
    """Whether the head has shown this lease's green and shows it no more, for a reason of its own, a failed exchange
    say. What it would show again on a renewal is a new green, and is granted as one."""
    shown = _shown(held, track)
    if not any(signal.commanded in PROCEED for signal in shown):
        return False
    return shown[-1].commanded not in PROCEED and shown[-1].reason not in CONSUMED


def _shown(held: LeaseHeld, track: Track) -> list[SignalEvent]:
    """What the head was told for this vehicle since it has had a lease."""
    since_ns = held.first.mono_ns
    return [signal for signal in track.conveyance.signals if signal.at.mono_ns >= since_ns]


def late_due_ns(state: LaneState, held: LeaseHeld) -> int:
    """When a rolling lease whose green has not been shown comes too late: first the green must not begin any more, then
    the lease ends. The commit distance counts from where green can be lit, not from where the lease was granted: a
    barrier arm may take seconds to rise. NEVER once it was lit or while nothing is known of the head, and for a vehicle
    that stands."""
    track = state.track(held.lease.conveyance_id)
    if held.lease.standing or state.signal is None or track is None:
        return NEVER
    if any(signal.commanded in PROCEED for signal in _shown(held, track)):
        return NEVER
    if held.late_ns:
        return held.late_ns + LIT_GRACE_NS
    config = state.config
    course = course_of(track.fixes, track.conveyance.speed_kmh, config.geometry, config.kinematics)
    due = commit_time_ns(course, config.kinematics, 0.0) if course is not None else None
    return NEVER if due is None else due


def _end(turn: Turn, against: tuple[Cause, ...]) -> None:
    """The first cause names the reason; red at once if any of them asks for it."""
    withdraw(
        turn, against[0].code.value.lower(), immediate=any(cause.immediate for cause in against), code=against[0].code
    )


def _stalled(turn: Turn, held: LeaseHeld, track: Track) -> bool:
    """Green has lasted its maximum, or the vehicle has stood at the line with it: it needs a new release."""
    if turn.now_ns < worn_due_ns(turn.state.config.policy, held, track):
        return False
    withdraw(turn, "stalled_after_green", immediate=False)
    track = turn.state.track(track.id) or track
    turn.flag(turn.put(replace(track, worn_ns=turn.now_ns)), Flag.STALLED_AFTER_GREEN)
    turn.event(EventCode.STALLED, Severity.WARNING, track.id)
    return True


def worn_due_ns(policy: LanePolicy, held: LeaseHeld, track: Track) -> int:
    """When the green in force has lasted too long: `green_max_s` since it was given, or `stall_after_green_s` at the
    line with it."""
    first = held.first.mono_ns
    longest = first + int(policy.green_max_s * NS)
    loop = track.fixes.s_loop if Zone.S in track.over else None
    return longest if loop is None else min(longest, max(first, loop.mono_ns) + int(policy.stall_after_green_s * NS))


def half_time_ns(held: LeaseHeld) -> int:
    """When the lease is due for refreshment."""
    return held.granted.mono_ns + (held.lease.deadline_mono_ns - held.granted.mono_ns) // 2


def _deadline_ns(turn: Turn, decision: Decision) -> int:
    return min(decision.deadline_mono_ns, turn.now_ns + int(turn.state.config.policy.lease_ttl_s * NS))


def _grant(turn: Turn, track: Track, held: LeaseHeld | None) -> None:
    """Grant, or refresh: a new lease with a higher sequence takes the place of the old one."""
    state = turn.state
    decision = effective(track, turn.now_ns)
    assert decision is not None
    seq = state.lease_seq + 1
    rolling = state.mode is LaneMode.REMOTE and state.order.known and track.standing is None
    lease = Lease(
        conveyance_id=track.id,
        seq=seq,
        deadline_mono_ns=_deadline_ns(turn, decision),
        standing=held.lease.standing if held is not None else not rolling,
        authority=decision.authority,
        decision_id=decision.decision_id,
        beam_edges=state.zones.edges.get(Zone.BEAM, 0),
        input_session=state.zones.session,
    )
    first = held.first if held is not None else turn.at
    late_ns = held.late_ns if held is not None else 0
    turn.state = replace(state, lease_seq=seq, held=LeaseHeld(lease, turn.at, first, late_ns))
    conveyance = replace(track.conveyance, lease=lease, granted=track.conveyance.granted or turn.at)
    turn.put(replace(track, conveyance=conveyance, excused_ns=0))
    turn.effects.append(GrantLease(turn.at, lease))
    if held is None:
        officer = decision.authority is not Authority.SYSTEM
        turn.event(
            EventCode.GRANTED, Severity.INFO, track.id, seq=seq, standing=int(lease.standing), officer=int(officer)
        )
