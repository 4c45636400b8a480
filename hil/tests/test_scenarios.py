"""Scenario files on the bench: the same file, judged by the same clauses, on processes, lines and lamps in real time.

A few of them, side by side on a bench of programs; `./dev hil scenario all` plays every one.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hil.rig.stories import load_story
from hil.rig.story_judge import Finding
from hil.rig.story_needs import lacks, needs
from hil.rig.target import Target
from hil.scenario.__main__ import play

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(180)]

STORIES = ("late_revocation", "late_decision", "hold_on_one_vehicle", "arm_late_revocation")
"""A decision that changes too late, one that comes too late, an officer's word in between, and a barrier arm that must
not come down in front of a truck that can no longer stop."""
Told = Mapping[str, tuple[tuple[Finding, ...], Path]]


async def _play(target: Target, folder: Path) -> Told:
    side_by_side = asyncio.Semaphore(len(STORIES) if target.virtual else 1)
    told: dict[str, tuple[tuple[Finding, ...], Path]] = {}

    async def one(name: str) -> None:
        story = load_story(name)
        if lacks(story, target.capabilities):
            return
        async with side_by_side:
            told[name] = await play(story, target, folder / name), folder / name

    async with asyncio.TaskGroup() as group:
        for name in STORIES:
            group.create_task(one(name))
    return told


@pytest.fixture(scope="module")
def told(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Every story, played to its end."""
    with asyncio.Runner() as runner:
        return runner.run(_play(target, tmp_path_factory.mktemp("stories")))


def _asking(name: str) -> Any:  # noqa: ANN401 - pytest's own
    return pytest.param(name, marks=pytest.mark.capability(*sorted(needs(load_story(name)))), id=name)


@pytest.mark.parametrize("name", [_asking(name) for name in STORIES])
def test_a_story_comes_out_on_the_bench_as_told(name: str, told: Told, target: Target) -> None:
    judged, folder = told[name]
    assert [f"{f.clause}: {f.found}" for f in judged if not f.holds] == []
    page = (folder / "index.html").read_text()
    assert "Every clause holds." in page
    assert f"<td>{target.name} (" in page
    assert "sha256:" in page
    (picture,) = folder.glob("*.svg")
    drawn = picture.read_text()
    assert "T1: " in drawn
    assert all(row in drawn for row in ("loop A (advance)", "driver card", "commanded", "lamp drivers see"))
