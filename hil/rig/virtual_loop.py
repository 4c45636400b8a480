"""An event loop whose clock jumps to the next timer: hours of lane time in seconds, in the same order every time."""

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from typing import Any, TypeVar

from drivers.api import Stamp

T = TypeVar("T")

START_S = 1_000.0
UTC_AT_START_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z, the wall time at `START_S`."""


class Deadlock(AssertionError):
    """Every task waits for another and no timer is left: on a real loop this test would hang for ever."""


class _OrderedTask(asyncio.Task[T]):
    """A task hashed by its number, so that the sets inside asyncio iterate in the same order in every run."""

    def __init__(
        self,
        number: int,
        coro: Generator[Any, Any, T] | Coroutine[Any, Any, T],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._number = number
        super().__init__(coro, loop=loop, name=f"task-{number}", context=context)

    def __hash__(self) -> int:
        return self._number


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: hands out what is ready, else moves the loop's clock by the whole time-out.

    A test without sockets registers one file only, the loop's own wake-up pipe, and what writes to it has queued its
    callback already: the kernel is asked only when there is more, or nothing else left to do.
    """

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        alone = len(self.get_map()) == 1
        ready = super().select(0) if timeout is None or not alone else []
        if not ready and timeout is None:
            raise Deadlock(f"no timer and nothing ready; waiting: {self.loop.waiting()}")
        if not ready and timeout:
            self.loop.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs timers at once and in order. Blocking work handed to an executor runs in line, at no virtual time."""

    def __init__(self) -> None:
        self.now_s = START_S
        self._made = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self.now_s

    def waiting(self) -> str:
        """The names of the tasks that have not ended."""
        return ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self))) or "nothing"

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: object) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits the future
            future.set_exception(error)
        return future

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Generator[Any, Any, T] | Coroutine[Any, Any, T],
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        self._made += 1
        return _OrderedTask(self._made, coro, loop, context)


class VirtualClock:
    """A `drivers.api.Clock` on the running virtual loop; `step_utc_ms` moves wall time only, as NTP would."""

    def __init__(self) -> None:
        self.step_utc_ms = 0

    def stamp(self) -> Stamp:
        """Both clocks at the loop's time."""
        now_s = asyncio.get_running_loop().time()
        mono_ns = round(now_s * 1e9)
        return Stamp(mono_ns, UTC_AT_START_NS + round((now_s - START_S) * 1e9) + self.step_utc_ms * 1_000_000)
