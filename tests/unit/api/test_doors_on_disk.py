"""The sockets themselves: where, whose, for whom; and what stands in the way of opening them."""

import asyncio
import grp
import os
import socket
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from drivers.api import EdgeError
from edge_agent.api.server import SERVICES
from edge_agent.model.decision import Role
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub
from tests.unit.api.fake_lane import FakeLane, channel, error_of, next_of, open_doors


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.real_time
async def test_one_socket_a_role_closed_to_others_and_gone_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "lane"
    async with open_doors(folder, FakeLane()) as server:
        assert _mode(folder) == 0o750
        assert _names(folder) == sorted(f"{role.value}.sock" for role in Role)
        assert {_mode(server.socket_of(role)) for role in Role} == {0o660}
        assert server.faults == ()
    assert _names(folder) == []


@pytest.mark.real_time
async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "officer.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    async with open_doors(tmp_path, FakeLane()), channel(tmp_path, Role.OFFICER) as opened:
        await LaneServiceStub(opened).GetLane(pb.GetLaneRequest(), timeout=5)


@pytest.mark.real_time
async def test_a_socket_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    async with open_doors(tmp_path, FakeLane()), channel(tmp_path, Role.OFFICER) as opened:
        with pytest.raises(EdgeError) as caught:
            async with open_doors(tmp_path, FakeLane()):
                pass
        assert caught.value.code == "API_SOCKET_TAKEN"
        await LaneServiceStub(opened).GetLane(pb.GetLaneRequest(), timeout=5)


@pytest.mark.real_time
async def test_what_cannot_be_a_door_is_named(tmp_path: Path) -> None:
    file_in_the_way = tmp_path / "file"
    file_in_the_way.write_text("")
    crowded = tmp_path / "crowded"
    crowded.mkdir()
    (crowded / "viewer.sock").write_text("not a socket")
    for folder, code in (
        (file_in_the_way / "run", "API_SOCKET_DIR"),
        (tmp_path / ("x" * 100), "API_SOCKET_PATH"),
        (crowded, "API_SOCKET_PATH"),
    ):
        with pytest.raises(EdgeError) as caught:
            async with open_doors(folder, FakeLane()):
                pass
        assert caught.value.code == code
        assert caught.value.hint
    assert (crowded / "viewer.sock").read_text() == "not a socket"
    assert _names(crowded) == ["viewer.sock"]


@pytest.mark.real_time
async def test_a_door_belongs_to_its_group_or_to_nobody_else(tmp_path: Path) -> None:
    mine = grp.getgrgid(os.getgid()).gr_name
    groups = {Role.OFFICER: mine, Role.TECHNICIAN: "no-such-group"}
    async with open_doors(tmp_path, FakeLane(), groups=groups) as server:
        assert _mode(server.socket_of(Role.OFFICER)) == 0o660
        assert server.socket_of(Role.OFFICER).stat().st_gid == os.getgid()
        assert _mode(server.socket_of(Role.TECHNICIAN)) == 0o600
        (fault,) = server.faults
        assert (fault.code, "no-such-group" in fault.message) == ("API_GROUP", True)


@pytest.mark.real_time
async def test_loopback_is_a_viewers_door_and_its_port_is_not_shared(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EdgeError) as caught:
            async with open_doors(tmp_path, FakeLane(), loopback_port=port):
                pass
        assert caught.value.code == "API_PORT"
    assert _names(tmp_path) == []
    lane = FakeLane()
    async with (
        open_doors(tmp_path, lane, loopback_port=port),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened,
    ):
        stub = LaneServiceStub(opened)
        assert not (await stub.GetLane(pb.GetLaneRequest(), timeout=5)).lane.conveyances[0].identities
        code, info, _ = await error_of(stub.ClearHold(pb.ClearHoldRequest(), timeout=5))
        assert (code, info.metadata["door"]) == (grpc.StatusCode.PERMISSION_DENIED, "viewer")


@pytest.mark.real_time
async def test_health_follows_the_agent_at_every_door(tmp_path: Path) -> None:
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    async with open_doors(tmp_path, FakeLane()) as server:
        for role in Role:
            async with channel(tmp_path, role) as opened:
                stub: Any = HealthStub(opened)  # the stubs name no methods
                for service in ("", *SERVICES):
                    request = health_pb2.HealthCheckRequest(service=service)
                    assert (await stub.Check(request, timeout=5)).status == serving
        async with channel(tmp_path, Role.CENTRAL) as opened:
            stub = HealthStub(opened)
            watch = stub.Watch(health_pb2.HealthCheckRequest())
            assert (await next_of(watch)).status == serving
            server.serving(False)
            assert (await next_of(watch)).status == not_serving
            server.serving(True)
            assert (await next_of(watch)).status == serving
            watch.cancel()
            unknown = health_pb2.HealthCheckRequest(service="no.such.Service")
            assert (await error_of(stub.Check(unknown, timeout=5)))[0] is grpc.StatusCode.NOT_FOUND
            strange = stub.Watch(unknown)
            assert (await next_of(strange)).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            strange.cancel()


@pytest.mark.real_time
async def test_closing_ends_open_streams_soon(tmp_path: Path) -> None:
    lane = FakeLane()
    async with channel(tmp_path, Role.OFFICER) as opened:
        async with open_doors(tmp_path, lane):
            call = LaneServiceStub(opened).WatchLane(pb.WatchLaneRequest(officer_present=True, officer="bso-1"))
            await next_of(call)
            assert lane.consoles == ["bso-1"]
        async with asyncio.timeout(10):
            assert await call.code() is not grpc.StatusCode.OK
    assert lane.consoles == []
