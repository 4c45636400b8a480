"""A technician captures a reader at a working lane, and the agent is killed in the middle of it."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge_agent.cli.lanectl import main
from hil.rig.puppet import PuppetLane, PuppetTruck
from hil.tests.stage import Stage
from securecorridor.lane.v1 import types_pb2 as types

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.timeout(120),
    pytest.mark.capability("device_clock", "set_inputs", "set_tags", "kill_agent"),
]

WHY = ("--officer", "tech-1", "--reason", "reads are few")


async def lanectl(lane: PuppetLane, *arguments: str) -> dict[str, Any]:
    """The technician's command at this lane, with --json: its answer. AssertionError unless it is done."""
    code, out = await asyncio.to_thread(_run, lane.bench.socket_dir, *arguments, "--json")
    assert code in (0, 1, 3), out  # 1 and 3: what status says of a reader that begins anew
    answer: dict[str, Any] = json.loads(out)
    return answer


def _run(folder: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments, env={"LANE_SOCKET_DIR": str(folder), "LANE_OFFICER": "tech-1"})
    return result.exit_code, result.output


def _mode(mode: str, *more: str) -> tuple[str, ...]:
    return ("--door", "technician", "mode", mode, "--yes", *WHY, *more)


async def reads_of(lane: PuppetLane) -> float:
    """How many reads the reader's device has counted."""
    return (await lane.client.devices())["rfid-1"].counters["reads"]


async def read_more(lane: PuppetLane, count: int) -> None:
    """Until the reader has read so much more."""
    wanted = await reads_of(lane) + count
    async with asyncio.timeout(15):
        while await reads_of(lane) < wanted:
            await lane.sleep_until(asyncio.get_running_loop().time() + 0.05)


def replay(lane: PuppetLane, file: str, key: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """What an engineer sees of a capture file."""
    result = CliRunner().invoke(main, ["replay", file, "--key", str(key), "--json", *options])
    return result.exit_code, [json.loads(line) for line in result.output.splitlines()]


def test_a_capture_is_made_replayed_and_survives_a_kill(stage: Stage) -> None:
    lane = stage.lane
    stage.run(_story(lane))


async def _story(lane: PuppetLane) -> None:
    code, out = await asyncio.to_thread(_run, lane.bench.socket_dir, "capture", "start", "rfid-1", *WHY)
    assert (code, "maintenance" in out) == (5, True)
    await lanectl(lane, *_mode("closed"))
    await lanectl(lane, *_mode("maintenance", "--minutes", "5"))
    state = await lane.client.get()
    assert state.mode == types.LANE_MODE_MAINTENANCE
    assert (state.maintenance.officer, 290 < state.maintenance.left.seconds <= 300) == ("tech-1", True)
    truck = PuppetTruck(lane, 7)
    await lane.put_tags(truck, present=True)

    whole = await lanectl(lane, "capture", "start", "rfid-1", "--minutes", "2", *WHY)
    shown = await lanectl(lane, "status")
    assert shown["maintenance"]["captured_devices"] == ["rfid-1"]
    assert {"LANE_MAINTENANCE", "CAPTURE_ACTIVE"} <= {condition["code"] for condition in shown["conditions"]}
    await read_more(lane, 40)
    await lanectl(lane, "capture", "stop", "--reason", "seen enough", "--officer", "tech-1")
    await read_more(lane, 5)
    file, key = whole["capture"]["path"], lane.bench.dir / "keys" / "central_private.key"
    code, lines = await asyncio.to_thread(replay, lane, file, key, "--show-identities")
    assert code == 0, lines[-2:]
    read = {line["epc"] for line in lines if line.get("observation") == "TagRead"}
    assert read == {epc.upper() for epc in truck.epcs}

    cut = await lanectl(lane, "capture", "start", "rfid-1", "--minutes", "2", *WHY)
    await read_more(lane, 40)
    await asyncio.sleep(1.0)
    os.kill(lane.bench.children["agent"].pid, signal.SIGKILL)
    await lane.restart_agent()
    assert (await lane.client.get()).mode == types.LANE_MODE_CLOSED
    code, lines = await asyncio.to_thread(replay, lane, cut["capture"]["path"], key)
    assert (code, lines[-1]["end"], lines[-2]["divergence"]) == (1, "cut", None)
    assert sum(line.get("observation") == "TagRead" for line in lines) >= 30
    events = await lanectl_events(lane)
    ended = [dict(event["facts"]) for event in events if event["code"] == "CAPTURE_ENDED"]
    assert ended[-1]["cause"] == "restarted"
    listed = (await lanectl(lane, "capture", "list"))["captures"]
    assert [(each["capture"], each["running"]) for each in listed] == [
        (cut["capture"]["capture"], False), (whole["capture"]["capture"], False),
    ]  # fmt: skip
    await lane.put_tags(truck, present=False)
    no_identity_anywhere(lane, truck, [file, cut["capture"]["path"]], json.dumps(events))
    await lanectl(lane, "capture", "delete", listed[0]["capture"], "--yes", *WHY)
    assert [each["capture"] for each in (await lanectl(lane, "capture", "list"))["captures"]] == [
        whole["capture"]["capture"]
    ]


async def lanectl_events(lane: PuppetLane) -> list[dict[str, Any]]:
    """Lane events of this life of the agent, as the technician reads them."""
    _code, out = await asyncio.to_thread(_run, lane.bench.socket_dir, "tail", "-n", "200", "--json")
    return [json.loads(line) for line in out.splitlines()]


def no_identity_anywhere(lane: PuppetLane, truck: PuppetTruck, files: list[str], events: str) -> None:
    """Neither in the capture files, nor in the agent's log, nor in its events."""
    log = (lane.bench.dir / "agent.log").read_text().lower()
    for epc in truck.epcs:
        for file in files:
            content = Path(file).read_bytes()
            assert bytes.fromhex(epc) not in content
            assert epc.lower().encode() not in content.lower()
        assert epc.lower() not in log
        assert epc.lower() not in events.lower()
