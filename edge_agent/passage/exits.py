"""Who is at the exit, and who has left without the exit sensor having said so."""

from edge_agent.model.conveyance import Flag
from edge_agent.model.effects import AddSupplement, Severity
from edge_agent.model.lane import Zone
from edge_agent.model.records import replace

from .arrivals import could_come
from .codes import ConditionCode
from .doubt import withdraw_accusation
from .kinematics import NS, OVERLONG, SHORTEST_M, clearing_s, metres_per_second, zone_end_m
from .state import CROSSED, NEVER, RANK, LaneState, Track
from .turn import Turn

PACE = 1.5
"""Behind the line nobody takes this much longer, or shorter, than at the pace it crossed with, unless it stops."""
SLACK_S = 2.0
SHORT = 0.5
"""Whoever crosses from a standstill is over X about 0.6 times as long as over the line; half as long is a sensor's."""


def exit_due_ns(state: LaneState, track: Track) -> int:
    """When a vehicle past the line is taken for gone although X has not seen its tail leave: `stopped_factor` times
    what the slowest rolling vehicle takes, from where it was seen last and not before X has seen the one ahead leave.
    NEVER while it is over the line. A lane without X has nothing that could tell of the vehicle ahead: there each one's
    time runs by itself."""
    if Zone.BEAM in track.over or not state.zones.fresh:
        return NEVER
    if not state.config.geometry.exit_sensed:
        return track.moved.mono_ns + int(state.config.policy.stopped_factor * _slowest_s(state, track) * NS)
    ahead = next((t for t in state.tracks if not t.upstream), None)
    if ahead is not None and ahead.id != track.id:
        return NEVER
    left_ns = next((sealed.at_ns for sealed in reversed(state.sealed) if sealed.left), 0)
    since = max(track.moved.mono_ns, left_ns)
    return since + int(state.config.policy.stopped_factor * _slowest_s(state, track) * NS)


def _slowest_s(state: LaneState, track: Track) -> float:
    """Seconds that the longest and slowest rolling vehicle takes to leave X from where this one was seen last."""
    geometry, kinematics = state.config.geometry, state.config.kinematics
    if track.unseen:
        return clearing_s(geometry, kinematics)
    slow = metres_per_second(kinematics.v_min_kmh)
    if Zone.X in track.over:
        return (geometry.x.end_m - geometry.x.start_m + geometry.length_max_m) / slow
    return (geometry.x.end_m - geometry.beam_m) / slow


def left_unseen(turn: Turn) -> tuple[Track, ...]:
    """Now that a nose is at X: those past the line who must have left before it, because one behind them comes just
    when its pace says, and they are overdue at theirs, or may never have crossed. One that was seen to cross is sooner
    there than one ahead of it that nobody saw, which may come at any pace."""
    state, now_ns = turn.state, turn.now_ns
    past = [track for track in state.tracks if not track.upstream and track.reached < RANK[Zone.X]]
    before = 0
    for place, track in enumerate(past):
        if place and _fits(state, track, now_ns):
            before = place
        if (before and track.fixes.s_nose is not None) or not _perhaps_gone(state, track, now_ns):
            break
    return tuple(past[:before])


def _perhaps_gone(state: LaneState, track: Track, now_ns: int) -> bool:
    return track.unseen or Flag.DOUBTFUL in track.conveyance.flags or _late(state, track, now_ns)


def _fits(state: LaneState, track: Track, now_ns: int) -> bool:
    """Whether a vehicle seen crossing would come to X about now, at the pace it crossed with; or one that crossed in a
    gap, at any pace."""
    nose, left = track.fixes.s_nose, track.fixes.s_tail
    if nose is None and track.unseen and state.gap_end is not None and track.moved.mono_ns <= state.gap_end.mono_ns:
        return now_ns - track.moved.mono_ns <= int(clearing_s(state.config.geometry, state.config.kinematics) * NS)
    if nose is None or not could_come(state, track, Zone.X, now_ns, 1.0) or _still_over_line(state, track):
        return False
    way_s = _way_s(state, track, left.mono_ns if left is not None else now_ns)
    return (now_ns - nose.mono_ns) / NS <= PACE * way_s + SLACK_S


def _still_over_line(state: LaneState, track: Track) -> bool:
    """Whether its tail is over the beam, in a lane where no vehicle is long enough to be at X as well."""
    geometry = state.config.geometry
    return (
        Zone.BEAM in track.over
        and geometry.x.start_m - zone_end_m(Zone.BEAM, geometry) > geometry.length_max_m * OVERLONG
    )


def _late(state: LaneState, track: Track, now_ns: int) -> bool:
    """Whether a vehicle whose tail has crossed would have come to X by now: at the pace it crossed with, where that is
    known, else at the lane's slowest."""
    left, nose = track.fixes.s_tail, track.fixes.s_nose
    if left is None:
        return False
    if nose is None:
        return (now_ns - left.mono_ns) / NS > _way_s(state, track, left.mono_ns)
    sure = PACE if track.conveyance.length_m else 1.0  # the shortest vehicle's pace is a bound already
    return (now_ns - nose.mono_ns) / NS > sure * _way_s(state, track, left.mono_ns) + SLACK_S


def _way_s(state: LaneState, track: Track, left_ns: int) -> float:
    """Seconds from the line to X at the pace of the crossing that ended at `left_ns`, at least the lane's slowest; that
    of the shortest vehicle while the length is not known."""
    config = state.config
    pace = metres_per_second(config.kinematics.v_min_kmh)
    nose = track.fixes.s_nose
    if nose is not None:
        pace = max(pace, (track.conveyance.length_m or SHORTEST_M) / max(0.1, (left_ns - nose.mono_ns) / NS))
    return (config.geometry.x.start_m - config.geometry.beam_m) / pace


def exit_seen(turn: Turn, track: Track) -> Track:
    """The tail has left X: the exit sensor sees vehicles. Where it saw less of it than of any vehicle, and far less
    than the line did, it has not left: X will see it yet, or the record ends by time."""
    times = track.conveyance.times
    if times.x_nose is None or times.x_tail is None or times.s_nose is None or times.s_tail is None:
        return track
    over_line, over_x = times.s_tail.mono_ns - times.s_nose.mono_ns, times.x_tail.mono_ns - times.x_nose.mono_ns
    if over_x < SHORT * over_line and over_x < _least_over_x_ns(turn.state):
        fixes = replace(track.fixes, x_nose=None, x_tail=None)
        conveyance = replace(track.conveyance, times=replace(times, x_nose=None, x_tail=None))
        before = replace(track, reached=CROSSED, fixes=fixes, conveyance=conveyance)
        return turn.flag(turn.put(before), Flag.SENSOR_FAULT)
    if over_x < SHORT * over_line:
        return withdraw_accusation(turn, track, "exit_far_shorter_than_crossing")
    turn.condition(ConditionCode.EXIT_DOUBTFUL, Severity.WARNING, False, "The exit sensor sees vehicles", "")
    return track


def _least_over_x_ns(state: LaneState) -> int:
    """How long the shortest vehicle is over X at top speed: a measured length may be one with a stop in it."""
    x, kinematics = state.config.geometry.x, state.config.kinematics
    return int((x.end_m - x.start_m + SHORTEST_M) / metres_per_second(kinematics.v_max_kmh) * NS)


def exit_missed(turn: Turn) -> None:
    """A vehicle has gone and X did not see it: records end by time until it sees one in full."""
    title, hint = "The exit sensor may be dead", "look at zone X; a vehicle seen there in full clears this"
    turn.condition(ConditionCode.EXIT_DOUBTFUL, Severity.WARNING, True, title, hint)


def seen_late(turn: Turn) -> bool:
    """A nose is at X and nobody is past the line: whether it is the one whose record was closed by time. The sealed
    record stays as it is; a supplement says so."""
    state = turn.state
    owed = next((s for s in reversed(state.sealed) if s.exit_owed), None)
    if owed is None or turn.now_ns - owed.at_ns > int(state.config.policy.abandon_s * NS):
        return False
    paid = tuple(replace(s, exit_owed=False) if s is owed else s for s in state.sealed)
    turn.state = replace(state, sealed=paid)
    turn.effects.append(AddSupplement(turn.at, owed.bundle_id, "late_exit", (("zone", Zone.X.value),)))
    return True
