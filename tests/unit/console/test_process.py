"""The console as a process, its metrics, and what a wrong configuration says."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from edge_agent.__main__ import main as edge_agent
from edge_agent.console.app import viewers_token
from tests.unit.console.fake_lane import TOKEN, FakeLane, console, lane_door, until

ROOT = Path(__file__).parents[3]

_FILE = """
console:
  listen_port: {port}
  token_file: console.token
  lanes:
    - name: Lane 07
      target: unix:/nowhere/officer.sock
"""


def _said(config: Path, status: int) -> str:
    """What `edge-agent console` says on standard error when it ends with this exit code."""
    done = CliRunner().invoke(edge_agent, ["console", "--config", str(config)])
    assert done.exit_code == status
    return done.stderr


def _config(folder: Path, token: str | None = TOKEN, port: int = 0) -> Path:
    if token is not None:
        (folder / "console.token").write_text(token)
    path = folder / "console.yaml"
    path.write_text(_FILE.format(port=port))
    return path


@pytest.mark.real_time
async def test_it_tells_the_service_manager_and_ends_when_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        environment = os.environ | {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge_agent", "console", "--config", str(_config(tmp_path)), cwd=ROOT, env=environment
        )
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            said = (await loop.sock_recv(manager, 4096)).decode()
        assert said.startswith("READY=1\nSTATUS=console on http://127.0.0.1:")
        url = said.partition("console on ")[2]
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
            async with http.get(f"{url}/healthz") as answer:
                assert await answer.json() == {"ok": True, "lanes_connected": 0}
            async with http.get(f"{url}/api/lanes/0/events") as stream:
                assert stream.status == 200
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(10):
                    assert await process.wait() == 0
        assert "STOPPING=1" in manager.recv(4096).decode()


@pytest.mark.parametrize(("token", "message"), [(None, "console.token"), ("short", "shorter than 16 characters")])
def test_a_token_that_cannot_be_used(tmp_path: Path, token: str | None, message: str) -> None:
    said = _said(_config(tmp_path, token), 2)
    assert "CONSOLE_TOKEN" in said
    assert message in said


def test_a_wrong_key_is_told_with_its_place(tmp_path: Path) -> None:
    path = _config(tmp_path)
    path.write_text(path.read_text().replace("listen_port", "listen_prot"))
    assert "console.yaml:3" in _said(path, 2)


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "CONSOLE_PORT" in _said(_config(tmp_path, port=other.getsockname()[1]), 1)


@pytest.mark.real_time
@pytest.mark.needs("promtool")
async def test_metrics_are_clean(tmp_path: Path) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    async with lane_door(lane, door), console(tmp_path, door) as url, aiohttp.ClientSession() as http:
        await until(lambda: lane.watches)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        body = {"request_id": "0b5f4d0e-4d0f-4e6b-9d6f-6c8f3c8b2a11"}
        async with http.post(f"{url}/api/lanes/0/acts/hold_lane", json=body, headers=headers):
            pass
        async with http.post(f"{url}/login", data={"token": TOKEN, "officer": "a"}, headers={"Origin": url}):
            pass
        async with http.get(f"{url}/metrics") as answer:
            text = await answer.text()
    assert 'lane_console_lane_connected{lane="Lane 07"} 1.0' in text
    assert 'lane_console_acts_total{act="hold_lane",code="OK",lane="Lane 07"} 1.0' in text
    assert 'lane_console_sign_ins_total{result="accepted"} 1.0' in text
    checked = await asyncio.to_thread(
        subprocess.run,
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_viewers_token_comes_from_the_lanes_own_file(tmp_path: Path) -> None:
    path = tmp_path / "lane.yaml"
    example = (ROOT / "deploy" / "lane.yaml.example").read_text()
    path.write_text(example)
    assert viewers_token(path) is None, "without a token only loopback plays"
    path.write_text(example.replace("listen_port: 8554", "listen_port: 8554\n  token_file: media.token"))
    (tmp_path / "media.token").write_text("a token of the viewers\n")
    assert viewers_token(path) == "a token of the viewers"
    assert viewers_token(_config(tmp_path)) is None
