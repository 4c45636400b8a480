"""A fourth reader family needs nothing but its own files, a line in the registry and a profile: from the configuration,
with every error at its place, to a vehicle that is identified and released."""

import ast
import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from drivers import registry
from drivers.api import Observation
from hil.rig.lane_bench import Present
from hil.rig.puppet import PuppetLane
from hil.rig.readers import READERS, ReaderKind
from tests.conformance.capture.test_replay_live import compare, recorded
from tests.conformance.rfid.fourth.bell_reader import make_bell
from tests.conformance.rfid.fourth.bell_settings import BellSettings, load_bell_profile
from tests.conformance.rfid.fourth.bell_twin import NUMBER, PASSWORD, standing

pytestmark = pytest.mark.real_time

ROOT = Path(__file__).parents[3]
AGENT = "tests.conformance.rfid.fourth.bell_agent"
FAMILY = sorted((Path(__file__).parent / "fourth").glob("bell_*.py"))


def test_the_family_knows_nothing_of_the_agent() -> None:
    """Nor does the agent of it: `bell_agent.py` only writes the line in the registry and starts the program."""
    imported = {
        (path.name, name)
        for path in FAMILY
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    assert {pair for pair in imported if pair[1].startswith("edge_agent")} == {("bell_agent.py", "edge_agent.__main__")}
    product = [*(ROOT / "edge_agent").rglob("*.py"), *(ROOT / "drivers").rglob("*.py")]
    assert not [path for path in product if re.search(r"\b[Bb]ell\b|Bell[A-Z]|bell_", path.read_text())]


def lane_yaml(folder: Path, *reader: str) -> Path:
    """The example, with a Bell reader in the place of its reader."""
    text = (ROOT / "deploy" / "lane.yaml.example").read_text()
    before, _, rest = text.partition("  - id: rfid-1\n")
    after = rest[rest.index("  - id: io-1\n") :]
    file = folder / "lane.yaml"
    file.write_text(before + "".join(f"{line}\n" for line in reader) + after)
    return file


def check(*arguments: str) -> tuple[int, list[str]]:
    """Exit code and lines of `check-config`."""
    command = [sys.executable, "-m", AGENT, "check-config", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, (done.stdout + done.stderr).splitlines()


GOOD = (
    "  - id: rfid-1",
    "    kind: bell",
    "    host: 192.0.2.30",
    "    port: 7000",
    "    antennas: [1, 2]",
    "    password_file: bell.password",
)


def test_every_mistake_is_told_at_its_place(tmp_path: Path) -> None:
    file = lane_yaml(
        tmp_path,
        "  - id: rfid-1",
        "    kind: bell",
        "    port: 70000",
        "    antennas: [1, 1]",
        "    password_file: bell.password",
        "    keepalive_s: 5",
        "    serial: 42",
    )
    line = file.read_text().splitlines().index("    kind: bell") + 1
    code, told = check(str(file))
    assert code == 2
    assert [text for text in told if text.startswith("lane.yaml")] == [
        f"lane.yaml:{line - 1}:5: devices.0.host: Field required",
        f"lane.yaml:{line + 1}:11: devices.0.port: Input should be less than or equal to 65535",
        f"lane.yaml:{line + 2}:15: devices.0.antennas: an antenna port is listed twice",
        f"lane.yaml:{line + 4}:5: devices.0.keepalive_s: unknown key; did you mean keepalive_ms?",
        f"lane.yaml:{line + 5}:13: devices.0.serial: Input should be a valid string (quote it)",
    ]


def test_its_profile_and_its_secrets_are_looked_for(tmp_path: Path) -> None:
    code, told = check("--elsewhere", str(lane_yaml(tmp_path, *GOOD)))
    assert code == 0, told
    assert not [text for text in told if "devices.0" in text]
    code, told = check(str(lane_yaml(tmp_path, *GOOD, "    profile: bell_two")))
    listed = " ".join(told)
    assert code == 2
    assert "devices.0.profile: no reader profile 'bell_two'; known: bell_one" in listed
    assert f"devices.0.password_file: {tmp_path}/bell.password: No such file" in listed


def test_its_link_can_be_captured_and_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.READERS, "bell", registry.Family(BellSettings, load_bell_profile, make_bell))
    password = tmp_path / "bell.password"
    password.write_text(PASSWORD)

    async def run() -> tuple[bytes, list[Observation], str]:
        async with standing(tmp_path / "reader.ctl") as (twin, port):
            twin.field({"tags": [{"antenna": 1, "epc": "300833B2DDD9014000000001", "rssi_dbm": -54.0}]})
            settings = BellSettings(host="127.0.0.1", port=port, antennas=(1,), password_file=password)

            async def hang_up() -> None:
                twin.drop()

            file, seen, ended = await recorded("bell", settings, make_bell, hang_up)
            return file, seen, ended

    file, seen, ended = asyncio.run(run())
    assert ended == "TCP_LINK_LOST"
    compare(file, seen, ended)


async def test_from_the_configuration_to_a_released_vehicle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    password = tmp_path / "bell.password"
    password.write_text(f"{PASSWORD}\n")
    kind = ReaderKind(
        "",
        lambda _folder: [],
        lambda at: {"kind": "bell", **at, "password_file": str(password), "serial": NUMBER},
    )
    monkeypatch.setitem(READERS, "bell", kind)
    control = tmp_path / "reader.ctl"
    async with standing(control) as (twin, port):
        there = {"reader": Present(control, {"host": "127.0.0.1", "port": port})}
        async with PuppetLane(tmp_path / "run", reader="bell", present=there, program=AGENT) as lane:
            await lane.open_lane()
            truck, _green = await lane.truck_on_green()
            await truck.vanish()
            assert lane.bench.children["agent"].running
        assert twin.sessions == 1
