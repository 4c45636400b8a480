"""`edge-agent`: faults become lines and exit codes, defects stay defects."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from drivers.api import EdgeError
from edge_agent.__main__ import main
from edge_agent.model.errors import ConfigError, StoreError
from edge_agent.store import store as lane_store

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "deploy" / "lane.yaml.example"


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def _lane(folder: Path, text: str = EXAMPLE.read_text()) -> Path:
    """The example with every file that it names."""
    for name in ("ca.pem", "lane.pem", "lane.key"):
        (folder / "tls").mkdir(exist_ok=True)
        (folder / "tls" / name).write_text("PEM")
    (folder / "keys").mkdir(exist_ok=True)
    contents = {"site.key": "k" * 16, "central-hpke.pub": "p" * 32, "camera.password": "x", "console.token": "t" * 16}
    for name, content in contents.items():
        (folder / "keys" / name).write_text(content)
    file = folder / "lane.yaml"
    file.write_text(text)
    return file


def test_a_good_configuration(tmp_path: Path) -> None:
    ran = _run("check-config", str(_lane(tmp_path)))
    assert (ran.exit_code, "good, sha256:" in ran.stdout, ran.stderr) == (0, True, "")
    ran = _run("check-config", "--elsewhere", str(EXAMPLE))
    assert (ran.exit_code, "good, sha256:" in ran.stdout, ran.stderr) == (0, True, "")


def test_what_a_configuration_names_must_be_there(tmp_path: Path) -> None:
    file = _lane(tmp_path)
    (tmp_path / "keys" / "site.key").write_text("short")
    (tmp_path / "keys" / "console.token").write_text("t" * 15 + "\n")
    (tmp_path / "tls" / "ca.pem").unlink()
    ran = _run("check-config", str(file))
    assert ran.exit_code == 2
    told = [line.split(": ", 1)[1] for line in ran.stderr.splitlines()[:-1]]
    assert told == [
        f"central.tls.ca_file: {tmp_path}/tls/ca.pem: No such file or directory",
        f"central.lane_key_file: {tmp_path}/keys/site.key has 5 bytes, at least 16 are needed",
        f"console.token_file: {tmp_path}/keys/console.token has 15 bytes, at least 16 are needed",
    ]
    assert ran.stderr.splitlines()[-1] == "CONFIG_INVALID"


def test_a_file_of_another_user_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _lane(tmp_path)
    read = Path.read_bytes

    def only_mine(path: Path) -> bytes:
        if path.name == "camera.password":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", only_mine)
    ran = _run("check-config", str(file))
    assert (ran.exit_code, "good" in ran.stdout) == (0, True)
    (line,) = ran.stderr.splitlines()
    assert "media.cameras.0.password_file: warning: " in line
    assert "cannot be read by this user" in line


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("wago_750_352", "wago_1", 2, "devices.1.profile: no profile wago_1; known: "),
        ("    power_cdbm: 2700", "    profile: other", 2, "devices.0.profile: no reader profile 'other'; known: "),
        ("power_cdbm: 2700", "power_cdbm: 27", 0, "power_cdbm: warning: 27 centi-dBm is 0.27 dBm; 2700 is 27 dBm"),
        ("point: 6 }", "point: 99 }", 2, "devices.1.roles: "),
        (
            "-28.0, floor_dbm: -60",
            "-28.0",
            0,
            ":7: geometry.antennas.1: warning: no floor_dbm: tags of the next lane",
        ),
    ],
)
def test_profiles_and_odd_values_are_checked(tmp_path: Path, old: str, new: str, code: int, message: str) -> None:
    text = EXAMPLE.read_text()
    assert old in text
    ran = _run("check-config", str(_lane(tmp_path, text.replace(old, new))))
    assert (ran.exit_code, message in ran.stderr) == (code, True), ran.output


def test_readers_that_could_be_swapped_unnoticed_are_told(tmp_path: Path) -> None:
    lane = yaml.safe_load(EXAMPLE.read_text())
    lane["devices"].append({**lane["devices"][0], "id": "rfid-2", "port": "/dev/lane/rfid-2", "serial": "B2"})
    lane["geometry"]["antennas"] += [{**one, "device": "rfid-2"} for one in lane["geometry"]["antennas"]]
    ran = _run("check-config", str(_lane(tmp_path, yaml.safe_dump(lane))))
    told = [line for line in ran.stderr.splitlines() if "swapped" in line]
    assert (ran.exit_code, len(told), "devices.0: warning: several readers, and no serial here" in told[0]) == (
        0, 1, True,
    )  # fmt: skip
    assert "swapped" not in _run("check-config", str(_lane(tmp_path, EXAMPLE.read_text()))).stderr


def test_a_lane_without_a_neighbour_says_so_and_is_not_warned(tmp_path: Path) -> None:
    ran = _run("check-config", str(_lane(tmp_path, EXAMPLE.read_text().replace("floor_dbm: -60", "floor_dbm: -100"))))
    assert (ran.exit_code, "floor_dbm" in ran.stderr) == (0, False), ran.output


def test_a_bad_configuration_lists_its_errors_for_an_editor(tmp_path: Path) -> None:
    file = tmp_path / "lane.yaml"
    file.write_text("lane:\n  id: nonsense\n")
    ran = _run("check-config", str(file))
    assert ran.exit_code == 2
    lines = ran.stderr.splitlines()
    assert lines[-1] == "CONFIG_INVALID"
    assert all(line.startswith("lane.yaml:") for line in lines[:-1])
    assert len(lines) > 5


def test_a_console_configuration(tmp_path: Path) -> None:
    file = tmp_path / "console.yaml"
    file.write_text("console: {}\n")
    assert _run("check-config", "--console", str(file)).exit_code == 2


@pytest.mark.parametrize(
    ("verb", "program"),
    [
        ("run", "edge_agent.control.agent.run_agent"),
        ("media", "edge_agent.media.app.main"),
        ("console", "edge_agent.console.app.main"),
        ("all-red", "edge_agent.control.all_red.main"),
    ],
)
def test_each_program_gets_the_file_and_gives_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, verb: str, program: str
) -> None:
    given: list[Path] = []

    def ends_with_7(config: Path) -> int:
        given.append(config)
        return 7

    monkeypatch.setattr(program, ends_with_7)
    assert _run(verb, "--config", "lane.yaml").exit_code == 7
    assert given == [Path("lane.yaml")]
    assert _run(verb).exit_code == 2


def _raises(error: BaseException) -> Callable[[Path], int]:
    def program(_: Path) -> int:
        raise error

    return program


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (StoreError("STORE_LOCKED", "two", "stop it"), 1, "STORE_LOCKED: two\nhint: stop it\n"),
        (ConfigError("CONFIG_UNREADABLE", "no such file"), 2, "CONFIG_UNREADABLE: no such file\n"),
        (ConfigError("CONFIG_INVALID", "l.yaml:1:1: a"), 2, "l.yaml:1:1: a\nCONFIG_INVALID\n"),
        (
            ExceptionGroup("", [EdgeError("A", "one"), ExceptionGroup("", [EdgeError("B", "two")])]),
            1,
            "A: one\nB: two\n",
        ),
    ],
)  # fmt: skip
def test_a_named_fault_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, text: str
) -> None:
    monkeypatch.setattr("edge_agent.control.all_red.main", _raises(error))
    ran = _run("all-red", "--config", "lane.yaml")
    assert (ran.exit_code, ran.stderr) == (code, text)


def test_a_defect_among_faults_shows_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    group: Any = ExceptionGroup("", [EdgeError("A", "one"), ValueError("defect")])
    monkeypatch.setattr("edge_agent.control.all_red.main", _raises(group))
    assert _run("all-red", "--config", "lane.yaml").exception is group


def test_a_keyboards_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.control.all_red.main", _raises(KeyboardInterrupt()))
    assert _run("all-red", "--config", "lane.yaml").exit_code == 130


def test_a_store_is_dumped_by_folder_or_by_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Path] = []

    def dump(folder: Path) -> list[str]:
        asked.append(folder)
        return ["ACK 1", "ACK 2"]

    monkeypatch.setattr(lane_store, "dump", dump)
    ran = _run("store", "dump", "--store", str(tmp_path))
    assert (ran.exit_code, ran.stdout) == (0, "ACK 1\nACK 2\n")
    assert _run("store", "dump", "--config", str(EXAMPLE)).exit_code == 0
    assert asked == [tmp_path, Path("/var/lib/lane-edge-agent")]
    assert _run("store", "dump").exit_code == 2
    assert _run("store", "dump", "--store", "x", "--config", "y").exit_code == 2


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    ran = _run("store", "dump", "--store", str(tmp_path))
    assert (ran.exit_code, ran.stderr.splitlines()[0].split(":")[0]) == (1, "STORE_MISSING")


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "edge_agent", "run", "--config", "/nowhere/lane.yaml"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.startswith("CONFIG_UNREADABLE: ")
    assert "Traceback" not in ran.stderr
