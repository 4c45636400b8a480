"""Modbus requests and the strict match of replies to them. Pure.

Source: Modbus Application Protocol 1.1b3. A reply counts only if its function, address, value or count are the ones
asked for: RTU has no transaction id, and a late reply must never acknowledge a newer command.
"""

from dataclasses import dataclass

READ_COILS, READ_DISCRETE_INPUTS, READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS = 1, 2, 3, 4
WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS = 5, 6, 15, 16

_MOST_BITS_READ, _MOST_WORDS_READ = 2000, 125
_MOST_BITS_WRITTEN, _MOST_WORDS_WRITTEN = 1968, 123

EXCEPTION_NAMES = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target failed to respond",
}


class ReplyMismatchError(ValueError):
    """The reply is not the answer to this request."""


class ExceptionReplyError(Exception):
    """The device refused the request. `code` is the Modbus exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code} ({EXCEPTION_NAMES.get(code, 'unknown')})")
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `quantity` is the number of bits or registers, or for single writes the 16-bit value; `data` the
    body of a multiple write."""

    function: int
    address: int
    quantity: int
    data: bytes = b""

    def pdu(self) -> bytes:
        """The request as sent, function code first."""
        head = bytes([self.function]) + self.address.to_bytes(2, "big") + self.quantity.to_bytes(2, "big")
        return head + bytes([len(self.data)]) + self.data if self.data else head

    @property
    def is_write(self) -> bool:
        """Whether it changes the device."""
        return self.function in (WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS)


def read_bits(function: int, address: int, count: int) -> Request:
    """Read coils (1) or discrete inputs (2). ValueError out of range."""
    if function not in (READ_COILS, READ_DISCRETE_INPUTS):
        raise ValueError(f"function {function} does not read bits")
    _check_range(address, count, _MOST_BITS_READ)
    return Request(function, address, count)


def read_registers(function: int, address: int, count: int) -> Request:
    """Read holding (3) or input (4) registers. ValueError out of range."""
    if function not in (READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS):
        raise ValueError(f"function {function} does not read registers")
    _check_range(address, count, _MOST_WORDS_READ)
    return Request(function, address, count)


def write_bits(address: int, values: tuple[bool, ...]) -> Request:
    """Write coils with one request (15). ValueError out of range."""
    _check_range(address, len(values), _MOST_BITS_WRITTEN)
    packed = bytearray((len(values) + 7) // 8)
    for index, value in enumerate(values):
        packed[index // 8] |= value << (index % 8)
    return Request(WRITE_COILS, address, len(values), bytes(packed))


def write_bit(address: int, value: bool) -> Request:
    """Write one coil (5). ValueError out of range."""
    _check_range(address, 1, 1)
    return Request(WRITE_COIL, address, 0xFF00 if value else 0)


def pulse_bit(address: int, units: int) -> Request:
    """Start a timed pulse: function 5 with a duration in place of 0xFF00, as some relay modules take it."""
    _check_range(address, 1, 1)
    if not 1 <= units <= 0x7FFF:
        raise ValueError(f"pulse of {units} units")
    return Request(WRITE_COIL, address, units)


def write_register(address: int, value: int) -> Request:
    """Write one holding register (6). ValueError out of range."""
    _check_range(address, 1, 1)
    if not 0 <= value <= 0xFFFF:
        raise ValueError(f"register value {value}")
    return Request(WRITE_REGISTER, address, value)


def match_reply(request: Request, reply: bytes) -> tuple[int, ...]:
    """Bits (0, 1) or registers read, () for a write. `reply` is the PDU, function code first.

    ExceptionReplyError when the device refused; ReplyMismatchError for anything that is not the answer, including bits
    set in the padding.
    """
    if len(reply) < 2:
        raise ReplyMismatchError(f"reply of {len(reply)} bytes")
    if reply[0] == request.function | 0x80:
        if len(reply) != 2:
            raise ReplyMismatchError("exception reply of a wrong length")
        raise ExceptionReplyError(reply[1])
    if reply[0] != request.function:
        raise ReplyMismatchError(f"function {reply[0]} answers function {request.function}")
    if request.is_write:
        if reply != request.pdu()[:5]:
            raise ReplyMismatchError(f"echo {reply[1:].hex()} answers {request.pdu()[1:5].hex()}")
        return ()
    if request.function in (READ_COILS, READ_DISCRETE_INPUTS):
        return _bits_of(reply, request.quantity)
    return _registers_of(reply, request.quantity)


def _bits_of(reply: bytes, count: int) -> tuple[int, ...]:
    size = (count + 7) // 8
    if reply[1] != size or len(reply) != 2 + size:
        raise ReplyMismatchError(f"{len(reply) - 2} bytes answer a read of {count} bits")
    packed = int.from_bytes(reply[2:], "little")
    if packed >> count:
        raise ReplyMismatchError(f"padding of a read of {count} bits is not zero")
    return tuple(packed >> index & 1 for index in range(count))


def _registers_of(reply: bytes, count: int) -> tuple[int, ...]:
    if reply[1] != 2 * count or len(reply) != 2 + 2 * count:
        raise ReplyMismatchError(f"{len(reply) - 2} bytes answer a read of {count} registers")
    return tuple(int.from_bytes(reply[i : i + 2], "big") for i in range(2, len(reply), 2))


def _check_range(address: int, count: int, most: int) -> None:
    if not 1 <= count <= most or address < 0 or address + count > 0x10000:
        raise ValueError(f"{count} items at {address} are out of range (at most {most})")
