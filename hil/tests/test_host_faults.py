"""What the computer does to the agent: a stepped wall clock, no processor time, and somebody else at its module."""

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hil.rig.lane_client import codes
from hil.rig.puppet import GREEN_POINT, is_green, is_red, lamp_shows
from hil.rig.target import Target
from hil.rig.wall_clock import WallClock
from hil.tests.stage import Stage, measured, ms, opened
from securecorridor.lane.v1 import types_pb2 as types
from tests.conformance.modbus.libmodbus import Client

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.timeout(120),
    pytest.mark.capability("device_clock", "set_inputs", "set_tags", "script_centre"),
]

STEPS_S = (3600, -3600, 0)
STEP_SEEN_S = 0.6
STARVED_S = 3.0
HOGS = 4


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> WallClock:
    return WallClock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, target: Target, clock: WallClock) -> Iterator[Stage]:
    options = {**target.bench_options(), "environment": clock.environment}
    with opened(tmp_path_factory.mktemp("lane"), **options) as stage:
        stage.run(stage.lane.open_lane())
        yield stage


@pytest.mark.capability("step_clock")
def test_a_stepped_wall_clock_changes_no_output_and_no_release(stage: Stage, clock: WallClock) -> None:
    lane = stage.lane

    async def step() -> None:
        since_ns = time.monotonic_ns()
        truck, green = await lane.truck_on_green()
        await lane.module.wait(lamp_shows("green"), "a lit green lamp", after_ns=since_ns)
        seen = []
        for seconds in STEPS_S:
            clock.step(seconds)
            await asyncio.sleep(STEP_SEEN_S)  # several control cycles
            state = await lane.client.get()
            seen.append(round(state.at.time.ToNanoseconds() / 1e9 - time.time(), -2))
            assert state.signal.confirmed == types.ASPECT_GREEN
        assert seen == list(STEPS_S), "the agent did see the steps"
        assert not lane.module.seen(is_red, green["at_ns"])
        await truck.vanish()
        await lane.open_lane()
        await lane.release.wait(lambda e: e["event"] == "bundle", "bundle", after_ns=since_ns)

    try:
        stage.run(step())
    finally:
        clock.step(0)


@contextmanager
def busy(pid: int) -> Iterator[None]:
    """The agent has one processor, and programs that compute without end have the same one."""
    allowed = os.sched_getaffinity(pid)
    one = {min(allowed)}
    threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) for _ in range(HOGS)]
    try:
        for each in (*threads, *(hog.pid for hog in hogs)):
            os.sched_setaffinity(each, one)
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, allowed)


@pytest.mark.capability("starve_agent")
def test_a_starved_agent_still_obeys_a_hold(stage: Stage, target: Target) -> None:
    lane = stage.lane

    async def starve() -> tuple[float, float]:
        since_ns = time.monotonic_ns()
        truck, green = await lane.truck_on_green()
        with busy(lane.bench.children["agent"].pid):
            await asyncio.sleep(STARVED_S)
            held_ns = time.monotonic_ns()
            gone = lane.module.seen(is_red, green["at_ns"])
            await lane.client.hold()
            red = gone[0] if gone else await lane.module.wait(is_red, "red", after_ns=held_ns)
        writes = [e["at_ns"] for e in lane.module.seen(lambda e: e["event"] == "write", green["at_ns"])]
        gap_ms = max(ms(later, before) for before, later in itertools.pairwise(writes))
        assert not [e for e in lane.module.seen(is_green, green["at_ns"] + 1) if e["at_ns"] > red["at_ns"]]
        await truck.vanish()
        await lane.client.clear_hold()
        await lane.open_lane()
        await lane.release.wait(lambda e: e["event"] == "bundle", "bundle", after_ns=since_ns)
        return max(0.0, ms(red["at_ns"], held_ns)), gap_ms

    late, gap_ms = stage.run(starve())
    limit_ms = target.limits.kill_to_red_s * 1000
    measured(f"HOLD to RED on the wire, {HOGS} busy programs on the agent's processor", [late], "ms", limit_ms)
    measured("longest pause between two writes meanwhile", [gap_ms], "ms", limit_ms)
    assert late <= limit_ms


@pytest.mark.needs("libmodbus")
@pytest.mark.capability("second_master")
def test_a_second_master_is_found_out_and_overruled(stage: Stage, target: Target) -> None:
    """Last: it leaves a latched fault."""
    lane = stage.lane

    def write() -> None:
        client = Client(int(lane.bench.at["module"]["port"]))
        client.write_bit(GREEN_POINT, True)
        client.close()

    async def meddle() -> float:
        began_ns = time.monotonic_ns()
        if "port" in lane.bench.at["module"]:
            await asyncio.to_thread(write)
        else:  # on a serial line a second one would talk into our exchanges: what it does to the module, then
            await lane.bench.controls["module"].do("foreign_write", point=GREEN_POINT, on=True)
        lit = await lane.module.wait(is_green, "the other's green", after_ns=began_ns)
        red = await lane.module.wait(is_red, "red", after_ns=lit["at_ns"])
        state = await lane.client.until(lambda state: "SIGNAL_FAULT" in codes(state), "the fault is told")
        assert state.signal.commanded == types.ASPECT_RED
        return ms(red["at_ns"], lit["at_ns"])

    late = stage.run(meddle())
    limit_ms = target.limits.conflict_to_red_ms
    measured("another client's green to RED on the wire", [late], "ms", limit_ms)
    assert late <= limit_ms + target.tolerances.scheduling_ms
