"""The message sign with a controller of its own, kept by the agent: real driver, virtual sign, real time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drivers.api import Grade
from edge_agent.config.schema import SignSection
from edge_agent.control.devices import DeviceTable
from edge_agent.control.sign import SignKeeper
from edge_agent.model.actuators import SignText
from edge_agent.model.lane import LaneMode
from edge_agent.runtime.health import HealthBoard
from hil.devices.ntcip_sign import Sign, open_sign
from tests.unit.control.test_notices import GREEN, RED, lane
from tests.unit.modbus.lane_io_bench import RealClock
from tests.unit.modbus.scripted import until

pytestmark = pytest.mark.real_time


class Kept:
    """A keeper, its sign, and the lane it looks at."""

    def __init__(self, folder: Path, port: int, sign: Sign) -> None:
        self.sign = sign
        self.signal = RED
        self.board = HealthBoard()
        self.devices = DeviceTable(self.board, lambda *_: None)
        self.passage = SimpleNamespace(state=lane())
        agent = SimpleNamespace(
            clock=RealClock(),
            devices=self.devices,
            board=self.board,
            passage=self.passage,
            signal=SimpleNamespace(state=lambda: self.signal),
            backend=SimpleNamespace(changed=lambda: None),
        )
        key = folder / "sign.key"
        key.write_text("lane\n")
        section = SignSection(host="127.0.0.1", port=port, profile="ntcip_1203", timeout_ms=100, community_file=key)
        self.keeper = SignKeeper(cast(Any, agent), section)

    async def shows(self, text: SignText | None) -> None:
        await until(lambda: self.keeper.shown().shown is text)

    def codes(self) -> set[str]:
        return {condition.code for condition in self.board.raised()}


@asynccontextmanager
async def kept(folder: Path) -> AsyncIterator[Kept]:
    sign = Sign(lambda *_, **__: None, 60.0)
    transport, port = await open_sign(sign)
    found = Kept(folder, port, sign)
    task = asyncio.ensure_future(found.keeper.run())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        sign.close()
        transport.close()
        await asyncio.sleep(0)


async def test_it_says_what_the_lane_allows_and_never_more_than_the_light(tmp_path: Path) -> None:
    async with kept(tmp_path) as k:
        await k.shows(SignText.STOP)
        assert k.keeper.shown().grade is Grade.CONTACT
        k.signal = GREEN
        await k.shows(SignText.BLANK)
        assert k.sign.report()["multi"] == "", "durations are counted in minutes: it may not say PROCEED"
        k.signal = RED
        await k.shows(SignText.STOP)
        k.passage.state = replace(lane(), mode=LaneMode.CLOSED, wanted_mode=LaneMode.CLOSED)
        await k.shows(SignText.CLOSED)
        assert "VOIE FERMÉE" in k.sign.report()["multi"]


async def test_a_sign_that_says_something_else_is_told_and_told_again(tmp_path: Path) -> None:
    async with kept(tmp_path) as k:
        await k.shows(SignText.STOP)
        assert k.codes() == set()
        k.sign._show = lambda *_: None  # type: ignore[method-assign]  # it takes every message and shows the old one
        k.passage.state = replace(lane(), mode=LaneMode.CLOSED, wanted_mode=LaneMode.CLOSED)
        await until(lambda: "SIGN_NOT_AS_TOLD" in k.codes())
        assert (k.keeper.shown().wanted, k.keeper.shown().shown) == (SignText.CLOSED, SignText.STOP)
        del k.sign._show
        await k.shows(SignText.CLOSED)
        assert k.codes() == set()


async def test_a_sign_with_errors_or_without_an_answer_confirms_nothing(tmp_path: Path) -> None:
    async with kept(tmp_path) as k:
        await k.shows(SignText.STOP)
        k.sign.errors(1 << 5)
        await until(lambda: "SIGN_ERRORS" in k.codes())
        assert (k.keeper.shown().shown, k.keeper.shown().grade) == (None, Grade.NONE)
        k.sign.errors(0)
        await k.shows(SignText.STOP)
        assert k.codes() == set()
        k.sign.mute = True
        await until(lambda: "SIGN_TIMEOUT" in k.codes())
        assert k.keeper.shown().shown is None
        k.sign.mute = False
        await k.shows(SignText.STOP)
        await until(lambda: k.codes() == set())
