"""`CaptureService`: a technician's captures of device links. Nothing of what was captured passes here."""
# ruff: noqa: N802 - the names of the contract

from __future__ import annotations

import asyncio
import re
from typing import Final, Protocol

import grpc

from edge_agent.model.decision import ActKind, OfficerAct, Role
from securecorridor.lane.v1 import capture_service_pb2 as pb
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb
from securecorridor.lane.v1.capture_service_pb2_grpc import CaptureServiceServicer

from .backend import LaneBackend
from .errors import Reason, Refusal
from .lane_servicer import ACT_TIMEOUT_S, outcome
from .requests import begun, reason_of, seconds

_CAPTURE: Final = re.compile(r"[0-9a-fA-F-]{36}")


class _Named(Protocol):
    request_id: str
    officer: str
    reason: str
    capture: str


class CaptureServicer(CaptureServiceServicer):
    """One door's `CaptureService`."""

    def __init__(self, backend: LaneBackend, role: Role) -> None:
        self._backend = backend
        self._role = role

    async def StartCapture(self, request: pb.StartCaptureRequest, context: object) -> pb.StartCaptureResponse:
        """Begins a capture of one device."""
        fields = begun(request)
        fields.id(request.device, "device", "a device of the lane (lanectl devices)")
        duration_s = seconds(request, "duration", request.duration, 0.0)
        fields.require(not request.HasField("duration") or duration_s > 0, "duration", "must be above 0 s")
        fields.done()
        act = OfficerAct(
            ActKind.START_CAPTURE,
            request.request_id,
            request.officer,
            self._role,
            reason=reason_of(request),
            device=request.device,
            duration_s=duration_s,
        )
        answer = await self._act(act, Reason.DEVICE_NOT_FOUND)
        capture = request.request_id.lower()
        found = next((item for item in await self._backend.captures() if item.capture == capture), None)
        return pb.StartCaptureResponse(outcome=answer, capture=found)

    async def StopCapture(self, request: pb.StopCaptureRequest, context: object) -> pb.StopCaptureResponse:
        """Ends a capture."""
        return pb.StopCaptureResponse(outcome=await self._act(self._named(ActKind.STOP_CAPTURE, request)))

    async def ListCaptures(self, request: pb.ListCapturesRequest, context: object) -> pb.ListCapturesResponse:
        """Captures at the lane, newest first."""
        return pb.ListCapturesResponse(captures=await self._backend.captures())

    async def DeleteCapture(self, request: pb.DeleteCaptureRequest, context: object) -> pb.DeleteCaptureResponse:
        """Deletes a capture that has ended."""
        return pb.DeleteCaptureResponse(outcome=await self._act(self._named(ActKind.DELETE_CAPTURE, request)))

    def _named(self, kind: ActKind, request: _Named) -> OfficerAct:
        fields = begun(request)
        fields.require(_CAPTURE.fullmatch(request.capture) is not None, "capture", "must be Capture.capture")
        fields.done()
        capture = request.capture.lower()
        return OfficerAct(
            kind, request.request_id, request.officer, self._role, reason=reason_of(request), capture=capture
        )

    async def _act(self, act: OfficerAct, not_found: Reason = Reason.CAPTURE_NOT_FOUND) -> lane_pb.ActOutcome:
        try:
            async with asyncio.timeout(ACT_TIMEOUT_S):
                return outcome(await self._backend.capture(act), not_found)
        except TimeoutError as error:
            text = "the lane has not answered in time: repeat with the same request_id to learn what became of it"
            raise Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, Reason.ACT_UNCONFIRMED, text) from error
