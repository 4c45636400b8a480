"""Every RPC of every service at every door, against the rule written in the contract."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from edge_agent.api.doors import ALLOWED
from edge_agent.model.decision import Role
from edge_agent.runtime.channel import Channel
from securecorridor.lane.v1 import capture_service_pb2, diagnostics_service_pb2, lane_service_pb2, sighting_service_pb2
from tests.unit.api.fake_lane import FakeLane, channel, open_doors

# The contract's own words (lane_service.proto): reading for all, HOLD for all, the rest as listed.
OFFICER_ONLY = {
    "ClearHold", "ReleaseConveyance", "ReferConveyance", "DirectConveyance", "ConfirmCorridorOrder", "TakeControl",
    "GiveControl", "KeepControl",
}  # fmt: skip
OFFICER_OR_TECHNICIAN = {
    "SetLaneMode", "ClearSignalFault", "TestSignal", "CommissionHead", "AcknowledgeCondition", "SilenceAlarms",
    "ListCaptures",
}  # fmt: skip
TECHNICIAN_ONLY = {"StartCapture", "StopCapture", "DeleteCapture"}
MEDIA_ONLY = {"ReportSightings"}

FILES: tuple[Any, ...] = (
    lane_service_pb2, capture_service_pb2, diagnostics_service_pb2, sighting_service_pb2, health_pb2, reflection_pb2,
)  # fmt: skip
METHODS = [
    method for file in FILES for service in file.DESCRIPTOR.services_by_name.values() for method in service.methods
]


class BusyLane(FakeLane):
    """A passage is sealed as soon as somebody watches for one."""

    @contextmanager
    def passages(self) -> Iterator[Channel[lane_service_pb2.Passage]]:
        with self.sealing.subscribe() as passages:
            self.sealing.publish(self.sealed[0])
            yield passages


def _path(method: Any) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def _expected(name: str, role: Role) -> bool:
    if name in OFFICER_ONLY:
        return role is Role.OFFICER
    if name in OFFICER_OR_TECHNICIAN:
        return role in (Role.OFFICER, Role.TECHNICIAN)
    if name in TECHNICIAN_ONLY:
        return role is Role.TECHNICIAN
    if name in MEDIA_ONLY:
        return role is Role.MEDIA
    return True


def test_table_lists_exactly_the_methods_served() -> None:
    assert set(ALLOWED) == {_path(method) for method in METHODS}


def test_a_role_is_allowed_exactly_what_the_contract_says() -> None:
    for method in METHODS:
        for role in Role:
            assert (role in ALLOWED[_path(method)]) == _expected(method.name, role), (method.name, role)


@pytest.mark.real_time
@pytest.mark.parametrize("role", list(Role))
async def test_the_door_refuses_or_answers_every_method(tmp_path: Path, role: Role) -> None:
    async with open_doors(tmp_path, BusyLane()), channel(tmp_path, role) as opened:
        for method in METHODS:
            code, details = await _knock(opened, _path(method))
            denied = code is grpc.StatusCode.PERMISSION_DENIED
            assert denied != _expected(method.name, role), (method.name, code, details)
            if denied:
                assert role.value in details
                assert method.name in details
            else:
                # An empty message is refused for what it lacks, at most.
                assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT), (method.name, code, details)


@pytest.mark.real_time
async def test_an_unknown_method_is_unimplemented(tmp_path: Path) -> None:
    async with open_doors(tmp_path, FakeLane()), channel(tmp_path, Role.OFFICER) as opened:
        code, _ = await _knock(opened, "/securecorridor.lane.v1.LaneService/OpenTheGate")
        assert code is grpc.StatusCode.UNIMPLEMENTED


async def _knock(opened: grpc.aio.Channel, path: str) -> tuple[grpc.StatusCode, str]:
    """Call with one empty message and take the first answer, whatever the shape of the method.

    The message goes with the call: writing it to a call that has been refused meanwhile loses the refusal in gRPC.
    """
    knock: Any = opened.unary_stream(path)
    call = knock(b"", timeout=5)
    try:
        await call.read()
        call.cancel()
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""
