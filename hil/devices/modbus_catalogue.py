"""The kinds of I/O module a virtual one can be. Zero-based PDU addresses; sources: the makers' manuals, as named.

What a manual does not say is left out: an address that is not in its tables is refused with exception 2.
"""

from collections.abc import Callable, Mapping

from hil.devices.modbus_maps import GenericCoils, RegisterMap, Wago750352, pack, pick, switch_outputs
from hil.devices.modbus_state import WATCHDOG_TRIPPED, ModuleState
from hil.devices.modbus_wire import (
    BIT_READS,
    BIT_WRITES,
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    READ_COILS,
    READ_DISCRETE,
    READ_HOLDING,
    READ_INPUT,
    WRITE_COIL,
    WRITE_COILS,
    WRITE_REGISTER,
    Refusal,
    Request,
)


def _words(request: Request, table: Mapping[int, int]) -> list[int]:
    """Registers of a table; Refusal when one of them is not in it."""
    wanted = range(request.address, request.address + request.count)
    if not all(address in table for address in wanted):
        raise Refusal(ILLEGAL_ADDRESS)
    return [table[address] for address in wanted]


def _ascii(text: str, words: int) -> list[int]:
    padded = text.encode().ljust(2 * words, b"\x00")
    return [int.from_bytes(padded[i : i + 2], "big") for i in range(0, 2 * words, 2)]


class MoxaE1214:
    """Moxa ioLogik E1214: 6 inputs, 6 relays, Modbus TCP. Its watchdog is set on its web page (`host_watchdog`) and fed
    by any request; once tripped it holds the safe values until coil 4144 is written.

    Source: ioLogik E1200 series user's manual, appendix "Modbus/TCP default address mappings", tables of the E1214.
    """

    watchdog_unit_s = 1.0
    any_coil_word = False
    _POINTS = 6
    _FLAG = 4144

    def __init__(self) -> None:
        self._on_width = [1] * self._POINTS
        self._model = dict(enumerate(_ascii("E1214", 10), 5000))

    def read(self, state: ModuleState, request: Request) -> list[int]:
        """Bits or words asked for."""
        if request.function == READ_COILS:
            pulses = [point in state.pulsing for point in range(self._POINTS)]
            flag = [state.watchdog.state == WATCHDOG_TRIPPED]
            return pick(request, (0, state.outputs[: self._POINTS]), (0x10, pulses), (self._FLAG, flag))
        if request.function == READ_DISCRETE:
            return pick(request, (0, state.inputs[: self._POINTS]))
        if request.function == READ_INPUT:
            return _words(request, {0x30: pack(state.inputs[: self._POINTS]), **self._model})
        widths = dict(enumerate(self._on_width, 0x34))
        return _words(request, {0x20: pack(state.outputs[: self._POINTS]), **widths})

    def write(self, state: ModuleState, request: Request) -> None:
        """Carry out a write."""
        tripped = state.watchdog.state == WATCHDOG_TRIPPED
        if request.function in BIT_WRITES:
            if request.address == self._FLAG and request.count == 1:
                if request.values[0]:
                    state.watchdog.stop()
            elif 0x10 <= request.address < 0x10 + self._POINTS and request.count == 1:
                point = request.address - 0x10
                if not tripped and request.values[0]:
                    state.pulse(point, 1.5 * self._on_width[point])
                elif not tripped:
                    state.set_outputs({point: False})
            else:
                switch_outputs(state, request, self._POINTS, 0, ignored=tripped)
        elif request.function == WRITE_REGISTER and 0x34 <= request.address < 0x34 + self._POINTS:
            self._on_width[request.address - 0x34] = request.values[0]
        elif request.function == WRITE_REGISTER and request.address == 0x20:
            if not tripped:
                state.set_outputs({n: bool(request.values[0] >> n & 1) for n in range(self._POINTS)})
        else:
            raise Refusal(ILLEGAL_ADDRESS)


class WaveshareRelay:
    """Waveshare Modbus RTU Relay (8 channels, RS-485), firmware from September 2021 on: no inputs, no watchdog.

    Function 5 at 0x0200 + n: on for the value x 100 ms, then off; at 0x00FF: all; value 0x5500 toggles. Function 1 is
    answered for all eight at once. Source: the maker's wiki, "Modbus RTU Relay", development protocol V2 and V3.
    """

    watchdog_unit_s = 1.0
    any_coil_word = True
    _POINTS = 8
    _VERSION, _ADDRESS = 0x8000, 0x4000

    def read(self, state: ModuleState, request: Request) -> list[int]:
        """Bits or words asked for."""
        if request.function == READ_COILS:
            if (request.address, request.count) != (0, self._POINTS):
                raise Refusal(ILLEGAL_ADDRESS)
            return [int(on) for on in state.outputs[: self._POINTS]]
        if request.function == READ_HOLDING:
            return _words(request, {self._VERSION: 200, self._ADDRESS: 1})
        raise Refusal(ILLEGAL_FUNCTION)

    def write(self, state: ModuleState, request: Request) -> None:
        """Carry out a write."""
        if request.function == WRITE_COILS:
            switch_outputs(state, request, self._POINTS, 0)
        elif request.function == WRITE_COIL:
            self._command(state, request)
        else:
            raise Refusal(ILLEGAL_FUNCTION)

    def _command(self, state: ModuleState, request: Request) -> None:
        group, point, word = request.address & 0xFF00, request.address & 0x00FF, request.word
        if group == 0x0200 and point < self._POINTS:
            if not 1 <= word <= 0x7FFF:
                raise Refusal(ILLEGAL_VALUE)
            state.pulse(point, word * 0.1)
            return
        points = range(self._POINTS) if point == 0xFF else [point]
        if group or point not in (*range(self._POINTS), 0xFF):
            raise Refusal(ILLEGAL_ADDRESS)
        if word not in (0x0000, 0xFF00, 0x5500):
            raise Refusal(ILLEGAL_VALUE)
        state.set_outputs({n: not state.outputs[n] if word == 0x5500 else word == 0xFF00 for n in points})


class IcpDasEt7060:
    """ICP DAS ET-7060: 6 inputs, 6 relays, Modbus TCP. Host watchdog in whole seconds, 5 or more, fed by any request;
    when it trips the outputs take their safe values, and writes go on working without clearing anything.

    Source: ET-7000/PET-7000 user manual, appendix "Modbus register tables" and "Safe value".
    """

    watchdog_unit_s = 1.0
    any_coil_word = False
    _POINTS = 6
    _RESET_CAUSE, _RESETS, _SECONDS, _TRIPS = 555, 556, 557, 558
    _SHORTEST_S = 5

    def read(self, state: ModuleState, request: Request) -> list[int]:
        """Bits or words asked for."""
        if request.function == READ_COILS:
            return pick(request, (0, state.outputs[: self._POINTS]), (515, [False] * self._POINTS))
        if request.function == READ_DISCRETE:
            return pick(request, (0, state.inputs[: self._POINTS]))
        if request.function == READ_INPUT:
            return _words(request, {352: 0x0123, 353: 0x0123})
        watchdog = state.watchdog
        table = {self._SECONDS: watchdog.time_units, self._TRIPS: watchdog.trips}
        return _words(request, {**table, self._RESET_CAUSE: 1, self._RESETS: 0})

    def write(self, state: ModuleState, request: Request) -> None:
        """Carry out a write."""
        if request.function in BIT_WRITES:
            switch_outputs(state, request, self._POINTS, 0)
        elif request.function == WRITE_REGISTER and request.address == self._SECONDS:
            seconds = request.values[0] if request.values[0] >= self._SHORTEST_S else 0
            state.watchdog.time_units = seconds
            state.watchdog.functions = BIT_READS | BIT_WRITES | {READ_HOLDING, READ_INPUT, WRITE_REGISTER}
            if seconds:
                state.watchdog.arm()
            else:
                state.watchdog.stop()
        else:
            raise Refusal(ILLEGAL_ADDRESS)


class Adam6050:
    """Advantech ADAM-6050: 12 inputs, 6 outputs, Modbus TCP. Its communication watchdog and fail-safe values are set
    with the maker's utility (`host_watchdog`); no register tells of them.

    Source: ADAM-6000 user manual, appendix "I/O Modbus mapping table", ADAM-6050.
    """

    watchdog_unit_s = 0.1
    any_coil_word = False
    _INPUTS, _OUTPUTS, _FIRST_OUTPUT = 12, 6, 16

    def read(self, state: ModuleState, request: Request) -> list[int]:
        """Bits or words asked for."""
        if request.function in BIT_READS:
            inputs, outputs = state.inputs[: self._INPUTS], state.outputs[: self._OUTPUTS]
            return pick(request, (0, inputs), (self._FIRST_OUTPUT, outputs))
        table = {210: 0x6050, 211: 0x0000, 300: pack(state.inputs[: self._INPUTS])}
        return _words(request, {**table, 302: pack(state.outputs[: self._OUTPUTS])})

    def write(self, state: ModuleState, request: Request) -> None:
        """Carry out a write."""
        if request.function in BIT_WRITES:
            switch_outputs(state, request, self._OUTPUTS, self._FIRST_OUTPUT)
        elif request.function == WRITE_REGISTER and request.address == 302:
            state.set_outputs({n: bool(request.values[0] >> n & 1) for n in range(self._OUTPUTS)})
        else:
            raise Refusal(ILLEGAL_ADDRESS)


PROFILES: Mapping[str, Callable[[], RegisterMap]] = {
    "adam_6050": Adam6050,
    "generic_coils": GenericCoils,
    "icpdas_et7060": IcpDasEt7060,
    "moxa_e1214": MoxaE1214,
    "wago_750_352": Wago750352,
    "waveshare_relay_8ch": WaveshareRelay,
}
"""By the name of the profile in `firmware_configs/modbus`."""
