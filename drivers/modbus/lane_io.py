"""One session of one Modbus I/O module: the lane's inputs, and the signal head on its outputs.

Start of a session: connect, check identity, write red, arm the module's watchdog, write red again, read it back. Only
then DeviceUp, and from there somebody must write within the watchdog's time. A session that ends, however it ends,
tries to leave red; the watchdog does it in any case.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from drivers.api import (
    Aspect,
    Clock,
    DeviceError,
    DeviceInfo,
    DeviceRefused,
    DeviceTimeout,
    DeviceUp,
    Emit,
    Grade,
    InputSnapshot,
    LinkLost,
    ProtocolViolation,
    SignalReadback,
    Stamp,
)
from drivers.modbus.actuators import Actuators
from drivers.modbus.bus import ModbusBus, Priority
from drivers.modbus.head_codec import HeadWiring, lamps_shown, wired_grade
from drivers.modbus.identity import identify, report
from drivers.modbus.input_codec import Continuity, levels_of, span_of
from drivers.modbus.pdu_codec import (
    READ_COILS,
    ExceptionReplyError,
    Request,
    pulse_bit,
    read_bits,
    read_registers,
    write_bits,
)
from drivers.modbus.plan import LaneIoPlan, check_points
from drivers.modbus.recent import Recent, agrees
from drivers.modbus.settings.profile import Profile, Pulse
from drivers.modbus.shared_line import SharedBus
from drivers.modbus.watchdog import fitting_watchdog

if TYPE_CHECKING:
    from drivers.modbus.taped import TapedBus

_LEAVE_RED_S = 0.2
PULSE_AGAIN_S = 0.35
"""A timed pulse is started again when it has run so long: often enough to survive two lost exchanges in 1.5 s, seldom
enough to leave a slow line free."""
_WATCHDOG_CHECK_S = 0.25
_BUSY_TRIES = 3
_BUSY_PAUSE_S = 0.02


@dataclass(slots=True)
class _Sent:
    """What the outputs must hold, None while unknown; when the last pulse was started (loop's seconds). Counts the
    wishes for red, which void older wishes."""

    block: tuple[bool, ...] | None = None
    pulsed_s: float = -1e9
    reds: int = 0
    misses: Counter[str] = field(default_factory=Counter)
    fault: DeviceError | None = None
    found: dict[str, str] = field(default_factory=dict)
    serial: str = ""
    connections: int = 0


class LaneIo:
    """Source and SignalHead of one module (`drivers.api`). One object is one session."""

    def __init__(
        self,
        device: str,
        plan: LaneIoPlan,
        profile: Profile,
        clock: Clock,
        bus: "ModbusBus | SharedBus | TapedBus",
        inputs_profile: Profile | None = None,
    ) -> None:
        """`inputs_profile` of the module with the inputs, when that is another one than the head's."""
        self.bus = bus
        self._device = device
        self._plan = plan
        self._profile = profile
        self._inputs_profile = inputs_profile or profile
        self._clock = clock
        check_points(device, plan, profile, self._inputs_profile)
        self._grade = wired_grade(plan.inputs, plan.lamp_feedback)
        self._watchdog = fitting_watchdog(device, profile, plan, self._ask)
        self._continuity = Continuity(plan.inputs, round(plan.stale_s * 1e9))
        self._sent = _Sent()
        self._recent = Recent(round(plan.poll_s * 1e9))
        self._emit: Emit = lambda _: None
        self._identified = False
        self._live = False
        self._counted = profile.connections is not None
        self.actuators = Actuators(device, plan, profile, self._ask, lambda: self._live, self._end_with)
        self.expected_identity = ""
        """The identity of the session before, "" when there was none: any other module is refused (MODULE_CHANGED)."""

    @property
    def other_masters(self) -> int:
        """How many others are connected to the module, as far as its profile lets that be told."""
        return max(0, self._sent.connections - 1)

    @property
    def grade(self) -> Grade:
        """The best confirmation the wiring of the head can give."""
        return self._grade

    @property
    def green_refusal(self) -> str:
        """Why GREEN is refused on this module; empty when it is not."""
        if self._plan.head is None:
            return "no head is wired to it"
        if self._profile.green_refusal:
            return self._profile.green_refusal
        if self._grade < Grade.CONTACT:
            return "no feedback is wired: roles red_feedback and green_feedback are needed"
        return ""

    async def run(self, emit: Emit) -> None:
        """Run the session until it ends with a DeviceError. DeviceRefused WRONG_DEVICE tells what was found."""
        try:
            self._emit = emit
            await self._open()
            self._live = True
            emit(DeviceUp(self._clock.stamp(), self._device, self._info()))
            await self._poll_forever()
        finally:
            self._live = False
            try:
                await self._leave_red()
            finally:
                self.bus.close()

    async def write(self, aspect: Aspect) -> None:
        """Command an aspect with one write of all head outputs; feeds the watchdog. See `drivers.api.SignalHead`.

        A wish for red voids every older wish that has not left yet (DeviceError SUPERSEDED to its caller).
        """
        head = self._writable_head(aspect)
        if aspect is Aspect.RED:
            self._sent.reds += 1
        reds = self._sent.reds

        def leave() -> None:
            if not self._live:
                raise self._no_session()
            if aspect is not Aspect.RED and reds != self._sent.reds:
                raise DeviceError("SUPERSEDED", f"{self._device}: red overtook {aspect}")
            self._sent.block = None  # unknown until the echo

        priority = Priority.RED if aspect is Aspect.RED else Priority.WRITE
        try:
            await self._write_head(head, aspect, priority, leave)
        except DeviceError as error:
            await self._end_or_raise(error)

    async def read(self) -> SignalReadback:
        """Outputs and feedback, read back ahead of polls. A tripped watchdog is an answer, not a fault."""
        head = self._plan.head
        if head is None or not self._live:
            raise self._no_session()
        stamps: list[Stamp] = []
        expected: list[tuple[bool, ...] | None] = []

        def leave() -> None:
            stamps.append(self._clock.stamp())
            expected.append(self._sent.block)

        try:
            # On a serial line, where an exchange takes a tenth of a signal cycle, coils read a moment ago may serve.
            look = self._recent.coils(self._clock.stamp(), self._sent.block) if self.bus.is_slow else None
            if look is None:
                block = await self._read_block(head, leave)
                look = self._recent.read = stamps[-1], block
            looked_at, block = look
            felt_at, bits = await self._feedback(head.commanded(block), looked_at)
        except DeviceError as error:
            self._recent.forget()
            if await self._is_tripped(error):
                return SignalReadback(self._clock.stamp(), self._device, None, None, self._grade, tripped=True)
            raise
        differs = bool(expected) and expected[-1] not in (None, block) and not self._is_spent_pulse(block)
        tripped = differs and self._watchdog is not None and await self._watchdog.is_tripped()
        shown = lamps_shown(self._levels(bits))
        return SignalReadback(
            looked_at if differs else felt_at,
            self._device,
            head.commanded(block),
            shown.aspect,
            self._grade,
            conflict=shown.conflict or head.commanded(block) is None,
            tripped=tripped,
            foreign_write=differs and not tripped,
        )

    async def _feedback(self, commanded: Aspect | None, looked_at: Stamp) -> tuple[Stamp, tuple[int, ...]]:
        """The inputs for a readback, and when they were read; without inputs when the outputs were."""
        polled = self._recent.inputs(self._clock.stamp(), commanded) if self.bus.is_slow else None
        if polled is not None and agrees(lamps_shown(self._levels(polled[1])), commanded):
            return polled
        stamps = [looked_at]
        bits = await self._read_inputs(Priority.READBACK, lambda: stamps.append(self._clock.stamp()))
        if len(stamps) > 1 and self._live and self.bus.is_slow:
            self._take(stamps[-1], bits)  # as good as a poll, and sooner: polls go last
        return stamps[-1], bits

    # ---- start ----

    async def _open(self) -> None:
        await self.bus.open()
        if not isinstance(self.bus, ModbusBus) and self._plan.head is None:
            await self.bus.rest(self._plan.unit)
        try:
            await self._identify()
            if self._plan.head is None:
                await self._read_inputs(Priority.POLL)
            else:
                await self._start_red(self._plan.head)
        except ProtocolViolation as error:
            if error.code == "MODBUS_NOT_MODBUS":
                raise DeviceRefused("WRONG_DEVICE", error.message, error.hint) from error
            raise
        except DeviceTimeout as error:
            if self.bus.is_slow or self.bus.statistics.answered:
                raise
            hint = "the port accepts connections and is silent: wrong unit_id, or no Modbus device"
            raise DeviceTimeout(error.code, error.message, hint) from error

    async def _identify(self) -> None:
        unit, line = self._plan.unit, str(self.bus.line)
        found = await identify(self._device, line, unit, self._profile, self._ask_unit(unit))
        self._sent.found.update(found.values, identity=found.digest)
        self._sent.serial = found.serial
        if self.expected_identity not in ("", found.digest):
            what = f"{self._device} at {line} is another module than before: {found.serial or dict(found.values)}"
            hint = "put the former one back, or restart the agent and commission this one; the outputs stay locked"
            raise DeviceRefused("MODULE_CHANGED", what, hint)
        self._sent.found.update(await report(self._profile, self._ask_unit(unit)))
        other = self._plan.inputs_unit
        if other is not None:
            beside = await identify(self._device, line, other, self._inputs_profile, self._ask_unit(other))
            self._sent.found.update((f"inputs_{name}", text) for name, text in beside.values)
        self._identified = True

    def _ask_unit(self, unit: int) -> Callable[[Request], Awaitable[tuple[int, ...]]]:
        return lambda request: self._ask(request, unit=unit)

    async def _start_red(self, head: HeadWiring) -> None:
        if self._watchdog is not None:
            tripped = await self._watchdog.is_tripped()
            self._sent.found["watchdog_was_tripped"] = str(tripped).lower()
            if not tripped:
                await self._write_head(head, Aspect.RED, Priority.RED)  # before the old watchdog is stopped
            await self._watchdog.arm()
            self._sent.found["watchdog_ms"] = str(self._watchdog.time_ms)
        await self._write_head(head, Aspect.RED, Priority.RED)
        await self.actuators.release()
        block = await self._read_block(head)
        if any(block):
            raise DeviceError("MODBUS_READBACK", f"{self._device}: outputs read back {block} after red was written")

    def _info(self) -> DeviceInfo:
        found = dict(self._sent.found)
        return DeviceInfo(
            kind="modbus_lane_io",
            model=self._profile.model,
            firmware=found.pop("firmware", ""),
            serial=self._sent.serial,
            profile=self._profile.name,
            profile_digest=self._profile.digest,
            details={
                **found,
                "profile_evidence": self._profile.evidence,
                "cannot_confirm": "; ".join(self._profile.cannot_confirm),
            },
        )

    # ---- polls ----

    async def _poll_forever(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        check_due = self._now_s() + _WATCHDOG_CHECK_S
        while True:
            await self._poll_once()
            if (now_s := self._now_s()) >= check_due:
                check_due = now_s + _WATCHDOG_CHECK_S
                if self._watchdog is not None:
                    await self._counting_misses(self._watchdog.check_next, "watchdog")
                if self._counted:
                    await self._counting_misses(self._count_connections)
            if self._sent.fault is not None:
                raise self._sent.fault
            due = max(due + self._plan.poll_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _count_connections(self) -> None:
        register = self._profile.connections
        assert register is not None, "asked for where there is one"
        request = read_registers(register.function, register.register_, 1)
        try:
            self._sent.connections = (await self._ask(request, Priority.DIAGNOSTIC))[0]
        except DeviceRefused:
            self._counted = False  # a firmware without it: nothing to be told by

    async def _poll_once(self) -> None:
        async def poll() -> None:
            stamps: list[Stamp] = []
            if not self._plan.inputs and self._plan.head is not None:
                await self._read_block(self._plan.head, priority=Priority.POLL)
                return
            bits = await self._read_inputs(Priority.POLL, lambda: stamps.append(self._clock.stamp()))
            self._take(stamps[-1], bits)

        await self._counting_misses(poll)

    def _take(self, stamp: Stamp, bits: tuple[int, ...]) -> None:
        """The inputs as they were at `stamp`: counted and told."""
        self._recent.polled = stamp, bits
        seen = self._continuity.take(stamp.mono_ns, self._levels(bits))
        self._emit(InputSnapshot(stamp, self._device, seen.session, seen.levels, seen.edges))

    async def _counting_misses(self, step: Callable[[], Awaitable[None]], of: str = "poll") -> None:
        """One step of the poll loop: a few failures in a row are forgiven, except those that end a session at once.
        `of`: what they are counted for; a poll that works does not excuse a watchdog that cannot be checked."""
        try:
            await step()
        except LinkLost:
            raise
        except DeviceError as error:
            if error.code.startswith("WATCHDOG_") or await self._is_tripped(error):
                await self._end_or_raise(error)
            self._sent.misses[of] += 1
            if isinstance(error, DeviceRefused) or self._sent.misses[of] > self._plan.misses_allowed:
                raise
        else:
            self._sent.misses[of] = 0

    async def _read_inputs(self, priority: Priority, before_send: Callable[[], None] | None = None) -> tuple[int, ...]:
        wired = self._inputs_profile.inputs
        if wired is None or not self._plan.inputs:
            return ()
        first, count = span_of(self._plan.inputs)
        request = read_bits(wired.function, wired.base + first, count)
        return await self._ask(request, priority, before_send, self._plan.inputs_unit)

    def _levels(self, bits: tuple[int, ...]) -> dict[str, bool]:
        return levels_of(self._plan.inputs, span_of(self._plan.inputs)[0], bits) if bits else {}

    # ---- outputs ----

    def _writable_head(self, aspect: Aspect) -> HeadWiring:
        head = self._plan.head
        if not self._live:
            raise self._no_session()
        if head is None:
            raise DeviceRefused("NO_HEAD", f"{self._device}: no head is wired to this module")
        try:
            head.block(aspect)
        except ValueError as error:
            raise DeviceRefused("ASPECT_REFUSED", f"{self._device}: {error}") from error
        if aspect is Aspect.GREEN and self.green_refusal:
            raise DeviceRefused("GREEN_REFUSED", f"{self._device}: {self.green_refusal}")
        return head

    async def _write_head(
        self, head: HeadWiring, aspect: Aspect, priority: Priority, before_send: Callable[[], None] | None = None
    ) -> None:
        outputs, pulse = self._profile.outputs, self._profile.pulse
        assert outputs is not None, "checked when the session was made"
        block, known = head.block(aspect), self._sent.block
        pulsed = aspect is Aspect.GREEN and self._watchdog is None and pulse is not None
        if pulsed and pulse is not None:
            await self._pulse(head, pulse, before_send)
        else:
            await self._ask(write_bits(outputs.write_base + head.first, block), priority, before_send)
        if known != block:
            self._recent.switched_ns = self._clock.stamp().mono_ns
        self._sent.block = block

    async def _pulse(self, head: HeadWiring, pulse: Pulse, before_send: Callable[[], None] | None) -> None:
        """Light green for a time. A pulse lights one point only, so the others are put off first: red in between, never
        two aspects. A pulse that has not run long is left alone."""
        outputs = self._profile.outputs
        assert outputs is not None, "checked when the session was made"
        if self._sent.block == head.block(Aspect.GREEN):
            if self._now_s() < self._sent.pulsed_s + PULSE_AGAIN_S:
                return
        else:
            red = write_bits(outputs.write_base + head.first, head.block(Aspect.RED))
            await self._ask(red, Priority.WRITE, before_send)
        units = min(self._plan.pulse_ms, pulse.max_ms) // pulse.unit_ms
        began_s = self._now_s()
        await self._ask(pulse_bit(pulse.base + head.green, units), Priority.WRITE, before_send)
        self._sent.pulsed_s = began_s

    async def _read_block(
        self,
        head: HeadWiring,
        before_send: Callable[[], None] | None = None,
        priority: Priority = Priority.READBACK,
    ) -> tuple[bool, ...]:
        outputs = self._profile.outputs
        assert outputs is not None, "checked when the session was made"
        first, count = (0, outputs.count) if outputs.block_reads else (head.first, head.count)
        bits = await self._ask(read_bits(READ_COILS, outputs.readback_base + first, count), priority, before_send)
        return tuple(bool(bit) for bit in bits[head.first - first : head.first - first + head.count])

    def _is_spent_pulse(self, block: tuple[bool, ...]) -> bool:
        """A timed pulse ends by itself: outputs off are then nobody's foreign write. Before its time they are, also on
        a module that does not start a running pulse anew."""
        if self._watchdog is not None or self._profile.pulse is None or any(block):
            return False
        return self._now_s() >= self._sent.pulsed_s + self._plan.pulse_ms / 1000

    def _now_s(self) -> float:
        """Seconds on the clock of the stamps: what is decided by time must come out the same in a replay."""
        return self._clock.stamp().mono_ns / 1e9

    async def _leave_red(self) -> None:
        head = self._plan.head
        if head is None or not self._identified or not self.bus.connected:
            return
        with suppress(DeviceError, TimeoutError):
            async with asyncio.timeout(_LEAVE_RED_S):
                await self._write_head(head, Aspect.RED, Priority.RED)
                await self.actuators.release()

    # ---- exchanges and faults ----

    async def _ask(
        self,
        request: Request,
        priority: Priority = Priority.READBACK,
        before_send: Callable[[], None] | None = None,
        unit: int | None = None,
    ) -> tuple[int, ...]:
        """One exchange; a busy device (exceptions 5 and 6) is asked again, a bounded number of times. `unit` None: the
        head's."""
        tries = 1
        while True:
            try:
                asked = self._plan.unit if unit is None else unit
                return await self.bus.transact(asked, request, priority, before_send)
            except DeviceError as error:
                if error.code != "MODBUS_BUSY" or tries >= _BUSY_TRIES:
                    raise
            tries += 1
            await asyncio.sleep(_BUSY_PAUSE_S)

    async def _is_tripped(self, error: DeviceError) -> bool:
        """Whether a refused request was refused because the watchdog has tripped: by the exception that the profile
        names for it, and the module's own word."""
        refusal, watchdog = error.__cause__, self._profile.watchdog
        if self._watchdog is None or watchdog is None or not isinstance(refusal, ExceptionReplyError):
            return False
        if refusal.code != watchdog.exception_while_tripped:
            return False
        try:
            return await self._watchdog.is_tripped()
        except DeviceError:
            return False

    async def _end_or_raise(self, error: DeviceError) -> NoReturn:
        """Raise the error, and remember it when it ends the session: after a wrong echo nobody knows what the outputs
        do, and after a trip the module must be set up anew."""
        if self._watchdog is not None and await self._is_tripped(error):
            self._sent.fault = self._watchdog.tripped()
            raise self._sent.fault from error
        if error.code.startswith("WATCHDOG_") or isinstance(error, LinkLost | ProtocolViolation | DeviceRefused):
            self._sent.fault = self._sent.fault or error
        raise error

    def _end_with(self, error: DeviceError) -> None:
        self._sent.fault = self._sent.fault or error

    def _no_session(self) -> LinkLost:
        return LinkLost("NO_SESSION", f"{self._device}: no live session")
