"""The end of a passage: its outcome, its one bundle, and those that end without an exit."""

from dataclasses import replace

from edge_agent.model.conveyance import Conveyance, Flag, Outcome, Phase
from edge_agent.model.decision import Authority, Verdict
from edge_agent.model.effects import SealBundle, Severity, WithdrawRequest
from edge_agent.model.lane import Zone

from .codes import EventCode
from .decisions import effective
from .kinematics import NS, clearing_s, metres_per_second
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
            seal(turn, track, "exited")
        elif track.diverted and not track.over:
            seal(turn, track, "diverted")
        elif turn.now_ns >= end_due_ns(turn.state, track):
            _end_without_exit(turn, track)


def end_due_ns(state: LaneState, track: Track) -> int:
    """When a vehicle that no zone sees any more is given up; NEVER while a zone is occupied by it or by one ahead."""
    policy, geometry, kinematics = state.config.policy, state.config.geometry, state.config.kinematics
    if track.over:
        return NEVER
    if not track.upstream and Zone.X not in state.zones.levels and state.zones.fresh:
        travel = (geometry.x.end_m - geometry.beam_m) / metres_per_second(kinematics.v_min_kmh)
        return track.moved.mono_ns + int(policy.stopped_factor * travel * NS)
    if not track.upstream and track.unseen and state.zones.fresh:
        return track.moved.mono_ns + int(policy.stopped_factor * clearing_s(geometry, kinematics) * NS)
    same = [t for t in state.tracks if t.upstream == track.upstream]
    if same[0].id != track.id:
        return NEVER
    latest = max((t.moved.mono_ns for t in state.tracks if not t.upstream), default=0)
    since = max(track.moved.mono_ns, latest) if track.upstream else track.moved.mono_ns
    return since + int(policy.abandon_s * NS)


def _end_without_exit(turn: Turn, track: Track) -> None:
    """Beyond the stop line without exit sensing this is how a passage ends; anywhere else the vehicle is lost."""
    if not track.upstream and Zone.X not in turn.state.zones.levels:
        seal(turn, track, "no_exit_sensing")
        return
    if not track.upstream and track.unseen:
        seal(turn, turn.flag(track, Flag.SENSOR_FAULT), "exit_unseen")
        return
    seal(turn, turn.flag(track, Flag.ABANDONED), "abandoned")
    if track.upstream:
        lose_order(turn, "vehicle_abandoned")


def seal(turn: Turn, track: Track, how: str) -> None:
    """Seal the passage, once: it leaves the state here."""
    held = turn.state.held
    if held is not None and held.lease.conveyance_id == track.id:
        withdraw(turn, "sealed", immediate=True)
        track = turn.state.track(track.id) or track
    if track.request_open:
        turn.effects.append(WithdrawRequest(turn.at, track.id, "sealed"))
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
        claim_keys(conveyance),
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
    decision = effective(track, now_ns)
    if decision is not None and decision.verdict in DIRECTED_OUTCOME:
        return DIRECTED_OUTCOME[decision.verdict]
    if Flag.REVERSED in conveyance.flags and track.upstream:
        return Outcome.REVERSED
    if Flag.ABANDONED in conveyance.flags and track.upstream:
        return Outcome.ABANDONED
    return Outcome.UNRESOLVED


def rolled_through(conveyance: Conveyance) -> bool:
    """Released before the nose reached C(v), and no stop between A and the tail over S."""
    granted, committed = conveyance.granted, conveyance.committed
    in_time = granted is not None and (committed is None or granted.mono_ns <= committed.mono_ns)
    return in_time and conveyance.stops == 0
