"""The barrier arm and the signal together, on virtual time: arm first, then green; never down on anybody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from drivers.api import Aspect, DeviceError, DeviceTimeout, InputSnapshot
from edge_agent.control.arm_loop import ArmLoop, ArmPorts
from edge_agent.control.orders import but_for_arm
from edge_agent.model.inputs import BarrierChanged
from edge_agent.safety.barrier import ArmFault, ArmLimits, ArmOrders
from edge_agent.safety.facts import Reason
from edge_agent.safety.timing import Limits
from tests.unit.control.signal_rig import GREEN, RED, LoopClock, Rig, running


@dataclass
class Operator:
    """The arm's drive: a pulse sends it on its way; it takes `travel_s`. `jammed` it does not move, `up_broken` its
    upper limit switch never closes."""

    clock: LoopClock
    travel_s: float = 3.0
    place: float = 0.0
    to: float = 0.0
    moved_s: float = 0.0
    jammed: bool = False
    up_broken: bool = False
    pulses: list[tuple[float, str]] = field(default_factory=list)
    fail: DeviceError | None = None

    def now_s(self) -> float:
        return self.clock.stamp().mono_ns / 1e9

    async def pulse(self, role: str) -> None:
        self.pulses.append((self.now_s(), role))
        if self.fail is not None:
            raise self.fail
        await asyncio.sleep(0.5)
        self.look()
        self.to = 1.0 if role == "barrier_raise" else 0.0

    def look(self) -> None:
        now = self.now_s()
        way = 0.0 if self.jammed else (now - self.moved_s) / self.travel_s
        gap = self.to - self.place
        self.place += max(-way, min(way, gap))
        self.moved_s = now

    def limits(self) -> dict[str, bool]:
        self.look()
        return {"barrier_up": self.place > 0.99 and not self.up_broken, "barrier_down": self.place < 0.01}

    def asked(self) -> list[str]:
        return [role.removeprefix("barrier_") for _, role in self.pulses]


class ArmRig(Rig):
    """The signal's rig with an arm beside it."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.operator = Operator(self.clock)
        self.under = False
        self.sure = True
        self.cleared = 0
        self.arm_changes: list[BarrierChanged] = []
        super().__init__(Limits(barrier=True))
        self.operator.clock = self.clock
        ports = ArmPorts(lambda: self.operator, self.zones, self.arm_orders, self.clock, self._arm_changed)
        self.arm = ArmLoop(ports, ArmLimits())

    def zones(self) -> InputSnapshot | None:
        seen = super().zones()
        if seen is None:
            return None
        levels = {**seen.levels, **self.operator.limits(), "barrier_presence": self.under}
        return replace(seen, levels=levels)

    def arm_orders(self) -> ArmOrders:
        state = self.loop.state()
        return ArmOrders(
            needed=but_for_arm(state),
            red=state.commanded is RED and state.confirmed is RED,
            sure=self.sure,
            cleared_seq=self.cleared,
        )

    def _arm_changed(self, change: BarrierChanged) -> None:
        self.arm_changes.append(change)
        self.orders = replace(self.orders, arm_fault=bool(change.fault))

    @property
    def fault(self) -> str:
        return self.arm_changes[-1].fault


@asynccontextmanager
async def lane() -> AsyncIterator[ArmRig]:
    rig = ArmRig()
    async with running(rig):
        task = asyncio.create_task(rig.arm.run())
        try:
            yield rig
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def arm_up_and_green() -> AsyncIterator[ArmRig]:
    async with lane() as rig:
        rig.give()
        await asyncio.sleep(5)
        assert (rig.module.shows(), rig.arm_changes[-1].arm) == (GREEN, "up")
        yield rig


async def test_green_waits_for_the_arm() -> None:
    async with lane() as rig:
        began = rig.now_ns()
        rig.give()
        await asyncio.sleep(2)
        assert rig.loop.state().ruling.reasons == (Reason.BARRIER_NOT_UP,)
        assert rig.operator.asked() == ["raise"]
        await asyncio.sleep(3)
        assert rig.module.shows() is GREEN
        assert rig.first_write(GREEN, began) >= 3000


async def test_people_are_shown_where_it_is_and_why_it_stays() -> None:
    async with lane() as rig:
        await asyncio.sleep(1)
        shown = rig.arm.shown()
        assert (shown.position, shown.asked, shown.fault) == ("down", "none", "")
        rig.give()
        await asyncio.sleep(1)
        assert (rig.arm.shown().position, rig.arm.shown().asked) == ("between", "raise")
        await asyncio.sleep(4)
        shown = rig.arm.shown()
        assert (shown.position, shown.asked) == ("up", "none")
        assert shown.against[0] == "light_not_red"
        assert 0 < rig.now_ns() - shown.since.mono_ns < 3_000_000_000
        rig.operator.up_broken = True
        await asyncio.sleep(1)
        assert rig.arm.shown().fault == ArmFault.MOVED_UNASKED


async def test_without_a_lease_the_arm_stays_down() -> None:
    async with lane() as rig:
        rig.loop_occupied = True
        await asyncio.sleep(20)
        assert (rig.operator.pulses, rig.arm_changes[-1].arm) == ([], "down")


@pytest.mark.parametrize("what", ["under", "beam", "loop_occupied"])
async def test_a_truck_that_stops_under_the_arm_keeps_it_up(what: str) -> None:
    async with arm_up_and_green() as rig:
        setattr(rig, what, True)
        rig.edges += 1
        await asyncio.sleep(600)
        assert rig.module.shows() is RED
        assert rig.operator.asked() == ["raise"]
        setattr(rig, what, False)
        await asyncio.sleep(1.9)
        assert rig.operator.asked() == ["raise"]
        await asyncio.sleep(5)
        assert rig.operator.asked() == ["raise", "lower"]
        assert rig.arm_changes[-1].arm == "down"


async def test_doubt_and_lost_inputs_keep_the_arm_up() -> None:
    async with arm_up_and_green() as rig:
        rig.edges += 1
        rig.sure = False
        await asyncio.sleep(60)
        rig.sure, rig.inputs_live = True, False
        await asyncio.sleep(60)
        assert rig.operator.asked() == ["raise"]
        rig.inputs_live = True
        await asyncio.sleep(6)
        assert rig.operator.asked() == ["raise", "lower"]


async def test_somebody_under_a_lowering_arm_turns_it_back() -> None:
    async with arm_up_and_green() as rig:
        rig.edges += 1
        await asyncio.sleep(3.5)
        assert rig.operator.asked() == ["raise", "lower"]
        rig.under = True
        await asyncio.sleep(5)
        assert rig.operator.asked() == ["raise", "lower", "raise"]
        assert (rig.arm_changes[-1].arm, rig.module.shows()) == ("up", RED)


async def test_green_ends_at_once_when_the_arm_leaves_its_place() -> None:
    async with arm_up_and_green() as rig:
        rig.operator.to = 0.0
        began = rig.now_ns()
        await asyncio.sleep(1)
        assert rig.first_write(RED, began) <= 250
        assert rig.fault == ArmFault.MOVED_UNASKED
        rig.give()
        await asyncio.sleep(30)
        assert rig.operator.asked() == ["raise"], "a faulty arm is asked for nothing"
        assert rig.module.shows() is RED


@pytest.mark.parametrize("broken", ["up_broken", "jammed"])
async def test_an_arm_that_does_not_arrive_is_a_fault_and_red_until_cleared(broken: str) -> None:
    async with lane() as rig:
        setattr(rig.operator, broken, True)
        rig.give(seconds=120)
        await asyncio.sleep(30)
        assert (rig.fault, rig.module.shows()) == (ArmFault.NOT_MOVED, RED)
        assert rig.operator.asked() == ["raise"]
        setattr(rig.operator, broken, False)
        await asyncio.sleep(10)
        assert rig.module.shows() is RED
        rig.cleared += 1
        await asyncio.sleep(6)
        assert (rig.fault, rig.module.shows()) == ("", GREEN)


async def test_a_pulse_that_fails_is_not_repeated_and_ends_in_a_fault() -> None:
    async with lane() as rig:
        rig.operator.fail = DeviceTimeout("MODULE_TIMEOUT", "no answer")
        rig.give(seconds=60)
        await asyncio.sleep(20)
        assert (rig.operator.asked(), rig.arm.failures, rig.fault) == (["raise"], 1, ArmFault.NOT_MOVED)


async def test_a_restart_clears_no_fault() -> None:
    rig = ArmRig()
    ports = ArmPorts(lambda: rig.operator, rig.zones, rig.arm_orders, rig.clock, rig._arm_changed)
    arm = ArmLoop(ports, ArmLimits(), latched=ArmFault.LIMITS, cleared_seq=4)
    task = asyncio.create_task(arm.run())
    await asyncio.sleep(1)
    assert rig.fault == ArmFault.LIMITS
    rig.cleared = 4
    await asyncio.sleep(1)
    assert rig.fault == ArmFault.LIMITS
    rig.cleared = 5
    await asyncio.sleep(1)
    assert rig.fault == ""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_without_a_session_nothing_is_asked_and_the_arm_is_watched() -> None:
    rig = ArmRig()
    orders = ArmOrders(needed=True, red=True, sure=True)
    arm = ArmLoop(ArmPorts(lambda: None, rig.zones, lambda: orders, rig.clock, rig._arm_changed), ArmLimits())
    task = asyncio.create_task(arm.run())
    await asyncio.sleep(30)
    assert [(change.arm, change.asked, change.fault) for change in rig.arm_changes] == [("down", "none", "")]
    assert Aspect.RED is rig.module.shows()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
