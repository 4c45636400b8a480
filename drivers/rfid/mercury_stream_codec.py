"""Mercury continuous reading: what the frames of opcode 22 say. Pure.

Layouts follow the published MercuryAPI C sources and captured frames. A tag record follows its response type byte
directly, as every captured frame has it; a record count byte in between is accepted only when the lengths and the
tag's own CRC prove it.
"""

from binascii import crc_hqx
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

from drivers.rfid.mercury_codec import NO_TAGS, Frame

PROTOCOLS = {0x03: "iso18000-6b", 0x05: "gen2", 0x06: "ucode", 0x07: "ipx64", 0x08: "ipx256", 0x1D: "ata"}
_ATA = 0x1D


def tag_crc(block: bytes) -> int:
    """The tag's own StoredCRC over PC [XPC] EPC (ISO/IEC 18000-63: CRC-16/CCITT, inverted)."""
    return crc_hqx(block, 0xFFFF) ^ 0xFFFF


class TagRecord(NamedTuple):
    """One sighting as the reader reports it; fields whose metadata flag is off are 0 or None. `epc` is an identity
    value: the printed form hides it.

    `antenna` raw byte (high nibble TX, low nibble RX, 0 means 16); `rssi_dbm` signed; `frequency_khz`; `timestamp_ms`
    since the read command; `phase_deg` 0-180; `data` embedded read result, empty with `data_status` set when it failed.
    """

    reads: int
    rssi_dbm: int
    antenna: int
    timestamp_ms: int
    phase_deg: int
    protocol: int
    gpio: int
    q: int
    blf: int
    target: int
    brand: int
    frequency_khz: int
    data: bytes | None
    data_status: int
    pc: int
    xpc: bytes
    epc: bytes
    tag_crc_ok: bool | None

    def __repr__(self) -> str:
        return f"TagRecord(antenna={self.antenna:02X}, rssi_dbm={self.rssi_dbm}, epc=<{len(self.epc)} bytes>)"

    @property
    def antenna_port(self) -> int:
        """Transmit port, 1-16."""
        return (self.antenna >> 4) or 16


class Statistics(NamedTuple):
    """Content of a statistics frame: raw items by flag; `temperature_c` when it was among them."""

    items: dict[int, bytes]
    temperature_c: int | None


class NoTags(NamedTuple):
    """A read cycle ended without tags: the stream's sign of life."""


class CycleEnd(NamedTuple):
    """A read cycle ended; `tags` seen in it."""

    tags: int


class StreamEnd(NamedTuple):
    """The module ended continuous reading by itself."""


class StreamStatus(NamedTuple):
    """A status word inside the stream, such as 0504 over temperature."""

    status: int


class Malformed(NamedTuple):
    """A frame with a right CRC whose content breaks its layout: noise decodes as tags. To count and drop."""

    reason: str


StreamEvent = TagRecord | Statistics | NoTags | CycleEnd | StreamEnd | StreamStatus | Malformed

# Metadata fields in wire order: flag, struct code, names. 0080 (embedded data) has variable length and splits the list.
_FIELDS_BEFORE_DATA = (
    (0x0001, "B", ("reads",)),
    (0x0002, "b", ("rssi",)),
    (0x0004, "B", ("antenna",)),
    (0x0008, "BH", ("freq_high", "freq_low")),
    (0x0010, "I", ("timestamp",)),
    (0x0020, "H", ("phase",)),
    (0x0040, "B", ("protocol",)),
)
_FIELDS_AFTER_DATA = (
    (0x0100, "B", ("gpio",)),
    (0x0200, "B", ("q",)),
    (0x0400, "B", ("blf",)),
    (0x0800, "B", ("target",)),
    (0x1000, "H", ("brand",)),
)
_ORDER = ("reads", "rssi", "antenna", "timestamp", "phase", "protocol", "gpio", "q", "blf", "target", "brand")
_KNOWN_FLAGS = 0x1FFF
_BLOCK = Struct(">HH")  # EPC block length in bits, protocol control word


class _Layout(NamedTuple):
    before: Struct
    after: Struct
    has_data: bool
    arrange: Callable[[tuple[Any, ...]], tuple[Any, ...]]


@lru_cache(maxsize=64)
def _layout(flags: int) -> _Layout:
    """How a record with these metadata flags is cut: two fixed runs around the embedded data, and the order in which
    the values (followed by one 0 for absent fields) become a TagRecord."""
    names: list[str] = []
    codes = ["", ""]
    for run, fields in enumerate((_FIELDS_BEFORE_DATA, _FIELDS_AFTER_DATA)):
        for flag, code, parts in fields:
            if flags & flag:
                codes[run] += code
                names.extend(parts)
    absent = len(names)
    wanted = (*_ORDER, "freq_high", "freq_low")
    picks = [names.index(name) if name in names else absent for name in wanted]
    return _Layout(Struct(">" + codes[0]), Struct(">" + codes[1]), bool(flags & 0x0080), itemgetter(*picks))


def decode_stream(frame: Frame) -> StreamEvent:
    """Meaning of an opcode 22 frame that arrived unasked while reading continuously. Never raises: what does not fit
    its layout is `Malformed`."""
    data = frame.data
    if frame.status:
        return NoTags() if frame.status == NO_TAGS else StreamStatus(frame.status)
    at = 1 if data[:1] == b"\x88" else 0  # 88: multi-select marker in front of the option byte
    size = len(data) - at
    if size == 7:
        return CycleEnd(int.from_bytes(data[-4:], "big"))
    if size < 4:
        return Malformed("short header")
    flags = 0
    type_at = at + 3
    if data[at] & 0x10:
        if size < 6:
            return Malformed("short metadata header")
        flags = data[at + 3] << 8 | data[at + 4]
        type_at = at + 5
    kind = data[type_at]
    if kind == 0x01:
        return decode_record(data, type_at + 1, flags)
    if kind == 0x02:
        return _decode_statistics(data, type_at + 1)
    if kind == 0x00:
        return StreamEnd()
    return Malformed("unknown response type")


def decode_record(data: bytes, at: int, flags: int) -> TagRecord | Malformed:
    """The tag record that starts at `at`, with the fields of `flags`."""
    if flags & ~_KNOWN_FLAGS:
        return Malformed("unknown metadata flags")
    record, end = _cut_record(data, at, flags)
    if end == len(data):
        return record
    if data[at : at + 1] == b"\x01":
        counted, counted_end = _cut_record(data, at + 1, flags)
        if counted_end == len(data) and isinstance(counted, TagRecord) and counted.tag_crc_ok:
            return counted
    return record


def _cut_record(data: bytes, at: int, flags: int) -> tuple[TagRecord | Malformed, int]:
    """The record and where it ends; end -1 when it does not fit."""
    before, after, has_data, arrange = _layout(flags)
    size = len(data)
    if at + before.size + after.size + 4 > size:
        return Malformed("record runs past its frame"), -1
    values = before.unpack_from(data, at)
    at += before.size
    embedded: bytes | None = None
    data_status = 0
    if has_data:
        embedded, data_status, at = _cut_embedded(data, at)
        if at < 0 or at + after.size + 4 > size:
            return Malformed("embedded data runs past its frame"), -1
    if after.size:
        values += after.unpack_from(data, at)
        at += after.size
    *fields, freq_high, freq_low = arrange((*values, 0))
    bits, pc = _BLOCK.unpack_from(data, at)
    at += 2
    end = at + (bits + 7 >> 3)
    if end > size:
        return Malformed("EPC runs past its frame"), -1
    if fields[5] == _ATA:  # American Trucking Associations tags carry neither PC nor CRC
        tail: tuple[Any, ...] = (0, b"", data[at:end], None)
    else:
        block = data[at : end - 2]
        epc_at = 2
        if pc & 0x0200:
            epc_at = 6 if len(block) > 2 and block[2] & 0x80 else 4
        if len(block) < epc_at:
            return Malformed("EPC length below zero"), -1
        stored = data[end - 2] << 8 | data[end - 1]
        tail = (pc, block[2:epc_at], block[epc_at:], crc_hqx(block, 0xFFFF) ^ 0xFFFF == stored)
    return TagRecord._make((*fields, freq_high << 16 | freq_low, embedded, data_status, *tail)), end


def _cut_embedded(data: bytes, at: int) -> tuple[bytes, int, int]:
    """Embedded operation result: bytes, status (0 when it worked), where it ends (-1: it does not fit)."""
    if at + 2 > len(data):
        return b"", 0, -1
    bits = data[at] << 8 | data[at + 1]
    at += 2
    if bits & 0x8000:
        return b"", int.from_bytes(data[at : at + 2], "big"), at + 2
    end = at + (bits + 7 >> 3)
    return data[at:end], 0, end


def _decode_statistics(data: bytes, at: int) -> Statistics | Malformed:
    items: dict[int, bytes] = {}
    _, at = _variable_number(data, at)  # content flags: each item repeats its own
    while 0 < at < len(data):
        flag, at = _variable_number(data, at)
        if at < 0 or at >= len(data):
            return Malformed("statistics item cut off")
        end = at + 1 + data[at]
        if end > len(data):
            return Malformed("statistics item runs past its frame")
        items[flag] = data[at + 1 : end]
        at = end
    if at < 0:
        return Malformed("statistics flags cut off")
    heat = items.get(0x0100)
    return Statistics(items, int.from_bytes(heat, "big", signed=True) if heat else None)


def _variable_number(data: bytes, at: int) -> tuple[int, int]:
    """Extensible bit vector (7 bits a byte, top bit: more follow) and where it ends; end -1 when cut off or over 4
    bytes."""
    value = 0
    for offset in range(4):
        if at + offset >= len(data):
            return 0, -1
        byte = data[at + offset]
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at + offset + 1
    return 0, -1
