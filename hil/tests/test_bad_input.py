"""What people and the world get wrong is told with its place and the next step; the lane stays red and sane."""

import asyncio
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from hil.rig.lane_bench import free_port
from hil.rig.processes import start
from hil.rig.puppet import PuppetLane, is_green
from hil.rig.target import Limits
from hil.tests.stage import Stage, cpu_s, opened
from hil.tests.store_dump import acknowledged
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb
from securecorridor.lane.v1 import types_pb2 as types

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.timeout(90),
    pytest.mark.capability("device_clock", "set_inputs", "set_tags", "script_centre"),
]

Edit = Callable[[dict[str, Any]], None]
ROOT = Path(__file__).resolve().parents[2]

MISTAKES = {
    "unknown key": ("signal:\n  device: io-1\n", "signal:\n  colour: red\n  device: io-1\n", "colour", "signal.colour"),
    "misspelt key": ("  cycle_ms: 100\n", "  cylce_ms: 100\n", "cylce_ms", "cycle_ms"),
    "duplicate key": ("  cycle_ms: 100\n", "  cycle_ms: 100\n  cycle_ms: 50\n", "cycle_ms: 50", "cycle_ms"),
    "a unit in the value": ("  poll_ms: 25\n", "  poll_ms: 25ms\n", "25ms", "poll_ms"),
    "milliseconds for seconds": ("  reaction_s: 0.5\n", "  reaction_s: 7200\n", "7200\n", "reaction_s"),
}
"""name: (what stands in the file, what is written instead, where the finger must point, what the line must name)."""


def place_of(text: str, piece: str) -> str:
    """line:column of a piece that occurs once."""
    assert text.count(piece) == 1, piece
    before = text[: text.index(piece)]
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def edge_agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the agent's commands to its end."""
    command = [sys.executable, "-m", "edge_agent", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def device(config: dict[str, Any], name: str) -> dict[str, Any]:
    """One device's section of a configuration."""
    found: dict[str, Any] = next(d for d in config["devices"] if d["id"] == name)
    return found


async def red_and_answering(lane: PuppetLane, limits: Limits, *, name: str, why: str) -> types.Condition:
    """The API is up and tells why the lane is red, and the condition of the device; the head is red; the process is
    alive and does not spin. Returns that condition."""
    agent = lane.bench.children["agent"]
    began_ns, began_cpu, states = time.monotonic_ns(), cpu_s(agent.pid), 0

    def counted(_state: lane_pb.LaneState) -> bool:
        nonlocal states
        states += 1
        return states >= 15  # at 10 Hz at most

    state = await lane.client.until(
        lambda state: (
            any(cause.code == why for cause in state.red_causes)
            and any(condition.device == name for condition in state.conditions)
        ),
        f"red because of {why}, and a condition of {name}",
    )
    told = next(condition for condition in state.conditions if condition.device == name)
    assert told.title
    assert told.hint, "the next step"
    await lane.client.until(counted, "fifteen more states")
    spent = (cpu_s(agent.pid) - began_cpu) / ((time.monotonic_ns() - began_ns) / 1e9)
    assert spent <= limits.waiting_cpu_share, f"it spins: {spent:.2f} of a processor"
    assert agent.running
    module = await lane.bench.controls["module"].do("get")
    assert module["aspect"] == "red"
    return told


async def a_truck_is_served(lane: PuppetLane) -> None:
    """All is well again."""
    await lane.open_lane()
    since_ns = time.monotonic_ns()
    truck, _green = await lane.truck_on_green()
    await truck.vanish()
    await lane.open_lane()
    await lane.release.wait(lambda e: e["event"] == "bundle", "bundle", after_ns=since_ns)


@asynccontextmanager
async def web_server() -> AsyncIterator[int]:
    """Something on a port that is no Modbus module: its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(256)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_configuration_is_told_with_its_place(stage: Stage, tmp_path: Path, mistake: str) -> None:
    good, bad, pointed_at, named = MISTAKES[mistake]
    text = stage.lane.bench.config_path.read_text()
    assert text.count(good) == 1
    file = tmp_path / "lane.yaml"
    file.write_text(text.replace(good, bad))
    where = place_of(file.read_text(), pointed_at)
    for arguments in (["check-config", str(file)], ["run", "--config", str(file)]):
        done = edge_agent(*arguments)
        assert done.returncode == 2, done.stderr
        assert re.search(rf"lane\.yaml:{where}: .*{re.escape(named)}", done.stdout + done.stderr), done.stderr
        assert "Traceback" not in done.stderr


def test_two_devices_on_one_port_are_told(stage: Stage, tmp_path: Path) -> None:
    config = yaml.safe_load(stage.lane.bench.config_path.read_text())
    config["devices"].append({**device(config, "rfid-1"), "id": "rfid-2"})
    config["geometry"]["antennas"] += [{**a, "device": "rfid-2"} for a in config["geometry"]["antennas"]]
    file = tmp_path / "lane.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    done = edge_agent("check-config", str(file))
    assert done.returncode == 2
    told = done.stdout + done.stderr
    assert re.search(r"lane\.yaml:\d+:\d+: devices\.2\.port: .*one device, one port", told), told


def test_a_second_agent_on_the_same_store_is_refused(stage: Stage, tmp_path: Path) -> None:
    lane = stage.lane
    config = yaml.safe_load(lane.bench.config_path.read_text())
    config["api"]["socket_dir"] = str(tmp_path / "sockets")
    config["metrics"]["port"] = free_port()
    file = tmp_path / "lane.yaml"
    file.write_text(yaml.safe_dump(config))
    began_ns = time.monotonic_ns()
    done = edge_agent("run", "--config", str(file))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "STORE_" in done.stderr
    assert "hint:" in done.stderr
    assert lane.bench.children["agent"].running
    assert not lane.module.seen(lambda e: e["event"] == "connection", began_ns), "it never touched the module"
    stage.run(a_truck_is_served(lane))


@pytest.mark.capability("reconfigure")
def test_a_serial_port_that_does_not_exist(stage: Stage, limits: Limits) -> None:
    lane = stage.lane

    async def no_port() -> None:
        await lane.reconfigure(lambda config: device(config, "rfid-1").update(port="/dev/lane/no-such-port"))
        told = await red_and_answering(lane, limits, name="rfid-1", why="REQUIRED_DEVICE_DOWN")
        assert "/dev/lane/no-such-port" in told.title

    stage.run(no_port())


@pytest.mark.capability("reconfigure", "wrong_device")
def test_a_wrong_device_on_the_serial_port(stage: Stage, limits: Limits, tmp_path: Path) -> None:
    lane = stage.lane

    async def wrong_device() -> None:
        link = tmp_path / "other.tty"
        arguments = ["--control", str(tmp_path / "other.ctl"), "--link", str(link), "--persona", "ascii"]
        other = await start("other", ["-m", "hil.devices.mercury_reader", *arguments], tmp_path)
        try:
            await lane.reconfigure(lambda config: device(config, "rfid-1").update(port=str(link)))
            told = await red_and_answering(lane, limits, name="rfid-1", why="REQUIRED_DEVICE_DOWN")
        finally:
            await other.end()
        assert told.code == "WRONG_DEVICE"

    stage.run(wrong_device())


@pytest.mark.capability("reconfigure", "wrong_device")
def test_two_readers_swapped(stage: Stage, limits: Limits) -> None:
    lane = stage.lane

    async def swapped() -> None:
        await lane.reconfigure(lambda config: device(config, "rfid-1").update(serial="VIRTUAL-2"))
        told = await red_and_answering(lane, limits, name="rfid-1", why="REQUIRED_DEVICE_DOWN")
        assert told.code == "WRONG_DEVICE"
        assert "VIRTUAL-1" in told.title
        assert "swapped" in told.hint
        await lane.reconfigure(lambda config: device(config, "rfid-1").update(serial="VIRTUAL-1"))
        await a_truck_is_served(lane)

    stage.run(swapped())


@pytest.mark.capability("reconfigure", "wrong_device")
def test_a_web_server_on_the_modbus_port(stage: Stage, limits: Limits) -> None:
    lane = stage.lane

    async def wrong_device() -> None:
        async with web_server() as port:
            began_ns = time.monotonic_ns()
            await lane.reconfigure(lambda config: device(config, "io-1").update(port=port))
            assert "locked" in lane.bench.status["agent"]
            told = await red_and_answering(lane, limits, name="io-1", why="ZONES_LOST")
            assert told.code == "WRONG_DEVICE"
            assert not lane.module.seen(is_green, began_ns)

    stage.run(wrong_device())


@pytest.mark.capability("reconfigure")
def test_no_module_on_the_network(stage: Stage, limits: Limits) -> None:
    lane = stage.lane

    async def no_module() -> None:
        took = await lane.reconfigure(lambda config: device(config, "io-1").update(port=free_port()))
        assert took <= limits.ready_s + 1.5, "READY with the outputs locked: lanectl why must always answer"
        assert "locked" in lane.bench.status["agent"]
        await red_and_answering(lane, limits, name="io-1", why="ZONES_LOST")

    stage.run(no_module())


@pytest.mark.capability("reconfigure", "line_noise")
def test_noise_on_the_serial_line(stage: Stage) -> None:
    lane = stage.lane

    async def noise() -> None:
        await lane.reconfigure()
        await lane.open_lane()
        reader = lane.bench.controls["reader"]
        truck = lane.truck()
        since_ns = time.monotonic_ns()
        driving = asyncio.ensure_future(truck.move_to(-45.0))
        while not driving.done():
            await reader.do("noise", bytes=40)
            await asyncio.wait([driving], timeout=0.1)
        await driving
        await lane.module.wait(is_green, "green in spite of the noise", after_ns=since_ns)
        await truck.vanish()
        await lane.open_lane()
        await lane.release.wait(lambda e: e["event"] == "bundle", "bundle", after_ns=since_ns)
        assert (await lane.client.devices())["rfid-1"].up

    stage.run(noise())


@pytest.mark.capability("reconfigure")
def test_nothing_stored_was_lost(stage: Stage) -> None:
    """After all of the above: what was sealed at any time is there, and central has all of it."""
    lane = stage.lane

    async def look() -> list[str]:
        await lane.reconfigure()
        await a_truck_is_served(lane)
        await lane.outbox_empty()
        return [event["bundle_id"] for event in lane.release.seen(lambda e: e["event"] == "bundle")]

    delivered = stage.run(look())
    assert len(delivered) >= 2
    assert acknowledged(lane.bench.store_dir) == delivered


CAMERA = {"view": "overview", "kind": "rtsp", "required": True}


@pytest.mark.capability("reconfigure")
def test_a_camera_that_is_not_there(tmp_path: Path, limits: Limits) -> None:
    url = f"rtsp://127.0.0.1:{free_port()}/overview"
    with opened(tmp_path, overrides={}, media=True) as stage:
        lane = stage.lane

        async def no_camera() -> None:
            await lane.bench.children.pop("media").end()
            await lane.reconfigure(lambda config: config["media"].update(cameras=[{**CAMERA, "url": url}]))
            await lane.bench.start_watchers()
            await red_and_answering(lane, limits, name="overview", why="REQUIRED_DEVICE_DOWN")
            assert lane.bench.children["media"].running

        stage.run(no_camera())


@pytest.mark.capability("reconfigure", "power_cycle")
@pytest.mark.parametrize("profile", ["forgets_its_host", "energise_to_stop"])
def test_a_profile_that_cannot_be_safe(tmp_path: Path, limits: Limits, profile: str) -> None:
    """The installed program with one more profile beside the others."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("edge_agent", "drivers"):
        (tree / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "firmware_configs", tree / "firmware_configs")
    profiles = tree / "firmware_configs" / "modbus"
    raw = yaml.safe_load((ROOT / "firmware_configs" / "modbus" / "generic_coils.yaml").read_text())
    if profile == "forgets_its_host":
        del raw["watchdog"]
    else:
        raw["energise_to"] = "stop"
    (profiles / f"{profile}.yaml").write_text(yaml.safe_dump(raw))
    paths = {"PYTHONPATH": f"{tree}:{ROOT}:{ROOT / 'proto' / 'gen'}", "PYTHONSAFEPATH": "1"}
    with opened(tmp_path / "lane", module_profile="generic_coils", environment=paths) as stage:
        lane = stage.lane

        async def unsafe() -> None:
            await lane.bench.children["agent"].end()
            # As from the shelf: nobody has ever set a watchdog in it.
            await lane.bench.controls["module"].do("power_cycle", off_ms=50)
            began_ns = time.monotonic_ns()
            await lane.reconfigure(lambda config: device(config, "io-1").update(profile=profile))
            await lane.client.until(lambda state: state.centre_up, "the release service answers")
            if profile == "forgets_its_host":  # it still serves inputs and red
                await lane.open_lane()
                await lane.truck().move_to(-45.0)
                await lane.release.wait(lambda e: e["event"] == "decision", "decision", after_ns=began_ns)
                told = await red_and_answering(lane, limits, name="io-1", why="lease_expired")
                assert told.code == "GREEN_REFUSED"
            else:
                told = await red_and_answering(lane, limits, name="io-1", why="ZONES_LOST")
                assert told.code == "PROFILE_UNSAFE"
            assert not lane.module.seen(is_green, began_ns)

        stage.run(unsafe())
