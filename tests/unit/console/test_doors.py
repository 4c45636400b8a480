"""Who gets in, from where, and what the page is allowed to load."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from drivers.api import Stamp
from edge_agent.console.doors import SESSION_S, Doors
from edge_agent.runtime.clock import SystemClock
from tests.unit.console.fake_lane import TOKEN, FakeLane, console, lane_door

pytestmark = pytest.mark.real_time

BEARER = {"Authorization": f"Bearer {TOKEN}", "X-Officer": "bso-7421"}


@dataclass(frozen=True)
class HandClock:
    """Stands where it was set."""

    now: Stamp

    def stamp(self) -> Stamp:
        return self.now


def browser() -> aiohttp.ClientSession:
    """A client that keeps cookies, also of an address."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


def sign_in(http: aiohttp.ClientSession, url: str, token: str = TOKEN, officer: str = "bso-7421") -> Any:
    """As the form does it."""
    return http.post(f"{url}/login", data={"token": token, "officer": officer}, headers={"Origin": url})


async def test_a_stranger_sees_nothing_but_the_way_in(tmp_path: Path) -> None:
    async with console(tmp_path, tmp_path / "no.sock") as url, browser() as http:
        async with http.get(url, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/login")
        for path in ("/api/lanes", "/api/lanes/0/events", "/api/lanes/0/passages", "/static/console.js"):
            async with http.get(url + path) as answer:
                assert answer.status == 401, path
        async with http.post(f"{url}/api/lanes/0/acts/hold_lane", json={}, headers={"Origin": url}) as answer:
            assert answer.status == 401
        for path in ("/login", "/static/login.css", "/static/icon.svg", "/healthz"):
            async with http.get(url + path) as answer:
                assert answer.status == 200, path
        for wrong in ("", "a wrong token", TOKEN[:-1]):
            async with http.get(f"{url}/api/lanes", headers={"Authorization": f"Bearer {wrong}"}) as answer:
                assert answer.status == 401


async def test_the_token_buys_a_cookie(tmp_path: Path) -> None:
    async with console(tmp_path, tmp_path / "no.sock") as url, browser() as http:
        async with sign_in(http, url, token="wrong") as answer:
            assert answer.status == 401
            assert 'id="wrong">' in (await answer.text()).replace(' role="alert" data-testid="login-wrong"', "")
        assert not http.cookie_jar.filter_cookies(answer.url)
        login = {"token": TOKEN, "officer": "bso-7421"}
        async with http.post(f"{url}/login", data=login, headers={"Origin": url}, allow_redirects=False) as answer:
            assert answer.status == 303
            cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        async with http.get(f"{url}/api/lanes") as answer:
            assert (await answer.json())["officer"] == "bso-7421"
        async with http.post(f"{url}/logout", headers={"Origin": url}) as answer:
            assert answer.url.path == "/login"
        async with http.get(f"{url}/api/lanes") as answer:
            assert answer.status == 401


async def test_a_token_is_not_taken_from_an_address(tmp_path: Path) -> None:
    async with console(tmp_path, tmp_path / "no.sock") as url, browser() as http:
        async with http.get(f"{url}/login", params={"token": TOKEN, "officer": "a"}) as answer:
            assert answer.status == 200
            assert 'action="/login"' in await answer.text()
        assert not http.cookie_jar.filter_cookies(answer.url)


async def test_a_page_left_open_is_signed_out_when_its_time_is_over(tmp_path: Path) -> None:
    now = SystemClock().stamp()
    earlier = Stamp(now.mono_ns, now.utc_ns - (SESSION_S - 2) * 10**9)
    doors = Doors(TOKEN.encode(), (), HandClock(earlier))
    headers = {"Cookie": f"{doors.cookie}={doors.cookie_for('bso-7421')}"}
    async with console(tmp_path, tmp_path / "no.sock") as url, aiohttp.ClientSession(headers=headers) as http:
        async with http.get(f"{url}/api/lanes/0/events") as answer:
            assert answer.status == 200
            async with asyncio.timeout(6):
                await answer.read()
        async with http.get(f"{url}/api/lanes/0/events") as answer:
            assert answer.status == 401


async def test_what_is_no_text_is_refused_and_not_a_defect(tmp_path: Path) -> None:
    async with console(tmp_path, tmp_path / "no.sock") as url, aiohttp.ClientSession(headers=BEARER) as http:
        for path in ("/api/lanes/0/acts/hold_lane", "/api/heartbeat"):
            for body, kind in ((b"\xff", "application/json"), (b"{}", "application/json; charset=none")):
                async with http.post(url + path, data=body, headers={"Content-Type": kind}) as answer:
                    assert (answer.status, (await answer.json())["code"]) == (400, "INVALID_ARGUMENT")
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/lanes HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 401")
        writer.close()
        await writer.wait_closed()


async def test_a_cookie_cannot_be_made_up(tmp_path: Path) -> None:
    async with console(tmp_path, tmp_path / "no.sock") as url:
        async with browser() as http, sign_in(http, url, officer="a") as answer:
            assert answer.status == 200
            ((name, morsel),) = http.cookie_jar.filter_cookies(answer.url).items()
            good = morsel.value
        async with aiohttp.ClientSession() as http:
            for cookie in ("", "x", "=", good[:-2], "AAAA" + good[4:], good + "AAAA"):
                async with http.get(f"{url}/api/lanes", headers={"Cookie": f"{name}={cookie}"}) as answer:
                    assert answer.status == 401
            async with http.get(f"{url}/api/lanes", headers={"Cookie": f"{name}={good}"}) as answer:
                assert answer.status == 200


async def test_an_officer_id_is_a_plain_word(tmp_path: Path) -> None:
    async with console(tmp_path, tmp_path / "no.sock") as url, browser() as http:
        for officer in ("", "two words", "a|b", "x" * 33):
            login = {"token": TOKEN, "officer": officer}
            async with http.post(f"{url}/login", data=login, headers={"Origin": url}) as answer:
                assert answer.status == 401


async def test_only_the_own_page_and_named_ones_may_act(tmp_path: Path) -> None:
    lane, door = FakeLane(), tmp_path / "officer.sock"
    allowed = "https://console.example"
    body = {"request_id": "0b5f4d0e-4d0f-4e6b-9d6f-6c8f3c8b2a11"}
    async with (
        lane_door(lane, door),
        console(tmp_path, door, allowed_origins=(allowed,)) as url,
        browser() as http,
    ):
        async with sign_in(http, url, officer="officer"):
            pass
        hold = f"{url}/api/lanes/0/acts/hold_lane"
        refused: tuple[dict[str, str], ...] = ({}, {"Origin": "https://evil.example"}, {"Origin": "null"})
        for headers in refused:
            async with http.post(hold, json=body, headers=headers) as answer:
                assert answer.status == 403
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            async with http.get(f"{url}/api/lanes/0/events", headers=headers) as answer:
                assert answer.status == 403
        assert lane.acts == []
        for origin in (url, allowed):
            async with http.post(hold, json=body, headers={"Origin": origin}) as answer:
                assert answer.status == 200
        async with aiohttp.ClientSession() as program, program.post(hold, json=body, headers=BEARER) as answer:
            assert answer.status == 200, "a program with the token has no origin"
        assert [act.officer for act in lane.acts] == ["officer", "officer", "bso-7421"]


async def test_the_page_may_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    media = "http://10.0.0.7:8554"
    async with console(tmp_path, tmp_path / "no.sock", media_url=media) as url, browser() as http:
        async with sign_in(http, url) as answer:
            policy, page = answer.headers["Content-Security-Policy"], await answer.text()
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert f"connect-src 'self' {media};" in policy
        assert "unsafe" not in policy
        assert "//" not in page.replace("<!doctype html>", "")
        for path in ("/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/app.py"):
            async with http.get(url + path) as answer:
                assert answer.status == 404
