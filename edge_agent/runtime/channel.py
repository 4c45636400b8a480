"""A bounded hand-over between two tasks of one event loop; what happens when it is full is part of its type."""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Overflow(StrEnum):
    """What a full channel does with one more item."""

    REFUSE = "refuse"
    DROP_OLDEST = "drop_oldest"
    LATEST_WINS = "latest_wins"


class ChannelClosed(Exception):
    """The channel is closed and empty: nothing will come any more."""


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Counters since creation. `accepted` items were queued; `dropped` were refused, or queued and then displaced."""

    name: str
    capacity: int
    accepted: int
    dropped: int
    depth: int
    depth_max: int


class Channel(Generic[T]):
    """First in, first out, at most `capacity` items (1 for LATEST_WINS; ValueError otherwise).

    Not thread-safe: another thread hands over with `loop.call_soon_threadsafe(channel.put, item)`.
    """

    def __init__(self, name: str, capacity: int, overflow: Overflow) -> None:
        if capacity < 1 or (overflow is Overflow.LATEST_WINS and capacity != 1):
            raise ValueError(f"channel {name}: capacity {capacity} does not fit {overflow}")
        self.name = name
        self.capacity = capacity
        self.overflow = overflow
        self._items: deque[T] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._accepted = 0
        self._dropped = 0
        self._depth_max = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def closed(self) -> bool:
        """Whether `close` was called; queued items can still be taken."""
        return self._closed

    @property
    def stats(self) -> ChannelStats:
        """The counters now."""
        return ChannelStats(self.name, self.capacity, self._accepted, self._dropped, len(self._items), self._depth_max)

    def put(self, item: T) -> bool:
        """Queue the item; never blocks. False: refused (full under REFUSE, or closed) and counted as dropped."""
        depth = len(self._items) + 1
        full = depth > self.capacity
        if self._closed or (full and self.overflow is Overflow.REFUSE):
            self._dropped += 1
            return False
        if full:
            self._items.popleft()
            self._dropped += 1
        self._items.append(item)
        self._accepted += 1
        if depth > self._depth_max and not full:
            self._depth_max = depth
        if self._waiters:
            self._wake_one()
        return True

    async def get(self) -> T:
        """The oldest item, waiting for one. ChannelClosed once closed and empty. Cancelling loses no item."""
        while not self._items:
            if self._closed:
                raise ChannelClosed(self.name)
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                elif self._items:
                    # Woken for an item and cancelled before taking it: the next in line must not sleep on.
                    self._wake_one()
                raise
        return self._items.popleft()

    def take(self) -> T | None:
        """The oldest item if there is one, without waiting; None when empty."""
        return self._items.popleft() if self._items else None

    def close(self) -> None:
        """Refuse further items; readers drain what is queued and then see ChannelClosed. May be called again."""
        self._closed = True
        while self._waiters:
            self._wake_one()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.get()
        except ChannelClosed:
            raise StopAsyncIteration from None

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
