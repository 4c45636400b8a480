"""The head and its module as a technician meets them: kill test, signal test after a fault, a swapped module."""

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from hil.rig.lane_client import OFFICER, codes
from hil.rig.puppet import is_green, lamp_shows
from hil.tests.stage import Stage, measured, opened
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.timeout(120),
    pytest.mark.capability("device_clock", "set_inputs", "set_tags", "script_centre", "lamp_faults", "reconfigure"),
]
WATCHDOG_MS = 600
LONGEST_MS = 2_000


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A lane whose module is taken for a real one: it has to be commissioned."""
    settings = {"watchdog_ms": WATCHDOG_MS, "feedback_grade": "lamp"}
    folder = tmp_path_factory.mktemp("lane")
    with opened(folder, module_settings=settings, overrides={"signal": {"hardware": "real"}}) as stage:
        stage.run(stage.lane.open_lane())
        yield stage


async def _act(stage: Stage, method: str, kind: Any, **more: Any) -> Any:  # noqa: ANN401 - a message of the contract
    request = kind(request_id=str(uuid.uuid4()), officer=OFFICER, reason="a test", **more)
    return await getattr(stage.lane.client.lane, method)(request, timeout=25)


async def _mode(stage: Stage, mode: types.LaneMode.ValueType) -> None:
    await stage.lane.client.take_control()
    await _act(stage, "SetLaneMode", pb.SetLaneModeRequest, mode=mode)


def test_a_module_without_a_kill_test_does_not_roll(stage: Stage) -> None:
    async def refused() -> None:
        state = await stage.lane.client.until(lambda s: "HEAD_NOT_COMMISSIONED" in codes(s), "it says why")
        assert state.mode != types.LANE_MODE_REMOTE
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await _mode(stage, types.LANE_MODE_REMOTE)
        assert "no kill test of io-1 is on record" in (told.value.details() or "")

    stage.run(refused())


def test_the_kill_test_measures_what_the_module_does_and_opens_the_way_to_remote(stage: Stage) -> None:
    async def commissioned() -> None:
        await _mode(stage, types.LANE_MODE_CLOSED)
        began_ns = time.monotonic_ns()
        answer = await _act(stage, "CommissionHead", pb.CommissionHeadRequest, lane_empty=True)
        assert (answer.passed, answer.why) == (True, ""), answer
        module = stage.lane.module
        tripped = await module.wait(lambda e: e["event"] == "watchdog_tripped", "the trip", after_ns=began_ns)
        red = await module.wait(lamp_shows("red"), "red lit", after_ns=tripped["at_ns"])
        writes = [e for e in module.events if e["event"] == "write" and began_ns < e["at_ns"] < tripped["at_ns"]]
        last_feed_ns = max(e["at_ns"] for e in writes if e["function"] == 15)
        on_the_device_ms = (red["at_ns"] - last_feed_ns) / 1e6
        told_ms = answer.red_after.ToMilliseconds()
        measured("kill test, last write to red, on the device", [on_the_device_ms], "ms", LONGEST_MS)
        measured("kill test, the same as told by the agent", [told_ms], "ms", LONGEST_MS)
        assert WATCHDOG_MS <= told_ms <= LONGEST_MS
        assert abs(told_ms - on_the_device_ms) <= 250
        record = json.loads((stage.lane.bench.store_dir / "commissioning.json").read_text())
        assert (record["red_ms"], record["by"], record["serial"]) == (told_ms, OFFICER, "00:30:de:00:00:01")
        await stage.lane.client.until(lambda s: "REQUIRED_DEVICE_DOWN" not in codes(s), "the module is back")
        await _mode(stage, types.LANE_MODE_REMOTE)
        await stage.lane.client.until(lambda s: s.mode == types.LANE_MODE_REMOTE, "remote")

    stage.run(commissioned())


def test_a_fault_is_cleared_after_a_signal_test_in_the_closed_lane(stage: Stage) -> None:
    async def cleared() -> None:
        lane = stage.lane
        module = lane.bench.controls["module"]
        await module.do("lamp_out", lamp="red")
        await lane.client.until(lambda s: s.signal.fault == "SIGNAL_DARK", "the fault latches")
        await _mode(stage, types.LANE_MODE_CLOSED)
        failed = await _act(stage, "TestSignal", pb.TestSignalRequest, lane_empty=True)
        assert (failed.passed, failed.steps[0].aspect, failed.steps[0].shown) == (
            False, types.ASPECT_RED, types.ASPECT_DARK,
        )  # fmt: skip
        with pytest.raises(grpc.aio.AioRpcError, match="no signal test was passed since SIGNAL_DARK"):
            await _act(stage, "ClearSignalFault", pb.ClearSignalFaultRequest)
        await module.do("clear")
        began_ns = time.monotonic_ns()
        passed = await _act(stage, "TestSignal", pb.TestSignalRequest, lane_empty=True)
        assert [(s.aspect, s.passed, s.grade) for s in passed.steps] == [
            (aspect, True, types.GRADE_LAMP) for aspect in (types.ASPECT_RED, types.ASPECT_GREEN, types.ASPECT_RED)
        ]
        assert lane.module.seen(is_green, began_ns)
        await _act(stage, "ClearSignalFault", pb.ClearSignalFaultRequest)
        state = await lane.client.until(lambda s: not s.signal.fault, "no fault")
        assert state.mode == types.LANE_MODE_CLOSED

    stage.run(cleared())


def test_a_vehicle_that_comes_during_the_test_sees_red(stage: Stage) -> None:
    async def seen() -> None:
        lane = stage.lane
        await _mode(stage, types.LANE_MODE_CLOSED)
        began_ns = time.monotonic_ns()
        call = _act(stage, "TestSignal", pb.TestSignalRequest, lane_empty=True)
        test = asyncio.ensure_future(call)
        await lane.module.wait(is_green, "the test's green", after_ns=began_ns)
        in_zone = await lane.bench.controls["module"].do("set_inputs", bits={"0": True})
        assert in_zone is not None
        entered_ns = time.monotonic_ns()
        red = await lane.module.wait(lamp_shows("red"), "red lit", after_ns=entered_ns)
        measured("vehicle over A during a signal test to red lit", [(red["at_ns"] - entered_ns) / 1e6], "ms", 200)
        assert (red["at_ns"] - entered_ns) / 1e6 <= 200
        answer = await test
        assert (answer.passed, answer.steps[1].why) in ((False, "lane_not_empty"), (False, "mode"))
        await lane.bench.controls["module"].do("set_inputs", bits={"0": False})

    stage.run(seen())


def test_another_module_in_its_place_is_refused_and_must_be_commissioned(stage: Stage) -> None:
    async def swapped() -> None:
        lane = stage.lane
        await lane.bench.controls["module"].do("swap", mac="0030de0000ff")
        began_ns = time.monotonic_ns()
        await lane.client.until(lambda s: "MODULE_CHANGED" in codes(s), "it is refused")
        assert not lane.module.seen(lambda e: e["event"] == "write", began_ns)
        await lane.restart_agent()
        await lane.client.until(lambda s: "HEAD_NOT_COMMISSIONED" in codes(s), "it is not the one on record")
        conditions = (await lane.client.get()).conditions
        told = next(c.title for c in conditions if c.code == "HEAD_NOT_COMMISSIONED")
        assert "of another module or firmware" in told

    stage.run(swapped())


def test_a_record_edited_by_hand_counts_for_nothing(stage: Stage) -> None:
    path: Path = stage.lane.bench.store_dir / "commissioning.json"
    path.write_text(path.read_text().replace('"red_ms": ', '"red_ms": 1'))

    async def edited() -> None:
        await stage.lane.restart_agent()
        state = await stage.lane.client.until(lambda s: "HEAD_NOT_COMMISSIONED" in codes(s), "it is noticed")
        assert "not as it was written" in next(c.title for c in state.conditions if c.code == "HEAD_NOT_COMMISSIONED")

    stage.run(edited())
