"""The twin of a Bell reader, and the control channel a lane's bench drives it by."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from hil.devices.control import ControlChannel

NUMBER, PASSWORD = "B-0042", "let me ring"  # a reader that exists in tests alone
_PERIOD_S = 0.05


class BellTwin:
    """One reader that answers whoever comes."""

    def __init__(self) -> None:
        self._tags: list[Mapping[str, Any]] = []
        self.sessions = 0
        self._dropped = False

    def drop(self) -> None:
        """Hang up, in the middle of whatever it says."""
        self._dropped = True

    def field(self, request: Mapping[str, Any]) -> None:
        """What is in the field from now on."""
        self._tags = list(request["tags"])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session."""
        with contextlib.suppress(OSError):
            writer.write(f"HELLO {NUMBER}\n".encode())
            said = [(await reader.readline()).decode().strip() for _ in range(2)]
            good = said == [PASSWORD, "RING"]
            writer.write(b"READING\n" if good else b"NO\n")
            self.sessions += good
            while good and not reader.at_eof() and not self._dropped:
                lines = [f"TAG {tag['antenna']} {tag['epc']} {tag['rssi_dbm']}\n" for tag in self._tags]
                writer.write("".join(lines or ["ALIVE\n"]).encode())
                await writer.drain()
                await asyncio.sleep(_PERIOD_S)
        writer.close()


@contextlib.asynccontextmanager
async def standing(control: Path) -> AsyncIterator[tuple[BellTwin, int]]:
    """A twin on a free port of loopback: it, and the port."""
    twin = BellTwin()
    channel = ControlChannel(control, {"field": twin.field})
    await channel.open()
    try:
        async with await asyncio.start_server(twin.serve, "127.0.0.1", 0) as server:
            yield twin, server.sockets[0].getsockname()[1]
    finally:
        await channel.close()
        serving = [task for task in asyncio.all_tasks() if "_serve" in getattr(task.get_coro(), "__qualname__", "")]
        if serving:  # each ends when it has seen that the bench has closed its end
            await asyncio.wait(serving, timeout=2.0)
