"""What a Mercury module does with commands: volatile settings, antennas, power, continuous reading. No I/O.

Time comes in as milliseconds since the module started; answers go out through `send`.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hil.devices import mercury_wire as wire

_VERSION = bytes.fromhex("12120000180000012019082601090014") + (0x10).to_bytes(4, "big")
_REGIONS = bytes((1, 2, 4, 5, 6, 8, 9, 0x0B, 0x0C, 0x0D, 0x0E, 0xFF))
_OPTION_KEYS = frozenset((0x00, 0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E, 0x1E))
_POWER_MAX_CDBM, _POWER_MIN_CDBM = 3150, 500
_BUFFER_TAGS = 52
_MEMORY_OVERRUN = 0x0423
_TAG_COMMANDS = frozenset((0x22, 0x28, 0x29, 0x2A, 0x2F))

Send = Callable[[bytes], None]
Publish = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag in the field: mean level at one antenna."""

    epc: bytes
    rssi_dbm: float
    antenna: int
    pc: int | None = None
    tid: bytes = b""


@dataclass(slots=True)
class Stream:
    """A running continuous read."""

    metadata: int
    search_flags: int
    on_ms: int
    off_ms: int = 0
    started_ms: float = 0.0
    statistics: int = 0
    tid_words: int = 0


@dataclass(slots=True)
class Settings:
    """What the module forgets at a reset."""

    region: int = 0
    protocol: int = 0
    power_cdbm: int = 3000
    search: tuple[int, ...] = (1,)
    options: dict[int, int] = field(default_factory=dict)
    gen2: dict[int, bytes] = field(default_factory=dict)
    power_mode: int = 0


class Module:
    """One module: `command` answers, `sight` reports a tag while streaming."""

    def __init__(self, send: Send, publish: Publish, ports: int = 4, seed: int = 1) -> None:
        self._send = send
        self.publish = publish
        self._random = random.Random(seed)
        self.settings = Settings()
        self.stream: Stream | None = None
        self.in_bootloader = False
        self.connected = dict.fromkeys(range(1, ports + 1), True)
        self.tags: tuple[Tag, ...] = ()
        self.hot = False
        self.deaf: frozenset[int] = frozenset()
        """Commands that are acknowledged and change nothing."""
        self.old_firmware = False
        """Knows neither reports in the stream nor embedded reads."""
        self.serial = "VIRTUAL-1"
        """Its serial number; a module with "" knows no such command."""
        self.temperature_c = 31
        self.new_baud: int | None = None
        self.tag_count = 0
        self.commands: dict[int, int] = {}
        self.buffer: dict[bytes, Tag] = {}

    def command(self, op: int, data: bytes, now_ms: float) -> None:
        """Execute one host command and send its reply."""
        self.commands[op] = self.commands.get(op, 0) + 1
        self.publish("command", op=f"{op:02X}")
        if self.in_bootloader and op in _TAG_COMMANDS:
            self._send(wire.reply(op, 0x0101))
            return
        handler = _HANDLERS.get(op)
        if handler is None:
            self._send(wire.reply(op, 0x0101))
            return
        try:
            status, answer = (0, b"") if op in self.deaf else handler(self, data, now_ms)
        except (IndexError, ValueError):
            status, answer = 0x0100, b""
        self._send(wire.reply(op, status, answer if not status else b""))

    def reset(self) -> None:
        """Lose every volatile setting and say so, unasked."""
        was_streaming = self.stream is not None
        self.settings = Settings()
        self.stream = None
        self._send(wire.reply(0x04, 0, _VERSION))
        if was_streaming:
            self.publish("stopped", reason="reset")

    def start_as_left(self, cycle_ms: int) -> None:
        """Begin life streaming, as a previous session would have left it."""
        self.settings.region, self.settings.protocol = 1, 5
        self.settings.search = tuple(self.connected)
        self.stream = Stream(0x0057, 0x001B, cycle_ms)

    def readable_tags(self) -> list[Tag]:
        """Tags that a searched, connected antenna can read now."""
        if self.hot:
            return []
        return [tag for tag in self.tags if tag.antenna in self.settings.search and self.connected.get(tag.antenna)]

    def sight(self, tag: Tag, now_ms: float) -> None:
        """Report one read of `tag`."""
        if self.stream is None:
            return
        level = max(-127, min(0, round(tag.rssi_dbm + self._random.gauss(0.0, 0.8))))
        sighting = wire.Sighting(
            epc=tag.epc,
            rssi_dbm=level,
            antenna=tag.antenna,
            frequency_khz=902_750 + 500 * self._random.randrange(50),
            timestamp_ms=int(now_ms - self.stream.started_ms),
            phase_deg=self._random.randrange(181),
            pc=tag.pc,
            **_embedded(tag, self.stream.tid_words),
        )
        self.tag_count += 1
        self._send(wire.tag_frame(sighting, self.stream.metadata, self.stream.search_flags))
        self.publish("tag", count=self.tag_count)

    def end_cycle(self, tags_seen: int) -> None:
        """What the end of a cycle says: the report asked for; and without tags, that there were none or what is
        wrong."""
        if self.stream is None:
            return
        if self.stream.statistics & 0x0100:
            self._send(wire.temperature_frame(self.temperature_c, self.stream.search_flags))
        if tags_seen:
            return
        if self.hot:
            self._send(wire.reply(0x22, 0x0504))
            return
        self._send(wire.NO_TAGS)
        if not all(self.connected.get(port) for port in self.settings.search):
            self._send(wire.reply(0x22, 0x0503))

    def state(self) -> Mapping[str, object]:
        """Plain state for the control channel; tags by count only."""
        return {
            "streaming": self.stream is not None,
            "region": self.settings.region,
            "power_cdbm": self.settings.power_cdbm,
            "antennas": list(self.settings.search),
            "options": {f"{key:02X}": value for key, value in self.settings.options.items()},
            "off_ms": self.stream.off_ms if self.stream else 0,
            "tid_words": self.stream.tid_words if self.stream else 0,
            "tags_in_field": len(self.tags),
            "tags_reported": self.tag_count,
            "commands": {f"{op:02X}": count for op, count in self.commands.items()},
            "in_bootloader": self.in_bootloader,
        }


Answer = tuple[int, bytes]


def _version(_module: Module, _data: bytes, _now: float) -> Answer:
    return 0, _VERSION


def _boot(module: Module, _data: bytes, _now: float) -> Answer:
    module.in_bootloader = False
    return 0, _VERSION


def _set_baud(module: Module, data: bytes, _now: float) -> Answer:
    baud = int.from_bytes(data[:4], "big")
    if baud not in (9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600):
        return 0x010A, b""
    module.new_baud = baud
    return 0, b""


def _program(module: Module, _data: bytes, _now: float) -> Answer:
    return 0, bytes((0x11 if module.in_bootloader else 0x12,))


def _hardware(module: Module, data: bytes, _now: float) -> Answer:
    if not module.serial:
        return 0x0102, b""
    # Option and flags as asked; the item of flag 40 is the serial number: its flag, its length, its text.
    text = module.serial.encode("ascii")
    return 0, bytes(data[:2]) + (b"\x40" + bytes((len(text),)) + text if data[1] & 0x40 else b"")


def _get_antenna(module: Module, data: bytes, _now: float) -> Answer:
    if data[:1] == b"\x02":
        return 0, b"\x02" + b"".join(bytes((port, port)) for port in module.settings.search)
    if data[:1] != b"\x05":
        return 0x0105, b""
    pairs = b"".join(bytes((port, int(up))) for port, up in module.connected.items())
    return 0, b"\x05" + pairs


def _set_antenna(module: Module, data: bytes, _now: float) -> Answer:
    if data[0] == 0x02:
        ports = tuple(data[1::2])
    elif data[0] == 0x04:
        return 0, b""
    else:
        ports = (data[0],)
    if not ports or any(port not in module.connected for port in ports):
        return 0x0105, b""
    module.settings.search = ports
    return 0, b""


def _get_power(module: Module, data: bytes, _now: float) -> Answer:
    now = module.settings.power_cdbm.to_bytes(2, "big", signed=True)
    if data[:1] != b"\x01":
        return 0, b"\x00" + now
    limits = (_POWER_MAX_CDBM, _POWER_MIN_CDBM)
    return 0, b"\x01" + now + b"".join(value.to_bytes(2, "big", signed=True) for value in limits)


def _set_power(module: Module, data: bytes, _now: float) -> Answer:
    power = int.from_bytes(data[:2], "big", signed=True)
    if power > _POWER_MAX_CDBM:
        return 0x0103, b""
    if power < _POWER_MIN_CDBM:
        return 0x0106, b""
    module.settings.power_cdbm = power
    return 0, b""


def _get_region(module: Module, _data: bytes, _now: float) -> Answer:
    return 0, bytes((module.settings.region,))


def _set_region(module: Module, data: bytes, _now: float) -> Answer:
    if data[0] not in _REGIONS:
        return 0x010B, b""
    module.settings.region = data[0]
    return 0, b""


def _regions(_module: Module, _data: bytes, _now: float) -> Answer:
    return 0, _REGIONS


def _temperature(module: Module, _data: bytes, _now: float) -> Answer:
    return 0, module.temperature_c.to_bytes(1, "big", signed=True)


def _set_protocol(module: Module, data: bytes, _now: float) -> Answer:
    if int.from_bytes(data[:2], "big") != 5:
        return 0x0402, b""
    module.settings.protocol = 5
    return 0, b""


def _get_protocol(module: Module, _data: bytes, _now: float) -> Answer:
    return 0, module.settings.protocol.to_bytes(2, "big")


def _get_mode(module: Module, _data: bytes, _now: float) -> Answer:
    return 0, bytes((module.settings.power_mode,))


def _set_mode(module: Module, data: bytes, _now: float) -> Answer:
    module.settings.power_mode = data[0]
    return 0, b""


def _get_option(module: Module, data: bytes, _now: float) -> Answer:
    if data[0] != 1 or data[1] not in _OPTION_KEYS:
        return 0x0105, b""
    return 0, bytes((1, data[1], module.settings.options.get(data[1], 0)))


def _set_option(module: Module, data: bytes, _now: float) -> Answer:
    if data[0] != 1 or data[1] not in _OPTION_KEYS:
        return 0x0105, b""
    module.settings.options[data[1]] = data[2]
    return 0, b""


def _get_gen2(module: Module, data: bytes, _now: float) -> Answer:
    if data[0] != 5:
        return 0x0105, b""
    return 0, bytes((5, data[1])) + module.settings.gen2.get(data[1], b"\x00")


def _set_gen2(module: Module, data: bytes, _now: float) -> Answer:
    if data[0] != 5:
        return 0x0105, b""
    module.settings.gen2[data[1]] = data[2:]
    return 0, b""


def _not_ready(module: Module) -> int:
    """Status that keeps the radio off, 0 when it may transmit."""
    if not module.settings.region:
        return 0x0405
    return 0 if module.settings.protocol else 0x0401


def _multi_protocol(module: Module, data: bytes, now: float) -> Answer:
    action = data[2]
    if action == 0x02:
        if module.stream is not None:
            module.stream = None
            module.publish("stopped", reason="command")
        return 0, b"\x02"
    if action != 0x01:
        return (0, b"\x04") if action == 0x04 else (0x0105, b"")
    if status := _not_ready(module):
        return status, b""
    if module.hot:
        return 0x0504, b""
    stream = _parse_start(data[7:], now)
    if module.old_firmware and (stream.statistics or stream.tid_words):
        return 0x0105, b""
    module.stream = stream
    module.publish("started", off_ms=stream.off_ms)
    return 0, b"\x01"


def _parse_start(data: bytes, now: float) -> Stream:
    """`data` from the sublength on: sublen 22 [88] option flags on [off] metadata [statistics] [embedded read]."""
    length = data[0]
    body = data[2 : 2 + length]
    if len(body) < length or data[1] != 0x22:
        raise ValueError("start layout")
    if body[0] == 0x88:  # multi-select marker of newer host libraries
        body = body[1:]
    if not body[0] & 0x10:
        raise ValueError("start layout")
    words = [int.from_bytes(body[at : at + 2], "big") for at in range(1, len(body) - 1, 2)]
    flags = words.pop(0)
    stream = Stream(0, flags, words.pop(0), started_ms=now)
    if flags & 0x0400:
        stream.off_ms = words.pop(0)
    stream.metadata = words.pop(0)
    if flags & 0x0100:
        stream.statistics = words.pop(0)
    if flags & 0x0004:
        stream.tid_words = _parse_embedded(body[-12:])
    return stream


def _parse_embedded(command: bytes) -> int:
    """One embedded read of the TID bank from its first word: 01 09 28, timeout, option 00, bank 02, address, words."""
    if command[:3] != b"\x01\x09\x28" or command[5:11] != b"\x00\x02\x00\x00\x00\x00":
        raise ValueError("embedded operation")
    return command[11]


def _embedded(tag: Tag, words: int) -> dict[str, Any]:
    """What the embedded read of so many words finds on this tag."""
    if not words:
        return {}
    if len(tag.tid) < 2 * words:
        return {"data_status": _MEMORY_OVERRUN}
    return {"data": tag.tid[: 2 * words]}


def _read_multiple(module: Module, _data: bytes, _now: float) -> Answer:
    if status := _not_ready(module):
        return status, b""
    for tag in module.readable_tags()[:_BUFFER_TAGS]:
        module.buffer[tag.epc] = tag
    found = len(module.buffer)
    return (0, b"\x00\x00\x13" + found.to_bytes(4, "big")) if found else (0x0400, b"")


def _get_buffer(module: Module, data: bytes, _now: float) -> Answer:
    flags = int.from_bytes(data[:2], "big")
    records = b""
    count = 0
    while module.buffer:
        epc, tag = next(iter(module.buffer.items()))
        record = wire.Sighting(epc, round(tag.rssi_dbm), tag.antenna, pc=tag.pc).record(flags)
        if len(records) + len(record) > 240:
            break
        del module.buffer[epc]
        records += record
        count += 1
    return 0, data[:2] + b"\x00" + bytes((count,)) + records


def _clear_buffer(module: Module, _data: bytes, _now: float) -> Answer:
    module.buffer.clear()
    return 0, b""


_HANDLERS: dict[int, Callable[[Module, bytes, float], Answer]] = {
    0x03: _version,
    0x04: _boot,
    0x06: _set_baud,
    0x0C: _program,
    0x10: _hardware,
    0x22: _read_multiple,
    0x29: _get_buffer,
    0x2A: _clear_buffer,
    0x2F: _multi_protocol,
    0x61: _get_antenna,
    0x62: _get_power,
    0x63: _get_protocol,
    0x67: _get_region,
    0x68: _get_mode,
    0x6A: _get_option,
    0x6B: _get_gen2,
    0x71: _regions,
    0x72: _temperature,
    0x91: _set_antenna,
    0x92: _set_power,
    0x93: _set_protocol,
    0x97: _set_region,
    0x98: _set_mode,
    0x9A: _set_option,
    0x9B: _set_gen2,
}
