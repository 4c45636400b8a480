"""SNMP and the CRC of NTCIP 1203 for the virtual sign: own code, table-driven where the driver computes and the like.

`parse` and `build` deal in plain tuples. ValueError for anything that is no SNMP message.
"""

from collections.abc import Iterable
from enum import Enum


class Absent(Enum):
    """What v2c tells in the place of a value that is not there."""

    OBJECT = "noSuchObject"


Asked = tuple[tuple[int, ...], "int | bytes | None"]
Told = tuple[tuple[int, ...], "int | bytes | Absent | None"]
NO_SUCH_NAME, BAD_VALUE, GEN_ERR = 2, 3, 5


def crc_table() -> tuple[int, ...]:
    """Of the reflected CCITT polynomial, x^16 + x^12 + x^5 + 1 (ISO/IEC 3309)."""
    table = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = (value >> 1) ^ 0x8408 if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


_TABLE = crc_table()


def crc_octets(data: bytes) -> bytes:
    """The frame check sequence as it is sent: low octet first, which is how a sign's CRC is written."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return (crc ^ 0xFFFF).to_bytes(2, "little")


def _split(data: bytes) -> list[tuple[int, bytes]]:
    """The elements that stand one after the other."""
    found = []
    while data:
        if len(data) < 2:
            raise ValueError("cut off")
        tag, size, head = data[0], data[1], 2
        if size & 0x80:
            octets = size & 0x7F
            size, head = int.from_bytes(data[2 : 2 + octets], "big"), 2 + octets
        if len(data) < head + size:
            raise ValueError("cut off")
        found.append((tag, data[head : head + size]))
        data = data[head + size :]
    return found


def _one(data: bytes, tag: int) -> bytes:
    elements = _split(data)
    if len(elements) != 1 or elements[0][0] != tag:
        raise ValueError(f"not one element {tag:#x}")
    return elements[0][1]


def parse(datagram: bytes) -> tuple[int, bytes, int, int, list[Asked]]:
    """Version, community, PDU tag, request id, variables."""
    (_, version), (_, community), (kind, pdu) = _split(_one(datagram, 0x30))
    (_, request_id), _, _, (_, listed) = _split(pdu)
    variables: list[Asked] = []
    for _, pair in _split(listed):
        (_, name), (tag, value) = _split(pair)
        read = int.from_bytes(value, "big", signed=True) if tag == 2 else value if tag == 4 else None
        variables.append((_name(name), read))
    return (
        int.from_bytes(version, "big"), community, kind, int.from_bytes(request_id, "big", signed=True), variables,
    )  # fmt: skip


def _name(octets: bytes) -> tuple[int, ...]:
    parts, part = [octets[0] // 40, octets[0] % 40], 0
    for octet in octets[1:]:
        part = part * 128 + (octet & 127)
        if octet < 128:
            parts.append(part)
            part = 0
    return tuple(parts)


def build(version: int, community: bytes, request_id: int, error: int, index: int, variables: Iterable[Told]) -> bytes:
    """A GetResponse."""
    listed = b"".join(_put(0x30, _put(6, _name_octets(name)) + _value(value)) for name, value in variables)
    pdu = _value(request_id) + _value(error) + _value(index) + _put(0x30, listed)
    return _put(0x30, _value(version) + _put(4, community) + _put(0xA2, pdu))


def _put(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 128 | len(octets))) + octets + content


def _value(value: int | bytes | Absent | None) -> bytes:
    if value is None:
        return b"\x05\x00"
    if isinstance(value, Absent):
        return b"\x80\x00"
    if isinstance(value, bytes):
        return _put(4, value)
    size = 1
    while not -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1:
        size += 1
    return _put(2, value.to_bytes(size, "big", signed=True))


def _name_octets(name: tuple[int, ...]) -> bytes:
    octets = bytes((name[0] * 40 + name[1],))
    for part in name[2:]:
        groups = [part & 127]
        while part := part // 128:
            groups.append(part & 127 | 128)
        octets += bytes(reversed(groups))
    return octets
