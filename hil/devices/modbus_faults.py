"""Fault switches of the virtual Modbus module: what goes wrong on the wire, how often, and for which requests."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hil.devices.modbus_wire import WRITES, exception_reply, join_frame, join_rtu

WIRE_FAULTS = (
    "mute",
    "exception",
    "wrong_echo",
    "wrong_function",
    "wrong_transaction",
    "zero_transaction",
    "wrong_unit",
    "wrong_protocol",
    "wrong_length",
    "delay",
    "drop",
    "noise",
    "bad_crc",
    "half",
    "echo",
    "twice",
)
"""`drop`, the transaction and protocol faults concern TCP; those after `drop` a serial line."""

_NOISE = b"\x00\x5a\xff"


@dataclass(frozen=True, slots=True)
class WireFault:
    """One active fault. `times` left (None: until cleared); `value`: exception code or delay in ms."""

    times: int | None
    writes_only: bool
    functions: frozenset[int]
    value: int

    def concerns(self, function: int) -> bool:
        """Whether a request of this function code is hit."""
        if self.functions:
            return function in self.functions
        return not self.writes_only or function in WRITES


class WireFaults:
    """The set of active faults."""

    def __init__(self) -> None:
        self._active: dict[str, WireFault] = {}

    def set(self, request: Mapping[str, Any]) -> None:
        """Switch one on: {"fault": NAME, "times"?, "writes_only"?, "functions"?, "code"? | "ms"?}.

        ValueError: no such fault.
        """
        name = request["fault"]
        if name not in WIRE_FAULTS:
            raise ValueError(f"unknown fault {name}; known: {', '.join(WIRE_FAULTS)}")
        self._active[name] = WireFault(
            request.get("times"),
            bool(request.get("writes_only", False)),
            frozenset(request.get("functions", ())),
            int(request.get("code", request.get("ms", 4))),
        )

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()

    def report(self) -> list[str]:
        """Names of the active ones."""
        return sorted(self._active)

    def take(self, name: str, function: int) -> WireFault | None:
        """The fault if it hits this request; counts down."""
        fault = self._active.get(name)
        if fault is None or not fault.concerns(function):
            return None
        if fault.times is not None:
            if fault.times <= 1:
                del self._active[name]
            else:
                self._active[name] = replace(fault, times=fault.times - 1)
        return fault

    def tcp_frame(self, function: int, transaction: int, unit: int, reply: bytes) -> bytes:
        """The MBAP frame to send for a reply, made wrong as switched."""
        if not self._active:
            return join_frame(transaction, unit, reply)
        unit, reply = self._spoilt(function, unit, reply)
        if self.take("wrong_transaction", function):
            transaction = transaction + 7 & 0xFFFF
        if self.take("zero_transaction", function):
            transaction = 0
        protocol = 0x5450 if self.take("wrong_protocol", function) else 0
        return join_frame(transaction, unit, reply, protocol)

    def rtu_frame(self, request: bytes, unit: int, reply: bytes) -> bytes:
        """What goes on a serial line for a reply, made wrong as switched. `request`: the PDU answered."""
        function = request[0]
        if not self._active:
            return join_rtu(unit, reply)
        asked = join_rtu(unit, request)
        frame = join_rtu(*self._spoilt(function, unit, reply))
        if self.take("bad_crc", function):
            frame = frame[:-1] + bytes([frame[-1] ^ 0x10])
        if self.take("half", function):
            frame = frame[: len(frame) // 2]
        if self.take("twice", function):
            frame = frame + frame
        if self.take("noise", function):
            frame = _NOISE + frame
        return asked + frame if self.take("echo", function) else frame

    def _spoilt(self, function: int, unit: int, reply: bytes) -> tuple[int, bytes]:
        if self.take("wrong_function", function):
            reply = bytes([function ^ 0x03 or 1]) + reply[1:]
        if self.take("wrong_echo", function):
            reply = reply[:-1] + bytes([reply[-1] ^ 0x01])
        if self.take("wrong_length", function):
            reply = reply + b"\x00"
        return (unit ^ 0x02 if self.take("wrong_unit", function) else unit), reply

    def refusal(self, function: int) -> bytes | None:
        """An exception answer if one is switched on for this request."""
        fault = self.take("exception", function)
        return exception_reply(function, fault.value) if fault else None
