"""NTCIP 1203 v03 (dynamic message signs): objects, activation and identification codes, the message's CRC. Pure.

Object numbers below 1.3.6.1.4.1.1206.4.2.3 (dms). `dmsMessageCRC` is CRC-16 of ISO/IEC 3309 over the MULTI string,
beacon and pixel service, its octets exchanged.
"""

from dataclasses import dataclass
from enum import IntEnum

from .snmp_codec import Oid

_DMS: Oid = (1, 3, 6, 1, 4, 1, 1206, 4, 2, 3)
SYS_DESCR: Oid = (1, 3, 6, 1, 2, 1, 1, 1, 0)


def _scalar(*numbers: int) -> Oid:
    return (*_DMS, *numbers, 0)


CONTROL_MODE = _scalar(6, 1)
ACTIVATE = _scalar(6, 3)
TABLE_SOURCE = _scalar(6, 5)
SHORT_POWER_RECOVERY, LONG_POWER_RECOVERY = _scalar(6, 8), _scalar(6, 9)
RESET, COMM_LOSS, COMM_LOSS_TIME = _scalar(6, 11), _scalar(6, 12), _scalar(6, 13)
END_DURATION = _scalar(6, 15)
ACTIVATE_ERROR = _scalar(6, 17)
SHORT_ERROR_STATUS = _scalar(9, 7, 1)
DEFAULTS = (SHORT_POWER_RECOVERY, LONG_POWER_RECOVERY, RESET, COMM_LOSS, END_DURATION)
"""What is shown when nobody tells the sign anything: each names a message."""

CENTRAL, MODIFY_REQ, VALIDATE_REQ, VALID = 4, 6, 7, 4
"""dmsControlMode central; dmsMessageStatus modifyReq, validateReq, valid."""
VALIDATING = frozenset({2, 3, 6, 7})


class Memory(IntEnum):
    """dmsMessageMemoryType."""

    CHANGEABLE = 3
    BLANK = 7


class Column(IntEnum):
    """Columns of dmsMessageTable."""

    MULTI = 3
    OWNER = 4
    CRC = 5
    BEACON = 6
    PIXEL_SERVICE = 7
    PRIORITY = 8
    STATUS = 9


_ERRORS = {
    1: "communications", 2: "power", 3: "attached device", 4: "lamp", 5: "pixel", 6: "photocell", 7: "message",
    8: "controller", 9: "temperature", 10: "climate control", 11: "critical temperature", 12: "drum rotor",
    13: "door open", 14: "humidity",
}  # fmt: skip
"""Bits of shortErrorStatus."""
_REFUSALS = {
    3: "what it shows has a higher priority", 4: "the message is not valid", 5: "it has no such memory",
    6: "it has no such message", 7: "its message has another CRC", 8: "a mistake in the message's text",
    9: "it is under local control", 10: "it is under central control", 11: "central overrides it",
}  # fmt: skip
"""dmsActivateMsgError: why a message was not activated."""


def message_object(column: Column, number: int) -> Oid:
    """A cell of dmsMessageTable for a changeable message."""
    return (*_DMS, 5, 8, 1, column, Memory.CHANGEABLE, number)


def message_crc(multi: bytes, beacon: int = 0, pixel_service: int = 0) -> int:
    """dmsMessageCRC of a message."""
    crc = 0xFFFF
    for byte in (*multi, beacon, pixel_service):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    crc ^= 0xFFFF
    return crc >> 8 | (crc & 0xFF) << 8


@dataclass(frozen=True, slots=True)
class MessageId:
    """MessageIDCode: which message, and that it is the one meant."""

    memory: int
    number: int
    crc: int

    def encode(self) -> bytes:
        """Five octets."""
        return bytes((self.memory,)) + self.number.to_bytes(2) + self.crc.to_bytes(2)


BLANK = MessageId(Memory.BLANK, 1, 0)


def decode_message_id(octets: bytes) -> MessageId | None:
    """A MessageIDCode; None for octets that are none."""
    if len(octets) != 5:
        return None
    return MessageId(octets[0], int.from_bytes(octets[1:3]), int.from_bytes(octets[3:5]))


def activation(message: MessageId, minutes: int, priority: int, source: bytes) -> bytes:
    """MessageActivationCode: twelve octets. `minutes` 1..65534 (65535 would be for ever), `source` an IPv4 address."""
    if not 1 <= minutes < 0xFFFF or len(source) != 4:
        raise ValueError("a duration in minutes that ends, and a source of four octets")
    return minutes.to_bytes(2) + bytes((priority,)) + message.encode() + source


def refusal_of(error: int) -> str:
    """What dmsActivateMsgError tells, in words; "" when it tells nothing."""
    return _REFUSALS.get(error, "")


def errors_of(status: int) -> tuple[str, ...]:
    """What shortErrorStatus tells, in words."""
    return tuple(words for bit, words in _ERRORS.items() if status >> bit & 1)
