"""The next instant at which time alone changes something: between now and then a tick costs nothing."""

from collections.abc import Iterator

from edge_agent.model.decision import Verdict

from .chatter import chatter_due_ns
from .decisions import effective
from .kinematics import NS
from .leases import half_time_ns, late_due_ns, worn_due_ns
from .progress import commit_due_ns, standing_due_ns, stopped_due_ns
from .requests import request_due_ns
from .sealing import end_due_ns
from .sightings import sighting_due_ns
from .state import NEVER, Track
from .strays import strays_due_ns
from .turn import Turn


def due_ns(turn: Turn) -> int:
    """Monotonic time of the next change by time; NEVER when there is none."""
    return min(
        (*_lane_due(turn), *(due for track in turn.state.tracks for due in _track_due(turn, track))), default=NEVER
    )


def _track_due(turn: Turn, track: Track) -> Iterator[int]:
    state = turn.state
    yield end_due_ns(state, track)
    if not track.upstream:
        return
    yield commit_due_ns(state, track)
    yield standing_due_ns(state, track)
    yield stopped_due_ns(state, track)
    yield request_due_ns(turn, track)
    for decision in track.conveyance.decisions[track.decisions_from :]:
        if decision.verdict is Verdict.RELEASE and decision.deadline_mono_ns > turn.now_ns:
            yield decision.deadline_mono_ns


def _lane_due(turn: Turn) -> Iterator[int]:
    state = turn.state
    if state.maintenance is not None:
        yield state.maintenance.until_ns
    for pending in state.pending:
        yield sighting_due_ns(turn, pending)
    yield from strays_due_ns(turn)
    yield from chatter_due_ns(state)
    held = state.held
    track = state.track(held.lease.conveyance_id) if held is not None else None
    if held is None or track is None:
        return
    policy = state.config.policy
    yield worn_due_ns(policy, held, track)
    yield held.lease.deadline_mono_ns
    yield late_due_ns(state, held)
    decision = effective(track, turn.now_ns)
    if decision is not None and decision.deadline_mono_ns > held.lease.deadline_mono_ns:
        yield half_time_ns(held)
    if not state.centre.up and state.centre.since is not None:
        yield state.centre.since.mono_ns + int(policy.centre_grace_s * NS)
