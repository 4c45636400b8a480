"""What one kind of barrier operator is like, as validated data: `firmware_configs/barriers/*.yaml`.

Loss of the agent, of the module or of the cable must leave the arm where it is, and whoever is under it must be
protected by the operator itself. A profile that says otherwise is refused.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from drivers.api import DeviceRefused, EdgeError
from drivers.profiles import ProfileFileError, parse_profile_file


class BarrierProfile(BaseModel):
    """One kind of operator; the keys are told in `firmware_configs/barriers/README.md`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1)]
    version: Annotated[StrictInt, Field(ge=1)]
    evidence: Literal["manual", "bench", "site"]
    on_release: Literal["stays", "lowers", "raises"]
    commands: Literal["pulses", "held"]
    own_presence: bool
    own_anti_crush: bool
    pulse_ms: Annotated[StrictInt, Field(ge=100, le=2000)]
    cannot_confirm: Annotated[tuple[str, ...], Field(min_length=1)]

    @property
    def refusal(self) -> tuple[str, str] | None:
        """The key and the reason for which it must not be used; None when it may be."""
        checks = (
            ("on_release", self.on_release == "lowers", "loss of the agent would bring the arm down"),
            ("on_release", self.on_release == "raises", "loss of the agent would open the lane"),
            ("commands", self.commands == "held", "a contact that is held moves the arm when nobody asks any more"),
            ("own_presence", not self.own_presence, "the operator must see for itself who is under the arm"),
            ("own_anti_crush", not self.own_anti_crush, "the operator must limit its force by itself"),
        )
        return next(((key, why) for key, applies, why in checks if applies), None)


def load_barrier(path: Path) -> BarrierProfile:
    """Read, validate and judge one profile. EdgeError PROFILE_INVALID, DeviceRefused PROFILE_UNSAFE."""
    try:
        profile, document = parse_profile_file(path.read_bytes(), path.name, BarrierProfile)
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise EdgeError("PROFILE_INVALID", f"no barrier profile {path.stem}", f"known: {known}") from None
    except OSError as error:
        raise EdgeError("PROFILE_INVALID", f"{path.name}: {error}") from error
    except ProfileFileError as error:
        raise EdgeError("PROFILE_INVALID", str(error), "see firmware_configs/barriers/README.md") from error
    if profile.refusal is not None:
        key, why = profile.refusal
        raise DeviceRefused("PROFILE_UNSAFE", f"{document.place((key,))}: {why}", "use an operator that stays put")
    return profile
