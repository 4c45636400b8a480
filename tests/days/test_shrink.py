"""A failing day becomes a short story: what is not needed for the finding is gone, and what is left is drawn."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from hil.days.day import CALM_S
from hil.days.plan import DayKind, DayPlan, Finding, plan_of
from hil.days.shrink import NothingWrong, Story, drawn, shrink, told
from hil.days.troubles import troubles
from hil.rig.virtual_lane import Options
from hil.world.events import EventKind
from hil.world.faults import Verb

SEED, DAY_S = 25, 300.0
OUTAGES = DayKind("outages", frozenset({Verb.CENTRE_DOWN, Verb.CLOCK_STEP}))
SLOW_RELAY = Options(lamp_delay_s=0.3)
"""Slower than any limit: green outlives every nose."""


def _plan(options: Options) -> DayPlan:
    return replace(plan_of(SEED), kind=OUTAGES, day_s=DAY_S, options=options)


@pytest.fixture(scope="module")
def story() -> Story:
    return shrink(_plan(SLOW_RELAY), Finding.WRONG_GREEN)


def test_a_slow_relay_needs_one_truck_and_no_fault(story: Story) -> None:
    came = {event.truck for event in story.day.lane.events if event.kind is EventKind.ENTERED}
    assert len(came) == 1
    assert troubles(SEED, DAY_S - CALM_S, OUTAGES.verbs), "there was something to leave out"
    assert story.day.troubles == ()
    assert story.day.until_s < 120.0
    assert story.found
    assert all("wrong green" in words for words in story.found)


def test_it_is_told_in_order(story: Story) -> None:
    lines = told(story.day)
    (truck,) = {event.truck for event in story.day.lane.events if event.kind is EventKind.ENTERED}
    seconds = [float(line.split()[0]) for line in lines]
    assert seconds == sorted(seconds)
    green, nose, wrong = (
        next(number for number, line in enumerate(lines) if words in line)
        for words in ("shows GREEN", f"{truck} has its nose over the line", "WRONG GREEN")
    )
    assert green < nose < wrong


def test_it_is_drawn_with_the_vehicle_that_is_still_in_the_lane(story: Story, tmp_path: Path) -> None:
    page, *pictures = drawn(story, tmp_path / "story")
    assert "wrong green" in page.read_text()
    assert len(pictures) == 1
    words = [text.text or "" for text in ET.parse(pictures[0]).iter("{http://www.w3.org/2000/svg}text")]
    assert any("WRONG GREEN" in text for text in words)


def test_a_day_without_the_finding_is_refused() -> None:
    with pytest.raises(NothingWrong, match="seed 25 shows no wrong green"):
        shrink(_plan(Options()), Finding.WRONG_GREEN)
