"""What officers and others may do, on what they were shown, and how they are answered."""

from dataclasses import replace

import pytest

from edge_agent.model.conveyance import Flag
from edge_agent.model.decision import ActKind, ActResult, Hold, OfficerAct, Role, Verdict
from edge_agent.model.inputs import ConsolePresence
from edge_agent.model.lane import LanePolicy, Zone
from edge_agent.passage.corridor import CoreConfig
from edge_agent.passage.etag import etag_of
from edge_agent.passage.identity_digest import identity_digest

from .story import CONFIG, Lane


def release_of(lane: Lane, request_id: str = "r-1") -> OfficerAct:
    """RELEASE on what is shown now."""
    shown = lane.first
    return OfficerAct(
        ActKind.RELEASE_CONVEYANCE,
        request_id,
        "bso:p1",
        Role.OFFICER,
        shown.conveyance_id,
        etag_of(shown),
        identity_digest(shown.assignments),
    )


def test_a_release_on_a_changed_vehicle_is_refused_and_says_what_changed() -> None:
    lane = Lane().start()
    lane.arrive()
    act = release_of(lane)
    lane.decide(Verdict.REFER_SECONDARY)
    answer = lane.send(act)
    assert answer.result is ActResult.FAILED_PRECONDITION
    assert "last decision refer_secondary" in answer.message
    other = replace(release_of(lane, "r-2"), identity_digest="sha256:0")
    answer = lane.send(other)
    assert answer.result is ActResult.FAILED_PRECONDITION
    assert "identity" in answer.message
    assert lane.green == ""
    assert lane.send(release_of(lane, "r-3")).result is ActResult.OK
    assert lane.green != ""


def test_a_direction_is_bound_to_the_state_shown_alone_as_the_api_has_it() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(Verdict.REFUSE_RETURN)
    assert identity_digest(lane.first.assignments), "an identified vehicle"
    act = replace(
        release_of(lane, "d-1"), kind=ActKind.DIRECT_CONVEYANCE, identity_digest="", verdict=Verdict.MANUAL_LANE
    )
    stale = lane.send(replace(act, request_id="d-0", etag="0" * 16))
    assert stale.result is ActResult.FAILED_PRECONDITION
    assert lane.send(act).result is ActResult.OK
    assert lane.first.decisions[-1].verdict is Verdict.MANUAL_LANE


def test_a_repeated_act_is_answered_the_same_and_done_once() -> None:
    lane = Lane().start()
    lane.arrive()
    act = release_of(lane)
    first = lane.send(act)
    lane.decide(Verdict.HOLD_AT_LINE)
    decisions = len(lane.first.decisions)
    again = lane.send(act)
    assert (again.result, again.message, again.etag) == (first.result, first.message, first.etag)
    assert len(lane.first.decisions) == decisions
    misused = lane.send(replace(act, kind=ActKind.HOLD_LANE))
    assert misused.result is ActResult.INVALID_ARGUMENT
    assert lane.state.hold is None


def test_the_last_256_acts_are_remembered() -> None:
    lane = Lane().start()
    for _ in range(300):
        lane.act(ActKind.ACKNOWLEDGE, condition="CENTRE_LOST")
    assert len(lane.state.answered) == 256


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.CENTRAL, Role.MEDIA, Role.VIEWER])
def test_only_officers_release(role: Role) -> None:
    lane = Lane().start()
    lane.arrive()
    assert lane.send(replace(release_of(lane), role=role)).result is ActResult.PERMISSION_DENIED


@pytest.mark.parametrize("role", list(Role))
def test_everybody_may_hold(role: Role) -> None:
    lane = Lane().start()
    answer = lane.act(ActKind.HOLD_LANE, role)
    assert answer.result is ActResult.OK
    assert "officer" in answer.may_clear


def test_a_second_hold_hides_nothing_of_the_first_nor_who_may_clear_it() -> None:
    lane = Lane().start()
    lane.act(ActKind.HOLD_LANE, Role.OFFICER, reason="look", officer="bso:p1")
    first = lane.state.hold
    assert first is not None
    lane.wait(5.0)
    answer = lane.act(ActKind.HOLD_LANE, Role.TECHNICIAN, reason="lamp", officer="tech:7")
    assert answer.may_clear == ("officer",)
    assert lane.state.hold is not None
    assert (lane.state.hold.by, lane.state.hold.since) == (first.by, first.since)
    assert "look" in lane.state.hold.reason
    assert "tech:7: lamp" in lane.state.hold.reason


def test_a_hold_given_twice_by_one_person_is_told_once() -> None:
    lane = Lane().start()
    for reason in ("look", "look", "", "tyre"):
        lane.act(ActKind.HOLD_LANE, Role.OFFICER, reason=reason, officer="bso:p1")
    assert lane.state.hold is not None
    assert lane.state.hold.reason == "look; also held by bso:p1: tyre"


@pytest.mark.parametrize("kind", [ActKind.HOLD_LANE, ActKind.HOLD_CONVEYANCE])
def test_a_hold_that_was_given_again_is_not_cleared_by_who_has_not_seen_that(kind: ActKind) -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.control("bso:p1")
    which = truck.conveyance_id if kind is ActKind.HOLD_CONVEYANCE else ""

    def held() -> Hold | None:
        return lane.state.hold if not which else lane.state.tracks[0].conveyance.hold

    def act(kind: ActKind, officer: str, etag: str = "") -> ActResult:
        lane.acts += 1
        request = f"again-{lane.acts}"
        role = Role.OFFICER if officer.startswith("bso") else Role.TECHNICIAN
        return lane.send(OfficerAct(kind, request, officer, role, conveyance_id=which, etag=etag)).result

    act(kind, "tech:7")
    shown = held()
    assert shown is not None
    act(kind, "tech:7")  # the same person once more, with nothing new to say: still a HOLD that counts
    assert act(ActKind.CLEAR_HOLD, "bso:p1", shown.etag) is ActResult.FAILED_PRECONDITION
    again = held()
    assert again is not None
    assert act(ActKind.CLEAR_HOLD, "bso:p1", again.etag) is ActResult.OK
    assert held() is None


def test_a_second_hold_after_one_without_a_reason_begins_with_who_gave_it() -> None:
    lane = Lane().start()
    lane.act(ActKind.HOLD_LANE, Role.TECHNICIAN, officer="tech:7")
    lane.act(ActKind.HOLD_LANE, Role.OFFICER, officer="bso:p1")
    assert lane.state.hold is not None
    assert lane.state.hold.reason == "also held by bso:p1"


def test_an_officers_release_ends_after_its_lease_and_with_its_console() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.feed(ConsolePresence(lane.at, True))
    lane.send(release_of(lane))
    assert lane.green
    lane.wait(20.5)
    assert lane.green == ""
    assert not lane.withdrawn[-1].immediate
    lane.send(release_of(lane, "r-2"))
    lane.drive_to_line()
    lane.wait(12)
    lane.send(release_of(lane, "r-3"))
    assert lane.green
    lane.feed(ConsolePresence(lane.at, False))
    assert lane.green == ""
    assert lane.withdrawn[-1].immediate


def test_where_an_officer_must_be_present_the_lane_degrades_without() -> None:
    config = CoreConfig(
        CONFIG.identity, CONFIG.geometry, CONFIG.kinematics, LanePolicy(officer_presence_required=True),
        CONFIG.mode_at_start,
    )  # fmt: skip
    lane = Lane(config).start()
    assert lane.mode == "degraded"
    lane.feed(ConsolePresence(lane.at, True))
    assert lane.mode == "remote"
    lane.arrive()
    lane.decide()
    assert lane.green
    lane.feed(ConsolePresence(lane.at, False))
    assert lane.green == ""
    assert lane.mode == "degraded"


def test_in_an_attended_lane_only_an_officer_releases_standing_vehicles() -> None:
    lane = Lane().start()
    lane.act(ActKind.SET_MODE, mode="attended")
    lane.arrive()
    lane.decide()
    assert lane.green == ""
    lane.send(release_of(lane))
    assert lane.green == "", "it does not stand at the line yet"
    lane.drive_to_line()
    lane.wait(8)
    lane.send(release_of(lane, "r-2"))
    assert lane.green


def test_a_planned_mode_change_may_show_amber() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.act(ActKind.SET_MODE, Role.TECHNICIAN, mode="closed")
    assert lane.green == ""
    assert not lane.withdrawn[-1].immediate
    assert lane.act(ActKind.SET_MODE, Role.TECHNICIAN, mode="remote").result is ActResult.PERMISSION_DENIED
    assert lane.act(ActKind.SET_MODE, mode="fault").result is ActResult.INVALID_ARGUMENT
    lane.act(ActKind.SET_MODE, mode="remote")
    assert lane.green
    lane.act(ActKind.SET_MODE, mode="all_hold")
    assert lane.withdrawn[-1].immediate


def test_acts_on_nobody() -> None:
    lane = Lane().start()
    for kind in (ActKind.HOLD_CONVEYANCE, ActKind.RELEASE_CONVEYANCE, ActKind.REFER_CONVEYANCE):
        assert lane.act(kind, conveyance_id="nobody").result is ActResult.NOT_FOUND
    assert lane.act(ActKind.CLEAR_HOLD).message == "no hold is in force"
    assert lane.act(ActKind.CLEAR_FAULT).message == "no fault is latched"
    assert lane.act(ActKind.ACKNOWLEDGE).result is ActResult.INVALID_ARGUMENT
    assert lane.act(ActKind.DIRECT_CONVEYANCE, verdict=Verdict.RELEASE).result is ActResult.INVALID_ARGUMENT
    assert lane.send(OfficerAct(ActKind.HOLD_LANE, "", "x", Role.OFFICER)).result is ActResult.INVALID_ARGUMENT


def test_a_vehicle_past_the_line_is_not_released_any_more() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.drive_to_line()
    act = release_of(lane)
    lane.on(Zone.BEAM)
    truck = lane.state.conveyances[0]
    assert Flag.VIOLATION in truck.flags
    assert lane.send(replace(act, etag=etag_of(truck))).result is ActResult.FAILED_PRECONDITION
