"""The agent is told to end, twice."""

import asyncio
import os
import signal
from typing import Any, cast

import pytest

from edge_agent.control import agent


@pytest.mark.real_time
async def test_a_second_signal_does_not_break_off_the_last_red(monkeypatch: pytest.MonkeyPatch) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def serve(*_: object) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)  # the last red, verified
            ended.set()

    monkeypatch.setattr(agent, "serve", serve)
    task = asyncio.create_task(agent._until_signalled(cast("Any", None)))
    await began.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait([task])
    assert task.cancelled()
    assert ended.is_set()
