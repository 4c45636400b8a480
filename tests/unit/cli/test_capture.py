"""`lanectl capture` and mode maintenance through the doors."""

from pathlib import Path

import pytest

from edge_agent.model.decision import ActKind
from edge_agent.wire import types as wire
from securecorridor.lane.v1 import capture_service_pb2 as pb
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb
from tests.unit.api.fake_lane import NOW, FakeLane

from .running import Ctl, lanectl

NAME = "0190e1c2-5a70-7000-8000-0000000000ca"


def captured(lane: FakeLane, *, running: bool) -> pb.Capture:
    """A capture at the lane."""
    each = pb.Capture(
        capture=NAME, device="rfid-1", kind="mercury", bytes=4096, running=running, path=f"/var/lib/{NAME}.lanecap",
        key_id="x25519-00", started=wire.moment(NOW),
    )  # fmt: skip
    each.left.FromSeconds(90)
    lane.captures_now = [each]
    return each


@pytest.mark.real_time
async def test_start_asks_for_what_was_typed(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        ran = await ctl("capture", "start", "rfid-1", "--minutes", "2.5", "--reason", "no reads")
        assert (ran.code, ran.err) == (0, "")
        ran = await ctl("capture", "start", "nowhere-1", "--reason", "no reads")
        assert (ran.code, "[DEVICE_NOT_FOUND]" in ran.err) == (6, True)
        assert (await ctl("capture", "list")).out == "no capture at the lane\n"
        (act,) = ctl.lane.acts
        assert (act.kind, act.device, act.duration_s, act.reason, act.officer, act.role) == (
            ActKind.START_CAPTURE, "rfid-1", 150.0, "no reads", "bso-4711", "technician",
        )  # fmt: skip


@pytest.mark.real_time
async def test_list_stop_and_delete_by_device_or_beginning(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        captured(ctl.lane, running=True)
        listed = await ctl("capture", "list")
        assert "runs, 1 min 30 s left" in listed.out
        assert "x25519-00" in listed.out
        assert (await ctl("capture", "list", "--json")).json["captures"][0]["capture"] == NAME
        assert (await ctl("capture", "stop", "--reason", "done")).code == 0
        captured(ctl.lane, running=False)
        ran = await ctl("capture", "stop", "--reason", "done")
        assert (ran.code, "no capture is running" in ran.err) == (6, True)
        for too_little in ("", NAME[:5]):
            assert (await ctl("capture", "delete", too_little, "--reason", "done", "--yes")).code == 6
        assert (await ctl("capture", "delete", NAME[:30], "--reason", "done")).code == 2
        assert (await ctl("capture", "delete", NAME[:30], "--reason", "done", "--yes")).code == 0
        assert [(act.kind, act.capture) for act in ctl.lane.acts] == [
            (ActKind.STOP_CAPTURE, NAME), (ActKind.DELETE_CAPTURE, NAME),
        ]  # fmt: skip


@pytest.mark.real_time
async def test_maintenance_is_asked_for_with_its_length_and_shown_with_what_is_left(tmp_path: Path) -> None:
    async with lanectl(tmp_path) as ctl:
        await _maintain(ctl)
        work = lane_pb.Maintenance(officer="tech-1", reason="new antenna", captured_devices=["rfid-1"])
        work.since.CopyFrom(wire.moment(NOW))
        work.left.FromSeconds(600)
        ctl.lane.work = work
        shown = (await ctl("status")).out
        assert "maintenance by tech-1" in shown
        assert "10 min 0 s left: new antenna; captured: rfid-1" in shown


async def _maintain(ctl: Ctl) -> None:
    door = ("--door", "technician")
    ran = await ctl(*door, "mode", "maintenance", "--minutes", "20", "--reason", "new antenna", "--yes")
    assert (ran.code, ran.err) == (0, "")
    (act,) = ctl.lane.acts
    assert (act.mode, act.duration_s) == ("maintenance", 1200.0)
    ran = await ctl("mode", "remote", "--minutes", "20", "--reason", "wrong", "--yes")
    assert ran.code == 2
    assert "duration: is for MAINTENANCE only" in ran.err
