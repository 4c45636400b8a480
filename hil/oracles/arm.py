"""Did a barrier arm ever move on somebody, or against the light? Judged from the contacts of its operator, its upper
limit switch, the lamps and the world, not from the agent.

Wrong is an arm that is asked down with somebody under it, or so near that not even a sharp brake would help, or while
green shows; a green before an arm that is not up, or that outlives its leaving; and a truck that drives into it. Only
the green of a signal test, in a closed and empty lane, needs no arm.
"""

from collections.abc import Callable, Iterable

from hil.world.events import EventKind, WorldEvent
from hil.world.motion import stopping_m
from hil.world.world import World

RAISE, LOWER = "barrier_raise", "barrier_lower"
_UNDER_M = 1.0


class ArmOracle:
    """The judge of one arm; times are world seconds, told in order. `asked`: every pulse, as (time, role); `wrongs`:
    what must never be. `testing`: whether the head is tested now. `light_s`: how long green may outlive an arm that
    somebody else moves."""

    def __init__(self, world: World, testing: Callable[[], bool] = lambda: False, light_s: float = 0.3) -> None:
        self.asked: list[tuple[float, str]] = []
        self.wrongs: list[str] = []
        self._world = world
        self._testing = testing
        self._light_s = light_s
        self._up = False
        self._green = False
        self._left_s: float | None = None

    def pulsed(self, t: float, role: str) -> None:
        """A contact of the operator closed; the world must be at `t`."""
        self.asked.append((t, role))
        if role != LOWER:
            return
        if self._green:
            self.wrongs.append(f"at {t:.3f} the arm was asked down before a green light")
        for truck in self._world.trucks():
            if truck.tail_m < _UNDER_M and truck.nose_m + stopping_m(max(truck.v_mps, 0.0)) > 0.0:
                self.wrongs.append(f"at {t:.3f} the arm was asked down on {truck.id}")

    def moved(self, t: float, *, up: bool) -> None:
        """Its upper limit switch has closed, or opened."""
        if self._green and not up and self._up:
            self._left_s = t
        self._up = up

    def lamp(self, t: float, aspect: str) -> None:
        """The head shows another aspect."""
        self.settle(t)
        self._green = aspect == "green"
        self._left_s = None
        if self._green and not self._up and not self._testing():
            self.wrongs.append(f"at {t:.3f} green before an arm that is not up")

    def saw(self, events: Iterable[WorldEvent]) -> None:
        """What the world did."""
        self.wrongs += [f"at {e.t:.3f} {e.truck} drove into the arm" for e in events if e.kind is EventKind.STRUCK]

    def settle(self, t: float) -> None:
        """Nothing more is told of what was before `t`."""
        if self._left_s is not None and t - self._left_s > self._light_s:
            self.wrongs.append(f"at {self._left_s:.3f} the arm left its place under a green that stayed")
            self._left_s = None
