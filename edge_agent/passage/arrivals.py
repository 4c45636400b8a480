"""New vehicles: a record for each that physical order shows, expected or not; and whether a known one could be it."""

from edge_agent.model.conveyance import Conveyance, Flag
from edge_agent.model.effects import Severity
from edge_agent.model.lane import LaneMode, Zone
from edge_agent.model.records import replace

from .codes import EventCode
from .kinematics import FEASIBLE_FACTOR, could_have_come
from .state import CROSSED, RANK, LaneState, Track
from .turn import Turn


def new_track(turn: Turn, zone: Zone) -> Track:
    """A record for a vehicle that this zone has seen first; not in the order yet."""
    counts = replace(turn.state.counts, detected=turn.state.counts.detected + 1)
    turn.state = replace(turn.state, counts=counts)
    conveyance = Conveyance(conveyance_id=turn.mint(), bundle_id=turn.mint(), order=counts.detected, detected=turn.at)
    return Track(conveyance=conveyance, moved=turn.at, reached=RANK[zone])


def unexpected(turn: Turn, zone: Zone) -> Track | None:
    """A vehicle that no zone upstream has seen: it gets a record of its own, ahead of those still upstream of the zone.

    In ALL_HOLD (emergency or opposite-direction use) no passage is invented."""
    if turn.state.mode is LaneMode.ALL_HOLD:
        return None
    track = replace(new_track(turn, zone), suspect=True, reached=RANK[zone] - 1)
    flags = [Flag.ORDER_UNKNOWN]
    if RANK[zone] >= CROSSED:
        flags.append(Flag.ORPHANED)
    track = replace(track, conveyance=replace(track.conveyance, flags=tuple(sorted(flags))))
    tracks = turn.state.tracks
    ahead = sum(1 for other in tracks if other.reached >= RANK[zone])
    turn.state = replace(turn.state, tracks=(*tracks[:ahead], track, *tracks[ahead:]))
    turn.event(EventCode.UNEXPECTED, Severity.ALARM, track.id, zone=zone.value)
    return track


def could_come(state: LaneState, track: Track, zone: Zone, now_ns: int, factor: float = FEASIBLE_FACTOR) -> bool:
    """Whether this vehicle may be at the zone now, at most `factor` times as fast as the lane allows."""
    config = state.config
    return could_have_come(track.fixes, zone, now_ns, config.geometry, config.kinematics, factor)
