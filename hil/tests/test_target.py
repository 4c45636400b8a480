"""The target file is read strictly: a misspelt limit must not silently hold nobody to anything."""

import pytest
import yaml
from pydantic import ValidationError

from hil.rig.target import TARGETS, Target, load_target


@pytest.mark.parametrize("name", [path.stem for path in sorted(TARGETS.glob("*.yaml"))])
def test_the_targets_are_whole(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.limits.kill_to_red_s == 2.0


@pytest.mark.parametrize("change", [{"kill_to_red_ms": 1}, {"sealed_s": -1}, {"rss_mb": None}])
def test_a_wrong_limit_is_refused(change: dict[str, float | None]) -> None:
    raw = yaml.safe_load((TARGETS / "virtual.yaml").read_text())
    raw["limits"].update(change)
    with pytest.raises(ValidationError):
        Target.model_validate(raw)


def test_a_module_wired_otherwise_or_reached_nowhere_is_refused() -> None:
    raw = yaml.safe_load((TARGETS / "virtual.yaml").read_text())
    raw["devices"]["io-1"]["wiring"]["zone_x"] = "input 5"
    with pytest.raises(ValidationError, match="zone_x: input 4"):
        Target.model_validate(raw)
    raw = yaml.safe_load((TARGETS / "virtual.yaml").read_text())
    raw["devices"]["io-1"]["wiring"]["barrier_lower"] = "output 6"
    with pytest.raises(ValidationError, match="barrier_lower: output 5"):
        Target.model_validate(raw)
    raw = yaml.safe_load((TARGETS / "virtual.yaml").read_text())
    raw["devices"]["rfid-1"]["control"] = "/run/bench/rfid-1.ctl"
    with pytest.raises(ValidationError, match="says where it is"):
        Target.model_validate(raw)


def test_an_arm_needs_its_wires_and_the_profile_of_its_operator_and_neither_stands_alone() -> None:
    raw = yaml.safe_load((TARGETS / "virtual.yaml").read_text())
    profile = raw["devices"]["io-1"].pop("barrier")
    with pytest.raises(ValidationError, match="barrier_arm"):
        Target.model_validate(raw)
    raw["devices"]["io-1"]["barrier"] = profile
    raw["capabilities"].remove("barrier_arm")
    with pytest.raises(ValidationError, match="barrier_arm"):
        Target.model_validate(raw)
    del raw["devices"]["io-1"]["barrier"]
    raw["devices"]["io-1"]["wiring"].pop("barrier_raise")
    assert not Target.model_validate(raw).devices["io-1"].barrier
