"""How a reader profile is found and read. Same for all families."""

import hashlib
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field

from drivers.api import DeviceRefused
from drivers.profiles import ProfileFileError, parse_profile_file
from drivers.rfid.settings.family import SettingsModel

# A wheel carries the profiles inside the package; a source tree has them beside it.
PROFILE_FOLDERS = (
    Path(__file__).parents[2] / "_profiles" / "rfid",
    Path(__file__).parents[3] / "firmware_configs" / "rfid",
)


class ReaderProfile(SettingsModel):
    """What every reader profile begins with. `digest` is the SHA-256 of the file it came from."""

    profile: str
    version: int = Field(ge=1)
    model: str
    evidence: Literal["manual", "bench", "site"]
    sources: tuple[str, ...]
    digest: str = ""


P = TypeVar("P", bound=ReaderProfile)


def load_profile(name: str, model: type[P], family: str, folders: tuple[Path, ...] = PROFILE_FOLDERS) -> P:
    """The profile `name` of `firmware_configs/rfid`, as `model`; `family` is how the names of its kind begin.

    DeviceRefused PROFILE_MISSING or PROFILE_INVALID.
    """
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            return parse_profile(name, path.read_bytes(), model)
    known = sorted(path.stem for folder in folders for path in folder.glob(f"{family}_*.yaml"))
    raise DeviceRefused("PROFILE_MISSING", f"no reader profile {name!r}", f"known: {', '.join(known) or 'none'}")


def parse_profile(name: str, text: bytes, model: type[P]) -> P:
    """A profile file's bytes as `model`. DeviceRefused PROFILE_INVALID."""
    try:
        profile, document = parse_profile_file(text, f"{name}.yaml", model, digest=hashlib.sha256(text).hexdigest())
    except ProfileFileError as error:
        raise DeviceRefused("PROFILE_INVALID", str(error), "see firmware_configs/rfid/README.md") from error
    if profile.profile != name:
        place = document.place(("profile",))
        raise DeviceRefused("PROFILE_INVALID", f"{place}: {name} calls itself {profile.profile}", "name it as its file")
    return profile
