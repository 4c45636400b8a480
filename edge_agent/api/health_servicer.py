"""The standard health service (grpc.health.v1): whether this lane's doors can be relied on. Readable at every door."""
# ruff: noqa: N802 - the names of the contract

from __future__ import annotations  # grpc's classes are generic for the type checker only

from collections.abc import Sequence
from typing import Any

import grpc
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1.health_pb2_grpc import HealthServicer as GeneratedServicer

from .errors import Reason, Refusal
from .feeds import Notifier
from .lane_servicer import send


class HealthServicer(GeneratedServicer):
    """One state for all services of the lane, set without waiting; "" names the agent as a whole."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = ("", *services)
        self._ok = False
        self._changes = Notifier()

    def set(self, ok: bool) -> None:
        """SERVING or NOT_SERVING, told to every watcher."""
        self._ok = ok
        self._changes.notify()

    async def Check(self, request: pb.HealthCheckRequest, context: object) -> pb.HealthCheckResponse:
        """The status now."""
        if request.service not in self._services:
            raise Refusal(grpc.StatusCode.NOT_FOUND, Reason.SERVICE_NOT_FOUND, "no such service")
        return self._now()

    async def List(self, request: object, context: object) -> Any:  # noqa: ANN401 - the stubs lack HealthListResponse
        """The status of every service."""
        statuses = {service: self._now() for service in self._services}
        return pb.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]

    async def Watch(
        self, request: pb.HealthCheckRequest, context: ServicerContext[Any, pb.HealthCheckResponse]
    ) -> None:
        """The status now and at every change."""
        known = request.service in self._services
        with self._changes.watch() as changes:
            while True:
                unknown = pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVICE_UNKNOWN)
                await send(context, self._now() if known else unknown)
                await changes.wait()

    def _now(self) -> pb.HealthCheckResponse:
        status = pb.HealthCheckResponse.SERVING if self._ok else pb.HealthCheckResponse.NOT_SERVING
        return pb.HealthCheckResponse(status=status)
