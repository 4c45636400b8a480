"""The virtual loop itself: time jumps, deadlock is told, the order repeats, the system clock agrees with the loop."""

import asyncio
import random
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.runtime.clock import SystemClock
from hil.rig.virtual_loop import Deadlock, VirtualClock, VirtualLoop


async def test_a_day_passes_at_once() -> None:
    loop, clock = asyncio.get_running_loop(), VirtualClock()
    before_s, before = loop.time(), clock.stamp()
    await asyncio.sleep(86_400)
    assert loop.time() - before_s == 86_400
    assert clock.stamp().utc_ns - before.utc_ns == 86_400 * 10**9
    assert clock.stamp().mono_ns - before.mono_ns == 86_400 * 10**9


async def test_a_time_out_takes_its_time() -> None:
    loop = asyncio.get_running_loop()
    before_s = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.Event().wait()
    assert loop.time() - before_s == pytest.approx(5)


def test_a_deadlock_is_told_with_the_names() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.raises(Deadlock, match="task-1"):
        runner.run(stuck())


async def test_a_real_socket_is_heard_between_timers() -> None:
    loop = asyncio.get_running_loop()
    mine, theirs = socket.socketpair()
    with mine, theirs:
        mine.setblocking(False)
        theirs.setblocking(False)
        hearing = asyncio.ensure_future(loop.sock_recv(mine, 10))
        await asyncio.sleep(1)
        await loop.sock_sendall(theirs, b"hello")
        async with asyncio.timeout(1):
            assert await hearing == b"hello"


async def test_blocking_work_runs_in_line() -> None:
    assert await asyncio.to_thread(sum, [1, 2]) == 3
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(divmod, 1, 0)


def _order(seed: int) -> list[str]:
    order: list[str] = []

    async def walk(name: str, rng: random.Random) -> None:
        try:
            for _ in range(5):
                await asyncio.sleep(rng.random())
                order.append(name)
            if name == "3":
                raise ZeroDivisionError
            await asyncio.sleep(1000)
        finally:
            order.append(f"end {name}")

    async def main() -> None:
        rng = random.Random(seed)
        with pytest.raises(ExceptionGroup):  # noqa: PT012 - the group is what raises
            async with asyncio.TaskGroup() as group:
                for name in map(str, range(50)):
                    group.create_task(walk(name, random.Random(rng.random())))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    return order


def test_the_same_seed_gives_the_same_order_also_when_tasks_are_cancelled() -> None:
    first = _order(1)
    kept = [object() for _ in range(1000)]
    assert _order(1) == first
    assert _order(2) != first
    del kept


@given(st.floats(0, 1e5))
async def test_property_tests_may_be_async(pause_s: float) -> None:
    before_s = asyncio.get_running_loop().time()
    await asyncio.sleep(pause_s)
    assert asyncio.get_running_loop().time() - before_s == pytest.approx(pause_s, abs=1e-6)


@pytest.mark.real_time
async def test_the_system_clock_is_the_loop_clock() -> None:
    loop, clock = asyncio.get_running_loop(), SystemClock()
    before_s, stamp, after_s = loop.time(), clock.stamp(), loop.time()
    assert before_s <= stamp.mono_ns / 1e9 <= after_s + 1e-6
    assert stamp.utc_ns > 1_700_000_000 * 10**9
