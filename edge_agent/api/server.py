"""The doors: one gRPC server per role on a unix socket of its own, and one on loopback for viewers."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from drivers.api import EdgeError
from edge_agent.model.decision import Role
from securecorridor.lane.v1 import (
    capture_service_pb2,
    diagnostics_service_pb2,
    lane_service_pb2,
    sighting_service_pb2,
)
from securecorridor.lane.v1.capture_service_pb2_grpc import add_CaptureServiceServicer_to_server
from securecorridor.lane.v1.diagnostics_service_pb2_grpc import add_DiagnosticsServiceServicer_to_server
from securecorridor.lane.v1.lane_service_pb2_grpc import add_LaneServiceServicer_to_server
from securecorridor.lane.v1.sighting_service_pb2_grpc import add_SightingServiceServicer_to_server

from . import sockets
from .backend import LaneBackend
from .capture_servicer import CaptureServicer
from .diagnostics_servicer import DiagnosticsServicer
from .doors import Door
from .health_servicer import HealthServicer
from .lane_servicer import LaneServicer
from .sighting_servicer import SightingServicer

SERVICES: Final = tuple(
    service.full_name
    for file in (lane_service_pb2, capture_service_pb2, diagnostics_service_pb2, sighting_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)
STOP_GRACE_S: Final = 0.3
"""What calls under way get to end by themselves; the agent has 2 s from SIGTERM to its end."""
MAX_CALLS: Final = 128
"""Calls at one time at one door, streams included."""
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 * 1024),
    ("grpc.max_concurrent_streams", MAX_CALLS),
    # Two agents on one port would share its callers.
    ("grpc.so_reuseport", 0),
    # A frozen console must stop counting as a watching officer: found within about 3 s (the ping's own time-out
    # defaults to a minute, whatever the keepalive time-out says).
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.http2.ping_timeout_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
)


class ApiServer:
    """All doors, open for as long as the context lasts. Health is NOT_SERVING until `serving(True)`.

    `loopback_port` 0: no loopback door. `groups`: unix group by role; the agent's own group where absent. Entering
    raises EdgeError API_SOCKET_DIR, API_SOCKET_PATH, API_SOCKET_TAKEN or API_PORT; nothing is left open then.
    """

    def __init__(self, backend: LaneBackend, socket_dir: Path, loopback_port: int, groups: Mapping[Role, str]) -> None:
        self._backend = backend
        self._folder = socket_dir
        self._port = loopback_port
        self._groups = groups
        self._health = HealthServicer(SERVICES)
        self._servers: list[grpc.aio.Server] = []
        self._sockets: list[Path] = []
        self.faults: tuple[EdgeError, ...] = ()
        """Doors that are open to the agent's own user only, because their group could not be set; each worth a
        condition."""

    def socket_of(self, role: Role) -> Path:
        """Where the role's door is."""
        return self._folder / f"{role.value}.sock"

    def serving(self, ok: bool) -> None:
        """Set health: whether what the doors promise can be kept (store well, core running)."""
        self._health.set(ok)

    async def __aenter__(self) -> Self:
        try:
            sockets.make_folder(self._folder)
            for role in Role:
                await self._open_socket(role)
            if self._port:
                await self._open_loopback()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._health.set(False)
        await self._close()

    async def _open_socket(self, role: Role) -> None:
        path = self.socket_of(role)
        sockets.clear_the_way(path)
        server = self._make(role)
        try:
            with _closed_to_others():
                server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise EdgeError("API_SOCKET_DIR", f"{path} cannot be listened on", "see api.socket_dir") from error
        self._sockets.append(path)
        fault = sockets.open_to(path, self._groups.get(role, ""))
        if fault is not None:
            self.faults = (*self.faults, fault)
        await server.start()

    async def _open_loopback(self) -> None:
        server = self._make(Role.VIEWER)
        try:
            server.add_insecure_port(f"127.0.0.1:{self._port}")
        except RuntimeError as error:
            hint = "choose another api.loopback_port, or 0 for none"
            raise EdgeError("API_PORT", f"127.0.0.1:{self._port} cannot be listened on", hint) from error
        await server.start()

    def _make(self, role: Role) -> grpc.aio.Server:
        server = grpc.aio.server(interceptors=(Door(role),), options=_OPTIONS, maximum_concurrent_rpcs=MAX_CALLS)
        self._servers.append(server)
        add_LaneServiceServicer_to_server(LaneServicer(self._backend, role), server)
        add_DiagnosticsServiceServicer_to_server(DiagnosticsServicer(self._backend, role), server)
        add_CaptureServiceServicer_to_server(CaptureServicer(self._backend, role), server)
        # Served at every door so that the wrong one is told which is right; the door lets only media in.
        add_SightingServiceServicer_to_server(SightingServicer(self._backend), server)
        add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        return server

    async def _close(self) -> None:
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(server.stop(STOP_GRACE_S), name="close door")
        self._servers.clear()
        for path in self._sockets:
            path.unlink(missing_ok=True)
        self._sockets.clear()


@contextmanager
def _closed_to_others() -> Iterator[None]:
    # Between bind and chmod the socket has the mode the umask leaves it; nobody may slip in there.
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
