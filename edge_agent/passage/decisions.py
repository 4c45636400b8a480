"""Decisions and revisions: which are taken, and which one is in effect for a vehicle."""

from edge_agent.model.conveyance import Flag
from edge_agent.model.decision import Authority, Decision, Verdict
from edge_agent.model.effects import AddSupplement, Severity
from edge_agent.model.inputs import DecisionReceived
from edge_agent.model.records import replace

from .codes import EventCode
from .state import Track
from .turn import Turn


def effective(track: Track, now_ns: int) -> Decision | None:
    """The decision in effect, live or expired; None when nothing binds the vehicle's present identity.

    An officer's refusal or referral stands whatever central says; an officer's release stands until central refuses
    later, its identity changes or its time is over. What central said before an officer's refusal or referral is over
    with it: it does not come back when a later release of an officer's has lapsed. Among central's, the highest
    revision is the last one taken."""
    taken = track.conveyance.decisions[track.decisions_from :]
    if not taken:
        return None
    officer = next((d for d in reversed(taken) if d.authority is not Authority.SYSTEM), None)
    system = next((d for d in reversed(taken) if d.authority is Authority.SYSTEM), None)
    if officer is not None and officer.verdict is not Verdict.RELEASE:
        return officer
    if system is not None and (system.identity_digest != track.digest or _overruled(system, taken)):
        system = None
    if officer is None or officer.identity_digest != track.digest:
        return system
    if system is None:
        return officer
    refused_since = system.verdict is not Verdict.RELEASE and system.received.mono_ns > officer.received.mono_ns
    return system if refused_since or officer.deadline_mono_ns <= now_ns else officer


def _overruled(system: Decision, taken: tuple[Decision, ...]) -> bool:
    """Whether an officer has sent the vehicle elsewhere since."""
    officers = (d for d in taken if d.authority is not Authority.SYSTEM and d.verdict is not Verdict.RELEASE)
    return any(d.received.mono_ns >= system.received.mono_ns for d in officers)


def on_decision(turn: Turn, event: DecisionReceived) -> None:
    """Take a decision from the release service, or ignore it with an event that says why."""
    decision = event.decision
    track = turn.state.track(decision.conveyance_id)
    if track is None:
        _after_sealing(turn, decision)
        return
    mine = track.conveyance.decisions
    if any(d.decision_id == decision.decision_id for d in mine):
        return
    reason = _refusal(track, decision, turn.now_ns)
    if reason:
        turn.event(
            EventCode.DECISION_IGNORED, Severity.WARNING, track.id, reason=reason, revision=decision.revision,
            verdict=decision.verdict.value,
        )  # fmt: skip
        return
    track = turn.put_conveyance(track, replace(track.conveyance, decisions=(*mine, decision)))
    turn.event(
        EventCode.DECISION_ACCEPTED, Severity.INFO, track.id, revision=decision.revision,
        verdict=decision.verdict.value, authority=decision.authority.value,
    )  # fmt: skip
    if not track.upstream:
        if decision.verdict is not Verdict.RELEASE and (track.rolled or track.stood):
            turn.flag(track, Flag.LATE_REVOCATION)
            turn.event(EventCode.LATE_REVOCATION, Severity.ALARM, track.id, action="intercept_downstream")
        return
    if decision.verdict is not Verdict.NO_DECISION:
        track = turn.put(replace(track, unanswered=0, again_ns=0))
    if (
        decision.verdict is Verdict.RELEASE
        and track.conveyance.committed is not None
        and track.conveyance.granted is None
        and Flag.LATE not in track.conveyance.flags
    ):
        turn.flag(track, Flag.LATE)
        turn.event(EventCode.DECISION_LATE, Severity.WARNING, track.id)


def _refusal(track: Track, decision: Decision, now_ns: int) -> str:
    """Why a decision is not taken; empty when it is."""
    if decision.authority is not Authority.SYSTEM:
        return "officers_act_through_the_lane"
    if decision.identity_digest != track.digest:
        return "identity_digest"
    system = [d for d in track.conveyance.decisions[track.decisions_from :] if d.authority is Authority.SYSTEM]
    if system and not _supersedes(decision, system[-1], track, now_ns):
        return "revision"
    if decision.verdict is Verdict.RELEASE and decision.deadline_mono_ns <= now_ns:
        return "expired"
    return ""


def _supersedes(decision: Decision, last: Decision, track: Track, now_ns: int) -> bool:
    """Higher revisions do. An equal one only as the answer to a later request, when the last one is dead anyway."""
    dead = last.identity_digest != track.digest or last.deadline_mono_ns <= now_ns
    answers_later = dead and decision.echoed_mono_ns > last.echoed_mono_ns
    return decision.revision > last.revision or (decision.revision == last.revision and answers_later)


def _after_sealing(turn: Turn, decision: Decision) -> None:
    """A revision for a sealed passage becomes a supplement; one for nobody is an event."""
    sealed = next((s for s in turn.state.sealed if s.conveyance_id == decision.conveyance_id), None)
    if sealed is None:
        turn.event(EventCode.DECISION_IGNORED, Severity.WARNING, decision.conveyance_id, reason="unknown_conveyance")
        return
    if decision.revision <= sealed.highest_revision:
        return
    noted = replace(sealed, highest_revision=decision.revision)
    turn.state = replace(
        turn.state, sealed=tuple(noted if s.conveyance_id == noted.conveyance_id else s for s in turn.state.sealed)
    )
    facts = (
        ("decision_id", decision.decision_id),
        ("revision", str(decision.revision)),
        ("verdict", decision.verdict.value),
        ("authority", decision.authority.value),
        ("basis", decision.basis),
    )
    turn.effects.append(AddSupplement(turn.at, sealed.bundle_id, "late_revision", facts))
    if decision.verdict is not Verdict.RELEASE:
        turn.event(EventCode.LATE_REVOCATION, Severity.ALARM, decision.conveyance_id, action="intercept_downstream")
