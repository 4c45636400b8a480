"""LLRP as the reader's side makes and reads it: an encoder of its own, checked against published messages.

Plain concatenation on purpose: it shares no shortcut with any client.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import pack, unpack

IMPINJ = 25882
_TV_BODY = {1: 2, 2: 8, 3: 8, 4: 8, 5: 8, 6: 1, 7: 2, 8: 2, 9: 4, 10: 2, 11: 2, 12: 2, 13: 12, 14: 2, 16: 4, 17: 2}


class WireError(Exception):
    """A client's message that breaks its layout."""


@dataclass(frozen=True, slots=True)
class Request:
    """One message of the client."""

    type: int
    id: int
    body: bytes


def message(kind: int, number: int, *parts: bytes) -> bytes:
    """A message of version 1.0.1."""
    body = b"".join(parts)
    return pack(">HII", 0x0400 | kind, 10 + len(body), number) + body


def param(kind: int, *parts: bytes) -> bytes:
    """A parameter with a length."""
    body = b"".join(parts)
    return pack(">HH", kind, 4 + len(body)) + body


def vendor_param(subtype: int, *parts: bytes) -> bytes:
    """An Impinj parameter."""
    return param(1023, pack(">II", IMPINJ, subtype), *parts)


def status(code: int = 0, text: str = "") -> bytes:
    """LLRPStatus."""
    raw = text.encode()
    return param(287, pack(">HH", code, len(raw)), raw)


def event(utc_us: int, *events: bytes) -> bytes:
    """READER_EVENT_NOTIFICATION; nobody asked, so its id is 0."""
    return message(63, 0, param(246, param(128, pack(">Q", utc_us)), *events))


def walk(body: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of one level of parameters; vendor parameters come as type 1023 with their vendor in the body."""
    rest = body
    while rest:
        if rest[0] >= 0x80:
            kind = rest[0] - 0x80
            size = 1 + _TV_BODY.get(kind, len(rest))
            header = 1
        else:
            if len(rest) < 4:
                raise WireError("half a parameter header")
            kind, size = unpack(">HH", rest[:4])
            header = 4
        if size < header or size > len(rest):
            raise WireError(f"parameter {kind} does not fit")
        yield kind, rest[header:size]
        rest = rest[size:]


def children(body: bytes) -> Mapping[int, bytes]:
    """The first of each kind of parameter."""
    found: dict[int, bytes] = {}
    for kind, inner in walk(body):
        found.setdefault(kind, inner)
    return found


class RequestReader:
    """Cuts a client's byte stream into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Request]:
        """Every complete message. WireError when the length cannot be."""
        self._rest += data
        while len(self._rest) >= 10:
            first, size, number = unpack(">HII", self._rest[:10])
            if first >> 10 not in (1, 2) or not 10 <= size <= 1 << 20:
                raise WireError("no LLRP header")
            if len(self._rest) < size:
                return
            body, self._rest = self._rest[10:size], self._rest[size:]
            yield Request(first % 1024, number, body)


def air_crc(block: bytes) -> int:
    """A tag's StoredCRC over PC and EPC: CRC-16 of ISO/IEC 13239, preset FFFF, inverted."""
    crc = 0xFFFF
    for byte in block:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc ^ 0xFFFF


@dataclass(frozen=True, slots=True)
class Sighting:
    """One read of one tag: all a record can carry. `phase` 4096ths of a turn, `doppler` 1/16 Hz; `results` of read
    operations: status, operation, data."""

    epc: bytes
    antenna: int
    rssi_cdbm: int
    utc_us: int
    channel: int = 1
    seen: int = 1
    pc: int | None = None
    phase: int = 0
    doppler: int = 0
    tid: bytes = b""
    results: tuple[tuple[int, int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """What a client wants in a record: the flags of its content and memory selectors, and Impinj's selector."""

    flags: int = 0xFFC0
    memory: int = 0
    impinj: frozenset[int] = frozenset()


def record(sighting: Sighting, content: Content, rospec: int) -> bytes:
    """TagReportData with the fields asked for, in the order of the standard."""
    s = sighting
    pc = len(s.epc) // 2 << 11 if s.pc is None else s.pc
    epc = b"\x8d" + s.epc if len(s.epc) == 12 else param(241, pack(">H", len(s.epc) * 8), s.epc)
    fields = (
        (0x8000, pack(">BI", 0x89, rospec)),
        (0x4000, pack(">BH", 0x8E, 1)),
        (0x2000, pack(">BH", 0x8A, 1)),
        (0x1000, pack(">BH", 0x81, s.antenna)),
        (0x0400, pack(">Bb", 0x86, max(-128, min(127, round(s.rssi_cdbm / 100))))),
        (0x0800, pack(">BH", 0x87, s.channel)),
        (0x0200, pack(">BQ", 0x82, s.utc_us)),
        (0x0100, pack(">BQ", 0x84, s.utc_us)),
        (0x0080, pack(">BH", 0x88, s.seen)),
    )
    parts = [epc, *(value for flag, value in fields if content.flags & flag)]
    if content.memory & 0x40:
        parts.append(pack(">BH", 0x8C, pc))
    if content.memory & 0x80:
        parts.append(pack(">BH", 0x8B, air_crc(pack(">H", pc) + s.epc)))
    if content.flags & 0x0040:
        parts.append(pack(">BI", 0x90, 0))
    if 53 in content.impinj:
        parts.append(vendor_param(57, pack(">h", s.rssi_cdbm)))
    if 52 in content.impinj:
        parts.append(vendor_param(56, pack(">H", s.phase)))
    if 67 in content.impinj:
        parts.append(vendor_param(68, pack(">h", s.doppler)))
    if 51 in content.impinj and s.tid:
        parts.append(vendor_param(55, pack(">H", len(s.tid) // 2), s.tid))
    for code, operation, data in s.results:
        parts.append(param(349, pack(">BHH", code, operation, len(data) // 2), data))
    return param(240, *parts)
