"""The arm's loop, the driver and a virtual module with an arm on it, in real time: pulses out, limit switches back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from drivers.api import Aspect, InputSnapshot
from edge_agent.control.arm_loop import ArmLoop, ArmPorts
from edge_agent.model.inputs import BarrierChanged
from edge_agent.safety.barrier import ArmFault, ArmLimits, ArmOrders
from hil.devices.modbus_arm import ArmWiring
from tests.unit.modbus.lane_io_bench import ROLES, WIRING, Bench, RealClock, bench
from tests.unit.modbus.scripted import until

pytestmark = pytest.mark.real_time
S = 1_000_000_000
FREE = {0: False, 1: True, 6: False, 7: False}
"""Nobody at the line or under the arm; the beam is active low."""
PRESENCE_BIT = 6
ARM = {
    "zone_s": {"point": 7},
    "barrier_raise": {"point": 4},
    "barrier_lower": {"point": 5},
    "barrier_up": {"point": 4},
    "barrier_down": {"point": 5},
    "barrier_presence": {"point": PRESENCE_BIT},
}


class Lane:
    """An arm that takes 0.3 s, its loop, and what it is told."""

    def __init__(self, b: Bench) -> None:
        self.module = b.module
        self.orders = ArmOrders(needed=False, red=True, sure=True)
        self.changes: list[BarrierChanged] = []
        self.io = b.session(roles={**ROLES, **ARM}, barrier="pulse_pair", watchdog_ms=2000)
        self.bench = b
        limits = ArmLimits(stale_ns=S, travel_ns=2 * S, free_ns=S // 2, settle_ns=S // 4)
        ports = ArmPorts(lambda: self.io.actuators, self.zones, lambda: self.orders, RealClock(), self.changes.append)
        self.loop = ArmLoop(ports, limits)

    def zones(self) -> InputSnapshot | None:
        seen = [item for item in self.bench.seen if isinstance(item, InputSnapshot)]
        return seen[-1] if seen else None

    async def feed(self) -> None:
        """What the signal loop does meanwhile: the module's watchdog wants the head's writes."""
        while True:
            await self.io.write(Aspect.RED)
            await asyncio.sleep(0.2)

    def told(self) -> tuple[str, str]:
        last = self.changes[-1]
        return last.arm, last.fault

    def moves(self) -> list[float]:
        return [event["to"] for event in self.bench.named("arm")]


@asynccontextmanager
async def lane() -> AsyncIterator[Lane]:
    async with bench(wiring=replace(WIRING, arm=ArmWiring(4, 5, 4, 5, 0.3))) as b:
        b.module.state.arm._publish = b.module.control.publish  # type: ignore[union-attr]
        b.module.state.set_inputs(FREE)
        found = Lane(b)
        async with b.running(found.io):
            task = asyncio.gather(found.loop.run(), found.feed())
            try:
                await until(lambda: bool(found.changes) and found.told() == ("down", ""))
                yield found
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def test_up_when_needed_and_down_when_the_road_is_free() -> None:
    async with lane() as found:
        found.orders = replace(found.orders, needed=True)
        await until(lambda: found.told() == ("up", ""))
        found.module.state.set_inputs({PRESENCE_BIT: True})
        found.orders = replace(found.orders, needed=False)
        stopped = time.monotonic()
        await until(lambda: time.monotonic() - stopped > 1.5)
        assert (found.told(), found.moves()) == (("up", ""), [1.0]), "a truck stands under the arm"
        found.module.state.set_inputs({PRESENCE_BIT: False})
        await until(lambda: found.told() == ("down", ""))
        assert found.moves() == [1.0, 0.0]


async def test_a_broken_limit_switch_is_a_fault() -> None:
    async with lane() as found:
        assert found.module.state.arm is not None
        found.module.state.arm.fault(False, frozenset({"up"}))
        found.orders = replace(found.orders, needed=True)
        await until(lambda: found.changes[-1].fault == ArmFault.NOT_MOVED)
        assert found.moves() == [1.0]


async def test_an_arm_moved_by_hand_is_a_fault() -> None:
    async with lane() as found:
        assert found.module.state.arm is not None
        found.module.state.arm.push(up=True)
        await until(lambda: found.changes[-1].fault == ArmFault.MOVED_UNASKED)
        assert found.moves() == [1.0], "its own move only; the agent asked for none"
