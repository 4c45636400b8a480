"""Which vehicle a sighting belongs to: a score per vehicle from where it can have been when the signal peaked.

The penalty is in centi-decibel: what a tag loses (two-way path, 40 log10) by being outside the antenna's span, and by
how little of the vehicle's possible positions the span covers. A vehicle no zone has seen yet is always a rival, so
that a follower heard early is not given to the vehicle ahead.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from drivers.api import Stamp
from edge_agent.model.identity import IdentityKind, Sighting
from edge_agent.model.lane import Geometry, Zone, ZoneSpan
from edge_agent.model.records import replace

from .kinematics import (
    NS,
    SHORTEST_M,
    Interval,
    consistent,
    metres_per_second,
    nose_fixes,
    nose_interval,
    wall_after_m,
    zone_start_m,
)
from .state import CoreConfig, Track

CAB_M = 4.0
"""Cards and the windscreen transponder are at most this far behind the nose."""
GAP_M = 1.0
"""Nobody stands closer behind another vehicle than this."""
HEADWAY_S = 0.7
"""And nobody drives closer in time than this, on top of it."""
REACH = 0.5
"""A tag this many half-spans outside the span may still have its peak there: walls, mirrors, uneven antennas."""
HEARING = 2.0
"""Beyond this many half-spans outside the span a tag is not heard."""
LEAST_FIT = 0.05
"""Share of a vehicle's possible positions that counts as "hardly any" (13 dB)."""
ANY_VEHICLE = "unseen"
"""The rival that no zone has seen yet."""

CAB_KINDS = frozenset({IdentityKind.DRIVER_CARD, IdentityKind.TRANSPONDER, IdentityKind.PLATE_FRONT})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A vehicle a sighting may belong to. `penalty_cdb` 0 is a perfect fit; `inside`: the peak lies in its window;
    `sound` False: its zone times contradict one another, so that where it was is not known."""

    conveyance_id: str
    penalty_cdb: float
    inside: bool
    sound: bool = True

    @property
    def score(self) -> float:
        """1 for a perfect fit, towards 0 as the penalty grows (0.71 at 6 dB)."""
        return float(10 ** (-self.penalty_cdb / 4000))


def span_of(sighting: Sighting, geometry: Geometry) -> ZoneSpan | None:
    """The span of the antenna that made this sighting; None for an antenna the lane does not know."""
    for device, antenna, span in geometry.antennas:
        if device == sighting.device and antenna == sighting.antenna:
            return span
    return None


def over_antenna(device: str, antenna: int, tracks: Iterable[Track], config: CoreConfig, at_ns: int) -> tuple[str, ...]:
    """Conveyances that can be over an antenna now, at any of their length; `antenna` 0: over any of the reader's."""
    geometry = config.geometry
    spans = [span for of, number, span in geometry.antennas if of == device and antenna in (0, number)]
    found = []
    for track in tracks:
        nose = nose_interval(track.fixes, geometry, config.kinematics, at_ns)
        if nose is not None and any(
            nose.latest_m >= span.start_m and nose.earliest_m - geometry.length_max_m <= span.end_m for span in spans
        ):
            found.append(track.id)
    return tuple(found)


def faint(sighting: Sighting, geometry: Geometry) -> bool:
    """Whether it is weaker than any tag of this lane's vehicles: one of the next lane, or not under the antenna yet."""
    return any(
        sighting.rssi_peak_cdbm < floor
        for device, antenna, floor in geometry.floors
        if device == sighting.device and antenna == sighting.antenna
    )


def lay_there_before(sighting: Sighting, best: Candidate | None, tracks: Iterable[Track], config: CoreConfig) -> bool:
    """Whether the antenna heard it, no weaker, when its best vehicle can only have been out of hearing: then it is no
    vehicle's, even if its level wavers up while one is there."""
    span = span_of(sighting, config.geometry)
    level = sighting.rssi_mean_cdbm
    if best is None or span is None or not level:
        return False
    if sighting.rssi_peak_cdbm - level >= config.policy.static_rise_cdb:
        return False  # it came nearer
    fixes = next(track.fixes for track in tracks if track.id == best.conveyance_id)
    then = nose_interval(fixes, config.geometry, config.kinematics, sighting.first.mono_ns)
    return then is not None and then.earliest_m < span.start_m - HEARING * _half(span)


def exit_stamp(sighting: Sighting, track: Track, geometry: Geometry) -> Stamp | None:
    """When the vehicle's tail left the zone nearest to the antenna; None while it has not."""
    span = span_of(sighting, geometry)
    if span is None:
        return None
    times = track.fixes
    return {Zone.A: times.a_tail, Zone.D: times.d_tail, Zone.BEAM: times.s_tail}[_nearest_zone(span, geometry)]


def _nearest_zone(span: ZoneSpan, geometry: Geometry) -> Zone:
    middle = (span.start_m + span.end_m) / 2
    return min((Zone.A, Zone.D, Zone.BEAM), key=lambda zone: abs(zone_start_m(zone, geometry) - middle))


def candidates(sighting: Sighting, tracks: Iterable[Track], config: CoreConfig) -> tuple[Candidate, ...]:
    """Every vehicle with presence, best first; empty for an unknown antenna."""
    span = span_of(sighting, config.geometry)
    if span is None:
        return ()
    found: list[Candidate] = []
    placed: dict[str, Track] = {}
    limit = float("inf")
    for track in tracks:  # most downstream first: nobody is ahead of the vehicle ahead
        nose = nose_interval(track.fixes, config.geometry, config.kinematics, sighting.peak.mono_ns)
        nose = nose or _found_over_zone(track, sighting.peak.mono_ns, config)
        if nose is None:
            continue
        nose = _not_behind(nose, track, sighting.peak.mono_ns, config)
        nose = Interval(min(nose.earliest_m, limit), min(nose.latest_m, limit))
        limit = nose.earliest_m - SHORTEST_M - GAP_M
        sound = consistent(track.fixes, config.geometry) and not _flickered_then(track, sighting, config.geometry)
        found.append(_candidate(sighting, track.id, nose, span, config.geometry, sound=sound))
        placed[track.id] = track
    found = _with_those_seen_there(found, placed, sighting, span, config.geometry)
    return tuple(sorted(found, key=lambda c: (c.penalty_cdb, c.conveyance_id)))


def _with_those_seen_there(
    found: list[Candidate], placed: dict[str, Track], sighting: Sighting, span: ZoneSpan, geometry: Geometry
) -> list[Candidate]:
    """Whoever was over the zone at the antenna fits no worse than a best one that is only reckoned to have been near:
    it may have stood there, which its zone times do not say."""
    best = min(found, key=lambda c: (c.penalty_cdb, c.conveyance_id), default=None)
    if best is None or not best.inside or not _reckoned_back(placed[best.conveyance_id], sighting, geometry):
        return found
    return [
        replace(c, penalty_cdb=best.penalty_cdb, inside=True)
        if c is not best and _over_zone_there(placed[c.conveyance_id], sighting, span, geometry)
        else c
        for c in found
    ]


def _reckoned_back(track: Track, sighting: Sighting, geometry: Geometry) -> bool:
    """Whether the first zone that has seen this vehicle since a gap in the zone inputs did so after the tag was heard
    strongest: where it was then is reckoned back from there."""
    noses = nose_fixes(track.fixes, geometry)
    return track.beyond is not None and bool(noses) and noses[0][0] > sighting.peak.mono_ns


def _over_zone_there(track: Track, sighting: Sighting, span: ZoneSpan, geometry: Geometry) -> bool:
    """Whether this vehicle was over the zone nearest to the antenna when the tag was heard strongest."""
    times, zone = track.fixes, _nearest_zone(span, geometry)
    came = {Zone.A: times.a_nose, Zone.D: times.d_nose, Zone.BEAM: times.s_loop}[zone]
    left = {Zone.A: times.a_tail, Zone.D: times.d_tail, Zone.BEAM: times.s_tail}[zone]
    then_ns = sighting.peak.mono_ns
    return came is not None and came.mono_ns <= then_ns and (left is None or left.mono_ns >= then_ns)


def unseen_rival(sighting: Sighting, tracks: Iterable[Track], config: CoreConfig) -> Candidate | None:
    """The next vehicle, which A has not seen: upstream of A, and behind the last vehicle over A."""
    geometry = config.geometry
    span = span_of(sighting, geometry)
    if span is None:
        return None
    nearest = geometry.a.start_m
    for track in tracks:
        nearest = min(nearest, _behind_m(track, sighting.peak.mono_ns, config))
    gap = max(0.0, span.start_m - nearest)
    return Candidate(ANY_VEHICLE, _distance_cdb(gap, span), gap <= REACH * _half(span))


def _found_over_zone(track: Track, at_ns: int, config: CoreConfig) -> Interval | None:
    """Where the nose of a vehicle is that zone inputs found over a zone after a gap, before any edge of its own."""
    if track.beyond is None or not track.over or not track.upstream or at_ns < track.beyond[0]:
        return None
    least_m = track.beyond[1]
    return Interval(wall_after_m(least_m, config.geometry), least_m)


def _flickered_then(track: Track, sighting: Sighting, geometry: Geometry) -> bool:
    """Whether only a loop that chattered had told of this vehicle when the tag was heard strongest."""
    noses = nose_fixes(track.fixes, geometry)
    return track.flickered and (not noses or noses[0][0] > sighting.peak.mono_ns)


def _not_behind(nose: Interval, track: Track, at_ns: int, config: CoreConfig) -> Interval:
    """The same, without what lies behind where zone inputs found it after a gap, when they have seen little since."""
    if track.beyond is None:
        return nose
    since_ns, least_m = track.beyond
    least_m -= metres_per_second(config.kinematics.v_max_kmh) * max(0, since_ns - at_ns) / NS
    return Interval(max(nose.earliest_m, least_m), max(nose.latest_m, least_m))


def _behind_m(track: Track, at_ns: int, config: CoreConfig) -> float:
    """How far downstream the nose of a vehicle behind this one can be: behind the shortest vehicle, at the headway
    drivers keep, whatever speed in the lane's bounds both had since A. Infinite for a vehicle not yet at A then."""
    entered = track.fixes.a_nose
    if entered is None or entered.mono_ns > at_ns:
        return float("inf")
    nose = nose_interval(track.fixes, config.geometry, config.kinematics, at_ns)
    elapsed = (at_ns - entered.mono_ns) / NS
    slow, fast = (metres_per_second(kmh) for kmh in (config.kinematics.v_min_kmh, config.kinematics.v_max_kmh))
    ahead = config.geometry.a.start_m + max(v * (elapsed - HEADWAY_S) for v in (slow, fast))
    if nose is not None:
        ahead = min(ahead, nose.earliest_m - slow * HEADWAY_S)
    behind = ahead - SHORTEST_M - GAP_M
    left = track.fixes.a_tail
    if left is not None and left.mono_ns > at_ns:  # its tail was still over A then, and this far from leaving it
        tail = config.geometry.a.end_m - slow * (left.mono_ns - at_ns) / NS
        behind = min(behind, tail - GAP_M)
    return behind


def _candidate(
    sighting: Sighting, conveyance_id: str, nose: Interval, span: ZoneSpan, geometry: Geometry, *, sound: bool
) -> Candidate:
    depth = CAB_M if sighting.claim.kind in CAB_KINDS else geometry.length_max_m
    rear, front = nose.latest_m - depth, nose.earliest_m
    gap = max(0.0, rear - span.end_m, span.start_m - front)
    overlap = max(0.0, min(front, span.end_m) - max(rear, span.start_m))
    fit = max(LEAST_FIT, overlap / (front - rear)) if gap == 0 else LEAST_FIT
    penalty = _distance_cdb(gap, span) - 1000 * math.log10(fit)
    return Candidate(conveyance_id, penalty, gap <= REACH * _half(span), sound)


def _half(span: ZoneSpan) -> float:
    return max(0.5, (span.end_m - span.start_m) / 2)


def _distance_cdb(gap_m: float, span: ZoneSpan) -> float:
    return 4000 * math.log10(1 + gap_m / _half(span))
