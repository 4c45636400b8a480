"""What time alone does to a vehicle: it comes inside its commit distance, stands at the line, stops on the way."""

from edge_agent.model.conveyance import Conveyance, Flag, Phase
from edge_agent.model.decision import Verdict
from edge_agent.model.effects import Severity
from edge_agent.model.lane import Zone
from edge_agent.model.records import replace

from .codes import EventCode
from .decisions import effective
from .kinematics import NS, commit_time_ns, course_of, last_fix, metres_per_second, standing_time_ns, wall_after_m
from .state import AT_LINE, CROSSED, NEVER, LaneState, Track
from .turn import Turn


def review_progress(turn: Turn) -> None:
    """Apply what has become true by now for every vehicle upstream of the stop line."""
    for track in turn.each():
        if track.upstream:
            _review(turn, track)


def review_phases(turn: Turn) -> None:
    """Bring every phase in line with the facts."""
    for track in turn.each():
        phase = phase_of(track, turn.now_ns)
        if phase is not track.conveyance.phase:
            turn.put_conveyance(track, replace(track.conveyance, phase=phase))


def commit_due_ns(state: LaneState, track: Track) -> int:
    """When the earliest position enters C(v); NEVER when that has happened or cannot yet."""
    if track.conveyance.committed is not None:
        return NEVER
    config = state.config
    course = course_of(track.fixes, track.conveyance.speed_kmh, config.geometry, config.kinematics)
    if course is None:
        return NEVER
    due = commit_time_ns(course, config.kinematics, config.policy.commit_margin_s)
    return NEVER if due is None else due


def standing_due_ns(state: LaneState, track: Track) -> int:
    """When a vehicle over the stop loop is known to stand; NEVER when it does already or is not there. One that lost a
    green there may have moved off on it: for that one it takes as long again, or it crosses."""
    loop = track.fixes.s_loop
    if track.standing is not None or track.reached != AT_LINE or Zone.S not in track.over or loop is None:
        return NEVER
    return standing_time_ns(max(loop.mono_ns, track.lost_ns), state.config.geometry, state.config.kinematics)


def stopped_due_ns(state: LaneState, track: Track) -> int:
    """When a vehicle has taken `stopped_factor` times as long to the next zone as the slowest rolling one would."""
    if track.reached >= AT_LINE or Flag.STOPPED_IN_CORRIDOR in track.conveyance.flags:
        return NEVER
    config = state.config
    fix = last_fix(track.fixes, config.geometry)
    if fix is None:
        return NEVER
    since_ns, position = fix
    distance = wall_after_m(position, config.geometry) - position
    seconds = config.policy.stopped_factor * distance / metres_per_second(config.kinematics.v_min_kmh)
    return since_ns + int(seconds * NS)


def phase_of(track: Track, now_ns: int) -> Phase:
    """The phase that the facts add up to."""
    conveyance = track.conveyance
    if track.reached >= CROSSED:
        if Zone.BEAM in track.over:
            return Phase.PASSING
        return Phase.EXITED if conveyance.times.x_tail is not None else Phase.CLEARED
    if conveyance.lease is not None:
        return Phase.GRANTED
    decision = effective(track, now_ns)
    if decision is not None and (decision.verdict is not Verdict.RELEASE or decision.deadline_mono_ns > now_ns):
        return Phase.DECIDED
    return _asking_phase(conveyance)


def _asking_phase(conveyance: Conveyance) -> Phase:
    if conveyance.requests:
        return Phase.REQUESTED
    return Phase.IDENTIFYING if conveyance.assignments else Phase.DETECTED


def _review(turn: Turn, track: Track) -> None:
    if turn.now_ns >= commit_due_ns(turn.state, track):
        track = turn.put_conveyance(track, replace(track.conveyance, committed=turn.at))
    if turn.now_ns >= stopped_due_ns(turn.state, track):
        track = turn.flag(track, Flag.STOPPED_IN_CORRIDOR)
        turn.event(EventCode.STOPPED, Severity.WARNING, track.id)
    if turn.now_ns >= standing_due_ns(turn.state, track):
        track = turn.put(replace(track, standing=turn.at, excused_ns=0))
        if track.conveyance.lease is None and Flag.WAITING_AT_LINE not in track.conveyance.flags:
            turn.flag(track, Flag.WAITING_AT_LINE)
            turn.event(EventCode.WAITING, Severity.INFO, track.id)
