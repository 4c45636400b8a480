"""Zone edges become vehicles that arrive, advance, clear and exit. Nothing but physical order creates one."""

from edge_agent.model.conveyance import Flag, ZoneTimes
from edge_agent.model.effects import Severity
from edge_agent.model.inputs import ZonesChanged, ZonesLost
from edge_agent.model.lane import Zone
from edge_agent.model.records import replace

from .arrivals import could_come, new_track, unexpected
from .beam import beam_alone, beam_disturbed, beam_missed, beam_seen, curtain_disagrees, did_not_cross
from .chatter import chatters, doubts_order, forget_noses, in_doubt, noted, there_again
from .codes import ConditionCode, EventCode
from .continuity import fleeting, tear
from .crossing import cross, last_shown, passed_unseen, spend, was_confirmed
from .doubt import beam_outlasted_loop, withdraw_accusation
from .exits import exit_missed, exit_seen, left_unseen, seen_late
from .kinematics import (
    OVERLONG,
    length_m,
    length_over_line_m,
    nose_fixes,
    speed_kmh,
    stop_ms,
    zone_end_m,
    zone_start_m,
)
from .leases import withdraw
from .order import lose_order
from .resync import resync
from .sealing import seal
from .state import AT_LINE, RANK, ZONES, LaneState, Spent, Track, ZoneInputs
from .turn import Turn

NOSE_FIELD = {Zone.A: "a_nose", Zone.D: "d_nose", Zone.S: "s_loop", Zone.BEAM: "s_nose", Zone.X: "x_nose"}
TAIL_FIELD = {Zone.A: "a_tail", Zone.D: "d_tail", Zone.BEAM: "s_tail", Zone.X: "x_tail"}


def on_zones(turn: Turn, event: ZonesChanged) -> None:
    """A snapshot of all zones: apply every edge since the last one, or start over when continuity was lost."""
    before = turn.state.zones
    turn.state = replace(
        turn.state,
        zones=ZoneInputs(
            True, turn.at, event.session, dict(event.levels), dict(event.edges), line_disagrees=event.line_disagrees
        ),
    )
    if event.line_disagrees:
        curtain_disagrees(turn)
    if not before.fresh or event.session != before.session:
        if before.fresh:
            turn.flag_all(Flag.SENSOR_FAULT)
            lose_order(turn, "input_session_changed")
        forget_noses(turn)
        resync(turn, before)
        turn.condition(ConditionCode.ZONES_LOST, Severity.ALARM, False, "Zone inputs are back", "")
        return
    for zone in ZONES:
        if zone in event.levels:
            _apply(turn, zone, before)


def on_zones_lost(turn: Turn, event: ZonesLost) -> None:
    """Every zone is unknown; so is the order of what is in the corridor."""
    if not turn.state.zones.fresh:
        return
    turn.state = replace(turn.state, zones=replace(turn.state.zones, fresh=False, since=turn.at))
    for track in turn.each():
        turn.put(replace(track, green_at_gap=track.conveyance.lease is not None))
    turn.flag_all(Flag.SENSOR_FAULT)
    turn.event(EventCode.ZONES_LOST, Severity.ALARM, cause=event.code)
    turn.condition(
        ConditionCode.ZONES_LOST, Severity.ALARM, True, "Zone inputs are lost", "check the I/O module and its line"
    )
    lose_order(turn, "zones_lost")


def _apply(turn: Turn, zone: Zone, before: ZoneInputs) -> None:
    """Apply the edges of one zone. Snapshots of one session are closer together than any vehicle is long: a whole
    pulse between two of them is chatter or a person, never a vehicle, but it puts the order in doubt."""
    was, now = before.occupied(zone), turn.state.zones.occupied(zone)
    edges = turn.state.zones.edges.get(zone, 0) - before.edges.get(zone, 0)
    if was == now and edges == 0:
        return
    noted(turn, zone, was=was, now=now, edges=edges)
    if edges != (1 if was != now else 0) and doubts_order(turn.state, zone):
        lose_order(turn, f"edges_lost_{zone.value}")
        if zone is Zone.BEAM:
            beam_disturbed(turn)
    if was != now:
        (_nose if now else _tail)(turn, zone)


def _nose(turn: Turn, zone: Zone) -> None:
    if zone is Zone.A:
        _arrive(turn)
        return
    if zone is Zone.BEAM and not turn.state.zones.levels.get(Zone.S, True):
        beam_alone(turn)
        return
    if zone is Zone.S and _loop_is_back(turn):
        return
    track, sound = _claimant(turn, zone)
    if track is None:
        if zone is Zone.X and seen_late(turn):
            return
        track = unexpected(turn, zone) if not chatters(turn.state, zone) else None
        if doubts_order(turn.state, zone):
            lose_order(turn, f"unexpected_vehicle_at_{zone.value}")
        if track is None:
            return
    elif not sound:
        track = _out_of_sequence(turn, track, zone)
    track = _shed(turn, turn.state.track(track.id) or track, zone)
    track = _advance(turn, track, zone)
    if zone is Zone.BEAM:
        cross(turn, track)


def _out_of_sequence(turn: Turn, track: Track, zone: Zone) -> Track:
    """It is taken for this vehicle although the zone before has not seen it, or not at a time it could."""
    if zone is Zone.X and not track.unseen and not track.perhaps_crossed:
        beam_missed(turn)
    lose_order(turn, f"sequence_broken_at_{zone.value}")
    track = turn.state.track(track.id) or track
    track = track if zone is Zone.X else tear(turn, track)
    track = turn.flag(turn.put(replace(track, suspect=True)), Flag.SENSOR_FAULT)
    return turn.flag(spend(turn, track), Flag.DOUBTFUL) if zone is Zone.X else track


def _loop_is_back(turn: Turn) -> bool:
    """The stop loop shows somebody while the beam has been broken for longer than any tail needs from one to the other:
    it had lost the vehicle that is crossing."""
    track = next((t for t in turn.state.tracks if Zone.BEAM in t.over and not t.upstream), None)
    if track is None or Zone.S in track.over or not beam_outlasted_loop(turn.state, track, turn.now_ns):
        return False
    if track.directed:  # an officer sent it elsewhere: it has gone, and the beam holds nothing of it
        turn.flag(track, Flag.DOUBTFUL)
        return False
    back = turn.put(replace(track, over=(*track.over, Zone.S), loop_off_ns=0, moved=turn.at))
    turn.flag(back, Flag.SENSOR_FAULT)
    return True


def _shed(turn: Turn, track: Track, zone: Zone) -> Track:
    """No vehicle is over two zones farther apart than the longest is long: something else is over the one behind."""
    geometry = turn.state.config.geometry
    return _not_over(turn, track, zone_start_m(zone, geometry) - geometry.length_max_m * OVERLONG)


def _not_over(turn: Turn, track: Track, tail_m: float) -> Track:
    """The tail is downstream of `tail_m`: whatever is over a zone upstream of that is another vehicle, or none."""
    geometry = turn.state.config.geometry
    behind = tuple(z for z in track.over if zone_end_m(z, geometry) < tail_m)
    if not behind:
        return track
    lose_order(turn, f"{behind[0].value}_held_by_another")
    track = turn.state.track(track.id) or track
    over = tuple(z for z in track.over if z not in behind)
    track = tear(turn, track) if track.upstream else track
    return turn.flag(turn.put(replace(track, over=over)), Flag.SENSOR_FAULT)


def _arrive(turn: Turn) -> None:
    """A rising edge of A: a new vehicle, last in order; where A chatters, one in doubt, and only one."""
    if chatters(turn.state, Zone.A) and there_again(turn):
        return
    track = new_track(turn, Zone.A)
    state = turn.state
    flags: list[Flag] = []
    if not state.order.known:
        flags.append(Flag.ORDER_UNKNOWN)
    if not state.centre.up:
        flags.append(Flag.CENTRE_LOST)
    readers = {device for device, _, _ in state.config.geometry.antennas}
    if any(down.device in readers for down in state.devices_down):
        flags.append(Flag.READER_GAP)
    times = ZoneTimes(a_nose=turn.at)
    conveyance = replace(track.conveyance, times=times, flags=tuple(sorted(flags)))
    track = replace(track, conveyance=conveyance, fixes=times, over=(Zone.A,))
    track = in_doubt(track) if chatters(state, Zone.A) else track
    turn.state = replace(state, tracks=(*state.tracks, track))
    turn.event(EventCode.DETECTED, Severity.INFO, track.id, order=conveyance.order)


def _claimant(turn: Turn, zone: Zone) -> tuple[Track | None, bool]:
    """Whose nose this is: the first vehicle that has not reached the zone; sound when it comes from the zone before, at
    a time it could. Otherwise it is taken for that vehicle only where a missed edge is likelier than a hidden vehicle.
    """
    state = turn.state
    rank = RANK[zone]
    front = next((track for track in state.tracks if track.reached < rank), None)
    if front is None:
        return None, False
    if zone is Zone.X:
        front = _at_exit(turn, front)
    before = max((RANK[z] for z in state.zones.levels if RANK[z] < rank), default=-1)
    plausible = zone is Zone.BEAM or could_come(state, front, zone, turn.now_ns)
    if front.reached == before and plausible:
        return (None, False) if _too_far_ahead(state, front, zone) else (front, True)
    # A beam broken without the stop loop is not the truck; at X an unseen crossing is likely for who stood at the line.
    left_line = front.reached == AT_LINE and not state.zones.occupied(Zone.S)
    left = left_line or front.perhaps_crossed or (front.green_at_gap and front.unseen)
    likelier = left if zone is Zone.X else zone is not Zone.BEAM and (state.order.known or _masked(state, front, zone))
    return (front if plausible and likelier else None), False


def _too_far_ahead(state: LaneState, front: Track, zone: Zone) -> bool:
    """Whether this vehicle was found over a zone after a gap, is over it still, and would have to be longer than any is
    allowed to be to have its nose here: it is another one's, which was between the two and which nobody has seen."""
    geometry = state.config.geometry
    found = front.upstream and front.suspect and front.beyond is not None and not nose_fixes(front.fixes, geometry)
    nose_m = zone_start_m(zone, geometry)
    return found and any(nose_m - zone_end_m(z, geometry) > geometry.length_max_m for z in front.over)


def _masked(state: LaneState, front: Track, zone: Zone) -> bool:
    """Whether the decision loop could not show the nose of who is at the stop loop now: it is held by another, or
    stuck."""
    held = state.zones.occupied(Zone.D) and Zone.D not in front.over
    return zone is Zone.S and front.reached == RANK[Zone.A] and held


def _at_exit(turn: Turn, front: Track) -> Track:
    """Who is at X: not those who must have left before without X having seen them; their passages are over."""
    for gone in left_unseen(turn):
        seal(turn, turn.flag(gone, Flag.SENSOR_FAULT), "exit_unseen")
        exit_missed(turn)
    return next((track for track in turn.state.tracks if track.reached < RANK[Zone.X]), front)


def _advance(turn: Turn, track: Track, zone: Zone) -> Track:
    """The nose is at a zone: times, speed, occupancy."""
    geometry = turn.state.config.geometry
    conveyance = track.conveyance
    name = NOSE_FIELD[zone]
    times = conveyance.times
    if getattr(times, name) is None:
        times = replace(times, **{name: turn.at})
    speed = conveyance.speed_kmh
    fixes = nose_fixes(track.fixes, geometry)
    lost_ms = 0
    if fixes:
        from_ns, from_m = fixes[-1]
        to_m = zone_start_m(zone, geometry)
        if zone is not Zone.BEAM:  # loop to beam is too short a base to measure over
            speed = speed_kmh(from_m, from_ns, to_m, turn.now_ns) or speed
        if zone is not Zone.X:
            lost_ms = stop_ms(from_m, from_ns, to_m, turn.now_ns, turn.state.config.kinematics)
    conveyance = replace(
        conveyance,
        times=times,
        speed_kmh=speed,
        stops=conveyance.stops + (lost_ms > 0),
        dwell_ms=conveyance.dwell_ms + lost_ms,
    )
    track = replace(
        track,
        conveyance=conveyance,
        fixes=replace(track.fixes, **{name: turn.at}),
        reached=max(track.reached, RANK[zone]),
        over=(*track.over, zone),
        moved=turn.at,
        perhaps_crossed=False,
        spent=None if zone is Zone.S and Flag.REVERSED in conveyance.flags else track.spent,  # it is back
    )
    return _measure(turn, turn.put(track))


def _measure(turn: Turn, track: Track) -> Track:
    """Length, once A's tail and a speed are known; too long means two vehicles were seen as one. Where A did not tell,
    the sensor at the line does, for the record of one that did not stop."""
    if track.conveyance.length_m:
        return track
    if track.reached == RANK[Zone.X] and not track.conveyance.stops:
        over_line = length_over_line_m(track.fixes, turn.state.config.geometry)
        return turn.put_conveyance(track, replace(track.conveyance, length_m=over_line)) if over_line else track
    if track.reached != RANK[Zone.D]:
        return track
    geometry = turn.state.config.geometry
    length = length_m(track.fixes, track.conveyance.speed_kmh, geometry)
    if not length:
        return track
    track = turn.put_conveyance(track, replace(track.conveyance, length_m=length))
    if length > geometry.length_max_m * OVERLONG and Flag.STOPPED_IN_CORRIDOR not in track.conveyance.flags:
        track = turn.flag(track, Flag.AMBIGUOUS)
        turn.event(EventCode.MERGED_DETECTION, Severity.WARNING, track.id, length_dm=int(length * 10))
    return track


def _tail(turn: Turn, zone: Zone) -> None:
    """A falling edge: the most downstream vehicle over the zone has left it."""
    track = _leaver(turn, zone)
    if track is None:
        if turn.state.order.known and zone is not Zone.X:  # there its nose has said already what was to be said
            lose_order(turn, f"tail_without_vehicle_at_{zone.value}")
        return
    over = tuple(z for z in track.over if z is not zone)
    if zone is Zone.S:
        _leave_stop_loop(turn, replace(track, over=over, moved=turn.at))
        return
    if zone is Zone.A and track.flickered and chatters(turn.state, zone):
        turn.put(replace(track, over=over, moved=turn.at))
        return
    if zone is Zone.BEAM:
        track = turn.put(_dwell_over_line(turn, track))
        if did_not_cross(turn, track):
            return
        track = _clear_line(turn, turn.state.track(track.id) or track)
    name = TAIL_FIELD[zone]
    conveyance = replace(track.conveyance, times=replace(track.conveyance.times, **{name: turn.at}))
    fixes = replace(track.fixes, **{name: turn.at})
    over = tuple(z for z in track.over if z is not zone)
    track = _measure(turn, turn.put(replace(track, conveyance=conveyance, fixes=fixes, over=over, moved=turn.at)))
    if fleeting(turn, track, zone):  # whatever that was, what comes on this record now need not be the same
        track = turn.put(tear(turn, track))
    if zone is Zone.X:
        exit_seen(turn, track)


def _leaver(turn: Turn, zone: Zone) -> Track | None:
    """Whose tail it is. Where a zone is free nobody is over it any more."""
    tracks = [track for track in turn.state.tracks if zone in track.over]
    for other in tracks[1:]:
        turn.put(replace(other, over=tuple(z for z in other.over if z is not zone), moved=turn.at))
    if tracks:
        return tracks[0]
    return _unseen_at(turn, zone) if zone in (Zone.D, Zone.S) else None


def _clear_line(turn: Turn, track: Track) -> Track:
    """The tail has left the beam: what that says of beam and loop, of an accusation, and of the zones behind."""
    if track.fixes.s_loop is not None and Zone.S not in track.over:
        beam_seen(turn)
    if beam_outlasted_loop(turn.state, track, turn.now_ns):
        track = withdraw_accusation(turn, turn.put(track), "beam_broken_after_the_loop")
        track = turn.flag(turn.put(track), Flag.DOUBTFUL)  # it may have left the loop sideways, under a beam that lied
    return _not_over(turn, track, turn.state.config.geometry.s.start_m)


def _unseen_at(turn: Turn, zone: Zone) -> Track | None:
    """Whose tail leaves a zone that held somebody else's, or was stuck, when its nose came: the next one's, if that can
    have come there and gone on."""
    state = turn.state
    track = next((t for t in state.tracks if t.reached < RANK[zone]), None)
    if track is None or track.over or not could_come(state, track, zone, turn.now_ns, 1.0):
        return None
    if zone is Zone.S and not _read_at_line(state, track):  # it may as well be on its way there
        return None
    lose_order(turn, f"nose_unseen_at_{zone.value}")
    track = turn.state.track(track.id) or track
    return turn.flag(turn.put(replace(tear(turn, track), reached=RANK[zone])), Flag.SENSOR_FAULT)


def _read_at_line(state: LaneState, track: Track) -> bool:
    """Whether an antenna over the stop loop has read what is its own."""
    s, spans = state.config.geometry.s, {(name, port): span for name, port, span in state.config.geometry.antennas}
    heard = (spans.get((a.sighting.device, a.sighting.antenna)) for a in track.conveyance.assignments)
    return any(span is not None and span.start_m <= s.end_m and s.start_m <= span.end_m for span in heard)


def _dwell_over_line(turn: Turn, track: Track) -> Track:
    """A stop with the vehicle across the line counts too."""
    nose = track.fixes.s_nose
    if nose is None:
        return track
    config = turn.state.config
    length = track.conveyance.length_m or config.geometry.length_max_m
    lost_ms = stop_ms(0.0, nose.mono_ns, length, turn.now_ns, config.kinematics)
    conveyance = track.conveyance
    conveyance = replace(conveyance, stops=conveyance.stops + (lost_ms > 0), dwell_ms=conveyance.dwell_ms + lost_ms)
    return replace(track, conveyance=conveyance)


def _leave_stop_loop(turn: Turn, track: Track) -> None:
    """The stop loop is clear again: behind a crossing vehicle, or because one rolled back without crossing."""
    if not track.upstream:
        turn.put(replace(track, loop_off_ns=turn.now_ns))
        return
    if turn.state.zones.occupied(Zone.BEAM):  # forwards: a tail leaves the loop before the beam
        lose_order(turn, "crossed_under_a_broken_beam")
        passed_unseen(turn, replace(track, over=(*track.over, Zone.BEAM)))
        return
    if track.directed:  # an officer sent it out of the lane on this side of the line, and says when it has gone:
        track = turn.flag(turn.put(replace(track, diverted=True, standing=None)), Flag.DIVERTED)
        if track.over:  # its tail, perhaps; or another one's, whose nose no edge could show
            turn.flag(track, Flag.DOUBTFUL)
        turn.event(EventCode.DIVERTED, Severity.INFO, track.id)
        lose_order(turn, "diverted_upstream_of_the_line")  # the loop alone may be dead, with the vehicle still on it
        return
    back = replace(track, reached=RANK[Zone.D], fixes=ZoneTimes(), standing=None, beyond=None, suspect=True)
    track = turn.put(tear(turn, back))
    track = turn.flag(track, Flag.REVERSED)
    turn.event(EventCode.REVERSED, Severity.ALARM, track.id)
    held = turn.state.held
    if held is not None and held.lease.conveyance_id == track.id:  # or it has gone through a beam that is blind
        spent = Spent(held.lease.standing, was_confirmed(last_shown(turn.state, track, held.first.mono_ns)))
        withdraw(turn, "reversed", immediate=True)
        turn.put(replace(turn.state.track(track.id) or track, perhaps_crossed=True, spent=spent))
        beam_missed(turn)
    lose_order(turn, "reversed_at_stop_line")
