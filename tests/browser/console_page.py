"""The officer's page in a real Chromium, in front of a lane that is not there."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.browser.media_page import browser_page
from tests.unit.console.fake_lane import OFFICER, TOKEN, FakeLane, console, lane_door

__all__ = ["OFFICER", "at", "free_port", "officers_page", "sign_in"]


def free_port() -> int:
    """A port for a process whose address another must know before it starts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def officers_page(folder: Path, lane: FakeLane, **settings: Any) -> AsyncIterator[Page]:
    """The page of one lane, signed in. A fault in the page's own code fails the test."""
    faults: list[str] = []
    door = folder / "officer.sock"
    async with (
        lane_door(lane, door),
        console(folder, door, **settings) as url,
        browser_page(folder / "profile") as page,
    ):
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if "Security Policy" in message.text else None)
        await sign_in(page, url)
        yield page
    assert faults == []


async def sign_in(page: Page, url: str, officer: str = OFFICER) -> None:
    """Through the form, as an officer would."""
    await page.goto(url)
    await at(page, "login-officer").fill(officer)
    await at(page, "login-token").fill(TOKEN)
    await at(page, "login-submit").click()
    await expect(at(page, "contact-banner")).to_be_hidden()


def at(page: Page, name: str) -> Locator:
    """An element by its stable name."""
    return page.get_by_test_id(name)
