"""What is left of a story that was played on a bench: its page, and the agent's log where a clause does not hold."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hil.rig.run_record import RunRecord
from hil.rig.stories import load_story
from hil.rig.target import Target, load_target
from hil.rig.virtual_record import play as play_on_virtual_clock
from hil.rig.virtual_record import record_of
from hil.scenario import __main__ as scenario
from hil.world.scenario import Scenario

STORY = load_story("late_decision")


@pytest.fixture(scope="module")
def run() -> RunRecord:
    """A run that is as it should be."""
    return record_of(play_on_virtual_clock(STORY))


@pytest.mark.parametrize("holds", [True, False])
async def test_the_log_is_beside_the_page_of_a_run_that_failed(
    holds: bool, run: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Played(SimpleNamespace):
        """Stands in for a bench that has played the story."""

        def __init__(self, story: Scenario, target: Target, run_dir: Path, **_: Any) -> None:
            bench = SimpleNamespace(dir=run_dir)
            super().__init__(story=story, target=target, bench=bench, slack_s=0.0, bundles=[])
            self.module = SimpleNamespace(events=[])

        async def run(self) -> RunRecord:
            (self.bench.dir / "agent.log").write_text("what it did\n")
            return run if holds else replace(run, greens=())

    monkeypatch.setattr(scenario, "BenchStory", Played)
    out = tmp_path / "out"
    judged = await scenario.play(STORY, load_target("virtual"), out)
    assert all(finding.holds for finding in judged) == holds
    assert (out / "index.html").exists()
    assert (out / "agent.log").exists() != holds
