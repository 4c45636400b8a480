"""A signal module on a loop's time: outputs, lamps that follow after the relay's delay, a watchdog fed by writes only.

Wired to proceed: all outputs off is red, so a tripped watchdog and a dead agent both show red.
"""

import asyncio
from collections.abc import Callable

from drivers.api import Aspect, DeviceTimeout, Grade, LinkLost, SignalReadback, Stamp
from hil.rig.virtual_arm import VirtualArm

_TIMEOUT_S = 0.25
_RED = Aspect.RED  # read off its class once: every cycle of the signal asks for it
_LAMP = Grade.LAMP
UTC0_NS = 1_767_225_600_000_000_000


class LoopClock:
    """A `drivers.api.Clock` on the running loop's time. `step_utc_ms` moves wall time only."""

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time
        self._seen_s = -1.0
        self._stamp = Stamp(0, 0)
        self.step_utc_ms = 0

    def stamp(self) -> Stamp:
        """Both clocks now."""
        now_s = self._time()
        if now_s != self._seen_s:
            mono_ns = round(now_s * 1e9)
            self._seen_s = now_s
            self._stamp = Stamp(mono_ns, UTC0_NS + mono_ns + self.step_utc_ms * 1_000_000)
        return self._stamp


class VirtualModule:
    """The hardware. `on_lamp(aspect)` hears every change of what drivers see.

    Faults: `feedback_missing` (the feedback inputs show no lamp at all), `stuck` (this lamp burns whatever is
    commanded), `mute` (the module answers nothing; its watchdog runs), `late_s` (it obeys at once and answers late).
    """

    def __init__(
        self, clock: LoopClock, on_lamp: Callable[[Aspect], None], *, lamp_delay_s: float, watchdog_s: float
    ) -> None:
        self.clock = clock
        self.coils = _RED
        self.shown = _RED
        self.tripped = False
        self.feedback_missing = False
        self.stuck: Aspect | None = None
        self.mute = False
        self.late_s = 0.0
        self.arm: VirtualArm | None = None
        self.writes = 0
        self._loop = asyncio.get_running_loop()
        self._on_lamp = on_lamp
        self._lamp_delay_s = lamp_delay_s
        self._watchdog_s = watchdog_s
        self._fed_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def readable(self) -> bool:
        """Whether its answers come before those who ask give up."""
        return not self.mute and self.late_s <= _TIMEOUT_S

    def write(self, aspect: Aspect) -> None:
        """Take a command; feeds the watchdog."""
        self.writes += 1
        self._fed_s = self._loop.time()
        self.tripped = False
        self._output(aspect)
        if aspect is not _RED and self._timer is None:
            self._timer = self._loop.call_at(self._fed_s + self._watchdog_s, self._look)

    def read(self) -> SignalReadback:
        """Outputs and feedback now."""
        lamps = Aspect.DARK if self.feedback_missing else self.shown
        return SignalReadback(self.clock.stamp(), "io-1", self.coils, lamps, _LAMP, False, self.tripped)

    def set_stuck(self, aspect: Aspect | None) -> None:
        """This lamp burns from now on, or the relay is free again."""
        self.stuck = aspect
        self._settle()

    def close(self) -> None:
        """No more timers."""
        if self.arm is not None:
            self.arm.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _output(self, aspect: Aspect) -> None:
        if aspect is not self.coils:
            self.coils = aspect
            self._loop.call_later(self._lamp_delay_s, self._settle)

    def _settle(self) -> None:
        shown = self.coils if self.stuck is None else self.stuck
        if shown is not self.shown:
            self.shown = shown
            self._on_lamp(shown)

    def _look(self) -> None:
        """The watchdog's time has come, unless it was fed meanwhile."""
        self._timer = None
        if self.coils is _RED:
            return
        due_s = self._fed_s + self._watchdog_s
        if self._loop.time() < due_s - 1e-6:
            self._timer = self._loop.call_at(due_s, self._look)
            return
        self.tripped = True
        self._output(_RED)


class VirtualHead:
    """One agent's session with the module: a `drivers.api.SignalHead`. Ends with `alive` False, as a killed process
    would end it: nothing more reaches the module."""

    def __init__(self, module: VirtualModule, exchange_s: float) -> None:
        self.alive = True
        self._module = module
        self._exchange_s = exchange_s

    async def write(self, aspect: Aspect) -> None:
        """Command an aspect."""
        if aspect is not _RED or not self._at_rest():
            await self._exchange()
        self._module.write(aspect)
        if self._module.late_s:
            await self._wait_for_answer()

    async def read(self) -> SignalReadback:
        """Read back."""
        if not self._at_rest():
            await self._exchange()
        reading = self._module.read()
        if self._module.late_s:
            await self._wait_for_answer()
        return reading

    async def pulse(self, role: str) -> None:
        """Pulse a contact of the barrier arm's operator."""
        assert self._module.arm is not None, "asked for where there is one"
        self._module.arm.decided(role)
        await self._exchange()
        await self._module.arm.pulse(role)
        if self._module.late_s:
            await self._wait_for_answer()

    async def _wait_for_answer(self) -> None:
        late_s = self._module.late_s
        if self.alive:
            await asyncio.sleep(min(late_s, _TIMEOUT_S))
            if late_s > _TIMEOUT_S:
                raise DeviceTimeout("MODULE_TIMEOUT", "the module answers too late")

    def _at_rest(self) -> bool:
        """Whether red is commanded and shown: then it makes no difference when within its few milliseconds an exchange
        takes effect, and nine of ten need no time at all."""
        module = self._module
        return self.alive and not module.mute and module.coils is _RED and module.shown is _RED

    async def _exchange(self) -> None:
        if self._module.mute and self.alive:
            await asyncio.sleep(_TIMEOUT_S)
            raise DeviceTimeout("MODULE_TIMEOUT", "the module does not answer")
        if self._exchange_s:
            await asyncio.sleep(self._exchange_s)
        if not self.alive:
            raise LinkLost("SESSION_ENDED", "the session is over")
