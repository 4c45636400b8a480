"""A lane that outlives a test: one event loop and one set of processes for the tests of a module."""

import asyncio
import os
import statistics
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hil.rig.puppet import PuppetLane

T = TypeVar("T")

FIGURES: list[str] = []
"""What this run measured, one line each."""


class Stage:
    """A running lane and the loop it lives on."""

    def __init__(self, runner: asyncio.Runner, lane: PuppetLane) -> None:
        self._runner = runner
        self.lane = lane

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one piece of a test; a failure carries the end of the agent's log."""
        try:
            return self._runner.run(work)
        except BaseException as error:
            agent = self.lane.bench.children.get("agent")
            if agent is not None:
                error.add_note(agent.log_end(25))
            raise


@contextmanager
def opened(run_dir: Path, **options: Any) -> Iterator[Stage]:  # noqa: ANN401 - PuppetLane's own
    """Bring a lane up, and end every process of it."""
    with asyncio.Runner() as runner:
        lane = PuppetLane(run_dir, **options)
        runner.run(lane.__aenter__())
        try:
            yield Stage(runner, lane)
        finally:
            runner.run(lane.__aexit__())


def measured(name: str, samples: Sequence[float], unit: str, limit: float) -> None:
    """Put a figure into the run's table."""
    text = f"p50 {statistics.median(samples):.1f}, max {max(samples):.1f}" if len(samples) > 1 else f"{samples[0]:.2f}"
    FIGURES.append(f"{name}: {text} {unit} (n={len(samples)}, limit {limit:g} {unit})")


def ms(later_ns: int, earlier_ns: int) -> float:
    """Milliseconds between two stamps of the monotonic clock."""
    return (later_ns - earlier_ns) / 1e6


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in megabytes of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"no VmRSS of {pid}")


def cpu_s(pid: int) -> float:
    """Processor seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
