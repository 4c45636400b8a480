"""Every scenario file on the control core, in one process on the virtual clock."""

from dataclasses import replace
from pathlib import Path

import pytest

from drivers.api import Aspect
from edge_agent.model.conveyance import Flag
from edge_agent.model.inputs import Started
from edge_agent.safety.barrier import Arm, ArmFacts, ArmRuling, Move, rule_arm
from edge_agent.wire.journal import decode_input
from hil.oracles.wrong_green import Rule
from hil.rig.virtual_arm import VirtualArm
from hil.rig.virtual_lane import Options, VirtualLane
from hil.world.events import EventKind
from hil.world.faults import Happening, Trigger, Verb
from hil.world.scenario import Scenario, load_scenario
from tests.scenarios.judge import complaints, play

FOLDER = Path(__file__).parents[2] / "hil" / "scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))


def _load(stem: str) -> Scenario:
    path = FOLDER / f"{stem}.yaml"
    return load_scenario(path.read_text(), path.name)


@pytest.mark.parametrize("stem", [path.stem for path in FILES])
def test_story_comes_out_as_told(stem: str) -> None:
    story = _load(stem)
    assert complaints(story, play(story)) == []


@pytest.mark.parametrize("stem", [path.stem for path in FILES])
def test_story_comes_out_the_same_on_a_slow_wire(stem: str) -> None:
    """A store, a bus and a relay near their bounds change figures, not the story."""
    story = _load(stem)
    options = Options(commit_s=0.020, exchange_s=0.020, lamp_delay_s=0.100)
    assert complaints(story, play(story, options)) == []


def test_same_story_same_digest() -> None:
    story = _load("platoon_of_three")
    assert play(story).digest() == play(story).digest()
    assert play(replace(story, seed=story.seed + 1)).digest() != play(story).digest()


def _asked_of_arm(stem: str) -> tuple[VirtualLane, list[tuple[float, str]]]:
    lane = play(_load(stem))
    assert lane.module.arm is not None
    return lane, [(t, role.removeprefix("barrier_")) for t, role in lane.module.arm.oracle.asked]


def test_the_arm_is_up_before_green_and_asked_down_behind_the_truck() -> None:
    lane, asked = _asked_of_arm("arm_nominal")
    assert [role for _, role in asked] == ["raise", "lower"]
    green_s = next(t for t, aspect in lane.shown if aspect is Aspect.GREEN)
    left_s = next(e.t for e in lane.events if e.kind is EventKind.TAIL and e.place == "S")
    assert green_s - asked[0][0] >= 3.0
    assert asked[1][0] - left_s >= 1.9, "nobody near for the clearing time"


def test_the_arm_is_not_asked_down_in_front_of_a_truck_whose_release_came_back_too_late() -> None:
    lane, asked = _asked_of_arm("arm_late_revocation")
    red_s = next(t for t, aspect in lane.shown if aspect is Aspect.RED)
    left_s = next(e.t for e in lane.events if e.kind is EventKind.TAIL and e.place == "S")
    assert [role for _, role in asked] == ["raise", "lower"]
    assert red_s < left_s < asked[1][0]


def test_an_arm_that_does_not_move_is_told_and_asked_for_nothing_more() -> None:
    lane, asked = _asked_of_arm("arm_does_not_open")
    assert [role for _, role in asked] == ["raise"]
    faults = [dict(event.facts)["fault"] for _, event in lane.lane_events if event.code == "BARRIER_FAULT"]
    assert faults == ["BARRIER_NOT_MOVED"]


def test_the_judge_sees_a_truck_in_the_arm_and_an_arm_on_a_truck() -> None:
    """The judge itself is tried: an arm that comes down by itself on a rolling truck must not go unnoticed."""
    story = _load("arm_nominal")
    down = Happening(Trigger(None, EventKind.NOSE, "T1", "D", 7.0), Verb.ARM_JAMS)

    class Falling(VirtualArm):
        def jam(self, jammed: bool) -> None:
            self._loop.create_task(self.pulse("barrier_lower"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hil.rig.virtual_lane.VirtualArm", Falling)
        said = " ".join(complaints(story, play(replace(story, happenings=(down,)))))
    assert "the arm was asked down on T1" in said
    assert "T1 drove into the arm" in said


def test_the_judge_sees_what_the_agent_knew_when_it_asked_the_arm_down() -> None:
    """The judge itself is tried: an agent that wants the arm down when the light is red again, and is restarted with a
    truck under an arm that jams."""
    story = _load("arm_stop_under_it")
    script = (0.0, Verb.ARM_JAMS), (15.0, Verb.KILL_AGENT), (17.0, Verb.START_AGENT)
    happenings = tuple(Happening(Trigger(None, EventKind.NOSE, "T1", "S", s), verb) for s, verb in script)

    def reckless(facts: ArmFacts) -> ArmRuling:
        wants = facts.arm is Arm.UP and facts.red and facts.asked is Move.NONE
        return ArmRuling(Move.LOWER, ()) if wants else rule_arm(facts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_agent.control.arm_loop.rule_arm", reckless)
        said = " ".join(complaints(story, play(replace(story, happenings=happenings))))
    assert "the arm was asked down although an input shows somebody" in said
    assert "the arm was asked down although the order is not known" in said
    assert "the arm was asked down on T1" in said


def test_late_commit_withholds_green() -> None:
    """Towards green the journal comes first: a store slower than the deadline means red, and nobody rolls."""
    story = _load("nominal_15_kmh")
    lane = play(story, Options(commit_s=0.040))
    assert lane.greens == []
    assert lane.wrong == []
    assert lane.agent is not None
    assert lane.agent.passage.withheld_leases > 0


def test_a_killed_agent_starts_from_its_journal() -> None:
    story = _load("agent_killed")
    lane = play(story)
    starts = [event for event in map(decode_input, lane.ledger.rows) if isinstance(event, Started)]
    assert [start.boot_id for start in starts] == ["boot-1", "boot-2"]
    (passage,) = lane.sealed()
    assert Flag.RESTARTED in passage.conveyance.flags
    assert passage.conveyance.detected.mono_ns < starts[1].at.mono_ns


def test_red_after_a_kill_comes_from_the_module() -> None:
    story = _load("agent_killed")
    lane = play(story)
    (green_s, _), (red_s, _) = lane.shown[:2]
    killed_s = green_s + 1.0
    assert 0.9 < red_s - killed_s <= 1.0 + 0.1 + 0.05 + 0.01  # watchdog from the last write, cycle, relay


def test_the_oracle_sees_a_green_that_outlives_the_nose() -> None:
    """The judge itself is tried: a relay slower than the limit allows must not go unnoticed."""
    lane = play(_load("nominal_15_kmh"), Options(lamp_delay_s=0.300))
    assert [verdict.rule for verdict in lane.wrong] == [Rule.AFTER_NOSE]


def test_a_green_that_outlives_a_nose_is_wrong_unless_the_story_says_so_and_then_it_must() -> None:
    story = _load("beam_stuck_clear")
    lane = play(story)
    unsaid = replace(story, then=replace(story.then, outlived=()))
    assert ["never a wrong green" in told for told in complaints(unsaid, lane)] == [True]
    other = replace(story, then=replace(story.then, outlived=("T1", "T2")))
    assert complaints(other, lane) == ["green outlives the noses of ['T1', 'T2']: found ['T1']"]
