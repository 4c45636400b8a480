"""A barrier arm on a loop's time: it moves by pulses, stays where it is without, and has two limit switches."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hil.world.events import EventKind, WorldEvent
from hil.world.motion import stopping_m

if TYPE_CHECKING:
    from hil.rig.virtual_lane import VirtualLane

_UNDER_M = 1.0


class VirtualArm:
    """The arm at a lane's stop line, down at the start; a way takes `travel_s`. `jammed`: it does not move. `asked`:
    every pulse, as (world second, role). `wrongs`: what must never be: an arm asked down on somebody, or driven into.
    """

    def __init__(self, travel_s: float, lane: "VirtualLane") -> None:
        self.jammed = False
        self.asked: list[tuple[float, str]] = []
        self.wrongs: list[str] = []
        self._lane = lane
        self._loop = asyncio.get_running_loop()
        self._travel_s = travel_s
        self._place = self._to = 0.0
        self._since_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def up(self) -> bool:
        """Whether the road is open."""
        return self._place >= 1.0

    def levels(self) -> dict[str, bool]:
        """Its limit switches, and its own presence input, which looks along the line's beam."""
        under = self._lane.world.zones()[self._lane.world.geometry.sensor("stop_line_beam")]
        return {"barrier_up": self.up, "barrier_down": self._place <= 0.0, "barrier_presence": under}

    def saw(self, events: Iterable[WorldEvent]) -> None:
        """What the world did."""
        self.wrongs += [f"at {e.t:.3f} {e.truck} drove into the arm" for e in events if e.kind is EventKind.STRUCK]

    async def pulse(self, role: str) -> None:
        """A pulse of the operator's contact."""
        lane = self._lane
        lane.look()
        self.asked.append((lane.now_s, role))
        # Nobody may be under it, nor so near that not even a sharp brake would help.
        near = [t for t in lane.world.trucks() if t.tail_m < _UNDER_M and t.nose_m + stopping_m(max(t.v_mps, 0.0)) > 0]
        if role == "barrier_lower":
            self.wrongs += [f"at {lane.now_s:.3f} the arm was asked down on {truck.id}" for truck in near]
        self._settle()
        self._to = 1.0 if role == "barrier_raise" else 0.0
        self._go()

    def jam(self, jammed: bool) -> None:
        """It is stuck where it is from now on, or goes on to where it was sent."""
        self._settle()
        self.jammed = jammed
        self._go()

    def close(self) -> None:
        """No more timers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settle(self) -> None:
        """Be where it has come to by now."""
        now = self._loop.time()
        way = 0.0 if self.jammed else (now - self._since_s) / self._travel_s
        self._place += max(-way, min(way, self._to - self._place))
        self._since_s = now

    def _go(self) -> None:
        self.close()
        left_s = abs(self._to - self._place) * self._travel_s
        if left_s and not self.jammed:
            # It has left its switch a moment later, whatever the way.
            self._place += (self._to - self._place) * 1e-6
            self._on_move()
            self._timer = self._loop.call_at(self._since_s + left_s, self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        self._place, self._since_s = self._to, self._loop.time()
        self._on_move()

    def _on_move(self) -> None:
        """A limit switch has opened or closed: drivers see the arm, the module feels it."""
        self._lane.look()
        self._lane.world.set_arm(self.up)
        self._lane.stirred()
        self._lane.poll_soon()
