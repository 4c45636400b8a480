"""The lane's picture in a real browser."""

import asyncio
import itertools
import logging
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hil.rig.processes import Control
from tests.browser.media_page import browser_page, page_server
from tests.conformance.camera.peers import virtual_camera
from tests.unit.media.lane import camera_settings, media_process

pytestmark = [pytest.mark.real_time, pytest.mark.needs("chromium")]

_log = logging.getLogger(__name__)

_TOKEN = "a token of the viewers"
_SCENE = [{"id": "T1", "nose_m": -10.0, "tail_m": -28.0, "speed_kmh": 15.0, "plate": "AB 123 CD"}]
_PICTURES = 48


async def _drawn(panel: Control, drawn_ms: dict[int, float]) -> None:
    """Note when the camera drew each picture, on the wall clock the browser has too."""
    wall_ns = time.time_ns() - time.monotonic_ns()
    async for event in panel.events():
        if event["event"] == "frame":
            drawn_ms[event["number"] & 0xFFFF] = (event["at_ns"] + wall_ns) / 1e6


async def _cameras(http: aiohttp.ClientSession, url: str) -> Mapping[str, Any]:
    async with http.get(f"{url}/cameras", headers={"Authorization": f"Bearer {_TOKEN}"}) as answer:
        state: Mapping[str, Any] = (await answer.json())[0]
        return state


async def test_chromium_plays_the_lane(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(_TOKEN)
    drawn_ms: dict[int, float] = {}
    async with (
        virtual_camera(tmp_path, "--barcode") as (camera_url, panel),
        page_server() as origin,
        media_process(camera_settings(camera_url), token_file=token, allowed_origins=(origin,)) as media,
        aiohttp.ClientSession() as http,
        browser_page(tmp_path / "profile") as page,
    ):
        await panel.do("scene", trucks=_SCENE, lamp="red")
        watch = asyncio.create_task(_drawn(panel, drawn_ms))
        await page.goto(origin)
        endpoint = f"{media.url}/whep/overview"
        assert await page.evaluate("([url, token]) => play(url, token)", [endpoint, "wrong"]) == 401
        async with asyncio.timeout(15):
            while not (await _cameras(http, media.url))["live"]:  # noqa: ASYNC110 - polled as a console would
                await asyncio.sleep(0.05)
        status, location = await page.evaluate("([url, token]) => play(url, token)", [endpoint, _TOKEN])
        assert status == 201
        assert location.startswith("/whep/overview/")
        await page.wait_for_function(f"seen.length >= {_PICTURES}", timeout=30_000)
        seen = await page.evaluate("seen")
        figures = await page.evaluate("figures()")
        first_ms = await page.evaluate("first")
        assert (await _cameras(http, media.url))["viewers"] == 1
        await page.evaluate("peer.close()")
        async with asyncio.timeout(10):
            while (await _cameras(http, media.url))["viewers"]:  # noqa: ASYNC110 - polled as a console would
                await asyncio.sleep(0.05)
        watch.cancel()

    assert figures["width"] == 640
    brightness = [light for _, _, light in seen]
    assert 40 < min(brightness) <= max(brightness) < 200, "neither black nor white"
    numbers = [number for number, _, _ in seen]
    assert None not in numbers
    assert all(after > before for before, after in itertools.pairwise(numbers)), "pictures advance"
    assert numbers[-1] - numbers[0] >= _PICTURES - 1
    late = [at - drawn_ms[number] for number, at, _ in seen[10:] if number in drawn_ms]
    assert late
    _log.info(  # the figures of this run: --log-cli-level=INFO
        "first picture %.0f ms after the click; camera to screen p50 %.1f ms, p95 %.1f ms; %d skipped, %d freezes",
        first_ms,
        statistics.median(late),
        statistics.quantiles(late, n=20)[-1],
        numbers[-1] - numbers[10] - (len(numbers) - 11),
        figures["freezes"],
    )
