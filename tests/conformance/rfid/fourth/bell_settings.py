"""Settings of a Bell reader (there is none), and its profiles."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from drivers.rfid.settings.family import FilePath, ProfileName, ReaderSettings
from drivers.rfid.settings.profiles import ReaderProfile, load_profile


class BellSettings(ReaderSettings):
    """One Bell reader on the network."""

    kind: Literal["bell"] = "bell"
    host: str = Field(min_length=1, max_length=253, description="Name or address of the reader")
    port: int = Field(ge=1, le=65535, description="TCP port")
    password_file: FilePath = Field(description="File holding the password and nothing else")
    keepalive_ms: int = Field(default=500, ge=100, le=10_000, description="Period of the reader's sign of life")
    serial: str | None = Field(default=None, description="Serial number the reader must answer with")
    profile: ProfileName = "bell_one"

    @property
    def place(self) -> tuple[str, str]:
        """What the reader occupies alone, and the key that says so."""
        return f"{self.host}:{self.port}", "host"

    @property
    def named(self) -> tuple[str | None, str]:
        """The serial number it must answer with, and its key."""
        return self.serial, "serial"


class BellProfile(ReaderProfile):
    """What is asked of a model: the word that makes it read."""

    start: str


def load_bell_profile(name: str) -> BellProfile:
    """The profile `name`. DeviceRefused PROFILE_MISSING or PROFILE_INVALID."""
    return load_profile(name, BellProfile, "bell", folders=(Path(__file__).parent,))
