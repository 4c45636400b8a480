"""Settings of a message sign, and the profile of its kind (`firmware_configs/sign`)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers.api import EdgeError
from drivers.profiles import ProfileFileError, parse_profile_file

TextName = Literal["stop", "secondary", "closed"]
TEXTS: tuple[TextName, ...] = ("stop", "secondary", "closed")


class SignSettings(BaseModel):
    """One NTCIP 1203 sign. `profile`: a file name of `firmware_configs/sign` without its ending; `duration_min`: how
    long an activated text lasts when nobody renews it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[str, Field(min_length=1, max_length=253, description="Address of the sign's controller")]
    port: Annotated[int, Field(ge=1, le=65535, description="UDP port of its SNMP agent")] = 161
    profile: Annotated[str, Field(pattern=r"^[a-z0-9_]+$", description="File of firmware_configs/sign, without .yaml")]
    timeout_ms: Annotated[int, Field(ge=100, le=5000, description="Longest wait for an answer")] = 1000


class SignProfile(BaseModel):
    """One kind of sign; the keys are told in `firmware_configs/sign/README.md`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1)]
    version: Annotated[int, Field(ge=1)]
    evidence: Literal["manual", "bench", "site"]
    snmp: Literal["v1", "v2c"]
    first_message: Annotated[int, Field(ge=1, le=65_000)]
    priority: Annotated[int, Field(ge=1, le=255)]
    duration_min: Annotated[int, Field(ge=1, le=10)]
    comm_loss_min: Annotated[int, Field(ge=1, le=10)]
    texts: dict[TextName, Annotated[str, Field(pattern=r"^[\x20-\x7e\u00c0-\u00ff]{1,255}$")]]
    cannot_confirm: Annotated[tuple[str, ...], Field(min_length=1)]


def default_sign_dir() -> Path:
    """Where the profiles are: beside the installed package, or in the source tree."""
    packaged = Path(__file__).parents[1] / "_profiles" / "sign"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "firmware_configs" / "sign"


def load_sign(path: Path) -> SignProfile:
    """Read and validate one profile. EdgeError PROFILE_INVALID."""
    try:
        profile, document = parse_profile_file(path.read_bytes(), path.name, SignProfile)
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise EdgeError("PROFILE_INVALID", f"no sign profile {path.stem}", f"known: {known}") from None
    except OSError as error:
        raise EdgeError("PROFILE_INVALID", f"{path.name}: {error}") from error
    except ProfileFileError as error:
        raise EdgeError("PROFILE_INVALID", str(error), "see firmware_configs/sign/README.md") from error
    missing = [name for name in TEXTS if name not in profile.texts]
    if missing:
        raise EdgeError("PROFILE_INVALID", f"{document.place(('texts',))}: texts: {', '.join(missing)} missing")
    return profile
