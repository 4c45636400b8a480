"""Single outputs of an I/O module beside the signal head: pulses to a barrier's operator, sign texts, beacon, tone.

Switched one at a time with function 5, which feeds no watchdog whose feed rule is function 15. Everything is off at the
start and at the end of a session, and off when the module's watchdog lets go, or the timed pulse is over by which a
module without one keeps an output on: off is the state that asks for nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from drivers.api import DeviceError, EdgeError, LinkLost
from drivers.modbus.bus import Priority
from drivers.modbus.pdu_codec import READ_COILS, Request, pulse_bit, read_bits, write_bit
from drivers.modbus.plan import PULSED_ROLES, LaneIoPlan, timed_by
from drivers.modbus.settings.profile import Profile

_OFF_TRIES = 3


class Ask(Protocol):
    """One exchange with the module."""

    def __call__(self, request: Request, priority: Priority = ...) -> Awaitable[tuple[int, ...]]:
        """The reply's values; DeviceError."""
        ...


class Actuators:
    """The outputs of one session, by role. `live` tells whether the session is up; `broken` is told of an output that
    could not be switched off, which ends the session."""

    def __init__(
        self,
        device: str,
        plan: LaneIoPlan,
        profile: Profile,
        ask: Ask,
        live: Callable[[], bool],
        broken: Callable[[DeviceError], None],
    ) -> None:
        self._device = device
        self._points = plan.actuators
        self._profile = profile
        self._arm_pulse_ms = plan.arm_pulse_ms
        self._timed = timed_by(plan, profile)
        self._on_ms = min(plan.pulse_ms, self._timed.max_ms) if self._timed is not None else 0
        self._ask = ask
        self._live = live
        self._broken = broken

    @property
    def roles(self) -> frozenset[str]:
        """The roles wired."""
        return frozenset(self._points)

    @property
    def lasts_ms(self) -> int:
        """An output goes off by itself when nobody has switched it on again for so long; 0: as long as the module's
        watchdog is fed."""
        return self._on_ms

    async def release(self) -> None:
        """Everything off. For the session itself."""
        for point in self._points.values():
            await self._switch(point, on=False)

    async def switch(self, role: str, *, on: bool) -> None:
        """Switch an output, on for `lasts_ms`. LinkLost NO_SESSION without a session, DeviceError."""
        if role in PULSED_ROLES:
            raise EdgeError("ROLE_INVALID", f"{role} is only pulsed")
        self._check_live()
        point, timed = self._points[role], self._timed
        if on and timed is not None:
            await self._ask(pulse_bit(timed.base + point, self._on_ms // timed.unit_ms), Priority.WRITE)
        else:
            await self._switch(point, on=on)

    async def read(self) -> Mapping[str, bool]:
        """What the module says of its outputs, by role. DeviceError."""
        self._check_live()
        outputs = self._profile.outputs
        assert outputs is not None, "checked when the session was made"
        points = self._points.values()
        first, last = (0, outputs.count - 1) if outputs.block_reads else (min(points), max(points))
        request = read_bits(READ_COILS, outputs.readback_base + first, last - first + 1)
        bits = await self._ask(request, Priority.POLL)
        return {role: bool(bits[point - first]) for role, point in self._points.items()}

    async def pulse(self, role: str) -> None:
        """Switch an output on for the time that the operator's profile says, by the module's own timer where it has
        one. DeviceError: whether it was on is not known, but it is off, or the session has ended and the module lets go
        of it."""
        self._check_live()
        point, timed = self._points[role], self._profile.pulse
        if timed is not None:
            await self._ask(pulse_bit(timed.base + point, max(1, self._arm_pulse_ms // timed.unit_ms)), Priority.WRITE)
            return
        try:
            await self._switch(point, on=True)
            await asyncio.sleep(self._arm_pulse_ms / 1000)
        finally:
            await self._end(point, role)

    async def _end(self, point: int, role: str) -> None:
        for left in reversed(range(_OFF_TRIES)):
            try:
                await self._switch(point, on=False)
            except DeviceError:
                if left:
                    continue
                what = f"{self._device}: the pulse on {role} could not be ended"
                self._broken(DeviceError("MODBUS_PULSE_NOT_ENDED", what, "the module's watchdog ends it"))
                raise
            return

    async def _switch(self, point: int, *, on: bool) -> None:
        outputs = self._profile.outputs
        assert outputs is not None, "checked when the session was made"
        await self._ask(write_bit(outputs.write_base + point, on), Priority.WRITE)

    def _check_live(self) -> None:
        if not self._live():
            raise LinkLost("NO_SESSION", f"{self._device}: no live session")
