"""When to ask the release service, and when to ask again."""

from edge_agent.model.conveyance import Flag, RequestMade
from edge_agent.model.decision import Verdict
from edge_agent.model.effects import AskRelease, Severity
from edge_agent.model.lane import Zone
from edge_agent.model.records import replace

from .codes import EventCode
from .decisions import effective
from .kinematics import NS
from .legs import claim_keys, missing_legs
from .state import RANK, Track
from .turn import Turn

DECIDE = RANK[Zone.D]
PATIENCE = 8
"""Unanswered requests in a row after which only new evidence or a new link to central makes the core ask again."""


def review_requests(turn: Turn) -> None:
    """Ask for every vehicle upstream of the stop line that needs asking for now."""
    for track in turn.each():
        if track.upstream:
            _review(turn, track)


def ask_all_again(turn: Turn) -> None:
    """The link to central is back: ask at once for every vehicle without a live answer."""
    for track in turn.each():
        if track.upstream and track.asked is not None and _needs_answer(track, turn.now_ns):
            turn.put(replace(track, again_ns=turn.now_ns, unanswered=0))


def request_due_ns(turn: Turn, track: Track) -> int:
    """When this vehicle is to be asked for; 1 << 62 when nothing is due."""
    policy = turn.state.config.policy
    complete = not missing_legs(track.conveyance, policy)
    if track.asked is None:
        return turn.now_ns if complete or track.reached >= DECIDE else 1 << 62
    due = track.again_ns or 1 << 62
    if claim_keys(track.conveyance) != track.asked:
        settled = track.claims_changed_ns + int(policy.debounce_s * NS)
        due = min(due, turn.now_ns if complete and not track.asked_complete else settled)
    return due


def _needs_answer(track: Track, now_ns: int) -> bool:
    decision = effective(track, now_ns)
    if decision is None or decision.verdict is Verdict.NO_DECISION:
        return True
    return decision.verdict is Verdict.RELEASE and decision.deadline_mono_ns <= now_ns


def _review(turn: Turn, track: Track) -> None:
    decision = effective(track, turn.now_ns)
    expired = (
        decision is not None
        and decision.verdict is Verdict.RELEASE
        and decision.deadline_mono_ns <= turn.now_ns
        and track.again_ns == 0
        and track.unanswered == 0
        and track.asked is not None
    )
    if expired:
        turn.event(EventCode.DECISION_EXPIRED, Severity.WARNING, track.id)
        track = turn.put(replace(track, again_ns=turn.now_ns))
    if request_due_ns(turn, track) > turn.now_ns:
        return
    if track.again_ns and not turn.state.centre.up and track.asked == claim_keys(track.conveyance):
        turn.put(replace(track, again_ns=0, unanswered=PATIENCE))  # the link coming back asks again
        return
    if track.unanswered >= PATIENCE and track.asked == claim_keys(track.conveyance):
        turn.put(replace(track, again_ns=0))
        turn.event(EventCode.NO_ANSWER, Severity.ALARM, track.id, requests=len(track.conveyance.requests))
        return
    _ask(turn, track)


def _ask(turn: Turn, track: Track) -> None:
    """Send a request with everything known now; its revision counts the requests for this vehicle."""
    policy = turn.state.config.policy
    conveyance = track.conveyance
    complete = not missing_legs(conveyance, policy)
    revision = conveyance.requests[-1].revision + 1 if conveyance.requests else 1
    made = RequestMade(turn.at, revision, track.digest, complete)
    pause_s = policy.request_ttl_s * (1 << min(track.unanswered, 3))
    keys = claim_keys(conveyance)
    track = turn.put(
        replace(
            track,
            conveyance=replace(conveyance, requests=(*conveyance.requests, made)),
            asked=keys,
            asked_complete=complete,
            unanswered=track.unanswered + 1,
            again_ns=turn.now_ns + int(pause_s * NS),
            request_open=True,
        )
    )
    turn.effects.append(AskRelease(turn.at, track.id, revision, track.digest, conveyance.assignments, complete))
    if not keys and Flag.NO_TAG not in conveyance.flags:
        turn.flag(track, Flag.NO_TAG)
        turn.event(EventCode.NO_TAG, Severity.WARNING, track.id)
