"""What a client says to an LLRP reader and what it is told, tag reports excepted. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from drivers.rfid.llrp_codec import IMPINJ, P_CUSTOM, Parameter, broken, custom, parameters, text_at, tlv

ALL = 0

ROSPEC_DISABLED, ROSPEC_INACTIVE, ROSPEC_ACTIVE = 0, 1, 2

CONNECTED = 0
HELD_BY_READER, HELD_BY_CLIENT = 1, 2

GET_ALL_CAPABILITIES = b"\0"

_U16 = Struct(">H")
_U32 = Struct(">I")
_U64 = Struct(">Q")
_TIMED_TRIGGER = Struct(">BI")
_CAPABILITIES = Struct(">HHII")
_POWER = Struct(">Hh")
_ROSPEC = Struct(">IBB")
_ACCESSSPEC = Struct(">IHBBI")
_TARGET = Struct(">BHHH")
_READ = Struct(">HIBHH")
_ROSPEC_EVENT = Struct(">BII")
_ANTENNA_EVENT = Struct(">BH")
_SINGULATION = Struct(">BHI")
_TRANSMITTER = Struct(">HHH")
_GET_CONFIG = Struct(">HBHH")
_IMPINJ_EXTENSIONS = Struct(">IBI")

_EPC_BANK, _TID_BANK = 1, 2
_IDENTIFICATION = 1
_IMPINJ_REQUESTED_DATA, _IMPINJ_TEMPERATURE_DATA = 21, 2004
_IMPINJ_ENABLE, _IMPINJ_ENABLED = 21, 22
_IMPINJ_SEARCH_MODE, _IMPINJ_TEMPERATURE = 23, 37
_IMPINJ_CONTENT, _IMPINJ_TID, _IMPINJ_PHASE, _IMPINJ_RSSI, _IMPINJ_DOPPLER = 50, 51, 52, 53, 67

# Events the reader is asked for: ROSpec begun or ended, buffer filling, reader exception, antenna.
_EVENTS = (2, 3, 4, 8)
# Content of a record: ROSpec, antenna, channel, peak RSSI, first seen, last seen, seen count; PC and CRC with it.
_CONTENT = 0x8000 | 0x1000 | 0x0800 | 0x0400 | 0x0200 | 0x0100 | 0x0080
_CRC_AND_PC = 0xC0


class Identity(NamedTuple):
    """Reader id (MAC or EPC, hex; "" when not told) and temperature °C (Impinj)."""

    serial: str
    temperature_c: int | None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a reader can do. `power_cdbm` index -> centi-dBm; `hop_tables` id -> kHz by channel; `channels_khz` of
    regions that do not hop; `rf_modes` identifiers on offer."""

    antennas: int
    maker: int
    model: int
    firmware: str
    has_utc_clock: bool
    holds_events: bool
    power_cdbm: Mapping[int, int]
    hop_tables: Mapping[int, tuple[int, ...]]
    channels_khz: tuple[int, ...]
    rf_modes: frozenset[int]

    def power_index(self, wanted_cdbm: int) -> int | None:
        """Index of the highest level not above `wanted_cdbm`; None when there is none or it is above the highest."""
        fitting = {cdbm: index for index, cdbm in self.power_cdbm.items() if cdbm <= wanted_cdbm}
        if not fitting or wanted_cdbm > max(self.power_cdbm.values()):
            return None
        return fitting[max(fitting)]

    def frequency_khz(self, channel: int | None, hop_table: int) -> int:
        """Frequency of a reported channel, 0 when unknown."""
        table = self.hop_tables.get(hop_table, self.channels_khz)
        return table[channel - 1] if channel is not None and 0 < channel <= len(table) else 0


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one ROSpec does: antennas, transmit power (index of the reader's table), Gen2 session 0-3, expected tags.

    `immediate`: starts by itself once enabled. `rf_mode` None leaves the reader's own. The rest is Impinj:
    `search_mode`, `impinj` for RSSI, phase and Doppler in every record, and `tid` for the tag's TID as well.
    """

    antennas: tuple[int, ...]
    power_index: int
    hop_table: int
    session: int
    population: int
    immediate: bool = True
    rf_mode: int | None = None
    search_mode: int | None = None
    impinj: bool = False
    tid: bool = False


class Notification(NamedTuple):
    """One READER_EVENT_NOTIFICATION. `connection` status of a connection attempt; `antennas` (port, connected) changes;
    `rospecs` (id, 0 begun 1 ended 2 preempted); `unknown` events passed over."""

    utc_us: int | None
    uptime_us: int | None
    connection: int | None
    closed: bool
    antennas: tuple[tuple[int, bool], ...]
    rospecs: tuple[tuple[int, int], ...]
    overflow: bool
    fill_percent: int | None
    exception: str | None
    unknown: int


def get_identity(*, impinj: bool) -> bytes:
    """Body of GET_READER_CONFIG for the reader's id, with its temperature where the maker has it."""
    body = _GET_CONFIG.pack(0, _IDENTIFICATION, 0, 0)
    if impinj:
        body += custom(IMPINJ, _IMPINJ_REQUESTED_DATA, _U32.pack(_IMPINJ_TEMPERATURE_DATA))
    return body


def set_config(keepalive_ms: int, *, hold_events: bool) -> bytes:
    """Body of SET_READER_CONFIG: the events a lane needs, periodic keepalive, and whether the reader holds reports
    until they are enabled."""
    states = b"".join(tlv(245, _U16.pack(kind), b"\x80") for kind in _EVENTS)
    hold = tlv(226, b"\x80") if hold_events else b""
    return b"\0" + tlv(244, states) + tlv(220, b"\x01", _U32.pack(keepalive_ms)) + hold


def enable_impinj() -> bytes:
    """Body of the vendor message that turns Impinj's extensions on."""
    return _IMPINJ_EXTENSIONS.pack(IMPINJ, _IMPINJ_ENABLE, 0)


def is_impinj_enabled(body: bytes) -> bool:
    """Whether a vendor message is the answer to `enable_impinj`; its parameters begin at byte 5."""
    return body[:5] == _U32.pack(IMPINJ) + bytes((_IMPINJ_ENABLED,))


def spec_id(number: int) -> bytes:
    """Body of the requests about one ROSpec or AccessSpec (0: all of them)."""
    return _U32.pack(number)


def add_rospec(number: int, what: Inventory) -> bytes:
    """Body of ADD_ROSPEC: never stops by itself, reports every read at once."""
    triggers = tlv(178, tlv(179, bytes((what.immediate,))), tlv(182, _TIMED_TRIGGER.pack(0, 0)))
    return tlv(177, _ROSPEC.pack(number, 0, ROSPEC_DISABLED), triggers, _antenna_spec(what), _report_spec(what))


def add_tid_read(number: int, rospec: int, words: int) -> bytes:
    """Body of ADD_ACCESSSPEC: of every tag that inventory `rospec` finds, read the first `words` 16-bit words of the
    TID bank, for ever, and report them with the tag."""
    head = _ACCESSSPEC.pack(number, 0, 1, 0, rospec)  # any antenna, EPC Gen2, disabled
    # A mask of no bits in the EPC bank fits every tag.
    every_tag = tlv(338, tlv(339, _TARGET.pack(_EPC_BANK << 6 | 0x20, 0, 0, 0)))
    read = tlv(341, _READ.pack(1, 0, _TID_BANK << 6, 0, words))
    return tlv(207, head, tlv(208, b"\0\0\0"), tlv(209, every_tag, read), tlv(239, b"\0"))


def _antenna_spec(what: Inventory) -> bytes:
    command = [b"\0"]
    if what.rf_mode is not None:
        command.append(tlv(335, _U16.pack(what.rf_mode), _U16.pack(0)))
    command.append(tlv(336, _SINGULATION.pack(what.session << 6, what.population, 0)))
    if what.search_mode is not None:
        command.append(custom(IMPINJ, _IMPINJ_SEARCH_MODE, _U16.pack(what.search_mode)))
    inventory = tlv(330, *command)
    transmitter = tlv(224, _TRANSMITTER.pack(what.hop_table, 1, what.power_index))
    antennas = b"".join(tlv(222, _U16.pack(port), transmitter, inventory) for port in what.antennas)
    ports = _U16.pack(len(what.antennas)) + b"".join(_U16.pack(port) for port in what.antennas)
    spec = tlv(186, _U16.pack(1), b"\x01", antennas)  # air protocol 1: EPC Gen2
    return tlv(183, ports, tlv(184, _TIMED_TRIGGER.pack(0, 0)), spec)


def _report_spec(what: Inventory) -> bytes:
    parts = [tlv(238, _U16.pack(_CONTENT), tlv(348, bytes((_CRC_AND_PC,))))]
    if what.impinj:
        wanted = ((_IMPINJ_TID,) if what.tid else ()) + (_IMPINJ_PHASE, _IMPINJ_RSSI, _IMPINJ_DOPPLER)
        parts.append(custom(IMPINJ, _IMPINJ_CONTENT, b"".join(custom(IMPINJ, kind, _U16.pack(1)) for kind in wanted)))
    return tlv(237, b"\x02", _U16.pack(1), *parts)  # upon one record or the end of the ROSpec


def decode_capabilities(body: bytes) -> Capabilities:
    """ProtocolViolation RFID_BAD_REPLY when it breaks its layout or lacks the general part."""
    general: tuple[int, int, int, int] | None = None
    firmware = ""
    holds = False
    radio = _Radio()
    for found in parameters(body):
        size = found.end - found.start
        if found.type == 137 and size >= 14:
            general = _CAPABILITIES.unpack_from(body, found.start)
            firmware = text_at(body, found.start + 12, found.end)[0]
        elif found.type == 142 and size >= 1:
            holds = bool(body[found.start] & 0x08)
        elif found.type == 143 and size >= 4:
            radio.read_regulation(body, found)
    if general is None:
        raise broken("capabilities")
    return Capabilities(
        antennas=general[0],
        maker=general[2],
        model=general[3],
        firmware=firmware,
        has_utc_clock=bool(general[1] & 0x4000),
        holds_events=holds,
        power_cdbm=radio.power_cdbm,
        hop_tables=radio.hop_tables,
        channels_khz=radio.channels_khz,
        rf_modes=frozenset(radio.rf_modes),
    )


class _Radio:
    """Power levels, channels and modes, gathered from the regulatory capabilities."""

    def __init__(self) -> None:
        self.power_cdbm: dict[int, int] = {}
        self.hop_tables: dict[int, tuple[int, ...]] = {}
        self.channels_khz: tuple[int, ...] = ()
        self.rf_modes: set[int] = set()

    def read_regulation(self, body: bytes, regulation: Parameter) -> None:
        for band in parameters(body, regulation.start + 4, regulation.end):
            if band.type != 144:
                continue
            for found in parameters(body, band.start, band.end):
                self._read_band(body, found)

    def _read_band(self, body: bytes, found: Parameter) -> None:
        if found.type == 145 and found.end - found.start >= 4:
            index, cdbm = _POWER.unpack_from(body, found.start)
            self.power_cdbm[index] = cdbm
        elif found.type == 146 and found.end - found.start >= 1:
            for table in parameters(body, found.start + 1, found.end):
                self._read_frequencies(body, table)
        elif found.type == 328:
            for entry in parameters(body, found.start, found.end):
                if entry.type == 329 and entry.end - entry.start >= 4:
                    self.rf_modes.add(_U32.unpack_from(body, entry.start)[0])

    def _read_frequencies(self, body: bytes, found: Parameter) -> None:
        start = found.start + (2 if found.type == 147 else 0)
        if found.type not in (147, 148) or start + 2 > found.end:
            return
        count = _U16.unpack_from(body, start)[0]
        if start + 2 + 4 * count > found.end:
            raise broken("frequency table")
        table = tuple(_U32.unpack_from(body, start + 2 + 4 * at)[0] for at in range(count))
        if found.type == 147:
            self.hop_tables[body[found.start]] = table
        else:
            self.channels_khz = table


def decode_identity(body: bytes) -> Identity:
    """ProtocolViolation RFID_BAD_REPLY when it breaks its layout."""
    serial = ""
    temperature: int | None = None
    for found in parameters(body):
        if found.type == 218 and found.end - found.start >= 3:
            count = _U16.unpack_from(body, found.start + 1)[0]
            if found.start + 3 + count > found.end:
                raise broken("identification")
            serial = body[found.start + 3 : found.start + 3 + min(count, 32)].hex()
        elif _is_impinj(found, _IMPINJ_TEMPERATURE) and found.end - found.start >= 2:
            temperature = int.from_bytes(body[found.start : found.start + 2], "big", signed=True)
    return Identity(serial, temperature)


def decode_rospecs(body: bytes) -> dict[int, int]:
    """State of every ROSpec by its id. ProtocolViolation RFID_BAD_REPLY when it breaks its layout."""
    states: dict[int, int] = {}
    for found in parameters(body):
        if found.type == 177:
            if found.end - found.start < 6:
                raise broken("ROSpec")
            number, _, state = _ROSPEC.unpack_from(body, found.start)
            states[number] = state
    return states


def decode_notification(body: bytes) -> Notification:
    """ProtocolViolation RFID_BAD_REPLY when it breaks its layout or holds no event data."""
    for found in parameters(body):
        if found.type == 246:
            return _Events(body, found).told()
    raise broken("event")


class _Events:
    """The events of one notification."""

    def __init__(self, body: bytes, data: Parameter) -> None:
        self._body = body
        self._times: dict[int, int] = {}
        self._connection: int | None = None
        self._closed = False
        self._antennas: list[tuple[int, bool]] = []
        self._rospecs: list[tuple[int, int]] = []
        self._overflow = False
        self._fill: int | None = None
        self._exception: str | None = None
        self._unknown = 0
        for found in parameters(body, data.start, data.end):
            self._read(found)

    def told(self) -> Notification:
        return Notification(
            utc_us=self._times.get(128),
            uptime_us=self._times.get(129),
            connection=self._connection,
            closed=self._closed,
            antennas=tuple(self._antennas),
            rospecs=tuple(self._rospecs),
            overflow=self._overflow,
            fill_percent=self._fill,
            exception=self._exception,
            unknown=self._unknown,
        )

    def _read(self, found: Parameter) -> None:
        body, start = self._body, found.start
        size = found.end - start
        if size < _EVENT_SIZES.get(found.type, 0):
            raise broken(f"event {found.type}")
        if found.type in (128, 129):
            self._times[found.type] = _U64.unpack_from(body, start)[0]
        elif found.type == 249:
            kind, number, _ = _ROSPEC_EVENT.unpack_from(body, start)
            self._rospecs.append((number, kind))
        elif found.type == 250:
            self._fill = body[start]
        elif found.type == 251:
            self._overflow = True
        elif found.type == 252:
            self._exception = text_at(body, start, found.end)[0]
        elif found.type == 255:
            kind, port = _ANTENNA_EVENT.unpack_from(body, start)
            self._antennas.append((port, kind == 1))
        elif found.type == 256:
            self._connection = _U16.unpack_from(body, start)[0]
        elif found.type == 257:
            self._closed = True
        else:
            self._unknown += 1


# Least body of each event that is read.
_EVENT_SIZES = {128: 8, 129: 8, 249: 9, 250: 1, 252: 2, 255: 3, 256: 2}


def _is_impinj(found: Parameter, subtype: int) -> bool:
    return found.type == P_CUSTOM and found.vendor == IMPINJ and found.subtype == subtype
