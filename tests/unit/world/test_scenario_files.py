"""Every scenario file loads, and its story holds when the lane does everything right."""

from pathlib import Path

import pytest

from edge_agent.model.conveyance import Flag
from edge_agent.model.conveyance import Outcome as AgentOutcome
from hil.world.events import EventKind
from hil.world.faults import Trigger
from hil.world.scenario import Outcome, Scenario, load_scenario
from tests.unit.world.perfect_lane import PerfectLane

FOLDER = Path(__file__).parents[3] / "hil" / "scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))
RULES_OF_THE_LANE = frozenset(
    {
        "advance_loop_chatters",
        "arm_does_not_open",
        "arm_late_revocation",
        "arm_nominal",
        "arm_runs_red",
        "arm_stop_under_it",
        "arm_too_slow_to_roll",
        "beam_stuck_clear",
        "console_silent_on_green",
        "green_lost_while_moving_off",
        "hold_on_one_vehicle",
        "merged_detection",
        "mode_all_hold",
        "mode_attended",
        "mode_closed",
        "mode_degraded",
        "officer_takes_over",
        "order_back_by_stop_and_release",
        "release_expires",
        "curtain_output_stuck_clear",
        "drawbar_under_the_beam",
        "loops_close_tailgater",
        "loops_line_loop_stuck_free",
        "loops_nominal",
        "loops_person",
        "loops_reverses",
        "loops_tailgater",
        "stands_at_the_line_at_start",
    }
)
"""Stories of modes, order, evidence and arms: a lane that gives green to whoever is released knows none of that."""


def _load(path: Path) -> Scenario:
    return load_scenario(path.read_text(), path.name)


def _run(story: Scenario) -> PerfectLane:
    lane = PerfectLane(story.world(), lambda truck: story.rules[truck], story.happenings)
    if any(plan.start_m is not None for plan in story.trucks):
        lane.block("order")
    return lane.run(story.then.run_for_s)


def _moment(lane: PerfectLane, trigger: Trigger) -> float:
    if trigger.at_s is not None:
        return trigger.at_s
    return next(event.t for event in lane.events if trigger.fits(event)) + trigger.plus_s


def test_all_stories_of_the_first_landing_are_there() -> None:
    assert {path.stem for path in FILES} >= {
        *(f"nominal_{kmh}_kmh" for kmh in (10, 15, 20)),
        "platoon_of_three",
        "late_decision",
        "no_tag",
        "refused",
        "referred",
        "centre_lost",
        "officer_hold_and_release",
        "lamp_feedback_missing",
        "truck_inside_at_start",
        "agent_killed",
    }


@pytest.mark.parametrize("path", [p for p in FILES if p.stem not in RULES_OF_THE_LANE], ids=lambda path: path.stem)
def test_story_holds_on_a_perfect_lane(path: Path) -> None:
    story = _load(path)
    lane = _run(story)
    then = story.then
    assert lane.oracle.verdicts() == []
    if then.green_for is not None:
        assert tuple(lane.green_for) == then.green_for
    crossed = {e.truck for e in lane.events if e.kind is EventKind.NOSE and e.place == "S"}
    stopped = {e.truck for e in lane.events if e.kind is EventKind.STOPPED and e.x_m < 0}
    for wanted in then.trucks:
        if wanted.greens is not None:
            assert lane.green_for.count(wanted.truck) == wanted.greens
        if wanted.crossed is not None:
            assert (wanted.truck in crossed) == wanted.crossed
        if wanted.stopped is not None:
            assert (wanted.truck in stopped) == wanted.stopped
    if then.sealed is not None:
        gone = [e for e in lane.events if e.kind in (EventKind.LEFT, EventKind.DIVERTED)]
        assert len(gone) == then.sealed
    for red_by in then.red_by:
        latest = _moment(lane, red_by.trigger) + red_by.within_s
        shown = [e.place for e in lane.events if e.kind is EventKind.LAMP and e.t <= latest]
        assert shown[-1] == "red"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_flags_are_words_of_the_agent(path: Path) -> None:
    known = {flag.value for flag in Flag}
    for truck in _load(path).then.trucks:
        assert set(truck.flags) | set(truck.without_flags) <= known


def test_outcomes_are_those_of_the_agent() -> None:
    assert {outcome.value for outcome in Outcome} == {outcome.value for outcome in AgentOutcome}
