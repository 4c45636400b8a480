"""A plain client of one lane's doors, for tests: look, wait until the lane says something, and act as an officer."""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import diagnostics_service_pb2 as diagnostics_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub
from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub
from securecorridor.release.v1 import record_pb2

OFFICER = "bso-7421"
_CALL_S = 5.0
_CONTROL_S = 150
# The agent is killed often here: a client must find it again at once.
_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
]


class NotSo(AssertionError):
    """The lane has not said in time what was waited for."""


class LaneClient:
    """The officer's and the technician's door of one agent. Survives the agent's restarts."""

    def __init__(self, socket_dir: Path) -> None:
        self._officer = grpc.aio.insecure_channel(f"unix:{socket_dir / 'officer.sock'}", options=_OPTIONS)
        self._technician = grpc.aio.insecure_channel(f"unix:{socket_dir / 'technician.sock'}", options=_OPTIONS)
        self.lane: Any = LaneServiceStub(self._officer)
        self.diagnostics: Any = DiagnosticsServiceStub(self._technician)

    async def close(self) -> None:
        """Hang up."""
        await self._officer.close()
        await self._technician.close()

    async def get(self) -> pb.LaneState:
        """The lane now."""
        answer = await self.lane.GetLane(pb.GetLaneRequest(), timeout=_CALL_S, wait_for_ready=True)
        lane: pb.LaneState = answer.lane
        return lane

    async def devices(self) -> dict[str, diagnostics_pb.Device]:
        """Every device by its id."""
        request = diagnostics_pb.ListDevicesRequest()
        answer = await self.diagnostics.ListDevices(request, timeout=_CALL_S, wait_for_ready=True)
        return {device.device: device for device in answer.devices}

    async def outbox_records(self) -> int:
        """How many records wait for central."""
        request = diagnostics_pb.GetOutboxRequest()
        answer = await self.diagnostics.GetOutbox(request, timeout=_CALL_S, wait_for_ready=True)
        return sum(entry.records for entry in answer.classes)

    async def until(self, fits: Callable[[pb.LaneState], bool], what: str, timeout_s: float = 8.0) -> pb.LaneState:
        """The first state that fits. NotSo with the last state when none comes in time."""
        last: pb.LaneState | None = None
        request = pb.WatchLaneRequest()
        request.min_interval.FromMilliseconds(100)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    call = self.lane.WatchLane(request, wait_for_ready=True)
                    try:
                        async for answer in call:
                            last = _lane(answer)
                            if fits(last):
                                return last
                    except grpc.aio.AioRpcError:
                        continue  # the agent has just gone: wait for the next one
                    finally:
                        call.cancel()
        raise NotSo(f"not within {timeout_s:g} s: {what}; the lane said last:\n{last}")

    async def bundle(self, bundle_id: str) -> record_pb2.Bundle:
        """A sealed bundle as it was stored."""
        request = pb.GetPassageRequest(id=bundle_id)
        answer = await self.lane.GetPassage(request, timeout=_CALL_S, wait_for_ready=True)
        return record_pb2.Bundle.FromString(answer.bundle)

    async def passages(self) -> list[pb.Passage]:
        """The newest sealed passages, newest first."""
        request = pb.ListPassagesRequest(page_size=100)
        answer = await self.lane.ListPassages(request, timeout=_CALL_S, wait_for_ready=True)
        return list(answer.passages)

    async def confirm_order(self, *conveyance_ids: str) -> None:
        """An officer sees on camera that these, in this order, are all upstream of the line. Tries until accepted."""
        async with asyncio.timeout(_CALL_S):
            while True:
                await self.take_control()
                lane = await self.until(lambda lane: bool(lane.etag), "a state")
                request = pb.ConfirmCorridorOrderRequest(
                    etag=lane.etag, conveyance_ids=conveyance_ids, **_who("corridor seen on camera")
                )
                try:
                    await self.lane.ConfirmCorridorOrder(request, timeout=_CALL_S, wait_for_ready=True)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                        raise
                    continue  # what was displayed has changed meanwhile
                return

    async def take_control(self) -> None:
        """Be the officer who controls the lane, for as long as a test may take without heartbeats."""
        lane = await self.get()
        if lane.control.officer != OFFICER:
            request = control_pb.TakeControlRequest(displaces=lane.control.officer, **_who("a test"))
            request.ttl.FromSeconds(_CONTROL_S)
            await self.lane.TakeControl(request, timeout=_CALL_S)

    async def hold(self) -> None:
        """Red, now."""
        await self.lane.HoldLane(pb.HoldLaneRequest(**_who("held by a test")), timeout=_CALL_S)

    async def clear_hold(self) -> None:
        """End the lane's hold."""
        await self.take_control()
        await self.lane.ClearHold(pb.ClearHoldRequest(**_who("let go by a test")), timeout=_CALL_S)


def codes(lane: pb.LaneState) -> set[str]:
    """Codes of everything that keeps the lane red, and of every condition."""
    return {cause.code for cause in lane.red_causes} | {condition.code for condition in lane.conditions}


def _lane(answer: Any) -> pb.LaneState:  # noqa: ANN401 - GetLane's and WatchLane's answers are alike
    lane: pb.LaneState = answer.lane
    return lane


def _who(reason: str) -> dict[str, Any]:
    return {"request_id": str(uuid.uuid4()), "officer": OFFICER, "reason": reason}
