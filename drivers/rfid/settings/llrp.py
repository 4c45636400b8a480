"""Settings of LLRP readers as a lane's configuration gives them, and their profiles in `firmware_configs/rfid`."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from drivers.rfid.settings.profiles import AntennaPort, ReaderProfile, load_profile

PORT, TLS_PORT = 5084, 5085
"""As IANA assigns them to LLRP and LLRP over TLS."""


class LlrpTls(BaseModel):
    """TLS towards the reader: `ca_file` certificates (PEM) its own must be signed by, or be; `cert_file` and `key_file`
    ours, where the reader asks for one; `server_name` what its certificate is made out to, `host` when absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = Field(default=None, min_length=1, max_length=253)

    @model_validator(mode="after")
    def _certificate_with_key(self) -> "LlrpTls":
        if (self.cert_file is None) is not (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class LlrpSettings(BaseModel):
    """One LLRP reader on the network.

    `port` TCP, 5084 or with `tls` 5085; `antennas` ports in use; `power_cdbm` centi-dBm: the reader's highest level not
    above it; `session` Gen2 session; `population` tags expected in the field at one time; `rf_mode` one of the reader's
    modes (the profile's or its own choice when absent); `keepalive_ms` period of the reader's sign of life; `read_tid`
    the chip's own number with every read, where the reader offers it: by its maker's extension, or by the standard's
    read operation (slower); `reader_id` what the reader says it is (MAC or EPC, hex): another one at this address is
    refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["llrp"] = "llrp"
    host: str = Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_.:-]+$")
    tls: LlrpTls | None = None
    port: int = Field(default_factory=lambda given: TLS_PORT if given.get("tls") else PORT, ge=1, le=65535)
    antennas: tuple[AntennaPort, ...] = Field(min_length=1, max_length=16)
    power_cdbm: int = Field(default=2700, ge=-1000, le=4000)
    session: int = Field(default=1, ge=0, le=3)
    population: int = Field(default=32, ge=1, le=65535)
    rf_mode: int | None = Field(default=None, ge=0, le=65535)
    keepalive_ms: int = Field(default=5000, ge=200, le=60_000)
    read_tid: bool = False
    reader_id: str | None = Field(default=None, pattern=r"^([0-9A-Fa-f]{2}){1,32}$")
    profile: str = Field(default="llrp_generic", pattern=r"^[a-z0-9_]+$")

    @property
    def place(self) -> tuple[str, str]:
        """What the reader occupies alone, and the key that says so."""
        return f"{self.host}:{self.port}", "host"

    @field_validator("antennas")
    @classmethod
    def _ports_once(cls, ports: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(ports)) != len(ports):
            raise ValueError("an antenna port is listed twice")
        return ports


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
