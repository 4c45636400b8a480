"""A lane with a reader that senses vehicles itself: one that it feels and cannot read is on the lane's record."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hil.rig.puppet import PuppetLane
from securecorridor.lane.v1 import diagnostics_service_pb2 as diagnostics_pb

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(60), pytest.mark.capability("set_inputs", "set_tags")]


async def told(lane: PuppetLane, code: str) -> Any:  # noqa: ANN401 - a TailEvent
    """The next lane event of this code, or the last one that there was."""
    request = diagnostics_pb.TailEventsRequest(backlog=50, follow=True)
    async with asyncio.timeout(8):
        async for answer in lane.client.diagnostics.TailEvents(request):
            if answer.event.code == code:
                return answer.event
    raise AssertionError("the events ended")


async def test_a_vehicle_felt_and_not_read_is_a_lane_event_of_that_vehicle(tmp_path: Path) -> None:
    async with PuppetLane(tmp_path / "run", reader="encompass") as lane:
        await lane.open_lane()
        await lane.truck(tagged=False).move_to(-56.0)
        reader = lane.bench.controls["reader"]
        await reader.do("presence", on=True)
        await reader.do("presence", on=False)
        event = await told(lane, "UNREAD_VEHICLE")
        assert dict(event.facts) == {"antenna": "rfid-1/1"}
        detected = await told(lane, "CONVEYANCE_DETECTED")
        assert event.conveyance_id == detected.conveyance_id != ""
