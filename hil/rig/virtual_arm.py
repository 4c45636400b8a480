"""A barrier arm on a loop's time: it moves by pulses, stays where it is without, and has two limit switches."""

import asyncio
from typing import TYPE_CHECKING

from hil.oracles.arm import LOWER, RAISE, ArmOracle
from hil.rig.bench_arm import PRESENCE

if TYPE_CHECKING:
    from hil.rig.virtual_lane import VirtualLane

_STALE_NS = 300_000_000
_NEAR = ("zone_s", "stop_line_beam", PRESENCE)


class VirtualArm:
    """The arm at a lane's stop line, down at the start; a way takes `travel_s`. `jammed`: it does not move. `oracle`
    judges it; it is told of the lamps and of the world by the lane."""

    def __init__(self, travel_s: float, lane: "VirtualLane") -> None:
        self.jammed = False
        self.oracle = ArmOracle(lane.world, lambda: lane.releases.testing)
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
        return {"barrier_up": self.up, "barrier_down": self._place <= 0.0, PRESENCE: under}

    def decided(self, role: str) -> None:
        """The agent has made up its mind, and the pulse is about to go out: what it knew, and did not know, then."""
        agent = self._lane.agent
        if role != LOWER or agent is None:
            return
        seen, now = agent.inputs.snapshot, self._lane.clock.stamp()
        doubts = {
            "the order is not known": not agent.state.order.known,
            "its inputs are stale": seen is None or now.mono_ns - seen.stamp.mono_ns > _STALE_NS,
            "an input shows somebody": seen is not None and any(seen.levels.get(name, True) for name in _NEAR),
        }
        told = [doubt for doubt, there in doubts.items() if there]
        self.oracle.wrongs += [f"at {self._lane.now_s:.3f} the arm was asked down although {doubt}" for doubt in told]

    async def pulse(self, role: str) -> None:
        """A pulse of the operator's contact."""
        self._lane.look()
        self.oracle.pulsed(self._lane.now_s, role)
        self._settle()
        self._to = 1.0 if role == RAISE else 0.0
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
        self.oracle.moved(self._lane.now_s, up=self.up)
        self._lane.world.set_arm(self.up)
        self._lane.stirred()
        self._lane.poll_soon()
