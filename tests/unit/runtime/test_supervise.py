"""keep_running: new session each time, bounded jittered pauses, parking, and what must escape."""

import asyncio
import random
from collections.abc import Callable

import pytest

from drivers.api import DeviceError, DeviceRefused, LinkLost
from edge_agent.model.errors import CentralError, CentralUnavailable
from edge_agent.runtime.supervise import CENTRAL_CAP_S, LOCAL_CAP_S, Backoff, keep_running


class Scripted:
    """A session that lasts `lasts_s`, emits once and ends with `end`."""

    def __init__(self, lasts_s: float, end: Exception | None) -> None:
        self.lasts_s = lasts_s
        self.end = end

    async def run(self, emit: Callable[[str], None]) -> None:
        emit("up")
        await asyncio.sleep(self.lasts_s)
        if self.end is not None:
            raise self.end


class Bench:
    """Starts sessions by script and notes when."""

    def __init__(self, script: list[Scripted]) -> None:
        self.script = script
        self.started_s: list[float] = []
        self.faults: list[DeviceError] = []
        self.emitted: list[str] = []

    def make(self) -> Scripted:
        self.started_s.append(asyncio.get_running_loop().time())
        return self.script[len(self.started_s) - 1]

    async def run(self, backoff: Backoff) -> None:
        await keep_running(self.make, self.emitted.append, backoff, self.faults.append)

    @property
    def gaps_s(self) -> list[float]:
        return [later - sooner for sooner, later in zip(self.started_s, self.started_s[1:], strict=False)]


async def _until_script_ends(bench: Bench, backoff: Backoff) -> None:
    with pytest.raises(IndexError):
        await bench.run(backoff)


async def test_pauses_grow_to_the_cap_and_stay_jittered() -> None:
    bench = Bench([Scripted(0, LinkLost("X", "gone")) for _ in range(40)])
    await _until_script_ends(bench, Backoff(LOCAL_CAP_S, random.Random(1)))
    for number, gap in enumerate(bench.gaps_s):
        full = min(1.0, 0.1 * 2**number)
        assert full / 2 <= gap <= full
    assert len({round(gap, 6) for gap in bench.gaps_s[5:]}) > 20
    assert len(bench.faults) == 40
    assert len(bench.emitted) == 40


async def test_a_steady_session_starts_the_pauses_afresh() -> None:
    short, steady = Scripted(0, LinkLost("X", "gone")), Scripted(30.0, LinkLost("X", "gone"))
    bench = Bench([short, short, short, short, steady, short])
    await _until_script_ends(bench, Backoff(LOCAL_CAP_S, random.Random(1)))
    assert bench.gaps_s[3] > 0.4
    assert bench.gaps_s[4] - 30.0 <= 0.1


async def test_a_refused_device_is_probed_slowly() -> None:
    refused = DeviceRefused("WRONG_DEVICE", "not a reader")
    bench = Bench([Scripted(0, refused), Scripted(0, refused), Scripted(0, LinkLost("X", "gone")), Scripted(0, None)])
    await _until_script_ends(bench, Backoff(LOCAL_CAP_S, random.Random(1), park_s=30.0))
    assert bench.gaps_s[:2] == [30.0, 30.0]
    assert bench.gaps_s[2] <= 1.0
    assert [fault.code for fault in bench.faults] == ["WRONG_DEVICE", "WRONG_DEVICE", "X", "SESSION_ENDED"]


async def test_a_program_error_escapes() -> None:
    bench = Bench([Scripted(0, ZeroDivisionError())])
    with pytest.raises(ZeroDivisionError):
        await bench.run(Backoff(LOCAL_CAP_S, random.Random(1)))
    assert bench.faults == []


async def test_a_fault_of_another_tree_escapes_unless_named() -> None:
    bench = Bench([Scripted(0, CentralUnavailable("CENTRAL_DOWN", "no answer"))])
    with pytest.raises(CentralUnavailable):
        await bench.run(Backoff(CENTRAL_CAP_S, random.Random(1)))
    bench = Bench([Scripted(0, CentralUnavailable("CENTRAL_DOWN", "no answer"))])
    told: list[CentralError] = []
    with pytest.raises(IndexError):
        await keep_running(
            bench.make, bench.emitted.append, Backoff(CENTRAL_CAP_S, random.Random(1)), told.append, CentralError
        )
    assert [fault.code for fault in told] == ["CENTRAL_DOWN"]


@pytest.mark.parametrize("after_s", [0.05, 10.0])
async def test_cancellation_ends_it_at_once(after_s: float) -> None:
    bench = Bench([Scripted(0.1, LinkLost("X", "gone")), Scripted(1e6, None)])
    loop = asyncio.get_running_loop()
    task = loop.create_task(bench.run(Backoff(LOCAL_CAP_S, random.Random(1))))
    await asyncio.sleep(after_s)
    before_s = loop.time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert loop.time() == before_s
    assert len(bench.started_s) == (1 if after_s < 0.1 else 2)


class GroupThatBreaks:
    """A session whose TaskGroup is ended by a child's fault, which leaves a cancel request behind on Python 3.11."""

    async def run(self, emit: Callable[[str], None]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._break())
        except BaseExceptionGroup:
            raise LinkLost("BROKEN", "the stream broke") from None

    async def _break(self) -> None:
        await asyncio.sleep(0.1)
        raise LinkLost("BROKEN", "the stream broke")


class DeadlineThatPasses:
    """A session that waits for an answer that never comes."""

    async def run(self, emit: Callable[[str], None]) -> None:
        try:
            async with asyncio.timeout(1.0):
                await asyncio.sleep(1e6)
        except TimeoutError:
            raise LinkLost("NO_ANSWER", "nothing came") from None


async def test_a_deadline_after_a_broken_group_is_a_deadline() -> None:
    faults: list[str] = []
    script: list[GroupThatBreaks | DeadlineThatPasses] = [DeadlineThatPasses(), GroupThatBreaks()] * 2
    backoff = Backoff(LOCAL_CAP_S, random.Random(1))
    with pytest.raises(IndexError):
        await keep_running(script.pop, lambda _item: None, backoff, lambda error: faults.append(error.code))
    assert faults == ["BROKEN", "NO_ANSWER", "BROKEN", "NO_ANSWER"]


class LeavesBadly:
    """A session whose way out fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def run(self, emit: Callable[[str], None]) -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            raise self.error


@pytest.mark.parametrize("error", [LinkLost("X", "gone"), ZeroDivisionError()])
async def test_a_fault_on_the_way_out_does_not_swallow_the_cancellation(error: Exception) -> None:
    backoff = Backoff(LOCAL_CAP_S, random.Random(1))
    told: list[DeviceError] = []
    work = keep_running(lambda: LeavesBadly(error), lambda _item: None, backoff, told.append)
    task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError if isinstance(error, LinkLost) else ZeroDivisionError):
        await task
    assert told == []


def test_a_week_of_failures_does_not_overflow() -> None:
    assert Backoff(10.0, random.Random(1)).pause_s(5_000_000) <= 10.0
