"""Everything the lane moves and says besides its signal head: barrier arm, message sign, beacon, tone."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_agent.model.actuators import ArmShown, NoticesShown
from edge_agent.passage.corridor import LaneState

from .arm import make_arm
from .notices import make_notices
from .sign import SignKeeper

if TYPE_CHECKING:
    from .agent import Agent


class LaneActuators:
    """The loops of those that this lane has. `state`: as the journal left it."""

    def __init__(self, agent: "Agent", state: LaneState) -> None:
        self._arm = make_arm(agent, state)
        self._notices = make_notices(agent)
        self._sign = SignKeeper(agent, agent.config.sign) if agent.config.sign is not None else None

    def arm(self) -> ArmShown | None:
        """The arm as last looked at; None on a lane without."""
        return self._arm.shown() if self._arm is not None else None

    def notices(self) -> NoticesShown:
        """Sign, beacon and tone as they are wanted and known to be."""
        notices = self._notices.shown() if self._notices is not None else NoticesShown()
        return notices if self._sign is None else replace(notices, sign=self._sign.shown())

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._notices is not None:
                group.create_task(self._notices.run(), name="notices")
            if self._sign is not None:
                group.create_task(self._sign.run(), name="sign")
            if self._arm is not None:
                group.create_task(self._arm.run(), name="arm")
