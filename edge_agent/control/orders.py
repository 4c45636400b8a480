"""What the core's state orders of the signal: one pure function, so that every root that joins the two agrees."""

from edge_agent.model.decision import Authority, Lease
from edge_agent.model.lane import LaneMode
from edge_agent.passage.corridor import LaneState
from edge_agent.safety.facts import Permit
from edge_agent.safety.timing import HeadTest, SignalOrders

PERMITS: dict[LaneMode, Permit] = {
    LaneMode.CLOSED: Permit.NONE,
    LaneMode.ATTENDED: Permit.STANDING,
    LaneMode.REMOTE: Permit.ROLLING,
    LaneMode.DEGRADED: Permit.STANDING,
    LaneMode.ALL_HOLD: Permit.NONE,
    LaneMode.FAULT: Permit.NONE,
    LaneMode.MAINTENANCE: Permit.NONE,
}
"""Only REMOTE rolls; ATTENDED and DEGRADED release standing vehicles; the rest show red."""


def signal_orders(
    state: LaneState, lease: Lease | None, fault_cleared_seq: int, test: HeadTest | None = None
) -> SignalOrders:
    """The orders now. `lease` is the one that may show green (granted, committed in time, not withdrawn), which may lag
    behind the state's own; `fault_cleared_seq` counts authorised clearings of a signal fault and never falls; `test` is
    a signal test under way."""
    return SignalOrders(
        permit=PERMITS.get(state.mode, Permit.NONE),
        hold=_held(state, lease),
        fault_cleared_seq=fault_cleared_seq,
        order_known=state.order_known,
        lease=lease,
        source_alive=_source_alive(state, lease),
        closed=state.closed_and_empty,
        test=test,
    )


def _held(state: LaneState, lease: Lease | None) -> bool:
    """ALL_HOLD holds everybody, a lane hold too, a vehicle's hold the vehicle that the lease names."""
    if state.mode is LaneMode.ALL_HOLD or state.hold is not None:
        return True
    return lease is not None and state.held_conveyance(lease.conveyance_id)


def _source_alive(state: LaneState, lease: Lease | None) -> bool:
    """Whether whoever gave this lease can take it back: central over its link, an officer over a console. Without a
    lease nobody has to."""
    if lease is None:
        return True
    return state.centre.up if lease.authority is Authority.SYSTEM else state.console.up
