"""LLRP (GS1 Low Level Reader Protocol 1.0.1 and 1.1): messages in a byte stream, parameters in a message. Pure.

All integers are big-endian. Parameters are walked level by level by who knows what belongs there, never by recursion:
no input can nest deeper than the decoders do. Tag reports are in `llrp_report_codec`, requests and answers in
`llrp_exchange_codec`.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from drivers.api import ProtocolViolation

HEADER_SIZE = 10
MAX_MESSAGE = 1 << 20
VERSIONS = frozenset((1, 2))  # 1.0.1 and 1.1

GET_READER_CAPABILITIES = 1
GET_READER_CONFIG = 2
SET_READER_CONFIG = 3
CLOSE_CONNECTION_RESPONSE = 4
CLOSE_CONNECTION = 14
ADD_ROSPEC = 20
DELETE_ROSPEC = 21
START_ROSPEC = 22
STOP_ROSPEC = 23
ENABLE_ROSPEC = 24
DISABLE_ROSPEC = 25
GET_ROSPECS = 26
ADD_ACCESSSPEC = 40
DELETE_ACCESSSPEC = 41
ENABLE_ACCESSSPEC = 42
RO_ACCESS_REPORT = 61
KEEPALIVE = 62
READER_EVENT_NOTIFICATION = 63
ENABLE_EVENTS_AND_REPORTS = 64
KEEPALIVE_ACK = 72
ERROR_MESSAGE = 100
CUSTOM_MESSAGE = 1023

ANSWERS = {
    GET_READER_CAPABILITIES: 11,
    GET_READER_CONFIG: 12,
    SET_READER_CONFIG: 13,
    CLOSE_CONNECTION: CLOSE_CONNECTION_RESPONSE,
    ADD_ROSPEC: 30,
    DELETE_ROSPEC: 31,
    START_ROSPEC: 32,
    STOP_ROSPEC: 33,
    ENABLE_ROSPEC: 34,
    DISABLE_ROSPEC: 35,
    GET_ROSPECS: 36,
    ADD_ACCESSSPEC: 50,
    DELETE_ACCESSSPEC: 51,
    ENABLE_ACCESSSPEC: 52,
    CUSTOM_MESSAGE: CUSTOM_MESSAGE,
}
"""Which type answers which request; a request that is not here has no answer."""

# Body sizes of the parameters that carry no length (TV encoding).
TV_SIZES = {
    1: 2,  # antenna
    2: 8,  # first seen, UTC
    3: 8,  # first seen, uptime
    4: 8,  # last seen, UTC
    5: 8,  # last seen, uptime
    6: 1,  # peak RSSI
    7: 2,  # channel index
    8: 2,  # seen count
    9: 4,  # ROSpec
    10: 2,  # inventory parameter spec
    11: 2,  # tag CRC
    12: 2,  # PC
    13: 12,  # EPC-96
    14: 2,  # spec index
    15: 2,  # client request result
    16: 4,  # AccessSpec
    17: 2,  # OpSpec
    18: 4,  # singulation details
    19: 2,  # XPC word 1
    20: 2,  # XPC word 2
}

P_LLRP_STATUS = 287
P_CUSTOM = 1023

IMPINJ = 25882
"""Impinj's IANA private enterprise number."""

STATUS_NAMES = {
    0: "success",
    100: "parameter error in the message",
    101: "field error in the message",
    102: "unexpected parameter",
    103: "missing parameter",
    104: "duplicate parameter",
    105: "parameter overflow",
    106: "field overflow",
    107: "unknown parameter",
    108: "unknown field",
    109: "unsupported message",
    110: "unsupported version",
    111: "unsupported parameter",
    112: "unexpected message",
    200: "parameter error in a parameter",
    201: "field error in a parameter",
    202: "unexpected parameter in a parameter",
    203: "missing parameter in a parameter",
    204: "duplicate parameter in a parameter",
    205: "parameter overflow in a parameter",
    206: "field overflow in a parameter",
    207: "unknown parameter in a parameter",
    208: "unknown field in a parameter",
    209: "unsupported parameter in a parameter",
    300: "invalid field",
    301: "field out of range",
    401: "device error",
}
DEVICE_ERROR = 401

_TEXT_MAX = 160
_HEADER = Struct(">HII")
_TLV = Struct(">HH")
_CUSTOM = Struct(">HHII")


class Message(NamedTuple):
    """One LLRP message. `body` may hold identity values: never log it."""

    type: int
    id: int
    body: bytes
    version: int = 1

    def __repr__(self) -> str:
        return f"Message(type={self.type}, id={self.id}, body=<{len(self.body)} bytes>)"


class Parameter(NamedTuple):
    """Where a parameter's body is in its message; `vendor` and `subtype` of custom ones (their body begins after
    both), else 0."""

    type: int
    start: int
    end: int
    vendor: int = 0
    subtype: int = 0


class Status(NamedTuple):
    """What the reader says about a request."""

    code: int
    text: str

    def __str__(self) -> str:
        name = STATUS_NAMES.get(self.code, "unlisted status")
        return f"{name} ({self.code})" + (f": {self.text}" if self.text else "")


class MessageSplitter:
    """Cuts messages out of a byte stream. Holds one unfinished message of at most 1 MiB.

    There is no way back into step: after ProtocolViolation RFID_GARBLED the connection is of no more use.
    """

    __slots__ = ("_at", "_buffer", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self._buffer = b""
        self._at = 0

    @property
    def pending(self) -> int:
        """Bytes held that no message was made of yet."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Add bytes as they arrived."""
        self._buffer = self._buffer[self._at :] + data if self.pending else data
        self._at = 0

    def take(self) -> Message | None:
        """The next whole message. ProtocolViolation RFID_GARBLED when what comes is no LLRP header."""
        at = self._at
        held = len(self._buffer) - at
        if held < HEADER_SIZE:
            return None
        first, length, message_id = _HEADER.unpack_from(self._buffer, at)
        version = first >> 10
        if version not in VERSIONS or not HEADER_SIZE <= length <= MAX_MESSAGE:
            raise ProtocolViolation(
                "RFID_GARBLED",
                f"no LLRP message: version {version}, length {length}",
                "check that the address and port in lane.yaml are the reader's LLRP port",
            )
        if held < length:
            return None
        self._at = at + length
        self.messages += 1
        return Message(first & 0x3FF, message_id, self._buffer[at + HEADER_SIZE : at + length], version)


def encode_message(kind: int, message_id: int, body: bytes = b"", version: int = 1) -> bytes:
    """One message. ValueError when it is longer than 1 MiB or the id is no u32."""
    length = HEADER_SIZE + len(body)
    if length > MAX_MESSAGE or not 0 <= message_id <= 0xFFFFFFFF:
        raise ValueError(f"a message of {length} bytes with id {message_id} cannot be sent")
    return _HEADER.pack(version << 10 | kind, length, message_id) + body


def tlv(kind: int, *parts: bytes) -> bytes:
    """One parameter with its length. ValueError when it is longer than 65535 bytes."""
    body = b"".join(parts)
    if len(body) + 4 > 0xFFFF:
        raise ValueError(f"parameter {kind} is {len(body)} bytes")
    return _TLV.pack(kind, len(body) + 4) + body


def custom(vendor: int, subtype: int, body: bytes = b"") -> bytes:
    """One vendor parameter."""
    return _CUSTOM.pack(P_CUSTOM, len(body) + 12, vendor, subtype) + body


def parameters(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Parameter]:
    """The parameters between `start` and `end`, one level. ProtocolViolation RFID_BAD_REPLY when one does not fit."""
    at = start
    stop = len(data) if end is None else end
    while at < stop:
        found = parameter_at(data, at, stop)
        yield found
        at = found.end


def parameter_at(data: bytes, at: int, stop: int) -> Parameter:
    """The parameter that begins at `at`. ProtocolViolation RFID_BAD_REPLY when it does not fit before `stop`."""
    first = data[at]
    if first & 0x80:
        kind = first & 0x7F
        end = at + 1 + TV_SIZES.get(kind, stop)
        if end > stop:
            raise broken(f"parameter {kind}")
        return Parameter(kind, at + 1, end)
    if at + 4 > stop:
        raise broken("parameter header")
    kind, length = _TLV.unpack_from(data, at)
    kind &= 0x3FF
    end = at + length
    if length < 4 or end > stop:
        raise broken(f"length of parameter {kind}")
    if kind != P_CUSTOM:
        return Parameter(kind, at + 4, end)
    if length < 12:
        raise broken("custom parameter")
    _, _, vendor, subtype = _CUSTOM.unpack_from(data, at)
    return Parameter(kind, at + 12, end, vendor, subtype)


def broken(what: str) -> ProtocolViolation:
    """The fault of a message whose inside breaks its layout."""
    return ProtocolViolation("RFID_BAD_REPLY", f"the reader's {what} breaks its layout", "update the firmware")


def text_at(data: bytes, at: int, end: int) -> tuple[str, int]:
    """A counted UTF-8 text made safe to show, and where it ends. ProtocolViolation RFID_BAD_REPLY when too long."""
    stop = at + 2 + int.from_bytes(data[at : at + 2], "big")
    if at + 2 > end or stop > end:
        raise broken("text")
    text = data[at + 2 : stop].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text[:_TEXT_MAX]).strip(), stop


def decode_status(body: bytes, start: int = 0) -> Status:
    """The status of an answer whose parameters begin at `start`. ProtocolViolation RFID_BAD_REPLY when it has none."""
    for found in parameters(body, start):
        if found.type == P_LLRP_STATUS:
            if found.end - found.start < 4:
                break
            code = int.from_bytes(body[found.start : found.start + 2], "big")
            return Status(code, text_at(body, found.start + 2, found.end)[0])
    raise broken("status")
