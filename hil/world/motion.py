"""Constant-acceleration motion in closed form, and how fast a follower may go. SI units throughout."""

import math
from typing import NamedTuple

from hil.world.truck import MAX_BRAKE_MPS2


class Segment(NamedTuple):
    """Motion with one acceleration from `t0` until `t1` (may be infinite); never changes direction inside."""

    t0: float
    t1: float
    x: float
    v: float
    a: float

    def at(self, t: float) -> tuple[float, float]:
        """Position and speed at `t`, held inside the segment's time."""
        dt = min(max(t, self.t0), self.t1) - self.t0
        return self.x + (self.v + 0.5 * self.a * dt) * dt, self.v + self.a * dt

    def when_at(self, x_m: float, forward: bool) -> float:
        """The time the place is reached moving that way; infinite when not in this segment."""
        ahead, v, a = (x_m - self.x, self.v, self.a) if forward else (self.x - x_m, -self.v, -self.a)
        t = self.t0 + time_to_travel(ahead, v, a)
        return t if t <= self.t1 else math.inf


def time_to_travel(distance_m: float, v: float, a: float) -> float:
    """Seconds to go `distance_m` ahead from speed `v` >= 0 under `a`; infinite when never. Already there: 0."""
    if distance_m <= 0.0:
        return 0.0
    if a == 0.0:
        return distance_m / v if v > 0.0 else math.inf
    under_root = v * v + 2.0 * a * distance_m
    if under_root < 0.0:
        return math.inf
    # This form of the root loses no digits when v^2 is large against 2*a*distance.
    divisor = v + math.sqrt(under_root)
    return 2.0 * distance_m / divisor if divisor > 0.0 else math.inf


def stopping_m(v: float, brake_mps2: float = MAX_BRAKE_MPS2) -> float:
    """Distance to a stand from `v`."""
    return v * v / (2.0 * brake_mps2)


def following_speed(x: float, v: float, stop_at_m: float, headway_s: float) -> float:
    """The highest speed after `headway_s` from which a stop at `stop_at_m` still needs no more than the hardest brake
    (Gipps 1981, constant acceleration over the interval). 0 when there is none."""
    over = x + 0.5 * v * headway_s - stop_at_m
    if over >= 0.0:
        return 0.0
    half = 0.5 * headway_s
    return MAX_BRAKE_MPS2 * (math.sqrt(half * half - 2.0 * over / MAX_BRAKE_MPS2) - half)
