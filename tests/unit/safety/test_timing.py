"""The timing behind the facts: every limit tried on both sides of its last nanosecond."""

from dataclasses import replace

import pytest

from drivers.api import InputSnapshot, Stamp
from edge_agent.model.decision import Lease
from edge_agent.safety import timing
from edge_agent.safety.facts import Amber, LeaseState, Readback, StopLine
from edge_agent.safety.timing import History, Limits, SignalFault
from tests.unit.safety.timing_builders import (
    AMBER,
    GREEN,
    LIMITS,
    MS,
    NOW,
    RED,
    ask,
    lease,
    orders,
    shown,
    steady,
    zones,
)

# --- the defaults are the published figures --------------------------------------------------------------------------


def test_defaults() -> None:
    assert Limits() == Limits(
        300_000_000, 300_000_000, 700_000_000, 200_000_000, 500_000_000, 0, 45_000_000_000, 12_000_000_000, 0
    )


# --- lease -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "granted", "wanted"),
    [
        (steady(), None, LeaseState.NONE),
        (steady(), lease(deadline=NOW + 1), LeaseState.LIVE),
        (steady(), lease(deadline=NOW), LeaseState.EXPIRED),
        (steady(), lease(seq=4), LeaseState.EXPIRED),  # had its green
        (steady(AMBER), lease(seq=4), LeaseState.EXPIRED),
        (steady(GREEN), lease(seq=4), LeaseState.LIVE),  # is having it
        (steady(GREEN), lease(seq=5), LeaseState.LIVE),  # renewed
        (steady(GREEN), lease(seq=5, who="c2"), LeaseState.EXPIRED),  # nobody inherits a green
        (steady(GREEN), lease(seq=4, deadline=NOW), LeaseState.EXPIRED),
        (steady(), lease(seq=5, who="c2"), LeaseState.LIVE),
        (replace(steady(), newest_seq=6), lease(seq=5), LeaseState.NONE),  # replayed
        (replace(steady(), newest_seq=5), lease(seq=5), LeaseState.LIVE),
    ],
)
def test_lease_state(history: History, granted: Lease | None, wanted: LeaseState) -> None:
    assert timing.lease_state(history, granted, False, NOW) is wanted
    shown = history.commanded is GREEN
    late = LeaseState.EXPIRED if wanted is LeaseState.LIVE and not shown else wanted
    assert timing.lease_state(history, granted, True, NOW) is late, "too late to begin, not too late to go on"


def test_classify_sees_the_lease_and_remembers_the_newest() -> None:
    facts, history = ask(steady(), given=orders(lease(seq=7, standing=True)))
    assert (facts.lease, facts.lease_standing, history.newest_seq) == (LeaseState.LIVE, True, 7)
    facts, history = ask(history, given=orders(lease(seq=6)))
    assert (facts.lease, facts.lease_standing, history.newest_seq) == (LeaseState.NONE, False, 7)
    facts, history = ask(history)
    assert (facts.lease, facts.lease_standing, history.newest_seq) == (LeaseState.NONE, False, 7)
    assert ask(History())[1].newest_seq == 0


def test_classify_hears_that_it_is_too_late_to_begin() -> None:
    late = replace(orders(lease(seq=7)), too_late=True)
    assert ask(steady(), given=late)[0].lease is LeaseState.EXPIRED
    assert ask(steady(), given=replace(late, too_late=False))[0].lease is LeaseState.LIVE


def test_begin_green_uses_the_lease_up() -> None:
    history = timing.begin_green(steady(), lease(seq=8, who="c9"))
    assert (history.green_seq, history.green_for) == (8, "c9")
    assert timing.lease_state(timing.exchange_lost(history), lease(seq=8, who="c9"), False, NOW) is LeaseState.EXPIRED


# --- stop line and stop loop -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "granted", "wanted"),
    [
        (None, lease(), StopLine.UNKNOWN),
        (zones(), lease(), StopLine.CLEAR),
        (zones(), None, StopLine.CLEAR),
        (zones(edges=17, session=9), None, StopLine.CLEAR),
        (zones(at=NOW - 300 * MS), lease(), StopLine.CLEAR),
        (zones(at=NOW - 300 * MS - 1), lease(), StopLine.UNKNOWN),
        (zones(at=NOW - 300 * MS - 1, beam=True), lease(), StopLine.UNKNOWN),
        (zones(beam=True), None, StopLine.BROKEN),
        (zones(beam=True), lease(), StopLine.BROKEN),
        (zones(beam=True, session=3), lease(), StopLine.BROKEN),
        (zones(session=3), lease(), StopLine.UNKNOWN),
        (zones(session=1), lease(), StopLine.UNKNOWN),
        (zones(edges=6), lease(), StopLine.CROSSED),
        (zones(edges=3), lease(), StopLine.CROSSED),
        (replace(zones(), levels={"zone_s": True}), lease(), StopLine.UNKNOWN),
        (replace(zones(), edges={"zone_s": 4}), lease(), StopLine.UNKNOWN),
    ],
)
def test_stop_line(inputs: InputSnapshot | None, granted: Lease | None, wanted: StopLine) -> None:
    assert timing.stop_line(inputs, granted, NOW, LIMITS.stale_ns) is wanted
    facts, _ = ask(steady(), given=orders(granted), inputs=inputs)
    assert facts.stop_line is wanted


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [
        (None, False),
        (zones(), False),
        (zones(loop=True), True),
        (zones(loop=True, at=NOW - 300 * MS), True),
        (zones(loop=True, at=NOW - 300 * MS - 1), False),
        (replace(zones(), levels={"stop_line_beam": True}), False),
    ],
)
def test_stop_loop(inputs: InputSnapshot | None, wanted: bool) -> None:
    assert timing.stop_loop_occupied(inputs, NOW, LIMITS.stale_ns) is wanted
    assert ask(steady(), inputs=inputs)[0].stop_loop_occupied is wanted


# --- source ----------------------------------------------------------------------------------------------------------


def test_a_lost_source_gives_no_new_green_and_ends_a_green_after_the_grace() -> None:
    gone = orders(lease(), source=False)
    assert ask(steady(RED))[0].source_alive
    for aspect in (RED, AMBER):
        assert not ask(steady(aspect), given=gone)[0].source_alive
    facts, history = ask(steady(GREEN), given=gone)
    assert facts.source_alive
    assert history.source_lost_ns == NOW
    facts, history = ask(history, given=gone, now=NOW + 400 * MS - 1)
    assert facts.source_alive
    assert not ask(history, given=gone, now=NOW + 400 * MS)[0].source_alive
    facts, history = ask(history, given=orders(lease()), now=NOW + 400 * MS)
    assert facts.source_alive
    assert history.source_lost_ns is None


def test_without_grace_a_lost_source_ends_green_at_once() -> None:
    assert not ask(steady(GREEN), given=orders(lease(), source=False), limits=Limits())[0].source_alive


# --- minimum red, amber, overdue -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "wanted"),
    [
        (steady(RED, since=NOW - 500 * MS), True),
        (steady(RED, since=NOW - 500 * MS + 1), False),
        (steady(GREEN), False),
        (steady(AMBER), False),
        (timing.exchange_lost(steady(RED)), False),
    ],
)
def test_minimum_red(history: History, wanted: bool) -> None:
    assert ask(history)[0].red_long_enough is wanted


@pytest.mark.parametrize(
    ("history", "wanted"),
    [
        (steady(GREEN, since=NOW - 9_000 * MS), Amber.DUE),
        (steady(AMBER, since=NOW - 3_000 * MS + 1), Amber.DUE),
        (steady(AMBER, since=NOW - 3_000 * MS), Amber.PASSED),
        (steady(RED, since=NOW), Amber.PASSED),
        (History(), Amber.PASSED),
    ],
)
def test_amber(history: History, wanted: Amber) -> None:
    assert ask(history)[0].amber is wanted
    assert ask(history, limits=Limits())[0].amber is Amber.NOT_FITTED


@pytest.mark.parametrize(
    ("kmh", "reaction_s", "decel", "ms"),
    [(10.0, 1.0, 1.5, 1926), (30.0, 1.0, 1.5, 3778), (0.0, 1.5, 2.0, 1500), (36.0, 1.0, 2.0, 3500)],
)
def test_minimum_amber_is_the_kinematic_formula(kmh: float, reaction_s: float, decel: float, ms: int) -> None:
    assert timing.minimum_amber_ns(kmh, reaction_s, decel) == ms * MS


def test_green_is_overdue_at_its_maximum() -> None:
    since = NOW - 45_000 * MS
    given = orders(lease(seq=4))
    assert not ask(steady(GREEN, since=since + 1), given=given)[0].green_overdue
    facts, history = ask(steady(GREEN, since=since), given=given)
    assert facts.green_overdue
    assert history.overdue_seq == 4


def test_an_overdue_lease_stays_overdue_and_the_next_one_is_not() -> None:
    _, history = ask(steady(GREEN, since=NOW - 45_000 * MS), given=orders(lease(seq=4)))
    history = timing.acknowledged(history, RED, NOW)
    assert ask(history, given=orders(lease(seq=4)))[0].green_overdue
    assert not ask(history, given=orders(lease(seq=5)))[0].green_overdue
    assert not ask(history)[0].green_overdue


def test_red_is_never_overdue() -> None:
    for aspect in (RED, AMBER):
        standing = replace(steady(aspect, since=0), waiting_ns=1)
        assert not ask(standing, given=orders(lease()), inputs=zones(loop=True))[0].green_overdue


def test_a_vehicle_that_does_not_leave_the_stop_loop_stalls_its_green() -> None:
    given, green = orders(lease(seq=4)), steady(GREEN, since=NOW - 1)
    facts, history = ask(green, given=given, inputs=zones(loop=True))
    assert (facts.green_overdue, history.waiting_ns) == (False, NOW)
    late = NOW + 12_000 * MS
    still = zones(loop=True, at=late)
    assert not ask(history, given=given, inputs=still, now=late - 1)[0].green_overdue
    assert ask(history, given=given, inputs=still, now=late)[0].green_overdue
    _, moved = ask(history, given=given, inputs=zones(at=NOW + 5))
    assert moved.waiting_ns is None
    assert not ask(moved, given=given, inputs=still, now=late)[0].green_overdue


def test_waiting_counts_under_green_only() -> None:
    assert ask(steady(RED), inputs=zones(loop=True))[1].waiting_ns is None
    waiting = replace(steady(GREEN), waiting_ns=NOW)
    assert timing.acknowledged(waiting, RED, NOW).waiting_ns is None
    assert timing.exchange_lost(waiting).waiting_ns is None


# --- commanded -------------------------------------------------------------------------------------------------------


def test_a_cycle_without_news_copies_nothing() -> None:
    red, green = steady(RED), steady(GREEN)
    assert timing.classify(red, orders(), zones(), shown(RED), NOW, LIMITS)[1] is red
    assert timing.classify(red, orders(), None, None, NOW, LIMITS)[1] is red
    assert timing.begin_green(green, lease(4)) is green
    assert timing.begin_green(green, lease(4, who="c9")).green_for == "c9"


def test_a_change_restarts_the_clock_and_a_repeat_does_not() -> None:
    history = timing.acknowledged(steady(RED), GREEN, NOW)
    assert (history.commanded, history.changed_ns, history.mismatch_ns) == (GREEN, NOW, NOW)
    assert timing.acknowledged(history, GREEN, NOW + 9) is history
    assert ask(history)[0].showing is GREEN


def test_a_lost_exchange_forgets_all_but_the_fault() -> None:
    before = History(GREEN, 7, True, 8, 9, SignalFault.DARK, 1, 2, 3, "c1", 4, 5, 6)
    after = timing.exchange_lost(before)
    assert after == History(None, 7, False, None, None, SignalFault.DARK, 1, 2, 3, "c1", None, 5, 6)
    facts, _ = ask(after, reading=shown())
    assert (facts.showing, facts.module_ready, facts.readback) == (RED, False, Readback.UNKNOWN)


@pytest.mark.parametrize(
    ("history", "wanted"),
    [
        (steady(), False),
        (replace(steady(), mismatch_ns=1), True),
        (replace(steady(), conflict_ns=1), True),
        (replace(steady(), mismatch_ns=1, conflict_ns=1, fault=SignalFault.CONFLICT), False),
        (replace(steady(), fault=SignalFault.CONFLICT), False),
    ],
)
def test_unsettled(history: History, wanted: bool) -> None:
    assert timing.unsettled(history) is wanted


def test_no_green_on_an_arm_that_is_not_up() -> None:
    """The interlock looks at both limit switches itself; a lane without an arm asks for none."""
    arm = replace(LIMITS, barrier=True)
    up = replace(zones(), levels={**zones().levels, "barrier_up": True, "barrier_down": False})
    for inputs, fault, expected in (
        (up, False, True),
        (up, True, False),
        (replace(up, levels={**up.levels, "barrier_down": True}), False, False),
        (replace(up, levels={**up.levels, "barrier_up": False}), False, False),
        (replace(up, stamp=Stamp(NOW - arm.stale_ns - 1, 0)), False, False),
        (replace(up, stamp=Stamp(NOW - arm.stale_ns, 0)), False, True),
        (zones(), False, False),
        (None, False, False),
    ):
        told = replace(orders(lease()), arm_fault=fault)
        facts, _ = timing.classify(steady(), told, inputs, shown(), NOW, arm)
        assert facts.arm_up is expected, (inputs, fault)
        assert timing.classify(steady(), told, inputs, shown(), NOW, LIMITS)[0].arm_up
    assert not Limits().barrier
