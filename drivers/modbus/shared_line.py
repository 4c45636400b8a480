"""Serial lines with several modules: one bus per port, however many sessions use it.

A line has one owner and one order: whoever asks, RED goes before everything that waits. A unit that did not answer is
asked again only after a rest, so that a dead one costs the others little; a unit that carries a head is never made to
wait. What one silent unit can cost a red is one exchange: its `reply_ms` and the line's `quiet_ms`.
"""

import asyncio
from collections.abc import Callable

from drivers.api import DeviceTimeout, LinkLost
from drivers.modbus.bus import BusStatistics, BusTiming, ModbusBus, Priority
from drivers.modbus.pdu_codec import Request
from drivers.modbus.settings.line import SerialLine, TcpLine

REST_S = 1.2
"""How long a silent unit is left alone."""


class SharedLines:
    """The serial lines of one process, by their port."""

    def __init__(self) -> None:
        self._lines: dict[str, _SharedLine] = {}

    def bus(self, device: str, line: TcpLine | SerialLine, timing: BusTiming) -> "ModbusBus | SharedBus":
        """The bus for one session of a device: its own connection over TCP, its share of a serial line."""
        if isinstance(line, TcpLine):
            return ModbusBus(device, line, timing)
        shared = self._lines.setdefault(line.path, _SharedLine())
        return SharedBus(device, line, timing, shared)


class _SharedLine:
    """What the sessions on one port share: the open bus, who uses it, and which units are left alone until when."""

    def __init__(self) -> None:
        self.opening = asyncio.Lock()
        self.bus: ModbusBus | None = None
        self.users: dict[ModbusBus, int] = {}
        self.resting: dict[int, float] = {}

    def leave(self, bus: ModbusBus) -> None:
        self.users[bus] -= 1
        if not self.users[bus]:
            del self.users[bus]
            self.bus = None if self.bus is bus else self.bus
            bus.close()


class SharedBus:
    """One session's share of a line; used like a `ModbusBus`. Its statistics are those of the line."""

    is_slow = True

    def __init__(self, device: str, line: SerialLine, timing: BusTiming, shared: _SharedLine) -> None:
        self.line = line
        self._device = device
        self._timing = timing
        self._shared = shared
        self._bus: ModbusBus | None = None

    @property
    def statistics(self) -> BusStatistics:
        """Counters of the line since it was opened; zeros before."""
        return self._bus.statistics if self._bus is not None else BusStatistics()

    @property
    def listeners(self) -> list[Callable[[bool, bytes], None]]:
        """The line's, while it is open: other modules' bytes are among what they hear."""
        return self._bus.listeners if self._bus is not None else []

    @property
    def last_reply(self) -> bytes | None:
        """The line's, None before the first."""
        return self._bus.last_reply if self._bus is not None else None

    @last_reply.setter
    def last_reply(self, reply: bytes | None) -> None:
        if self._bus is not None:
            self._bus.last_reply = reply

    @property
    def connected(self) -> bool:
        """Whether the port is open."""
        return self._bus is not None and self._bus.connected

    async def open(self) -> None:
        """Open the port, or join those who have. LinkLost with the reason when that fails."""
        shared = self._shared
        async with shared.opening:
            if shared.bus is None or not shared.bus.connected:
                bus = ModbusBus(self._device, self.line, self._timing)
                try:
                    await bus.open()
                except BaseException:
                    bus.close()
                    raise
                shared.bus, shared.users[bus] = bus, 0
            shared.bus.suit(self._timing)
            shared.users[shared.bus] += 1
            self._bus = shared.bus

    def close(self) -> None:
        """Leave the line; the last one closes the port. May be called at any time, also twice."""
        bus, self._bus = self._bus, None
        if bus is not None:
            self._shared.leave(bus)

    async def transact(
        self, unit: int, request: Request, priority: Priority, before_send: Callable[[], None] | None = None
    ) -> tuple[int, ...]:
        """One exchange, as `ModbusBus.transact`."""
        bus, resting = self._bus, self._shared.resting
        if bus is None:
            raise LinkLost("MODBUS_LINK_LOST", f"{self._device} at {self.line}: not connected")
        try:
            answer = await bus.transact(unit, request, priority, before_send)
        except DeviceTimeout:
            resting[unit] = asyncio.get_running_loop().time() + REST_S
            raise
        resting.pop(unit, None)
        return answer

    async def rest(self, unit: int) -> None:
        """Before a session of a unit begins: leave a unit alone that was silent just now, while others use the line."""
        bus = self._bus
        seconds = self._shared.resting.get(unit, 0.0) - asyncio.get_running_loop().time()
        if bus is not None and self._shared.users[bus] > 1 and seconds > 0:
            await asyncio.sleep(seconds)
