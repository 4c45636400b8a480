"""Command against feedback: when a deviation counts, and when it latches."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Aspect, Grade, InputSnapshot, SignalReadback
from edge_agent.model.decision import Lease
from edge_agent.model.lane import Zone
from edge_agent.safety import timing
from edge_agent.safety.facts import Permit, Readback
from edge_agent.safety.timing import History, SignalFault
from tests.unit.safety.timing_builders import (
    AMBER,
    DARK,
    GREEN,
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
SETTLED = CHANGED + 300 * MS
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
        (TURNED, shown(at=SETTLED), SETTLED, Readback.AGREES),
        (TURNED, shown(at=SETTLED + 1), SETTLED + 1, Readback.DISAGREES),
        (TURNED, shown(at=SETTLED), SETTLED + 1, Readback.AGREES),
        (TURNED, shown(GREEN, RED, at=SETTLED), SETTLED, Readback.AGREES),
        (TURNED, shown(GREEN, RED, at=SETTLED + 1), SETTLED + 1, Readback.DISAGREES),
        (TURNED, shown(RED, at=CHANGED - 1), CHANGED + 1, Readback.AGREES),
    ],
)
def test_readback(history: History, reading: SignalReadback | None, now: int, wanted: Readback) -> None:
    facts, _ = ask(history, reading=reading, now=now)
    assert facts.readback is wanted


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


@pytest.mark.parametrize("lamps", [None, DARK, RED])
def test_a_tripped_module_in_its_safe_state_is_no_fault(lamps: Aspect | None) -> None:
    assert first_fault(steady(GREEN), lambda at: shown(None, lamps, at=at, tripped=True)) is None


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


@given(TIMES, ASPECTS, st.booleans(), st.none() | TIMES, st.none() | TIMES, TIMES)
def test_feedback_that_ends_a_green_latches(
    changed: int, lamps: Aspect, conflict: bool, mismatch: int | None, conflicting: int | None, at: int
) -> None:
    """Else red, once it is confirmed, would hide the fault and the next vehicle would meet it again."""
    history = History(GREEN, changed, True, mismatch, conflicting)
    reading = shown(GREEN, lamps, at=max(at, changed + 1), conflict=conflict)
    facts, _ = ask(history, reading=reading, now=reading.stamp.mono_ns)
    assert facts.fault_latched is (facts.readback is Readback.DISAGREES)


def test_zone_roles_are_the_configured_names() -> None:
    assert (Zone.BEAM, Zone.S) == ("stop_line_beam", "zone_s")
