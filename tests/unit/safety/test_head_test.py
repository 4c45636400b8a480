"""The signal test: its ruling on every combination of facts, the numbers behind them, and the chatter limit."""

from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest

from drivers.api import Aspect, Grade, InputSnapshot, SignalReadback, Stamp
from edge_agent.model.lane import Zone
from edge_agent.safety import timing
from edge_agent.safety.facts import HeadTestFacts, LeaseState, Permit, Readback, Reason, Ruling
from edge_agent.safety.interlock import rule_test
from edge_agent.safety.timing import HeadTest, History, Limits, SignalFault, SignalOrders
from tests.unit.safety.timing_builders import (
    AMBER,
    DARK,
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
)

BEST = HeadTestFacts(
    asked=GREEN,
    live=True,
    closed=True,
    hold=False,
    lane_empty=True,
    module_ready=True,
    can_confirm=True,
    readback=Readback.AGREES,
    trouble=False,
    red_long_enough=True,
    showing=RED,
    amber_fitted=True,
)
BOOLS = (False, True)
FREE = dict.fromkeys(("zone_a", "zone_d", "zone_s", "stop_line_beam", "zone_x"), False)
TEST = HeadTest(GREEN, NOW + 1)


def _expected(f: HeadTestFacts) -> Ruling:
    against = {
        Reason.HOLD: f.hold,
        Reason.MODULE_NOT_READY: not f.module_ready,
        Reason.READBACK_DISAGREES: f.trouble or f.readback == "disagrees",
        Reason.READBACK_UNKNOWN: f.readback == "unknown",
        Reason.CANNOT_CONFIRM: not f.can_confirm,
        Reason.MODE: not f.closed,
        Reason.MINIMUM_RED: f.showing != f.asked and not (f.showing == "red" and f.red_long_enough),
        Reason.LANE_NOT_EMPTY: not f.lane_empty,
        Reason.SIGNAL_TEST: not f.live or f.asked == "red" or (f.asked == "amber" and not f.amber_fitted),
    }
    reasons = tuple(reason for reason in Reason if against.get(reason))
    return Ruling(RED if reasons else f.asked, reasons)


def test_every_combination_of_the_facts_of_a_signal_test() -> None:
    lights = (RED, AMBER, GREEN)
    domains = (lights, BOOLS, BOOLS, BOOLS, BOOLS, BOOLS, BOOLS, Readback, BOOLS, BOOLS, lights, BOOLS)
    greens = 0
    for values in product(*domains):
        facts = HeadTestFacts(*values)  # type: ignore[arg-type]
        ruling = rule_test(facts)
        assert ruling == _expected(facts), facts
        greens += ruling.aspect is GREEN
    assert greens == 2 + 4, "from red that lasted, or going on: each with and without an amber fitted"


@pytest.mark.parametrize("name", [field.name for field in fields(HeadTestFacts)])
@pytest.mark.parametrize("value", ["yes", "", 1, 0, None, "green", "agrees", "red", [], object], ids=repr)
def test_a_value_outside_its_type_shows_nothing_but_red(name: str, value: Any) -> None:
    facts = replace(BEST, **{name: value})
    if name == "amber_fitted":
        assert rule_test(facts).aspect is GREEN
        facts = replace(facts, asked=AMBER)
    if name == "red_long_enough":
        assert rule_test(replace(facts, showing=GREEN)).aspect is GREEN  # one that shows goes on
    ruling = rule_test(facts)
    assert ruling.aspect is RED
    assert ruling.reasons


@pytest.mark.parametrize("asked", [DARK, Aspect.FLASHING_RED])
def test_an_aspect_that_is_never_commanded_is_not_tested(asked: Aspect) -> None:
    assert rule_test(replace(BEST, asked=asked)) == Ruling(RED, (Reason.SIGNAL_TEST,))
    assert rule_test(replace(BEST, asked=asked, showing=asked)).aspect is RED


def _empty(levels: dict[str, bool | None] | None = None, *, at: int = NOW) -> InputSnapshot:
    known = {zone: level for zone, level in {**FREE, **(levels or {})}.items() if level is not None}
    return InputSnapshot(Stamp(at, 0), "io", 2, known, dict.fromkeys(known, 0))


def _facts(
    *,
    test: HeadTest = TEST,
    given: SignalOrders | None = None,
    zones: InputSnapshot | None = None,
    reading: SignalReadback | None = None,
    history: History | None = None,
    limits: Limits = LIMITS,
) -> HeadTestFacts:
    given = given or replace(orders(permit=Permit.NONE), closed=True)
    return timing.test_facts(history or steady(), given, test, zones, reading, NOW, limits)


def test_the_facts_of_a_signal_test_when_all_is_well() -> None:
    assert _facts(zones=_empty(), reading=shown()) == BEST
    assert _facts(zones=_empty(), reading=shown(), test=HeadTest(AMBER, NOW + 1)).asked is AMBER
    assert _facts(test=HeadTest(GREEN, NOW)).live is False
    assert _facts(given=orders()).closed is False
    assert _facts(given=orders(hold=True)).hold is True
    assert _facts(limits=Limits(amber_ns=1)).amber_fitted is True
    assert _facts(limits=Limits()).amber_fitted is False


def test_the_head_in_a_signal_test() -> None:
    assert _facts(history=History(ready=False)).module_ready is False
    assert _facts(history=replace(steady(), trouble=SignalFault.DARK)).trouble is True
    assert _facts(history=History()).showing is RED
    assert _facts(history=steady(AMBER)).showing is AMBER
    assert _facts(history=steady(AMBER)).red_long_enough is False
    assert _facts(history=steady(since=NOW - 500 * MS)).red_long_enough is True
    assert _facts(history=steady(since=NOW - 499 * MS)).red_long_enough is False
    assert _facts(reading=None).readback is Readback.UNKNOWN
    assert _facts(reading=shown(at=NOW - 301 * MS)).readback is Readback.UNKNOWN
    assert _facts(reading=None).can_confirm is False
    assert _facts(reading=shown(grade=Grade.COIL)).can_confirm is False
    assert _facts(reading=shown(lamps=None)).can_confirm is False


def test_a_lane_is_empty_only_when_every_zone_is_freshly_known_to_be_free() -> None:
    limit = LIMITS.stale_ns
    assert timing.lane_empty(_empty(), NOW, LIMITS)
    assert timing.lane_empty(_empty(at=NOW - limit), NOW, LIMITS)
    assert not timing.lane_empty(_empty(at=NOW - limit - 1), NOW, LIMITS)
    assert not timing.lane_empty(None, NOW, LIMITS)
    for zone in FREE:
        assert not timing.lane_empty(_empty({zone: True}), NOW, LIMITS)
        assert not timing.lane_empty(_empty({zone: None}), NOW, LIMITS)
    assert _facts(zones=_empty({"zone_d": True})).lane_empty is False


def test_a_zone_that_the_lane_does_not_have_is_not_asked() -> None:
    without_exit = replace(LIMITS, zones=(Zone.A, Zone.D, Zone.S, Zone.BEAM))
    assert timing.lane_empty(_empty({"zone_x": None}), NOW, without_exit)
    for zone in without_exit.zones:
        assert not timing.lane_empty(_empty({zone.value: None}), NOW, without_exit)


def test_a_green_of_a_test_is_nobodys() -> None:
    history = timing.acknowledged(timing.begin_test(steady()), GREEN, NOW)
    assert history.green_for == ""
    assert (history.green_seq, history.newest_seq, history.ready) == (4, 0, True)
    assert timing.lease_state(history, lease(5, who="c1"), False, NOW) is LeaseState.EXPIRED


def test_trouble_is_seen_again_behind_a_latched_fault() -> None:
    latched = replace(steady(), fault=SignalFault.CHATTER)
    _, history = ask(latched, reading=shown(foreign=True))
    assert (history.fault, history.trouble) == (SignalFault.CHATTER, SignalFault.FOREIGN_WRITE)
    _, history = ask(history, reading=shown(at=NOW + MS), now=NOW + MS)
    assert (history.fault, history.trouble) == (SignalFault.CHATTER, None)
    _, history = ask(steady(), reading=shown(foreign=True))
    assert (history.fault, history.trouble) == (SignalFault.FOREIGN_WRITE, SignalFault.FOREIGN_WRITE)
    assert timing.exchange_lost(history).trouble is None
    assert timing.exchange_lost(history).fault is SignalFault.FOREIGN_WRITE


def _changed(times: int, *, first_ns: int = NOW, every_ns: int = 600 * MS) -> History:
    history = steady()
    for number in range(times):
        history = timing.acknowledged(history, GREEN if number % 2 == 0 else RED, first_ns + number * every_ns)
    return history


def test_more_changes_in_a_minute_than_the_limit_latch() -> None:
    limits = Limits(chatter_max=6)
    _, history = ask(_changed(6), now=NOW + 3_000 * MS, limits=limits)
    assert history.fault is None
    _, history = ask(_changed(7), now=NOW + 3_600 * MS, limits=limits)
    assert history.fault is SignalFault.CHATTER
    _, history = ask(_changed(41), now=NOW + 40 * 600 * MS)
    assert history.fault is SignalFault.CHATTER
    _, history = ask(_changed(40), now=NOW + 40 * 600 * MS)
    assert history.fault is None


def test_changes_of_more_than_a_minute_ago_do_not_count() -> None:
    minute = 60_000 * MS
    _, history = ask(_changed(7), now=NOW + minute - 1, limits=Limits(chatter_max=6))
    assert history.fault is SignalFault.CHATTER
    _, history = ask(_changed(7), now=NOW + minute, limits=Limits(chatter_max=6))
    assert history.fault is None
    late = timing.acknowledged(_changed(7), RED, NOW + minute + 600 * MS)
    assert late.changes == (NOW + 1_200 * MS, NOW + 1_800 * MS, NOW + 2_400 * MS, NOW + 3_000 * MS, NOW + 3_600 * MS,
                            NOW + minute + 600 * MS)  # fmt: skip


def test_an_earlier_fault_keeps_its_name_and_red_after_a_lost_session_is_no_change() -> None:
    dark = replace(_changed(7), fault=SignalFault.DARK)
    _, history = ask(dark, now=NOW + 3_600 * MS, limits=Limits(chatter_max=6))
    assert history.fault is SignalFault.DARK
    lost = timing.exchange_lost(steady())
    assert timing.acknowledged(lost, RED, NOW).changes == ()
    assert timing.acknowledged(steady(), GREEN, NOW).changes == (NOW,)
    assert timing.acknowledged(steady(), RED, NOW).changes == ()


def test_clearing_a_chatter_forgets_its_changes() -> None:
    limits = Limits(chatter_max=6)
    _, history = ask(_changed(7), now=NOW + 3_600 * MS, limits=limits)
    _, kept = ask(history, given=orders(lease(9)), now=NOW + 3_600 * MS, limits=limits)
    assert (kept.fault, len(kept.changes)) == (SignalFault.CHATTER, 7)
    _, history = ask(history, given=orders(cleared=1), now=NOW + 3_600 * MS, limits=limits)
    assert (history.fault, history.changes) == (None, ())
