"""Settings of RFID readers as a lane's configuration gives them, and the profiles in `firmware_configs/rfid`."""

from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from drivers.rfid.settings.encompass import EncompassSettings as EncompassSettings
from drivers.rfid.settings.llrp import LlrpSettings as LlrpSettings  # the configuration takes all families from here
from drivers.rfid.settings.profiles import AntennaPort, ReaderProfile, load_profile

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


class MercurySettings(BaseModel):
    """One Mercury reader on a serial port.

    `baud` bits/s; `antennas` ports in search order; `power_cdbm` centi-dBm, checked against the module's own limits;
    `cycle_ms` length of one read cycle; `off_ms` pause after it, for reading with less than full duty: together the
    sign-of-life period. `read_tid`: the chip's own number is read with every sighting (slower; a tag whose number
    cannot be read is reported without it).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["mercury"] = "mercury"
    port: str = Field(min_length=1, max_length=255)
    baud: Literal[9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600] = 115200
    region: MercuryRegion
    antennas: tuple[AntennaPort, ...] = Field(min_length=1, max_length=16)
    power_cdbm: int = Field(default=2700, ge=-1000, le=4000)
    cycle_ms: int = Field(default=1000, ge=50, le=60_000)
    off_ms: int = Field(default=0, ge=0, le=60_000)
    read_tid: bool = False
    profile: str = Field(default="mercury_m6e", pattern=r"^[a-z0-9_]+$")

    @property
    def place(self) -> tuple[str, str]:
        """What the reader occupies alone, and the key that says so."""
        return self.port, "port"

    @field_validator("antennas")
    @classmethod
    def _ports_once(cls, ports: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(ports)) != len(ports):
            raise ValueError("an antenna port is listed twice")
        return ports


class ReaderOption(BaseModel):
    """One opcode 9A setting."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    key: int = Field(ge=0, le=0xFF)
    value: int = Field(ge=0, le=0xFF)
    required: bool


class Derate(BaseModel):
    """Duty cycle while the module is too hot, and when full duty comes back: after `hold_s` without a complaint and
    `recover_drop_c` below the hottest report; without reports after `cool_down_s`. `retry_s`: how often a module too
    hot to start is asked again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
