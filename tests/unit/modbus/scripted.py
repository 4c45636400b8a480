"""A Modbus TCP server that answers as a test says, byte for byte."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from drivers.modbus.bus import BusTiming, ModbusBus
from drivers.modbus.settings.line import TcpLine

FAST = BusTiming(reply_ms=400, quiet_ms=250, gap_ms=0, connect_ms=1000)


@dataclass
class Seen:
    """One request as received: MBAP transaction and unit, PDU."""

    transaction: int
    unit: int
    pdu: bytes

    def answer(self, pdu: bytes, transaction: int | None = None, unit: int | None = None, protocol: int = 0) -> bytes:
        """A frame that answers it, wrong where asked."""
        head = (self.transaction if transaction is None else transaction).to_bytes(2, "big")
        head += protocol.to_bytes(2, "big") + (len(pdu) + 1).to_bytes(2, "big")
        return head + bytes([self.unit if unit is None else unit]) + pdu


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another process or library
            await asyncio.sleep(0.002)


Answer = Callable[["Scripted", Seen], None]


@dataclass
class Scripted:
    """The server. `answer` is called for each request and may send, keep silent or cut."""

    answer: Answer
    greeting: bytes = b""
    requests: list[Seen] = field(default_factory=list)
    transport: asyncio.Transport | None = None
    port: int = 0

    def send(self, data: bytes) -> None:
        """Send bytes to the client connected last."""
        assert self.transport is not None
        self.transport.write(data)

    def cut(self) -> None:
        """Close the connection at once."""
        assert self.transport is not None
        self.transport.abort()


class _Client(asyncio.Protocol):
    def __init__(self, script: Scripted) -> None:
        self._script = script
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._script.transport = transport
        if self._script.greeting:
            transport.write(self._script.greeting)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 8:
            size = 6 + int.from_bytes(self._buffer[4:6], "big")
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            seen = Seen(int.from_bytes(frame[:2], "big"), frame[6], frame[7:])
            self._script.requests.append(seen)
            self._script.answer(self._script, seen)


@asynccontextmanager
async def scripted_server(answer: Answer, greeting: bytes = b"") -> AsyncIterator[Scripted]:
    """Serve on a free port of the loopback."""
    script = Scripted(answer, greeting)
    server = await asyncio.get_running_loop().create_server(lambda: _Client(script), "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        if script.transport is not None:
            script.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


@asynccontextmanager
async def bus_to(script: Scripted, timing: BusTiming = FAST) -> AsyncIterator[ModbusBus]:
    """A bus connected to it."""
    bus = ModbusBus("io-1", TcpLine("127.0.0.1", script.port), timing)
    await bus.open()
    try:
        yield bus
    finally:
        bus.close()
        await asyncio.sleep(0)
