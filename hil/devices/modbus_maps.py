"""Register maps of the virtual Modbus modules: which address means what. Zero-based PDU addresses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from hil.devices.modbus_state import OUTPUTS, WATCHDOG_RUNNING, WATCHDOG_TRIPPED, ModuleState
from hil.devices.modbus_wire import (
    BIT_READS,
    BIT_WRITES,
    DEVICE_FAILURE,
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    READ_COILS,
    READ_INPUT,
    WRITE_COIL,
    WRITE_COILS,
    Refusal,
    Request,
)


class RegisterMap(Protocol):
    """How one kind of module answers. Both raise Refusal. `any_coil_word`: function 5 takes more than on and off."""

    watchdog_unit_s: float
    any_coil_word: bool

    def read(self, state: ModuleState, request: Request) -> list[int]:
        """Bits or words asked for."""
        ...

    def write(self, state: ModuleState, request: Request) -> None:
        """Carry out a write."""
        ...


def pick(request: Request, *blocks: tuple[int, Sequence[bool]]) -> list[int]:
    """Bits of the block the request lies wholly in. Refusal when there is none."""
    for first, bits in blocks:
        offset = _span(request, first, len(bits))
        if offset is not None:
            return [int(bit) for bit in bits[offset : offset + request.count]]
    raise Refusal(ILLEGAL_ADDRESS)


def switch_outputs(state: ModuleState, request: Request, count: int, *firsts: int, ignored: bool = False) -> None:
    """Switch outputs whose block of `count` coils begins at one of `firsts`; `ignored`: answered without effect.
    Refusal when the request lies in none."""
    for first in firsts:
        offset = _span(request, first, count)
        if offset is not None:
            if not ignored:
                state.set_outputs({offset + index: bool(bit) for index, bit in enumerate(request.values)})
            return
    raise Refusal(ILLEGAL_ADDRESS)


def pack(bits: Sequence[bool]) -> int:
    """Bits as one word, the first lowest."""
    return sum(1 << index for index, bit in enumerate(bits) if bit)


def _span(request: Request, first: int, size: int) -> int | None:
    """Offset of the request inside a block, or None when it does not lie wholly in it."""
    offset = request.address - first
    return offset if offset >= 0 and offset + request.count <= size else None


class Wago750352:
    """WAGO 750-352 fieldbus coupler with 16 digital inputs and 8 digital outputs, as its manual describes it.

    Reads at 0.. are inputs, at 512.. (0x0200) the output image; writes go to either. Registers from 0x1000 are the
    watchdog, 0x2010-0x2012 the identity. Tripped: outputs off and every process-data request refused with exception 4.
    """

    watchdog_unit_s = 0.1
    any_coil_word = False
    _READ_BACK = 0x0200
    _CONFIGURATION = 0x1000

    def __init__(self, series: int = 750, item: int = 352, firmware: int = 0x0107, mac: str = "0030de000001") -> None:
        self._identity = {0x2010: firmware, 0x2011: series, 0x2012: item}
        self.become(mac)
        self._stop_primed = False
        self._trigger = 0
        self._writers: Mapping[int, Callable[[ModuleState, int], None]] = {
            0x1000: self._set_time,
            0x1001: self._set_mask,
            0x1003: self._set_trigger,
            0x1005: self._stop_in_two,
            0x1007: self._restart,
            0x1008: self._stop_at_once,
        }

    def become(self, mac: str) -> None:
        """Another module of this kind, by its MAC address (12 hex digits)."""
        raw = bytes.fromhex(mac)
        self._identity.update({0x1031 + at: int.from_bytes(raw[2 * at : 2 * at + 2], "big") for at in range(3)})

    def read(self, state: ModuleState, request: Request) -> list[int]:
        """Bits or words asked for."""
        if request.function in BIT_READS:
            self._check_alive(state)
            return pick(request, (0, state.inputs), (self._READ_BACK, state.outputs))
        if request.address >= self._CONFIGURATION:
            return [self._register(state, request.address + index) for index in range(request.count)]
        self._check_alive(state)
        if request.count == 1 and request.address in (0, self._READ_BACK):
            return [pack(state.inputs if request.address == 0 else state.outputs)]
        raise Refusal(ILLEGAL_ADDRESS)

    def write(self, state: ModuleState, request: Request) -> None:
        """Carry out a write."""
        if request.function in BIT_WRITES:
            self._check_alive(state)
            switch_outputs(state, request, OUTPUTS, 0, self._READ_BACK)
        elif request.address >= self._CONFIGURATION:
            for index, value in enumerate(request.values):
                writer = self._writers.get(request.address + index)
                if writer is None:
                    raise Refusal(ILLEGAL_ADDRESS)
                writer(state, value)
        else:
            self._check_alive(state)
            if request.count != 1 or request.address not in (0, self._READ_BACK):
                raise Refusal(ILLEGAL_ADDRESS)
            state.set_outputs({index: bool(request.values[0] >> index & 1) for index in range(OUTPUTS)})

    @staticmethod
    def _check_alive(state: ModuleState) -> None:
        if state.watchdog.state == WATCHDOG_TRIPPED:
            raise Refusal(DEVICE_FAILURE)

    def _register(self, state: ModuleState, address: int) -> int:
        if address in self._identity:
            return self._identity[address]
        watchdog = state.watchdog
        words = {
            0x1000: watchdog.time_units,
            0x1001: sum(1 << (function - 1) for function in watchdog.functions),
            0x1003: self._trigger,
            0x1004: watchdog.smallest_units,
            0x1006: watchdog.state,
            0x102A: state.connections,
        }
        if address not in words:
            raise Refusal(ILLEGAL_ADDRESS)
        return words[address]

    def _set_time(self, state: ModuleState, value: int) -> None:
        self._check_stopped(state)
        state.watchdog.time_units = value

    def _set_mask(self, state: ModuleState, value: int) -> None:
        self._check_stopped(state)
        state.watchdog.functions = frozenset(bit + 1 for bit in range(16) if value >> bit & 1)
        if value:
            state.watchdog.arm()

    def _set_trigger(self, state: ModuleState, value: int) -> None:
        if value == self._trigger:
            return
        self._trigger = value
        if state.watchdog.state == WATCHDOG_RUNNING:
            state.watchdog.kick()
        elif value:
            state.watchdog.arm()

    def _stop_in_two(self, state: ModuleState, value: int) -> None:
        if value == 0x5555 and self._stop_primed:
            state.watchdog.stop()
        self._stop_primed = value == 0xAAAA

    @staticmethod
    def _stop_at_once(state: ModuleState, value: int) -> None:
        if value in (0x55AA, 0xAA55):
            state.watchdog.stop()

    @staticmethod
    def _restart(state: ModuleState, value: int) -> None:
        if value == 1:
            state.watchdog.arm()

    @staticmethod
    def _check_stopped(state: ModuleState) -> None:
        if state.watchdog.state == WATCHDOG_RUNNING:
            raise Refusal(DEVICE_FAILURE)


class GenericCoils:
    """A plain map: coils 0-7 (read back at the same place), discrete inputs 0-15, and a watchdog in holding registers:
    100 time in 10 ms (writing it starts the watchdog and clears a trip, 0 stops it), 101 state. Coil writes feed it.
    Tripped: outputs off, coil writes refused with exception 4, reads go on.
    """

    watchdog_unit_s = 0.01
    any_coil_word = False

    def read(self, state: ModuleState, request: Request) -> list[int]:
        """Bits or words asked for."""
        if request.function in BIT_READS:
            return pick(request, (0, state.outputs if request.function == READ_COILS else state.inputs))
        if request.function == READ_INPUT:
            raise Refusal(ILLEGAL_FUNCTION)
        words = [state.watchdog.time_units, state.watchdog.state]
        offset = _span(request, 100, len(words))
        if offset is None:
            raise Refusal(ILLEGAL_ADDRESS)
        return words[offset : offset + request.count]

    def write(self, state: ModuleState, request: Request) -> None:
        """Carry out a write."""
        if request.function in BIT_WRITES:
            if state.watchdog.state == WATCHDOG_TRIPPED:
                raise Refusal(DEVICE_FAILURE)
            switch_outputs(state, request, OUTPUTS, 0)
        elif request.address == 100 and request.count == 1:
            state.watchdog.time_units = request.values[0]
            state.watchdog.functions = frozenset({WRITE_COIL, WRITE_COILS})
            if request.values[0]:
                state.watchdog.arm()
            else:
                state.watchdog.stop()
        else:
            raise Refusal(ILLEGAL_ADDRESS)
