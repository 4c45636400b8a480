"""The target file is read strictly: a misspelt limit must not silently hold nobody to anything."""

import pytest
import yaml
from pydantic import ValidationError

from hil.rig.target import TARGETS, Target, load_target


def test_the_virtual_target_is_whole() -> None:
    assert load_target("virtual").limits.kill_to_red_s == 2.0


@pytest.mark.parametrize("change", [{"kill_to_red_ms": 1}, {"sealed_s": -1}, {"rss_mb": None}])
def test_a_wrong_limit_is_refused(change: dict[str, float | None]) -> None:
    raw = yaml.safe_load((TARGETS / "virtual.yaml").read_text())
    raw["limits"].update(change)
    with pytest.raises(ValidationError):
        Target.model_validate(raw)
