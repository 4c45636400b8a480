"""A Modbus session recorded, and replayed: every exchange of one device, and what the signal loop asked of it.

What is noted and replayed is the exchange (who, request, reply), in the order in which requests left: on a line with
several modules a session knows only its own. The line's bytes are noted beside it, for people.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from drivers.api import Aspect, DeviceError, Observation, SignalReadback
from drivers.link.capture_codec import RecordKind
from drivers.link.replay import Player, fault_of, until_given_up
from drivers.link.tape import Tape, encode_fault
from drivers.modbus.actuators import Actuators
from drivers.modbus.bus import BusStatistics, BusTiming, ModbusBus, Priority
from drivers.modbus.lane_io import LaneIo
from drivers.modbus.pdu_codec import Request
from drivers.modbus.settings.line import SerialLine, TcpLine
from drivers.modbus.shared_line import SharedBus

_T = TypeVar("_T")
_LEAVING = frozenset({RecordKind.STAMP, RecordKind.TX})
_OUTCOMES = frozenset({RecordKind.RX, RecordKind.LOST, RecordKind.TIMEOUT})


class TapedBus:
    """A bus whose exchanges are noted; used like the one it stands before."""

    def __init__(self, bus: ModbusBus | SharedBus, tape: Tape) -> None:
        self._bus = bus
        self._tape = tape
        self.line = bus.line

    @property
    def statistics(self) -> BusStatistics:
        """The line's counters."""
        return self._bus.statistics

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self._bus.connected

    @property
    def is_slow(self) -> bool:
        """Whether it is a serial line."""
        return self._bus.is_slow

    async def open(self) -> None:
        """As the bus; noted."""
        try:
            await self._bus.open()
        except asyncio.CancelledError:
            self._tape.note(RecordKind.TIMEOUT)
            raise
        except DeviceError as error:
            self._tape.note(RecordKind.LOST, encode_fault(error))
            raise
        self._tape.note(RecordKind.OPENED)
        self._bus.listeners.append(self._note_bytes)

    def close(self) -> None:
        """As the bus; noted."""
        self._tape.note(RecordKind.CLOSED)
        if self._note_bytes in self._bus.listeners:
            self._bus.listeners.remove(self._note_bytes)
        self._bus.close()

    async def rest(self, unit: int) -> None:
        """As the bus."""
        if isinstance(self._bus, SharedBus):
            await self._bus.rest(unit)

    async def transact(
        self, unit: int, request: Request, priority: Priority, before_send: Callable[[], None] | None = None
    ) -> tuple[int, ...]:
        """One exchange, noted from the moment its request leaves."""
        sent = False

        def leave() -> None:
            nonlocal sent
            if before_send is not None:
                before_send()
            sent = True
            self._bus.last_reply = None
            self._tape.note(RecordKind.TX, _asked(unit, request, priority))

        try:
            values = await self._bus.transact(unit, request, priority, leave)
        except asyncio.CancelledError:
            if sent:
                self._tape.note(RecordKind.TIMEOUT)
            raise
        except DeviceError as error:
            if sent:
                self._note_outcome(error)
            raise
        self._note_outcome(None)
        return values

    def _note_outcome(self, error: DeviceError | None) -> None:
        # A reply that the bus judges to be a fault is judged again in a replay.
        if self._bus.last_reply is not None:
            self._tape.note(RecordKind.RX, self._bus.last_reply)
        elif error is not None:
            self._tape.note(RecordKind.LOST, encode_fault(error))

    def _note_bytes(self, sending: bool, data: bytes) -> None:
        self._tape.note(RecordKind.WIRE, bytes((sending,)) + data)


class _Noted(Protocol):
    """A call noted while it lasts."""

    def __call__(self, do: str, with_: str, call: Awaitable[_T]) -> Awaitable[_T]:
        """The call's own answer."""
        ...


class TapedActuators(Actuators):
    """Outputs whose calls are noted."""

    noted: _Noted

    async def switch(self, role: str, *, on: bool) -> None:
        """As every session's."""
        await self.noted("switch", f"{role} {'on' if on else 'off'}", super().switch(role, on=on))

    async def pulse(self, role: str) -> None:
        """As every session's."""
        await self.noted("pulse", role, super().pulse(role))

    async def read(self) -> Mapping[str, bool]:
        """As every session's."""
        return await self.noted("read_outputs", "", super().read())


class TapedLaneIo(LaneIo):
    """A session that notes what is asked of its head and of its other outputs."""

    def note_calls(self, tape: Tape) -> "TapedLaneIo":
        """From now on, on this tape."""
        self._tape = tape
        self._calls = 0
        self.actuators = TapedActuators(
            self._device, self._plan, self._profile, self._ask, lambda: self._live, self._end_with
        )
        self.actuators.noted = self._noted
        return self

    async def write(self, aspect: Aspect) -> None:
        """As every session."""
        await self._noted("write", aspect.value, super().write(aspect))

    async def read(self) -> SignalReadback:
        """As every session."""
        return await self._noted("read", "", super().read())

    async def _noted(self, do: str, with_: str, call: Awaitable[_T]) -> _T:
        self._calls += 1
        number = self._calls
        self._tape.note(RecordKind.CALL, json.dumps({"number": number, "do": do, "with": with_}).encode())
        try:
            return await call
        except asyncio.CancelledError:
            self._tape.note(RecordKind.CALL_CANCELLED, json.dumps({"number": number}).encode())
            raise


class ReplayBus(ModbusBus):
    """A bus that is the capture: requests leave in the captured order, replies are judged as on a line."""

    def __init__(self, device: str, line: TcpLine | SerialLine, timing: BusTiming, player: Player) -> None:
        super().__init__(device, line, timing)
        self._player = player
        self._open = False

    @property
    def connected(self) -> bool:
        """Whether it was then."""
        return self._open

    async def open(self) -> None:
        """What opening came to then."""
        player = self._player
        record = player.peek("opening the link")
        if record.kind is RecordKind.LOST:
            raise fault_of(player.take(RecordKind.LOST, "opening the link"))
        if record.kind is RecordKind.TIMEOUT:
            await until_given_up(player, RecordKind.TIMEOUT, "opening the link")
        player.take(RecordKind.OPENED, "opening the link")
        self._open = True

    def close(self) -> None:
        """Close; it must have been closed then."""
        self._open = False
        if self._player.stopped is None:
            self._player.take(RecordKind.CLOSED, "closing the link")

    async def rest(self, unit: int) -> None:
        """Nothing: the capture has the pauses."""

    async def transact(
        self, unit: int, request: Request, priority: Priority, before_send: Callable[[], None] | None = None
    ) -> tuple[int, ...]:
        """The exchange as it was, when it was."""
        player = self._player
        asked = _asked(unit, request, priority)
        doing = f"asking unit {unit} function {request.function} at {request.address} ({priority.name.lower()})"
        await player.until(
            doing, lambda kind: kind in (RecordKind.STAMP, RecordKind.TX), lambda: player.next_sent() == asked
        )
        if before_send is not None:
            before_send()
        player.take(RecordKind.TX, doing)
        record = await player.until("", _OUTCOMES.__contains__)
        if record.kind is RecordKind.LOST:
            fault = fault_of(player.take(RecordKind.LOST, doing))
            self._open = self._open and fault.code != "MODBUS_LINK_LOST"
            raise fault
        if record.kind is RecordKind.TIMEOUT:
            if player.caller_gives_up():
                # The exchange noted its end before the call did, in the same breath.
                player.take(RecordKind.TIMEOUT, doing)
                raise asyncio.CancelledError
            await until_given_up(player, RecordKind.TIMEOUT, doing)
        return self.judged(request, player.take(RecordKind.RX, doing).payload)


def callee(session: LaneIo) -> Callable[[str, str, Callable[[Observation], None]], Awaitable[None]]:
    """Asks this session for what the agent's loops asked; a readback is an answer."""

    async def call(do: str, with_: str, emit: Callable[[Observation], None]) -> None:
        if do == "write":
            await session.write(Aspect(with_))
        elif do == "switch":
            role, _, level = with_.partition(" ")
            await session.actuators.switch(role, on=level == "on")
        elif do == "pulse":
            await session.actuators.pulse(with_)
        elif do == "read_outputs":
            await session.actuators.read()
        else:
            emit(await session.read())

    return call


def _asked(unit: int, request: Request, priority: Priority) -> bytes:
    """Priority, unit and request: equal requests of different askers differ in the first."""
    return bytes((priority, unit)) + request.pdu()
