"""Whoever gave green must be able to take it back: without the release service no green lasts, and nothing is lost."""

import os
import signal
import time

import pytest

from hil.release_service.book import dump as dump_held
from hil.rig.puppet import is_green, is_red
from hil.rig.target import Limits, Target
from hil.tests.stage import Stage, measured, ms
from hil.tests.store_dump import acknowledged

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.timeout(90),
    pytest.mark.capability("device_clock", "set_inputs", "set_tags", "script_centre"),
]

QUEUED = 2


@pytest.mark.capability("freeze_centre")
def test_a_frozen_centre_ends_green_and_a_thawed_one_brings_the_lane_back(
    stage: Stage, limits: Limits, target: Target
) -> None:
    lane = stage.lane

    async def freeze_and_thaw() -> float:
        truck, _green = await lane.truck_on_green()
        centre = lane.bench.children["release"].pid
        frozen_ns = time.monotonic_ns()
        os.kill(centre, signal.SIGSTOP)
        try:
            red = await lane.module.wait(is_red, "red", after_ns=frozen_ns)
            await lane.client.until(lambda state: not state.centre_up, "the link is told to be down")
            await truck.vanish()
        finally:
            os.kill(centre, signal.SIGCONT)
        await lane.open_lane()
        again, green = await lane.truck_on_green()
        assert not lane.module.seen(lambda e: is_green(e) and red["at_ns"] < e["at_ns"] < green["at_ns"])
        await again.vanish()
        await lane.open_lane()
        return ms(red["at_ns"], frozen_ns)

    late = stage.run(freeze_and_thaw())
    bound = (limits.heartbeat_loss_s + limits.heartbeat_period_s) * 1000
    measured("release service frozen to RED on the wire", [late], "ms", bound)
    assert late <= bound + target.tolerances.scheduling_ms


@pytest.mark.capability("freeze_centre")
def test_what_was_sealed_during_an_outage_is_delivered_in_order(stage: Stage) -> None:
    lane = stage.lane

    async def outage() -> int:
        await lane.outbox_empty()
        before = len(list(dump_held(lane.bench.dir / "central")))
        centre = lane.bench.children["release"].pid
        os.kill(centre, signal.SIGSTOP)
        try:
            await lane.client.until(lambda state: not state.centre_up, "the link is told to be down")
            for _ in range(QUEUED):
                truck = lane.truck()
                await truck.move_to(-45.0)
                await truck.vanish()
                await lane.client.confirm_order()
            sealed = [p for p in await lane.client.passages() if not p.delivered]
            assert len(sealed) == QUEUED
        finally:
            os.kill(centre, signal.SIGCONT)
        await lane.client.until(lambda state: state.centre_up, "the release service answers again")
        await lane.outbox_empty()
        return before

    before = stage.run(outage())
    have = [line.split() for line in dump_held(lane.bench.dir / "central")]
    assert len(have) == before + QUEUED
    assert [line[1] for line in have] == acknowledged(lane.bench.store_dir)
    assert [int(line[4]) for line in have] == list(range(1, len(have) + 1))
