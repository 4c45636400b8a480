"""Maintenance ends by itself and leaves the lane closed; captures live inside it, with who and why on record."""

from dataclasses import replace

import pytest

from drivers.api import Aspect, Grade
from edge_agent.model.decision import ActKind, ActResult, Role
from edge_agent.model.effects import EmitEvent
from edge_agent.model.inputs import CaptureEnded, HeadTested, SignalChanged
from edge_agent.model.lane import LanePolicy
from edge_agent.passage.corridor import fold, initial_state
from edge_agent.passage.views import red_causes, view
from edge_agent.wire.journal import decode_input, encode_input

from .story import CONFIG, Lane

TECHNICIAN = Role.TECHNICIAN


def maintained(minutes: float = 20.0) -> Lane:
    """A lane that a technician has closed and works at."""
    lane = Lane().start()
    assert lane.act(ActKind.SET_MODE, TECHNICIAN, mode="closed").result is ActResult.OK
    answer = lane.act(ActKind.SET_MODE, TECHNICIAN, mode="maintenance", duration_s=minutes * 60, reason="new antenna")
    assert answer.result is ActResult.OK
    assert lane.mode == "maintenance"
    return lane


def events(lane: Lane, code: str) -> list[dict[str, str]]:
    """The facts of every event of this code."""
    return [dict(e.facts) for e in lane.effects if isinstance(e, EmitEvent) and e.code == code]


def capture(lane: Lane, name: str = "c-1", device: str = "rfid-1", minutes: float = 10.0) -> ActResult:
    """Begin a capture."""
    act = lane.act(
        ActKind.START_CAPTURE, TECHNICIAN, capture=name, device=device, duration_s=minutes * 60, reason="no reads"
    )
    return act.result


@pytest.mark.parametrize("mode", ["remote", "attended", "degraded", "all_hold"])
def test_only_a_closed_lane_is_maintained(mode: str) -> None:
    lane = Lane().start()
    lane.act(ActKind.SET_MODE, mode=mode)
    refused = lane.act(ActKind.SET_MODE, mode="maintenance")
    assert refused.result is ActResult.FAILED_PRECONDITION
    assert "close it first" in refused.message
    assert lane.mode == mode


def test_it_ends_by_itself_and_leaves_the_lane_closed() -> None:
    lane = maintained(minutes=20)
    assert ("LANE_MAINTENANCE", True) in lane.conditions
    lane.wait(20 * 60 - 1, pace=30)
    assert lane.mode == "maintenance"
    lane.wait(2)
    assert lane.mode == "closed"
    assert lane.conditions[-1] == ("LANE_MAINTENANCE", False)
    assert events(lane, "MODE_CHANGED")[-1] == {"mode": "closed", "before": "maintenance"}
    lane.wait(3600, pace=60)
    assert lane.mode == "closed"


def test_without_a_length_it_is_half_an_hour_and_never_over_the_longest() -> None:
    lane = Lane(replace(CONFIG, policy=LanePolicy(maintenance_max_s=600))).start()
    lane.act(ActKind.SET_MODE, mode="closed")
    too_long = lane.act(ActKind.SET_MODE, mode="maintenance", duration_s=601)
    assert too_long.result is ActResult.INVALID_ARGUMENT
    assert "10 minutes at most" in too_long.message
    assert lane.act(ActKind.SET_MODE, mode="maintenance").message.startswith("maintenance for 10 minutes")
    assert Lane().start().config.policy.maintenance_max_s == 7200


def test_asked_again_its_time_begins_anew() -> None:
    lane = maintained(minutes=20)
    lane.wait(15 * 60, pace=30)
    assert lane.act(ActKind.SET_MODE, TECHNICIAN, mode="maintenance", duration_s=1200).result is ActResult.OK
    lane.wait(15 * 60, pace=30)
    assert lane.mode == "maintenance"


def test_nobody_opens_the_lane_over_a_technicians_head() -> None:
    lane = maintained()
    refused = lane.act(ActKind.SET_MODE, mode="remote")
    assert refused.result is ActResult.FAILED_PRECONDITION
    assert "works at the lane" in refused.message
    assert lane.act(ActKind.SET_MODE, mode="closed").result is ActResult.OK
    assert lane.mode == "closed"
    assert lane.act(ActKind.SET_MODE, mode="remote").result is ActResult.OK


def test_nobody_gets_green() -> None:
    lane = maintained()
    lane.arrive()
    lane.decide()
    lane.wait(2)
    assert lane.green == ""
    cause = next(c for c in red_causes(lane.state, lane.at) if c.code.value == "MODE")
    assert (cause.text, cause.by) == ("lane mode is maintenance: new antenna", "bso:p1")
    assert lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first).result is ActResult.FAILED_PRECONDITION


def test_a_lane_with_a_signal_fault_may_be_maintained_and_is_closed_after() -> None:
    lane = Lane().start()
    lane.feed(SignalChanged(lane.at, Aspect.RED, None, Grade.NONE, "", "SIGNAL_DARK", 0))
    assert lane.mode == "fault"
    assert lane.act(ActKind.SET_MODE, TECHNICIAN, mode="maintenance", duration_s=1200).result is ActResult.OK
    assert lane.mode == "fault"
    assert capture(lane) is ActResult.OK
    assert lane.act(ActKind.TEST_SIGNAL, TECHNICIAN, lane_empty=True).result is ActResult.OK
    lane.feed(HeadTested(lane.at, "signal_test", True, "io-1", "", "p1", ()))
    lane.act(ActKind.CLEAR_FAULT, TECHNICIAN)
    assert lane.mode == "maintenance"
    lane.wait(1201, pace=60)
    assert lane.mode == "closed"


def test_captures_are_refused_outside_maintenance() -> None:
    lane = Lane().start()
    for mode in ("remote", "attended", "degraded", "all_hold", "closed"):
        lane.act(ActKind.SET_MODE, mode=mode)
        assert capture(lane) is ActResult.FAILED_PRECONDITION, mode
    assert events(lane, "CAPTURE_STARTED") == []


@pytest.mark.parametrize("role", [role for role in Role if role is not TECHNICIAN])
def test_captures_are_the_technicians(role: Role) -> None:
    lane = maintained()
    for kind in (ActKind.START_CAPTURE, ActKind.STOP_CAPTURE, ActKind.DELETE_CAPTURE):
        assert lane.act(kind, role, capture="c-1", device="rfid-1").result is ActResult.PERMISSION_DENIED


def test_a_capture_is_on_record_with_who_and_why_from_start_to_deletion() -> None:
    lane = maintained()
    assert capture(lane) is ActResult.OK
    assert ("CAPTURE_ACTIVE", True) in lane.conditions
    assert view(lane.state, lane.at).captures[0].device == "rfid-1"
    assert capture(lane, "c-2") is ActResult.FAILED_PRECONDITION
    assert lane.act(ActKind.DELETE_CAPTURE, TECHNICIAN, capture="c-1").result is ActResult.FAILED_PRECONDITION
    lane.act(ActKind.STOP_CAPTURE, TECHNICIAN, capture="c-1", reason="found it")
    assert lane.conditions[-1] == ("CAPTURE_ACTIVE", False)
    assert lane.act(ActKind.STOP_CAPTURE, TECHNICIAN, capture="c-1").result is ActResult.NOT_FOUND
    assert lane.act(ActKind.DELETE_CAPTURE, TECHNICIAN, capture="c-1", reason="done").result is ActResult.OK
    (started,) = events(lane, "CAPTURE_STARTED")
    assert started == {
        "capture": "c-1", "device": "rfid-1", "officer": "bso:p1", "why": "no reads", "seconds": "600"
    }  # fmt: skip
    (ended,) = events(lane, "CAPTURE_ENDED")
    assert (ended["cause"], ended["officer"], ended["why"]) == ("stopped", "bso:p1", "found it")
    assert events(lane, "CAPTURE_DELETED") == [{"capture": "c-1", "officer": "bso:p1", "why": "done"}]


def test_a_capture_never_outlives_maintenance() -> None:
    lane = maintained(minutes=5)
    assert capture(lane, minutes=60) is ActResult.OK
    assert lane.state.captures[0].until_ns == lane.at.mono_ns + 300 * 10**9
    lane.act(ActKind.SET_MODE, TECHNICIAN, mode="closed")
    assert lane.state.captures == ()
    assert events(lane, "CAPTURE_ENDED")[0]["cause"] == "maintenance_over"


def test_a_capture_that_ends_by_itself_says_why_once() -> None:
    lane = maintained()
    capture(lane)
    lane.feed(CaptureEnded(lane.at, "c-1", "time", 4096))
    lane.feed(CaptureEnded(lane.at, "c-1", "time", 4096))
    (ended,) = events(lane, "CAPTURE_ENDED")
    assert (ended["cause"], ended["bytes"]) == ("time", "4096")


def test_a_restart_in_the_middle_leaves_the_lane_closed_and_the_end_on_record() -> None:
    lane = maintained()
    capture(lane)
    lane.now += 1.0
    lane.start(order_known=False)
    assert lane.mode == "closed"
    assert lane.state.maintenance is None
    assert events(lane, "CAPTURE_ENDED")[0]["cause"] == "restarted"


def test_the_journal_gives_the_same_state() -> None:
    lane = maintained()
    capture(lane)
    lane.wait(5)
    lane.feed(CaptureEnded(lane.at, "c-1", "size", 1))
    lane.wait(1300, pace=60)
    again = fold(initial_state(lane.config), [decode_input(encode_input(event)) for event in lane.journal])
    assert again == lane.state
