"""Settings of a TransCore Encompass reader, and its profiles in `firmware_configs/rfid`."""

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field, field_validator

from drivers.rfid.settings.family import ProfileName, ReaderSettings, SettingsModel
from drivers.rfid.settings.profiles import ReaderProfile, load_profile

Text = Annotated[str, Field(min_length=1, max_length=72)]


class EncompassSettings(ReaderSettings):
    """One Encompass reader on a serial port (8N1). The driver never stops its flow, and keeps RTS on for `hardware`."""

    kind: Literal["encompass"] = "encompass"
    port: str = Field(min_length=1, max_length=255, description="Serial port; by its adapter, not ttyUSB0")
    baud: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200] = Field(
        default=9600, description="Bit rate, bits/s"
    )
    protocol: Literal["basic", "ecp"] = Field(default="ecp", description="Protocol the reader is put into")
    flow: Literal["none", "software", "hardware"] = Field(
        default="none", description="Flow control the reader is told to use"
    )
    antennas: tuple[Annotated[int, Field(ge=1, le=4)], ...] = Field(
        default=(1,), min_length=1, max_length=4, description="Antenna ports in use; 1 for a reader with one antenna"
    )
    keepalive_s: float = Field(
        default=10.0, ge=2, le=600, description="Silent for so long, the reader is asked whether it lives"
    )
    serial: str | None = Field(
        default=None,
        pattern=r"^[0-9A-Za-z]{1,12}$",
        description="Serial number the reader must answer with (quote it); any when absent",
    )
    profile: ProfileName = "encompass_e4"

    @property
    def place(self) -> tuple[str, str]:
        """What the reader occupies alone, and the key that says so."""
        return self.port, "port"

    @property
    def named(self) -> tuple[str | None, str]:
        """The serial number it must answer with, and its key."""
        return self.serial, "serial"


class Readback(SettingsModel):
    """A status command, and the field its answer must hold."""

    command: str = Field(pattern=r"^5[0-9A-F]{2}$")
    field: str = Field(pattern=r"^[A-Z][0-9A-F]{1,3}$")


class ReaderCommand(SettingsModel):
    """One command of the set-up. Not the ones the driver sends itself, and never a test carrier or a download."""

    name: str = Field(min_length=1)
    command: str = Field(pattern=r"^[3468][0-9A-F]{1,5}$")
    required: bool
    readback: Readback | None = None

    @field_validator("command")
    @classmethod
    def _is_a_setting(cls, command: str) -> str:
        # 61: protocol and its time, the driver's own; 63: reset; 6402: test carrier; 695: the serial number.
        if command.startswith(("610", "611", "612", "613", "614", "63", "6402", "695")):
            raise ValueError(f"{command} is no setting a profile may make")
        return command


class ReportTexts(SettingsModel):
    """What the reader sends instead of a tag's text."""

    presence_without_tag: tuple[Text, ...]
    input_change: tuple[Text, ...]


class EncompassProfile(ReaderProfile):
    """What is set on a reader family. `digest` is the SHA-256 of the file it came from."""

    models: tuple[str, ...]
    ecp_timeout_ms: int = Field(ge=100, le=12_700)
    settings: tuple[ReaderCommand, ...] = Field(max_length=20)
    reports: ReportTexts
    tag_page: bool = False


@lru_cache(maxsize=8)  # every session asks for it, and parsing must not hold up the loop that makes sessions
def load_encompass_profile(name: str) -> EncompassProfile:
    """The profile `name` of `firmware_configs/rfid`. DeviceRefused PROFILE_MISSING or PROFILE_INVALID."""
    return load_profile(name, EncompassProfile, "encompass")
