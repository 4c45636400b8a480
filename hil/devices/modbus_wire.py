"""Modbus as a server sees it: MBAP and RTU framing, request PDUs. Pure, strict.

Written from the Modbus Application Protocol 1.1b3, the Messaging on TCP/IP Implementation Guide 1.0b and Modbus over
Serial Line 1.02.
"""

from dataclasses import dataclass

READ_COILS, READ_DISCRETE, READ_HOLDING, READ_INPUT = 1, 2, 3, 4
WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS = 5, 6, 15, 16
BIT_READS = frozenset({READ_COILS, READ_DISCRETE})
WORD_READS = frozenset({READ_HOLDING, READ_INPUT})
BIT_WRITES = frozenset({WRITE_COIL, WRITE_COILS})
WORD_WRITES = frozenset({WRITE_REGISTER, WRITE_REGISTERS})
WRITES = BIT_WRITES | WORD_WRITES

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 1, 2, 3, 4

_LONGEST_PDU = 253


class GarbageError(ValueError):
    """Bytes that cannot be a Modbus TCP frame: the connection has lost its framing."""


class Refusal(Exception):
    """A request answered with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    """One MBAP frame."""

    transaction: int
    unit: int
    pdu: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `values` holds bits (0, 1) or words to write; empty for reads. `word`: what a single coil write
    carries, as sent (some modules take more than on and off)."""

    function: int
    address: int
    count: int
    values: tuple[int, ...] = ()
    word: int = 0


def take_frame(buffer: bytearray) -> Frame | None:
    """Remove and return the first whole frame; None when more bytes are needed. GarbageError on a bad header."""
    if len(buffer) < 8:
        return None
    if buffer[2] or buffer[3]:
        raise GarbageError("protocol id is not 0")
    length = int.from_bytes(buffer[4:6], "big")
    if not 2 <= length <= _LONGEST_PDU + 1:
        raise GarbageError(f"length {length}")
    if len(buffer) < 6 + length:
        return None
    frame = Frame(int.from_bytes(buffer[0:2], "big"), buffer[6], bytes(buffer[7 : 6 + length]))
    del buffer[: 6 + length]
    return frame


def join_frame(transaction: int, unit: int, pdu: bytes, protocol: int = 0) -> bytes:
    """One MBAP frame as bytes."""
    header = transaction.to_bytes(2, "big") + protocol.to_bytes(2, "big") + (len(pdu) + 1).to_bytes(2, "big")
    return header + bytes([unit]) + pdu


def crc16(data: bytes) -> bytes:
    """CRC-16 of the serial line guide, low byte first as sent."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


def join_rtu(unit: int, pdu: bytes) -> bytes:
    """One RTU frame as bytes."""
    body = bytes([unit]) + pdu
    return body + crc16(body)


def open_rtu(frame: bytes) -> Frame | None:
    """What stood between two silences of a serial line, if it is a whole frame with a right CRC."""
    if not 4 <= len(frame) <= _LONGEST_PDU + 3 or crc16(frame[:-2]) != frame[-2:]:
        return None
    return Frame(0, frame[0], frame[1:-2])


def parse_request(pdu: bytes, *, any_coil_word: bool = False) -> Request:
    """The request in a PDU. Refusal(1) for a function not served, Refusal(3) for a malformed one. `any_coil_word`: a
    single coil write may carry more than on and off."""
    function = pdu[0]
    if function not in BIT_READS | WORD_READS | WRITES:
        raise Refusal(ILLEGAL_FUNCTION)
    if len(pdu) < 5:
        raise Refusal(ILLEGAL_VALUE)
    address, second = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    if function in (WRITE_COILS, WRITE_REGISTERS):
        return _parse_many(function, address, second, pdu)
    if len(pdu) != 5:
        raise Refusal(ILLEGAL_VALUE)
    if function == WRITE_COIL:
        if second not in (0x0000, 0xFF00) and not any_coil_word:
            raise Refusal(ILLEGAL_VALUE)
        return Request(function, address, 1, (int(second != 0),), second)
    if function == WRITE_REGISTER:
        return Request(function, address, 1, (second,))
    if not 1 <= second <= (2000 if function in BIT_READS else 125):
        raise Refusal(ILLEGAL_VALUE)
    return Request(function, address, second)


def _parse_many(function: int, address: int, count: int, pdu: bytes) -> Request:
    bits = function == WRITE_COILS
    size = (count + 7) // 8 if bits else 2 * count
    if not 1 <= count <= (1968 if bits else 123) or len(pdu) != 6 + size or pdu[5] != size:
        raise Refusal(ILLEGAL_VALUE)
    body = pdu[6:]
    if bits:
        return Request(function, address, count, tuple(body[i // 8] >> (i % 8) & 1 for i in range(count)))
    return Request(
        function, address, count, tuple(int.from_bytes(body[i : i + 2], "big") for i in range(0, 2 * count, 2))
    )


def bits_reply(function: int, bits: list[int]) -> bytes:
    """The answer to a bit read, padded with zeros."""
    packed = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        packed[index // 8] |= (bit & 1) << (index % 8)
    return bytes([function, len(packed)]) + bytes(packed)


def words_reply(function: int, words: list[int]) -> bytes:
    """The answer to a register read."""
    return bytes([function, 2 * len(words)]) + b"".join(word.to_bytes(2, "big") for word in words)


def write_reply(pdu: bytes) -> bytes:
    """The answer to a write: function and address, then the value (single) or the count (multiple) echoed."""
    return pdu[:5]


def exception_reply(function: int, code: int) -> bytes:
    """An exception answer."""
    return bytes([function | 0x80, code])
