"""Officers' acts: who may do what, on what they were shown, answered exactly once each time they arrive."""

from collections.abc import Callable

from edge_agent.model.conveyance import Intervention
from edge_agent.model.decision import ActKind, ActResult, Authority, Decision, Hold, OfficerAct, Role, Verdict
from edge_agent.model.effects import AnswerAct, Severity
from edge_agent.model.inputs import ActReceived
from edge_agent.model.lane import LaneMode
from edge_agent.model.presence import standing_only
from edge_agent.model.records import replace

from .causes import lane_causes
from .codes import EventCode
from .confirm import confirm_order
from .etag import etag_of, lane_etag, what_changed, what_moved
from .lane_control import give_control, take_control, without_control
from .maintenance import delete_capture, maintain, start_capture, stop_capture
from .reply import Reply
from .state import Answered, Silence, Track
from .turn import Turn

REMEMBERED = 256
"""Acts whose repeat is answered as the first time."""
DIRECTIONS = frozenset({Verdict.HOLD_AT_LINE, Verdict.REFER_SECONDARY, Verdict.REFUSE_RETURN, Verdict.MANUAL_LANE})
_REASON_MAX = 400
SETTABLE = frozenset(LaneMode) - {LaneMode.FAULT}
RESTRICTING = frozenset({LaneMode.CLOSED, LaneMode.DEGRADED, LaneMode.ALL_HOLD, LaneMode.MAINTENANCE})
"""Modes that a technician may set too: none of them lets a vehicle roll."""

MAY: dict[ActKind, frozenset[Role]] = {
    ActKind.RELEASE_CONVEYANCE: frozenset({Role.OFFICER}),
    ActKind.REFER_CONVEYANCE: frozenset({Role.OFFICER}),
    ActKind.DIRECT_CONVEYANCE: frozenset({Role.OFFICER}),
    ActKind.CONFIRM_ORDER: frozenset({Role.OFFICER}),
    ActKind.SET_MODE: frozenset({Role.OFFICER, Role.TECHNICIAN}),
    ActKind.CLEAR_FAULT: frozenset({Role.OFFICER, Role.TECHNICIAN}),
    ActKind.TEST_SIGNAL: frozenset({Role.OFFICER, Role.TECHNICIAN}),
    ActKind.TEST_KILL: frozenset({Role.OFFICER, Role.TECHNICIAN}),
    ActKind.ACKNOWLEDGE: frozenset({Role.OFFICER, Role.TECHNICIAN}),
    ActKind.SILENCE: frozenset({Role.OFFICER, Role.TECHNICIAN}),
    ActKind.START_CAPTURE: frozenset({Role.TECHNICIAN}),
    ActKind.STOP_CAPTURE: frozenset({Role.TECHNICIAN}),
    ActKind.DELETE_CAPTURE: frozenset({Role.TECHNICIAN}),
    ActKind.TAKE_CONTROL: frozenset({Role.OFFICER}),
    ActKind.GIVE_CONTROL: frozenset({Role.OFFICER}),
}
"""Who may do what. HOLD is for anybody; clearing one is for those the hold itself names."""


def on_act(turn: Turn, event: ActReceived) -> None:
    """Carry out one act, record it on the vehicles concerned and answer it."""
    act = event.act
    earlier = next((a for a in turn.state.answered if a.request_id == act.request_id), None)
    if earlier is not None:
        _repeat(turn, act, earlier)
        return
    before = turn.state.track(act.conveyance_id)
    reply = _judge(turn, act)
    after = turn.state.track(act.conveyance_id)
    etag = etag_of(after.conveyance) if after is not None else ""
    answered = Answered(
        act.request_id, act.kind, reply.result, reply.message, etag, reply.may_clear, reply.refused, reply.controlled_by
    )
    turn.state = replace(turn.state, answered=(*turn.state.answered, answered)[-REMEMBERED:])
    _record(turn, act, reply, before)
    turn.effects.append(_answer(turn, answered))


def _repeat(turn: Turn, act: OfficerAct, earlier: Answered) -> None:
    if earlier.kind is not act.kind:
        message = "this request_id was used for another act"
        turn.effects.append(AnswerAct(turn.at, act.request_id, ActResult.INVALID_ARGUMENT, message, ""))
        return
    turn.effects.append(_answer(turn, earlier))


def _answer(turn: Turn, given: Answered) -> AnswerAct:
    return AnswerAct(
        turn.at, given.request_id, given.result, given.message, given.etag, given.may_clear, given.refused,
        given.controlled_by,
    )  # fmt: skip


def _judge(turn: Turn, act: OfficerAct) -> Reply:
    if not act.request_id:
        return Reply(ActResult.INVALID_ARGUMENT, "request_id is missing")
    allowed = MAY.get(act.kind)
    if allowed is not None and act.role not in allowed:
        names = ", ".join(sorted(role.value for role in allowed))
        return Reply(ActResult.PERMISSION_DENIED, f"{act.kind.value} needs one of: {names}")
    return without_control(turn.state, act) or HANDLERS[act.kind](turn, act)


def _record(turn: Turn, act: OfficerAct, reply: Reply, before: Track | None) -> None:
    """Write the act on the vehicle it names, or on every vehicle in the lane; one refused is recorded too."""
    note = _note(turn, act, reply.result)
    named = turn.state.track(act.conveyance_id)
    concerned = turn.state.tracks if not act.conveyance_id else ((named,) if named is not None else ())
    for track in concerned:
        turn.put_conveyance(track, replace(track.conveyance, interventions=(*track.conveyance.interventions, note)))
    severity = Severity.INFO if reply.result is ActResult.OK else Severity.WARNING
    turn.event(
        EventCode.ACT, severity, before.id if before is not None else act.conveyance_id, act=act.kind.value,
        officer=act.officer, role=act.role.value, result=reply.result.value, request_id=act.request_id,
    )  # fmt: skip


def _note(turn: Turn, act: OfficerAct, result: ActResult) -> Intervention:
    return Intervention(turn.at, act.kind.value, act.officer, act.role.value, act.request_id, result.value, act.reason)


def _hold(turn: Turn, act: OfficerAct, earlier: Hold | None) -> Hold:
    """Anybody may hold; only officers clear a hold. A second one adds its reason and hides nothing of the first."""
    if earlier is None:
        return Hold(turn.at, act.officer, act.role, act.reason, (Role.OFFICER,))
    also = f"also held by {act.officer}: {act.reason}" if act.reason else f"also held by {act.officer}"
    said = also in earlier.reason or (act.officer == earlier.by and act.reason in ("", earlier.reason))
    reason = earlier.reason if said else "; ".join(filter(None, (earlier.reason, also)))[:_REASON_MAX]
    return replace(earlier, reason=reason, times=earlier.times + 1)


def _hold_lane(turn: Turn, act: OfficerAct) -> Reply:
    hold = _hold(turn, act, turn.state.hold)
    turn.state = replace(turn.state, hold=hold)
    return Reply(ActResult.OK, "lane held", tuple(role.value for role in hold.clear_roles))


def _hold_conveyance(turn: Turn, act: OfficerAct) -> Reply:
    track = turn.state.track(act.conveyance_id)
    if track is None:
        return Reply(ActResult.NOT_FOUND, "no such vehicle in the lane")
    hold = _hold(turn, act, track.conveyance.hold)
    turn.put_conveyance(track, replace(track.conveyance, hold=hold))
    return Reply(ActResult.OK, "vehicle held", tuple(role.value for role in hold.clear_roles))


def _clear_hold(turn: Turn, act: OfficerAct) -> Reply:
    track = turn.state.track(act.conveyance_id)
    if act.conveyance_id and track is None:
        return Reply(ActResult.NOT_FOUND, "no such vehicle in the lane")
    hold = turn.state.hold if track is None else track.conveyance.hold
    if hold is None:
        return Reply(ActResult.OK, "no hold is in force")
    roles = tuple(role.value for role in hold.clear_roles)
    if act.role not in hold.clear_roles:
        return Reply(ActResult.PERMISSION_DENIED, f"this hold is cleared by: {', '.join(roles)}", roles)
    if act.etag not in ("", hold.etag):
        return Reply(ActResult.FAILED_PRECONDITION, "somebody has held again since it was shown: look again", roles)
    if track is not None:
        turn.put_conveyance(track, replace(track.conveyance, hold=None))
        return Reply(ActResult.OK, "vehicle no longer held")
    turn.state = replace(turn.state, hold=None)
    return Reply(ActResult.OK, "lane no longer held")


def _seen(turn: Turn, act: OfficerAct) -> tuple[Track | None, Reply | None]:
    """The vehicle an act names, unless it is not what the officer was shown any more."""
    track = turn.state.track(act.conveyance_id)
    if track is None:
        return None, Reply(ActResult.NOT_FOUND, "no such vehicle in the lane")
    changed = what_changed(track, act)
    if changed:
        return None, Reply(ActResult.FAILED_PRECONDITION, changed)
    if not track.upstream:
        return None, Reply(ActResult.FAILED_PRECONDITION, "the vehicle has crossed the stop line")
    return track, None


def _decide(turn: Turn, track: Track, act: OfficerAct, verdict: Verdict, ttl_s: float) -> None:
    """An officer's decision binds vehicle and identity like any other."""
    officer = [d for d in track.conveyance.decisions if d.authority is not Authority.SYSTEM]
    decision = Decision(
        decision_id=turn.mint(),
        conveyance_id=track.id,
        revision=len(officer) + 1,
        verdict=verdict,
        authority=Authority.BSO,
        identity_digest=track.digest,
        echoed_mono_ns=turn.now_ns,
        ttl_ms=int(ttl_s * 1000),
        issued_utc_ns=turn.at.utc_ns,
        received=turn.at,
        basis=act.reason,
        referral=act.referral,
        officer=act.officer,
    )
    directed = verdict in DIRECTIONS - {Verdict.HOLD_AT_LINE}
    conveyance = replace(track.conveyance, decisions=(*track.conveyance.decisions, decision))
    turn.put(replace(track, conveyance=conveyance, directed=directed, directed_before=False))


def _release(turn: Turn, act: OfficerAct) -> Reply:
    track, refused = _seen(turn, act)
    if track is None:
        assert refused is not None
        return refused
    hold = track.conveyance.hold
    if hold is not None:
        return Reply(ActResult.FAILED_PRECONDITION, f"the vehicle is held by {hold.by}; clear the hold first")
    against = next(lane_causes(turn.state), None)
    if against is not None:
        return Reply(ActResult.FAILED_PRECONDITION, against.text)
    longest = turn.state.config.policy.officer_lease_s
    _decide(turn, track, act, Verdict.RELEASE, min(act.lease_s, longest) if act.lease_s > 0 else longest)
    return Reply(ActResult.OK, f"released; {_place_note(turn, track)}")


def _place_note(turn: Turn, track: Track) -> str:
    first = turn.state.first_upstream
    if first is None or first.id != track.id:
        return "green follows when it is first at the stop line"
    return "green follows as soon as the interlock allows"


def _refer(turn: Turn, act: OfficerAct) -> Reply:
    track, refused = _seen(turn, act)
    if track is None:
        assert refused is not None
        return refused
    _decide(turn, track, act, Verdict.REFER_SECONDARY, turn.state.config.policy.officer_lease_s)
    return Reply(ActResult.OK, "referred to secondary")


def _direct(turn: Turn, act: OfficerAct) -> Reply:
    if act.verdict not in DIRECTIONS:
        names = ", ".join(sorted(verdict.value for verdict in DIRECTIONS))
        return Reply(ActResult.INVALID_ARGUMENT, f"verdict must be one of: {names}")
    track = turn.state.track(act.conveyance_id)
    if track is None or not track.upstream:
        return Reply(ActResult.NOT_FOUND, "no such vehicle upstream of the stop line")
    if act.etag and (changed := what_moved(track, act)):
        return Reply(ActResult.FAILED_PRECONDITION, changed)
    _decide(turn, track, act, act.verdict, turn.state.config.policy.officer_lease_s)
    return Reply(ActResult.OK, f"directed: {act.verdict.value}")


def _set_mode(turn: Turn, act: OfficerAct) -> Reply:
    mode = next((mode for mode in SETTABLE if mode.value == act.mode), None)
    if mode is None:
        names = ", ".join(sorted(mode.value for mode in SETTABLE))
        return Reply(ActResult.INVALID_ARGUMENT, f"mode must be one of: {names}")
    if mode is LaneMode.MAINTENANCE:
        return maintain(turn, act)
    fault = turn.state.fault
    if fault is not None and mode is not LaneMode.CLOSED:
        way = "close the lane, test the signal and clear the fault first"
        return Reply(ActResult.FAILED_PRECONDITION, f"signal fault {fault.code}: {way}")
    if turn.state.maintenance is not None and mode is not LaneMode.CLOSED:
        work = turn.state.maintenance
        return Reply(ActResult.FAILED_PRECONDITION, f"{work.by} works at the lane: set it closed first, then {mode}")
    if act.role is not Role.OFFICER and mode not in RESTRICTING:
        return Reply(ActResult.PERMISSION_DENIED, f"mode {mode.value} is for officers")
    layout = turn.state.config.geometry.layout
    if mode is LaneMode.REMOTE and standing_only(layout):
        text = f"no rolling release with the layout {layout.value}: {standing_only(layout)}; mode attended"
        return Reply(ActResult.FAILED_PRECONDITION, text)
    if mode is LaneMode.REMOTE and not turn.state.store.up:
        return Reply(ActResult.FAILED_PRECONDITION, f"store is not well ({turn.state.store.code}): no rolling release")
    if mode is LaneMode.REMOTE and not turn.state.commissioned.up:
        way = "close the lane, then lanectl commission"
        return Reply(ActResult.FAILED_PRECONDITION, f"no rolling release: {turn.state.commissioned.code}; {way}")
    turn.state = replace(turn.state, wanted_mode=mode, mode_planned=mode is not LaneMode.ALL_HOLD, maintenance=None)
    return Reply(ActResult.OK, f"mode {mode.value} is set")


def _clear_fault(turn: Turn, act: OfficerAct) -> Reply:
    """After a passed signal test, which needs a closed lane: it stays closed until an officer opens it."""
    fault = turn.state.fault
    if fault is None and turn.state.barrier_fault is not None:
        return _clear_arm(turn, act)
    if fault is None:
        return Reply(ActResult.OK, "no fault is latched")
    if turn.state.tested is None:
        way = "close the lane, then lanectl signal-test" if not turn.state.closed_and_empty else "lanectl signal-test"
        return Reply(ActResult.FAILED_PRECONDITION, f"no signal test was passed since {fault.code}: {way}")
    kept = turn.state.wanted_mode is LaneMode.MAINTENANCE
    mode = LaneMode.MAINTENANCE if kept else LaneMode.CLOSED
    turn.state = replace(turn.state, fault=None, tested=None, wanted_mode=mode, mode_planned=True)
    turn.event(EventCode.SIGNAL_FAULT, Severity.INFO, fault="", cleared_by=act.officer)
    return Reply(ActResult.OK, "fault cleared; the lane is closed until an officer opens it")


def _test_head(turn: Turn, act: OfficerAct) -> Reply:
    """Whether a test of the head may begin: it shows green to nobody, so nobody may be there."""
    state, shut = turn.state, (LaneMode.CLOSED, LaneMode.MAINTENANCE)
    against = (
        (not act.lane_empty, "somebody at the lane must see that it is empty and closed off (lane_empty)"),
        (state.wanted_mode not in shut, "close the lane first (lanectl mode closed)"),
        (state.hold is not None, "the lane is held: an officer clears the hold first"),
        (bool(state.tracks), f"{len(state.tracks)} vehicle(s) in the lane: lead them out, or an officer confirms it"),
        (not state.zones.fresh, "zone inputs are not known"),
        (any(state.zones.levels.values()), "a zone is occupied"),
    )
    for applies, text in against:
        if applies:
            return Reply(ActResult.FAILED_PRECONDITION, text)
    return Reply(ActResult.OK, "the test may begin")


def _clear_arm(turn: Turn, act: OfficerAct) -> Reply:
    """The arm's fault is over when a person says so, who has looked at the arm."""
    turn.state = replace(turn.state, barrier_fault=None, barrier_cleared=turn.state.barrier_cleared + 1)
    turn.event(EventCode.BARRIER_FAULT, Severity.INFO, fault="", cleared_by=act.officer)
    return Reply(ActResult.OK, "the fault of the barrier arm is cleared")


def _confirm(turn: Turn, act: OfficerAct) -> Reply:
    # A vehicle that came after the officer looked must not be sealed as one that is not there.
    if act.etag and act.etag != lane_etag(turn.state):
        return Reply(ActResult.FAILED_PRECONDITION, "the lane has changed since it was shown: look again")
    refusal = confirm_order(turn, act.confirmed_order, _note(turn, act, ActResult.OK))
    if refusal:
        return Reply(ActResult.FAILED_PRECONDITION, refusal)
    return Reply(ActResult.OK, f"order confirmed: {len(act.confirmed_order)} vehicle(s)")


def _acknowledge(_turn: Turn, act: OfficerAct) -> Reply:
    if not act.condition:
        return Reply(ActResult.INVALID_ARGUMENT, "condition is missing")
    return Reply(ActResult.OK, f"{act.condition} acknowledged")


def _silence(turn: Turn, act: OfficerAct) -> Reply:
    turn.state = replace(turn.state, silenced=Silence(turn.at, act.officer))
    return Reply(ActResult.OK, "silenced until the next violation")


HANDLERS: dict[ActKind, Callable[[Turn, OfficerAct], Reply]] = {
    ActKind.HOLD_LANE: _hold_lane,
    ActKind.CLEAR_HOLD: _clear_hold,
    ActKind.HOLD_CONVEYANCE: _hold_conveyance,
    ActKind.RELEASE_CONVEYANCE: _release,
    ActKind.REFER_CONVEYANCE: _refer,
    ActKind.DIRECT_CONVEYANCE: _direct,
    ActKind.ACKNOWLEDGE: _acknowledge,
    ActKind.SILENCE: _silence,
    ActKind.CONFIRM_ORDER: _confirm,
    ActKind.SET_MODE: _set_mode,
    ActKind.CLEAR_FAULT: _clear_fault,
    ActKind.START_CAPTURE: start_capture,
    ActKind.STOP_CAPTURE: stop_capture,
    ActKind.DELETE_CAPTURE: delete_capture,
    ActKind.TEST_SIGNAL: _test_head,
    ActKind.TEST_KILL: _test_head,
    ActKind.TAKE_CONTROL: take_control,
    ActKind.GIVE_CONTROL: give_control,
}
