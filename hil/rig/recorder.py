"""Everything a device says, kept with the device's own stamps, so that a test waits for facts and never for time."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from hil.rig.processes import Control

Event = Mapping[str, Any]
Match = Callable[[Event], bool]


class NothingCame(AssertionError):
    """What was waited for has not happened in time."""


class Recorder:
    """Follows one device's events in the background. `follow` again after the device was started anew."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[Event] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def follow(self, control: Control, hear: Callable[[Event], None] = lambda _event: None) -> None:
        """Listen from now on, `hear` too; returns when the device has confirmed the subscription."""
        await self.close()
        listening = asyncio.Event()
        self._task = asyncio.create_task(self._listen(control, listening, hear), name=f"recorder:{self.name}")
        async with asyncio.timeout(5):
            await listening.wait()

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def seen(self, match: Match, after_ns: int = 0) -> list[Event]:
        """What has come so far and fits, in order."""
        return [event for event in self.events if event["at_ns"] >= after_ns and match(event)]

    async def wait(self, match: Match, what: str, *, after_ns: int = 0, timeout_s: float = 8.0) -> Event:
        """The first event from `after_ns` (CLOCK_MONOTONIC) on that fits. NothingCame when none comes in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while not (found := self.seen(match, after_ns)):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            told = [event for event in self.events if event["event"] != "write"]
            last = "\n".join(f"  {event}" for event in told[-12:])
            raise NothingCame(f"{self.name}: no {what} within {timeout_s:g} s; it said last:\n{last}") from None
        return found[0]

    async def _listen(self, control: Control, listening: asyncio.Event, hear: Callable[[Event], None]) -> None:
        async for event in control.events(listening.set):
            self.events.append(event)
            hear(event)
            self._news.set()
