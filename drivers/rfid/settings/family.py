"""What the settings of all reader families share. A family derives its own from `ReaderSettings`; the section of a
lane's configuration is built from that, so that the agent knows no family."""

from abc import abstractmethod
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator


def _beside_file(path: Path, info: ValidationInfo) -> Path:
    # Relative paths count from the configuration file, so that a folder can be moved as a whole.
    folder: Path | None = (info.context or {}).get("folder")
    return path if folder is None else folder / path


FilePath = Annotated[Path, AfterValidator(_beside_file)]
"""A file named in the configuration. Secrets are given this way and no other: `password_file`, not `password`."""
AntennaPort = Annotated[int, Field(ge=1, le=16)]
ProfileName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", description="File of firmware_configs/rfid, without .yaml")]


class SettingsModel(BaseModel):
    """A group of settings: unknown keys are errors, values do not change. Every key has a description, and its unit in
    its name; values that depend on each other are checked by a validator that says what to do."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ReaderSettings(SettingsModel):
    """One reader. A family gives `kind` its one value, `profile` its default, and says in `place` where the reader is.

    `antennas`: ports in use, numbered as in the lane's geometry.
    """

    kind: str
    antennas: tuple[AntennaPort, ...] = Field(
        min_length=1, max_length=16, description="Antenna ports in use, in the order they are searched"
    )
    profile: ProfileName

    @property
    @abstractmethod
    def place(self) -> tuple[str, str]:
        """What the reader occupies alone (a port's path, host:port), and the key that says so."""

    @property
    def named(self) -> tuple[str | None, str]:
        """What the reader must say it is (None: anything), and the key that names it; "" in a family that tells
        nothing of the kind."""
        return None, ""

    @field_validator("antennas")
    @classmethod
    def _ports_once(cls, ports: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(ports)) != len(ports):
            raise ValueError("an antenna port is listed twice")
        return ports
