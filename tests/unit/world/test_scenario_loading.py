"""A scenario is read strictly: every fault is told with its place."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.model.conveyance import Flag
from edge_agent.model.decision import ReferralReason
from edge_agent.passage.acts import SETTABLE
from hil.world import scenario
from hil.world.events import EventKind, WorldEvent
from hil.world.faults import Happening, Schedule, SensorFaults, Trigger, Verb
from hil.world.geometry import Layout
from hil.world.rules import ReleaseRule, Revision, Verdict, answers
from hil.world.scenario import RedBy, ScenarioError, load_scenario
from hil.world.truck import Behaviour, ReverseAct, StopAct

GOOD = """\
scenario: a story
given:
  seed: 7
  lane: {cruise_kmh: 20, a_m: -70, layout: light_curtain, exit_loop: false}
  trucks:
    - id: T1
      enter_s: 2
      length_m: 18.5
      tags:
        - {kind: driver_card, serial: 1, level_db: -6.0, present_from_s: 3}
        - {kind: transponder, serial: 2}
        - {kind: cargo, serial: 3}
      plate_front: "CA-ON 123"
      behaviour: runs_red
      acts:
        - {stop_at_m: -40, seconds: 5}
        - {stop_at_m: 2, reverse_m: 4}
      release:
        verdict: release
        delay_s: 1.5
        revisions:
          - {after_s: 4, verdict: hold_at_line}
  strays:
    - {x_m: -57, tag: {kind: driver_card, serial: 99}}
when:
  - {at: 3, do: sensor_stuck, zone: zone_d, level: true}
  - when: {truck: T1, nose_over: D, plus_s: 0.5}
    do: hold_lane
then:
  run_for_s: 60
  green_for: []
  red_by:
    - {when: {lamp: green}, within_s: 2}
  trucks:
    - {id: T1, outcome: violation, flags: [violation], greens: 0, crossed: true}
"""


def _problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(text, "story.yaml")
    return caught.value.problems


def test_everything_is_read() -> None:
    story = load_scenario(GOOD, "story.yaml")
    plan = story.trucks[0]
    assert (story.seed, story.geometry.a_m, plan.cruise_kmh, plan.length_m) == (7, -70.0, 20.0, 18.5)
    assert (story.geometry.layout, story.geometry.exit_loop) == (Layout.LIGHT_CURTAIN, False)
    assert [tag.kind.value for tag in plan.tags] == ["driver_card", "transponder", "cargo"]
    assert (plan.tags[0].level_db, plan.tags[0].present_from_s, plan.plate_rear) == (-6.0, 3.0, None)
    assert plan.behaviour is Behaviour.RUNS_RED
    assert plan.acts == (StopAct(-40.0, 5.0), ReverseAct(2.0, 4.0))
    assert story.rules["T1"] == ReleaseRule(delay_s=1.5, revisions=(Revision(4.0, Verdict.HOLD_AT_LINE),))
    assert story.strays[0].x_m == -57.0
    assert story.happenings == (
        Happening(Trigger(at_s=3.0), Verb.SENSOR_STUCK, {"zone": "zone_d", "level": True}),
        Happening(Trigger(None, EventKind.NOSE, "T1", "D", 0.5), Verb.HOLD_LANE, {}),
    )
    assert story.then.green_for == ()
    assert story.then.sealed is None
    assert story.then.red_by == (RedBy(Trigger(None, EventKind.LAMP, "", "green", 0.0), 2.0),)
    assert story.then.trucks[0].greens == 0


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  seed: 7", "  sead: 7", "story.yaml:3:3: given: unknown key sead"),
        ("  seed: 7", "  seed: 7\n  seed: 8", "story.yaml:4:3: given: seed is given twice"),
        ("enter_s: 2", "enter_s: soon", "story.yaml:7:16: expected a number"),
        ("enter_s: 2", "enter_s: -1", "story.yaml:7:16: -1 is out of range 0 to 100000"),
        ("enter_s: 2", "enter_s: .inf", "story.yaml:7:16: expected a plain decimal number"),
        ("    - id: T1\n      enter_s", "    - enter_s", "story.yaml:6:7: truck: id is missing"),
        ("kind: cargo, serial: 3", "kind: cargo", "story.yaml:12:11: tag: serial is missing"),
        ("kind: cargo", "kind: banana", "story.yaml:12:18: expected one of driver_card, transponder, cargo"),
        ('"CA-ON 123"', "123", "story.yaml:13:20: expected text"),
        ("a_m: -70", "a_m: -10", "story.yaml:4:9: lane: places of the lane are out of order"),
        ("seconds: 5", "seconds: 5, reverse_m: 1", "story.yaml:16:11: act: give either seconds or reverse_m"),
        ("zone: zone_d", "zone: zone_q", "story.yaml:26:37: expected one of zone_a"),
        ("zone: zone_d, ", "", "story.yaml:26:5: happening: zone is missing"),
        ("level: true", "level: yes", "story.yaml:26:52: expected true or false"),
        ("do: sensor_stuck", "do: explode", "story.yaml:26:17: expected one of hold_lane"),
        ("{at: 3, ", "{", "story.yaml:26:5: give either at or a valid when"),
        ("nose_over: D", "nose_over: D, tail_over: D", "story.yaml:27:11: when: give exactly one of nose_over"),
        ("truck: T1, nose", "truck: T8, nose", "when or then names truck T8, which is not given"),
        ("run_for_s: 60", "run_for_s: 60\n  outlived: [T8]", "when or then names truck T8, which is not given"),
        ("run_for_s: 60", "run_for_s: 60\n  never_wrong_green: false", "then: never_wrong_green is always asked"),
        ("greens: 0", "greens: 0.5", "story.yaml:35:64: expected a whole number"),
        ("green_for: []", "green_for: T1", "story.yaml:31:14: expected a list"),
        ("scenario: a story", "scenario: a: story", "story.yaml:1:12: mapping values are not allowed here"),
    ],
)
def test_faults_are_told_with_their_place(old: str, new: str, expected: str) -> None:
    assert old in GOOD
    problems = _problems(GOOD.replace(old, new, 1))
    assert any(expected in problem for problem in problems), problems


def test_a_drawbar_is_part_of_a_truck() -> None:
    text = GOOD.replace("length_m: 18.5", "length_m: 18.5\n      drawbar: {from_m: 9, to_m: 10.5}")
    assert load_scenario(text, "story.yaml").trucks[0].drawbar == (9.0, 10.5)
    assert any("drawbar must begin" in problem for problem in _problems(text.replace("10.5", "18.5")))


def test_a_sensor_that_the_lane_has_not_is_told() -> None:
    (problem,) = _problems(GOOD.replace("zone: zone_d", "zone: stop_line_beam"))
    assert "when names stop_line_beam, which this lane has not: zone_a, zone_d, zone_s, stop_line_curtain_1" in problem


def test_all_faults_at_once() -> None:
    text = (
        GOOD.replace("seed: 7", "seed: x").replace("delay_s: 1.5", "delay: 1.5").replace("crossed: true", "crossed: 1")
    )
    places = [problem.split(": ", 1)[0] for problem in _problems(text)]
    assert places == ["story.yaml:3:9", "story.yaml:20:9", "story.yaml:35:76"]


def test_two_trucks_with_one_id() -> None:
    text = GOOD.replace("  strays:", "    - id: T1\n      enter_s: 30\n  strays:")
    assert any("same id" in problem for problem in _problems(text))


@pytest.mark.parametrize("text", ["", "[]", "a", "\x00", "{"])
def test_no_scenario_at_all(text: str) -> None:
    assert _problems(text)[0].startswith("story.yaml:1:")


@given(st.integers(0, len(GOOD) - 1), st.text(max_size=3))
def test_any_text_is_a_story_or_a_scenario_error(at: int, text: str) -> None:
    with contextlib.suppress(ScenarioError):
        load_scenario(GOOD[:at] + text + GOOD[at + len(text) :], "story.yaml")


def test_schedule_gives_each_happening_once_and_in_order() -> None:
    late = Happening(Trigger(at_s=9.0), Verb.CENTRE_UP)
    early = Happening(Trigger(at_s=2.0), Verb.CENTRE_DOWN)
    waiting = Happening(Trigger(None, EventKind.NOSE, "T1", "D", 0.5), Verb.HOLD_LANE)
    schedule = Schedule([late, waiting, early])
    assert schedule.next_time() == 2.0
    schedule.saw([WorldEvent(3.0, EventKind.NOSE, "T2", "D"), WorldEvent(3.0, EventKind.NOSE, "T1", "D", on=False)])
    assert schedule.due(4.0) == (early,)
    schedule.saw([WorldEvent(4.0, EventKind.NOSE, "T1", "D"), WorldEvent(5.0, EventKind.NOSE, "T1", "D")])
    assert schedule.next_time() == 4.5
    assert schedule.due(20.0) == (waiting, late)
    assert schedule.next_time() is None


def test_stuck_sensor_lies_until_freed() -> None:
    faults = SensorFaults()
    true_levels = {"zone_a": False, "zone_d": True}
    faults.stick("zone_a", True)
    assert faults.levels(true_levels) == {"zone_a": True, "zone_d": True}
    faults.free("zone_a")
    assert faults.levels(true_levels) == true_levels


def test_answers_of_a_rule() -> None:
    rule = ReleaseRule(delay_s=1.0, ttl_s=30.0, revisions=(Revision(5.0, Verdict.HOLD_AT_LINE, ttl_s=10.0),))
    given_answers = answers(rule, 100.0)
    assert [(a.t, a.verdict, a.until, a.revision) for a in given_answers] == [
        (101.0, Verdict.RELEASE, 130.0, 1),
        (106.0, Verdict.HOLD_AT_LINE, 116.0, 2),
    ]
    assert answers(ReleaseRule(silent=True), 0.0) == ()


def test_words_of_the_agent_are_the_agents() -> None:
    """The world imports nothing of the agent: its list of words is kept true here."""
    assert set(scenario.FLAGS) == {flag.value for flag in Flag}
    assert set(scenario.REASONS) == {reason.value for reason in ReferralReason}
    assert set(scenario.MODES) == {mode.value for mode in SETTABLE}


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("do: hold_lane", "do: hold_lain", "expected one of hold_lane, "),
        ("flags: [violation]", "flags: [violatoin]", "expected one of waiting_at_line, "),
        ("nose_over: D", "nose_over: B", "expected one of A, D, S, X"),
        ("truck: T1, nose_over", "truck: T9, nose_over", "names truck T9, which is not given: T1"),
    ],
)
def test_an_unknown_word_is_told_with_its_place_and_the_known_ones(right: str, wrong: str, told: str) -> None:
    problem = next(problem for problem in _problems(GOOD.replace(right, wrong)) if told in problem)
    line = next((n for n, text in enumerate(GOOD.splitlines(), start=1) if right in text), 0)
    assert problem.startswith(("story.yaml:1:1:", f"story.yaml:{line}:"))
