"""What a newcomer meets first: faults caused by hand, processes that end, `./dev` without a verb."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hil.demo import EXAMPLES, PatientControl
from hil.devices.control import ControlChannel, main
from hil.rig.processes import Child, start

ROOT = Path(__file__).resolve().parents[3]

DEVICE = """
import asyncio, pathlib, sys
from hil.devices.control import ControlChannel, announce_ready, until_told_to_end
async def main():
    channel = ControlChannel(pathlib.Path(sys.argv[1]), {"get": lambda _: {"plugged": True}})
    await channel.open()
    announce_ready()
    await until_told_to_end()
asyncio.run(main())
"""


async def _device(folder: Path) -> Child:
    return await start("device", ["-c", DEVICE, str(folder / "device.ctl")], folder)


def test_one_request_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def unplug(request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"unplugged": request["times"]}

    async def serve() -> list[int]:
        channel = ControlChannel(tmp_path / "d.ctl", {"unplug": unplug})
        await channel.open()
        codes = [
            await asyncio.to_thread(main, [str(tmp_path / "d.ctl"), request])
            for request in ('{"do": "unplug",\n "times": 2}', '{"do": "fly"}', "[]", "{")
        ]
        await channel.close()
        return codes

    assert asyncio.run(serve()) == [0, 1, 1, 1]
    told = capsys.readouterr()
    answers = [json.loads(line) for line in told.out.splitlines()]
    assert answers[0] == {"ok": True, "unplugged": 2}
    assert (answers[1]["ok"], answers[1]["verbs"]) == (False, ["unplug"])
    assert "d.ctl: Expecting property name" in told.err
    assert main([str(tmp_path / "d.ctl"), "{}"]) == 1
    assert main([]) == 2
    assert "usage: python -m hil.devices.control SOCKET" in capsys.readouterr().err


@pytest.mark.real_time
async def test_a_device_ends_without_a_word_in_its_log(tmp_path: Path) -> None:
    child = await _device(tmp_path)
    control = PatientControl(tmp_path / "device.ctl", child)
    assert (await control.do("get"))["plugged"] is True
    subscribed = asyncio.Event()

    async def listen() -> None:
        async for _ in control.events(subscribed.set):
            pass

    listener = asyncio.ensure_future(listen())
    await subscribed.wait()
    assert await child.end() == 0
    assert child.log.read_text() == ""
    assert await control.do("get") == {}
    assert not listener.done()
    listener.cancel()
    await asyncio.wait([listener])
    await control.close()


@pytest.mark.real_time
async def test_a_killed_device_is_told_nothing_and_a_refusal_stays_one(tmp_path: Path) -> None:
    child = await _device(tmp_path)
    control = PatientControl(tmp_path / "device.ctl", child)
    await control.do("get")
    child.kill()
    assert await control.do("get") == {}
    assert await child.end() == -9

    other = await start("other", ["-c", DEVICE, str(tmp_path / "other.ctl")], tmp_path)
    patient = PatientControl(tmp_path / "other.ctl", other)
    with pytest.raises(RuntimeError, match="refused fly"):
        await patient.do("fly")
    await patient.close()
    await control.close()
    assert await other.end() == 0


def test_the_examples_of_faults_are_requests() -> None:
    requests = [line.split("'")[1] for line in EXAMPLES.splitlines() if ".ctl" in line]
    assert len(requests) == 5
    assert all("do" in json.loads(request) for request in requests)


def test_dev_without_a_verb_prints_its_help() -> None:
    ran = subprocess.run([sys.executable, "dev"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, "verbs:" in ran.stdout, "demo" in ran.stdout) == (2, True, True)
