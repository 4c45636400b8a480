"""The book of who may have green, from which wrong greens are judged."""

from hil.oracles.wrong_green import Rule, WrongGreenOracle
from hil.rig.release_side import ReleaseSide
from hil.world.events import EventKind, WorldEvent
from hil.world.faults import Verb


def _greens(*, refused_first: bool) -> list[Rule]:
    """Two officers release one truck at once; the first is refused, or both are. Then it has green."""
    oracle = WrongGreenOracle()
    side = ReleaseSide(oracle, lambda: 1.0)
    oracle.world([WorldEvent(0.0, EventKind.ENTERED, "T1", "", True, -110.0, 4.0)])
    first = side.act(Verb.RELEASE_CONVEYANCE, {"truck": "T1"})
    second = side.act(Verb.RELEASE_CONVEYANCE, {"truck": "T1"})
    first()
    if not refused_first:
        second()
    oracle.lamp(2.0, "green")
    oracle.lamp(5.0, "red")
    oracle.settle(10.0)
    return [verdict.rule for verdict in oracle.verdicts()]


def test_of_two_releases_at_once_the_one_that_is_refused_does_not_take_the_other_back() -> None:
    assert _greens(refused_first=True) == []


def test_two_releases_that_are_both_refused_leave_nothing() -> None:
    assert _greens(refused_first=False) == [Rule.NO_LIVE_DECISION]
