"""The virtual reader as a process of its own, and its control channel."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from drivers.api import Observation, Source, Stamp
from drivers.rfid.mercury_reader import make_mercury_reader
from drivers.rfid.settings.mercury import MercurySettings

_ROOT = Path(__file__).parents[3]
WAIT_S = 20.0


class RealClock:
    """Both clocks of this computer."""

    def stamp(self) -> Stamp:
        return Stamp(time.monotonic_ns(), time.time_ns())


class PtyReader:
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
        return self.source_on(self.port, **changes)

    @staticmethod
    def source_on(port: Path, **changes: Any) -> Source:
        """A driver session on any port."""
        settings = {"port": str(port), "region": "na", "antennas": (1, 2), "cycle_ms": 500, **changes}
        return make_mercury_reader("reader-1", MercurySettings(**settings), RealClock())


@contextlib.asynccontextmanager
async def virtual_reader(folder: Path, *options: str) -> AsyncIterator[PtyReader]:
    """Start the process, wait until it serves, end it by closing its stdin."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hil.devices.mercury_reader",
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
        yield PtyReader(process, folder)
    finally:
        process.stdin.close()
        async with asyncio.timeout(WAIT_S):
            await process.wait()


class Session:
    """A driver session in a task of its own, and what it emitted."""

    def __init__(self, source: Source) -> None:
        self.seen: list[Observation] = []
        self._changed = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(source.run(self._emit))

    def _emit(self, item: Observation) -> None:
        self.seen.append(item)
        self._changed.set()

    async def until(self, fits: Callable[[Observation], bool], after: int = 0) -> Observation:
        """The first observation from `after` on that fits; the session's error when it ends first."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for item in self.seen[after:]:
                    if fits(item):
                        return item
                self._changed.clear()
                waiter = asyncio.get_running_loop().create_task(self._changed.wait())
                await asyncio.wait([waiter, self.task], return_when=asyncio.FIRST_COMPLETED)
                if not waiter.done():
                    waiter.cancel()
                    self.task.result()

    async def error(self) -> BaseException:
        """What the session ends with."""
        async with asyncio.timeout(WAIT_S):
            await asyncio.wait([self.task])
        error = self.task.exception()
        assert error is not None
        return error

    async def end(self) -> None:
        """Cancel the session and wait for it."""
        self.task.cancel()
        async with asyncio.timeout(WAIT_S):
            await asyncio.wait([self.task])
        assert self.task.cancelled()
