"""Settings of LLRP readers as a lane's configuration gives them, and their profiles in `firmware_configs/rfid`."""

from functools import lru_cache
from typing import Literal

from pydantic import Field, model_validator

from drivers.rfid.settings.family import FilePath, ProfileName, ReaderSettings, SettingsModel
from drivers.rfid.settings.profiles import ReaderProfile, load_profile

PORT, TLS_PORT = 5084, 5085
"""As IANA assigns them to LLRP and LLRP over TLS."""


class LlrpTls(SettingsModel):
    """TLS towards the reader."""

    ca_file: FilePath = Field(description="Certificates the reader's must be signed by, or the reader's own (PEM)")
    cert_file: FilePath | None = Field(default=None, description="Our certificate, where the reader asks for one (PEM)")
    key_file: FilePath | None = Field(default=None, description="Our private key (PEM)")
    server_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="What the reader's certificate is made out to; host when absent",
    )

    @model_validator(mode="after")
    def _certificate_with_key(self) -> "LlrpTls":
        if (self.cert_file is None) is not (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class LlrpSettings(ReaderSettings):
    """One LLRP reader on the network."""

    kind: Literal["llrp"] = "llrp"
    host: str = Field(
        min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_.:-]+$", description="Name or address of the reader"
    )
    tls: LlrpTls | None = Field(default=None, description="TLS to the reader; the port is 5085 then")
    port: int = Field(
        default_factory=lambda given: TLS_PORT if given.get("tls") else PORT,
        ge=1,
        le=65535,
        description="TCP port; 5084, or with tls 5085, when absent",
    )
    power_cdbm: int = Field(
        default=2700, ge=-1000, le=4000, description="Centi-dBm: the reader's highest level not above it"
    )
    session: int = Field(default=1, ge=0, le=3, description="Gen2 session")
    population: int = Field(default=32, ge=1, le=65535, description="Tags expected in the field at one time")
    rf_mode: int | None = Field(
        default=None, ge=0, le=65535, description="One of the reader's modes; the profile's or its own when absent"
    )
    keepalive_ms: int = Field(default=5000, ge=200, le=60_000, description="Period of the reader's sign of life")
    read_tid: bool = Field(
        default=False,
        description="The chip's own number with every read, where the reader offers it: by its maker's extension, or by"
        " the standard's read operation (slower)",
    )
    reader_id: str | None = Field(
        default=None,
        pattern=r"^([0-9A-Fa-f]{2}){1,32}$",
        description="Id (MAC or EPC, hex; quote it) the reader must answer with; any when absent",
    )
    profile: ProfileName = "llrp_generic"

    @property
    def place(self) -> tuple[str, str]:
        """What the reader occupies alone, and the key that says so."""
        return f"{self.host}:{self.port}", "host"

    @property
    def named(self) -> tuple[str | None, str]:
        """The id it must answer with, as it writes it, and its key."""
        return None if self.reader_id is None else self.reader_id.lower(), "reader_id"


class LlrpProfile(ReaderProfile):
    """What is asked of a reader family. `makers` IANA private enterprise numbers it was written for (none: any);
    `models` names by model number; `start` by trigger or by request; `digest` is the SHA-256 of the file it came from.

    `connect_s` bounds the connection and the reader's greeting, `answer_s` one request; after `silent_periods`
    keepalive periods without a message the link is dead. `temperature_s` is how often the temperature is asked for;
    `tid_words` 16-bit words read of the TID bank where a read operation does it.
    """

    makers: tuple[int, ...]
    models: dict[int, str] = Field(default_factory=dict)
    extensions: Literal["none", "impinj"]
    start: Literal["immediate", "request"]
    rf_mode: int | None = Field(ge=0, le=65535)
    search_mode: int | None = Field(ge=0, le=65535)
    connect_s: float = Field(gt=0, le=30)
    answer_s: float = Field(gt=0, le=30)
    silent_periods: float = Field(ge=1.5, le=3)
    temperature_s: float = Field(ge=1)
    tid_words: int = Field(ge=2, le=31)


@lru_cache(maxsize=8)  # every session asks for it, and parsing must not hold up the loop that makes sessions
def load_llrp_profile(name: str) -> LlrpProfile:
    """The profile `name` of `firmware_configs/rfid`. DeviceRefused PROFILE_MISSING or PROFILE_INVALID."""
    return load_profile(name, LlrpProfile, "llrp")
