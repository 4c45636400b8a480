"""The interlock on every combination of facts, against a formula written without looking at its code."""

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest

from drivers.api import Aspect
from edge_agent.safety.facts import Amber, Facts, LeaseState, Permit, Readback, Reason, Ruling, StopLine
from edge_agent.safety.interlock import rule

SHOWABLE = (Aspect.RED, Aspect.AMBER, Aspect.GREEN)
BOOLS = (False, True)
BIT = {reason: 1 << at for at, reason in enumerate(Reason)}
PLANNED = BIT[Reason.LEASE_EXPIRED] | BIT[Reason.MODE] | BIT[Reason.MINIMUM_RED]

BEST = Facts(
    permit=Permit.ROLLING,
    hold=False,
    fault_latched=False,
    module_ready=True,
    can_confirm=True,
    order_known=True,
    lease=LeaseState.LIVE,
    lease_standing=False,
    stop_loop_occupied=False,
    stop_line=StopLine.CLEAR,
    source_alive=True,
    readback=Readback.AGREES,
    red_long_enough=True,
    arm_up=True,
    green_overdue=False,
    showing=Aspect.RED,
    amber=Amber.NOT_FITTED,
)


def _bit(reason: Reason, applies: bool) -> int:
    return BIT[reason] if applies else 0


def _hand_overs() -> Iterator[tuple[dict[str, Any], int]]:
    """Permit, lease and the vehicle: the facts that act together."""
    domains = (Permit, LeaseState, BOOLS, BOOLS, BOOLS)
    for permit, lease, standing, occupied, order in product(*domains):
        rolling_in_standing_mode = permit == "standing" and lease != "none" and not standing
        bits = (
            _bit(Reason.MODE, permit == "none" or rolling_in_standing_mode)
            | _bit(Reason.NO_LEASE, lease == "none")
            | _bit(Reason.LEASE_EXPIRED, lease == "expired")
            | _bit(Reason.ORDER_UNKNOWN, not order and not standing)
            | _bit(Reason.NOT_STANDING, standing and not occupied)
        )
        names = ("permit", "lease", "lease_standing", "stop_loop_occupied", "order_known")
        yield dict(zip(names, (permit, lease, standing, occupied, order), strict=True)), bits


def _module() -> Iterator[tuple[dict[str, Any], int]]:
    """The facts that each speak for themselves."""
    for hold, fault, ready, confirm, readback in product(BOOLS, BOOLS, BOOLS, BOOLS, Readback):
        bits = (
            _bit(Reason.HOLD, hold)
            | _bit(Reason.FAULT_LATCHED, fault)
            | _bit(Reason.MODULE_NOT_READY, not ready)
            | _bit(Reason.CANNOT_CONFIRM, not confirm)
            | _bit(Reason.READBACK_DISAGREES, readback == "disagrees")
            | _bit(Reason.READBACK_UNKNOWN, readback == "unknown")
        )
        names = ("hold", "fault_latched", "module_ready", "can_confirm", "readback")
        yield dict(zip(names, (hold, fault, ready, confirm, readback), strict=True)), bits


def _line_and_light() -> Iterator[tuple[dict[str, Any], int, bool]]:
    """The stop line, the light as it shows, and whether amber may follow from these."""
    domains = (StopLine, BOOLS, BOOLS, BOOLS, BOOLS, SHOWABLE, Amber)
    for line, source, red_done, arm_up, overdue, showing, amber in product(*domains):
        bits = (
            _bit(Reason.STOP_LINE_UNKNOWN, line == "unknown")
            | _bit(Reason.NOSE_OVER_LINE, line == "broken")
            | _bit(Reason.ALREADY_CROSSED, line == "crossed")
            | _bit(Reason.SOURCE_LOST, not source)
            | _bit(Reason.GREEN_OVERDUE, overdue)
            | _bit(Reason.BARRIER_NOT_UP, not arm_up)
            | _bit(Reason.MINIMUM_RED, showing != "green" and not red_done)
        )
        names = ("stop_line", "source_alive", "red_long_enough", "arm_up", "green_overdue", "showing", "amber")
        amber_open = showing != "red" and amber == "due" and line == "clear"
        yield dict(zip(names, (line, source, red_done, arm_up, overdue, showing, amber), strict=True)), bits, amber_open


def test_every_combination_of_facts() -> None:
    """1,990,656 rulings. One mutable copy of the facts is reused: building each anew would take most of the time."""
    facts = replace(BEST)
    put = object.__setattr__
    expected: dict[tuple[int, bool], Ruling] = {}
    step = 7 if "MUTANT_UNDER_TEST" in os.environ else 1
    tried = 0
    light = list(_line_and_light())
    for (over, over_bits), (module, module_bits) in list(product(_hand_overs(), _module()))[::step]:
        for name, value in (over | module).items():
            put(facts, name, value)
        for values, light_bits, amber_open in light:
            for name, value in values.items():
                put(facts, name, value)
            bits = over_bits | module_bits | light_bits
            known = expected.get((bits, amber_open))
            if known is None:
                reasons = tuple(reason for reason in Reason if bits & BIT[reason])
                planned = amber_open and not bits & ~PLANNED
                aspect = Aspect.GREEN if not bits else Aspect.AMBER if planned else Aspect.RED
                known = expected[bits, amber_open] = Ruling(aspect, reasons)
            if rule(facts) != known:
                pytest.fail(f"{facts}: expected {known}, got {rule(facts)}")
            tried += 1
    assert step > 1 or tried == 72 * 48 * 576


def test_green_when_nothing_speaks_against_it() -> None:
    assert rule(BEST) == Ruling(Aspect.GREEN, ())


FOREIGN: tuple[Any, ...] = (
    "yes",
    "",
    1,
    0,
    None,
    "rolling",
    "live",
    "clear",
    "agrees",
    "red",
    "standing",
    [],
    object,
)


@pytest.mark.parametrize("name", [field.name for field in fields(Facts) if field.name != "amber"])
@pytest.mark.parametrize("value", FOREIGN, ids=repr)
def test_a_value_outside_its_type_is_red(name: str, value: Any) -> None:
    for base in (BEST, replace(BEST, showing=Aspect.GREEN, amber=Amber.DUE)):
        ruling = rule(replace(base, **{name: value}))
        if name in {"red_long_enough", "stop_loop_occupied"} and base.showing is Aspect.GREEN:
            assert ruling.aspect is Aspect.GREEN  # a green in force does not look at these
        elif name == "stop_loop_occupied":
            assert ruling.aspect is Aspect.GREEN  # nor does a rolling lease at the stop loop
        else:
            assert ruling.aspect is not Aspect.GREEN
            assert ruling.reasons
        if name not in {"red_long_enough", "stop_loop_occupied"}:
            assert ruling.aspect is Aspect.RED


@pytest.mark.parametrize("value", FOREIGN, ids=repr)
def test_a_foreign_amber_is_none(value: Any) -> None:
    ending = replace(BEST, showing=Aspect.GREEN, lease=LeaseState.EXPIRED, amber=value)
    assert rule(ending).aspect is Aspect.RED


@pytest.mark.parametrize("showing", [Aspect.DARK, Aspect.FLASHING_RED])
def test_an_aspect_that_is_never_commanded_is_red(showing: Aspect) -> None:
    assert rule(replace(BEST, showing=showing)) == Ruling(Aspect.RED, (Reason.READBACK_UNKNOWN,))


def test_standing_lease_on_the_loop_needs_no_known_order() -> None:
    standing = replace(BEST, lease_standing=True, order_known=False, stop_loop_occupied=True)
    assert rule(standing).aspect is Aspect.GREEN
    assert rule(replace(standing, stop_loop_occupied=None)).reasons == (Reason.NOT_STANDING,)  # type: ignore[arg-type]
    unsure = rule(replace(standing, lease_standing=None, permit=Permit.STANDING, stop_loop_occupied=False))  # type: ignore[arg-type]
    assert unsure.reasons == (Reason.MODE, Reason.ORDER_UNKNOWN, Reason.NOT_STANDING)
