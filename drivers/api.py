"""The contract between devices and everything above: observations, faults and the shapes of a driver. Pure.

A driver turns bytes into observations and raises `DeviceError` when it cannot go on. It holds no lane knowledge.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol


class EdgeError(Exception):
    """Root of every fault the agent names. `code` is stable and is the same in logs, metrics, gRPC ErrorInfo and the
    runbook heading; `hint` says what to do next."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class DeviceError(EdgeError):
    """A device fault; the message begins with what failed. Whoever runs the session knows the device's id."""

    retryable = True


class LinkLost(DeviceError):
    """The port or connection is gone, or never came up."""


class DeviceTimeout(DeviceError):
    """The device did not answer within its bound."""


class ProtocolViolation(DeviceError):
    """The device answered with bytes its protocol does not allow, or with another request's answer."""


class DeviceRefused(DeviceError):
    """Wrong device, unsafe profile or a configuration the device rejects: parked and re-probed slowly, not retried."""

    retryable = False


@dataclass(frozen=True, slots=True)
class Stamp:
    """Both clocks of this computer, taken once at the driver: `mono_ns` orders and times, `utc_ns` is evidence only."""

    mono_ns: int
    utc_ns: int


class Clock(Protocol):
    """Where a driver takes its stamps from."""

    def stamp(self) -> Stamp:
        """The time now on both clocks."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """An identity value (EPC, plate, card number) in clear. Prints redacted everywhere: compare it, seal it, never log
    it."""

    value: bytes

    def __repr__(self) -> str:
        return "Secret(redacted)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(redacted)"

    def reveal(self) -> bytes:
        """The clear bytes. Callers are the sealing code and the officer role of the API; nothing else may call it."""
        return self.value


class Aspect(StrEnum):
    """What a signal head shows. FLASHING_RED only on heads with a hardware flasher; DARK is observed, never
    commanded."""

    RED = "red"
    AMBER = "amber"
    GREEN = "green"
    FLASHING_RED = "flashing_red"
    DARK = "dark"


class Grade(IntEnum):
    """How well an aspect is confirmed: by the module's own coil readback, an auxiliary contact, or lamp current."""

    NONE = 0
    COIL = 1
    CONTACT = 2
    LAMP = 3


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """Who answered on the port, as read from the device itself."""

    kind: str
    model: str
    firmware: str = ""
    serial: str = ""
    profile: str = ""
    profile_digest: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceUp:
    """First observation of every session: the device was identified, configured and verified."""

    stamp: Stamp
    device: str
    info: DeviceInfo


RSSI_UNKNOWN_CDBM = -12_800
"""Weaker than anything a reader hears: the level was not measured."""


@dataclass(frozen=True, slots=True)
class TagRead:
    """One sighting of one transponder by one antenna, as the reader reported it.

    `rssi_cdbm` centi-dBm (negative), `RSSI_UNKNOWN_CDBM` when the reader measures none; `phase_deg` 0-180;
    `frequency_khz`; `reader_ms` the reader's own time base; `tag_crc_ok` None when the air CRC was not
    reported; `pc` the ISO 18000-63 protocol control word (0 when absent).
    """

    stamp: Stamp
    device: str
    antenna: int
    epc: Secret
    pc: int
    rssi_cdbm: int
    reads: int
    protocol: str = "gen2"
    frequency_khz: int = 0
    phase_deg: int = 0
    reader_ms: int = 0
    tag_crc_ok: bool | None = None
    tid: Secret | None = None


class ReaderEventCode(StrEnum):
    """What a reader tells besides tags."""

    KEEPALIVE = "keepalive"
    OVER_TEMPERATURE = "over_temperature"
    COOLED = "cooled"
    ANTENNA_NOT_CONNECTED = "antenna_not_connected"
    ANTENNA_CONNECTED = "antenna_connected"
    HIGH_RETURN_LOSS = "high_return_loss"
    RESTARTED = "restarted"
    GAP = "gap"
    TEMPERATURE = "temperature"
    DROPPED_RECORD = "dropped_record"
    DEVICE_STATUS = "device_status"
    UNREAD_VEHICLE = "unread_vehicle"
    INPUT_CHANGED = "input_changed"


@dataclass(frozen=True, slots=True)
class ReaderEvent:
    """Reader health. `value` is in the unit of the code: TEMPERATURE °C, GAP seconds without a sign of life,
    DEVICE_STATUS the raw status word, DROPPED_RECORD the count dropped, INPUT_CHANGED the reader's own inputs as bits.
    UNREAD_VEHICLE: the reader felt a vehicle and read no tag on it. OVER_TEMPERATURE: it reads less because it is too
    hot, until COOLED says that it reads in full again; ANTENNA_NOT_CONNECTED holds until ANTENNA_CONNECTED."""

    stamp: Stamp
    device: str
    code: ReaderEventCode
    antenna: int | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class InputSnapshot:
    """All lane inputs of one I/O module at one instant: levels (True = active, after the configured polarity) and the
    number of level changes seen since the session began. `session` changes whenever continuity was lost (reconnect,
    restart, a poll gap over the staleness bound): edges may have been missed in between."""

    stamp: Stamp
    device: str
    session: int
    levels: Mapping[str, bool]
    edges: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SignalReadback:
    """What the head's module says after one bounded exchange.

    `stamp`: when the feedback was read, or the outputs where they differ from what was written or nothing is fed back.
    On a slow line outputs that do not differ may have been read up to two poll periods earlier.
    `coils`: the aspect the outputs command (None: a combination that is no aspect). `lamps`: the aspect the feedback
    inputs show (None: no feedback wired). `grade`: the best grade this head's wiring can confirm. `conflict`: red and
    green shown together. `tripped`: the module's watchdog has dropped the outputs. `foreign_write`: outputs differ from
    what this session last wrote.
    """

    stamp: Stamp
    device: str
    coils: Aspect | None
    lamps: Aspect | None
    grade: Grade
    conflict: bool = False
    tripped: bool = False
    foreign_write: bool = False


Observation = DeviceUp | TagRead | ReaderEvent | InputSnapshot | SignalReadback
Emit = Callable[[Observation], None]


class Source(Protocol):
    """A device that produces observations. One object is one session."""

    async def run(self, emit: Emit) -> None:
        """Open, identify, configure, emit until the session ends; close in `finally`; raise DeviceError. `emit` never
        blocks. Cancellation ends the session within 1 s."""
        ...


class SignalHead(Protocol):
    """A signal head on a live session. Each call is one bounded exchange; both raise DeviceError."""

    async def write(self, aspect: Aspect) -> None:
        """Command RED, AMBER or GREEN. Also feeds the module's watchdog: only a completed control cycle may call it.
        GREEN on a head that cannot confirm or cannot fail safe raises DeviceRefused."""
        ...

    async def read(self) -> SignalReadback:
        """Outputs and feedback, read back now, ahead of ordinary polls."""
        ...


def token_of(secret: Secret, key: bytes) -> str:
    """Keyed equality token of an identity value: the first 128 bits of HMAC-SHA-256 (RFC 2104), in hex.

    `key` is the site key, at least 16 bytes; ValueError when shorter.
    """
    if len(key) < 16:
        raise ValueError("site key must be at least 16 bytes")
    return hmac.digest(key, secret.value, "sha256").hex()[:32]
