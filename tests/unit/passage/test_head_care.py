"""What a fault of the head, its test and its commissioning do to the lane."""

from dataclasses import replace

import pytest

from drivers.api import Aspect, Grade
from edge_agent.model.decision import ActKind, ActResult, Role
from edge_agent.model.effects import EmitEvent, SetCondition
from edge_agent.model.inputs import (
    DeviceChanged,
    HeadCommissioned,
    HeadTested,
    SignalChanged,
    Started,
    ZonesLost,
)
from edge_agent.model.lane import Zone
from edge_agent.passage.views import red_causes
from edge_agent.wire.journal import decode_input, decode_record, encode_input, encode_record
from tests.unit.passage.story import Lane


def _fault(lane: Lane, code: str = "SIGNAL_DARK") -> None:
    lane.feed(SignalChanged(lane.at, Aspect.RED, None, Grade.NONE, "readback_disagrees", code, 0))


def _tested(lane: Lane, *, passed: bool = True, kind: str = "signal_test") -> HeadTested:
    event = HeadTested(lane.at, kind, passed, "io-1", "ab12", "tech:7", (("1_red", "red (lamp)"),))
    lane.feed(event)
    return event


def _closed_with_fault() -> Lane:
    lane = Lane().start()
    _fault(lane)
    assert lane.act(ActKind.SET_MODE, Role.TECHNICIAN, mode="closed").result is ActResult.OK
    return lane


def test_a_fault_is_cleared_after_a_passed_test_and_the_lane_stays_closed() -> None:
    lane = Lane().start()
    _fault(lane)
    refused = lane.act(ActKind.CLEAR_FAULT)
    assert refused.result is ActResult.FAILED_PRECONDITION
    assert refused.message == "no signal test was passed since SIGNAL_DARK: close the lane, then lanectl signal-test"
    assert "close the lane" in lane.act(ActKind.TEST_SIGNAL, lane_empty=True).message
    assert "close the lane" in lane.act(ActKind.SET_MODE, mode="attended").message
    assert lane.act(ActKind.SET_MODE, Role.TECHNICIAN, mode="closed").result is ActResult.OK
    assert (lane.mode, lane.state.closed_and_empty) == ("fault", True)
    assert lane.act(ActKind.CLEAR_FAULT).message.endswith("SIGNAL_DARK: lanectl signal-test")
    assert lane.act(ActKind.TEST_SIGNAL, Role.TECHNICIAN, lane_empty=True).result is ActResult.OK
    _tested(lane)
    assert lane.act(ActKind.CLEAR_FAULT, Role.TECHNICIAN).message.startswith("fault cleared; the lane is closed")
    assert lane.mode == "closed"
    assert lane.act(ActKind.SET_MODE, mode="remote").result is ActResult.OK
    assert lane.mode == "remote"


@pytest.mark.parametrize(("passed", "kind"), [(False, "signal_test"), (True, "kill_test")])
def test_only_a_passed_signal_test_counts(passed: bool, kind: str) -> None:
    lane = _closed_with_fault()
    _tested(lane, passed=passed, kind=kind)
    assert lane.act(ActKind.CLEAR_FAULT).result is ActResult.FAILED_PRECONDITION
    told = next(e for e in reversed(lane.effects) if isinstance(e, EmitEvent) and e.code == kind.upper())
    facts = dict(told.facts)
    assert (facts["passed"], facts["device"], facts["module"], facts["officer"]) == (
        str(int(passed)), "io-1", "ab12", "tech:7",
    )  # fmt: skip
    assert facts["1_red"] == "red (lamp)"


def test_a_test_counts_for_one_fault_one_module_and_one_life() -> None:
    lane = Lane().start()
    lane.act(ActKind.SET_MODE, mode="closed")
    _tested(lane)
    _fault(lane)
    assert lane.act(ActKind.CLEAR_FAULT).result is ActResult.FAILED_PRECONDITION, "tested before the fault"
    _tested(lane)
    _tested(lane, passed=False)
    assert lane.act(ActKind.CLEAR_FAULT).result is ActResult.FAILED_PRECONDITION, "the last one failed"
    _tested(lane)
    lane.feed(DeviceChanged(lane.at, "rfid-1", False, "X", True))
    assert lane.state.tested is not None
    lane.feed(DeviceChanged(lane.at, "io-1", False, "MODBUS_LINK_LOST", True))
    assert lane.act(ActKind.CLEAR_FAULT).result is ActResult.FAILED_PRECONDITION, "another module may be back"
    _tested(lane)
    lane.feed(Started(lane.at, "boot-2", b"seed"))
    assert lane.act(ActKind.CLEAR_FAULT).result is ActResult.FAILED_PRECONDITION, "another life"
    lane.zones()
    _tested(lane)
    assert lane.act(ActKind.CLEAR_FAULT).result is ActResult.OK
    assert lane.state.tested is None


def test_the_head_is_tested_before_nobody_only() -> None:
    lane = Lane().start()
    lane.act(ActKind.SET_MODE, mode="closed")
    for kind in (ActKind.TEST_SIGNAL, ActKind.TEST_KILL):
        assert lane.act(kind, Role.VIEWER, lane_empty=True).result is ActResult.PERMISSION_DENIED
        assert "somebody at the lane" in lane.act(kind).message
        assert lane.act(kind, lane_empty=True).result is ActResult.OK
    lane.act(ActKind.HOLD_LANE)
    assert "held" in lane.act(ActKind.TEST_SIGNAL, lane_empty=True).message
    lane.act(ActKind.CLEAR_HOLD)
    lane.on(Zone.X)
    assert lane.act(ActKind.TEST_SIGNAL, lane_empty=True).result is ActResult.FAILED_PRECONDITION
    lane.off(Zone.X)
    lane.wait(5)
    lane.act(ActKind.CONFIRM_ORDER)
    assert lane.act(ActKind.TEST_SIGNAL, lane_empty=True).result is ActResult.OK
    lane.feed(ZonesLost(lane.at, "INPUTS_STALE"))
    assert "not known" in lane.act(ActKind.TEST_SIGNAL, lane_empty=True).message
    lane.zones()
    lane.arrive()
    assert not lane.state.closed_and_empty, "between two zones it stands on no loop, and is there all the same"
    assert "1 vehicle(s)" in lane.act(ActKind.TEST_SIGNAL, lane_empty=True).message


def test_the_green_of_a_test_is_on_nobodys_record() -> None:
    lane = Lane().start()
    lane.arrive()
    green = SignalChanged(lane.at, Aspect.GREEN, Aspect.GREEN, Grade.LAMP, "", "", 0, test=True)
    before = lane.first.signals
    lane.feed(green)
    assert lane.first.signals == before
    lane.feed(replace(green, test=False))
    assert len(lane.first.signals) == len(before) + 1


def test_without_a_kill_test_on_record_the_lane_does_not_roll_and_says_why() -> None:
    lane = Lane().start()
    lane.feed(HeadCommissioned(lane.at, False, "no kill test of io-1 is on record"))
    assert lane.mode == "degraded"
    assert ("HEAD_NOT_COMMISSIONED", True) in lane.conditions
    assert next(cause.code for cause in red_causes(lane.state, lane.at)) == "HEAD_NOT_COMMISSIONED"
    lane.arrive()
    lane.decide()
    assert lane.green == ""
    codes = [cause.code for cause in red_causes(lane.state, lane.at)]
    assert "HEAD_NOT_COMMISSIONED" in codes
    refused = lane.act(ActKind.SET_MODE, mode="remote")
    assert refused.result is ActResult.FAILED_PRECONDITION
    assert "no kill test of io-1 is on record" in refused.message
    lane.act(ActKind.SET_MODE, mode="attended")
    assert "HEAD_NOT_COMMISSIONED" not in [cause.code for cause in red_causes(lane.state, lane.at)]
    events = len(lane.journal)
    lane.feed(HeadCommissioned(lane.at, False, "no kill test of io-1 is on record"))
    assert len(lane.journal) == events, "no news"
    lane.feed(HeadCommissioned(lane.at, True, ""))
    assert ("HEAD_NOT_COMMISSIONED", False) in lane.conditions
    assert lane.act(ActKind.SET_MODE, mode="remote").result is ActResult.OK
    assert lane.mode == "remote"


def test_what_is_known_of_the_head_comes_back_from_the_journal() -> None:
    lane = _closed_with_fault()
    event = _tested(lane)
    assert decode_input(encode_input(event)) == event
    told = HeadCommissioned(lane.at, False, "why")
    lane.feed(told)
    assert decode_input(encode_input(told)) == told
    again = decode_record(type(lane.state), encode_record(lane.state))
    assert (again.tested, again.commissioned) == (lane.state.tested, lane.state.commissioned)


def test_a_new_life_tells_again_what_keeps_the_lane_red_and_a_new_reason_replaces_the_old() -> None:
    lane = _closed_with_fault()
    lane.act(ActKind.HOLD_LANE)
    lane.feed(HeadCommissioned(lane.at, False, "nothing on record"))
    lane.effects.clear()
    lane.feed(Started(lane.at, "boot-2", b"seed"))
    assert {("SIGNAL_FAULT", True), ("LANE_HOLD", True), ("HEAD_NOT_COMMISSIONED", True)} <= set(lane.conditions)
    lane.effects.clear()
    lane.feed(HeadCommissioned(lane.at, False, "of another module"))
    told = [e.title for e in lane.effects if isinstance(e, SetCondition)]
    assert told == ["No rolling release: of another module"]
