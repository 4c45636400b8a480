"""The demo as a newcomer runs it: it ends by itself with exit code 0, or on Ctrl-C, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hil.rig.lane_bench import free_port
from hil.rig.target import Limits
from hil.tests.stage import measured

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(180)]


QUICK_SEED = 104
"""Three trucks at the lane's top speed, close behind each other."""


@pytest.fixture
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name: a unix socket's path has 107 bytes at most."""
    return tmp_path_factory.mktemp("demo")


@contextmanager
def demo(run_dir: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A demo whose temporary files all go below `run_dir`."""
    command = [sys.executable, "-m", "hil.demo", "--port", str(free_port()), *arguments]
    environment = {**os.environ, "TMPDIR": str(run_dir), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def of_this_run(run_dir: Path) -> list[str]:
    """Command lines of processes that were started with this run's folder."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes()
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if f"TMPDIR={run_dir}".encode() in environment.split(b"\0"):
                found.append(line)
    return found


def nothing_is_left(run_dir: Path) -> None:
    """No process, no port (its processes are gone), no socket and no file."""
    assert of_this_run(run_dir) == []
    assert list(run_dir.iterdir()) == []


def test_three_trucks_and_exit(run_dir: Path) -> None:
    with demo(run_dir, "--trucks", "3", "--exit", "--seed", str(QUICK_SEED)) as process:
        told, _ = process.communicate(timeout=170)
    assert process.returncode == 0, told
    assert "3 passages, each sealed and delivered once; 0 wrong greens." in told
    nothing_is_left(run_dir)


def test_ctrl_c_ends_an_endless_demo(run_dir: Path, limits: Limits) -> None:
    with demo(run_dir) as process:
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told.append(line)
            if re.search(r"arrives", line):
                break
        assert process.poll() is None, "".join(told)
        began_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        told.append(process.communicate(timeout=60)[0])
        took_s = time.monotonic() - began_s
    assert process.returncode in (0, 130), "".join(told)
    assert "Traceback" not in "".join(told)
    measured("Ctrl-C to the end of the demo", [took_s], "s", limits.interrupt_s)
    assert took_s <= limits.interrupt_s
    nothing_is_left(run_dir)
