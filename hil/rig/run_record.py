"""What came out of a run, wherever it took place: on the virtual clock, the virtual bench or a real one.

Times are world seconds: 0 is when the story begins. What the agent knew and did is told by its sealed records, what was
so by the world, what drivers saw by the lamps.
"""

from dataclasses import dataclass

from hil.oracles.wrong_green import Verdict
from hil.world.events import WorldEvent
from hil.world.faults import Happening, Verb
from hil.world.geometry import ZONES


@dataclass(frozen=True, slots=True)
class Read:
    """Reads of one tag that were given to the vehicle. `assigned` None: not told."""

    kind: str
    token: str
    reads: int
    first: float
    last: float
    assigned: float | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision as it reached the lane, void from `until`."""

    t: float
    verdict: str
    until: float
    by_officer: bool


@dataclass(frozen=True, slots=True)
class Light:
    """What was commanded and what feedback confirmed ("" for unknown) while this vehicle was first in order."""

    t: float
    commanded: str
    confirmed: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """One sealed record, and the truck whose it is by who was over the sensor that made it ("" for nobody)."""

    truck: str
    bundle_id: str
    conveyance_id: str
    outcome: str
    flags: tuple[str, ...]
    detected: float
    ended: float | None
    committed: float | None
    over_line: float | None
    """When the tail was over the stop line."""
    speed_kmh: float
    length_m: float
    stops: int
    reads: tuple[Read, ...]
    requests: tuple[tuple[float, bool], ...]
    """When it was asked about, and whether its identity was complete."""
    decisions: tuple[Decided, ...]
    lights: tuple[Light, ...]


@dataclass(frozen=True, slots=True)
class Acted:
    """One act of an officer and the answer ("" where nobody was there to answer)."""

    t: float
    verb: Verb
    truck: str
    result: str
    message: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run that has ended. `shown`: every change of the lamps; `greens`: whom each green was for; `numbers`: the
    sealed records' own, as central holds them; `trouble`: what the script could not do; `unsealed`: records of vehicles
    that are still in the lane; `arm_wrong`: what a barrier arm did that it must not; `sensors`: the lane's, upstream
    first."""

    until_s: float
    events: tuple[WorldEvent, ...]
    shown: tuple[tuple[float, str], ...]
    greens: tuple[str, ...]
    happened: tuple[tuple[float, Happening], ...]
    acts: tuple[Acted, ...]
    wrong: tuple[Verdict, ...]
    sealed: tuple[Sealed, ...]
    numbers: tuple[int, ...]
    trouble: tuple[str, ...] = ()
    unsealed: tuple[Sealed, ...] = ()
    arm_wrong: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ZONES

    def shown_at(self, t: float) -> str:
        """What drivers saw at a world second."""
        return next((aspect for since, aspect in reversed(self.shown) if since <= t), "red")
