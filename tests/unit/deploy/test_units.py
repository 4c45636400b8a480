"""The service units say what the agent relies on, whatever the machine the tests run on."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click import Group

from drivers.rfid.settings.mercury import MercurySettings
from edge_agent.__main__ import EXIT_CONFIG
from edge_agent.__main__ import main as edge_agent
from edge_agent.config.load import load_config
from edge_agent.model.decision import Role

DEPLOY = Path(__file__).parents[3] / "deploy"
UNITS = ("lane-agent", "lane-media", "lane-console")
PROGRAMS = "/opt/lane-edge-agent/venv/bin"
EXPOSURE_MAX = "20"  # tenths: 2.0

# What each directive is for: deploy/README.md.
OF_ALL = {
    "Type": ["notify"],
    "Restart": ["always"],
    "RestartPreventExitStatus": [str(EXIT_CONFIG)],
    "StartLimitIntervalSec": ["0"],
    "LimitCORE": ["0"],
    "UMask": ["0077"],
    "NoNewPrivileges": ["yes"],
    "CapabilityBoundingSet": [""],
    "AmbientCapabilities": [""],
    "ProtectSystem": ["strict"],
    "ProtectHome": ["yes"],
    "PrivateTmp": ["yes"],
    "ProtectProc": ["invisible"],
    "ProcSubset": ["pid"],
    "ProtectClock": ["yes"],
    "ProtectHostname": ["yes"],
    "ProtectControlGroups": ["yes"],
    "ProtectKernelLogs": ["yes"],
    "ProtectKernelModules": ["yes"],
    "ProtectKernelTunables": ["yes"],
    "RestrictNamespaces": ["yes"],
    "RestrictRealtime": ["yes"],
    "RestrictSUIDSGID": ["yes"],
    "LockPersonality": ["yes"],
    "MemoryDenyWriteExecute": ["yes"],
    "SystemCallArchitectures": ["native"],
    "DevicePolicy": ["closed"],
    "IPAddressDeny": ["any"],
    "IPAddressAllow": ["localhost"],
}
OF_THE_AGENT = {
    "WatchdogSec": ["2"],
    "WatchdogSignal": ["SIGABRT"],
    "TimeoutStopSec": ["5"],
    "RestartSec": ["500ms"],
    "OOMScoreAdjust": ["-900"],
    "Slice": ["lane-control.slice"],
    "User": ["lane-agent"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources", "@chown"],
}


def directives(unit: str) -> dict[str, list[str]]:
    """Every directive of a unit file with its values in order; sections do not matter for what is asked here."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / unit).read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def users_of(kind: str) -> list[list[str]]:
    """The lines of one kind in the sysusers file, without quotes' contents."""
    text = (DEPLOY / "sysusers" / "lane-edge-agent.conf").read_text()
    return [line.split() for line in text.splitlines() if line.startswith(f"{kind} ")]


@pytest.mark.parametrize("unit", UNITS)
def test_directives_that_matter(unit: str) -> None:
    found = directives(f"{unit}.service")
    wanted = OF_ALL | (OF_THE_AGENT if unit == "lane-agent" else {})
    assert {key: found.get(key) for key in wanted} == wanted
    assert found["SystemCallFilter"][:2] == ["@system-service", "~@privileged @resources"]


@pytest.mark.parametrize("unit", UNITS)
def test_what_is_started_exists(unit: str) -> None:
    found = directives(f"{unit}.service")
    assert isinstance(edge_agent, Group)
    verbs = []
    for line in found["ExecStart"] + found.get("ExecStopPost", []):
        program, verb, option, file = line.split()
        assert program == f"{PROGRAMS}/edge-agent"
        assert verb in edge_agent.commands
        assert option in {name for parameter in edge_agent.commands[verb].params for name in parameter.opts}
        assert file == "/etc/lane-edge-agent/lane.yaml"
        verbs.append(verb)
    assert verbs == {"lane-agent": ["run", "all-red"], "lane-media": ["media"], "lane-console": ["console"]}[unit]


@pytest.mark.parametrize("unit", ["lane-media", "lane-console"])
def test_pictures_and_page_cannot_crowd_out_control(unit: str) -> None:
    other, agent = directives(f"{unit}.service"), directives("lane-agent.service")
    assert other["Slice"] == ["lane-media.slice"] != agent["Slice"]
    assert int(other["CPUWeight"][0]) * 10 <= int(agent["CPUWeight"][0])
    assert int(other["OOMScoreAdjust"][0]) > 0
    assert {"CPUQuota", "MemoryMax", "TasksMax"} <= other.keys()
    assert not {"CPUQuota", "MemoryMax", "MemoryHigh"} & agent.keys()
    # Order only: whatever stops one must not stop the other.
    assert not {"Requires", "BindsTo", "PartOf", "Requisite", "Wants"} & (other.keys() | agent.keys())
    assert "lane-agent.service" in other["After"][0]
    control, media = directives("lane-control.slice"), directives("lane-media.slice")
    assert int(media["CPUWeight"][0]) * 10 <= int(control["CPUWeight"][0])


def test_slices_are_there_and_protection_reaches_the_agent() -> None:
    for unit in UNITS:
        assert (DEPLOY / directives(f"{unit}.service")["Slice"][0]).exists()
    protected = [directives(name)["MemoryLow"] for name in ("lane.slice", "lane-control.slice", "lane-agent.service")]
    assert protected[0] == protected[1] == protected[2]


def test_example_and_units_agree_on_places_and_groups() -> None:
    config, agent = load_config(DEPLOY / "lane.yaml.example"), directives("lane-agent.service")
    assert str(config.store.path) == f"/var/lib/{agent['StateDirectory'][0]}"
    assert str(config.api.socket_dir) == f"/run/{agent['RuntimeDirectory'][0]}"
    assert config.api.groups == {role: f"lane-{role.value}" for role in Role}
    groups = {line[1] for line in users_of("g")}
    assert {*config.api.groups.values(), *agent["Group"]} <= groups
    # The agent may hand a socket to a group only as a member of it.
    assert set(config.api.groups.values()) == {line[2] for line in users_of("m") if line[1] == "lane-agent"}


def test_users_of_the_units_are_made_and_reach_their_doors() -> None:
    users = {line[1] for line in users_of("u")}
    members = {(line[1], line[2]) for line in users_of("m")}
    for unit in UNITS:
        found = directives(f"{unit}.service")
        assert found["User"][0] in users
        for group in " ".join(found.get("SupplementaryGroups", [])).split():
            assert (found["User"][0], group) in members
    console = directives("lane-console.service")["SupplementaryGroups"][0].split()
    assert {"lane-doors", "lane-officer"} == set(console)


def test_adapters_belong_to_the_agent() -> None:
    rules = (DEPLOY / "udev" / "60-lane.rules").read_text()
    names = set(re.findall(r'SYMLINK\+="(lane/[a-z0-9-]+)"', rules))
    config = load_config(DEPLOY / "lane.yaml.example")
    ports = {device.port for device in config.devices if isinstance(device, MercurySettings)}
    assert {port.removeprefix("/dev/") for port in ports} <= names
    assert 'OWNER="lane-agent", MODE="0600"' in rules
    allowed = {value.split()[0] for value in directives("lane-agent.service")["DeviceAllow"]}
    assert allowed == {"char-ttyUSB", "char-ttyACM", "char-ttyS"}


@pytest.fixture
def systemd_analyze() -> str:
    """The program, where there is one; the tests above ask for the same without it."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze on this machine: the units are judged by their directives only")
    return program


@pytest.mark.parametrize("unit", UNITS)
def test_exposure(systemd_analyze: str, unit: str) -> None:
    command = [systemd_analyze, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager"]
    judged = subprocess.run(
        [*command, str(DEPLOY / f"{unit}.service")], capture_output=True, text=True, check=False, timeout=30
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_units_are_understood(systemd_analyze: str, tmp_path: Path) -> None:
    program = tmp_path / "edge-agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    files = []
    for source in [*DEPLOY.glob("*.service"), *DEPLOY.glob("*.slice")]:
        file = tmp_path / source.name
        file.write_text(source.read_text().replace(PROGRAMS, str(tmp_path)))
        files.append(str(file))
    told = subprocess.run(
        [systemd_analyze, "verify", "--man=no", *files], capture_output=True, text=True, check=False, timeout=30
    )
    assert told.returncode == 0, told.stderr
    ours = [line for line in told.stderr.splitlines() if "lane" in line]
    assert not ours


def test_users_can_be_made(tmp_path: Path) -> None:
    program = shutil.which("systemd-sysusers")
    if program is None:
        pytest.skip("no systemd-sysusers on this machine: the file is judged by its lines only")
    (tmp_path / "etc").mkdir()
    file = DEPLOY / "sysusers" / "lane-edge-agent.conf"
    made = subprocess.run(
        [program, f"--root={tmp_path}", "--dry-run", str(file)], capture_output=True, text=True, check=False, timeout=30
    )
    assert made.returncode == 0, made.stderr
    assert "not a valid" not in made.stderr
