"""What the core's state orders of the signal: one pure function, so that every root that joins the two agrees."""

from drivers.api import Aspect
from edge_agent.model.decision import Authority, Lease
from edge_agent.model.lane import LaneMode, Zone
from edge_agent.passage.corridor import LaneState, Track
from edge_agent.passage.kinematics import may_be_committed
from edge_agent.safety.barrier import ArmOrders
from edge_agent.safety.facts import Permit, Reason
from edge_agent.safety.timing import HeadTest, SignalOrders

from .signal_loop import SignalState

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
_BUT_FOR_ARM = frozenset({Reason.BARRIER_NOT_UP, Reason.MINIMUM_RED})
"""With nothing else against green the arm goes up; the minimum red ends by itself meanwhile."""


def signal_orders(
    state: LaneState, lease: Lease | None, fault_cleared_seq: int, test: HeadTest | None = None
) -> SignalOrders:
    """The orders now. `lease` is the one that may show green (granted, committed in time, not withdrawn), which may lag
    behind the state's own; `fault_cleared_seq` counts authorised clearings of a signal fault and never falls; `test` is
    a signal test under way."""
    return SignalOrders(  # by place: by name it costs twice as much, and every input of the core asks for it
        PERMITS.get(state.mode, Permit.NONE),
        _held(state, lease),
        fault_cleared_seq,
        state.order_known,
        lease,
        _source_alive(state, lease),
        state.closed_and_empty,
        test,
        state.barrier_fault is not None,  # arm_fault
        state.held is not None and state.held.late_ns != 0,  # too_late
    )


class OrdersKept:
    """`signal_orders`, worked out anew only when something that they follow from is not the very thing it was."""

    def __init__(self) -> None:
        self._asked: tuple[LaneState | None, Lease | None, int, HeadTest | None] = (None, None, 0, None)
        self._orders: SignalOrders | None = None

    def of(self, state: LaneState, lease: Lease | None, fault_cleared_seq: int, test: HeadTest | None) -> SignalOrders:
        """The orders now; for the arguments see `signal_orders`."""
        was_state, was_lease, was_cleared, was_test = self._asked
        same = state is was_state and lease is was_lease and fault_cleared_seq == was_cleared and test is was_test
        if self._orders is None or not same:
            self._asked = (state, lease, fault_cleared_seq, test)
            self._orders = signal_orders(state, lease, fault_cleared_seq, test)
        return self._orders


def arm_orders(state: LaneState, signal: SignalState, now_ns: int) -> ArmOrders:
    """What the core and the signal tell the barrier arm. Needed up: green is shown, or would be but for the arm. Sure:
    the order is known, nobody is over the line nor may be too near to stop before it, and nobody works at the lane."""
    near = any(
        Zone.BEAM in track.over or (track.upstream and _cannot_stop(state, track, now_ns)) for track in state.tracks
    )
    return ArmOrders(
        needed=but_for_arm(signal),
        red=signal.commanded is Aspect.RED and signal.confirmed is Aspect.RED,
        sure=state.order_known and state.zones.fresh and state.maintenance is None and not near,
        cleared_seq=state.barrier_cleared,
    )


def _cannot_stop(state: LaneState, track: Track, now_ns: int) -> bool:
    """Whether it may be inside its commit distance: a red light no longer keeps it from the arm."""
    config = state.config
    if track.conveyance.committed is not None:
        return True
    return may_be_committed(track.fixes, now_ns, config.geometry, config.kinematics)


def but_for_arm(signal: SignalState) -> bool:
    """Whether a vehicle has green, or has none but for the arm. A test of the head moves no arm."""
    if signal.test is not None:
        return False
    reasons = frozenset(signal.ruling.reasons)
    waits = Reason.BARRIER_NOT_UP in reasons and reasons <= _BUT_FOR_ARM
    return waits or signal.ruling.aspect is Aspect.GREEN or signal.commanded is Aspect.GREEN


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
