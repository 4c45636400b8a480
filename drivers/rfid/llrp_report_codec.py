"""Tag reports of LLRP (RO_ACCESS_REPORT), decoded at the speed of one `struct` call a tag. Pure.

A reader sends the same fields in the same order for tag after tag. The layout of a record is learnt once, with every
parameter header as a constant; a later record of the same length is unpacked whole, and is right if all its headers are
those constants. Any other record goes the long way and teaches its own layout.
"""

from binascii import crc_hqx
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

from drivers.api import ProtocolViolation
from drivers.rfid.llrp_codec import IMPINJ, P_CUSTOM, Parameter, broken, parameter_at, parameters

P_TAG_REPORT_DATA = 240
P_EPC_DATA = 241
P_READ_RESULT = 349
EPC_BITS_MAX = 496  # the length field of the protocol control word: 31 words

_LAYOUTS_MAX = 64  # a reader uses a handful; a hostile one gets no more memory than this
_HEAD = Struct(">I")


class TagReport(NamedTuple):
    """One record as the reader gave it; None where it did not.

    `rssi_dbm` and `rssi_cdbm` (Impinj) dBm and centi-dBm; `phase` 4096ths of a turn; `doppler` 1/16 Hz; times in µs of
    the reader's clock; `channel` counts from 1; `unknown` parameters that were passed over.
    """

    epc: bytes
    antenna: int | None
    rssi_dbm: int | None
    rssi_cdbm: int | None
    phase: int | None
    doppler: int | None
    channel: int | None
    seen: int | None
    first_utc_us: int | None
    last_utc_us: int | None
    first_uptime_us: int | None
    last_uptime_us: int | None
    pc: int | None
    crc: int | None
    xpc1: int | None
    xpc2: int | None
    rospec: int | None
    tid_words: bytes | None
    read_result: bytes | None
    unknown: int

    def __repr__(self) -> str:
        return f"TagReport(antenna={self.antenna}, rssi_dbm={self.rssi_dbm}, epc=<{len(self.epc)} bytes>)"

    @property
    def tid(self) -> bytes | None:
        """The tag's TID when the reader read it: Impinj serialised TID, or the result of a read operation."""
        words = self.tid_words
        if words is None and self.read_result is not None and self.read_result[:1] == b"\0":
            words = self.read_result[3:]  # result and OpSpec id before it
        if words is None or len(words) < 2:
            return None
        size = 2 * int.from_bytes(words[:2], "big")
        return words[2 : 2 + size] if 0 < size <= len(words) - 2 else None

    @property
    def tag_crc_ok(self) -> bool | None:
        """Whether the tag's own CRC fits (ISO/IEC 18000-63), None when it was not reported."""
        if self.crc is None or self.pc is None:
            return None
        xpc = b"".join(word.to_bytes(2, "big") for word in (self.xpc1, self.xpc2) if word is not None)
        return crc_hqx(self.pc.to_bytes(2, "big") + xpc + self.epc, 0xFFFF) ^ 0xFFFF == self.crc


# Parameter without length -> how its value is read, and the field it fills.
_TV = {
    1: ("H", "antenna"),
    2: ("Q", "first_utc_us"),
    3: ("Q", "first_uptime_us"),
    4: ("Q", "last_utc_us"),
    5: ("Q", "last_uptime_us"),
    6: ("b", "rssi_dbm"),
    7: ("H", "channel"),
    8: ("H", "seen"),
    9: ("I", "rospec"),
    11: ("H", "crc"),
    12: ("H", "pc"),
    13: ("12s", "epc"),
    19: ("H", "xpc1"),
    20: ("H", "xpc2"),
}
_PASSED_OVER = frozenset((10, 14, 15, 16, 17, 18))  # known, and of no use to a lane
_IMPINJ = {56: ("H", "phase"), 57: ("h", "rssi_cdbm"), 68: ("h", "doppler")}
_IMPINJ_TID = 55

_FIELDS = {name: at for at, name in enumerate(TagReport._fields)}
_ABSENT: tuple[None, ...] = (None,) * (len(_FIELDS) - 1)


class _Piece(NamedTuple):
    """One parameter of a layout: its constant bytes, how its value is read, the bytes after, the field filled."""

    header: bytes
    value: str
    rest: int
    field: str


class _Layout:
    """What all records of one shape have in common. Headers and values alternate in `unpack_from`'s result."""

    __slots__ = ("absent", "headers", "pick", "unpack_from")

    def __init__(self, head: bytes, pieces: list[_Piece], unknown: int) -> None:
        pattern = [">4s0s"]
        headers = [head]
        order = list(range(2 * len(pieces) + 2, 2 * len(pieces) + 2 + len(_FIELDS)))
        for index, piece in enumerate(pieces):
            pattern.append(f"{len(piece.header)}s{piece.value}{piece.rest}x")
            headers.append(piece.header)
            if piece.field:
                order[_FIELDS[piece.field]] = 2 * index + 3
        self.unpack_from = Struct("".join(pattern)).unpack_from
        self.headers = tuple(headers)
        self.absent = (*_ABSENT, unknown)
        self.pick: itemgetter[Any] = itemgetter(*order)


class ReportDecoder:
    """Decodes the bodies of RO_ACCESS_REPORT messages; knows the layouts it has seen (64 at most).

    Counters: `malformed` records dropped because they break their layout, `unknown` parameters passed over.
    """

    __slots__ = ("_layouts", "malformed", "unknown")

    def __init__(self) -> None:
        self._layouts: dict[int, _Layout] = {}
        self.malformed = 0
        self.unknown = 0

    def decode(self, body: bytes) -> list[TagReport]:
        """Every record of one report, in order; a broken one is counted and dropped. Raises nothing."""
        reports: list[TagReport] = []
        layouts = self._layouts
        at, size = 0, len(body)
        while size - at >= 4:
            head = _HEAD.unpack_from(body, at)[0]
            end = at + (head & 0xFFFF)
            layout = layouts.get(head) if end <= size else None
            if layout is not None:
                values = layout.unpack_from(body, at)
                if values[::2] == layout.headers:
                    report = TagReport._make(layout.pick(values + layout.absent))
                    reports.append(report)
                    self.unknown += report.unknown
                    at = end
                    continue
            at = self._decode_slowly(body, at, reports)
        if at < size:
            self.malformed += 1
        return reports

    def _decode_slowly(self, body: bytes, at: int, reports: list[TagReport]) -> int:
        """One parameter of the report, whatever it is; where the next begins."""
        size = len(body)
        try:
            found = parameter_at(body, at, size)
        except ProtocolViolation:
            self.malformed += 1
            return size
        if found.type != P_TAG_REPORT_DATA or body[at] & 0x80:
            self.unknown += 1
            return found.end
        try:
            layout = _learn(body, found)
        except ProtocolViolation:
            self.malformed += 1
            return found.end
        if len(self._layouts) >= _LAYOUTS_MAX:
            self._layouts.clear()
        self._layouts[_HEAD.unpack_from(body, at)[0]] = layout
        report = TagReport._make(layout.pick(layout.unpack_from(body, at) + layout.absent))
        reports.append(report)
        self.unknown += report.unknown
        return found.end


def _learn(body: bytes, record: Parameter) -> _Layout:
    """The layout of one record. ProtocolViolation RFID_BAD_REPLY when it breaks its bounds or has no EPC."""
    pieces: list[_Piece] = []
    unknown = 0
    at = record.start
    for found in parameters(body, record.start, record.end):
        piece = _piece(body, at, found)
        pieces.append(piece)
        unknown += not piece.field and found.type not in _PASSED_OVER
        at = found.end
    if not any(piece.field == "epc" for piece in pieces):
        raise broken("tag report")
    return _Layout(body[record.start - 4 : record.start], pieces, unknown)


def _piece(body: bytes, at: int, found: Parameter) -> _Piece:
    size = found.end - found.start
    header = body[at : found.start]
    if found.start == at + 1:
        value, field = _TV.get(found.type, ("0s", ""))
        return _Piece(header, value, 0 if field else size, field)
    if found.type == P_EPC_DATA:
        bits = int.from_bytes(body[found.start : found.start + 2], "big")
        length = (bits + 7) // 8
        if size < 2 + length or bits > EPC_BITS_MAX:
            raise broken("EPC length")
        return _Piece(body[at : found.start + 2], f"{length}s", size - 2 - length, "epc")
    if found.type == P_READ_RESULT:
        return _Piece(header, f"{size}s", 0, "read_result")
    if found.type == P_CUSTOM and found.vendor == IMPINJ:
        if found.subtype == _IMPINJ_TID:
            return _Piece(header, f"{size}s", 0, "tid_words")
        value, field = _IMPINJ.get(found.subtype, ("0s", ""))
        if field and size >= 2:
            return _Piece(header, value, size - 2, field)
    return _Piece(header, "0s", size, "")
