"""What the agent hears of the views: always how they are, whatever changes while it is told."""

import asyncio

from edge_agent.media.report import ViewReporter
from edge_agent.runtime.clock import SystemClock


async def test_a_view_that_changes_while_another_is_reported_is_reported_again() -> None:
    reporter = ViewReporter("unix:/nowhere", SystemClock())
    for view in ("front", "rear"):
        reporter.tell(view, True, 0.1)
    told: list[tuple[str, bool]] = []
    async with asyncio.timeout(1):
        async for request in reporter._reports():
            told.append((request.view.view, request.view.live))
            if told == [("front", True)]:
                reporter.tell("front", False, 3.0)
            if len(told) == 3:
                break
    assert told == [("front", True), ("rear", True), ("front", False)]
