"""Mercury serial protocol (ThingMagic M5e, M6e, Nano, M7e): frames, commands and their replies. Pure.

Layouts follow the published MercuryAPI C sources and captured frames; all integers are big-endian. Time is passed in.
What arrives unasked while reading is in `mercury_stream_codec`.
"""

from binascii import crc_hqx
from collections.abc import Iterable
from typing import NamedTuple

from drivers.api import ProtocolViolation

START = 0xFF
MAX_COMMAND_DATA = 250
MAX_REPLY_DATA = 248
MAX_FRAME = 255
HALF_FRAME_S = 0.2

# The register preset FFFF advanced by sixteen zero bits: the protocol shifts data into the low end of the register,
# crc_hqx into the high end, so the last two bytes enter by exclusive-or.
_PRESET = 0x1D0F

GET_VERSION = 0x03
BOOT = 0x04
SET_BAUD = 0x06
GET_PROGRAM = 0x0C
GET_HARDWARE = 0x10
READ_MULTIPLE = 0x22
READ_DATA = 0x28
CLEAR_BUFFER = 0x2A
MULTI_PROTOCOL = 0x2F
GET_ANTENNA = 0x61
GET_POWER = 0x62
GET_PROTOCOL = 0x63
GET_REGION = 0x67
GET_OPTION = 0x6A
LIST_REGIONS = 0x71
GET_TEMPERATURE = 0x72
SET_ANTENNA = 0x91
SET_POWER = 0x92
SET_PROTOCOL = 0x93
SET_REGION = 0x97
SET_OPTION = 0x9A
SET_GEN2 = 0x9B

OK = 0x0000
NO_TAGS = 0x0400
REGION_NOT_SET = 0x0405
ANTENNA_NOT_CONNECTED = 0x0503
OVER_TEMPERATURE = 0x0504
HIGH_RETURN_LOSS = 0x0505
BUFFER_FULL = 0x0601

STATUS_NAMES = {
    0x0000: "ok",
    0x0100: "wrong data count",
    0x0101: "bad opcode, or still in the bootloader",
    0x0102: "unimplemented opcode",
    0x0103: "power too high",
    0x0105: "bad parameter value",
    0x0106: "power too low",
    0x0109: "unsupported",
    0x010A: "baud rate refused",
    0x010B: "region refused",
    0x0200: "firmware image CRC",
    0x0400: "no tags",
    0x0401: "no protocol set",
    0x0402: "bad protocol",
    0x0404: "no data",
    0x0405: "radio off: region not set",
    0x0406: "tag write failed",
    0x040A: "tag error",
    0x0410: "invalid EPC",
    0x0423: "tag memory overrun",
    0x0424: "tag memory locked",
    0x0425: "authentication failed",
    0x042B: "tag under-powered",
    0x0500: "bad frequency",
    0x0501: "channel busy",
    0x0502: "transmitter on",
    0x0503: "antenna not connected",
    0x0504: "over temperature",
    0x0505: "high return loss",
    0x0507: "bad antenna configuration",
    0x0509: "supply voltage",
    0x0600: "not enough tags",
    0x0601: "tag buffer full",
    0x0603: "tag repeated",
    0x0604: "authentication requested",
    0x7F00: "unknown system error",
    0x7F01: "firmware assertion",
}

MODELS = {
    0x00: "M5e",
    0x01: "M5e Compact",
    0x18: "M6e",
    0x19: "M6e PRC",
    0x20: "M6e Micro",
    0x30: "M6e Nano",
    0x38: "M7e",
    0x80: "M3e",
}


def status_name(status: int) -> str:
    """Plain words for a status word, with its number."""
    return f"{STATUS_NAMES.get(status, 'unlisted status')} ({status:04X})"


def crc16(message: bytes) -> int:
    """Frame check over LEN through the last data byte (at least 2 bytes): polynomial 1021, preset FFFF, bits into the
    low end."""
    return crc_hqx(message[:-2], _PRESET) ^ (message[-2] << 8 | message[-1])


def encode_command(op: int, data: bytes = b"") -> bytes:
    """One host frame. ValueError when `data` is longer than 250 bytes or `op` is no byte."""
    if len(data) > MAX_COMMAND_DATA:
        raise ValueError(f"command data is {len(data)} bytes, limit {MAX_COMMAND_DATA}")
    body = bytes((len(data), op)) + data
    return b"\xff" + body + crc16(body).to_bytes(2, "big")


# Search flags of a read cycle: antenna list, stream, large population; then what each further field announces.
_SEARCH = 0x001B
_SEARCH_EMBEDDED = 0x0004
_SEARCH_STATISTICS = 0x0100
_SEARCH_DUTY = 0x0400
_METADATA_DATA = 0x0080
_TID_BANK = 2


def start_data(metadata: int, on_ms: int, off_ms: int = 0, *, statistics: int = 0, tid_words: int = 0) -> bytes:
    """Data of 2F that starts continuous Gen2 reading over the antenna list: every sighting is streamed with the
    `metadata` fields.

    Times 0-65535 ms; `off_ms` pause after each cycle; `statistics` content flags of the report after each cycle (0100:
    temperature); `tid_words` 16-bit words of the TID bank read with every sighting, 0-255. Zero leaves a thing out.
    Layout of the embedded read: MercuryAPI C sources (count 1, length after the opcode, 28, timeout, option, bank,
    word address, words).
    """
    flags = _SEARCH
    fields = on_ms.to_bytes(2, "big")
    if off_ms:
        flags |= _SEARCH_DUTY
        fields += off_ms.to_bytes(2, "big")
    if tid_words:
        flags |= _SEARCH_EMBEDDED
        metadata |= _METADATA_DATA
    fields += metadata.to_bytes(2, "big")
    if statistics:
        flags |= _SEARCH_STATISTICS
        fields += statistics.to_bytes(2, "big")
    if tid_words:
        read = b"\x00\x00\x00" + bytes((_TID_BANK,)) + b"\x00\x00\x00\x00" + bytes((tid_words,))
        fields += bytes((1, len(read), READ_DATA)) + read
    inner = b"\x10" + flags.to_bytes(2, "big") + fields
    return b"\x00\x00\x01\x22\x00\x00\x05" + bytes((len(inner), READ_MULTIPLE)) + inner


STOP = encode_command(MULTI_PROTOCOL, b"\x00\x00\x02")
STOP_REPLY_DATA = b"\x02"


class Frame(NamedTuple):
    """One reader frame whose CRC was right. `data` may hold identity values: never log it."""

    op: int
    status: int
    data: bytes

    def __repr__(self) -> str:
        return f"Frame(op={self.op:02X}, status={self.status:04X}, data=<{len(self.data)} bytes>)"


class FrameSplitter:
    """Finds frames in a byte stream. Holds at most one unfinished frame (255 bytes).

    Resynchronises by dropping one byte after a bad CRC and searching inside the same bytes again; a half frame older
    than `half_frame_s` is dropped the same way. Counters: `frames`; `crc_errors`, frame starts whose check failed;
    `dropped_bytes`; `resyncs`, runs of dropped bytes between frames.
    """

    __slots__ = (
        "_head_at",
        "_last_at",
        "_lost_after",
        "_rest",
        "crc_errors",
        "dropped_bytes",
        "frames",
        "half_frame_s",
        "resyncs",
    )

    def __init__(self, half_frame_s: float = HALF_FRAME_S) -> None:
        self.half_frame_s = half_frame_s
        self.crc_errors = 0
        self.dropped_bytes = 0
        self.frames = 0
        self.resyncs = 0
        self._lost_after = -1  # how many frames there had been when bytes were last dropped
        self._rest = b""
        self._head_at = 0.0
        self._last_at = 0.0

    @property
    def pending(self) -> int:
        """Bytes held of an unfinished frame, 0-254."""
        return len(self._rest)

    def reset(self) -> None:
        """Forget the unfinished frame; counters stay."""
        self._rest = b""

    def feed(self, data: bytes, now_s: float) -> list[Frame]:
        """Frames completed by bytes that arrived at `now_s` (monotonic seconds), in order."""
        frames = self.expire(now_s) if self._rest else []
        held = len(self._rest)
        used = self._split(self._rest + data if held else data, frames)
        if used >= held:
            self._head_at = now_s
        elif used:
            self._head_at = self._last_at
        self._last_at = now_s
        return frames

    def expire(self, now_s: float) -> list[Frame]:
        """Give up the head of a half frame that is too old; frames found behind it."""
        frames: list[Frame] = []
        while self._rest and now_s - self._head_at > self.half_frame_s:
            self._drop(1, self.frames)
            self._split(self._rest[1:], frames)
            # The bytes behind a false head came later than it: they get their own time from the newest arrival.
            self._head_at = self._last_at
            if now_s - self._last_at > self.half_frame_s:
                continue
            break
        return frames

    def _split(self, buffer: bytes, frames: list[Frame]) -> int:
        """Append the frames of `buffer`, keep its unfinished tail, return how many bytes were used up."""
        at = 0
        size = len(buffer)
        before = self.frames - len(frames)
        while True:
            start = buffer.find(START, at)
            if start != at:
                end = size if start < 0 else start
                self._drop(end - at, before + len(frames))
                at = end
                if start < 0:
                    break
            if size - at < 2:
                break
            length = buffer[at + 1]
            end = at + length + 7
            if length <= MAX_REPLY_DATA:
                if end > size:
                    break
                body = buffer[at + 1 : end - 2]
                check = crc_hqx(body[:-2], _PRESET) ^ (body[-2] << 8 | body[-1])
                if check == buffer[end - 2] << 8 | buffer[end - 1]:
                    frames.append(Frame(body[1], body[2] << 8 | body[3], body[4:]))
                    at = end
                    continue
                self.crc_errors += 1
            self._drop(1, before + len(frames))
            at += 1
        self._rest = buffer[at:]
        self.frames = before + len(frames)
        return at

    def _drop(self, count: int, frames: int) -> None:
        """Count dropped bytes; those between the same two frames are one loss of synchronism."""
        if not count:
            return
        self.dropped_bytes += count
        if frames != self._lost_after:
            self._lost_after = frames
            self.resyncs += 1


class Version(NamedTuple):
    """Reply to 03 (and the notice 04 that a module sends after a reset)."""

    bootloader: bytes
    hardware: bytes
    firmware_date: bytes
    firmware: bytes
    protocols: int

    @property
    def model(self) -> str:
        """Module family by hardware id byte 0; unknown ids are shown, not refused."""
        return MODELS.get(self.hardware[0], f"Mercury module {self.hardware[0]:02X}")


class PowerLimits(NamedTuple):
    """Reply to 62 with option 01, centi-dBm."""

    current_cdbm: int
    max_cdbm: int
    min_cdbm: int


def decode_version(data: bytes) -> Version:
    """ProtocolViolation when it is not 20 bytes."""
    _require(len(data) == 20, "version")
    return Version(data[0:4], data[4:8], data[8:12], data[12:16], int.from_bytes(data[16:20], "big"))


SERIAL_NUMBER = b"\x00\x40"
"""Data of 10 that asks for the serial number: option, and the flag of the item wanted (MercuryAPI C sources)."""


def decode_serial(data: bytes) -> str:
    """The serial number in the reply to 10 (option and flag as asked, then the item: flag, length, text); "" when there
    is none to read: it is no reason to do without the module."""
    if len(data) < 4 or data[:3] != SERIAL_NUMBER + b"\x40" or len(data) < 4 + data[3]:
        return ""
    text = data[4 : 4 + data[3]].rstrip(b"\x00 ")
    return text.decode("ascii") if all(0x21 <= byte <= 0x7E for byte in text) else ""


def decode_program(data: bytes) -> bool:
    """True when the module is in its bootloader."""
    _require(len(data) >= 1, "program")
    return data[0] & 0x03 == 1


def decode_power_limits(data: bytes) -> PowerLimits:
    """ProtocolViolation when it is not option 01 with three values."""
    _require(len(data) == 7 and data[0] == 1, "power")
    low, high = _signed(data[5:7]), _signed(data[3:5])
    _require(low <= high, "power")
    return PowerLimits(_signed(data[1:3]), high, low)


def decode_antennas(data: bytes) -> dict[int, bool]:
    """Reply to antenna detect (option 05): port -> an antenna is connected."""
    _require(len(data) % 2 == 1 and data[0] == 5, "antennas")
    return {port: state == 1 for port, state in zip(data[1::2], data[2::2], strict=True)}


def antenna_list(ports: Iterable[int]) -> bytes:
    """Data of 91: search list over mono-static ports, in order."""
    return b"\x02" + b"".join(bytes((port, port)) for port in ports)


def _signed(two: bytes) -> int:
    return int.from_bytes(two, "big", signed=True)


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise ProtocolViolation("RFID_BAD_REPLY", f"the reader's {what} reply breaks its layout", "update the firmware")
