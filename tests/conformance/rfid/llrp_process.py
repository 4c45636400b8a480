"""The virtual LLRP reader, and other LLRP programs, as processes of their own."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from drivers.api import Source
from drivers.rfid.llrp_reader import make_llrp_reader
from drivers.rfid.settings.llrp import LlrpSettings
from tests.conformance.rfid.pty_reader import WAIT_S, RealClock

_ROOT = Path(__file__).parents[3]
EPC = "300833B2DDD9014000000001"
TAG = {"epc": EPC, "rssi_dbm": -54.2, "antenna": 1}


def llrp_source(port: int, **changes: Any) -> Source:
    """A driver session on any TCP port of this computer."""
    settings = {"host": "127.0.0.1", "port": port, "antennas": (1, 2), "keepalive_ms": 400, **changes}
    return make_llrp_reader("reader-1", LlrpSettings(**settings), RealClock())


class VirtualLlrp:
    """A running virtual reader."""

    def __init__(self, process: asyncio.subprocess.Process, control: Path, port: int) -> None:
        self.process = process
        self.port = port
        self._control = control

    async def do(self, verb: str, **fields: Any) -> dict[str, Any]:
        """One verb of the control channel; AssertionError when it is refused."""
        reader, writer = await asyncio.open_unix_connection(str(self._control))
        writer.write(json.dumps({"do": verb, **fields}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        assert answer["ok"], answer
        return answer

    def source(self, **changes: Any) -> Source:
        """A driver session on this reader."""
        return llrp_source(self.port, **changes)

    async def until_state(self, **wanted: object) -> dict[str, Any]:
        """Ask the reader's state until it has these values."""
        async with asyncio.timeout(WAIT_S):
            while True:
                state = await self.do("get")
                if all(state[name] == value for name, value in wanted.items()):
                    return state
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(*command: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """Start a Python program that prints one JSON line when it serves; end it by closing its stdin."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WAIT_S):
            ready = json.loads(await process.stdout.readline())
        yield process, ready
    finally:
        process.stdin.close()
        async with asyncio.timeout(WAIT_S):
            await process.wait()


@contextlib.asynccontextmanager
async def virtual_llrp(folder: Path, *options: str) -> AsyncIterator[VirtualLlrp]:
    """The virtual reader on a free port."""
    control = folder / "control"
    async with running("-m", "hil.devices.llrp_reader", "--control", str(control), *options) as (process, ready):
        yield VirtualLlrp(process, control, ready["port"])


_PEER_ENDS_S = 45.0
"""Half of it is the client's own start on a busy machine."""


async def run_peer(module: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """Run a client program to its end: the JSON of its last line of output, and what it said on standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=_ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    try:
        async with asyncio.timeout(_PEER_ENDS_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = out.decode().splitlines()
    assert process.returncode == 0, err.decode()
    result: dict[str, Any] = json.loads(lines[-1])
    return result, err.decode()
