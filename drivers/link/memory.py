"""A pair of in-memory ends that behave like a serial line with faults: cut, chopped, corrupted, stalled. For tests."""

import asyncio
from collections.abc import Callable

from drivers.api import LinkLost

_CAPACITY = 1 << 20


class _Pipe:
    """One direction: bounded bytes and a wake-up."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.cut = False
        self._waiters: list[asyncio.Future[None]] = []

    def put(self, data: bytes) -> None:
        room = _CAPACITY - len(self.bytes)
        self.bytes += data[:room]  # a line nobody reads loses bytes, like a UART
        self.wake()

    def wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def take(self, max_bytes: int) -> bytes:
        while not self.bytes:
            if self.cut:
                raise LinkLost("MEMORY_LINK_LOST", "the memory link was cut")
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        data = bytes(self.bytes[:max_bytes])
        del self.bytes[: len(data)]
        return data


class MemoryLink:
    """The driver's end. `baud` is what the driver last asked for; `closed` whether it let go."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self.baud = 0
        self.closed = False

    async def read(self, max_bytes: int) -> bytes:
        """At least one byte; LinkLost when cut or closed."""
        self._check_open()
        return await self._incoming.take(max_bytes)

    async def write(self, data: bytes) -> None:
        """All bytes; LinkLost when cut or closed."""
        self._check_open()
        if self._outgoing.cut:
            raise LinkLost("MEMORY_LINK_LOST", "the memory link was cut")
        self._outgoing.put(data)

    def set_baud(self, baud: int) -> None:
        """Note the rate and drop unread bytes."""
        self._check_open()
        self.baud = baud
        self._incoming.bytes.clear()

    async def close(self) -> None:
        """Cut both directions."""
        self.closed = True
        for pipe in (self._incoming, self._outgoing):
            pipe.cut = True
            pipe.wake()

    def _check_open(self) -> None:
        if self.closed:
            raise LinkLost("MEMORY_LINK_LOST", "the memory link is closed")


class MemoryPeer:
    """The device's end, with faults. `alter` rewrites what the device sends (corrupt, drop, insert)."""

    def __init__(self, to_driver: _Pipe, from_driver: _Pipe, link: MemoryLink) -> None:
        self._to_driver = to_driver
        self._from_driver = from_driver
        self.link = link
        self.alter: Callable[[bytes], bytes] | None = None

    async def read(self, max_bytes: int = 4096) -> bytes:
        """What the driver wrote; LinkLost when it closed."""
        return await self._from_driver.take(max_bytes)

    def send(self, data: bytes) -> None:
        """Put bytes on the line towards the driver."""
        self._to_driver.put(self.alter(data) if self.alter else data)

    def cut(self) -> None:
        """Unplug: unread bytes are lost and every call of the driver raises LinkLost."""
        self._to_driver.bytes.clear()
        for pipe in (self._to_driver, self._from_driver):
            pipe.cut = True
            pipe.wake()


class _ChoppedPipe(_Pipe):
    """Hands out at most `step` bytes a read."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    async def take(self, max_bytes: int) -> bytes:
        return await super().take(min(max_bytes, self._step))


def memory_pair(chop: int | None = None) -> tuple[MemoryLink, MemoryPeer]:
    """Both ends of a fresh line; with `chop` the driver reads at most that many bytes at a time."""
    to_driver = _ChoppedPipe(chop) if chop else _Pipe()
    from_driver = _Pipe()
    link = MemoryLink(to_driver, from_driver)
    return link, MemoryPeer(to_driver, from_driver, link)
