"""Tests of the head in a closed and empty lane: each aspect once, and what its module does when nobody feeds it.

What may be shown is the interlock's to say (`safety.interlock.rule_test`), at every turn of the signal loop; here it is
only asked for, one aspect at a time, and what follows is watched. Whatever ends a test ends it in red.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from drivers.api import Aspect, Clock, Grade
from edge_agent.model.inputs import SignalChanged
from edge_agent.safety.facts import Reason
from edge_agent.safety.timing import HeadTest

from .signal_loop import SignalLoop, SignalState

_NS = 1_000_000_000
_HOLD_NS = _NS
"""How long an aspect is shown once it is confirmed: long enough for the person who looks at it."""
_BOUND_NS = 3 * _NS
"""For one aspect, minimum red before it included."""
_RED_BOUND_NS = 2 * _NS
_TRIPPED = "WATCHDOG_TRIPPED"
_HEARD_NS = _NS
"""Within it the end of a session is told with its cause."""
_LOST_TOUCH = frozenset({"", Reason.MODULE_NOT_READY.value, Reason.READBACK_UNKNOWN.value})
"""Grounds for red that a tripped module gives too, before it is known that it was that."""
_FREE = frozenset({Reason.SIGNAL_TEST, Reason.MINIMUM_RED})
"""Reasons that are part of every test."""


@dataclass(frozen=True, slots=True)
class Step:
    """One aspect of a test: whether feedback showed it, and nothing else, for the time it was asked for. `shown` what
    was confirmed last; `confirmed_ms` from the command to its confirmation, -1 without one; `why` it failed."""

    aspect: Aspect
    passed: bool
    shown: Aspect | None
    grade: Grade
    confirmed_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class KillTest:
    """The module was left without a write while it showed green. `red_ms` from the last write that fed it to the first
    sign that green was gone, -1 without one; `sign` that sign: feedback, outputs, or watchdog (the module's own word
    where it answers nothing else once it has tripped); `why` it failed."""

    passed: bool
    red_ms: int
    sign: str
    why: str


class HeadTests:
    """Runs one test at a time. `amber`: the head has one; `longest_ms`: how long green may outlive its last write."""

    def __init__(self, signal: Callable[[], SignalLoop], clock: Clock, *, amber: bool, longest_ms: int = 2000) -> None:
        self._signal = signal
        self._clock = clock
        self._aspects = (Aspect.RED, Aspect.AMBER, Aspect.GREEN) if amber else (Aspect.RED, Aspect.GREEN)
        self._longest_ns = longest_ms * 1_000_000
        self._news = asyncio.Event()
        self._was: Aspect | None = None
        self._dropped = ""
        self._lost = ""
        self.asked: HeadTest | None = None
        """For `SignalOrders.test`."""

    @property
    def busy(self) -> bool:
        """Whether a test is under way."""
        return self.asked is not None

    def changed(self, change: SignalChanged) -> None:
        """The signal loop's `on_change`: the head was commanded or confirmed otherwise."""
        if self.asked is not None and self._was is self.asked.asked and change.commanded is not self._was:
            self._dropped = change.reason or "another aspect was commanded"
        self._was = change.commanded
        self._news.set()

    def lost(self, code: str) -> None:
        """The session with the head's module has ended for this reason."""
        self._lost = code
        self._news.set()

    def looked(self) -> None:
        """The signal loop's `on_cycle`."""
        self._news.set()

    async def run(self) -> tuple[Step, ...]:
        """Show every aspect the head has, one at a time with red between them; passed when every step did. Red at the
        end, verified, is a step of its own."""
        steps: list[Step] = []
        try:
            for aspect in self._aspects:
                steps.append(await self._show(aspect))
                if not steps[-1].passed:
                    break
            steps.append(await self._show(Aspect.RED))
        finally:
            self._end()
        return tuple(steps)

    async def kill(self) -> KillTest:
        """Show green, stop writing, and watch the module turn red by itself. Red is written in any case."""
        try:
            shown = await self._show(Aspect.GREEN)
            if not shown.passed:
                return KillTest(False, -1, "", shown.why)
            return await self._left_alone()
        finally:
            self._end()

    async def _left_alone(self) -> KillTest:
        """Nothing is written while green shows; how the module's own doing is heard of depends on who asks it first."""
        began_ns = fed_ns = self._now_ns()
        bound_ns = 2 * self._longest_ns
        failures = self._signal().state().failures
        ended_ns: int | None = None
        self._ask(Aspect.GREEN, bound_ns + _NS, feed=False)
        while self._now_ns() < (began_ns + bound_ns if ended_ns is None else ended_ns + _HEARD_NS):
            await self._next()
            state = self._signal().state()
            told = self._lost or (state.last_failure if state.failures > failures else "")
            sign = "watchdog" if told == _TRIPPED else _gone(state)
            if (sign or self._dropped or self._lost) and ended_ns is None:
                ended_ns = self._now_ns()
            if sign and ended_ns is not None:
                return self._measured(ended_ns - fed_ns, sign)
            if self._dropped not in _LOST_TOUCH or self._lost:
                return KillTest(False, -1, "", self._lost or self._dropped)
            if ended_ns is None and state.fed is not None:
                fed_ns = state.fed.mono_ns
        return KillTest(False, -1, "", self._dropped or "the module did not turn red by itself")

    def _measured(self, red_ns: int, sign: str) -> KillTest:
        why = f"more than {self._longest_ns // 1_000_000} ms" if red_ns > self._longest_ns else ""
        return KillTest(not why, red_ns // 1_000_000, sign, why)

    async def _show(self, aspect: Aspect) -> Step:
        bound_ns = _RED_BOUND_NS if aspect is Aspect.RED else _BOUND_NS
        began_ns = self._now_ns()
        self._ask(aspect, bound_ns)
        since_ns: int | None = None
        why = "not confirmed in time"
        while self._now_ns() < began_ns + bound_ns:
            await self._next()
            state = self._signal().state()
            why = self._dropped or (_against(state, aspect) if state.test is self.asked else "")
            if why:
                break
            well = state.commanded is aspect and state.confirmed is aspect and state.grade >= Grade.CONTACT
            since_ns = None if not well else since_ns if since_ns is not None else self._now_ns()
            if since_ns is not None and self._now_ns() - since_ns >= (0 if aspect is Aspect.RED else _HOLD_NS):
                took_ms = max(0, since_ns - state.since.mono_ns) // 1_000_000
                return Step(aspect, True, state.confirmed, state.grade, took_ms, "")
            why = "not confirmed in time"
        state = self._signal().state()
        return Step(aspect, False, state.confirmed, state.grade, -1, why)

    def _ask(self, aspect: Aspect, for_ns: int, *, feed: bool = True) -> None:
        self._was, self._dropped, self._lost = self._signal().state().commanded, "", ""
        self.asked = HeadTest(aspect, self._now_ns() + for_ns, feed)
        self._signal().wake()

    def _end(self) -> None:
        self.asked = None
        self._signal().wake()

    async def _next(self) -> None:
        self._news.clear()
        # A loop that stands still must not hold a test up for ever.
        try:
            async with asyncio.timeout(0.25):
                await self._news.wait()
        except TimeoutError:
            return

    def _now_ns(self) -> int:
        return self._clock.stamp().mono_ns


def _against(state: SignalState, aspect: Aspect) -> str:
    """What forbids the aspect, in words; nothing forbids red."""
    if aspect is Aspect.RED:
        return ""
    serious = [reason.value for reason in state.ruling.reasons if reason not in _FREE]
    return serious[0] if serious else ""


def _gone(state: SignalState) -> str:
    """The sign that the module has taken green away."""
    if state.tripped:
        return "watchdog"
    if state.confirmed is Aspect.RED:
        return "feedback" if state.grade >= Grade.CONTACT else "outputs"
    return ""
