"""Duty under heat: lowered at the first complaint, given back when the module has cooled, never in a tight loop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.rfid.mercury_duty import Duty, DutyGovernor, low_duty
from drivers.rfid.settings.mercury import Derate, MercurySettings

DERATE = Derate(on_ms=250, off_ms=750, hold_s=15, recover_drop_c=5, cool_down_s=120, retry_s=10)


def governor(**changes: object) -> DutyGovernor:
    given_settings = {"port": "x", "region": "na", "antennas": (1,), **changes}
    return DutyGovernor(MercurySettings.model_validate(given_settings), DERATE)


def test_duty_is_as_configured_until_a_complaint() -> None:
    made = governor(cycle_ms=600, off_ms=200)
    assert (made.duty, made.duty.cycle_ms, made.duty.share) == (Duty(600, 200), 800, 0.75)
    made.complain(1.0)
    assert made.duty == Duty(250, 750)


@pytest.mark.parametrize(
    ("full", "low"),
    [
        (Duty(1000, 0), Duty(250, 750)),
        (Duty(100, 300), Duty(100, 700)),
        (Duty(50, 950), Duty(50, 1950)),
        (Duty(100, 60_000), Duty(100, 65_535)),
    ],
)
def test_low_duty_is_lower_than_any_configured_one(full: Duty, low: Duty) -> None:
    assert low_duty(full, DERATE) == low
    assert low.share < full.share


def test_without_reports_it_comes_back_after_the_fixed_time() -> None:
    made = governor()
    made.complain(10.0)
    assert not made.may_restore(130.0)
    assert made.may_restore(130.1)
    made.complain(130.1)
    assert not made.may_restore(250.0)


def test_with_reports_it_comes_back_when_cool() -> None:
    made = governor()
    made.report(85, 9.5)
    made.complain(10.0)
    made.report(86, 11.0)
    for now in range(12, 40):
        made.report(82, float(now))
        assert not made.may_restore(float(now))
    made.report(81, 40.0)
    assert made.may_restore(40.0)
    assert not made.may_restore(60.0), "an old report proves nothing"


def test_a_cool_module_waits_out_the_hold_time() -> None:
    made = governor()
    made.report(85, 9.5)
    made.complain(10.0)
    made.report(60, 24.0)
    assert not made.may_restore(24.9)
    assert made.may_restore(25.0)


def test_a_relapse_doubles_the_hold_time_up_to_the_fixed_time() -> None:
    made = governor()
    now = 0.0
    holds = []
    for _ in range(6):
        made.report(85, now)
        made.complain(now)
        since = now
        while not made.may_restore(now):
            now += 1.0
            made.report(70, now)
        holds.append(now - since)
        made.restore(now)
        now += 60.0
    assert holds == [15, 30, 60, 120, 120, 120]
    made.report(85, now + 200.0)
    made.complain(now + 200.0)
    made.report(70, now + 215.0)
    assert made.may_restore(now + 215.0)


@given(st.lists(st.tuples(st.sampled_from("chrt"), st.floats(0.01, 50.0), st.integers(-20, 110)), max_size=60))
def test_full_duty_never_comes_back_before_the_hold_time(steps: list[tuple[str, float, int]]) -> None:
    made = governor()
    now = hot_at = 0.0
    for what, after_s, celsius in steps:
        now += after_s
        if what == "c":
            made.complain(now)
            hot_at = now
            assert made.duty == Duty(250, 750)
        elif what == "h":
            made.report(celsius, now)
        if made.may_restore(now):
            assert now - hot_at >= DERATE.hold_s
            if what == "r":
                made.restore(now)
                assert made.duty == Duty(1000, 0)
