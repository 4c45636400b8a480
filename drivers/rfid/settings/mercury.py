"""Settings of a Mercury reader, and its profiles in `firmware_configs/rfid`."""

from functools import lru_cache
from typing import Literal

from pydantic import Field, field_validator

from drivers.rfid.settings.family import ProfileName, ReaderSettings, SettingsModel
from drivers.rfid.settings.profiles import ReaderProfile, load_profile

MercuryRegion = Literal["na", "eu", "in", "jp", "prc", "eu3", "kr2", "au", "nz", "na2", "na3", "open"]
REGION_CODES: dict[str, int] = {
    "na": 0x01,
    "eu": 0x02,
    "in": 0x04,
    "jp": 0x05,
    "prc": 0x06,
    "eu3": 0x08,
    "kr2": 0x09,
    "au": 0x0B,
    "nz": 0x0C,
    "na2": 0x0D,
    "na3": 0x0E,
    "open": 0xFF,
}


class MercurySettings(ReaderSettings):
    """One Mercury reader on a serial port. One read cycle and the pause after it are the sign-of-life period."""

    kind: Literal["mercury"] = "mercury"
    port: str = Field(min_length=1, max_length=255, description="Serial port; by its adapter, not ttyUSB0")
    baud: Literal[9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600] = Field(
        default=115200, description="Bit rate, bits/s; a module found at another one is moved to it"
    )
    region: MercuryRegion = Field(description="Radio rules the module is to keep")
    power_cdbm: int = Field(
        default=2700, ge=-1000, le=4000, description="Read power, centi-dBm; within the module's own limits"
    )
    cycle_ms: int = Field(default=1000, ge=50, le=60_000, description="Length of one read cycle")
    off_ms: int = Field(
        default=0, ge=0, le=60_000, description="Pause after each cycle, to read at less than full duty"
    )
    read_tid: bool = Field(
        default=False, description="Read the chip's own number with every sighting (slower); a read never fails for it"
    )
    serial: str | None = Field(
        default=None,
        pattern=r"^[!-~]{1,32}$",
        description="Serial number the module must answer with (quote it); any when absent",
    )
    profile: ProfileName = "mercury_m6e"

    @property
    def place(self) -> tuple[str, str]:
        """What the reader occupies alone, and the key that says so."""
        return self.port, "port"

    @property
    def named(self) -> tuple[str | None, str]:
        """The serial number it must answer with, and its key."""
        return self.serial, "serial"


class ReaderOption(SettingsModel):
    """One opcode 9A setting."""

    name: str
    key: int = Field(ge=0, le=0xFF)
    value: int = Field(ge=0, le=0xFF)
    required: bool


class Derate(SettingsModel):
    """Duty cycle while the module is too hot, and when full duty comes back: after `hold_s` without a complaint and
    `recover_drop_c` below the hottest report; without reports after `cool_down_s`. `retry_s`: how often a module too
    hot to start is asked again."""

    on_ms: int = Field(ge=1, le=60_000)
    off_ms: int = Field(ge=1, le=60_000)
    hold_s: float = Field(gt=0)
    recover_drop_c: int = Field(ge=1, le=50)
    cool_down_s: float = Field(gt=0)
    retry_s: float = Field(gt=0)


class MercuryProfile(ReaderProfile):
    """What is set on a module family. `statistics_flags` content of the report after each read cycle (0100:
    temperature; 0: none); `tid_words` 16-bit words read of the TID bank; `digest` is the SHA-256 of the file it came
    from."""

    hardware_ids: tuple[int, ...]
    protocol: int = Field(ge=1, le=0xFFFF)
    metadata_flags: int = Field(ge=0, le=0x1FFF)
    statistics_flags: int = Field(ge=0, le=0x0FFF)
    tid_words: int = Field(ge=2, le=31)
    options: tuple[ReaderOption, ...]
    silent_cycles: float = Field(ge=2, le=3)
    derate: Derate
    antenna_recheck_s: float = Field(gt=0)

    @field_validator("metadata_flags")
    @classmethod
    def _has_what_a_lane_needs(cls, flags: int) -> int:
        if flags & 0x57 != 0x57:
            raise ValueError("read count, RSSI, antenna, reader time and protocol (0x57) must be on")
        return flags


@lru_cache(maxsize=8)  # every session asks for it, and parsing must not hold up the loop that makes sessions
def load_mercury_profile(name: str) -> MercuryProfile:
    """The profile `name` of `firmware_configs/rfid`. DeviceRefused PROFILE_MISSING or PROFILE_INVALID."""
    return load_profile(name, MercuryProfile, "mercury")
