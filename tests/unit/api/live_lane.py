"""A lane behind real doors whose acts a real core judges: the passage loop, with nothing but wires missing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from drivers.api import Clock
from edge_agent.control.passage_loop import PassageLoop
from edge_agent.model.decision import ActKind, OfficerAct, Role
from edge_agent.model.effects import AnswerAct
from edge_agent.passage.views import view
from edge_agent.wire import lane as lane_wire
from securecorridor.lane.v1 import lane_service_pb2 as pb
from tests.unit.api.fake_lane import FakeLane, open_doors
from tests.unit.control.test_passage_loop import Rig, SlowLedger, inputs_of
from tests.unit.passage.story import Lane


class LiveLane(FakeLane):
    """The doors' lane, shown and acted on as the core has it."""

    def __init__(self, loop: PassageLoop, clock: Clock) -> None:
        super().__init__()
        self.loop = loop
        self.clock = clock

    def lane_state(self, role: Role) -> pb.LaneState:
        now = self.clock.stamp()
        shown = view(self.loop.state, now)
        lane = lane_wire.lane_message(shown, "ports/0453/lanes/07", "boot", "0", self.loop.control.left_s(now))
        lane.conveyances.extend(lane_wire.conveyance_message(each, now, "", None) for each in shown.conveyances)
        return lane

    async def act(self, act: OfficerAct) -> AnswerAct:
        answer = await self.loop.act(act)
        self.change()
        return answer

    def keep_control(self, officer: str) -> float | None:
        return self.loop.control.keep(officer)


def _one_truck(lane: Lane) -> None:
    lane.start()
    lane.arrive()
    lane.act(ActKind.GIVE_CONTROL)


@asynccontextmanager
async def live_lane(folder: Path) -> AsyncIterator[LiveLane]:
    """One truck in the lane, its order known, nobody in control; the doors are open in the folder."""
    story, inputs = inputs_of(_one_truck)
    rig = Rig(story, SlowLedger())
    rig.feed(inputs)
    running = asyncio.create_task(rig.loop.run())
    lane = LiveLane(rig.loop, rig.clock)
    try:
        async with open_doors(folder, lane):
            yield lane
    finally:
        running.cancel()
        await asyncio.wait([running])
