"""Which half of a readback may serve again on a slow line, and for how long."""

import pytest

from drivers.api import Aspect, Stamp
from drivers.modbus.head_codec import LampState
from drivers.modbus.recent import Recent, agrees

RED, GREEN = Aspect.RED, Aspect.GREEN


def at(ms: int) -> Stamp:
    return Stamp(ms * 1_000_000, 0)


def known(**changes: int) -> Recent:
    return Recent(40_000_000, read=(at(1000), (False,)), polled=(at(1010), (1, 0)), **changes)


def test_coils_serve_for_two_poll_periods_while_they_are_as_commanded() -> None:
    recent = known()
    assert recent.coils(at(1079), (False,)) == (at(1000), (False,))
    assert recent.coils(at(1080), (False,)) is None
    assert recent.coils(at(1079), (True,)) is None
    assert recent.coils(at(1079), None) is None, "what was sent last is not known to have arrived"


def test_inputs_serve_for_one_poll_period_and_under_red_for_two() -> None:
    recent = known()
    assert recent.inputs(at(1049), GREEN) == (at(1010), (1, 0))
    assert recent.inputs(at(1050), GREEN) is None
    assert recent.inputs(at(1050), None) is None
    assert recent.inputs(at(1089), RED) == (at(1010), (1, 0))
    assert recent.inputs(at(1090), RED) is None


def test_nothing_from_before_the_last_switching_serves() -> None:
    recent = known(switched_ns=1_005_000_000)
    assert recent.coils(at(1020), (False,)) is None
    assert recent.inputs(at(1020), RED) is not None
    recent.switched_ns = 1_010_000_000
    assert recent.inputs(at(1020), RED) is None


def test_nothing_from_before_a_failed_readback_serves() -> None:
    recent = known()
    recent.forget()
    assert recent.coils(at(1020), (False,)) is None
    assert recent.inputs(at(1020), RED) is None


def test_nothing_serves_before_it_was_read() -> None:
    assert Recent(40_000_000).coils(at(1), (False,)) is None
    assert Recent(40_000_000).inputs(at(1), RED) is None


@pytest.mark.parametrize(
    ("shown", "as_commanded"),
    [
        (LampState(RED, conflict=False), True),
        (LampState(None, conflict=False), True),
        (LampState(GREEN, conflict=False), False),
        (LampState(Aspect.DARK, conflict=False), False),
        (LampState(None, conflict=True), False),
    ],
)
def test_what_agrees_with_the_command(shown: LampState, as_commanded: bool) -> None:
    assert agrees(shown, RED) is as_commanded
