"""When the stop-line beam contradicts the loop before it: what the beam alone says is no crossing, and no vehicle."""

from edge_agent.model.conveyance import Flag
from edge_agent.model.effects import Severity
from edge_agent.model.lane import Zone
from edge_agent.model.records import replace

from .arrivals import could_come
from .codes import ConditionCode, EventCode
from .crossing import last_shown, was_confirmed
from .doubt import withdraw_accusation
from .kinematics import FEASIBLE_FACTOR, NS, SHORTEST_M, excuse_ns, metres_per_second
from .leases import withdraw
from .order import lose_order
from .state import AT_LINE, RANK, LaneState, Spent, Track
from .turn import Turn


def beam_disturbed(turn: Turn) -> None:
    """Something was in the beam between two snapshots: nobody's green survives that, not even an officer's."""
    held = turn.state.held
    if held is None:
        return
    holder = turn.state.track(held.lease.conveyance_id)
    withdraw(turn, "beam_edge", immediate=True)
    if holder is not None:
        track = turn.state.track(holder.id)
        assert track is not None
        turn.put(replace(track, worn_ns=turn.now_ns))


def beam_alone(turn: Turn) -> None:
    """The beam is broken and the stop loop before it is free: no vehicle is that short. A person, a broken beam, or a
    dead loop: nobody is accused and no vehicle is made of it; should one have crossed, X or an officer will tell."""
    held = turn.state.held
    first = turn.state.first_upstream
    spent = None
    if first is not None and held is not None and held.lease.conveyance_id == first.id:
        spent = Spent(held.lease.standing, was_confirmed(last_shown(turn.state, first, held.first.mono_ns)))
    beam_disturbed(turn)
    first = turn.state.first_upstream
    if first is not None and first.reached >= RANK[Zone.D] and could_come(turn.state, first, Zone.BEAM, turn.now_ns):
        turn.put(replace(first, perhaps_crossed=True, spent=spent or first.spent))
    lose_order(turn, "beam_without_stop_loop")


def beam_missed(turn: Turn) -> None:
    """A vehicle left the line without breaking the beam: a green may have outlived its nose. Until a crossing is seen
    in full, only an officer who looks gives green."""
    title, hint = "The stop-line beam may be blind", "try the beam by hand; a crossing seen in full clears this"
    turn.condition(ConditionCode.BEAM_DOUBTFUL, Severity.ALARM, True, title, hint)


def beam_seen(turn: Turn) -> None:
    """A vehicle has crossed the line as it must: loop, beam, loop free, beam free."""
    title = "The stop-line beam sees vehicles"
    turn.condition(ConditionCode.BEAM_DOUBTFUL, Severity.ALARM, False, title, "")
    if not turn.state.zones.line_disagrees:
        title = "The outputs of the light curtain agree"
        turn.condition(ConditionCode.CURTAIN_DISAGREES, Severity.ALARM, False, title, "")


def curtain_disagrees(turn: Turn) -> None:
    """The two outputs of the light curtain contradict each other: one of them is stuck, and the other alone tells of
    noses. Until a crossing is seen in full by both, only an officer who looks gives green."""
    title, hint = "The outputs of the light curtain contradict", "break the curtain by hand and look at both inputs"
    turn.condition(ConditionCode.CURTAIN_DISAGREES, Severity.ALARM, True, title, hint)


def did_not_cross(turn: Turn, track: Track) -> bool:
    """The beam is clear again; whether it was not this vehicle that broke it, because the stop loop is occupied still
    and nobody else can be there. Then it stands upstream of the line as before, accused of nothing. Should the beam
    have looked over its drawbar, the lease that the first break ended was its own: a driver who has moved off cannot
    stop at once."""
    state = turn.state
    if not state.zones.occupied(Zone.S) or Zone.S not in track.over:
        return False
    if _followed(state, track, turn.now_ns):  # or it stands there still, and the beam lied: an officer must look
        lose_order(turn, "stop_loop_never_free")
        turn.flag(turn.state.track(track.id) or track, Flag.DOUBTFUL)
        return False
    spent, excused_ns = None, track.excused_ns
    if track.rolled or track.stood:
        track = turn.flag(turn.put(track), Flag.DOUBTFUL)  # it may have begun to, on its green
        counts = turn.state.counts
        turn.state = replace(turn.state, counts=replace(counts, released=counts.released - 1))
        spent = Spent(track.stood, Flag.UNCONFIRMED_GREEN not in track.conveyance.flags)
        excused_ns = turn.now_ns + excuse_ns(state.config.kinematics, standing=True)
    conveyance = withdraw_accusation(turn, turn.put(track), "not_crossed").conveyance
    flags = tuple(flag for flag in conveyance.flags if flag is not Flag.UNCONFIRMED_GREEN)
    times = replace(conveyance.times, s_nose=None)
    over = tuple(zone for zone in track.over if zone is not Zone.BEAM)
    turn.put(
        replace(
            track,
            conveyance=replace(conveyance, flags=flags, times=times),
            fixes=replace(track.fixes, s_nose=None, s_loop=turn.at),
            reached=AT_LINE,
            over=over,
            moved=turn.at,
            standing=None,
            rolled=False,
            stood=False,
            suspect=True,
            worn_ns=turn.now_ns,
            spent=spent,
            excused_ns=excused_ns,
        )
    )
    turn.event(EventCode.NOT_CROSSED, Severity.ALARM, track.id)
    lose_order(turn, "beam_clear_over_stop_loop")
    return True


def _followed(state: LaneState, track: Track, now_ns: int) -> bool:
    """Whether it may have crossed with another one close behind it on the loop: it had green, its length went through
    the beam at no more than the feasible speed, and the next vehicle can have come."""
    nose = track.fixes.s_nose
    behind = state.first_upstream
    if nose is None or behind is None or not (track.rolled or track.stood):
        return False
    length = track.conveyance.length_m or SHORTEST_M
    seconds = length / (FEASIBLE_FACTOR * metres_per_second(state.config.kinematics.v_max_kmh))
    return now_ns - nose.mono_ns >= int(seconds * NS) and could_come(state, behind, Zone.S, now_ns)
