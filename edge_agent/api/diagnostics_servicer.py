"""`DiagnosticsService`: what the technician reads. Nothing here changes anything."""
# ruff: noqa: N802 - the names of the contract

from __future__ import annotations  # grpc's classes are generic for the type checker only

from typing import Any, Final

import grpc
from grpc.aio import ServicerContext

from edge_agent.model.decision import Role
from securecorridor.lane.v1 import diagnostics_service_pb2 as pb
from securecorridor.lane.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceServicer

from .backend import LaneBackend
from .errors import Reason, Refusal
from .lane_servicer import send
from .requests import Fields
from .veil import veil_event

BACKLOG_MAX: Final = 1000


class DiagnosticsServicer(DiagnosticsServiceServicer):
    """One door's `DiagnosticsService`."""

    def __init__(self, backend: LaneBackend, role: Role) -> None:
        self._backend = backend
        self._role = role

    async def ListDevices(self, request: pb.ListDevicesRequest, context: object) -> pb.ListDevicesResponse:
        """Every device with its last sign of life."""
        return pb.ListDevicesResponse(devices=self._backend.devices())

    async def ListReaders(self, request: pb.ListReadersRequest, context: object) -> pb.ListReadersResponse:
        """RFID readers with their health."""
        readers = self._backend.readers()
        if request.device:
            readers = [reader for reader in readers if reader.device == request.device]
            if not readers:
                text = f"no RFID reader {request.device} in this lane"
                raise Refusal(grpc.StatusCode.NOT_FOUND, Reason.READER_NOT_FOUND, text)
        return pb.ListReadersResponse(readers=readers)

    async def ListConditions(self, request: pb.ListConditionsRequest, context: object) -> pb.ListConditionsResponse:
        """Conditions in force, worst first."""
        return pb.ListConditionsResponse(conditions=self._backend.conditions())

    async def GetOutbox(self, request: pb.GetOutboxRequest, context: object) -> pb.GetOutboxResponse:
        """Records waiting for central, by class."""
        return self._backend.outbox()

    async def TailEvents(  # type: ignore[override]  # written with context.write: its contexts end with the call
        self, request: pb.TailEventsRequest, context: ServicerContext[Any, pb.TailEventsResponse]
    ) -> None:
        """The last events, then with `follow` each as it happens: none twice, none left out in between."""
        fields = Fields()
        fields.require(0 <= request.backlog <= BACKLOG_MAX, "backlog", f"must be 0 to {BACKLOG_MAX}")
        fields.done()
        with self._backend.events() as events:
            # Subscribed and read without a pause: an event is either in the backlog or still to come.
            backlog = self._backend.recent_events(request.backlog) if request.backlog else []
            await context.send_initial_metadata(())
            for event in backlog:
                await send(context, pb.TailEventsResponse(event=veil_event(event, self._role)))
            if not request.follow:
                return
            async for event in events:
                await send(context, pb.TailEventsResponse(event=veil_event(event, self._role)))
