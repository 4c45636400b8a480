"""Two officers at two pages in front of one lane, whose acts the agent's own core judges."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types
from tests.browser.console_page import OFFICER, at, officers_page, sign_in
from tests.browser.media_page import browser_page
from tests.unit.api.live_lane import LiveLane, live_lane
from tests.unit.console.fake_lane import FakeLane, ago, console, quiet_lane, until

pytestmark = [pytest.mark.real_time, pytest.mark.needs("chromium")]

ONE, TWO = "bso-1", "bso-2"


@asynccontextmanager
async def two_pages(folder: Path) -> AsyncIterator[tuple[LiveLane, Page, Page]]:
    """The lane, and the pages of two officers."""
    async with (
        live_lane(folder) as lane,
        console(folder, folder / "officer.sock") as url,
        browser_page(folder / "one") as one,
        browser_page(folder / "two") as two,
    ):
        await sign_in(one, url, ONE)
        await sign_in(two, url, TWO)
        yield lane, one, two


async def _enter(page: Page) -> None:
    await expect(at(page, "confirm")).to_be_visible()
    await page.wait_for_timeout(400)
    await page.keyboard.press("Enter")


async def test_one_takes_control_the_other_takes_over_and_the_first_is_told(tmp_path: Path) -> None:
    async with two_pages(tmp_path) as (lane, one, two):
        await expect(at(one, "control")).to_contain_text("NOBODY CONTROLS")
        await one.keyboard.press("1")
        await one.keyboard.press("r")
        await expect(at(one, "act-result")).to_contain_text("nobody controls this lane")
        await one.keyboard.press("t")
        await _enter(one)
        await expect(at(one, "control")).to_contain_text("YOU CONTROL")
        await expect(at(two, "control")).to_contain_text(f"{ONE} CONTROLS")
        await two.keyboard.press("1")
        await two.keyboard.press("r")
        await expect(at(two, "act-result")).to_contain_text(f"{ONE} controls this lane")
        await two.keyboard.press("t")
        await expect(at(two, "panel")).to_contain_text("Take over?")
        await two.keyboard.press("1")
        await two.keyboard.press("Enter")
        await expect(at(two, "control")).to_contain_text("YOU CONTROL")
        await expect(at(one, "displaced")).to_contain_text(f"{TWO.upper()} CONTROLS THIS LANE SINCE", ignore_case=True)
        await expect(at(one, "displaced")).to_contain_text("Shift change")
        await one.keyboard.press("h")
        await expect(at(one, "act-result")).to_contain_text("HOLD arrived")
        await one.keyboard.press("Escape")
        await one.keyboard.press("Escape")
        await expect(at(one, "displaced")).to_be_hidden()
        assert lane.loop.state.control.previous == ONE
        await expect(at(two, "held")).to_be_visible()
        await two.keyboard.press("c")
        await _enter(two)
        await expect(at(two, "held")).to_be_hidden()
        await two.keyboard.press("t")
        await _enter(two)
        await expect(at(one, "control")).to_contain_text("NOBODY CONTROLS")
        await expect(at(two, "displaced")).to_be_hidden()


async def test_a_page_keeps_its_lane_while_it_lives_and_loses_it_when_it_freezes(tmp_path: Path) -> None:
    async with two_pages(tmp_path) as (lane, one, two):
        await one.keyboard.press("t")
        await _enter(one)
        await expect(at(one, "control")).to_contain_text("YOU CONTROL")
        await one.wait_for_timeout(5500)
        assert lane.loop.state.control.officer == ONE, "longer than control lasts without heartbeats"
        await one.reload()
        await expect(at(one, "control")).to_contain_text("YOU CONTROL")
        # The script of the page stands still, its connection does not: to the network it is as alive as before.
        script = "() => { const until = performance.now() + 7000; while (performance.now() < until); }"
        frozen = asyncio.create_task(one.evaluate(script))
        await expect(at(two, "control")).to_contain_text("NOBODY CONTROLS", timeout=7000)
        await frozen
        await expect(at(one, "displaced")).to_contain_text("no sign of life")
        assert lane.loop.state.control.officer == "", "it does not come back by itself"


async def test_only_modes_that_let_no_more_pass_are_offered_without_control(tmp_path: Path) -> None:
    state = quiet_lane()
    state.control.CopyFrom(control_pb.Control(officer=TWO, since=ago(60), change=control_pb.Control.CHANGE_TAKEN))
    state.mode = types.LANE_MODE_DEGRADED
    lane = FakeLane(state=state)
    async with officers_page(tmp_path, lane) as page:
        await expect(at(page, "control")).to_contain_text(f"{TWO} CONTROLS")
        await page.keyboard.press("m")
        await expect(at(page, "panel")).to_contain_text("only modes that let no more pass")
        await expect(at(page, "panel")).not_to_contain_text("REMOTE")
        await expect(at(page, "panel")).to_contain_text("CLOSED")
        await page.keyboard.press("Escape")
        await page.keyboard.press("h")
        await until(lambda: lane.acts)
        assert isinstance(lane.acts[0], pb.HoldLaneRequest)
        assert lane.beats == []
        mine = quiet_lane()
        lane.show(mine)
        await until(lambda: lane.beats)
        assert set(lane.beats) == {OFFICER}


async def test_maintenance_is_shown_unmistakably_with_who_and_the_time_left(tmp_path: Path) -> None:
    state = quiet_lane()
    state.mode = types.LANE_MODE_MAINTENANCE
    state.maintenance.officer = "tech-7"
    state.maintenance.reason = "new antenna"
    state.maintenance.since.CopyFrom(ago(300))
    state.maintenance.left.FromSeconds(125)
    state.maintenance.captured_devices.append("rfid-1")
    lane = FakeLane(state=state)
    async with officers_page(tmp_path, lane) as page:
        banner = at(page, "maintenance-banner")
        await expect(banner).to_contain_text("MAINTENANCE BY tech-7")
        await expect(banner).to_contain_text("new antenna")
        await expect(banner).to_contain_text("rfid-1 is captured")
        await expect(at(page, "mode")).to_have_text("MAINTENANCE")
        await expect(at(page, "maintenance-left")).to_have_text(
            re.compile("2 min 0[0-5] s left, then the lane is closed")
        )
        box = await banner.bounding_box()
        width = await page.evaluate("innerWidth")
        assert box is not None
        assert box["width"] == width, "across the whole page"
        state.maintenance.left.FromSeconds(59)
        lane.show(state)
        await expect(at(page, "maintenance-left")).to_contain_text(re.compile("5[89] s left"))
        lane.show(quiet_lane())
        await expect(banner).to_be_hidden()
