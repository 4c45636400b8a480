"""The timing behind the facts: every limit tried on both sides of its last nanosecond."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Aspect, Grade, InputSnapshot, SignalReadback, Stamp
from edge_agent.model.decision import Authority, Lease
from edge_agent.model.lane import Zone
from edge_agent.safety import timing
from edge_agent.safety.facts import Amber, Facts, LeaseState, Permit, Readback, StopLine
from edge_agent.safety.timing import History, Limits, SignalFault, SignalOrders

MS = 1_000_000
NOW = 50_000 * MS
LIMITS = Limits(amber_ns=3_000 * MS, source_grace_ns=400 * MS)
RED, AMBER, GREEN, DARK = Aspect.RED, Aspect.AMBER, Aspect.GREEN, Aspect.DARK


def lease(
    seq: int = 5, *, deadline: int = NOW + 1, who: str = "c1", edges: int = 4, session: int = 2, standing: bool = False
) -> Lease:
    return Lease(who, seq, deadline, standing, Authority.SYSTEM, "d1", edges, session)


def zones(*, at: int = NOW, beam: bool = False, loop: bool = False, edges: int = 4, session: int = 2) -> InputSnapshot:
    levels = {"stop_line_beam": beam, "zone_s": loop, "zone_a": True}
    return InputSnapshot(Stamp(at, 0), "io", session, levels, {"stop_line_beam": edges, "zone_s": 9, "zone_a": 1})


def shown(
    coils: Aspect | None = RED,
    lamps: Aspect | None = RED,
    *,
    at: int = NOW,
    grade: Grade = Grade.CONTACT,
    conflict: bool = False,
    tripped: bool = False,
    foreign: bool = False,
) -> SignalReadback:
    return SignalReadback(Stamp(at, 0), "io", coils, lamps, grade, conflict, tripped, foreign)


def orders(
    granted: Lease | None = None,
    *,
    permit: Permit = Permit.ROLLING,
    hold: bool = False,
    cleared: int = 0,
    order: bool = True,
    source: bool = True,
) -> SignalOrders:
    return SignalOrders(permit, hold, cleared, order, granted, source)


def steady(aspect: Aspect = RED, *, since: int = NOW - 2_000 * MS, ready: bool = True) -> History:
    """An aspect commanded and confirmed long ago."""
    return History(commanded=aspect, changed_ns=since, ready=ready, green_seq=4, green_for="c1")


def ask(
    history: History,
    *,
    given: SignalOrders | None = None,
    inputs: InputSnapshot | None = None,
    reading: SignalReadback | None = None,
    now: int = NOW,
    limits: Limits = LIMITS,
) -> tuple[Facts, History]:
    return timing.classify(history, given or orders(), inputs, reading, now, limits)


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
    assert timing.lease_state(history, granted, NOW) is wanted


def test_classify_sees_the_lease_and_remembers_the_newest() -> None:
    facts, history = ask(steady(), given=orders(lease(seq=7, standing=True)))
    assert (facts.lease, facts.lease_standing, history.newest_seq) == (LeaseState.LIVE, True, 7)
    facts, history = ask(history, given=orders(lease(seq=6)))
    assert (facts.lease, facts.lease_standing, history.newest_seq) == (LeaseState.NONE, False, 7)
    facts, history = ask(history)
    assert (facts.lease, facts.lease_standing, history.newest_seq) == (LeaseState.NONE, False, 7)
    assert ask(History())[1].newest_seq == 0


def test_begin_green_uses_the_lease_up() -> None:
    history = timing.begin_green(steady(), lease(seq=8, who="c9"))
    assert (history.green_seq, history.green_for) == (8, "c9")
    assert timing.lease_state(timing.exchange_lost(history), lease(seq=8, who="c9"), NOW) is LeaseState.EXPIRED


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


# --- readback --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reading", "wanted"),
    [
        (None, False),
        (shown(), True),
        (shown(grade=Grade.LAMP), True),
        (shown(grade=Grade.COIL), False),
        (shown(lamps=None), False),
    ],
)
def test_can_confirm(reading: SignalReadback | None, wanted: bool) -> None:
    assert ask(steady(), reading=reading)[0].can_confirm is wanted


@pytest.mark.parametrize(
    ("history", "reading", "wanted"),
    [
        (steady(), shown(), True),
        (steady(ready=False), shown(), True),
        (steady(ready=False), shown(lamps=None), True),
        (steady(ready=False), shown(lamps=DARK), False),
        (steady(ready=False), shown(coils=None), False),
        (steady(ready=False), shown(conflict=True), False),
        (steady(ready=False), shown(tripped=True), False),
        (steady(ready=False), shown(at=NOW - 2_000 * MS), False),  # from before red was commanded
        (steady(ready=False), shown(at=NOW - 2_000 * MS + 1), True),
        (steady(GREEN, ready=False), shown(GREEN, GREEN), False),
        (steady(GREEN), shown(GREEN, GREEN), True),
        (steady(), shown(tripped=True), False),
        (History(), shown(), False),
    ],
)
def test_module_is_ready_once_red_was_read_back(history: History, reading: SignalReadback, wanted: bool) -> None:
    facts, after = ask(history, reading=reading)
    assert facts.module_ready is after.ready is wanted


CHANGED = NOW - 2_000 * MS
TURNED = timing.acknowledged(steady(), GREEN, CHANGED)


@pytest.mark.parametrize(
    ("history", "reading", "now", "wanted"),
    [
        (steady(), None, NOW, Readback.UNKNOWN),
        (History(), shown(), NOW, Readback.UNKNOWN),
        (steady(), shown(), NOW + 300 * MS, Readback.AGREES),
        (steady(), shown(), NOW + 300 * MS + 1, Readback.UNKNOWN),
        (steady(), shown(lamps=None), NOW, Readback.AGREES),
        # red: every deviation counts at once
        (steady(), shown(lamps=DARK), NOW, Readback.DISAGREES),
        (steady(), shown(lamps=GREEN), NOW, Readback.DISAGREES),
        (steady(), shown(coils=None), NOW, Readback.DISAGREES),
        (steady(), shown(conflict=True), NOW, Readback.DISAGREES),
        # green and amber: lamps may flicker for T_rb, outputs may not differ
        (steady(GREEN), shown(GREEN, DARK), NOW, Readback.AGREES),
        (steady(GREEN), shown(GREEN, DARK), NOW + 300 * MS, Readback.AGREES),
        (steady(AMBER), shown(AMBER, RED), NOW, Readback.AGREES),
        (steady(GREEN), shown(RED, GREEN), NOW, Readback.DISAGREES),
        (steady(GREEN), shown(GREEN, GREEN, conflict=True), NOW, Readback.AGREES),
        # a change has T_rb to settle
        (TURNED, shown(at=CHANGED + 1), CHANGED + 300 * MS, Readback.AGREES),
        (TURNED, shown(at=CHANGED + 2), CHANGED + 300 * MS + 1, "disagrees"),
        (TURNED, shown(GREEN, RED, at=CHANGED + 2), CHANGED + 300 * MS + 1, "disagrees"),
        (TURNED, shown(GREEN, RED, at=CHANGED + 2), CHANGED + 300 * MS, "agrees"),
    ],
)
def test_readback(history: History, reading: SignalReadback | None, now: int, wanted: Readback) -> None:
    facts, _ = ask(history, reading=reading, now=now)
    assert facts.readback is Readback(wanted)


def test_conflict_counts_after_its_own_limit_even_while_a_change_settles() -> None:
    history = timing.acknowledged(steady(GREEN), RED, NOW)
    _, history = ask(history, reading=shown(conflict=True, at=NOW + 1))
    at = NOW + 1 + 200 * MS
    facts, after = ask(history, reading=shown(conflict=True, at=at), now=at)
    assert (facts.readback, facts.fault_latched) == (Readback.AGREES, False)
    facts, after = ask(history, reading=shown(conflict=True, at=at + 1), now=at + 1)
    assert (facts.readback, facts.fault_latched) == (Readback.DISAGREES, True)
    assert after.fault is SignalFault.CONFLICT


# --- faults ----------------------------------------------------------------------------------------------------------


def first_fault(
    history: History, show: Callable[[int], SignalReadback], *, step_ns: int = MS
) -> tuple[int, SignalFault] | None:
    """The age at which a lasting deviation latches, in ns, and the fault."""
    for age in range(0, 1_500 * MS, step_ns):
        facts, history = ask(history, reading=show(NOW + age), now=NOW + age)
        assert facts.fault_latched is (history.fault is not None)
        if history.fault is not None:
            assert facts.readback is Readback.DISAGREES
            return age, history.fault
    return None


@pytest.mark.parametrize(
    ("aspect", "coils", "lamps", "conflict", "limit_ms", "fault"),
    [
        (RED, RED, DARK, False, 700, SignalFault.DARK),
        (RED, DARK, DARK, False, 300, SignalFault.DARK),
        (RED, RED, GREEN, False, 300, SignalFault.STUCK_GREEN),
        (RED, GREEN, RED, False, 300, SignalFault.STUCK_GREEN),
        (AMBER, AMBER, GREEN, False, 300, SignalFault.STUCK_GREEN),
        (RED, RED, AMBER, False, 300, SignalFault.DISAGREES),
        (RED, None, RED, False, 300, SignalFault.DISAGREES),
        (GREEN, GREEN, DARK, False, 300, SignalFault.DARK),
        (GREEN, GREEN, RED, False, 300, SignalFault.DISAGREES),
        (GREEN, RED, GREEN, False, 300, SignalFault.DISAGREES),
        (AMBER, AMBER, DARK, False, 300, SignalFault.DARK),
        (RED, RED, RED, True, 200, SignalFault.CONFLICT),
        (GREEN, GREEN, GREEN, True, 200, SignalFault.CONFLICT),
        (RED, RED, GREEN, True, 200, SignalFault.CONFLICT),
    ],
)
def test_a_lasting_deviation_latches_just_after_its_limit(
    aspect: Aspect, coils: Aspect | None, lamps: Aspect, conflict: bool, limit_ms: int, fault: SignalFault
) -> None:
    latched = first_fault(steady(aspect), lambda at: shown(coils, lamps, at=at, conflict=conflict))
    assert latched == ((limit_ms + 1) * MS, fault)


def test_a_deviation_latches_one_nanosecond_after_its_limit_and_not_at_it() -> None:
    _, history = ask(steady(), reading=shown(lamps=DARK))
    for age, wanted in ((700 * MS, None), (700 * MS + 1, SignalFault.DARK)):
        assert ask(history, reading=shown(lamps=DARK, at=NOW + age), now=NOW + age)[1].fault is wanted


def test_an_interrupted_deviation_starts_anew() -> None:
    def flicker(at: int) -> SignalReadback:
        return shown(lamps=DARK if (at - NOW) % (600 * MS) < 599 * MS else RED, at=at)

    assert first_fault(steady(), flicker) is None


def test_an_unconfirmed_change_latches_after_t_rb_counted_from_the_change() -> None:
    history = timing.acknowledged(steady(), GREEN, NOW)
    assert first_fault(history, lambda at: shown(GREEN, DARK, at=at)) == (301 * MS, SignalFault.DARK)


def test_a_confirmed_change_ends_the_watch() -> None:
    _, history = ask(timing.acknowledged(steady(), GREEN, NOW), reading=shown(GREEN, GREEN, at=NOW + 1))
    assert history.mismatch_ns is None


def test_without_lamp_feedback_outputs_alone_are_compared() -> None:
    assert first_fault(steady(), lambda at: shown(lamps=None, at=at, grade=Grade.COIL)) is None


def test_a_foreign_write_latches_at_once_but_a_tripped_module_does_not() -> None:
    facts, history = ask(steady(), reading=shown(foreign=True))
    assert facts.fault_latched
    assert history.fault is SignalFault.FOREIGN_WRITE
    facts, history = ask(steady(GREEN), reading=shown(foreign=True, tripped=True))
    assert (facts.fault_latched, facts.module_ready, facts.readback) == (False, False, Readback.DISAGREES)


def test_a_tripped_module_that_shows_green_is_a_fault_all_the_same() -> None:
    latched = first_fault(steady(), lambda at: shown(GREEN, GREEN, at=at, tripped=True, foreign=True))
    assert latched == (301 * MS, SignalFault.STUCK_GREEN)


def test_the_first_fault_stays_until_cleared_by_a_higher_number() -> None:
    _, history = ask(replace(steady(), cleared_seq=3, fault=SignalFault.CONFLICT), reading=shown(foreign=True))
    assert history.fault is SignalFault.CONFLICT
    for cleared in (0, 3):
        facts, after = ask(history, given=orders(cleared=cleared), reading=shown())
        assert (facts.fault_latched, after.cleared_seq) == (True, 3)
    facts, after = ask(history, given=orders(cleared=4), reading=shown())
    assert (facts.fault_latched, after.fault, after.cleared_seq) == (False, None, 4)


def test_a_clearing_does_not_clear_a_fault_that_comes_later() -> None:
    _, history = ask(steady(), given=orders(cleared=9))
    facts, _ = ask(history, given=orders(cleared=9), reading=shown(foreign=True))
    assert facts.fault_latched


def test_a_clearing_while_the_deviation_lasts_latches_again_at_once() -> None:
    history = replace(steady(), mismatch_ns=NOW - 301 * MS, fault=SignalFault.STUCK_GREEN)
    facts, _ = ask(history, given=orders(cleared=1), reading=shown(RED, GREEN))
    assert facts.fault_latched


@pytest.mark.parametrize(
    ("reading", "wanted"),
    [
        (None, None),
        (shown(RED, GREEN), GREEN),
        (shown(GREEN, None), GREEN),
        (shown(RED, RED, conflict=True), None),
        (shown(None, None), None),
        (shown(RED, DARK), DARK),
    ],
)
def test_confirmed_is_what_feedback_shows(reading: SignalReadback | None, wanted: Aspect | None) -> None:
    assert timing.confirmed(reading) is wanted


def test_orders_pass_through() -> None:
    facts, _ = ask(steady(), given=orders(permit=Permit.STANDING, hold=True, order=False))
    assert (facts.permit, facts.hold, facts.order_known) == (Permit.STANDING, True, False)
    facts, _ = ask(steady())
    assert (facts.permit, facts.hold, facts.order_known) == (Permit.ROLLING, False, True)


# --- properties ------------------------------------------------------------------------------------------------------

ASPECTS = st.sampled_from([RED, AMBER, GREEN, DARK])
TIMES = st.integers(0, 100_000 * MS)
READINGS = st.none() | st.builds(
    shown,
    st.none() | ASPECTS,
    st.none() | ASPECTS,
    at=TIMES,
    grade=st.sampled_from(Grade),
    conflict=st.booleans(),
    tripped=st.booleans(),
    foreign=st.booleans(),
)
HISTORIES = st.builds(
    History,
    commanded=st.none() | st.sampled_from([RED, AMBER, GREEN]),
    changed_ns=TIMES,
    ready=st.booleans(),
    mismatch_ns=st.none() | TIMES,
    conflict_ns=st.none() | TIMES,
    fault=st.none() | st.sampled_from(SignalFault),
    newest_seq=st.integers(0, 9),
    green_seq=st.integers(0, 9),
    green_for=st.sampled_from(["", "c1", "c2"]),
    waiting_ns=st.none() | TIMES,
)
LEASES = st.none() | st.builds(lease, st.integers(0, 9), deadline=TIMES, who=st.sampled_from(["c1", "c2"]))
INPUTS = st.none() | st.builds(zones, at=TIMES, beam=st.booleans(), loop=st.booleans(), edges=st.integers(3, 5))


@given(HISTORIES, LEASES, INPUTS, READINGS, TIMES)
def test_asking_twice_gives_the_same_answer(
    history: History, granted: Lease | None, inputs: InputSnapshot | None, reading: SignalReadback | None, now: int
) -> None:
    once = ask(history, given=orders(granted), inputs=inputs, reading=reading, now=now)
    assert ask(once[1], given=orders(granted), inputs=inputs, reading=reading, now=now) == once


@given(HISTORIES, LEASES, INPUTS, READINGS, TIMES)
def test_a_fault_in_force_stays_in_force(
    history: History, granted: Lease | None, inputs: InputSnapshot | None, reading: SignalReadback | None, now: int
) -> None:
    facts, after = ask(history, given=orders(granted), inputs=inputs, reading=reading, now=now)
    assert history.fault is None or (facts.fault_latched and after.fault is history.fault)


def test_zone_roles_are_the_configured_names() -> None:
    assert (Zone.BEAM, Zone.S) == ("stop_line_beam", "zone_s")
