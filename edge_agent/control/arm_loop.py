"""The barrier arm's loop: looks at the inputs, asks the arm's rule, pulses the operator. Nothing waits for it.

The rule is `safety/barrier.py`; this shell adds the clock and the wire. Whether green agrees with the arm is the
interlock's, not decided here.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from drivers.api import Clock, DeviceError, InputSnapshot
from edge_agent.model.actuators import ArmShown
from edge_agent.model.inputs import BarrierChanged
from edge_agent.safety.barrier import (
    Arm,
    ArmFault,
    ArmHistory,
    ArmLimits,
    ArmOrders,
    ArmRuling,
    Move,
    begin_move,
    classify_arm,
    rule_arm,
)

PERIOD_S = 0.05
_ROLES = {Move.RAISE: "barrier_raise", Move.LOWER: "barrier_lower"}


class ArmOutputs(Protocol):
    """The operator's contacts, of a live session (`drivers.modbus.actuators.Actuators`)."""

    async def pulse(self, role: str) -> None:
        """One pulse; DeviceError."""
        ...


@dataclass(frozen=True, slots=True)
class ArmPorts:
    """What the composition root hands in; all quick, none may raise. `outputs` None: no live session. `on_change` hears
    every change of the arm's place, of what it was asked for and of its fault."""

    outputs: Callable[[], ArmOutputs | None]
    zones: Callable[[], InputSnapshot | None]
    orders: Callable[[], ArmOrders]
    clock: Clock
    on_change: Callable[[BarrierChanged], None]


class ArmLoop:
    """One arm. `latched` and `cleared_seq`: the fault in force when the process last ended, and how often one had been
    cleared by then: a restart clears nothing."""

    def __init__(
        self, ports: ArmPorts, limits: ArmLimits, *, latched: ArmFault | None = None, cleared_seq: int = 0
    ) -> None:
        self._ports = ports
        self._limits = limits
        self._history = ArmHistory(fault=latched, cleared_seq=cleared_seq)
        self._told: tuple[str, str, str] | None = None
        self._arm, self._since = Arm.UNKNOWN, ports.clock.stamp()
        self._against: tuple[str, ...] = ()
        self.failures = 0

    def shown(self) -> ArmShown:
        """The arm as last looked at."""
        return ArmShown(self._arm.value, self._since, self._history.asked.value, self._fault(), self._against)

    async def run(self) -> None:
        """Until cancelled; a pulse under way is ended, the arm stays where it is."""
        while True:
            await self._turn()
            await asyncio.sleep(PERIOD_S)

    async def _turn(self) -> None:
        ruling = self._look()
        outputs = self._ports.outputs()
        if ruling.move is Move.NONE or outputs is None:
            return
        self._history = begin_move(self._history, ruling.move, self._ports.clock.stamp().mono_ns)
        self._look()
        try:
            await outputs.pulse(_ROLES[ruling.move])
        except DeviceError:
            # The pulse may have gone out. If it did not, the movement does not end in its time, and that is a fault.
            self.failures += 1

    def _look(self) -> ArmRuling:
        """Put the question, with everything as it is at this instant, and tell what is new."""
        ports = self._ports
        now = ports.clock.stamp()
        facts, self._history = classify_arm(self._history, ports.orders(), ports.zones(), now.mono_ns, self._limits)
        ruling = rule_arm(facts)
        self._against = tuple(reason.value for reason in ruling.reasons)
        if facts.arm is not self._arm:
            self._arm, self._since = facts.arm, now
        news = (facts.arm.value, self._history.asked.value, self._fault())
        if news != self._told:
            self._told = news
            ports.on_change(BarrierChanged(now, *news, self._against))
        return ruling

    def _fault(self) -> str:
        return self._history.fault.value if self._history.fault is not None else ""
