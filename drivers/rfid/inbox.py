"""What came over a serial line, cut into messages and stamped when its bytes arrived. Same for all serial families."""

import asyncio
from collections import deque
from typing import Generic, Protocol, TypeVar

from drivers.api import Clock, Stamp
from drivers.link.link import Link

_READ_SIZE = 4096
_EXPIRY_CHECK_S = 0.05
_CLOCK_STEP_S = 1e-6  # a timer set closer than a clock's step fires without the time having moved

T = TypeVar("T")


class Splitter(Protocol[T]):
    """Cuts a family's messages out of a byte stream."""

    @property
    def pending(self) -> int:
        """Bytes held that no message was made of yet."""
        ...

    def feed(self, data: bytes, now_s: float) -> list[T]:
        """Messages completed by these bytes."""
        ...

    def expire(self, now_s: float) -> list[T]:
        """Drop what is too old to be completed; messages found behind it."""
        ...


class Inbox(Generic[T]):
    """Messages in order, each with the time its bytes arrived. `bytes_seen` counts all that was read."""

    def __init__(self, link: Link, clock: Clock, splitter: Splitter[T]) -> None:
        self._link = link
        self._clock = clock
        self._splitter = splitter
        self._waiting: deque[tuple[Stamp, T]] = deque()
        self.bytes_seen = 0

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    async def next(self, timeout_s: float) -> tuple[Stamp, T] | None:
        """The next message; None after `timeout_s` without one. LinkLost."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not self._waiting:
            left = deadline - loop.time()
            if left <= _CLOCK_STEP_S:
                return None
            try:
                async with asyncio.timeout(min(left, _EXPIRY_CHECK_S) if self._splitter.pending else left):
                    data = await self._link.read(_READ_SIZE)
            except TimeoutError:
                stamp = self._clock.stamp()
                found = self._splitter.expire(stamp.mono_ns / 1e9)
            else:
                stamp = self._clock.stamp()
                self.bytes_seen += len(data)
                found = self._splitter.feed(data, stamp.mono_ns / 1e9)
            self._waiting.extend((stamp, message) for message in found)
        return self._waiting.popleft()
