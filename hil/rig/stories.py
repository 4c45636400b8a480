"""The scenario files of this bench, by name."""

from pathlib import Path

from hil.world.scenario import Scenario, load_scenario

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"


def story_names() -> list[str]:
    """Every file in hil/scenarios."""
    return sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


def load_story(given: str) -> Scenario:
    """The story of a file, or of a name in hil/scenarios. OSError: there is none; ScenarioError: it is no scenario."""
    path = Path(given)
    if path.exists():
        return load_scenario(path.read_text(encoding="utf-8"), str(path))
    return load_scenario((SCENARIOS / f"{given}.yaml").read_text(encoding="utf-8"), given)
