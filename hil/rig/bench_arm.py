"""A barrier arm on a bench: where it is wired, what the lane is told of it, and what became of it."""

from collections.abc import Callable
from typing import Any

from hil.oracles.arm import LOWER, RAISE, ArmOracle
from hil.rig.recorder import Event
from hil.rig.release_side import ReleaseSide
from hil.world.world import World

PRESENCE = "barrier_presence"
ARM_OUTPUTS = {RAISE: 4, LOWER: 5}
ARM_INPUTS = {"barrier_up": 11, "barrier_down": 12, PRESENCE: 13}
"""Which points of the module the operator's contacts, its limit switches and its own presence sensor are wired to."""


def arm_arguments(travel_s: float) -> list[str]:
    """For the virtual module: an arm of this travel time. Its presence sensor is an input like a zone's."""
    points = [*ARM_OUTPUTS.values(), ARM_INPUTS["barrier_up"], ARM_INPUTS["barrier_down"]]
    return ["--arm", ",".join(map(str, points)), "--arm-travel-ms", str(round(travel_s * 1000))]


def arm_roles() -> dict[str, Any]:
    """The same as roles of the module in the lane's configuration."""
    return {role: {"point": point} for role, point in {**ARM_OUTPUTS, **ARM_INPUTS}.items()}


class BenchArm:
    """Follows the arm by the module's own events: drivers see it, the oracle judges it. `world_s` turns a stamp of the
    device into world seconds."""

    def __init__(self, world: World, releases: ReleaseSide, world_s: Callable[[int], float]) -> None:
        self.oracle = ArmOracle(world, lambda: releases.testing)
        self._world = world
        self._world_s = world_s
        self._roles = {point: role for role, point in ARM_OUTPUTS.items()}

    def hear(self, event: Event) -> None:
        """An event of the module."""
        t = self._world_s(int(event["at_ns"]))
        if event["event"] == "coil" and event["on"] and event["point"] in self._roles:
            self.oracle.pulsed(t, self._roles[event["point"]])
        elif event["event"] == "input" and event["bit"] == ARM_INPUTS["barrier_up"]:
            self.oracle.moved(t, up=bool(event["on"]))
            self._world.set_arm(bool(event["on"]))
        elif event["event"] == "lamp":
            self.oracle.lamp(t, str(event["aspect"]))
