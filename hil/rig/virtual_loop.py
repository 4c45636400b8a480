"""An event loop whose clock jumps to the next timer: hours of lane time in seconds, in the same order every time."""
# ruff: noqa: SLF001 - a handle keeps no secrets from its loop

import asyncio
import contextvars
import heapq
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

from drivers.api import Stamp

T = TypeVar("T")

START_S = 1_000.0
_TINY_S = 1e-9
"""Timers this close together are due together."""
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


def _nothing() -> None:
    """What a cancelled call does; holds on to nobody."""


class _Call(asyncio.TimerHandle):
    """A callback to be run, now or at a time. Asyncio's own spends most of its making on a debug mode not used here."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[object, ...],
        context: contextvars.Context | None,
    ) -> None:
        # Not asyncio's initialiser: what only its debug mode and its own `_run` look at is left out.
        self._when = when
        self._callback = callback
        self._args = args
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True
        self._callback = _nothing
        self._args = ()

    def __repr__(self) -> str:
        return f"<call of {self._callback} at {self._when}>"


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs timers at once and in order, those of one time in the order they were made. Blocking work handed to an
    executor runs in line, at no virtual time."""

    get_debug = bool  # every future asks: no debug mode, and no frame to say so
    _ready: deque[_Call]
    _closed: bool
    _stopping: bool
    _selector: selectors.BaseSelector
    _process_events: Callable[[list[tuple[selectors.SelectorKey, int]]], None]

    def __init__(self) -> None:
        self.now_s = START_S
        self._made = 0
        self._timers: list[tuple[float, int, _Call]] = []
        self._timed = 0
        super().__init__()
        self.set_task_factory(self._make_task)
        # What counts the selector's files without a call into it: every jump in time asks.
        self._files: Mapping[int, object] = vars(self._selector)["_fd_to_key"]

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        call = _Call(self.now_s, callback, args, context)
        self._ready.append(call)
        return call

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        call = _Call(when, callback, args, context)
        self._timed += 1
        heapq.heappush(self._timers, (when, self._timed, call))
        return call

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        when = self.now_s + delay
        call = _Call(when, callback, args, context)
        self._timed += 1
        heapq.heappush(self._timers, (when, self._timed, call))
        return call

    def _run_once(self) -> None:
        """Run everything that is ready, and what that makes ready; when nothing is, jump to the next timer. Without
        files to look at this goes on until the loop is stopped."""
        ready, timers = self._ready, self._timers
        take, pop = ready.popleft, heapq.heappop
        alone = self._look_at_files()
        while True:
            if not ready and not self._stopping:
                self._jump()
            due = self.now_s + _TINY_S
            while timers and timers[0][0] < due:
                ready.append(pop(timers)[2])
            for _ in range(len(ready)):
                call = take()
                if call._cancelled:
                    continue
                try:
                    call._context.run(call._callback, *call._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as asyncio's own handles do
                    self._report(call, error)
            if self._stopping or not alone or not (ready or (timers and len(self._files) == 1)):
                return

    def _report(self, call: asyncio.Handle, error: BaseException) -> None:
        self.call_exception_handler({"message": f"Exception in {call!r}", "exception": error, "handle": call})

    def _look_at_files(self) -> bool:
        """Ask the kernel; False when there is anything to ask it for.

        A test without sockets registers one file only, the loop's own wake-up pipe, and what writes to it has queued
        its callback already: the kernel is asked only when there is more, or nothing else left to do.
        """
        alone = len(self._files) == 1
        if not alone or not (self._ready or self._timers):
            self._process_events(self._selector.select(0))
        return alone

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Deadlock(f"no timer and nothing ready; waiting: {self.waiting()}")
        self.now_s = max(self.now_s, timers[0][0])

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
