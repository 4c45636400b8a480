"""The barrier arm in the core: its faults latch over a restart, are told, and only a person clears them."""

from dataclasses import replace

import pytest

from drivers.api import Aspect, Grade
from edge_agent.control.orders import arm_orders, signal_orders
from edge_agent.control.signal_loop import SignalState
from edge_agent.model.decision import ActKind, ActResult, Role
from edge_agent.model.effects import EmitEvent, SetCondition
from edge_agent.model.inputs import BarrierChanged, SignalChanged
from edge_agent.model.lane import Zone
from edge_agent.passage.corridor import LaneState
from edge_agent.safety.facts import Reason, Ruling
from edge_agent.safety.timing import HeadTest
from edge_agent.wire.journal import decode_input, decode_record, encode_input, encode_record

from .story import Lane, stamp


def told(lane: Lane, code: str) -> list[dict[str, str]]:
    return [dict(effect.facts) for effect in lane.effects if isinstance(effect, EmitEvent) and effect.code == code]


def arm(lane: Lane, place: str, asked: str = "none", fault: str = "") -> None:
    lane.feed(BarrierChanged(lane.at, place, asked, fault))


def test_what_the_arm_is_asked_for_is_told_once() -> None:
    lane = Lane().start()
    for place, asked in (("down", "none"), ("down", "raise"), ("between", "raise"), ("up", "none"), ("up", "lower")):
        arm(lane, place, asked)
    assert told(lane, "BARRIER_ASKED") == [{"asked": "raise", "arm": "down"}, {"asked": "lower", "arm": "up"}]


def test_a_fault_of_the_arm_latches_over_a_restart_and_a_person_clears_it() -> None:
    lane = Lane().start()
    arm(lane, "between", fault="BARRIER_NOT_MOVED")
    arm(lane, "up")
    assert signal_orders(lane.state, None, 0).arm_fault
    raised = [effect for effect in lane.effects if isinstance(effect, SetCondition) and effect.code == "BARRIER_FAULT"]
    assert ["BARRIER_NOT_MOVED" in effect.title for effect in raised] == [True]
    lane.state = replace(decode_record(LaneState, encode_record(lane.state)), config=lane.state.config)
    lane.start()
    assert lane.state.barrier_fault is not None
    assert lane.state.barrier is None
    assert lane.act(ActKind.CLEAR_FAULT, Role.VIEWER).result is ActResult.PERMISSION_DENIED
    assert lane.act(ActKind.CLEAR_FAULT, Role.TECHNICIAN).result is ActResult.OK
    after = lane.state
    assert (after.barrier_fault is None, after.barrier_cleared) == (True, 1)
    assert not signal_orders(lane.state, None, 0).arm_fault
    assert "BARRIER_FAULT" not in lane.state.conditions
    assert [fact["fault"] for fact in told(lane, "BARRIER_FAULT")] == ["BARRIER_NOT_MOVED", ""]


def test_a_signal_fault_is_cleared_before_the_arms() -> None:
    lane = Lane().start()
    arm(lane, "both", fault="BARRIER_LIMITS_CONFLICT")
    lane.feed(SignalChanged(lane.at, Aspect.RED, None, Grade.NONE, "readback_disagrees", "SIGNAL_DARK", 1))
    lane.act(ActKind.CLEAR_FAULT)
    assert lane.state.barrier_fault is not None


def test_the_journal_keeps_what_the_arm_did() -> None:
    event = BarrierChanged(stamp(3.0), "up", "lower", "", ("doubt",))
    assert decode_input(encode_input(event)) == event


TEST = HeadTest(Aspect.GREEN, 1)
SIGNAL = SignalState(
    commanded=Aspect.RED, since=stamp(0), confirmed=Aspect.RED, grade=Grade.LAMP, confirmed_at=stamp(0),
    confirmed_since=stamp(0),
    ruling=Ruling(Aspect.RED, (Reason.BARRIER_NOT_UP,)), reasons_since=(), fault="", lease_seq=0, cycles=1,
    last_cycle=None, failures=0, last_failure="", fed=None, tripped=False, test=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "needed", "red"),
    [
        ({}, True, True),
        ({"ruling": Ruling(Aspect.RED, (Reason.BARRIER_NOT_UP, Reason.MINIMUM_RED))}, True, True),
        ({"ruling": Ruling(Aspect.RED, (Reason.NO_LEASE, Reason.BARRIER_NOT_UP))}, False, True),
        ({"ruling": Ruling(Aspect.RED, (Reason.MINIMUM_RED,))}, False, True),
        ({"ruling": Ruling(Aspect.RED, (Reason.HOLD,)), "commanded": Aspect.GREEN}, True, False),
        ({"ruling": Ruling(Aspect.GREEN, ()), "commanded": Aspect.GREEN}, True, False),
        ({"confirmed": None}, True, False),
        ({"ruling": Ruling(Aspect.GREEN, ()), "commanded": Aspect.GREEN, "test": TEST}, False, False),
        ({"commanded": None}, True, False),
    ],
)
def test_what_the_signal_tells_the_arm(change: dict[str, object], needed: bool, red: bool) -> None:
    lane = Lane().start()
    orders = arm_orders(lane.state, replace(SIGNAL, **change), lane.at.mono_ns)  # type: ignore[arg-type]
    assert (orders.needed, orders.red) == (needed, red)


def sure(lane: Lane) -> bool:
    return arm_orders(lane.state, SIGNAL, lane.at.mono_ns).sure


def test_what_the_core_knows_makes_the_arm_sure_or_not() -> None:
    lane = Lane().start()
    assert sure(lane)
    lane.on(Zone.A)
    assert sure(lane), "a truck that has just come is no doubt"
    for doubtful in (
        replace(lane.state, order=replace(lane.state.order, known=False)),
        replace(lane.state, zones=replace(lane.state.zones, fresh=False)),
    ):
        assert not arm_orders(doubtful, SIGNAL, lane.at.mono_ns).sure
    lane.on(Zone.BEAM)
    assert not sure(lane), "somebody is over the line"


def test_an_arm_is_not_asked_down_in_front_of_a_truck_that_may_not_be_able_to_stop() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(5.6)
    assert sure(lane), "at 25 km/h it is 39 m past the start of A, and needs 22.5 m to stop"
    lane.wait(0.2)
    assert lane.state.tracks[0].conveyance.committed is None
    assert not sure(lane), "it may be nearer than that"
    lane.wait(5.0)
    lane.off(Zone.A)
    lane.drive_to_line()
    assert not sure(lane)
    lane.on(Zone.BEAM)
    lane.off(Zone.S)
    lane.off(Zone.BEAM)
    assert sure(lane), "it has passed"
