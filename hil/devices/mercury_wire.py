"""Mercury frames as the module side makes and reads them: an encoder of its own, checked against published frames.

Bit-by-bit and nibble-table arithmetic on purpose: it shares no shortcut with any client.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_NIBBLES = (
    0x0000,
    0x1021,
    0x2042,
    0x3063,
    0x4084,
    0x50A5,
    0x60C6,
    0x70E7,
    0x8108,
    0x9129,
    0xA14A,
    0xB16B,
    0xC18C,
    0xD1AD,
    0xE1CE,
    0xF1EF,
)


def line_crc(message: bytes) -> int:
    """Check of a frame over LEN through its last data byte (published nibble-table algorithm, preset FFFF)."""
    crc = 0xFFFF
    for byte in message:
        for nibble in (byte >> 4, byte & 0x0F):
            crc = (crc << 4 & 0xFFF0 | nibble) ^ _NIBBLES[crc >> 12]
    return crc


def air_crc(block: bytes) -> int:
    """A tag's StoredCRC over PC and EPC: CRC-16 of ISO/IEC 13239, preset FFFF, inverted."""
    crc = 0xFFFF
    for byte in block:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc ^ 0xFFFF


def reply(op: int, status: int = 0, data: bytes = b"") -> bytes:
    """One frame from the module. ValueError over 248 bytes of data."""
    if len(data) > 248:
        raise ValueError("a reply carries at most 248 bytes")
    body = bytes((len(data), op)) + status.to_bytes(2, "big") + data
    return b"\xff" + body + line_crc(body).to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One read of one tag: what a record can carry. `data` of an embedded read, or the `data_status` it failed with."""

    epc: bytes
    rssi_dbm: int
    antenna: int
    reads: int = 1
    frequency_khz: int = 915_250
    timestamp_ms: int = 0
    phase_deg: int = 0
    pc: int | None = None
    gpio: int = 0
    data: bytes = b""
    data_status: int = 0

    def record(self, flags: int) -> bytes:
        """The record with the metadata fields of `flags`, in wire order."""
        port = self.antenna & 0x0F
        fields = (
            (0x0001, bytes((self.reads,))),
            (0x0002, self.rssi_dbm.to_bytes(1, "big", signed=True)),
            (0x0004, bytes((port << 4 | port,))),
            (0x0008, self.frequency_khz.to_bytes(3, "big")),
            (0x0010, (self.timestamp_ms & 0xFFFFFFFF).to_bytes(4, "big")),
            (0x0020, self.phase_deg.to_bytes(2, "big")),
            (0x0040, b"\x05"),
            (0x0080, self._embedded()),
            (0x0100, bytes((self.gpio,))),
            (0x0200, b"\x04"),
            (0x0400, b"\x00"),
            (0x0800, b"\x00"),
            (0x1000, b"\x00\x00"),
        )
        pc = len(self.epc) // 2 << 11 if self.pc is None else self.pc
        block = pc.to_bytes(2, "big") + self.epc
        head = b"".join(value for flag, value in fields if flags & flag)
        bits = (len(block) + 2) * 8
        return head + bits.to_bytes(2, "big") + block + air_crc(block).to_bytes(2, "big")

    def _embedded(self) -> bytes:
        """Length in bits and the data; or the failure mark and the status."""
        if self.data_status:
            return b"\x80\x00" + self.data_status.to_bytes(2, "big")
        return (8 * len(self.data)).to_bytes(2, "big") + self.data


def tag_frame(sighting: Sighting, flags: int, search_flags: int) -> bytes:
    """An unasked tag report of a continuous read."""
    header = b"\x10" + search_flags.to_bytes(2, "big") + flags.to_bytes(2, "big") + b"\x01"
    return reply(0x22, 0, header + sighting.record(flags))


def temperature_frame(celsius: int, search_flags: int = 0x011B) -> bytes:
    """A statistics report that carries the temperature alone."""
    header = b"\x00" + search_flags.to_bytes(2, "big") + b"\x02"
    return reply(0x22, 0, header + b"\x82\x00\x82\x00\x01" + celsius.to_bytes(1, "big", signed=True))


NO_TAGS = reply(0x22, 0x0400)


class CommandReader:
    """Cuts host frames (FF LEN OP data CRC) out of a byte stream; a broken one is skipped byte by byte."""

    def __init__(self) -> None:
        self._rest = b""
        self.crc_errors = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(opcode, data) of every complete command."""
        self._rest += data
        while (start := self._rest.find(0xFF)) >= 0:
            self._rest = self._rest[start:]
            if len(self._rest) < 2:
                return
            end = self._rest[1] + 5
            if self._rest[1] > 250:
                self._rest = self._rest[1:]
                continue
            if len(self._rest) < end:
                return
            body, check = self._rest[1 : end - 2], self._rest[end - 2 : end]
            if line_crc(body).to_bytes(2, "big") != check:
                self.crc_errors += 1
                self._rest = self._rest[1:]
                continue
            self._rest = self._rest[end:]
            yield body[1], body[2:]
        self._rest = b""

    def forget(self) -> None:
        """Drop half a command (the line was quiet for long)."""
        self._rest = b""
