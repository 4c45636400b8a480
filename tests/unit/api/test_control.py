"""Control of the lane over the wire, the agent's own passage loop behind the doors: two officers, their consoles."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from edge_agent.model.decision import Role
from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub
from tests.unit.api.fake_lane import channel, error_of, uuid4
from tests.unit.api.live_lane import LiveLane, live_lane

ONE, TWO = "bso-1", "bso-2"


@asynccontextmanager
async def live(folder: Path) -> AsyncIterator[tuple[LiveLane, Any, Any]]:
    """A lane that runs, and two officers' stubs."""
    async with (
        live_lane(folder) as lane,
        channel(folder, Role.OFFICER) as first,
        channel(folder, Role.OFFICER) as second,
    ):
        yield lane, LaneServiceStub(first), LaneServiceStub(second)


def take(officer: str, displaces: str = "", reason: str = "shift", **more: Any) -> control_pb.TakeControlRequest:
    return control_pb.TakeControlRequest(
        request_id=uuid4(), officer=officer, reason=reason, displaces=displaces, **more
    )


async def control(stub: Any) -> control_pb.Control:
    answer: pb.GetLaneResponse = await stub.GetLane(pb.GetLaneRequest(), timeout=5)
    return answer.lane.control


@pytest.mark.real_time
async def test_one_takes_control_another_takes_over_and_the_first_is_shown_who_when_and_why(tmp_path: Path) -> None:
    async with live(tmp_path) as (_, first, second):
        assert (await control(first)).officer == ""
        watch = first.WatchLane(pb.WatchLaneRequest(officer_present=True, officer=ONE))
        await first.TakeControl(take(ONE), timeout=5)
        code, info, _ = await error_of(second.ClearHold(pb.ClearHoldRequest(request_id=uuid4(), officer=TWO)))
        assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONTROL_REQUIRED")
        assert info.metadata["controlled_by"] == ONE
        await second.HoldLane(pb.HoldLaneRequest(request_id=uuid4(), officer=TWO), timeout=5)
        await second.TakeControl(take(TWO, ONE, "shift change"), timeout=5)
        shown = await control(second)
        assert (shown.officer, shown.previous_officer, shown.reason) == (TWO, ONE, "shift change")
        assert shown.change == control_pb.Control.CHANGE_TAKEN_OVER
        assert 0 < shown.left.ToMilliseconds() <= 4000
        while True:
            told = (await watch.read()).lane.control
            if told.officer == TWO:
                break
        assert (told.previous_officer, told.since) == (ONE, shown.since)
        watch.cancel()
        code, info, _ = await error_of(first.KeepControl(control_pb.KeepControlRequest(officer=ONE), timeout=5))
        assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONTROL_REQUIRED")
        assert info.metadata["controlled_by"] == TWO
        assert (
            await second.KeepControl(control_pb.KeepControlRequest(officer=TWO), timeout=5)
        ).left.ToMilliseconds() == 4000
        await second.GiveControl(control_pb.GiveControlRequest(request_id=uuid4(), officer=TWO), timeout=5)
        ended = await control(first)
        assert (ended.officer, ended.change) == ("", control_pb.Control.CHANGE_GIVEN_BACK)
        assert not ended.HasField("left")


@pytest.mark.real_time
@pytest.mark.parametrize("order", [(ONE, TWO), (TWO, ONE)])
async def test_of_two_who_press_at_once_one_has_it_and_the_other_is_told(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    async with live(tmp_path) as (_, first, second):
        stubs = {ONE: first, TWO: second}
        calls = [stubs[officer].TakeControl(take(officer), timeout=5) for officer in order]
        done = await asyncio.gather(*calls, return_exceptions=True)
        lost = [call for call, answer in zip(calls, done, strict=True) if isinstance(answer, grpc.aio.AioRpcError)]
        assert len(lost) == 1
        winner = (await control(first)).officer
        assert winner in order
        _, info, _ = await error_of(lost[0])
        assert (info.reason, info.metadata["controlled_by"]) == ("CONTROL_CHANGED", winner)


@pytest.mark.real_time
async def test_control_ends_without_heartbeats_and_is_not_given_back_to_a_late_one(tmp_path: Path) -> None:
    async with live(tmp_path) as (lane, first, _):
        request = take(ONE)
        request.ttl.FromMilliseconds(400)
        await first.TakeControl(request, timeout=5)
        for _ in range(4):
            await asyncio.sleep(0.15)
            await first.KeepControl(control_pb.KeepControlRequest(officer=ONE), timeout=5)
        assert (await control(first)).officer == ONE, "kept longer than it lasts by itself"
        async with asyncio.timeout(5):
            while (await control(first)).officer:  # noqa: ASYNC110 - polled as an onlooker would
                await asyncio.sleep(0.02)
        ended = await control(first)
        assert (ended.change, ended.previous_officer) == (control_pb.Control.CHANGE_LOST, ONE)
        code, info, _ = await error_of(first.KeepControl(control_pb.KeepControlRequest(officer=ONE), timeout=5))
        assert (code, info.metadata["controlled_by"]) == (grpc.StatusCode.FAILED_PRECONDITION, "")
        assert lane.loop.state.control.officer == ""
        again = await first.TakeControl(request, timeout=5)
        assert again.outcome.message == "you control the lane", "the first answer to the same request"
        assert (await control(first)).officer == "", "and nothing is done twice"


@pytest.mark.real_time
async def test_a_release_that_comes_twice_or_for_another_state_or_for_nobody(tmp_path: Path) -> None:
    async with live(tmp_path) as (lane, first, _):
        await first.TakeControl(take(ONE), timeout=5)
        (seen,) = (await first.GetLane(pb.GetLaneRequest(), timeout=5)).lane.conveyances
        said: dict[str, Any] = {"officer": ONE, "conveyance_id": seen.conveyance_id, "etag": seen.etag}
        said["identity_digest"] = seen.identity_digest
        request = pb.ReleaseConveyanceRequest(request_id=uuid4(), **said)
        answers = await asyncio.gather(*(first.ReleaseConveyance(request, timeout=5) for _ in range(3)))
        assert len({(answer.outcome.message, answer.outcome.etag) for answer in answers}) == 1
        assert len(lane.loop.state.tracks[0].conveyance.decisions) == 1, "done once"
        again = pb.ReleaseConveyanceRequest(request_id=uuid4(), **said)
        code, info, _ = await error_of(first.ReleaseConveyance(again, timeout=5))
        assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ACT_REFUSED"), "the screen was another"
        said["conveyance_id"] = "0199a9a2-0000-7c3e-8f21-5b6a7c8d9e0f"
        gone = pb.ReleaseConveyanceRequest(request_id=uuid4(), **said)
        code, info, _ = await error_of(first.ReleaseConveyance(gone, timeout=5))
        assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "CONVEYANCE_NOT_FOUND")
        assert len(lane.loop.state.tracks[0].conveyance.decisions) == 1
