"""Who controls the lane: one officer at a time, who may do what can lead to green; everybody else watches and holds."""

from dataclasses import replace

import pytest

from edge_agent.model.decision import ActKind, ActResult, ControlChange, OfficerAct, Refused, Role, Verdict
from edge_agent.model.effects import AnswerAct, EmitEvent
from edge_agent.model.inputs import ActReceived, ClockStepped, ConsolePresence, ControlLost, Started
from edge_agent.model.lane import LanePolicy
from edge_agent.passage.corridor import fold, initial_state
from edge_agent.passage.etag import etag_of, lane_etag
from edge_agent.passage.identity_digest import identity_digest
from edge_agent.passage.lane_control import LONGEST_S
from edge_agent.passage.views import red_causes

from .story import CONFIG, Lane

ONE, TWO = "bso:p1", "bso:p2"


def act(lane: Lane, kind: ActKind, officer: str, **more: object) -> AnswerAct:
    """What this officer asks for, on what is shown now, whoever controls the lane."""
    lane.acts += 1
    made = OfficerAct(kind, f"x-{lane.acts}", officer, Role.OFFICER, reason="said")
    track = lane.state.first_upstream
    if track is not None and kind is not ActKind.CLEAR_HOLD:
        shown = track.conveyance
        made = replace(
            made, conveyance_id=shown.conveyance_id, etag=etag_of(shown),
            identity_digest=identity_digest(shown.assignments),
        )  # fmt: skip
    return lane.send(replace(made, **more))  # type: ignore[arg-type]


def take(lane: Lane, officer: str, displaces: str, reason: str = "shift") -> AnswerAct:
    """TAKE_CONTROL, from whom this officer was shown."""
    lane.acts += 1
    made = OfficerAct(ActKind.TAKE_CONTROL, f"t-{lane.acts}", officer, Role.OFFICER, reason=reason)
    return lane.send(replace(made, displaces=displaces))


def uncontrolled() -> Lane:
    """A lane that nobody controls any more, its order known."""
    lane = Lane().start()
    lane.act(ActKind.GIVE_CONTROL)
    return lane


def changes(lane: Lane) -> list[tuple[str, str, str]]:
    """Every change of control, from the events: how, to whom, from whom."""
    told = [dict(e.facts) for e in lane.effects if isinstance(e, EmitEvent) and e.code == "LANE_CONTROL"]
    return [(facts["change"], facts["officer"], facts["previous"]) for facts in told]


NEEDING: tuple[tuple[ActKind, dict[str, object]], ...] = (
    (ActKind.RELEASE_CONVEYANCE, {}),
    (ActKind.REFER_CONVEYANCE, {}),
    (ActKind.DIRECT_CONVEYANCE, {"verdict": Verdict.MANUAL_LANE}),
    (ActKind.CONFIRM_ORDER, {"etag": "", "conveyance_id": ""}),
    (ActKind.CLEAR_HOLD, {}),
)


@pytest.mark.parametrize(("kind", "more"), NEEDING, ids=str)
def test_what_may_lead_to_green_needs_control_of_the_lane(kind: ActKind, more: dict[str, object]) -> None:
    lane = uncontrolled()
    lane.arrive()
    before = lane.first.decisions
    refused = act(lane, kind, ONE, **more)
    assert (refused.result, refused.refused) == (ActResult.FAILED_PRECONDITION, Refused.CONTROL_REQUIRED)
    assert (refused.controlled_by, refused.message) == ("", "nobody controls the lane: take control first")
    take(lane, TWO, "")
    refused = act(lane, kind, ONE, **more)
    assert (refused.refused, refused.controlled_by) == (Refused.CONTROL_REQUIRED, TWO)
    assert refused.message == f"{TWO} controls the lane: take over first"
    assert lane.first.decisions == before
    assert lane.green == ""
    assert act(lane, kind, TWO, **more).refused is Refused.OTHERWISE


@pytest.mark.parametrize("kind", [ActKind.HOLD_LANE, ActKind.HOLD_CONVEYANCE])
@pytest.mark.parametrize("controls", ["", TWO])
def test_a_hold_needs_no_control(kind: ActKind, controls: str) -> None:
    lane = uncontrolled()
    lane.arrive()
    lane.decide()
    if controls:
        take(lane, TWO, "")
    assert lane.green
    assert act(lane, kind, ONE).result is ActResult.OK
    assert lane.green == ""


def test_a_mode_that_lets_less_pass_needs_no_control_and_one_that_lets_more_pass_does() -> None:
    lane = uncontrolled()
    wanted: list[tuple[str, bool]] = [
        ("degraded", True), ("attended", True), ("remote", False), ("all_hold", True), ("closed", True),
        ("degraded", False), ("attended", False), ("remote", False),
    ]  # fmt: skip
    for mode, allowed in wanted:
        answer = act(lane, ActKind.SET_MODE, ONE, mode=mode)
        assert answer.result is (ActResult.OK if allowed else ActResult.FAILED_PRECONDITION), mode
        assert answer.refused is (Refused.OTHERWISE if allowed else Refused.CONTROL_REQUIRED), mode
    assert take(lane, ONE, "").result is ActResult.OK
    assert act(lane, ActKind.SET_MODE, ONE, mode="remote").result is ActResult.OK
    assert lane.act(ActKind.SET_MODE, Role.TECHNICIAN, mode="closed").result is ActResult.OK


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.CENTRAL, Role.MEDIA, Role.VIEWER])
def test_only_officers_control_a_lane(role: Role) -> None:
    lane = uncontrolled()
    assert lane.control(role=role).result is ActResult.PERMISSION_DENIED
    assert lane.state.control.officer == ""


def test_taking_over_is_recorded_with_who_and_why_and_told_to_everybody() -> None:
    lane = Lane().start()
    lane.arrive()
    etag = lane_etag(lane.state)
    assert take(lane, TWO, ONE, "shift change").result is ActResult.OK
    control = lane.state.control
    assert (control.officer, control.previous, control.reason) == (TWO, ONE, "shift change")
    assert (control.change, control.since) == (ControlChange.TAKEN_OVER, lane.at)
    assert changes(lane)[-1] == ("taken_over", TWO, ONE)
    assert lane_etag(lane.state) != etag
    (note,) = [note for note in lane.first.interventions if note.officer == TWO]
    assert (note.act, note.reason, note.result) == ("take_control", "shift change", "OK")


def test_taking_over_from_somebody_needs_a_reason_and_from_nobody_none() -> None:
    lane = uncontrolled()
    assert take(lane, ONE, "", reason="").result is ActResult.OK
    assert take(lane, TWO, ONE, reason="").result is ActResult.INVALID_ARGUMENT
    assert lane.state.control.officer == ONE


def test_of_two_who_take_a_free_lane_the_second_is_told_who_has_it() -> None:
    for first, second in ((ONE, TWO), (TWO, ONE)):
        lane = uncontrolled()
        assert take(lane, first, "").result is ActResult.OK
        late = take(lane, second, "")
        assert (late.result, late.refused) == (ActResult.FAILED_PRECONDITION, Refused.CONTROL_CHANGED)
        assert late.controlled_by == first
        assert lane.state.control.officer == first


def test_of_two_who_take_over_from_the_same_officer_the_second_is_told_that_it_is_another_now() -> None:
    for first, second in ((TWO, "bso:p3"), ("bso:p3", TWO)):
        lane = Lane().start()
        assert take(lane, first, ONE).result is ActResult.OK
        assert take(lane, second, ONE).refused is Refused.CONTROL_CHANGED
        assert take(lane, second, first).result is ActResult.OK
        assert lane.state.control.officer == second


def test_a_release_that_races_a_take_over_stands_when_it_was_first_and_is_refused_when_not() -> None:
    lane = Lane().start()
    lane.arrive()
    assert act(lane, ActKind.RELEASE_CONVEYANCE, ONE).result is ActResult.OK
    assert take(lane, TWO, ONE).result is ActResult.OK
    assert lane.green == lane.first.conveyance_id, "whoever took over answers for it now, and may take it back"
    assert act(lane, ActKind.HOLD_CONVEYANCE, TWO).result is ActResult.OK
    assert lane.green == ""
    lane = Lane().start()
    lane.arrive()
    assert take(lane, TWO, ONE).result is ActResult.OK
    assert act(lane, ActKind.RELEASE_CONVEYANCE, ONE).refused is Refused.CONTROL_REQUIRED
    assert lane.green == ""


@pytest.mark.parametrize("how", ["silent", "given back"])
def test_an_officers_green_ends_with_the_control_of_the_lane_and_does_not_come_back_with_it(how: str) -> None:
    lane = Lane().start()
    lane.arrive()
    act(lane, ActKind.RELEASE_CONVEYANCE, ONE)
    assert lane.green
    if how == "silent":
        lane.feed(ControlLost(lane.at, ONE))
    else:
        act(lane, ActKind.GIVE_CONTROL, ONE)
    assert lane.green == ""
    assert lane.withdrawn[-1].immediate, "the source of the release is lost: red at once"
    assert "CONTROL_LOST" in [cause.code.value for cause in red_causes(lane.state, lane.at)]
    lane.wait(1)
    assert take(lane, ONE, "").result is ActResult.OK
    lane.wait(1)
    assert lane.green == "", "what was released before the gap needs another release"
    assert act(lane, ActKind.RELEASE_CONVEYANCE, ONE).result is ActResult.OK
    assert lane.green


def test_a_green_of_central_needs_nobody_in_control() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.feed(ControlLost(lane.at, ONE))
    assert lane.green
    assert changes(lane)[-1] == ("lost", "", ONE)


def test_who_was_displaced_has_nothing_to_lose() -> None:
    lane = Lane().start()
    take(lane, TWO, ONE)
    before = lane.state
    assert lane.feed(ControlLost(lane.at, ONE)) == ()
    assert lane.state is before
    answer = act(lane, ActKind.GIVE_CONTROL, ONE)
    assert (answer.result, answer.message) == (ActResult.OK, "you do not control the lane")
    assert lane.state.control.officer == TWO


def test_a_repeated_request_takes_control_once() -> None:
    lane = uncontrolled()
    request = OfficerAct(ActKind.TAKE_CONTROL, "same", ONE, Role.OFFICER, reason="shift")
    assert lane.send(request).result is ActResult.OK
    take(lane, TWO, ONE)
    again = [e for e in lane.feed(ActReceived(lane.at, request)) if isinstance(e, AnswerAct)]
    assert [answer.result for answer in again] == [ActResult.OK], "the first answer, again"
    assert lane.state.control.officer == TWO, "and nothing was done twice"
    refused = OfficerAct(ActKind.RELEASE_CONVEYANCE, "r", ONE, Role.OFFICER, "nobody", "e", "d")
    first, second = lane.send(refused), lane.send(refused)
    assert (first.refused, first.controlled_by) == (second.refused, second.controlled_by)
    assert second.refused is Refused.CONTROL_REQUIRED


def test_taking_what_one_has_changes_at_most_how_long_it_lasts() -> None:
    lane = Lane().start()
    since = lane.state.control.since
    lane.wait(3)
    assert take(lane, ONE, ONE).message == "you control the lane already"
    assert lane.control(duration_s=60.0).result is ActResult.OK
    assert (lane.state.control.since, lane.state.control.lasts_s) == (since, 60.0)
    assert lane.control(duration_s=LONGEST_S + 1).result is ActResult.INVALID_ARGUMENT


def test_after_a_restart_nobody_controls_the_lane() -> None:
    lane = Lane().start()
    lane.feed(Started(lane.at, "boot-2", b"seed-2"))
    assert changes(lane)[-1] == ("restarted", "", ONE)
    lane.zones()
    assert act(lane, ActKind.CONFIRM_ORDER, ONE, etag="").refused is Refused.CONTROL_REQUIRED
    lane.feed(Started(lane.at, "boot-3", b"seed-3"))
    assert len([how for how, _, _ in changes(lane) if how == "restarted"]) == 1, "nobody had it any more"
    assert fold(initial_state(CONFIG), lane.journal) == lane.state


def test_clock_steps_do_not_touch_control() -> None:
    lane = Lane().start()
    before = lane.state.control
    for step_ms in (3_600_000, -7_200_000):
        lane.feed(ClockStepped(lane.at, step_ms))
        assert lane.state.control == before


def test_where_an_officer_must_be_present_a_lane_that_nobody_controls_is_degraded() -> None:
    lane = Lane(replace(CONFIG, policy=LanePolicy(officer_presence_required=True))).start()
    lane.feed(ConsolePresence(lane.at, True))
    assert lane.mode == "remote"
    lane.feed(ControlLost(lane.at, ONE))
    assert lane.mode == "degraded", "somebody who only watches does not answer for the lane"
    assert ("CONSOLE_ABSENT", True) in lane.conditions
    take(lane, TWO, "")
    assert lane.mode == "remote"
    assert lane.conditions[-1] == ("CONSOLE_ABSENT", False)
