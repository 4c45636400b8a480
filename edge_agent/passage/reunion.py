"""Known again by its tags: who stands where another record was thought to be, after a sensor lied or nobody looked.

Order makes vehicles. Where it is in doubt already, a tag that the next vehicle behind is known to carry says that this
one is that vehicle: a record that began out of order was none of its own, and one lost from sight has gone.
"""

from dataclasses import fields

from edge_agent.model.conveyance import Flag, ZoneTimes
from edge_agent.model.decision import Authority
from edge_agent.model.effects import Severity
from edge_agent.model.identity import Assignment, IdentityClaim
from edge_agent.model.records import replace

from .arrivals import could_come
from .codes import EventCode
from .crossing import passed_unseen
from .kinematics import OVERLONG, zone_end_m, zone_start_m
from .sealing import seal
from .state import ZONES, LaneState, Track
from .turn import Turn


def known_again(turn: Turn, track: Track, claim: IdentityClaim) -> tuple[Track, tuple[Assignment, ...]]:
    """Who is to get evidence that fits `track`, and what else of that record is its evidence too: the vehicle behind,
    where it carries this very tag and is where the record is. The record it takes the place of ends here."""
    behind = next_in_place(turn, track, claim)
    if behind is None:
        return track, ()
    return _absorb(turn, track, behind) if _newcomer(track) else (_overtake(turn, track, behind), ())


def next_in_place(turn: Turn, track: Track, claim: IdentityClaim) -> Track | None:
    """The vehicle behind, where this tag says that it is the one that stands where this record is."""
    behind = _next_behind(turn.state, track)
    if behind is None or carries(track, claim) or not carries(behind, claim) or not _open_to_doubt(track):
        return None
    known = _newcomer(track) or _lost(track)
    return behind if known and _can_be_there(turn.state, behind, track, turn.now_ns) else None


def strange(turn: Turn, track: Track, claim: IdentityClaim) -> bool:
    """Whether the vehicle has backed out of sight at the line since it was read, or was on its way aside when the agent
    stopped, and this binding tag is not known to be its own, nor the next one's: either may be there, and nobody has
    looked."""
    gone = (Flag.REVERSED in track.conveyance.flags or track.directed_before) and _lost(track)
    return claim.binding and gone and not carries(track, claim) and next_in_place(turn, track, claim) is None


def borrowed(turn: Turn, track: Track, claim: IdentityClaim) -> bool:
    """Whether another vehicle in the lane carries this very tag, and a gap in the zone inputs has left it open where
    this one was: then it is not known to be this one's. Where it says who stands here (`next_in_place`) it is not."""
    if track.beyond is None or next_in_place(turn, track, claim) is not None:
        return False
    return any(t.id != track.id and carries(t, claim) for t in turn.state.tracks)


def _lost(track: Track) -> bool:
    """Whether it was lost from sight upstream of the line, and nobody has looked since."""
    flags = track.conveyance.flags
    return track.upstream and track.suspect and (Flag.REVERSED in flags or Flag.RESTARTED in flags)


def carries(track: Track, claim: IdentityClaim) -> bool:
    """Whether this very tag is its evidence."""
    return any(
        a.sighting.claim.kind is claim.kind and a.sighting.claim.token == claim.token
        for a in track.conveyance.assignments
    )


def _next_behind(state: LaneState, track: Track) -> Track | None:
    place = next((n for n, t in enumerate(state.tracks) if t.id == track.id), len(state.tracks))
    return state.tracks[place + 1] if place + 1 < len(state.tracks) else None


def _open_to_doubt(track: Track) -> bool:
    """Upstream of the line, out of order, and neither released nor directed by anybody who has looked since."""
    officer = any(d.authority is not Authority.SYSTEM for d in track.conveyance.decisions[track.decisions_from :])
    directed = track.directed and not track.directed_before
    return track.upstream and track.suspect and track.conveyance.lease is None and not directed and not officer


def _newcomer(track: Track) -> bool:
    """A record that a zone downstream of A began."""
    times = track.conveyance.times
    return times.a_nose is None and Flag.RESTARTED not in track.conveyance.flags


def _can_be_there(state: LaneState, vehicle: Track, there: Track, now_ns: int) -> bool:
    """Whether the vehicle behind can have come to that record's place, and is over no zone too far from it."""
    geometry = state.config.geometry
    zones = there.over or (ZONES[max(0, there.reached)],)
    nose_m = max(zone_start_m(zone, geometry) for zone in zones)
    near = all(nose_m - zone_end_m(zone, geometry) <= geometry.length_max_m * OVERLONG for zone in vehicle.over)
    return near and vehicle.upstream and could_come(state, vehicle, ZONES[max(0, there.reached)], now_ns)


def _absorb(turn: Turn, record: Track, vehicle: Track) -> tuple[Track, tuple[Assignment, ...]]:
    taken = record.conveyance.assignments
    bare = turn.put_conveyance(record, replace(record.conveyance, assignments=(), doubtful=()))
    seal(turn, turn.flag(bare, Flag.UNPROVEN, Flag.SENSOR_FAULT), "same_as_next")
    times = _joined(vehicle.conveyance.times, record.conveyance.times)
    return _placed(turn, record, replace(vehicle, conveyance=replace(vehicle.conveyance, times=times))), taken


def _overtake(turn: Turn, gone: Track, vehicle: Track) -> Track:
    """Times since it was lost from sight are the other's; where it had green then it may have crossed unseen."""
    its = _without(gone.conveyance.times, gone.fixes)
    over, gone = gone, turn.put_conveyance(gone, replace(gone.conveyance, times=its))
    gone = turn.flag(turn.put(replace(gone, over=())), Flag.DOUBTFUL)
    if gone.directed:  # an officer sent it elsewhere, and it is not here any more
        gone = turn.flag(gone, Flag.DIVERTED)
        turn.event(EventCode.DIVERTED, Severity.INFO, gone.id)
    if gone.green_at_gap or gone.perhaps_crossed:
        passed_unseen(turn, gone)
    else:
        seal(turn, gone, "not_there_any_more")
    times = _joined(vehicle.conveyance.times, over.fixes)
    return _placed(turn, over, replace(vehicle, conveyance=replace(vehicle.conveyance, times=times)))


def _placed(turn: Turn, record: Track, vehicle: Track) -> Track:
    """The vehicle where the record was; out of order, so that its identity proves nothing until somebody looks."""
    over = tuple(zone for zone in ZONES if zone in vehicle.over or zone in record.over)
    vehicle = replace(
        vehicle,
        reached=max(vehicle.reached, record.reached),
        over=over,
        fixes=_joined(vehicle.fixes, record.fixes),
        standing=record.standing,
        moved=record.moved,
        suspect=True,
    )
    return turn.flag(turn.put(vehicle), Flag.SENSOR_FAULT)


def _joined(first: ZoneTimes, then: ZoneTimes) -> ZoneTimes:
    return replace(first, **{f.name: getattr(then, f.name) for f in fields(first) if getattr(first, f.name) is None})


def _without(times: ZoneTimes, others: ZoneTimes) -> ZoneTimes:
    same = (f.name for f in fields(times) if getattr(times, f.name) == getattr(others, f.name))
    return replace(times, **dict.fromkeys(same))
