"""What a record may claim. An accusation needs sensors that agree, a vehicle needs two witnesses; where they are
wanting the record says so, and nobody is accused on it."""

from dataclasses import replace

from edge_agent.model.conveyance import Conveyance, Flag
from edge_agent.model.effects import Severity
from edge_agent.model.lane import Zone

from .codes import EventCode
from .kinematics import NS, SLOW_SECONDS, consistent, metres_per_second, zone_end_m
from .state import LaneState, Track
from .turn import Turn

WITNESSES = 2
"""So many different witnesses (zones, readers) make a vehicle: one sensor alone may be stuck, or a person on it."""


def may_accuse(state: LaneState, track: Track) -> bool:
    """Whether a crossing on red is this driver's doing beyond doubt so far: the vehicle came from zone to zone as it
    must, and the stop loop saw it before the beam did."""
    return _came_in_order(track) and track.fixes.s_loop is not None and Zone.S in track.over and state.zones.fresh


def _came_in_order(track: Track) -> bool:
    """Whether a zone upstream of the line has seen it, and no zone has contradicted another about it."""
    times = track.conveyance.times
    seen = times.a_nose is not None or times.d_nose is not None
    return seen and not {Flag.SENSOR_FAULT, Flag.DOUBTFUL} & set(track.conveyance.flags)


def crossed_in_doubt(turn: Turn, track: Track) -> None:
    """It has crossed on red, if it has: an alarm to whoever looks, but no accusation."""
    turn.flag(track, Flag.DOUBTFUL)
    turn.event(EventCode.VIOLATION_DOUBTFUL, Severity.ALARM, track.id, reason="sensors_disagree")


def withdraw_accusation(turn: Turn, track: Track, reason: str) -> Track:
    """What the record says of a violation does not stand: it is taken out of flags and counts, and the doubt put in."""
    conveyance = track.conveyance
    if Flag.VIOLATION not in conveyance.flags:
        return track
    flags = {*conveyance.flags, Flag.DOUBTFUL} - {Flag.VIOLATION}
    counts = turn.state.counts
    turn.state = replace(turn.state, counts=replace(counts, violations=counts.violations - 1))
    track = turn.put_conveyance(track, replace(conveyance, flags=tuple(sorted(flags))))
    turn.event(EventCode.VIOLATION_DOUBTFUL, Severity.WARNING, track.id, reason=reason)
    return track


def beam_outlasted_loop(state: LaneState, track: Track, now_ns: int) -> bool:
    """Whether the beam stayed broken longer after the stop loop was free than any tail needs from one to the other:
    then it was not this vehicle that broke it, or it left the loop another way."""
    if not track.loop_off_ns:
        return False
    config = state.config
    gap_m = zone_end_m(Zone.BEAM, config.geometry) - config.geometry.s.end_m
    slow_s = config.policy.stopped_factor * gap_m / metres_per_second(config.kinematics.v_min_kmh)
    return now_ns - track.loop_off_ns > int(max(SLOW_SECONDS, slow_s) * NS)


def settle(turn: Turn, track: Track) -> Track:
    """The last look at a record before it is sealed: what is left of accusations, and how many witnesses there are."""
    exit_seen = track.conveyance.times.x_nose is not None or not turn.state.config.geometry.exit_sensed
    if not _came_in_order(track) or not exit_seen or track.conveyance.times.s_tail is None:
        track = withdraw_accusation(turn, track, "crossing_not_seen_in_full")
    if not consistent(track.conveyance.times, turn.state.config.geometry):
        track = turn.flag(track, Flag.SENSOR_FAULT)
    if witnesses(track.conveyance) < WITNESSES:
        track = turn.flag(track, Flag.UNPROVEN)
    return track


def witnesses(conveyance: Conveyance) -> int:
    """How many different zones and readers have shown this vehicle."""
    times = conveyance.times
    zones = (
        (times.a_nose, times.a_tail),
        (times.d_nose, times.d_tail),
        (times.s_loop,),
        (times.s_nose, times.s_tail),
        (times.x_nose, times.x_tail),
    )
    seen = sum(1 for stamps in zones if any(stamp is not None for stamp in stamps))
    return seen + len({assignment.sighting.device for assignment in conveyance.assignments})
