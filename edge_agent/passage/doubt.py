"""What a record may claim. An accusation needs sensors that agree, a vehicle needs two witnesses; where they are
wanting the record says so, and nobody is accused on it."""

from edge_agent.model.conveyance import Conveyance, Flag
from edge_agent.model.effects import Severity
from edge_agent.model.lane import Zone
from edge_agent.model.records import replace

from .codes import EventCode
from .continuity import perhaps_two, unclaimed
from .kinematics import NS, SLOW_SECONDS, consistent, metres_per_second, zone_end_m
from .legs import claim_keys
from .state import LaneState, SealedPassage, Track
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
    elsewhere = _claims_elsewhere(turn, track)
    if witnesses(track.conveyance, elsewhere) < WITNESSES or _perhaps_another(track.conveyance, elsewhere):
        track = turn.flag(track, Flag.UNPROVEN)
    claimed = _claims_elsewhere(turn, track, claimed=True)
    return unclaimed(turn, track) if perhaps_two(track, claimed) else track


def _perhaps_another(conveyance: Conveyance, elsewhere: frozenset[tuple[str, str]]) -> bool:
    """Whether all that was read of it was read of others too, and it never came to the line: it may be one of them."""
    claims, times = set(claim_keys(conveyance)), conveyance.times
    return bool(claims) and claims <= elsewhere and not (times.s_loop or times.s_nose or times.x_nose)


def _claims_elsewhere(turn: Turn, track: Track, *, claimed: bool = False) -> frozenset[tuple[str, str]]:
    """(kind, token) of what other vehicles carry, and those that have gone lately: it may have been read of them.
    `claimed`: not of what was read of one whose record claims none of it."""
    since_ns = turn.now_ns - int(turn.state.config.policy.abandon_s * NS)
    gone = (claim for sealed in turn.state.sealed if _counts(sealed, since_ns, claimed) for claim in sealed.claims)
    here = (claim for other in turn.state.tracks if other.id != track.id for claim in claim_keys(other.conveyance))
    return frozenset((*gone, *here))


def _counts(sealed: SealedPassage, since_ns: int, claimed: bool) -> bool:
    return sealed.at_ns >= since_ns and not (claimed and sealed.mixed)


def witnesses(conveyance: Conveyance, elsewhere: frozenset[tuple[str, str]] = frozenset()) -> int:
    """How many different zones and readers have shown this vehicle; what was read of others too (`elsewhere`) does not
    count."""
    times = conveyance.times
    zones = (
        (times.a_nose, times.a_tail),
        (times.d_nose, times.d_tail),
        (times.s_loop,),
        (times.s_nose, times.s_tail),
        (times.x_nose, times.x_tail),
    )
    seen = sum(1 for stamps in zones if any(stamp is not None for stamp in stamps))
    own = (a.sighting for a in conveyance.assignments)
    return seen + len({s.device for s in own if (s.claim.kind.value, s.claim.token) not in elsewhere})
