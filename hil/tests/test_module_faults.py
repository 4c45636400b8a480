"""Faults of the head and of the link to its module, on the module's own clock: over TCP, and on a serial line."""

import os
import signal
import time

import pytest

from hil.rig.lane_client import codes
from hil.rig.puppet import PuppetLane, PuppetTruck, is_green, is_red, lamp_shows
from hil.rig.target import Target
from hil.tests.stage import Stage, measured, ms, opened
from securecorridor.lane.v1 import types_pb2 as types

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.timeout(120),
    pytest.mark.capability("device_clock", "set_inputs", "set_tags", "script_centre"),
]

TARGETS = ("virtual", "virtual-rtu")


async def lit_green(lane: PuppetLane) -> PuppetTruck:
    """A truck has its green, and the lamp shows it."""
    since_ns = time.monotonic_ns()
    truck, _green = await lane.truck_on_green()
    await lane.module.wait(lamp_shows("green"), "a lit green lamp", after_ns=since_ns)
    return truck


def held_to(name: str, late_ms: float, limit_ms: float, target: Target) -> None:
    measured(f"{name} ({target.name})", [late_ms], "ms", limit_ms)
    assert 0 < late_ms <= limit_ms + target.tolerances.scheduling_ms


async def ends_in_red(lane: PuppetLane, verb: str, shown: str, **fields: str) -> float:
    """Cause a fault while green is shown: milliseconds from the lamps' deviation to the green output off."""
    began_ns = time.monotonic_ns()
    await lane.bench.controls["module"].do(verb, **fields)
    deviates = await lane.module.wait(lamp_shows(shown), f"lamps {shown}", after_ns=began_ns)
    red = await lane.module.wait(is_red, "red", after_ns=began_ns)
    return ms(red["at_ns"], deviates["at_ns"])


@pytest.mark.capability("lamp_faults")
def test_a_lamp_that_does_not_follow(tmp_path_factory: pytest.TempPathFactory, target: Target) -> None:
    with opened(tmp_path_factory.mktemp("lamp"), **target.bench_options()) as stage:
        lane = stage.lane

        async def lose_the_lamp() -> float:
            await lane.open_lane()
            await lit_green(lane)
            late = await ends_in_red(lane, "lamp_out", "dark", lamp="green")
            state = await lane.client.until(lambda state: "SIGNAL_FAULT" in codes(state), "the fault is told")
            assert state.signal.commanded == types.ASPECT_RED
            return late

        late = stage.run(lose_the_lamp())
        held_to("readback fault to RED on the wire", late, target.limits.readback_fault_to_red_ms, target)


@pytest.mark.capability("lamp_faults")
def test_red_and_green_together(tmp_path_factory: pytest.TempPathFactory, target: Target) -> None:
    with opened(tmp_path_factory.mktemp("conflict"), **target.bench_options()) as stage:
        lane = stage.lane

        async def short_the_red() -> float:
            await lane.open_lane()
            await lit_green(lane)
            return await ends_in_red(lane, "red_bypass", "conflict")

        late = stage.run(short_the_red())
        held_to("red and green together to RED on the wire", late, target.limits.conflict_to_red_ms, target)


@pytest.mark.capability("cut_link", "mute_device")
def test_recovery_after_the_link_is_back(stage: Stage, target: Target) -> None:
    """Unplugged or not to be reached, then silent: each time until the module is red by itself and the lane knows."""
    lane = stage.lane
    away = ("unplug", "replug") if target.devices["io-1"].baud else ("refuse", "clear")

    async def go_and_come(causes: tuple[tuple[str, dict[str, str]], ...], end: str) -> float:
        module, truck = lane.bench.controls["module"], await lit_green(lane)
        gone_ns = time.monotonic_ns()
        for verb, fields in causes:
            await module.do(verb, **fields)
        red = await lane.module.wait(lamp_shows("red"), "red by the module itself", after_ns=gone_ns)
        assert ms(red["at_ns"], gone_ns) <= target.limits.kill_to_red_s * 1000
        await lane.client.until(lambda state: state.signal.confirmed != types.ASPECT_RED, "nothing is confirmed")
        back_ns = time.monotonic_ns()
        await module.do(end)
        state = await lane.client.until(lambda state: state.signal.confirmed == types.ASPECT_RED, "red is confirmed")
        assert not lane.module.seen(is_green, red["at_ns"]), "an old green is not replayed"
        await truck.vanish()
        await lane.open_lane()
        return ms(state.at.mono_ns, back_ns) / 1000

    async def each() -> list[float]:
        cut: tuple[tuple[str, dict[str, str]], ...] = ((away[0], {}), ("reset", {}))
        return [await go_and_come(cut, away[1]), await go_and_come((("fault", {"fault": "mute"}),), "clear")]

    took = stage.run(each())
    limit_s = target.limits.recovery_s
    measured(f"link back to RED verified ({target.name})", took, "s", limit_s)
    assert max(took) <= limit_s


@pytest.mark.capability("kill_agent")
def test_a_killed_agent_leaves_red(stage: Stage, target: Target) -> None:
    lane = stage.lane

    async def kill_on_green() -> float:
        await lit_green(lane)
        killed_ns = time.monotonic_ns()
        os.kill(lane.bench.children["agent"].pid, signal.SIGKILL)
        red = await lane.module.wait(lamp_shows("red"), "red at the module", after_ns=killed_ns)
        return ms(red["at_ns"], killed_ns)

    late = stage.run(kill_on_green())
    limit_ms = target.limits.kill_to_red_s * 1000
    measured(f"SIGKILL of the agent to RED lamp ({target.name})", [late], "ms", limit_ms)
    assert late <= limit_ms
