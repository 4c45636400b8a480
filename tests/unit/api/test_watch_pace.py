"""When a watcher is told what, on virtual time: signs of life, joined changes, a reader that does not read."""

import asyncio
from typing import Any

import pytest

from edge_agent.api.errors import Reason, Refusal
from edge_agent.api.lane_servicer import GAP_S, WRITE_TIMEOUT_S, LaneServicer
from edge_agent.model.decision import Role
from securecorridor.lane.v1 import lane_service_pb2 as pb
from tests.unit.api.fake_lane import FakeLane


class Reader:
    """The reading end of a stream: takes messages while `taking` is set, and notes when."""

    def __init__(self) -> None:
        self.taking = asyncio.Event()
        self.taking.set()
        self.got: list[tuple[float, str]] = []

    async def write(self, message: pb.WatchLaneResponse) -> None:
        await self.taking.wait()
        self.got.append((asyncio.get_running_loop().time(), message.lane.etag))


def _watch(lane: FakeLane, reader: Reader, seconds: float = 1.0) -> Any:
    request = pb.WatchLaneRequest()
    request.min_interval.FromMilliseconds(round(seconds * 1000))
    return LaneServicer(lane, Role.VIEWER).WatchLane(request, reader)  # type: ignore[arg-type]


async def test_a_quiet_lane_gives_a_sign_of_life_every_interval() -> None:
    reader = Reader()
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5.1):
            await _watch(FakeLane(), reader, 0.5)
    assert [round(at - began_s, 3) for at, _ in reader.got] == [n * 0.5 for n in range(11)]


async def test_a_change_is_told_at_once_and_a_burst_as_one() -> None:
    lane, reader = FakeLane(), Reader()
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_watch(lane, reader, 60.0))
        await asyncio.sleep(1.0)
        changed_s = loop.time()
        for _ in range(1000):
            lane.change()
        await asyncio.sleep(GAP_S / 2)
        lane.change()
        await asyncio.sleep(1.0)
        task.cancel()
    (_, first), (at_s, joined), (later_s, last) = reader.got
    assert (first, joined, last) == ("lane-1", "lane-1001", "lane-1002")
    assert at_s == changed_s
    assert later_s == pytest.approx(changed_s + GAP_S)


async def test_a_slow_reader_gets_the_latest_state_next() -> None:
    lane, reader = FakeLane(), Reader()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_watch(lane, reader))
        await asyncio.sleep(0.1)
        reader.taking.clear()
        lane.change()
        await asyncio.sleep(0.1)
        for _ in range(500):
            lane.change()
            await asyncio.sleep(0.01)
        reader.taking.set()
        await asyncio.sleep(0.1)
        task.cancel()
    assert [etag for _, etag in reader.got] == ["lane-1", "lane-2", "lane-502"]


async def test_a_reader_that_takes_nothing_is_cut_off() -> None:
    reader = Reader()
    reader.taking.clear()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    with pytest.raises(Refusal) as caught:
        await _watch(FakeLane(), reader)
    assert caught.value.reason == Reason.READER_TOO_SLOW
    assert loop.time() == began_s + WRITE_TIMEOUT_S
