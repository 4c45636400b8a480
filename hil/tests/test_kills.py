"""Processes die at the worst moment: the module falls to red by itself, nothing sealed is lost, nobody rolls unseen."""

import asyncio
import os
import random
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from hil.release_service.book import dump as dump_held
from hil.rig.puppet import PuppetLane, PuppetTruck, is_green, lamp_shows
from hil.rig.target import Limits, Target
from hil.tests.stage import Stage, measured, ms, opened
from hil.tests.store_dump import acknowledged
from securecorridor.lane.v1 import types_pb2 as types

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.timeout(120),
    pytest.mark.capability("device_clock", "set_inputs", "set_tags", "script_centre"),
]

REPEATS = 3
KILLS = 6
HEADWAY_S = 4.0


@dataclass(slots=True)
class Orphan:
    """A vehicle that was in the corridor, on green, when its agent died."""

    truck: PuppetTruck
    conveyance_id: str
    killed_ns: int


async def strike(lane: PuppetLane, number: signal.Signals) -> tuple[Orphan, float]:
    """Let a truck have green, then send the agent a signal: the orphan, and how long the lamps stayed green (ms)."""
    since_ns = time.monotonic_ns()
    truck, _green = await lane.truck_on_green()
    await lane.module.wait(lamp_shows("green"), "a lit green lamp", after_ns=since_ns)
    request = await lane.release.wait(lambda e: e["event"] == "request", "request", after_ns=since_ns)
    agent = lane.bench.children["agent"]
    killed_ns = time.monotonic_ns()
    os.kill(agent.pid, number)
    red = await lane.module.wait(lamp_shows("red"), "red at the module", after_ns=killed_ns)
    return Orphan(truck, request["conveyance_id"], killed_ns), ms(red["at_ns"], killed_ns)


async def seen_and_gone(orphan: Orphan) -> None:
    """It comes as far as D, so that it has not crossed unseen while no agent looked, and is taken out of the lane."""
    await orphan.truck.move_to(-27.0)
    await orphan.truck.vanish()


async def recover(lane: PuppetLane, orphan: Orphan, limits: Limits) -> None:
    """A new agent: red verified, order unknown until an officer looks, and one bundle for whoever was inside."""
    began_ns = time.monotonic_ns()
    assert await lane.restart_agent() <= limits.restart_to_ready_s
    assert lane.bench.status["agent"] == "red verified"
    lane_now = await lane.client.get()
    assert lane_now.signal.confirmed == types.ASPECT_RED
    assert not lane_now.corridor_order_known
    assert [c.conveyance_id for c in lane_now.conveyances] == [orphan.conveyance_id]
    await seen_and_gone(orphan)
    assert not lane.module.seen(is_green, began_ns), "nobody has green before the officer has looked"
    await lane.open_lane()
    await lane.release.wait(lambda e: e["event"] == "bundle", "the orphan's bundle", after_ns=began_ns)
    sealed = [p for p in await lane.client.passages() if p.conveyance_id == orphan.conveyance_id]
    assert len(sealed) == 1
    assert "abandoned" in sealed[0].flags


@pytest.mark.capability("kill_agent", "freeze_agent")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_red_without_the_agent(stage: Stage, limits: Limits, number: signal.Signals) -> None:
    lane = stage.lane

    async def strike_and_recover() -> list[float]:
        late = []
        for _ in range(REPEATS):
            orphan, late_ms = await strike(lane, number)
            late.append(late_ms)
            await recover(lane, orphan, limits)
        return late

    late = stage.run(strike_and_recover())
    measured(f"{number.name} of the agent to RED lamp", late, "ms", limits.kill_to_red_s * 1000)
    assert max(late) <= limits.kill_to_red_s * 1000


@pytest.mark.capability("kill_agent", "freeze_agent")
def test_a_thawed_agent_gives_no_old_green(stage: Stage, limits: Limits) -> None:
    lane = stage.lane

    async def freeze_and_thaw() -> None:
        orphan, _late = await strike(lane, signal.SIGSTOP)
        thawed_ns = time.monotonic_ns()
        os.kill(lane.bench.children["agent"].pid, signal.SIGCONT)
        lane_now = await lane.client.until(
            lambda state: state.at.mono_ns > thawed_ns and state.signal.confirmed == types.ASPECT_RED,
            "red is confirmed again",
        )
        assert not lane_now.corridor_order_known
        # The release is still live at central, and the truck still upstream of the line: green all the same needs a
        # person, because edges may have been missed.
        await orphan.truck.move_to(-4.0)
        assert not lane.module.seen(is_green, thawed_ns)
        await orphan.truck.vanish()
        await lane.open_lane()

    stage.run(freeze_and_thaw())


@pytest.mark.capability("kill_agent")
def test_after_a_restart_nobody_rolls_until_the_officer_has_looked(stage: Stage, limits: Limits) -> None:
    lane = stage.lane

    async def come_too_early() -> None:
        orphan, _late = await strike(lane, signal.SIGKILL)
        began_ns = time.monotonic_ns()
        await lane.restart_agent()
        await seen_and_gone(orphan)
        await lane.client.until(lambda state: state.centre_up, "the release service answers")
        early = lane.truck()
        await early.move_to(-4.0)
        state = await lane.client.get()
        assert "ORDER_UNKNOWN" in {cause.code for cause in state.red_causes}
        assert not lane.module.seen(is_green, began_ns)
        await early.vanish()
        await lane.open_lane()
        truck, _green = await lane.truck_on_green()
        await truck.vanish()
        await lane.open_lane()

    stage.run(come_too_early())


@pytest.mark.capability("kill_agent")
def test_kills_at_random_moments_lose_nothing(stage: Stage) -> None:
    lane = stage.lane
    chance = random.Random(7)

    async def traffic(trucks: list[PuppetTruck], enough: asyncio.Event) -> None:
        """Trucks keep coming, whoever controls the lane."""
        async with asyncio.TaskGroup() as group:
            while not enough.is_set():
                truck = lane.truck()
                trucks.append(truck)
                group.create_task(truck.leave())
                await asyncio.sleep(HEADWAY_S)

    async def kill_often() -> tuple[int, int]:
        trucks: list[PuppetTruck] = []
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(traffic(trucks, enough))
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.2, 4.0))
                lane.bench.children["agent"].kill()
                await lane.restart_agent()
            enough.set()
        # Whoever was not seen over X stays open beyond the line, until it is given up after a long time.
        await lane.open_lane()
        await lane.outbox_empty()
        state = await lane.client.get()
        return len(trucks), len(state.conveyances)

    trucks, still_open = stage.run(kill_often())
    acks = acknowledged(lane.bench.store_dir)
    have = [line.split() for line in dump_held(lane.bench.dir / "central")]
    assert len(acks) + still_open >= trucks, "every passage is kept"
    assert len(set(acks)) == len(acks), "each once"
    assert [line[1] for line in have] == acks, "all of them, in order"
    assert [int(line[4]) for line in have] == list(range(1, len(have) + 1)), "no gap"
    stats = stage.run(lane.bench.controls["release"].do("stats"))
    assert stats["chain_ok"]


@pytest.mark.capability("kill_centre")
def test_the_release_service_is_killed_during_a_passage(stage: Stage) -> None:
    lane = stage.lane

    async def lose_the_centre() -> None:
        truck, _green = await lane.truck_on_green()
        killed_ns = time.monotonic_ns()
        lane.bench.children["release"].kill()
        await lane.bench.children["release"].process.wait()
        await lane.module.wait(lamp_shows("red"), "red without a line to central", after_ns=killed_ns)
        await truck.vanish()
        await lane.restart_release_service()
        await lane.open_lane()
        again_ns = time.monotonic_ns()
        truck, _green = await lane.truck_on_green()
        await truck.leave()
        await lane.release.wait(lambda e: e["event"] == "bundle", "bundle", after_ns=again_ns)
        await lane.outbox_empty()

    stage.run(lose_the_centre())
    have = [line.split()[1] for line in dump_held(lane.bench.dir / "central")]
    assert have == acknowledged(lane.bench.store_dir)


@pytest.mark.capability("kill_agent")
def test_told_to_end_it_leaves_red_and_nothing_else(tmp_path: Path, limits: Limits, target: Target) -> None:
    with opened(tmp_path, **target.bench_options()) as stage:
        lane = stage.lane

        async def end_on_green() -> float:
            await lane.open_lane()
            since_ns = time.monotonic_ns()
            await lane.truck_on_green()
            await lane.module.wait(lamp_shows("green"), "a lit green lamp", after_ns=since_ns)
            agent = lane.bench.children["agent"]
            told_ns = time.monotonic_ns()
            code = await agent.end()
            ended_ns = time.monotonic_ns()
            assert code == 0, agent.log_end()
            red = await lane.module.wait(lamp_shows("red"), "red", after_ns=told_ns)
            assert red["at_ns"] < ended_ns, "red is verified before the process ends"
            assert not lane.module.seen(lambda e: e["event"] == "watchdog_tripped", told_ns)
            with pytest.raises(ProcessLookupError):
                os.killpg(agent.pid, 0)
            return (ended_ns - told_ns) / 1e9

        took = stage.run(end_on_green())
        measured("SIGTERM on green to exit with red verified", [took], "s", limits.term_s)
        assert took <= limits.term_s
        assert list(lane.bench.socket_dir.glob("*")) == []
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", lane.bench.metrics_port)) != 0
        children = {child.pid for child in lane.bench.children.values()}
    for pid in children:
        with pytest.raises(ProcessLookupError):
            os.killpg(pid, 0)
    left = sorted(path.name for path in tmp_path.iterdir() if path.is_socket() or path.is_symlink())
    assert left == []
