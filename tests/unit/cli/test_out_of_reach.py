"""When the agent cannot be reached: what the command says, and that it imports no more than it needs."""

import asyncio
import grp
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from edge_agent.cli import agent
from edge_agent.cli.lanectl import VERBS
from hil.demo import lanectl_line
from tests.unit.cli.running import run


def test_no_agent(tmp_path: Path) -> None:
    ran = run(tmp_path / "nowhere", "status")
    assert (ran.code, ran.out) == (4, "")
    assert "technician.sock does not exist [AGENT_ABSENT]" in ran.err
    assert "systemctl status lane-agent" in ran.err
    ran = run(tmp_path, "status", "--json")
    error = json.loads(ran.err)["error"]
    assert set(error) == {"exit_code", "code", "message", "hint"}
    assert (error["exit_code"], error["code"]) == (4, "AGENT_ABSENT")


def test_an_agent_that_died(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "technician.sock"))
    ran = run(tmp_path, "why")
    assert (ran.code, "[AGENT_DOWN]" in ran.err) == (4, True)


def test_an_agent_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "CALL_TIMEOUT_S", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "technician.sock"))
        silent.listen(8)
        ran = run(tmp_path, "status")
    assert (ran.code, "[AGENT_STUCK]" in ran.err) == (4, True)


@pytest.mark.real_time
async def test_an_agent_of_another_version(tmp_path: Path) -> None:
    server = grpc.aio.server()
    server.add_insecure_port(f"unix:{tmp_path / 'technician.sock'}")
    await server.start()
    ran = await asyncio.to_thread(run, tmp_path, "status")
    await server.stop(None)
    assert (ran.code, "[AGENT_OTHER_VERSION]" in ran.err) == (4, True)


def test_a_door_for_another_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(socket.socket):
        def connect(self, address: Any) -> None:
            raise PermissionError(13, "Permission denied")

    (tmp_path / "officer.sock").touch()
    mine = grp.getgrgid(os.getgid()).gr_name
    monkeypatch.setattr(socket, "socket", Closed)
    for closed, group in ((tmp_path / "officer.sock", mine), (tmp_path, mine)):
        monkeypatch.setattr(os, "access", lambda path, _mode, closed=closed: Path(path) != closed)
        ran = run(tmp_path, "clear-hold", "--reason", "x", "--yes")
        assert (ran.code, "[DOOR_DENIED]" in ran.err) == (4, True)
        assert f"join group {group}, which may open {closed}: sudo usermod -aG {group}" in ran.err


def test_help_imports_no_verb_and_lists_every_one() -> None:
    code = (
        "import sys\nfrom edge_agent.cli.lanectl import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "slow = {'grpc', 'rich', 'asyncio', 'google.protobuf'} & set(sys.modules)\n"
        "assert not slow, slow\n"
        "assert 'edge_agent.cli.verbs.status' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "Exit codes:" in done.stdout
    for verb, text in VERBS.items():
        assert verb in done.stdout
        assert text.split()[0] in done.stdout


def test_every_verb_has_help_and_json() -> None:
    captures = [("capture", verb) for verb in ("start", "stop", "list", "delete")]
    verbs = [(verb,) for verb in VERBS if verb != "capture"]
    for verb in [*verbs, *captures]:
        ran = run(Path("/nowhere"), *verb, "--help")
        offline = verb == ("replay",)
        assert (ran.code, "--json" in ran.out, "--socket-dir" in ran.out) == (0, True, not offline), verb


def test_where_the_agent_is_may_be_told_before_the_verb_and_after_it(tmp_path: Path) -> None:
    for arguments in (
        ("--socket-dir", "/there", "status"),
        ("status", "--socket-dir", "/there"),
        ("--socket-dir", "/elsewhere", "status", "--socket-dir", "/there"),
    ):
        assert "no agent: /there/technician.sock" in run(tmp_path, *arguments).err, arguments
    assert "officer.sock" in run(tmp_path, "--door", "officer", "status").err
    assert "viewer.sock" in run(tmp_path, "--door", "officer", "status", "--door", "viewer").err
    assert json.loads(run(tmp_path, "--json", "status").err)["error"]["code"] == "AGENT_ABSENT"


def test_the_line_that_the_demo_prints_is_accepted(tmp_path: Path) -> None:
    program, *arguments = lanectl_line(tmp_path).split()
    assert program.endswith("/lanectl")
    assert f"no agent: {tmp_path}/technician.sock" in run(Path("/elsewhere"), *arguments).err
