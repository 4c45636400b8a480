"""The lane's measures. x is in metres from the stop line S, growing downstream: A -60, D -30, S 0, X +35."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ZONES = ("zone_a", "zone_d", "zone_s", "stop_line_beam", "zone_x")
"""The sensors of a lane with a beam at its line."""
POINTS = ("A", "D", "S", "X")
KMH = 1 / 3.6


class Layout(StrEnum):
    """What stands at the stop line."""

    LOOPS_AND_BEAM = "loops_and_beam"
    LOOPS_ONLY = "loops_only"
    LIGHT_CURTAIN = "light_curtain"


LINE_ZONES: Mapping[Layout, tuple[str, ...]] = {
    Layout.LOOPS_AND_BEAM: ("stop_line_beam",),
    Layout.LOOPS_ONLY: ("stop_line_loop",),
    Layout.LIGHT_CURTAIN: ("stop_line_curtain_1", "stop_line_curtain_2"),
}
"""The inputs of each; a curtain has two outputs."""
ALL_ZONES = tuple(dict.fromkeys((*ZONES, *itertools.chain.from_iterable(LINE_ZONES.values()))))


class Lamp(StrEnum):
    """What the head shows the drivers; the values are those of the driver contract's aspect."""

    RED = "red"
    AMBER = "amber"
    GREEN = "green"
    FLASHING_RED = "flashing_red"
    DARK = "dark"


def commit_distance_m(speed_mps: float, reaction_s: float = 1.5, brake_mps2: float = 2.0) -> float:
    """C(v) = v*tr + v^2/(2a): closer to the line than this a driver who sees red cannot stop before it."""
    return speed_mps * reaction_s + speed_mps * speed_mps / (2.0 * brake_mps2)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of lane, metres; occupied while any part of a truck is over it."""

    start_m: float
    end_m: float


@dataclass(frozen=True, slots=True)
class Antenna:
    """A reader antenna over the lane. `port` is the reader's number for it; `height_m` above the tags;
    `beamwidth_deg` full half-power width along the lane."""

    port: int
    x_m: float
    height_m: float = 2.5
    beamwidth_deg: float = 65.0


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where everything is, metres from the stop line (negative upstream). ValueError when out of order.

    `entry_m` is where a nose appears, `exit_m` where a tail disappears. Antenna 1 reads a windscreen tag just after the
    nose is over A, antenna 2 a truck that stands at the line. The loop at S ends short of the beam, so that the beam is
    the last to clear when a tail leaves. `layout` says what stands at the line (a loop there is at `line_loop`), and
    `exit_loop` whether there is one at X.
    """

    entry_m: float = -110.0
    a_m: float = -60.0
    d_m: float = -30.0
    x_m: float = 35.0
    exit_m: float = 60.0
    loop_m: float = 2.0
    s_loop: Span = Span(-3.5, -0.5)
    beam_m: float = 0.0
    line_loop: Span = Span(0.0, 2.0)
    layout: Layout = Layout.LOOPS_AND_BEAM
    exit_loop: bool = True
    sight_m: float = 90.0
    antennas: tuple[Antenna, ...] = (Antenna(1, -57.0), Antenna(2, -3.0))

    def __post_init__(self) -> None:
        order = (self.entry_m, self.a_m, self.d_m, self.s_loop.start_m, self.s_loop.end_m, 0.0, self.x_m, self.exit_m)
        if any(a >= b for a, b in itertools.pairwise(order)):
            raise ValueError(f"places of the lane are out of order: {order}")
        if self.loop_m <= 0 or self.sight_m <= 0:
            raise ValueError("loop_m and sight_m must be positive")

    def zones(self) -> Mapping[str, Span]:
        """The sensors of the lane by name, each with the stretch it watches."""
        found = {
            "zone_a": Span(self.a_m, self.a_m + self.loop_m),
            "zone_d": Span(self.d_m, self.d_m + self.loop_m),
            "zone_s": self.s_loop,
        }
        line = self.line_loop if self.layout is Layout.LOOPS_ONLY else Span(self.beam_m, self.beam_m)
        found |= dict.fromkeys(self.line_zones, line)
        return found | ({"zone_x": Span(self.x_m, self.x_m + self.loop_m)} if self.exit_loop else {})

    @property
    def line_zones(self) -> tuple[str, ...]:
        """The inputs at the line: all of them are active while something they see is over it."""
        return LINE_ZONES[self.layout]

    def sensor(self, zone: str) -> str:
        """This lane's input for one of `ZONES`: instead of the beam, what stands at its line (of two outputs one)."""
        return self.line_zones[0] if zone == "stop_line_beam" else zone

    @property
    def rolls(self) -> bool:
        """Whether vehicles may roll through: over loops alone they may not."""
        return self.layout is not Layout.LOOPS_ONLY

    def sees_people(self) -> tuple[str, ...]:
        """The inputs that somebody on foot over the line breaks: loops feel metal only."""
        return () if self.layout is Layout.LOOPS_ONLY else self.line_zones

    def sees_drawbars(self, zone: str) -> bool:
        """Whether this sensor is occupied under a drawbar too: a curtain is; beams look over it, loops feel nothing."""
        return self.layout is Layout.LIGHT_CURTAIN and zone in self.line_zones

    def points(self) -> Mapping[str, float]:
        """The named points of the lane and their x."""
        return {"A": self.a_m, "D": self.d_m, "S": 0.0, "X": self.x_m}
