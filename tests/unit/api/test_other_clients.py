"""Clients that share no code with the agent: buf curl over reflection, and a console process that freezes."""

import asyncio
import base64
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2

from edge_agent.model.decision import Role
from tests.unit.api.fake_lane import CONVEYANCE, FakeLane, open_doors

# Reads one state, says so, and goes on reading: what a console does.
CONSOLE = """
import sys, grpc
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1.lane_service_pb2_grpc import LaneServiceStub
with grpc.insecure_channel("unix:" + sys.argv[1]) as channel:
    for message in LaneServiceStub(channel).WatchLane(pb.WatchLaneRequest(officer_present=True, officer="bso-1")):
        print(message.lane.etag, flush=True)
"""


async def _buf(socket: Path, method: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        "buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--unix-socket", str(socket),
        "--data", json.dumps(body), f"http://lane/securecorridor.lane.v1.LaneService/{method}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    answer: dict[str, Any] = json.loads(out or err)
    return process.returncode, answer


@pytest.mark.real_time
@pytest.mark.needs("buf")
async def test_buf_curl_reads_holds_and_is_refused_by_reflection_alone(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane) as server:
        code, answer = await _buf(server.socket_of(Role.VIEWER), "GetLane", {})
        assert (code, answer["lane"]["name"]) == (0, "ports/0427/lanes/07")
        hold = {"requestId": "0190e1c2-5a70-7000-8000-00000000f001", "officer": "bso-9", "reason": "by hand"}
        code, answer = await _buf(server.socket_of(Role.CENTRAL), "HoldLane", hold)
        assert (code, answer["outcome"]["mayClear"]) == (0, ["officer"])
        assert [(act.officer, act.role) for act in lane.acts] == [("bso-9", Role.CENTRAL)]
        release = {**hold, "conveyanceId": CONVEYANCE}
        code, answer = await _buf(server.socket_of(Role.VIEWER), "ReleaseConveyance", release)
        assert code != 0
        assert answer["code"] == "permission_denied"
        (detail,) = answer["details"]
        assert detail["type"] == "google.rpc.ErrorInfo"
        info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(detail["value"] + "=="))
        assert (info.domain, info.reason) == ("securecorridor", "WRONG_DOOR")


@pytest.mark.real_time
async def test_a_console_that_freezes_stops_being_present(tmp_path: Path) -> None:
    lane = FakeLane()
    async with open_doors(tmp_path, lane) as server:
        console = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CONSOLE, str(server.socket_of(Role.OFFICER)), stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert console.stdout is not None
            await console.stdout.readline()
            assert lane.consoles == ["bso-1"]
            # Stopped, not killed: its kernel goes on acknowledging, only HTTP/2 pings go unanswered.
            console.send_signal(signal.SIGSTOP)
            async with asyncio.timeout(30):
                while lane.consoles:
                    await lane.until_changed()
        finally:
            console.kill()
            await console.wait()
