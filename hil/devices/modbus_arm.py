"""A barrier arm wired to a virtual I/O module: two pulse contacts, two limit switches, a travel time of its own.

It moves on the rising edge of a pulse and goes on by itself; without a pulse it stays where it is. Its own presence
loop is not played here: whether it would have come down on somebody is for the test to see.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ArmWiring:
    """Outputs that the operator's contacts hang on, inputs that its limit switches are wired to, and its travel
    time."""

    raise_output: int
    lower_output: int
    up_input: int
    down_input: int
    travel_s: float = 3.0


class Arm:
    """One arm, down at power-up. `jammed`: it does not move. `dead_limits`: switches that never close (up, down)."""

    def __init__(self, wiring: ArmWiring, feel: Callable[[dict[int, bool]], None], publish: Callable[..., Any]) -> None:
        self.wiring = wiring
        self.jammed = False
        self.dead_limits: frozenset[str] = frozenset()
        self._feel = feel
        self._publish = publish
        self._place = 0.0
        self._to = 0.0
        self._since_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Show the limit switches as they are."""
        self._since_s = asyncio.get_running_loop().time()
        self._show()

    def command(self, changed: Mapping[int, bool]) -> None:
        """Outputs changed: a contact that closed sends the arm on its way."""
        if changed.get(self.wiring.raise_output):
            self._go(1.0)
        if changed.get(self.wiring.lower_output):
            self._go(0.0)

    def push(self, up: bool) -> None:
        """Somebody moves it by the operator's own switch."""
        self._go(1.0 if up else 0.0)

    def report(self) -> dict[str, Any]:
        """Where it is, as JSON values."""
        self._move()
        return {"place": round(self._place, 3), "to": self._to, "jammed": self.jammed}

    def fault(self, jammed: bool, dead_limits: frozenset[str]) -> None:
        """Set its faults. ValueError for a switch it does not have."""
        if not dead_limits <= {"up", "down"}:
            raise ValueError("dead limits are up and down")
        self._move()
        self.jammed, self.dead_limits = jammed, dead_limits
        self._arm_timer()

    def _go(self, to: float) -> None:
        self._move()
        self._to = to
        self._publish("arm", place=round(self._place, 3), to=to)
        self._arm_timer()

    def _move(self) -> None:
        now = asyncio.get_running_loop().time()
        way = 0.0 if self.jammed else (now - self._since_s) / self.wiring.travel_s
        self._place += max(-way, min(way, self._to - self._place))
        self._since_s = now

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._show()
        left = abs(self._to - self._place) * self.wiring.travel_s
        if left and not self.jammed:
            # The first look comes at once: a switch opens as soon as the arm leaves it.
            self._timer = asyncio.get_running_loop().call_later(min(left, 0.02), self._arm_timer_due)

    def _arm_timer_due(self) -> None:
        self._timer = None
        self._move()
        self._arm_timer()

    def _show(self) -> None:
        up = self._place >= 0.999 and "up" not in self.dead_limits
        down = self._place <= 0.001 and "down" not in self.dead_limits
        self._feel({self.wiring.up_input: up, self.wiring.down_input: down})
