"""Bounded subscriptions: a notifier that only says "changed", a broadcast that drops a slow reader's oldest items."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from edge_agent.runtime.channel import Channel, Overflow

T = TypeVar("T")


class Watch:
    """One reader of a `Notifier`. Changes between two waits count once."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def ring(self) -> None:
        """Something changed."""
        self._changed.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a change: True when one came, False after `timeout_s` (None: wait for ever)."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class Notifier:
    """Tells any number of readers that something changed, without saying what."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()

    def notify(self) -> None:
        """Something changed."""
        for watch in self._watches:
            watch.ring()

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """A reader for as long as the context lasts."""
        watch = Watch()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)


class Broadcast(Generic[T]):
    """Every item to every reader, in order. A reader that is `capacity` items behind loses the oldest."""

    def __init__(self, name: str, capacity: int = 256) -> None:
        self._name = name
        self._capacity = capacity
        self._readers: set[Channel[T]] = set()

    @property
    def readers(self) -> int:
        """Readers now."""
        return len(self._readers)

    def publish(self, item: T) -> None:
        """Hand the item to every reader."""
        for reader in self._readers:
            reader.put(item)

    @contextmanager
    def subscribe(self) -> Iterator[Channel[T]]:
        """A reader for as long as the context lasts: an async iterator."""
        reader: Channel[T] = Channel(self._name, self._capacity, Overflow.DROP_OLDEST)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            reader.close()
