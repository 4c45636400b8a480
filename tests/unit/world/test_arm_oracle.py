"""The oracle of the barrier arm catches each way in which an arm can be wrong, and stays silent on a right one."""

import pytest

from hil.oracles.arm import LOWER, RAISE, ArmOracle
from hil.world.events import EventKind, WorldEvent
from hil.world.geometry import Geometry
from hil.world.truck import Behaviour, TruckPlan
from hil.world.world import World

AT_15_KMH_S = 110.0 / (15.0 / 3.6)
"""So long a truck takes from the entry to the line that nothing stops."""


def _world() -> World:
    """One truck of 23 m, which no light stops."""
    world = World(Geometry(), [TruckPlan("T1", 0.0, 15.0, length_m=23.0, behaviour=Behaviour.RUNS_RED)])
    world.set_arm(True)
    return world


def test_silent_on_an_arm_that_goes_up_first_and_down_behind_the_truck() -> None:
    world = _world()
    oracle = ArmOracle(world)
    oracle.pulsed(5.0, RAISE)
    oracle.moved(8.0, up=True)
    oracle.lamp(8.1, "green")
    oracle.lamp(AT_15_KMH_S, "red")
    oracle.saw(world.advance(AT_15_KMH_S + 8.0))
    oracle.pulsed(world.now, LOWER)
    oracle.moved(world.now, up=False)
    oracle.settle(100.0)
    assert oracle.wrongs == []
    assert [role for _, role in oracle.asked] == [RAISE, LOWER]


@pytest.mark.parametrize(
    ("from_line_s", "wrong"),
    [
        pytest.param(-3.0, False, id="can still stop"),
        pytest.param(-0.1, True, id="cannot stop any more"),
        pytest.param(2.0, True, id="under it"),
        pytest.param(5.6, True, id="its tail is just behind"),
        pytest.param(6.0, False, id="gone"),
    ],
)
def test_asked_down_on_somebody(from_line_s: float, wrong: bool) -> None:
    world = _world()
    world.advance(AT_15_KMH_S + from_line_s)
    oracle = ArmOracle(world)
    oracle.pulsed(world.now, LOWER)
    assert [told.partition("asked ")[2] for told in oracle.wrongs] == ["down on T1"] * wrong


def test_asked_down_before_a_green_light() -> None:
    oracle = ArmOracle(World(Geometry(), []))
    oracle.moved(1.0, up=True)
    oracle.lamp(2.0, "green")
    oracle.pulsed(3.0, LOWER)
    assert oracle.wrongs == ["at 3.000 the arm was asked down before a green light"]


@pytest.mark.parametrize("testing", [False, True])
def test_green_before_an_arm_that_is_not_up_is_a_signal_tests_only(testing: bool) -> None:
    oracle = ArmOracle(World(Geometry(), []), lambda: testing)
    oracle.lamp(2.0, "green")
    assert oracle.wrongs == ["at 2.000 green before an arm that is not up"] * (not testing)


@pytest.mark.parametrize(("red_s", "wrong"), [(3.2, False), (3.5, True), (None, True)])
def test_a_green_that_outlives_an_arm_moved_by_hand(red_s: float | None, wrong: bool) -> None:
    oracle = ArmOracle(World(Geometry(), []))
    oracle.moved(1.0, up=True)
    oracle.lamp(2.0, "green")
    oracle.moved(3.0, up=False)
    if red_s is not None:
        oracle.lamp(red_s, "red")
    oracle.settle(10.0)
    assert oracle.wrongs == ["at 3.000 the arm left its place under a green that stayed"] * wrong


def test_a_truck_in_the_arm() -> None:
    oracle = ArmOracle(World(Geometry(), []))
    oracle.saw([WorldEvent(3.0, EventKind.STRUCK, "T1", "S"), WorldEvent(3.0, EventKind.NOSE, "T1", "S")])
    assert oracle.wrongs == ["at 3.000 T1 drove into the arm"]
