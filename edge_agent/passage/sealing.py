"""The end of a passage: its outcome, its one bundle, and those that end without an exit."""

from edge_agent.model.conveyance import Conveyance, Flag, Outcome, Phase
from edge_agent.model.decision import Authority, Decision, Verdict
from edge_agent.model.effects import SealBundle, Severity, WithdrawRequest
from edge_agent.model.lane import Zone
from edge_agent.model.records import replace

from .codes import EventCode
from .decisions import effective
from .doubt import settle
from .exits import exit_due_ns, exit_missed
from .kinematics import NS
from .leases import withdraw
from .legs import claim_keys
from .order import account_for, lose_order
from .state import NEVER, RANK, LaneState, SealedPassage, Track
from .turn import Turn

REMEMBERED = 256
"""Sealed passages that a late revision can still be attached to."""
DIRECTED_OUTCOME = {
    Verdict.REFER_SECONDARY: Outcome.REFERRED,
    Verdict.REFUSE_RETURN: Outcome.REFUSED,
    Verdict.MANUAL_LANE: Outcome.MANUAL,
}
EXITED = RANK[Zone.X]


def review_ends(turn: Turn) -> None:
    """Seal every passage that is over."""
    for track in turn.each():
        if track.reached == EXITED and Zone.X not in track.over:
            account_for(turn, track)
            times = track.conveyance.times
            in_full = times.x_nose is not None and times.x_tail is not None
            # Where X saw one end of it only, somebody else may have been there in its place.
            seal(turn, track if in_full else turn.flag(track, Flag.DOUBTFUL), "exited")
        elif track.diverted and not track.over:
            seal(turn, track, "diverted")
        elif turn.now_ns >= end_due_ns(turn.state, track):
            _end_without_exit(turn, track)


def end_due_ns(state: LaneState, track: Track) -> int:
    """When a vehicle that no zone sees any more is given up; NEVER while a zone is occupied by it or by one ahead."""
    if not track.upstream:
        return exit_due_ns(state, track)
    first = state.first_upstream
    if track.over or (first is not None and first.id != track.id):
        return NEVER
    latest = max((t.moved.mono_ns for t in state.tracks if not t.upstream), default=0)
    return max(track.moved.mono_ns, latest) + int(state.config.policy.abandon_s * NS)


def _end_without_exit(turn: Turn, track: Track) -> None:
    """Beyond the stop line without exit sensing this is how a passage ends, and where X is dead; upstream of it the
    vehicle is lost."""
    if track.upstream:
        seal(turn, turn.flag(track, Flag.ABANDONED), "abandoned")
        lose_order(turn, "vehicle_abandoned")
        return
    if not turn.state.config.geometry.exit_sensed:
        seal(turn, track, "no_exit_sensing")
        return
    exit_missed(turn)
    seal(turn, turn.flag(track, Flag.SENSOR_FAULT), "exit_unseen", exit_owed=track.reached < EXITED)


def seal(turn: Turn, track: Track, how: str, *, exit_owed: bool = False) -> None:
    """Seal the passage, once: it leaves the state here. `exit_owed`: X may still see it."""
    held = turn.state.held
    if held is not None and held.lease.conveyance_id == track.id:
        withdraw(turn, "sealed", immediate=True)
        track = turn.state.track(track.id) or track
    if track.request_open:
        turn.effects.append(WithdrawRequest(turn.at, track.id, "sealed"))
    claims = claim_keys(track.conveyance)
    track = settle(turn, track)
    outcome = outcome_of(track, turn.now_ns)
    conveyance = replace(track.conveyance, phase=Phase.SEALED, outcome=outcome, ended=turn.at)
    state = turn.state
    highest = max((d.revision for d in conveyance.decisions if d.authority is Authority.SYSTEM), default=0)
    record = SealedPassage(
        track.id,
        conveyance.bundle_id,
        highest,
        turn.now_ns,
        tuple(a.sighting.sighting_id for a in conveyance.assignments),
        claims,
        exit_owed,
        track.reached == EXITED and Zone.X not in track.over,
        Flag.MIXED in conveyance.flags,
    )
    turn.state = replace(
        state,
        tracks=tuple(t for t in state.tracks if t.id != track.id),
        sealed=(*state.sealed, record)[-REMEMBERED:],
        counts=replace(state.counts, sealed=state.counts.sealed + 1),
    )
    turn.effects.append(SealBundle(turn.at, conveyance))
    turn.event(EventCode.SEALED, Severity.INFO, track.id, outcome=outcome.value, how=how)


def outcome_of(track: Track, now_ns: int) -> Outcome:
    """How the passage ended."""
    conveyance = track.conveyance
    if Flag.VIOLATION in conveyance.flags:
        return Outcome.VIOLATION
    if track.rolled and rolled_through(conveyance):
        return Outcome.RELEASED_ROLLING
    if track.rolled or track.stood:
        return Outcome.RELEASED_STOPPED
    decision = effective(track, now_ns) or _direction_before(track)
    if decision is not None and decision.verdict in DIRECTED_OUTCOME:
        return DIRECTED_OUTCOME[decision.verdict]
    if Flag.REVERSED in conveyance.flags and track.upstream:
        return Outcome.REVERSED
    if Flag.ABANDONED in conveyance.flags and track.upstream:
        return Outcome.ABANDONED
    return Outcome.UNRESOLVED


def _direction_before(track: Track) -> Decision | None:
    """Where an officer sent it in another life of the agent: no green follows from that, but the driver was told."""
    if not track.directed_before:
        return None
    return next((d for d in reversed(track.conveyance.decisions) if d.authority is not Authority.SYSTEM), None)


def rolled_through(conveyance: Conveyance) -> bool:
    """Released before the nose reached C(v), and no stop between A and the tail over S."""
    granted, committed = conveyance.granted, conveyance.committed
    in_time = granted is not None and (committed is None or granted.mono_ns <= committed.mono_ns)
    return in_time and conveyance.stops == 0
