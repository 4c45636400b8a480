"""An officer says, on camera, which vehicles stand in the corridor and in what order."""

from edge_agent.model.conveyance import Flag, Intervention
from edge_agent.model.lane import Zone
from edge_agent.model.records import replace

from .crossing import passed_unseen
from .doubt import WITNESSES, witnesses
from .kinematics import NS, clearing_s
from .order import restore_order
from .sealing import seal
from .state import AT_LINE, LaneState, Track
from .turn import Turn

UPSTREAM_ZONES = (Zone.A, Zone.D, Zone.S)


def confirm_order(turn: Turn, named: tuple[str, ...], note: Intervention) -> str:
    """Take the named vehicles, from the stop line upstream, as all there is upstream of it. Of the others, who may have
    crossed unseen is past the line now; the rest is sealed, with the officer's act on their record.

    Returns why it cannot be, empty when it is done."""
    state = turn.state
    if not state.zones.fresh:
        return "zone inputs are not known"
    if state.zones.occupied(Zone.BEAM):
        return "something is in the stop-line beam"
    found = [state.track(conveyance_id) for conveyance_id in named]
    confirmed = [track for track in found if track is not None and track.upstream]
    if len(confirmed) != len(named) or len(set(named)) != len(named):
        return "the order names a vehicle that is not upstream of the stop line, or one twice"
    occupied = [zone.value for zone in UPSTREAM_ZONES if state.zones.occupied(zone)]
    if occupied and not confirmed:
        return f"{', '.join(occupied)} is occupied by a vehicle that was not named"
    for track in turn.each():
        if not track.upstream or track.id in named:
            continue
        if _may_be_past(turn.state, track, turn.now_ns):
            passed_unseen(turn, track, None if track.perhaps_crossed else turn.state.gap_end)
            continue
        noted = replace(track.conveyance, interventions=(*track.conveyance.interventions, note), assignments=())
        # Whatever was read of a vehicle that is not there was read of another one: read on, it will be given to that.
        nobody = turn.flag(turn.put_conveyance(track, noted), Flag.ABANDONED, Flag.UNPROVEN)
        seal(turn, nobody, "not_seen_by_officer")
    past = tuple(track for track in turn.state.tracks if not track.upstream)
    placed = _consistent([turn.state.track(track.id) or track for track in confirmed], turn)
    turn.state = replace(turn.state, tracks=(*past, *placed))
    restore_order(turn, "officer")
    return ""


def _may_be_past(state: LaneState, track: Track, now_ns: int) -> bool:
    """Whether this vehicle may have crossed unseen and be between the line and X still: nobody upstream is ahead of it,
    and the beam alone was broken when it can have been there, or no zone has seen it since the last gap in the zone
    inputs and the slowest would not be out of X yet. What one sensor alone has shown and an officer does not see is no
    vehicle: a sensor that chatters makes many of those."""
    first = state.first_upstream
    if first is None or first.id != track.id:
        return False
    if track.perhaps_crossed:
        return True
    if not track.unseen or state.gap_end is None or witnesses(track.conveyance) < WITNESSES:
        return False
    bound_ns = int(clearing_s(state.config.geometry, state.config.kinematics) * NS)
    return track.conveyance.detected.mono_ns < state.gap_end.mono_ns >= now_ns - bound_ns


def _consistent(tracks: list[Track], turn: Turn) -> tuple[Track, ...]:
    """A vehicle ahead has reached at least what one behind it has; who is first over an occupied stop loop stands
    there."""
    ranks = [track.reached for track in tracks]
    placed = []
    for index, track in enumerate(tracks):
        reached = max(ranks[index:])
        over = track.over
        if index == 0 and turn.state.zones.occupied(Zone.S):
            reached = AT_LINE
            if Zone.S not in over:
                over = (*over, Zone.S)
                track = replace(track, fixes=replace(track.fixes, s_loop=turn.at))  # noqa: PLW2901
        elif index > 0:
            over = tuple(zone for zone in over if zone is not Zone.S)
            reached = min(reached, AT_LINE - 1)
        placed.append(replace(track, reached=reached, over=over, suspect=False, perhaps_crossed=False))
    return tuple(placed)
