"""A signal head with relays, lamps, a watchdog and faults, and everything around the signal loop, on virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from drivers.api import Aspect, DeviceError, Grade, InputSnapshot, SignalHead, SignalReadback, Stamp
from edge_agent.control.signal_loop import Limits, SignalFault, SignalLoop, SignalOrders, SignalPorts
from edge_agent.model.decision import Authority, Lease
from edge_agent.model.inputs import SignalChanged
from edge_agent.safety.facts import Permit

MS = 1_000_000
RED, AMBER, GREEN, DARK = Aspect.RED, Aspect.AMBER, Aspect.GREEN, Aspect.DARK


class LoopClock:
    """The virtual loop's time, readable while the loop stands still too."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def stamp(self) -> Stamp:
        """Both clocks at the loop's time."""
        now_ns = round(self._loop.time() * 1e9)
        return Stamp(now_ns, now_ns)


@dataclass
class Module:
    """The hardware: outputs, lamps that follow after the relay's time, and a watchdog fed by writes only."""

    clock: LoopClock
    relay_ms: int = 40
    watchdog_ms: int = 1_000
    coils: Aspect = RED
    lit_before: Aspect = RED
    turned_ns: int = 0
    fed_ns: int = 0
    tripped: bool = False
    dead_lamps: set[Aspect] = field(default_factory=set)
    stuck_lamps: set[Aspect] = field(default_factory=set)
    foreign: bool = False

    def now_ns(self) -> int:
        return self.clock.stamp().mono_ns

    def output(self, aspect: Aspect) -> None:
        """Outputs change; the lamps follow."""
        if aspect is not self.coils:
            self.lit_before, self.coils, self.turned_ns = self.coils, aspect, self.now_ns()

    def take(self, aspect: Aspect) -> None:
        """A write from the session."""
        self.look()
        self.output(aspect)
        self.fed_ns, self.tripped, self.foreign = self.now_ns(), False, False

    def look(self) -> None:
        """Let the watchdog act if its time has come."""
        if self.coils is not RED and self.now_ns() - self.fed_ns > self.watchdog_ms * MS:
            self.output(RED)
            self.tripped = True

    def lit(self) -> set[Aspect]:
        """The lamps that burn now."""
        settled = self.now_ns() - self.turned_ns >= self.relay_ms * MS
        return ({self.coils if settled else self.lit_before} - self.dead_lamps) | self.stuck_lamps

    def shows(self) -> Aspect:
        """What a driver sees; the most permissive where two burn."""
        burning = self.lit()
        return next((aspect for aspect in (GREEN, AMBER, RED) if aspect in burning), DARK)


class Head:
    """One session with the module: each exchange takes `exchange_ms`; `fail` makes exchanges fail."""

    def __init__(self, module: Module, log: list[tuple[int, Aspect]], exchange_ms: int = 5) -> None:
        self.module = module
        self.log = log
        self.exchange_ms = exchange_ms
        self.grade = Grade.CONTACT
        self.fail: Callable[[str], DeviceError | None] = lambda _: None
        self.reads = 0
        self.on_write: Callable[[Aspect], None] = lambda _: None

    async def _exchange(self, what: str) -> None:
        await asyncio.sleep(self.exchange_ms / 1000)
        error = self.fail(what)
        if error is not None:
            raise error

    async def write(self, aspect: Aspect) -> None:
        self.on_write(aspect)
        self.log.append((self.module.now_ns(), aspect))
        await self._exchange(aspect.value)
        self.module.take(aspect)

    async def read(self) -> SignalReadback:
        self.reads += 1
        await self._exchange("read")
        module = self.module
        module.look()
        burning = module.lit()
        return SignalReadback(
            module.clock.stamp(),
            "io",
            module.coils,
            None if self.grade is Grade.COIL else module.shows(),
            self.grade,
            conflict={RED, GREEN} <= burning,
            tripped=module.tripped,
            foreign_write=module.foreign,
        )


class Rig:
    """Everything around the loop, as the composition root would hand it in."""

    def __init__(self, limits: Limits | None = None, latched: SignalFault | None = None, cleared: int = 0) -> None:
        self.clock = LoopClock()
        self.module = Module(self.clock)
        self.log: list[tuple[int, Aspect]] = []
        self.head: SignalHead | None = self.session()
        self.orders = SignalOrders(Permit.ROLLING, False, cleared, True, None, True)
        self.beam = False
        self.loop_occupied = False
        self.edges = 0
        self.inputs_live = True
        self.changes: list[SignalChanged] = []
        self.beats = 0
        self.seq = 0
        self.limits = limits or Limits()
        ports = SignalPorts(
            lambda: self.head, self.zones, lambda: self.orders, self.clock, self.changes.append, self._beat
        )
        self.loop = SignalLoop(ports, self.limits, latched=latched)

    def session(self) -> Head:
        return Head(self.module, self.log)

    @property
    def live(self) -> Head:
        assert isinstance(self.head, Head)
        return self.head

    def _beat(self) -> None:
        self.beats += 1

    def zones(self) -> InputSnapshot | None:
        if not self.inputs_live:
            return None
        levels = {"stop_line_beam": self.beam, "zone_s": self.loop_occupied}
        return InputSnapshot(self.clock.stamp(), "io", 1, levels, {"stop_line_beam": self.edges, "zone_s": 0})

    def give(self, *, seconds: float = 30.0, who: str = "c1", standing: bool = False) -> Lease:
        """A new lease, as the passage core would grant it."""
        self.seq += 1
        deadline = self.now_ns() + round(seconds * 1e9)
        lease = Lease(who, self.seq, deadline, standing, Authority.SYSTEM, "d", self.edges, 1)
        self.order(lease=lease)
        return lease

    def order(self, **changes: object) -> None:
        """Change the orders and tell the loop."""
        self.orders = replace(self.orders, **changes)  # type: ignore[arg-type]
        self.loop.orders_moved()

    def now_ns(self) -> int:
        return self.clock.stamp().mono_ns

    def first_write(self, aspect: Aspect, since_ns: int) -> int:
        """ms from `since_ns` to the first write of this aspect at or after it."""
        return next((at - since_ns) // MS for at, written in self.log if at >= since_ns and written is aspect)


@asynccontextmanager
async def running(rig: Rig, settle_s: float = 1.0) -> AsyncIterator[Rig]:
    """The loop at work; `settle_s` later the minimum red has passed."""
    task = asyncio.create_task(rig.loop.run())
    try:
        await asyncio.sleep(settle_s)
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled() or task.exception() is not None


@asynccontextmanager
async def green(limits: Limits | None = None) -> AsyncIterator[Rig]:
    """A lane with a confirmed green."""
    rig = Rig(limits)
    async with running(rig):
        rig.give()
        await asyncio.sleep(0.3)
        assert (rig.module.shows(), rig.loop.state().confirmed) == (GREEN, GREEN)
        yield rig
