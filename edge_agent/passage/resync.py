"""Zone inputs are back after a gap: which vehicle is where now. What was not seen is doubted, not guessed."""

from edge_agent.model.conveyance import Flag, ZoneTimes
from edge_agent.model.lane import Zone
from edge_agent.model.records import replace

from .arrivals import could_come, unexpected
from .continuity import tear
from .kinematics import NS, metres_per_second, zone_end_m, zone_start_m
from .state import RANK, ZONES, LaneState, Track, ZoneInputs
from .turn import Turn

LENGTH_TOLERANCE = 1.05
"""A measured length may be this much too short."""


def resync(turn: Turn, before: ZoneInputs) -> None:
    """First snapshot after a gap: occupied zones are matched with known vehicles in order; what remains is unexpected.

    Nothing is taken for a crossing on red here: it was not seen."""
    levels = turn.state.zones.levels
    doubtful = not before.fresh and _long(turn, before)
    state = turn.state = replace(turn.state, gap_end=turn.at)
    for track in turn.each():
        still = tuple(
            zone
            for zone in track.over
            if levels.get(zone, False)
            and not _passed_over(state, track, zone)
            and not (doubtful and _moved_on(state, track, zone, before))
        )
        fixes = track.fixes if track.upstream and not doubtful else ZoneTimes()
        moved = track.moved if still == track.over else turn.at
        placed = tear(turn, track) if doubtful and track.upstream else track
        placed = turn.put(replace(placed, over=still, fixes=fixes, moved=moved))
        if doubtful and Zone.X in still and _has_follower(state, placed):
            turn.flag(placed, Flag.DOUBTFUL)
    for zone in reversed(ZONES):
        if levels.get(zone, False) and not any(zone in track.over for track in turn.state.tracks):
            _place(turn, zone)
    for track in turn.each():  # where it is not seen any more it has gone on, or is where it was
        if track.reached >= 0:
            beyond = (turn.now_ns, zone_start_m(ZONES[track.reached], state.config.geometry))
            turn.put(replace(track, beyond=beyond))
    for track in turn.each():  # no edge will tell when one that stands there came: it counts as standing from now on
        if track.upstream and Zone.S in track.over and track.fixes.s_loop is None:
            turn.put(replace(track, fixes=replace(track.fixes, s_loop=turn.at)))


def _long(turn: Turn, before: ZoneInputs) -> bool:
    """Whether a whole vehicle can have driven over a zone during the gap, so that another one may be there now."""
    if before.since is None:
        return True
    config = turn.state.config
    passing_s = config.geometry.length_max_m / metres_per_second(config.kinematics.v_max_kmh)
    return turn.now_ns - before.since.mono_ns > int(passing_s * NS)


def _passed_over(state: LaneState, track: Track, zone: Zone) -> bool:
    """Past the line and out of the beam: a tail leaves the stop loop before it leaves the beam."""
    return zone is Zone.S and not track.upstream and not state.zones.occupied(Zone.BEAM)


def _moved_on(state: LaneState, track: Track, zone: Zone, before: ZoneInputs) -> bool:
    """Whether, after a long gap, another vehicle is likelier over a zone than the one that was.

    Without a lease the light holds at the line whoever is between D and S, and so whoever is over A behind one that is
    over D; one that stood stands. Past the line nobody waits: who follows closely has taken the place at X."""
    if zone is Zone.X:
        follower = next((t for t in state.tracks if t.reached < track.reached), None)
        return follower is not None and not follower.upstream
    if not track.upstream:
        return False
    if track.green_at_gap:
        return True
    return zone is Zone.A and not state.zones.occupied(Zone.D) and not _stood(state, track, before)


def _has_follower(state: LaneState, track: Track) -> bool:
    """Whether the next vehicle may have come to X during a long gap: then the tail that leaves there may be its."""
    follower = next((t for t in state.tracks if t.reached < track.reached), None)
    return follower is not None and (not follower.upstream or follower.green_at_gap)


def _stood(state: LaneState, track: Track, before: ZoneInputs) -> bool:
    """Whether the longest and slowest rolling vehicle would have left A before the gap."""
    nose = track.conveyance.times.a_nose
    if nose is None or before.since is None:
        return False
    geometry = state.config.geometry
    passing_m = geometry.length_max_m + geometry.a.end_m - geometry.a.start_m
    passing_s = passing_m / metres_per_second(state.config.kinematics.v_min_kmh)
    return before.since.mono_ns - nose.mono_ns > int(passing_s * NS)


def _place(turn: Turn, zone: Zone) -> None:
    """A vehicle is over this zone and none is known to be: the next in order that could be there, or a new one."""
    state = turn.state
    straddler = next((t for t in state.tracks if zone is Zone.S and Zone.BEAM in t.over), None)
    front = next((t for t in state.tracks if t.reached < RANK[zone]), None)
    if front is not None and not could_come(state, front, zone, turn.now_ns):
        front = None
    track = straddler or front or unexpected(turn, zone)
    if track is None:
        return
    track = replace(
        tear(turn, track) if track.upstream else track,
        suspect=True,
        reached=max(track.reached, RANK[zone]),
        over=(*(z for z in track.over if _spans(state, track, z, zone)), zone),
        moved=turn.at,
    )
    turn.put(track)


def _spans(state: LaneState, track: Track, behind: Zone, ahead: Zone) -> bool:
    """Whether the vehicle is long enough to be over both zones; otherwise another one is over the zone behind."""
    geometry = state.config.geometry
    gap_m = zone_start_m(ahead, geometry) - zone_end_m(behind, geometry)
    measured = track.conveyance.length_m * LENGTH_TOLERANCE
    return min(measured or geometry.length_max_m, geometry.length_max_m) >= gap_m
