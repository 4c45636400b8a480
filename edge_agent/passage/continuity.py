"""Whether everything on a record is one vehicle's. Zones make a record and carry it on; where they may have carried it
on to another vehicle it is torn, and only a tag that is read on both sides of the tear ties it together again.

A record that is torn when it ends claims no identity: what was read is kept as doubtful, it may be either's.
"""

from dataclasses import fields

from edge_agent.model.conveyance import Conveyance, Flag, ZoneTimes
from edge_agent.model.identity import IdentityKind, Sighting
from edge_agent.model.lane import Geometry, Zone
from edge_agent.model.records import replace

from .kinematics import FEASIBLE_FACTOR, NS, SHORTEST_M, metres_per_second, zone_end_m, zone_start_m
from .legs import claim_keys
from .state import Torn, Track
from .turn import Turn

_ORDER_DOUBTED = frozenset({Flag.ORDER_UNKNOWN, Flag.SENSOR_FAULT, Flag.RESTARTED})
_AT_EXIT = frozenset({"x_nose", "x_tail"})


def tear(turn: Turn, track: Track) -> Track:
    """From now on zones may show another vehicle on this record than before; not stored. A record on which there is
    nothing yet is whoever's it becomes."""
    conveyance, before = track.conveyance, track.torn
    if before is not None:
        apart = before.apart or _other_tags(conveyance, before)
        return replace(track, torn=Torn(turn.now_ns, before.claims, before.times, apart))
    if conveyance.times == ZoneTimes() and not conveyance.assignments:
        return track
    return replace(track, torn=Torn(turn.now_ns, claim_keys(conveyance), conveyance.times))


def fleeting(turn: Turn, track: Track, zone: Zone) -> bool:
    """Whether the zone that becomes free now was occupied for less than the shortest vehicle takes: a sensor that
    chatters, or a person. At X that is judged by the crossing (`exit_seen`)."""
    times = track.fixes
    came = {Zone.A: times.a_nose, Zone.D: times.d_nose, Zone.BEAM: times.s_nose}.get(zone)
    if came is None or (not track.upstream and zone is not Zone.BEAM):
        return False
    config = turn.state.config
    way_m = SHORTEST_M + zone_end_m(zone, config.geometry) - zone_start_m(zone, config.geometry)
    least_s = way_m / (FEASIBLE_FACTOR * metres_per_second(config.kinematics.v_max_kmh))
    return turn.now_ns - came.mono_ns < int(least_s * NS)


def tied(track: Track, sighting: Sighting) -> Track:
    """The same record, whole again where this evidence of its own was read before the tear and after it; not stored."""
    torn, claim = track.torn, sighting.claim
    if (
        torn is None
        or torn.apart
        or sighting.last.mono_ns < torn.at_ns
        or (claim.kind.value, claim.token) not in torn.claims
    ):
        return track
    return replace(track, torn=None)


def read_where_it_is(track: Track, sighting: Sighting, geometry: Geometry) -> bool:
    """Whether the antenna looks at a zone that this vehicle is over."""
    spans = (span for device, port, span in geometry.antennas if (device, port) == (sighting.device, sighting.antenna))
    return any(
        span.start_m <= zone_end_m(zone, geometry) and zone_start_m(zone, geometry) <= span.end_m
        for span in spans
        for zone in (Zone.A, Zone.D, Zone.S)
        if zone in track.over
    )


def perhaps_two(track: Track, elsewhere: frozenset[tuple[str, str]]) -> bool:
    """Whether what is on the record may be two vehicles': it is torn and something came after that, or it was in a
    corridor whose order was in doubt and carries what others do (`elsewhere`) or did while it was there, or two
    transponders. Where no sensor failed a vehicle may well have two, as with one on its trailer."""
    conveyance = track.conveyance
    claims = set(claim_keys(conveyance))
    several = sum(1 for kind, _ in claims if kind == IdentityKind.TRANSPONDER.value) > 1
    shared = bool(claims & elsewhere) or Flag.DUPLICATE_IDENTITY in conveyance.flags
    if (several or shared) and _ORDER_DOUBTED & set(conveyance.flags):
        return True
    torn = track.torn
    return torn is not None and (torn.apart or _other_came(conveyance, torn))


def unclaimed(turn: Turn, track: Track) -> Track:
    """Nothing that was read is claimed as this record's own: it is kept as doubtful."""
    conveyance = track.conveyance
    doubtful = (*conveyance.doubtful, *conveyance.assignments)
    return turn.flag(turn.put_conveyance(track, replace(conveyance, assignments=(), doubtful=doubtful)), Flag.MIXED)


def _other_came(conveyance: Conveyance, torn: Torn) -> bool:
    """Whether zones or readers have shown something new on this record since it was torn; of one that was read before,
    zones upstream of X: what leaves behind the line was let through by what was read."""
    return _other_tags(conveyance, torn) or any(
        getattr(conveyance.times, f.name) is not None and getattr(torn.times, f.name) is None
        for f in fields(torn.times)
        if not torn.claims or f.name not in _AT_EXIT
    )


def _other_tags(conveyance: Conveyance, torn: Torn) -> bool:
    return not set(claim_keys(conveyance)) <= set(torn.claims)
