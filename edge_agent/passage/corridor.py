"""The passage core's one entry: `step(state, input) -> (state, effects)`. Deterministic; a fold over the journal."""

from collections.abc import Callable, Iterable

from edge_agent.model.effects import Effect
from edge_agent.model.inputs import (
    ActReceived,
    BarrierChanged,
    CaptureEnded,
    CentreLink,
    ClockStepped,
    ConsolePresence,
    ControlLost,
    CoreInput,
    DecisionReceived,
    DeviceChanged,
    HeadCommissioned,
    HeadTested,
    SeenElsewhere,
    SightingChanged,
    SignalChanged,
    Started,
    StoreHealth,
    Tick,
    VehicleUnread,
    ZonesChanged,
    ZonesLost,
)
from edge_agent.model.records import replace

from .acts import on_act
from .chatter import review_chatter
from .decisions import on_decision
from .due import due_ns
from .lane_control import on_control_lost
from .leases import review_lease
from .links import (
    on_barrier,
    on_centre,
    on_clock,
    on_commissioned,
    on_console,
    on_device,
    on_head_tested,
    on_signal,
    on_started,
    on_store,
    on_unread,
    review_conditions,
    review_mode,
)
from .maintenance import on_capture_ended, review_maintenance
from .order import review_order
from .progress import review_phases, review_progress
from .requests import review_requests
from .sealing import review_ends
from .sightings import on_sighting, review_sightings
from .state import CoreConfig, LaneState, Track, initial_state
from .strays import review_strays
from .tokens import on_seen_elsewhere
from .turn import Turn
from .zones import on_zones, on_zones_lost

__all__ = ["CoreConfig", "LaneState", "Track", "fold", "initial_state", "step"]

HANDLERS: dict[type[CoreInput], Callable[..., None]] = {
    Started: on_started,
    ZonesChanged: on_zones,
    ZonesLost: on_zones_lost,
    SightingChanged: on_sighting,
    DecisionReceived: on_decision,
    SeenElsewhere: on_seen_elsewhere,
    ActReceived: on_act,
    CentreLink: on_centre,
    ConsolePresence: on_console,
    ControlLost: on_control_lost,
    SignalChanged: on_signal,
    HeadTested: on_head_tested,
    HeadCommissioned: on_commissioned,
    BarrierChanged: on_barrier,
    DeviceChanged: on_device,
    VehicleUnread: on_unread,
    ClockStepped: on_clock,
    StoreHealth: on_store,
    CaptureEnded: on_capture_ended,
}
REVIEWS: tuple[Callable[[Turn], None], ...] = (
    review_maintenance,
    review_mode,
    review_progress,
    review_sightings,
    review_strays,
    review_requests,
    review_ends,
    review_chatter,
    review_order,
    review_lease,
    review_conditions,
    review_phases,
)
"""What follows from the state, after every input. The lease comes after everything that may end it."""


def step(state: LaneState, event: CoreInput) -> tuple[LaneState, tuple[Effect, ...]]:
    """Take one input. An input that changes nothing returns the same state object and no effect: it need not be
    journalled. Inputs must come in the order of their monotonic stamps, `Started` first."""
    if type(event) is Tick and event.at.mono_ns < state.due_ns:
        return state, ()
    return advance(state, event)


def advance(state: LaneState, event: CoreInput) -> tuple[LaneState, tuple[Effect, ...]]:
    """`step` without the shortcut for idle ticks."""
    turn = Turn(state, event.at)
    handler = HANDLERS.get(type(event))
    if handler is not None:
        handler(turn, event)
    if turn.quiet and event.at.mono_ns < state.due_ns:
        return (state if turn.state is state else replace(turn.state, seen=event.at)), ()
    for review in REVIEWS:
        review(turn)
    due = due_ns(turn)
    if not turn.effects and due == state.due_ns and turn.state == state:
        return state, ()
    return replace(turn.state, due_ns=due, seen=event.at), tuple(turn.effects)


def fold(state: LaneState, journal: Iterable[CoreInput]) -> LaneState:
    """The state after the journalled inputs; their effects have been carried out already."""
    for event in journal:
        state, _ = step(state, event)
    return state
