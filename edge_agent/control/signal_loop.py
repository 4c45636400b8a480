"""The signal loop: the only place in the program that commands a signal head.

Level-triggered, at its own pace: read back, build the facts, ask the interlock, write its answer, report. Every
completed cycle writes, because the write feeds the module's watchdog; a cycle that failed does not, and the module
falls to red by itself. Events only wake the loop early. Nothing here waits for anything but the head.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from drivers.api import (
    Aspect,
    Clock,
    DeviceError,
    Grade,
    InputSnapshot,
    SignalHead,
    SignalReadback,
    Stamp,
)
from edge_agent.model.decision import Lease
from edge_agent.model.inputs import SignalChanged
from edge_agent.safety import timing
from edge_agent.safety.facts import Reason, Ruling
from edge_agent.safety.interlock import rule, rule_test
from edge_agent.safety.timing import HeadTest, History, Limits, SignalFault, SignalOrders

__all__ = ["Limits", "SignalFault", "SignalLoop", "SignalOrders", "SignalPorts", "SignalState", "interlock_digest"]

_MS = 1_000_000
_JUST_AFTER_NS = 100_000
_RED, _GREEN = Aspect.RED, Aspect.GREEN  # read off the class once: on Python 3.11 that costs more than a call


@dataclass(frozen=True, slots=True)
class SignalState:
    """The signal as it is now, for the API and `why`.

    `commanded` None: unknown (no session, or the last exchange failed); `since` when that began. `confirmed` what
    feedback showed at `confirmed_at`, None while unknown, stale or in conflict; `grade` how well; `confirmed_since`
    when this was first so. `reasons_since` lists the ruling's reasons with the time each appeared. `fault` the latched
    fault's code or "". `lease_seq` the lease ruled on, 0 without. `failures` counts failed cycles, `last_failure` is
    the code of the last one. `fed` is when the last write that the module acknowledged was sent, `tripped` whether its
    watchdog was last seen to have dropped the outputs; `test` the signal test ruled on.
    """

    commanded: Aspect | None
    since: Stamp
    confirmed: Aspect | None
    grade: Grade
    confirmed_at: Stamp | None
    confirmed_since: Stamp
    ruling: Ruling
    reasons_since: tuple[tuple[Reason, Stamp], ...]
    fault: str
    lease_seq: int
    cycles: int
    last_cycle: Stamp | None
    failures: int
    last_failure: str
    fed: Stamp | None
    tripped: bool
    test: HeadTest | None


@dataclass(frozen=True, slots=True)
class SignalPorts:
    """What the composition root hands in. All are synchronous and quick; none may raise.

    `head` the live session's head, the same object for the whole session, None while there is none. `zones` the newest
    snapshot of the lane inputs. `on_change` hears every change of commanded, confirmed, grade or fault; `on_cycle`
    every cycle that came to its end, failed ones too.
    """

    head: Callable[[], SignalHead | None]
    zones: Callable[[], InputSnapshot | None]
    orders: Callable[[], SignalOrders]
    clock: Clock
    on_change: Callable[[SignalChanged], None]
    on_cycle: Callable[[], None]


class SignalLoop:
    """One head's reconcile loop. `latched` is the fault in force when the process last ended (from the journal): a
    restart clears nothing. `cycle_ms` 20..250, with a watchdog several times longer; `reread_ms` the pace while a
    change or deviation is unsettled; `leave_ms` bounds the last red on the way out."""

    def __init__(
        self,
        ports: SignalPorts,
        limits: Limits,
        *,
        cycle_ms: int = 100,
        reread_ms: int = 25,
        leave_ms: int = 1000,
        latched: SignalFault | None = None,
    ) -> None:
        self._ports = ports
        self._limits = limits
        self._cycle_ns = cycle_ms * _MS
        self._reread_ns = reread_ms * _MS
        self._leave_s = leave_ms / 1000
        self._history = History(fault=latched, cleared_seq=ports.orders().fault_cleared_seq)
        self._session: SignalHead | None = None
        self._reading: SignalReadback | None = None
        self._orders: SignalOrders | None = None
        self._test: HeadTest | None = None
        self._fed: Stamp | None = None
        self._ruling = Ruling(Aspect.RED, (Reason.MODULE_NOT_READY,))
        self._since = ports.clock.stamp()
        self._reasons_since = {Reason.MODULE_NOT_READY: self._since}
        self._told: tuple[Aspect, Aspect | None, Grade, str] | None = None
        self._shown_since = self._since
        self._cycles = 0
        self._last_cycle: Stamp | None = None
        self._failures = 0
        self._last_failure = ""
        self._rung = False
        self._waiting: asyncio.Future[None] | None = None
        self._whole = True
        self._due_ns = self._since.mono_ns

    def wake(self) -> None:
        """Look again at once: a beam edge or a session has come. From the loop's own thread only."""
        self._rung = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def orders_moved(self) -> None:
        """Look again at once if the orders are not those last ruled on: most of what moves the core moves no order."""
        if self._ports.orders() != self._orders:
            self.wake()

    def state(self) -> SignalState:
        """The signal as last seen. `confirmed` grows stale by itself, so ask when it is needed."""
        shown, grade = self._shown(self._now_ns())
        return SignalState(
            commanded=self._history.commanded,
            since=self._since,
            confirmed=shown,
            grade=grade,
            confirmed_at=self._reading.stamp if self._reading is not None and shown is not None else None,
            confirmed_since=self._shown_since,
            ruling=self._ruling,
            reasons_since=tuple((reason, self._reasons_since[reason]) for reason in self._ruling.reasons),
            fault=self._fault_code(),
            lease_seq=self._lease.seq if self._lease is not None else 0,
            cycles=self._cycles,
            last_cycle=self._last_cycle,
            failures=self._failures,
            last_failure=self._last_failure,
            fed=self._fed,
            tripped=self._reading is not None and self._reading.tripped,
            test=self._test,
        )

    @property
    def _lease(self) -> Lease | None:
        """The lease last ruled on."""
        return self._orders.lease if self._orders is not None else None

    async def run(self) -> None:
        """Until cancelled; then one bounded red, read back. A program error ends it the same way and is raised."""
        try:
            while True:
                looked = await self._turn()
                await self._pause(looked.mono_ns)
        finally:
            await self._leave()

    async def _turn(self) -> Stamp:
        """One cycle, or, between two cycles, one early look at an unsettled head; when it ended."""
        whole = self._whole
        if whole:
            self._due_ns = self._now_ns() + self._cycle_ns
        head = self._ports.head()
        if head is not self._session:
            self._session = head
            self._forget()
        try:
            if head is not None:
                await self._exchange(head, whole)
        except DeviceError as error:
            self._failures += 1
            self._last_failure = error.code
            self._forget()
            whole = True
        if self._history.commanded is None:
            self._judge()
        now = self._ports.clock.stamp()
        self._tell(self._history.commanded or self._ruling.aspect, now)
        if whole:
            self._cycles += 1
            self._last_cycle = now
            self._ports.on_cycle()
        return now

    async def _exchange(self, head: SignalHead, whole: bool) -> None:
        """Towards red: on the wire before anything is read. Towards green: only on what the head says now."""
        ended = False
        if self._history.commanded is not _RED:  # under red nothing can end
            sooner = _RED if self._history.commanded is None else self._judge()
            ended = sooner is not _GREEN and sooner is not self._history.commanded
            if ended:
                await self._show(head, sooner)
        self._reading = await head.read()
        aspect = self._judge()
        left_alone = self._test is not None and not self._test.feed and aspect is not _RED
        if aspect is not self._history.commanded or (whole and not ended and not left_alone):
            await self._show(head, aspect)

    def _judge(self) -> Aspect:
        """Put the question to the interlock, with everything as it is at this instant."""
        orders, now = self._ports.orders(), self._ports.clock.stamp()
        zones, reading, limits = self._ports.zones(), self._reading, self._limits
        facts, self._history = timing.classify(self._history, orders, zones, reading, now.mono_ns, limits)
        self._orders, self._test = orders, orders.test
        if self._test is None:
            ruling = rule(facts)
        else:
            asked = timing.test_facts(self._history, orders, self._test, zones, reading, now.mono_ns, limits)
            ruling = rule_test(asked)
        if ruling != self._ruling:
            known = self._reasons_since
            self._reasons_since = {reason: known.get(reason, now) for reason in ruling.reasons}
            self._ruling = ruling
        return ruling.aspect

    async def _show(self, head: SignalHead, aspect: Aspect) -> None:
        """Write one aspect. The only place that asks a head for anything, and green in one line of it."""
        sent = self._ports.clock.stamp()
        try:
            if aspect is _GREEN:
                if self._test is None:
                    assert self._lease is not None, "the interlock gives no green without a lease"
                    self._history = timing.begin_green(self._history, self._lease)
                else:
                    self._history = timing.begin_test(self._history)
                await head.write(Aspect.GREEN)
            else:
                await head.write(aspect)
        except DeviceError:
            self._tell(aspect, self._ports.clock.stamp())  # it may be showing: the record must say that it was tried
            raise
        now, self._fed = self._ports.clock.stamp(), sent
        changed = aspect is not self._history.commanded
        self._history = timing.acknowledged(self._history, aspect, now.mono_ns)
        if changed:
            self._since = now
            self._tell(aspect, now)

    def _forget(self) -> None:
        """What the head shows is unknown from now on."""
        if self._history.commanded is not None:
            self._since = self._ports.clock.stamp()
        self._history = timing.exchange_lost(self._history)
        self._reading = None

    def _tell(self, commanded: Aspect, now: Stamp) -> None:
        shown, grade = self._shown(now.mono_ns)
        news = (commanded, shown, grade, self._fault_code())
        if news == self._told:
            return
        if self._told is None or shown is not self._told[1]:
            self._shown_since = now
        self._told = news
        self._ports.on_change(
            SignalChanged(
                at=now,
                commanded=commanded,
                confirmed=shown,
                grade=grade,
                reason=self._ruling.reasons[0].value if self._ruling.reasons else "",
                fault=self._fault_code(),
                lease_seq=self._lease.seq if self._lease is not None else 0,
                test=self._test is not None,
            )
        )

    def _shown(self, now_ns: int) -> tuple[Aspect | None, Grade]:
        """What feedback shows and how well that is known; nothing when the reading is stale."""
        reading = self._reading
        if reading is None or now_ns - reading.stamp.mono_ns > self._limits.stale_ns:
            return None, Grade.NONE
        shown = timing.confirmed(reading)
        if shown is None:
            return None, Grade.NONE
        return shown, reading.grade if reading.lamps is not None else Grade.COIL

    def _fault_code(self) -> str:
        return self._history.fault.value if self._history.fault is not None else ""

    def _now_ns(self) -> int:
        return self._ports.clock.stamp().mono_ns

    async def _pause(self, now_ns: int) -> None:
        """Until the next cycle is due, sooner while the head is unsettled, at once when woken."""
        certain_ns = self._certain_ns()
        if certain_ns is not None and self._due_ns < certain_ns < self._due_ns + self._cycle_ns // 2:
            self._due_ns = certain_ns  # one look at the right moment, not two around it
        soon_ns = now_ns + self._reread_ns
        if certain_ns is not None:
            soon_ns = min(soon_ns, max(now_ns, certain_ns))
        watched = timing.unsettled(self._history) or (self._test is not None and not self._test.feed)
        early = watched and soon_ns < self._due_ns
        delay_ns = max(0, (soon_ns if early else self._due_ns) - now_ns)
        if not self._rung:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = loop.call_later(delay_ns / 1e9, self.wake)
            try:
                await self._waiting
            finally:
                timer.cancel()
                self._waiting = None
        self._rung = False
        self._whole = not early

    def _certain_ns(self) -> int | None:
        """When a deviation that lasts until then is a fault: the next such moment after the newest reading."""
        history, limits = self._history, self._limits
        if self._reading is None or not timing.unsettled(history):
            return None
        read_ns = self._reading.stamp.mono_ns
        since = ((history.mismatch_ns, limits.settle_ns), (history.conflict_ns, limits.conflict_ns))
        certain = (began_ns + limit_ns + _JUST_AFTER_NS for began_ns, limit_ns in since if began_ns is not None)
        return min((at_ns for at_ns in certain if at_ns > read_ns), default=None)

    async def _leave(self) -> None:
        """The last word is red. What cannot be said in time is left to the module's watchdog."""
        head = self._ports.head()
        if head is None:
            return
        if head is not self._session:
            self._session = head
            self._forget()
        if not await self._in_time(self._red_verified(head)):
            self._failures += 1
            self._last_failure = "SIGNAL_RED_NOT_VERIFIED"
            self._forget()
        self._tell(_RED, self._ports.clock.stamp())

    async def _in_time(self, last_word: Coroutine[Any, Any, None]) -> bool:
        """Whether it ended within `leave_ms`; it has ended in any case when this returns.

        A task of its own: this one has been cancelled already, and on Python 3.11 asyncio.timeout would then take its
        own expiry for that cancellation, while wait_for loses one that comes together with the result.
        """
        task = asyncio.get_running_loop().create_task(last_word)
        try:
            await asyncio.wait([task], timeout=self._leave_s)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        if task.cancelled():
            return False
        task.result()
        return True

    async def _red_verified(self, head: SignalHead) -> None:
        """Write red and read it back, again and again until both succeed."""
        while True:
            try:
                await self._show(head, Aspect.RED)
                self._reading = await head.read()
                self._judge()
                if self._reading.coils is Aspect.RED and timing.confirmed(self._reading) is Aspect.RED:
                    return
            except DeviceError as error:
                self._failures += 1
                self._last_failure = error.code
                self._forget()
            await asyncio.sleep(self._reread_ns / 1e9)


def interlock_digest() -> str:
    """SHA-256 over the bytes of the interlock's four modules in this order, in hex: goes into every bundle."""
    digest = hashlib.sha256()
    for name in ("facts.py", "timing.py", "interlock.py", "barrier.py"):
        digest.update(files("edge_agent.safety").joinpath(name).read_bytes())
    return digest.hexdigest()
