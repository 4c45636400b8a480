"""A bench whose devices stand there already: its file is all that differs, and what it cannot do is skipped by name."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hil.rig.processes import Control, start
from hil.rig.target import TARGETS

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]
SUBJECT = ("hil/tests/test_module_faults.py", "-k", "killed or lamp")


def field_target(folder: Path, **changes: Any) -> Path:  # noqa: ANN401 - values of the file
    """A target file that differs from the virtual one; this bench cannot break a lamp."""
    raw = yaml.safe_load((TARGETS / "virtual.yaml").read_text())
    raw |= {"name": "field", "capabilities": sorted(set(raw["capabilities"]) - {"lamp_faults"})}
    for device, more in changes.pop("devices", {}).items():
        raw["devices"][device] |= more
    path = folder / "field.yaml"
    path.write_text(yaml.safe_dump(raw | changes))
    return path


async def run_on(target: Path, *arguments: str) -> tuple[int, str]:
    """Run the subject on a target: exit code and output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = ["-m", "pytest", *SUBJECT, "--target", str(target), "-p", "no:cacheprovider", *arguments]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=ROOT,
        env=kept,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(100):
        told, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, told.decode()


async def test_devices_that_stand_there_are_used_and_what_cannot_be_done_is_skipped_by_name(tmp_path: Path) -> None:
    sockets = {name: tmp_path / f"{name}.ctl" for name in ("io-1", "rfid-1")}
    link = tmp_path / "reader.tty"
    module = await start("module", ["-m", "hil.devices.modbus_module", "--control", str(sockets["io-1"])], tmp_path)
    reader_arguments = ["-m", "hil.devices.mercury_reader", "--control", str(sockets["rfid-1"]), "--link", str(link)]
    reader = await start("reader", reader_arguments, tmp_path)
    matrix = tmp_path / "matrix.md"
    try:
        where = {"io-1": {"host": "127.0.0.1", "port": module.ready["port"]}, "rfid-1": {"link": str(link)}}
        devices = {name: {"control": str(sockets[name]), "at": where[name]} for name in where}
        target = field_target(tmp_path, virtual=False, devices=devices)
        code, told = await run_on(target, "--matrix", str(matrix))
        control = Control(sockets["io-1"])
        state = await control.do("get")
        await control.close()
    finally:
        await reader.end()
        await module.end()
    assert code == 0, told
    assert "1 passed, 1 skipped" in told
    assert "field cannot: lamp_faults" in told
    assert state["aspect"] == "red"
    assert state["watchdog"]["state"] == "tripped", "it was this module that the killed agent had armed"
    rows = [line for line in matrix.read_text().splitlines() if "| field |" in line]
    assert [row.rsplit("|", 2)[1].strip() for row in rows] == ["ok", "skipped"]


async def test_on_a_virtual_bench_a_skip_is_a_failure(tmp_path: Path) -> None:
    code, told = await run_on(field_target(tmp_path), "-k", "lamp")
    assert code == 1
    assert "field cannot: lamp_faults: on a virtual bench a skip is a failure" in told


async def test_a_target_that_cannot_be_used_is_told_before_anything_starts(tmp_path: Path) -> None:
    code, told = await run_on(field_target(tmp_path, capabilities=["levitation"]))
    assert code == 4
    assert "unknown capability levitation" in told
    code, told = await run_on(tmp_path / "nowhere.yaml")
    assert code == 4
    assert "nowhere.yaml" in told
