"""SNMPv1 and v2c messages, as far as a sign needs them: GET and SET of integers and octet strings, and the answer.

BER of ITU-T X.690 (definite lengths), PDUs of RFC 1157 and RFC 3416. Pure. A datagram that is no such message raises
ProtocolViolation SNMP_MALFORMED and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from drivers.api import ProtocolViolation

Oid = tuple[int, ...]
Value = int | bytes | None

GET, RESPONSE, SET = 0xA0, 0xA2, 0xA3
MESSAGE_MAX = 8192
_INTEGER, _OCTETS, _NULL, _OID, _SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
_UNSIGNED = frozenset({0x41, 0x42, 0x43, 0x47})  # Counter32, Gauge32, TimeTicks, Uinteger32
_ABSENT = frozenset({_NULL, 0x80, 0x81, 0x82})  # and the exceptions of v2c: there is no such object


@dataclass(frozen=True, slots=True)
class Binding:
    """One object and its value; None where none was given."""

    oid: Oid
    value: Value = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `version` 0 for v1, 1 for v2c; `kind` GET, SET or RESPONSE; `error` and `index` as told."""

    version: int
    community: bytes
    kind: int
    request_id: int
    bindings: tuple[Binding, ...]
    error: int = 0
    index: int = 0


def encode(message: Message) -> bytes:
    """The datagram. ValueError for an object identifier of fewer than two parts."""
    bindings = b"".join(_tlv(_SEQUENCE, _encode_oid(b.oid) + _encode_value(b.value)) for b in message.bindings)
    pdu = _integer(message.request_id) + _integer(message.error) + _integer(message.index) + _tlv(_SEQUENCE, bindings)
    body = _integer(message.version) + _tlv(_OCTETS, message.community) + _tlv(message.kind, pdu)
    return _tlv(_SEQUENCE, body)


def decode(datagram: bytes) -> Message:
    """The message in a datagram. ProtocolViolation."""
    if len(datagram) > MESSAGE_MAX:
        raise _malformed(f"{len(datagram)} bytes")
    whole = _Reader(datagram)
    body = _Reader(whole.take(_SEQUENCE))
    whole.end()
    version, community = body.integer(), body.take(_OCTETS)
    kind, content = body.any()
    body.end()
    if kind not in (GET, SET, RESPONSE):
        raise _malformed(f"PDU {kind:#04x}")
    pdu = _Reader(content)
    request_id, error, index = pdu.integer(), pdu.integer(), pdu.integer()
    listed = _Reader(pdu.take(_SEQUENCE))
    pdu.end()
    bindings = []
    while not listed.done:
        pair = _Reader(listed.take(_SEQUENCE))
        bindings.append(Binding(_decode_oid(pair.take(_OID)), pair.value()))
        pair.end()
    return Message(version, community, kind, request_id, tuple(bindings), error, index)


class _Reader:
    """Takes one element after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._data)

    def any(self) -> tuple[int, bytes]:
        tag, first = self._byte(), self._byte()
        length = first
        if first >= 0x80:
            count = first & 0x7F
            if not 1 <= count <= 2:
                raise _malformed("a length of that form is not used in SNMP")
            length = int.from_bytes(bytes(self._byte() for _ in range(count)), "big")
        if len(self._data) - self._at < length:
            raise _malformed("it is cut off")
        self._at += length
        return tag, self._data[self._at - length : self._at]

    def take(self, tag: int) -> bytes:
        found, content = self.any()
        if found != tag:
            raise _malformed(f"tag {found:#04x} where {tag:#04x} belongs")
        return content

    def integer(self) -> int:
        return _signed(self.take(_INTEGER))

    def value(self) -> Value:
        tag, content = self.any()
        if tag == _INTEGER:
            return _signed(content)
        if tag in _UNSIGNED:
            return int.from_bytes(content, "big")
        return None if tag in _ABSENT else content

    def end(self) -> None:
        if not self.done:
            raise _malformed("something follows its end")

    def _byte(self) -> int:
        if self.done:
            raise _malformed("it is cut off")
        self._at += 1
        return self._data[self._at - 1]


def _signed(content: bytes) -> int:
    if not 1 <= len(content) <= 8:
        raise _malformed("an integer of that size")
    return int.from_bytes(content, "big", signed=True)


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes((size,)) if size < 0x80 else b"\x81" + bytes((size,)) if size < 0x100 else b"\x82" + size.to_bytes(2)
    return bytes((tag,)) + length + content


def _integer(number: int) -> bytes:
    return _tlv(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def _encode_value(value: Value) -> bytes:
    if value is None:
        return _tlv(_NULL, b"")
    return _integer(value) if isinstance(value, int) else _tlv(_OCTETS, value)


def _encode_oid(oid: Oid) -> bytes:
    if len(oid) < 2:
        raise ValueError("an object identifier has two parts or more")
    return _tlv(_OID, b"".join(_base128(part) for part in (oid[0] * 40 + oid[1], *oid[2:])))


def _base128(part: int) -> bytes:
    found = bytearray((part & 0x7F,))
    while part := part >> 7:
        found.insert(0, 0x80 | part & 0x7F)
    return bytes(found)


def _decode_oid(content: bytes) -> Oid:
    parts: list[int] = []
    part = 0
    for byte in content:
        part = part << 7 | byte & 0x7F
        if part >= 1 << 32:
            raise _malformed("an object identifier of that size")
        if byte < 0x80:
            parts.append(part)
            part = 0
    if not content or content[-1] >= 0x80:
        raise _malformed("an object identifier that does not end")
    first = min(parts[0] // 40, 2)
    return (first, parts[0] - 40 * first, *parts[1:])


def named(message: Message, oids: Sequence[Oid]) -> list[Value]:
    """The values of these objects, in this order. ProtocolViolation when the answer is about other objects."""
    if tuple(b.oid for b in message.bindings) != tuple(oids):
        raise ProtocolViolation("SNMP_OTHER_OBJECTS", "the answer is about other objects than were asked for")
    return [b.value for b in message.bindings]


def _malformed(what: str) -> ProtocolViolation:
    return ProtocolViolation("SNMP_MALFORMED", f"not an SNMP message: {what}")
