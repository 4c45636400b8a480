"""The arm's rule on every combination of its facts, against formulas written from the requirement; then its times."""

from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import InputSnapshot, Stamp
from edge_agent.safety.barrier import (
    Arm,
    ArmFacts,
    ArmFault,
    ArmHistory,
    ArmLimits,
    ArmOrders,
    ArmReason,
    ArmRuling,
    Move,
    Near,
    arm_at,
    arm_up,
    begin_move,
    classify_arm,
    near_arm,
    rule_arm,
)

MS = 1_000_000
BOOLS = (False, True)
LIMITS = ArmLimits()
RESTING = ArmOrders(needed=False, red=True, sure=True)
NEEDED = ArmOrders(needed=True, red=True, sure=True)

MAY_LOWER = ArmFacts(
    fault=False, arm=Arm.UP, near=Near.FREE, free_long=True, red=True, sure=True, needed=False, asked=Move.NONE
)


def _expected(f: ArmFacts) -> ArmRuling:
    against = {
        ArmReason.FAULT: f.fault,
        ArmReason.POSITION_UNKNOWN: f.arm in (Arm.UNKNOWN, Arm.BOTH),
        ArmReason.NEAR_UNKNOWN: f.near is Near.UNKNOWN,
        ArmReason.PRESENCE: f.near is Near.PRESENT,
        ArmReason.NOT_FREE_LONG: not f.free_long,
        ArmReason.LIGHT_NOT_RED: not f.red,
        ArmReason.DOUBT: not f.sure,
        ArmReason.NEEDED: f.needed,
        ArmReason.MOVING: f.asked is not Move.NONE,
        ArmReason.NOT_UP: f.arm in (Arm.DOWN, Arm.BETWEEN),
    }
    reasons = tuple(reason for reason in ArmReason if against[reason])
    if not reasons:
        return ArmRuling(Move.LOWER, ())
    can_go_up = not f.fault and f.arm in (Arm.DOWN, Arm.BETWEEN) and f.asked is not Move.RAISE
    cause = f.needed or (f.asked is Move.LOWER and f.near is Near.PRESENT)
    return ArmRuling(Move.RAISE if can_go_up and cause else Move.NONE, reasons)


def test_every_combination_of_facts() -> None:
    tried = lowered = raised = 0
    for values in product(BOOLS, Arm, Near, BOOLS, BOOLS, BOOLS, BOOLS, Move):
        facts = ArmFacts(*values)
        ruling = rule_arm(facts)
        assert ruling == _expected(facts), facts
        tried += 1
        lowered += ruling.move is Move.LOWER
        raised += ruling.move is Move.RAISE
    assert (tried, lowered) == (2 * 5 * 3 * 2 * 2 * 2 * 2 * 3, 1)
    assert raised == 2 * (3 * 8 + 3 * 8 + 8)


FOREIGN: tuple[Any, ...] = ("yes", "", 1, 0, None, "up", "free", "raise", [], object)


@pytest.mark.parametrize("name", [field.name for field in fields(ArmFacts)])
@pytest.mark.parametrize("value", FOREIGN, ids=repr)
def test_a_value_outside_its_type_never_moves_the_arm(name: str, value: Any) -> None:
    assert rule_arm(replace(MAY_LOWER, **{name: value})).move is Move.NONE
    down = replace(MAY_LOWER, arm=Arm.DOWN, needed=True)
    expected = Move.RAISE if name in {"near", "free_long", "red", "sure"} else Move.NONE
    assert rule_arm(replace(down, **{name: value})).move is expected
    coming_down = replace(MAY_LOWER, arm=Arm.BETWEEN, asked=Move.LOWER, near=Near.PRESENT)
    stops = name in {"fault", "arm", "near", "asked"}
    assert rule_arm(replace(coming_down, **{name: value})).move is (Move.NONE if stops else Move.RAISE)


# ---- inputs ----


def zones(at_ms: int, *on: str, session: int = 1, without: str = "") -> InputSnapshot:
    roles = ("zone_s", "stop_line_beam", "barrier_presence", "barrier_up", "barrier_down")
    levels = {role: role in on for role in roles if role != without}
    return InputSnapshot(Stamp(at_ms * MS, 0), "io-1", session, levels, {})


@pytest.mark.parametrize(
    ("on", "arm"),
    [
        (("barrier_up",), Arm.UP),
        (("barrier_down",), Arm.DOWN),
        ((), Arm.BETWEEN),
        (("barrier_up", "barrier_down"), Arm.BOTH),
    ],
)
def test_the_limit_switches_say_where_the_arm_is(on: tuple[str, ...], arm: Arm) -> None:
    assert arm_at(zones(0, *on)) is arm
    assert arm_at(zones(0, *on, without="barrier_up")) is Arm.UNKNOWN
    assert arm_at(zones(0, *on, without="barrier_down")) is Arm.UNKNOWN
    assert arm_at(None) is Arm.UNKNOWN


@pytest.mark.parametrize("role", ["zone_s", "stop_line_beam", "barrier_presence"])
def test_each_presence_input_counts_and_so_does_its_absence(role: str) -> None:
    assert near_arm(zones(0)) is Near.FREE
    assert near_arm(zones(0, role)) is Near.PRESENT
    assert near_arm(zones(0, without=role)) is Near.UNKNOWN
    others = {"zone_s", "stop_line_beam", "barrier_presence"} - {role}
    assert near_arm(zones(0, *others, without=role)) is Near.PRESENT
    assert near_arm(None) is Near.UNKNOWN


def test_the_interlocks_fact_is_fresh_and_by_both_switches() -> None:
    stale = LIMITS.stale_ns
    assert arm_up(zones(0, "barrier_up"), stale, stale)
    assert not arm_up(zones(0, "barrier_up"), stale + 1, stale)
    assert not arm_up(zones(0, "barrier_up", "barrier_down"), 0, stale)
    assert not arm_up(zones(0), 0, stale)
    assert not arm_up(None, 0, stale)


# ---- times ----


class Story:
    """Looks in order; the history goes in and out."""

    def __init__(self, history: ArmHistory | None = None) -> None:
        self.history = history or ArmHistory()
        self.facts = MAY_LOWER

    def look(self, now_ns: int, snapshot: InputSnapshot | None, orders: ArmOrders = RESTING) -> ArmRuling:
        self.facts, self.history = classify_arm(self.history, orders, snapshot, now_ns, LIMITS)
        return rule_arm(self.facts)

    def fault(self) -> ArmFault | None:
        return self.history.fault

    def at(self, ms: int, *on: str, orders: ArmOrders = RESTING, session: int = 1) -> ArmRuling:
        """A look on a snapshot taken now."""
        return self.look(ms * MS, zones(ms, *on, session=session), orders)


def test_the_arm_comes_down_after_the_clearing_time_and_not_before() -> None:
    story = Story()
    assert story.at(1000, "barrier_up").reasons == (ArmReason.NOT_FREE_LONG,)
    at_ns = 1000 * MS + LIMITS.free_ns
    fresh = replace(zones(0, "barrier_up"), stamp=Stamp(at_ns - MS, 0))
    assert story.look(at_ns - 1, fresh).move is Move.NONE
    assert story.look(at_ns, fresh).move is Move.LOWER


@pytest.mark.parametrize("role", ["zone_s", "stop_line_beam", "barrier_presence"])
def test_a_presence_begins_the_clearing_time_anew(role: str) -> None:
    story = Story()
    story.at(0, "barrier_up")
    assert story.at(1990, "barrier_up", role).move is Move.NONE
    assert story.at(2100, "barrier_up").move is Move.NONE
    assert story.at(4099, "barrier_up").move is Move.NONE
    assert story.at(4100, "barrier_up").move is Move.LOWER


def test_stale_inputs_never_lower_and_begin_the_clearing_time_anew() -> None:
    story = Story()
    story.at(0, "barrier_up")
    old = zones(2000, "barrier_up")
    assert story.look(2000 * MS + LIMITS.stale_ns, old).move is Move.LOWER
    late = story.look(2000 * MS + LIMITS.stale_ns + 1, old)
    assert late.reasons[:2] == (ArmReason.POSITION_UNKNOWN, ArmReason.NEAR_UNKNOWN)
    assert story.at(2400, "barrier_up").reasons == (ArmReason.NOT_FREE_LONG,)
    assert story.look(2500 * MS, None).move is Move.NONE
    assert story.at(2600, "barrier_up").reasons == (ArmReason.NOT_FREE_LONG,)


def test_a_new_session_of_the_inputs_begins_the_clearing_time_anew() -> None:
    story = Story()
    story.at(0, "barrier_up")
    assert story.at(2000, "barrier_up", session=2).reasons == (ArmReason.NOT_FREE_LONG,)
    assert story.at(4000, "barrier_up", session=2).move is Move.LOWER


def test_a_movement_ends_at_its_limit_switch() -> None:
    story = Story()
    assert story.at(0, "barrier_down", orders=NEEDED).move is Move.RAISE
    story.history = begin_move(story.history, Move.RAISE, 0)
    assert story.at(50, "barrier_down", orders=NEEDED).move is Move.NONE, "one pulse, not many"
    assert story.at(500, orders=NEEDED).move is Move.NONE
    story.at(3000, "barrier_up", orders=NEEDED)
    assert (story.facts.arm, story.facts.asked, story.facts.fault) == (Arm.UP, Move.NONE, False)


def test_an_arm_needed_up_while_it_comes_down_is_turned_back_once() -> None:
    story = Story(begin_move(ArmHistory(), Move.LOWER, 0))
    assert story.at(100).move is Move.NONE
    assert story.at(200, orders=NEEDED).move is Move.RAISE
    story.history = begin_move(story.history, Move.RAISE, 200 * MS)
    assert story.at(300, "barrier_presence").move is Move.NONE


@pytest.mark.parametrize("move", [Move.RAISE, Move.LOWER])
def test_a_movement_without_its_limit_switch_is_a_fault_after_its_time(move: Move) -> None:
    story = Story(begin_move(ArmHistory(), move, 0))
    story.look(LIMITS.travel_ns, replace(zones(0), stamp=Stamp(LIMITS.travel_ns, 0)))
    assert story.fault() is None
    story.look(LIMITS.travel_ns + 1, replace(zones(0), stamp=Stamp(LIMITS.travel_ns, 0)), NEEDED)
    assert story.fault() is ArmFault.NOT_MOVED
    assert rule_arm(story.facts).move is Move.NONE, "a faulty arm is asked for nothing"
    assert story.history.asked is Move.NONE


def test_inputs_lost_under_way_do_not_hide_that_the_arm_did_not_arrive() -> None:
    story = Story(begin_move(ArmHistory(), Move.RAISE, 0))
    story.look(LIMITS.travel_ns + 1, None)
    assert story.fault() is ArmFault.NOT_MOVED


def test_both_limit_switches_are_a_fault_after_the_settling_time() -> None:
    story = Story()
    story.at(1000, "barrier_up", "barrier_down")
    story.at(1500, "barrier_up", "barrier_down")
    assert (story.fault(), story.facts.arm) == (None, Arm.BOTH)
    snapshot = zones(1500, "barrier_up", "barrier_down")
    story.look(1500 * MS + 1, snapshot)
    assert story.fault() is ArmFault.LIMITS
    assert story.facts.fault


def test_both_limit_switches_for_a_moment_are_no_fault() -> None:
    story = Story()
    for at_ms in range(0, 3000, 400):
        story.at(at_ms, "barrier_up", "barrier_down")
        story.at(at_ms + 200, "barrier_up")
    assert story.fault() is None


@pytest.mark.parametrize(
    ("rest", "then"), [("barrier_up", ()), ("barrier_down", ()), ("barrier_down", ("barrier_up",))]
)
def test_an_arm_that_moves_unasked_is_a_fault_after_the_settling_time(rest: str, then: tuple[str, ...]) -> None:
    story = Story()
    story.at(1000, rest)
    assert story.at(2000, *then, orders=NEEDED).move is Move.NONE, "a movement of its own is not hidden by another"
    story.at(2500, *then)
    assert (story.fault(), story.facts.fault) == (None, True)
    story.look(2500 * MS + 1, zones(2500, *then))
    assert story.fault() is ArmFault.MOVED_UNASKED


def test_a_limit_switch_that_bounces_is_no_movement() -> None:
    story = Story()
    for at_ms in range(0, 3000, 400):
        story.at(at_ms, "barrier_up")
        story.at(at_ms + 200)
    assert story.fault() is None


def test_what_an_arm_did_while_nobody_looked_is_no_fault() -> None:
    story = Story()
    story.at(0, "barrier_up")
    story.look(1000 * MS, None)
    story.at(2000, "barrier_down", session=2)
    story.at(3000, "barrier_down", session=2)
    assert (story.fault(), story.history.rest) == (None, Arm.DOWN)


def test_the_arm_at_rest_nowhere_is_not_known_to_have_moved() -> None:
    story = Story()
    story.at(0)
    story.at(1000)
    assert (story.history.rest, story.fault()) == (None, None)
    assert story.at(2000, orders=NEEDED).move is Move.RAISE


def test_a_fault_stays_until_it_is_cleared_and_is_not_replaced_by_another() -> None:
    story = Story(begin_move(ArmHistory(), Move.RAISE, 0))
    story.look(LIMITS.travel_ns + 1, None)
    story.at(20_000, "barrier_up", "barrier_down")
    story.at(21_000, "barrier_up", "barrier_down")
    assert story.fault() is ArmFault.NOT_MOVED
    story.at(22_000, "barrier_up")
    story.at(25_000, "barrier_up")
    assert rule_arm(story.facts).reasons == (ArmReason.FAULT,)
    story.at(26_000, "barrier_up", orders=replace(RESTING, cleared_seq=1))
    assert story.fault() is None
    assert rule_arm(story.facts).move is Move.LOWER
    again = replace(story.history, fault=ArmFault.LIMITS)
    _, kept = classify_arm(again, replace(RESTING, cleared_seq=1), zones(26_000, "barrier_up"), 26_000 * MS, LIMITS)
    assert kept.fault is ArmFault.LIMITS, "an old clearing clears nothing new"


def test_a_clearing_forgets_the_movement_and_where_the_arm_rested() -> None:
    story = Story(replace(begin_move(ArmHistory(), Move.LOWER, 0), rest=Arm.UP))
    story.at(100, orders=replace(RESTING, cleared_seq=3))
    assert (story.history.asked, story.history.rest, story.history.cleared_seq) == (Move.NONE, None, 3)
    story.at(5000, orders=replace(RESTING, cleared_seq=3))
    assert story.fault() is None


def test_the_facts_carry_the_orders() -> None:
    for needed, red, sure in product(BOOLS, BOOLS, BOOLS):
        story = Story()
        story.at(0, "barrier_up", orders=ArmOrders(needed, red, sure))
        assert (story.facts.needed, story.facts.red, story.facts.sure) == (needed, red, sure)


@given(
    st.lists(
        st.tuples(
            st.integers(10, 3000),
            st.sets(st.sampled_from(["zone_s", "stop_line_beam", "barrier_presence", "barrier_up", "barrier_down"])),
            st.booleans(),
            st.builds(ArmOrders, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2)),
        ),
        max_size=40,
    )
)
def test_never_down_on_presence_doubt_or_stale_inputs(looks: list[tuple[int, set[str], bool, ArmOrders]]) -> None:
    """Any story: a LOWER has two seconds of freshly seen free road behind it, red, and no doubt."""
    story, now, free_since = Story(), 0, None
    for step_ms, on, lost, orders in looks:
        now += step_ms
        ruling = story.look(now * MS, None) if lost else story.at(now, *on, orders=orders)
        free = not lost and not on & {"zone_s", "stop_line_beam", "barrier_presence"}
        free_since = (now if free_since is None else free_since) if free else None
        if ruling.move is Move.LOWER:
            assert free_since is not None
            assert now - free_since >= 2000
            assert orders.red
            assert orders.sure
            assert not orders.needed
            assert on == {"barrier_up"}
        if ruling.move is not Move.NONE:
            story.history = begin_move(story.history, ruling.move, now * MS)


def test_a_movement_that_begins_forgets_where_the_arm_rested() -> None:
    before = ArmHistory(rest=Arm.UP, astray_since_ns=5, session=1)
    assert begin_move(before, Move.LOWER, 7) == ArmHistory(asked=Move.LOWER, asked_ns=7, session=1)


def test_the_time_of_a_movement_counts_from_its_beginning() -> None:
    began = 5000 * MS
    story = Story(begin_move(ArmHistory(), Move.RAISE, began))
    story.look(began + LIMITS.travel_ns, None)
    assert story.fault() is None
    story.look(began + LIMITS.travel_ns + 1, None)
    assert story.fault() is ArmFault.NOT_MOVED


@pytest.mark.parametrize(
    ("move", "away", "there"), [(Move.RAISE, "barrier_down", "barrier_up"), (Move.LOWER, "barrier_up", "barrier_down")]
)
def test_each_movement_ends_at_its_own_limit_switch_and_rests_there(move: Move, away: str, there: str) -> None:
    story = Story(begin_move(ArmHistory(), move, 0))
    story.at(100, away)
    assert story.facts.asked is move
    story.at(200, there)
    assert story.facts.asked is Move.NONE
    assert story.history.rest is story.facts.arm


def test_a_clearing_takes_the_arm_where_it_is_found() -> None:
    story = Story(ArmHistory(rest=Arm.UP, session=1))
    story.at(100, "barrier_down", orders=replace(RESTING, cleared_seq=1))
    assert (story.history.rest, story.history.astray_since_ns) == (Arm.DOWN, None)


def test_a_new_session_of_the_inputs_begins_every_judgement_anew() -> None:
    story = Story()
    for at_ms, session in ((0, 1), (400, 1), (600, 2)):
        story.at(at_ms, "barrier_up", "barrier_down", session=session)
    assert story.fault() is None
    story = Story()
    story.at(0, "barrier_up")
    story.at(100)
    story.at(200, session=2)
    assert (story.history.rest, story.history.astray_since_ns) == (None, None)


def test_a_fault_ends_the_judgement_it_came_from() -> None:
    story = Story()
    story.at(0, "barrier_up")
    story.at(100)
    story.at(700)
    assert story.history == ArmHistory(
        rest=None, astray_since_ns=None, fault=ArmFault.MOVED_UNASKED, session=1, free_since_ns=0
    )
