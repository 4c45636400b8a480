"""The barrier arm of a lane that has one: its loop, joined to the agent's other parts."""

from typing import TYPE_CHECKING

from edge_agent.model.inputs import BarrierChanged
from edge_agent.passage.corridor import LaneState
from edge_agent.safety.barrier import ArmFault

from .arm_loop import ArmLoop, ArmOutputs, ArmPorts
from .orders import arm_orders

if TYPE_CHECKING:
    from .agent import Agent


def make_arm(agent: "Agent", state: LaneState) -> ArmLoop | None:
    """The arm's loop; None on a lane without an arm. `state`: as the journal left it."""
    barrier = agent.config.barrier
    if barrier is None:
        return None

    def outputs() -> ArmOutputs | None:
        head = agent.head()
        return head.actuators if head is not None else None

    def changed(change: BarrierChanged) -> None:
        agent.passage.submit(change)
        agent.backend.changed()

    fault = state.barrier_fault
    return ArmLoop(
        ArmPorts(
            outputs=outputs,
            zones=lambda: agent.inputs.snapshot,
            orders=lambda: arm_orders(agent.passage.state, agent.signal.state(), agent.clock.stamp().mono_ns),
            clock=agent.clock,
            on_change=changed,
        ),
        agent.config.to_arm_limits(barrier),
        latched=ArmFault(fault.code) if fault is not None else None,
        cleared_seq=state.barrier_cleared,
    )
