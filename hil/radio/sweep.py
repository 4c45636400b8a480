"""How often a tag ends on the wrong record: in the default world, and from what value of each parameter on.

Every point is the default world with one value changed. Seeds run in processes of their own.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from hil.radio.lane import TRAFFIC, Figures, RadioLane, RadioWorld
from hil.world.rf import RfModel

MOST_AMBIGUOUS = 0.01
"""Share of vehicles that may be reported ambiguous."""


def _radio(**changed: float) -> RadioWorld:
    return RadioWorld(rf=replace(RfModel(), **changed))


def _gap(seconds: float) -> RadioWorld:
    mix = replace(TRAFFIC, platoon_gap_s=(seconds, max(8.0, seconds)), headway_s=max(0.5, min(1.0, seconds)))
    return RadioWorld(mix=mix)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that is varied: `at` makes the world of a value, `default` is the value of the default world."""

    name: str
    unit: str
    default: float
    values: tuple[float, ...]
    at: Callable[[float], RadioWorld]


PARAMETERS = (
    Parameter("path loss exponent", "", 2.0, (1.5, 2.0, 2.5, 3.0, 3.5), lambda v: _radio(exponent=v)),
    Parameter("spread", "dB", 2.5, (0.0, 2.5, 4.0, 6.0, 8.0, 10.0), lambda v: _radio(spread_db=v)),
    Parameter("reflection of the road", "", 0.39, (0.0, 0.39, 0.6, 0.8, 0.95), lambda v: _radio(ground=v)),
    Parameter(
        "sleeve loss", "dB", 9.0, (3.0, 9.0, 12.0, 15.0, 20.0),
        lambda v: RadioWorld(mix=replace(TRAFFIC, sleeve_db=v)),
    ),
    Parameter(
        "next lane weaker by", "dB", 22.0, (26.0, 22.0, 20.0, 18.0, 16.0, 14.0, 12.0), lambda v: _radio(neighbour_db=v)
    ),
    Parameter("shortest gap between trucks", "s", 1.5, (3.5, 1.5, 1.0, 0.7, 0.5, 0.3), _gap),
    Parameter(
        "gap between standing trucks", "m", 2.0, (4.0, 2.0, 1.5, 1.0, 0.5),
        lambda v: RadioWorld(mix=replace(TRAFFIC, stand_gap_m=v)),
    ),
    Parameter(
        "sensitivity (zone longer)", "dBm", -70.0, (-66.0, -70.0, -75.0, -80.0, -85.0),
        lambda v: _radio(sensitivity_dbm=v, reach_m=6.0 if v >= -70 else 12.0),
    ),
    Parameter("reads a second of each tag", "", 20.0, (40.0, 20.0, 10.0, 5.0, 2.0), lambda v: _radio(reads_per_s=v)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """One seed of one world."""

    seed: int
    given: RadioWorld
    vehicles: int


def play(job: Job) -> Figures:
    """Run one seed, in whatever process."""
    return RadioLane(job.seed, job.given).run(job.vehicles)


def runs(given: RadioWorld, seeds: range, vehicles: int, processes: int) -> Iterator[tuple[int, Figures]]:
    """The figures of each seed as they come, `vehicles` each."""
    with ProcessPoolExecutor(max_workers=processes) as pool:
        jobs = [Job(seed, given, vehicles) for seed in seeds]
        yield from zip(seeds, pool.map(play, jobs), strict=True)


def measured(given: RadioWorld, seeds: range, vehicles: int, processes: int) -> Figures:
    """All seeds together."""
    total = Figures()
    for _, figures in runs(given, seeds, vehicles, processes):
        total.add(figures)
    return total


def holds(figures: Figures) -> bool:
    """No tag on a wrong record, and hardly any in doubt."""
    return not figures.misassigned and figures.ambiguous <= MOST_AMBIGUOUS * figures.vehicles


def row(name: str, figures: Figures) -> str:
    """One line of the published table."""
    share = 100.0 / max(1, figures.vehicles)
    verdict = "" if holds(figures) else "**fails**"
    return (
        f"| {name} | {figures.vehicles} | {figures.misassigned} | {figures.ambiguous * share:.2f} % "
        f"| {figures.complete * share:.1f} % | {figures.unread * share:.1f} % | {verdict} |"
    )


HEAD = "| | vehicles | misassigned | ambiguous | complete | bear tags, none given | |\n|---|---|---|---|---|---|---|"
