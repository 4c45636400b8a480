"""The oracle catches each way in which a green can be wrong, and stays silent on a right one."""

import pytest

from hil.oracles.wrong_green import Limits, Rule, WrongGreenOracle
from hil.world.events import EventKind, WorldEvent


def _enter(t: float, truck: str, x_m: float = -110.0) -> WorldEvent:
    return WorldEvent(t, EventKind.ENTERED, truck, x_m=x_m)


def _nose(t: float, truck: str, forward: bool = True) -> WorldEvent:
    return WorldEvent(t, EventKind.NOSE, truck, "S", forward)


def _tail(t: float, truck: str) -> WorldEvent:
    return WorldEvent(t, EventKind.TAIL, truck, "S")


def _oracle(*events: WorldEvent, limits: Limits | None = None) -> WrongGreenOracle:
    oracle = WrongGreenOracle(limits)
    oracle.world(events)
    return oracle


def _rules(oracle: WrongGreenOracle, until: float = 100.0) -> list[Rule]:
    oracle.settle(until)
    return [verdict.rule for verdict in oracle.verdicts()]


def test_silent_on_a_right_run() -> None:
    oracle = _oracle(
        _enter(1, "T1"), _enter(9, "T2"), _nose(20, "T1"), _tail(25, "T1"), _nose(30, "T2"), _tail(35, "T2")
    )
    oracle.released(5, "T1", until=60)
    oracle.released(14, "T2", until=60)
    for t, aspect in ((6.0, "green"), (20.1, "red"), (25.2, "green"), (30.1, "red")):
        oracle.lamp(t, aspect)
    assert _rules(oracle) == []
    counts = oracle.counts()
    assert counts.greens == 2
    assert counts.green_s == pytest.approx(14.1 + 4.9)
    assert counts.by_truck == {"T1": 1, "T2": 1}


def test_green_while_another_truck_is_first() -> None:
    oracle = _oracle(_enter(1, "T1"), _enter(9, "T2"))
    oracle.released(10, "T2")
    oracle.lamp(12, "green")
    assert _rules(oracle) == [Rule.WRONG_CONVEYANCE]
    assert oracle.verdicts()[0].t == 12
    assert "T1 is first" in oracle.verdicts()[0].text


def test_green_that_stays_when_its_truck_leaves_by_the_side() -> None:
    oracle = _oracle(_enter(1, "T1"), WorldEvent(20, EventKind.DIVERTED, "T1"))
    oracle.released(5, "T1")
    oracle.lamp(6, "green")
    oracle.lamp(21, "red")
    assert _rules(oracle) == [Rule.WRONG_CONVEYANCE]


def test_green_that_stays_when_another_backs_over_the_line() -> None:
    oracle = _oracle(_enter(1, "T1"), _enter(2, "T2"), _nose(10, "T1"), _tail(15, "T1"), _nose(20, "T1", forward=False))
    oracle.released(3, "T1")
    oracle.released(4, "T2")
    for t, aspect in ((5.0, "green"), (10.1, "red"), (16.0, "green"), (21.0, "red")):
        oracle.lamp(t, aspect)
    assert _rules(oracle) == [Rule.WRONG_CONVEYANCE]


def test_green_with_nobody_upstream() -> None:
    oracle = _oracle(_enter(1, "T1"), _nose(10, "T1"), _tail(15, "T1"))
    oracle.lamp(16, "green")
    assert _rules(oracle) == [Rule.NO_CONVEYANCE]


@pytest.mark.parametrize(("red_at", "rules"), [(20.29, []), (20.31, [Rule.AFTER_NOSE])])
def test_green_after_the_nose(red_at: float, rules: list[Rule]) -> None:
    oracle = _oracle(_enter(1, "T1"), _nose(20, "T1"))
    oracle.released(5, "T1")
    oracle.lamp(6, "green")
    oracle.lamp(red_at, "red")
    assert _rules(oracle) == rules


def test_limit_after_the_nose_is_a_parameter() -> None:
    oracle = _oracle(_enter(1, "T1"), _nose(20, "T1"), limits=Limits(after_nose_s=0.5))
    oracle.released(5, "T1")
    oracle.lamp(6, "green")
    oracle.lamp(20.4, "red")
    assert _rules(oracle) == []


def test_green_that_never_ends_is_told_without_waiting_for_red() -> None:
    oracle = _oracle(_enter(1, "T1"), _nose(20, "T1"))
    oracle.released(5, "T1")
    oracle.lamp(6, "green")
    assert oracle.settle(20.2) == []
    assert [verdict.rule for verdict in oracle.settle(20.4)] == [Rule.AFTER_NOSE]
    assert oracle.settle(30) == []


@pytest.mark.parametrize(("red_at", "rules"), [(12.3, []), (12.5, [Rule.BEYOND_REVOCATION])])
def test_green_beyond_revocation(red_at: float, rules: list[Rule]) -> None:
    oracle = _oracle(_enter(1, "T1"))
    oracle.released(5, "T1")
    oracle.lamp(6, "green")
    oracle.revoked(12, "T1")
    oracle.lamp(red_at, "red")
    assert _rules(oracle) == rules


def test_green_beyond_the_time_to_live() -> None:
    oracle = _oracle(_enter(1, "T1"))
    oracle.released(5, "T1", until=15)
    oracle.lamp(6, "green")
    oracle.lamp(16, "red")
    assert _rules(oracle) == [Rule.BEYOND_REVOCATION]


def test_renewed_release_lives_on() -> None:
    oracle = _oracle(_enter(1, "T1"))
    oracle.released(5, "T1", until=15)
    oracle.released(14, "T1", until=40)
    oracle.lamp(6, "green")
    oracle.lamp(30, "red")
    assert _rules(oracle) == []


def test_green_beyond_a_hold() -> None:
    oracle = _oracle(_enter(1, "T1"))
    oracle.released(5, "T1")
    oracle.lamp(6, "green")
    oracle.lane_closed(10, "hold")
    oracle.lamp(10.5, "red")
    assert _rules(oracle) == [Rule.BEYOND_REVOCATION]


def test_green_that_begins_under_a_hold() -> None:
    oracle = _oracle(_enter(1, "T1"))
    oracle.released(5, "T1")
    oracle.lane_closed(3, "hold")
    oracle.lamp(6, "green")
    oracle.lamp(7, "red")
    oracle.lane_opened(8, "hold")
    oracle.lamp(9, "green")
    assert _rules(oracle) == [Rule.BEYOND_REVOCATION]


def test_each_reason_has_its_bound() -> None:
    oracle = _oracle(_enter(1, "T1"))
    oracle.released(5, "T1")
    oracle.lamp(6, "green")
    oracle.lane_closed(10, "agent killed", bound_s=2.0)
    oracle.lamp(11.9, "red")
    assert _rules(oracle) == []


def test_green_without_any_decision() -> None:
    oracle = _oracle(_enter(1, "T1"))
    oracle.lamp(6, "green")
    assert _rules(oracle) == [Rule.NO_LIVE_DECISION]


def test_green_on_a_decision_long_dead() -> None:
    oracle = _oracle(_enter(1, "T1"))
    oracle.released(2, "T1", until=4)
    oracle.lamp(6, "green")
    assert _rules(oracle) == [Rule.NO_LIVE_DECISION]


def test_release_is_used_up_by_crossing() -> None:
    oracle = _oracle(_enter(1, "T1"), _nose(20, "T1"), _nose(25, "T1", forward=False))
    oracle.released(5, "T1")
    for t, aspect in ((6.0, "green"), (20.1, "red"), (26.0, "green"), (27.0, "red")):
        oracle.lamp(t, aspect)
    assert _rules(oracle) == [Rule.NO_LIVE_DECISION]


def test_green_before_the_tail_is_clear() -> None:
    oracle = _oracle(_enter(1, "T1"), _enter(9, "T2"), _nose(20, "T1"), _tail(25, "T1"))
    oracle.released(5, "T1")
    oracle.released(14, "T2")
    for t, aspect in ((6.0, "green"), (20.1, "red"), (24.9, "green"), (25.5, "red")):
        oracle.lamp(t, aspect)
    assert _rules(oracle) == [Rule.TAIL_NOT_CLEAR]


def test_green_that_meets_the_nose_within_the_limit_is_its_trucks() -> None:
    oracle = _oracle(_enter(1, "T1"), _enter(9, "T2"), _nose(20, "T1"))
    oracle.released(5, "T1")
    oracle.lamp(20.05, "green")
    oracle.lamp(20.2, "red")
    assert _rules(oracle) == []


def test_follower_that_crosses_on_its_leaders_green() -> None:
    oracle = _oracle(_enter(1, "T1"), _enter(2, "T2"), _nose(20, "T1"), _tail(25, "T1"), _nose(26, "T2"))
    oracle.released(5, "T1")
    oracle.lamp(6, "green")
    assert _rules(oracle) == [Rule.AFTER_NOSE, Rule.WRONG_CONVEYANCE]


def test_facts_may_come_in_any_order_but_not_after_their_judgement() -> None:
    oracle = _oracle()
    oracle.lamp(6, "green")
    oracle.released(5, "T1")
    oracle.world([_enter(1, "T1")])
    assert _rules(oracle, 7.0) == []
    with pytest.raises(ValueError, match="judged"):
        oracle.lamp(6.5, "red")


def test_running_green_is_counted() -> None:
    oracle = _oracle(_enter(1, "T1"))
    oracle.released(5, "T1")
    oracle.lamp(6, "green")
    oracle.settle(10)
    assert oracle.counts().green_s == pytest.approx(4.0)


def _arrives(t: float, truck: str) -> WorldEvent:
    return WorldEvent(t, EventKind.NOSE, truck, "A")


def test_a_signal_test_may_show_green_to_nobody() -> None:
    oracle = _oracle(_enter(1, "T1"), _arrives(4, "T1"), _nose(20, "T1"), _tail(25, "T1"), _enter(28, "T2"))
    oracle.lane_closed(2, "mode")
    oracle.signal_test(30, on=True)
    for t, aspect in ((31.0, "green"), (32.0, "red")):
        oracle.lamp(t, aspect)
    oracle.signal_test(33, on=False)
    assert _rules(oracle) == []


@pytest.mark.parametrize(
    ("arrives", "over", "red", "rules"),
    [
        (10.0, 40.0, 32.0, [Rule.TEST_BEFORE_SOMEBODY]),
        (31.5, 40.0, 31.7, []),
        (31.5, 40.0, 32.0, [Rule.TEST_BEFORE_SOMEBODY]),
        (99.0, 31.5, 31.7, []),
        (99.0, 31.5, 32.0, [Rule.NO_CONVEYANCE]),
    ],
)
def test_the_green_of_a_signal_test_ends_with_the_test_and_before_whoever_comes(
    arrives: float, over: float, red: float, rules: list[Rule]
) -> None:
    oracle = _oracle(_enter(1, "T1"), _arrives(arrives, "T1"))
    oracle.signal_test(30, on=True)
    oracle.lamp(31.0, "green")
    oracle.lamp(red, "red")
    oracle.signal_test(over, on=False)
    assert _rules(oracle) == rules


def test_a_green_for_nobody_outside_a_test_is_wrong() -> None:
    oracle = _oracle(_enter(1, "T1"))
    oracle.signal_test(30, on=True)
    oracle.signal_test(31, on=False)
    oracle.lamp(32.0, "green")
    oracle.lamp(33.0, "red")
    assert _rules(oracle) == [Rule.NO_LIVE_DECISION]
