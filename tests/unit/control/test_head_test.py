"""Signal tests and kill tests of a head in a closed lane, on virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from drivers.api import DeviceError, Grade, InputSnapshot
from edge_agent.control.head_test import HeadTests
from edge_agent.control.signal_loop import Limits, SignalFault
from edge_agent.model.inputs import SignalChanged
from edge_agent.safety.facts import Permit
from edge_agent.safety.timing import SignalOrders
from tests.unit.control.signal_rig import AMBER, GREEN, MS, RED, Rig, running


class Lane(Rig):
    """A closed lane whose head is tested."""

    def __init__(self, limits: Limits | None = None, latched: SignalFault | None = None) -> None:
        super().__init__(limits, latched)
        self.tests = HeadTests(lambda: self.loop, self.clock, amber=bool(self.limits.amber_ns))
        self.orders = replace(self.orders, permit=Permit.NONE, closed=True)
        self.loop._ports = replace(self.loop._ports, orders=self._orders, on_change=self._change, on_cycle=self._looked)
        self.occupied: set[str] = set()

    def _orders(self) -> SignalOrders:
        return replace(self.orders, test=self.tests.asked)

    def _change(self, change: SignalChanged) -> None:
        self.changes.append(change)
        self.tests.changed(change)

    def _looked(self) -> None:
        self.beats += 1
        self.tests.looked()

    def zones(self) -> InputSnapshot | None:
        snapshot = super().zones()
        if snapshot is None:
            return None
        free = dict.fromkeys(("zone_a", "zone_d", "zone_x"), False)
        levels = {zone: zone in self.occupied for zone in (*free, *snapshot.levels)}
        return replace(snapshot, levels=levels)


@asynccontextmanager
async def closed(*, amber: bool = False, latched: SignalFault | None = None) -> AsyncIterator[Lane]:
    lane = Lane(Limits(amber_ns=3_000 * MS if amber else 0), latched)
    async with running(lane):
        yield lane
    assert lane.module.coils is RED


async def _until(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110 - virtual time
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("latched", [None, SignalFault.FOREIGN_WRITE])
@pytest.mark.parametrize("amber", [False, True])
async def test_every_aspect_is_shown_once_with_red_between(amber: bool, latched: SignalFault | None) -> None:
    async with closed(amber=amber, latched=latched) as lane:
        steps = await lane.tests.run()
        aspects = (RED, AMBER, GREEN, RED) if amber else (RED, GREEN, RED)
        assert tuple((step.aspect, step.shown) for step in steps) == tuple((a, a) for a in aspects)
        assert all(step.passed and step.grade is Grade.CONTACT for step in steps)
        assert all(0 <= step.confirmed_ms < 300 for step in steps[1:])
        told = [change for change in lane.changes if change.commanded is not RED]
        assert told
        assert all(change.test and change.lease_seq == 0 for change in told), "on record as a test's, for nobody"
        shown = [aspect for _, aspect in lane.log]
        changes = [a for a, before in zip(shown, [None, *shown], strict=False) if a is not before]
        assert changes == ([RED, AMBER, RED, GREEN, RED] if amber else [RED, GREEN, RED])
        assert (lane.module.shows(), lane.tests.busy) == (RED, False)
        assert lane.loop.state().fault == (latched.value if latched else ""), "a test clears nothing"


@pytest.mark.parametrize("zone", ["zone_a", "zone_d", "zone_s", "stop_line_beam", "zone_x"])
async def test_green_is_gone_as_soon_as_anything_is_in_the_lane(zone: str) -> None:
    async with closed() as lane:
        test = asyncio.create_task(lane.tests.run())
        await _until(lambda: lane.module.shows() is GREEN)
        lane.occupied.add(zone)
        lane.loop.wake()
        began = lane.now_ns()
        steps = await test
        assert lane.first_write(RED, began) <= 10
        assert [step.passed for step in steps] == [True, False, True]
        assert steps[1].why == "lane_not_empty"
        lane.log.clear()
        assert [step.passed for step in await lane.tests.run()] == [True, False, True]
        assert GREEN not in [aspect for _, aspect in lane.log], "nothing but red while it is there"


async def test_a_lane_that_is_opened_or_held_ends_the_test() -> None:
    async with closed() as lane:
        for change in ({"closed": False, "permit": Permit.ROLLING}, {"hold": True}):
            before = lane.orders
            test = asyncio.create_task(lane.tests.run())
            await _until(lambda: lane.module.shows() is GREEN)
            lane.order(**change)
            steps = await test
            assert steps[1].why in ("mode", "hold")
            lane.orders = before


async def test_a_lease_cannot_take_over_the_green_of_a_test() -> None:
    async with closed() as lane:
        test = asyncio.create_task(lane.tests.run())
        await _until(lambda: lane.module.shows() is GREEN)
        test.cancel()
        await asyncio.gather(test, return_exceptions=True)
        lane.order(closed=False, permit=Permit.ROLLING)
        lane.give()
        await asyncio.sleep(0.1)
        assert lane.module.coils is RED, "the test's green ends in red first"
        await asyncio.sleep(1.0)
        assert lane.module.coils is GREEN, "then the vehicle gets its own"


@pytest.mark.parametrize("lamp", [RED, GREEN])
async def test_a_dead_lamp_fails_the_test(lamp: str) -> None:
    async with closed(latched=SignalFault.DARK) as lane:
        lane.module.dead_lamps = {lamp}  # type: ignore[arg-type]
        await asyncio.sleep(0.5)
        steps = await lane.tests.run()
        assert not all(step.passed for step in steps)
        assert [step.aspect for step in steps][:2] == ([RED, RED] if lamp is RED else [RED, GREEN])


async def test_a_foreign_write_fails_the_test_also_behind_a_latched_fault() -> None:
    async with closed(latched=SignalFault.FOREIGN_WRITE) as lane:
        test = asyncio.create_task(lane.tests.run())
        await _until(lambda: lane.module.shows() is GREEN)
        lane.module.foreign = True
        steps = await test
        assert (steps[1].passed, steps[1].why) == (False, "readback_disagrees")


async def test_a_test_whose_runner_is_gone_ends_in_red() -> None:
    async with closed() as lane:
        test = asyncio.create_task(lane.tests.run())
        await _until(lambda: lane.module.shows() is GREEN)
        test.cancel()
        await asyncio.gather(test, return_exceptions=True)
        await asyncio.sleep(0.1)
        assert lane.module.shows() is RED
        assert not lane.tests.busy


async def test_an_asked_aspect_runs_out_by_itself() -> None:
    async with closed() as lane:
        lane.tests._ask(GREEN, 2_000 * MS)
        await asyncio.sleep(1.5)
        assert lane.module.shows() is GREEN
        await asyncio.sleep(1.0)
        assert lane.module.shows() is RED


async def test_the_kill_test_measures_from_the_last_write_to_red() -> None:
    async with closed() as lane:
        result = await lane.tests.kill()
        assert (result.passed, result.sign, result.why) == (True, "watchdog", "")
        assert 1_000 <= result.red_ms <= 1_100, "the module's 1,000 ms and what the readback takes"
        await asyncio.sleep(0.2)
        assert lane.module.shows() is RED


async def test_a_module_that_keeps_its_outputs_fails_the_kill_test_and_is_put_to_red() -> None:
    async with closed() as lane:
        lane.module.watchdog_ms = 60_000
        result = await lane.tests.kill()
        assert (result.passed, result.red_ms, result.why) == (False, -1, "the module did not turn red by itself")
        await asyncio.sleep(0.2)
        assert lane.module.shows() is RED


async def test_a_module_that_is_slow_to_let_go_fails_the_kill_test() -> None:
    async with closed() as lane:
        lane.module.watchdog_ms = 2_500
        result = await lane.tests.kill()
        assert (result.passed, result.why) == (False, "more than 2000 ms")
        assert 2_500 <= result.red_ms <= 2_600


async def test_a_session_that_ends_by_the_trip_is_the_sign_and_by_anything_else_is_none() -> None:
    for code, passed in (("WATCHDOG_TRIPPED", True), ("MODBUS_LINK_LOST", False)):
        async with closed() as lane:
            lane.module.watchdog_ms = 60_000
            test = asyncio.create_task(lane.tests.kill())
            await _until(lambda: lane.tests.asked is not None and not lane.tests.asked.feed)
            lane.tests.lost(code)
            result = await test
            assert (result.passed, result.sign) == (passed, "watchdog" if passed else "")


async def test_a_vehicle_ends_the_kill_test_in_red_at_once() -> None:
    async with closed() as lane:
        test = asyncio.create_task(lane.tests.kill())
        await _until(lambda: lane.tests.asked is not None and not lane.tests.asked.feed)
        lane.occupied.add("zone_a")
        lane.loop.wake()
        began = lane.now_ns()
        result = await test
        assert (result.passed, result.why) == (False, "lane_not_empty")
        assert lane.first_write(RED, began) <= 10


async def test_a_head_that_does_not_answer_fails_both() -> None:
    async with closed() as lane:
        lane.live.fail = lambda _: DeviceError("MODBUS_TIMEOUT", "no answer")
        steps = await lane.tests.run()
        assert not steps[0].passed
        assert not (await lane.tests.kill()).passed
        lane.live.fail = lambda _: None


async def test_a_trip_that_first_looks_like_a_lost_session_is_told_by_its_cause() -> None:
    for code in ("WATCHDOG_TRIPPED", "MODBUS_LINK_LOST", ""):
        async with closed() as lane:
            lane.module.watchdog_ms = 60_000
            test = asyncio.create_task(lane.tests.kill())
            await _until(lambda: lane.tests.asked is not None and not lane.tests.asked.feed)
            fed = lane.loop.state().fed
            assert fed is not None
            await asyncio.sleep(0.6)
            lane.live.fail = lambda _: DeviceError("NO_SESSION", "the session is ending")
            await asyncio.sleep(0.2)
            if code:
                lane.tests.lost(code)
            result = await test
            lane.live.fail = lambda _: None
            if code == "WATCHDOG_TRIPPED":
                assert (result.passed, result.sign) == (True, "watchdog")
                assert 600 <= result.red_ms <= 750, "when it was first noticed, not when it was explained"
            else:
                assert (result.passed, result.red_ms) == (False, -1)


async def test_a_refused_red_after_the_trip_is_the_sign() -> None:
    async with closed() as lane:
        tripped = DeviceError("WATCHDOG_TRIPPED", "released its outputs")
        lane.live.fail = lambda what: tripped if lane.module.tripped and what == "red" else None
        result = await lane.tests.kill()
        assert (result.passed, result.sign) == (True, "watchdog")
        assert 1_000 <= result.red_ms <= 1_100
        lane.live.fail = lambda _: None
