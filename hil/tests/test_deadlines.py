"""The lane's deadlines, from the devices' own events: CLOCK_MONOTONIC of this machine, wires and lamps, not claims."""

import itertools
import statistics
import time
from dataclasses import dataclass

import pytest

from hil.rig.lane_client import codes
from hil.rig.puppet import PuppetLane, is_green, is_red
from hil.rig.recorder import Event, Match
from hil.rig.target import Limits, Target
from hil.rig.world_driver import INPUT_BITS
from hil.tests.stage import Stage, measured, ms, resident_mb
from securecorridor.lane.v1 import types_pb2 as types
from securecorridor.release.v1 import record_pb2

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.timeout(120),
    pytest.mark.capability("device_clock", "set_inputs", "set_tags", "script_centre"),
]

TARGETS = ("virtual", "virtual-rtu")
TRUCKS = 4
HOLDS = 10
STARTS = 3


@dataclass(frozen=True, slots=True)
class Passage:
    """One truck's way through the lane, as the devices and the release service saw it."""

    requested: Event
    decided: Event
    green: Event
    nose: Event
    red: Event
    exited: Event
    delivered: Event
    bundle: record_pb2.Bundle


def felt(zone: str, *, on: bool) -> Match:
    """A match for an edge at a zone's input."""
    return lambda event: event["event"] == "input" and event["bit"] == INPUT_BITS[zone] and event["on"] is on


async def pass_through(lane: PuppetLane) -> Passage:
    """A truck rolls through on its green."""
    since = time.monotonic_ns()
    truck, green = await lane.truck_on_green()
    await truck.leave()
    heard, felt_by = lane.release.wait, lane.module.wait
    requested = await heard(lambda e: e["event"] == "request", "request", after_ns=since)
    mine = requested["conveyance_id"]
    decided = await heard(lambda e: e["event"] == "decision" and e["conveyance_id"] == mine, "decision", after_ns=since)
    nose = await felt_by(felt("stop_line_beam", on=True), "nose over the line", after_ns=green["at_ns"])
    red = await felt_by(is_red, "red", after_ns=green["at_ns"])
    exited = await felt_by(felt("zone_x", on=False), "tail over X", after_ns=green["at_ns"])
    delivered = await heard(lambda e: e["event"] == "bundle", "bundle", after_ns=exited["at_ns"])
    bundle = await lane.client.bundle(delivered["bundle_id"])
    assert bundle.conveyance_id == mine
    return Passage(requested, decided, green, nose, red, exited, delivered, bundle)


@pytest.fixture(scope="module")
def passages(stage: Stage) -> list[Passage]:
    """Several trucks, one after the other."""

    async def all_of_them() -> list[Passage]:
        return [await pass_through(stage.lane) for _ in range(TRUCKS)]

    return stage.run(all_of_them())


def hold_to(name: str, samples: list[float], limit_ms: float, target: Target) -> None:
    """The median keeps the limit; a single sample may be late by what the bench itself adds."""
    measured(f"{name} ({target.name})", samples, "ms", limit_ms)
    assert min(samples) > 0, "an effect before its cause"
    assert statistics.median(samples) <= limit_ms
    assert max(samples) <= limit_ms + target.tolerances.scheduling_ms


def test_decision_to_green_on_the_wire(passages: list[Passage], limits: Limits, target: Target) -> None:
    late = [ms(p.green["at_ns"], p.decided["at_ns"]) for p in passages]
    hold_to("decision to GREEN on the wire", late, limits.decision_to_green_wire_ms, target)


def test_decision_to_green_confirmed(passages: list[Passage], limits: Limits, target: Target) -> None:
    late = [ms(p.bundle.key_times.green_confirmed.mono_ns, p.decided["at_ns"]) for p in passages]
    hold_to("decision to GREEN confirmed", late, limits.decision_to_green_confirmed_ms, target)


def test_nose_over_the_line_to_red(passages: list[Passage], limits: Limits, target: Target) -> None:
    late = [ms(p.red["at_ns"], p.nose["at_ns"]) for p in passages]
    hold_to("nose over the line to RED on the wire", late, limits.nose_to_red_ms, target)


def test_identity_complete_to_request(passages: list[Passage], limits: Limits, target: Target) -> None:
    late = [ms(p.requested["at_ns"], p.bundle.key_times.identity_complete.mono_ns) for p in passages]
    hold_to("identity complete to request at the release service", late, limits.identity_to_request_ms, target)


def test_sealed_and_durable_after_the_tail(passages: list[Passage], limits: Limits, target: Target) -> None:
    # What central holds durably the lane has sealed and stored before.
    late = [ms(p.delivered["at_ns"], p.exited["at_ns"]) for p in passages]
    hold_to("tail over X to bundle durable at central", late, limits.sealed_s * 1000, target)
    assert {p.delivered["outcome"] for p in passages} == {"released_rolling"}


def test_hold_to_red(stage: Stage, limits: Limits, target: Target) -> None:
    lane = stage.lane

    async def hold_and_let_go() -> list[float]:
        truck, green = await lane.truck_on_green()
        await truck.move_to(-2.0)
        late = []
        for _ in range(HOLDS):
            sent_ns = time.monotonic_ns()
            await lane.client.hold()
            red = await lane.module.wait(is_red, "red", after_ns=sent_ns)
            late.append(ms(red["at_ns"], sent_ns))
            assert "HOLD_LANE" in codes(await lane.client.get())
            await lane.client.clear_hold()
            green = await lane.module.wait(is_green, "green again", after_ns=red["at_ns"], timeout_s=10)
        await truck.leave()
        await lane.release.wait(lambda e: e["event"] == "bundle", "bundle", after_ns=green["at_ns"])
        return late

    late = stage.run(hold_and_let_go())
    limit = limits.hold_to_red_ms + limits.transaction_ms
    hold_to("officer's HOLD to RED on the wire", late, limit, target)


def test_the_control_cycle_keeps_its_pace(passages: list[Passage], stage: Stage, target: Target) -> None:
    """Every completed cycle writes: the longest pause between two writes, against the module's watchdog."""
    span = (passages[0].requested["at_ns"], passages[-1].exited["at_ns"])
    writes = [e["at_ns"] for e in stage.lane.module.seen(lambda e: e["event"] == "write") if span[0] <= e["at_ns"]]
    gaps = [ms(later, before) for before, later in itertools.pairwise(writes) if later <= span[1]]
    limit_ms = target.limits.watchdog_ms
    measured(f"between two writes of the control cycle ({target.name})", gaps, "ms", limit_ms)
    assert max(gaps) < limit_ms


def test_memory_of_the_control_process(passages: list[Passage], stage: Stage, target: Target) -> None:
    used = resident_mb(stage.lane.bench.children["agent"].pid)
    limit_mb = target.limits.rss_mb
    measured(f"resident memory after {len(passages)} passages ({target.name})", [used], "MB", limit_mb)
    assert used <= limit_mb


@pytest.mark.capability("kill_agent")
def test_start_up(stage: Stage, target: Target) -> None:
    lane = stage.lane

    async def start_again() -> list[float]:
        took = []
        for _ in range(STARTS):
            assert await lane.bench.children["agent"].end() == 0
            began_ns = time.monotonic_ns()
            took.append(await lane.restart_agent())
            assert lane.bench.status["agent"] == "red verified"
            assert (await lane.client.get()).signal.confirmed == types.ASPECT_RED
            written = lane.module.seen(lambda e: e["event"] == "write" and e["origin"] == "client", began_ns)
            assert written, "red was written before READY"
            assert not lane.module.seen(is_green, began_ns)
        return took

    took = stage.run(start_again())
    limit_s = target.limits.ready_s
    measured(f"start of the process to READY with red verified ({target.name})", took, "s", limit_s)
    assert statistics.median(took) <= limit_s
