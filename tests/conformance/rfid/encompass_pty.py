"""The virtual Encompass reader as a process of its own, and its control channel."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from drivers.api import Source
from drivers.rfid.encompass_reader import make_encompass_reader
from drivers.rfid.settings.encompass import EncompassSettings
from tests.conformance.rfid.pty_reader import WAIT_S, RealClock

_ROOT = Path(__file__).parents[3]


class PtyEncompass:
    """A running virtual reader."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.port = folder / "reader"
        self._control = folder / "control"

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
        """A driver session on this reader's port."""
        settings = {"port": str(self.port), "antennas": (1, 2), "keepalive_s": 2, **changes}
        return make_encompass_reader("reader-1", EncompassSettings(**settings), RealClock())


@contextlib.asynccontextmanager
async def virtual_encompass(folder: Path, *options: str) -> AsyncIterator[PtyEncompass]:
    """Start the process, wait until it serves, end it by closing its stdin."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hil.devices.encompass_reader",
        "--control",
        str(folder / "control"),
        "--link",
        str(folder / "reader"),
        *options,
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
        assert ready["ready"] is True
        yield PtyEncompass(process, folder)
    finally:
        process.stdin.close()
        async with asyncio.timeout(WAIT_S):
            await process.wait()
