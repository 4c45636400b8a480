"""How much faster than real time a lane day runs on the virtual clock, with everything real but the wires."""

import asyncio
import cProfile
import gc
import pstats
import time
from collections.abc import Callable

import pytest

from hil.days.day import complaints, record_complaints, run_day
from hil.days.worker import COLLECT_EVERY
from hil.rig.virtual_lane import VirtualLane
from hil.rig.virtual_loop import VirtualLoop
from hil.world.geometry import Geometry
from hil.world.rules import ReleaseRule
from hil.world.traffic import TrafficMix
from hil.world.truck import TruckPlan
from hil.world.world import World

pytestmark = pytest.mark.bench

DAY_S = 1800.0
PARTS: tuple[str, ...] = (
    "edge_agent/passage", "edge_agent/safety", "edge_agent/control", "edge_agent/wire", "edge_agent",
    "hil/world", "hil/rig", "hil/oracles", "asyncio", "",
)  # fmt: skip
"""Every file is charged to the first that its path has; the last takes the rest."""


def _seconds(run: Callable[[], object]) -> float:
    """This process's time for it, the better of two runs, with the collector as a run's workers have it."""
    best, before = float("inf"), gc.get_threshold()
    gc.collect()
    gc.freeze()  # what the test runner has loaded is not the lane's to sweep
    gc.set_threshold(COLLECT_EVERY)
    for _ in range(2):
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    gc.set_threshold(*before)
    gc.unfreeze()
    return best


def _traffic(trucks_per_h: float) -> tuple[float, float]:
    """Virtual seconds per second of this process's time, and milliseconds of it per passage with the lane's time
    between passages."""
    mix = TrafficMix(trucks_per_h=trucks_per_h)
    passages = len(run_day(3, DAY_S, faults=False, mix=mix).lane.sealed())
    spent_s = _seconds(lambda: run_day(3, DAY_S, faults=False, mix=mix))
    return DAY_S / spent_s, 1000.0 * spent_s / passages


def _empty_lane() -> None:
    def nobody(truck: str) -> TruckPlan:
        raise KeyError(truck)

    lane = VirtualLane(World(Geometry(), (), 1), lambda _: ReleaseRule(), nobody)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(lane.run(600.0))


def _shares(run: Callable[[], object]) -> dict[str, float]:
    """Where the time goes: own time by folder; what the library does is charged to itself."""
    profile = cProfile.Profile()
    profile.runcall(run)
    spent = dict.fromkeys(PARTS, 0.0)
    for (file, _, _), (_, _, own_s, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        spent[next(part for part in PARTS if part in file)] += own_s
    total = sum(spent.values())
    return {part or "library": share / total for part, share in sorted(spent.items(), key=lambda item: -item[1])}


def test_simulated_time() -> None:
    """A busy day's mean, its peak, the densest traffic there is, and the floor: an empty lane is the agent's two 10 Hz
    loops and nothing else.

    60 trucks an hour are 1,440 a day, about three times what a lane of the busiest crossing in North America takes
    (12,000 trucks a day in both directions over some twenty lanes).
    """
    day = run_day(3, DAY_S, faults=False)
    assert complaints(day) + record_complaints(day) == []
    mean, _ = _traffic(60.0)
    busy, busy_ms = _traffic(120.0)
    dense, dense_ms = _traffic(300.0)
    idle = 600.0 / _seconds(_empty_lane)
    print(f"\nsimulated lane time: {mean:,.0f} x real time at 60 trucks/h, {busy:,.0f} x at 120", end="")  # noqa: T201
    print(f", {idle:,.0f} x with an empty lane")  # noqa: T201
    print(f"a passage: {busy_ms:.1f} ms at 120/h, {dense_ms:.1f} ms at 300/h ({dense:,.0f} x real time)")  # noqa: T201
    print("own time: " + ", ".join(f"{part} {share:.0%}" for part, share in _shares(lambda: run_day(3)).items()))  # noqa: T201
    # A quarter of what one free core does: a day must not become too slow to be run on every push.
    assert busy > 200
