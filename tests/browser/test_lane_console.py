"""The officer's page on a whole lane: real agent, media and console processes, real Chromium, and the module's word."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from hil.rig.puppet import PuppetLane, PuppetTruck, is_red, lamp_shows
from hil.rig.target import load_target
from tests.browser.media_page import browser_page

pytestmark = [pytest.mark.real_time, pytest.mark.needs("chromium"), pytest.mark.timeout(120)]

OFFICER = "bso-7421"
_PLAYS_MS = 20_000
_BRIGHTNESS = """() => {
  const video = document.querySelector('[data-testid=video]');
  const canvas = new OffscreenCanvas(64, 36);
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 64, 36);
  const pixels = context.getImageData(0, 0, 64, 36).data;
  let sum = 0;
  for (let i = 0; i < pixels.length; i += 4) sum += pixels[i] + pixels[i + 1] + pixels[i + 2];
  return sum / (pixels.length / 4) / 3;
}"""
# A promise, because the page's security policy lets nobody poll an expression in it.
_MORE_FRAMES = """count => new Promise(resolve => {
  const video = document.querySelector('[data-testid=video]');
  const shown = () => (count-- > 0 ? video.requestVideoFrameCallback(shown) : resolve());
  video.requestVideoFrameCallback(shown);
})"""


async def more_frames(page: Page, count: int) -> None:
    """Wait until the page has shown so many more pictures."""
    async with asyncio.timeout(_PLAYS_MS / 1000):
        await page.evaluate(_MORE_FRAMES, count)


async def sign_in(page: Page, lane: PuppetLane) -> None:
    """As an officer does, with the console's token."""
    await page.goto(f"http://127.0.0.1:{lane.bench.console_port}/")
    await page.get_by_test_id("login-token").fill(lane.bench.console_token)
    await page.get_by_test_id("login-officer").fill(OFFICER)
    await page.get_by_test_id("login-submit").click()
    await expect(page.get_by_test_id("signal-word")).to_be_visible()


async def draw(lane: PuppetLane, lamp: str, *trucks: PuppetTruck) -> None:
    """What the camera sees."""
    scene = [
        {
            "id": f"T{number}",
            "nose_m": truck.nose_m,
            "tail_m": truck.nose_m - truck.length_m,
            "speed_kmh": 15.0,
            "plate": "AB 123 CD",
            "released": lamp == "green",
        }
        for number, truck in enumerate(trucks, start=1)
    ]
    await lane.bench.controls["camera"].do("scene", trucks=scene, lamp=lamp, lane_m=[-70, 45])


async def the_picture_plays(page: Page) -> None:
    """Frames advance, and they are not black."""
    await expect(page.get_by_test_id("picture")).to_have_attribute("data-live", "true", timeout=_PLAYS_MS)
    await more_frames(page, 12)
    assert 20 < await page.evaluate(_BRIGHTNESS) < 235, "neither black nor white"


async def a_truck_gets_green(page: Page, lane: PuppetLane) -> PuppetTruck:
    """The page shows the vehicle, and the signal only as feedback confirms it."""
    await lane.open_lane()
    since_ns = time.monotonic_ns()
    truck, _green = await lane.truck_on_green()
    await draw(lane, "green", truck)
    await expect(page.get_by_test_id("signal-word")).to_have_text("GREEN")
    await lane.module.wait(lamp_shows("green"), "a lit green lamp", after_ns=since_ns)
    await expect(page.get_by_test_id("conveyance")).to_have_count(1)
    await truck.move_to(-14.0, speed_kmh=20.0)
    await draw(lane, "green", truck)
    return truck


async def test_the_officers_page_on_a_whole_lane(tmp_path: Path) -> None:
    limits = load_target("virtual").limits
    async with (
        PuppetLane(tmp_path / "lane", media=True, console=True) as lane,
        browser_page(tmp_path / "profile") as page,
    ):
        await page.set_viewport_size({"width": 1440, "height": 900})
        await draw(lane, "red")
        await sign_in(page, lane)
        await expect(page.get_by_test_id("signal-word")).to_have_text("RED")
        await the_picture_plays(page)

        truck = await a_truck_gets_green(page, lane)
        await expect(page.get_by_test_id("signal-word")).to_have_text("GREEN")
        if shot := os.environ.get("LANE_SCREENSHOT"):
            await more_frames(page, 24)
            await page.screenshot(path=shot)

        pressed_ns = time.monotonic_ns()
        await page.keyboard.press("h")
        await lane.module.wait(is_red, "red on the wire", after_ns=pressed_ns)
        await lane.module.wait(lamp_shows("red"), "a lit red lamp", after_ns=pressed_ns)
        await draw(lane, "red", truck)
        await expect(page.get_by_test_id("signal-word")).to_have_text("RED")
        await expect(page.get_by_test_id("held")).to_be_visible()

        await expect(page.get_by_test_id("contact-banner")).to_be_hidden()
        agent = lane.bench.children["agent"].pid
        os.kill(agent, signal.SIGSTOP)
        try:
            async with asyncio.timeout(limits.no_contact_s):
                await expect(page.get_by_test_id("contact-banner")).to_contain_text("NO CONTACT", timeout=30_000)
                await expect(page.get_by_test_id("contact-banner")).to_be_visible(timeout=30_000)
            await expect(page.get_by_test_id("signal-word")).to_have_text("UNKNOWN")
        finally:
            os.kill(agent, signal.SIGCONT)
        await expect(page.get_by_test_id("contact-banner")).to_be_hidden(timeout=_PLAYS_MS)
