"""WHEP with aiortc as the viewer: the steps of the draft, its refusals, and what a lane needs beyond it."""

import asyncio
import itertools
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from drivers.api import EdgeError
from edge_agent.media.settings import MediaSettings
from hil.devices.scene_picture import read_barcode
from hil.rig.processes import Control
from tests.conformance.camera.peers import until, virtual_camera
from tests.unit.media.lane import SDP, Media, camera_settings, media_process, peer, until_live

pytestmark = pytest.mark.real_time

_FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
_PAGE = "https://console.lane.example"


@asynccontextmanager
async def _bench(
    tmp_path: Path, gop: int = 24, **settings: object
) -> AsyncIterator[tuple[Media, aiohttp.ClientSession, Control]]:
    async with (
        virtual_camera(tmp_path, "--barcode", "--gop", str(gop)) as (url, panel),
        media_process(camera_settings(url, silent_ms=700), **settings) as media,
        aiohttp.ClientSession() as http,
    ):
        await until_live(http, media)
        yield media, http, panel


async def test_a_viewer_sees_the_running_picture_at_once_and_leaves(tmp_path: Path) -> None:
    async with _bench(tmp_path) as (media, http, _), peer() as viewer:
        endpoint = f"{media.url}/whep/overview"
        async with http.post(endpoint, data=await viewer.offer(), headers=SDP) as answer:
            assert answer.status == 201
            assert answer.content_type == "application/sdp"
            assert answer.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
            assert re.fullmatch(r'"[0-9a-f]+"', answer.headers["ETag"])
            location, tag, text = answer.headers["Location"], answer.headers["ETag"], await answer.text()
        assert "a=sendonly" in text
        assert "a=candidate:" in text
        await viewer.take(text)
        frames = await viewer.pictures(24)
        numbers = [read_barcode(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)) for frame in frames]
        first = numbers[0]
        assert first is not None
        assert numbers == list(range(first, first + 24)), "every picture, in order, none twice"
        session = media.url + location
        for headers, status in (
            ({}, 204),
            ({"If-Match": tag}, 204),
            ({"If-Match": '"x"'}, 412),
            ({"If-Match": "*"}, 422),
        ):
            fragment = "a=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n"
            async with http.patch(session, data=fragment, headers={**_FRAGMENT, **headers}) as answer:
                assert answer.status == status
        async with http.get(f"{media.url}/cameras") as answer:
            (state,) = await answer.json()
        assert (state["view"], state["live"], state["viewers"], state["fault"]) == ("overview", True, 1, None)
        assert 0 <= state["last_frame_age_s"] < 1
        async with http.delete(session) as answer:
            assert answer.status == 200
        async with http.delete(session) as answer:
            assert answer.status == 404
        assert ("overview", True) in media.states


async def test_a_viewer_that_just_goes_is_freed(tmp_path: Path) -> None:
    async with _bench(tmp_path) as (media, http, _):
        async with peer() as viewer:
            async with http.post(f"{media.url}/whep/overview", data=await viewer.offer(), headers=SDP) as answer:
                await viewer.take(await answer.text())
            await viewer.pictures(1)

        async def gone() -> bool:
            async with http.get(f"{media.url}/cameras") as answer:
                return (await answer.json())[0]["viewers"] == 0 if answer.status == 200 else False

        await until(gone)


async def test_a_viewer_that_never_connects_is_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.media.sessions.CONNECT_LIMIT_S", 0.1)
    async with _bench(tmp_path) as (media, http, _), peer() as viewer:
        async with http.post(f"{media.url}/whep/overview", data=await viewer.offer(), headers=SDP) as answer:
            session = media.url + answer.headers["Location"]
        for fragment, kind, status in (("", "text/plain", 415), ("a=candidate:what", _FRAGMENT["Content-Type"], 400)):
            async with http.patch(session, data=fragment, headers={"Content-Type": kind}) as answer:
                assert answer.status == status

        async def gone() -> bool:
            async with http.patch(session, data="", headers=_FRAGMENT) as answer:
                return answer.status == 404

        await until(gone)
        async with http.get(f"{media.url}/metrics") as answer:
            assert 'lane_media_sessions_total{camera="overview",result="not_connected"} 1.0' in await answer.text()


async def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    async with _bench(tmp_path, max_viewers=1) as (media, http, _), peer() as viewer:
        endpoint = f"{media.url}/whep/overview"
        offer = await viewer.offer()
        cases: list[tuple[str, str, dict[str, str], int, str]] = [
            (endpoint, offer, {"Content-Type": "text/plain"}, 415, "OFFER_TYPE"),
            (endpoint, "hello", SDP, 400, "OFFER_REFUSED"),
            (endpoint, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", SDP, 400, "OFFER_REFUSED"),
            (endpoint, offer.replace("H264", "H265"), SDP, 400, "OFFER_REFUSED"),
            (endpoint, "a" * 70_000, SDP, 413, "HTTP_REFUSED"),
            (f"{media.url}/whep/rear", offer, SDP, 404, "NO_SUCH_CAMERA"),
        ]
        for url, body, headers, status, code in cases:
            async with http.post(url, data=body, headers=headers) as answer:
                assert (answer.status, (await answer.json(content_type=None))["code"]) == (status, code)
        async with http.post(endpoint, data=offer, headers=SDP) as answer:
            assert answer.status == 201
        async with http.post(endpoint, data=offer, headers=SDP) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        async with http.get(endpoint) as answer:
            assert answer.status == 405
        async with http.head(endpoint) as answer:
            assert (answer.status, answer.content_type) == (200, "application/sdp")


async def test_a_camera_that_is_not_live_is_a_conflict_until_it_comes(tmp_path: Path) -> None:
    async with _bench(tmp_path) as (media, http, panel), peer() as viewer:
        await panel.do("freeze")
        await until_live(http, media, live=False)
        endpoint = f"{media.url}/whep/overview"
        offer = await viewer.offer()
        async with http.post(endpoint, data=offer, headers=SDP) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (409, "1")
            assert (await answer.json(content_type=None))["code"] == "CAMERA_NOT_LIVE"
        await panel.do("freeze", on=False)
        await until_live(http, media)
        async with http.post(endpoint, data=offer, headers=SDP) as answer:
            assert answer.status == 201
    assert media.states == [("overview", False), ("overview", True), ("overview", False), ("overview", True)]


async def test_a_viewer_goes_on_after_the_camera_restarts(tmp_path: Path) -> None:
    async with _bench(tmp_path) as (media, http, panel), peer() as viewer:
        async with http.post(f"{media.url}/whep/overview", data=await viewer.offer(), headers=SDP) as answer:
            await viewer.take(await answer.text())
        before = (await viewer.pictures(3))[-1]
        await panel.do("drop")
        async with asyncio.timeout(15):
            while (frame := (await viewer.pictures(1))[0]).pts - before.pts < 90_000:
                pass
        assert frame.pts > before.pts


async def test_a_viewer_that_asks_for_a_picture_gets_the_group_again(tmp_path: Path) -> None:
    async with _bench(tmp_path, gop=1_000) as (media, http, _), peer() as viewer:
        async with http.post(f"{media.url}/whep/overview", data=await viewer.offer(), headers=SDP) as answer:
            await viewer.take(await answer.text())
        before = (await viewer.pictures(3))[-1]
        receiver = viewer.connection.getReceivers()[0]
        (source,) = receiver.getSynchronizationSources()
        await receiver._send_rtcp_pli(source.source)
        after = await viewer.pictures(30)
        times = [before.pts, *(frame.pts for frame in after)]
        assert times == sorted(set(times)), "time never goes back"
        numbers = [read_barcode(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)) for frame in after]
        assert any(a >= b for a, b in itertools.pairwise(n for n in numbers if n is not None)), "some came twice"
        async with http.get(f"{media.url}/metrics") as answer:
            assert 'lane_media_pli_total{camera="overview"} 0.0' not in await answer.text()


async def test_sound_in_the_offer_is_declined_not_refused(tmp_path: Path) -> None:
    async with _bench(tmp_path) as (media, http, _), peer() as viewer:
        viewer.connection.addTransceiver("audio", direction="recvonly")
        async with http.post(f"{media.url}/whep/overview", data=await viewer.offer(), headers=SDP) as answer:
            assert answer.status == 201
            text = await answer.text()
        assert re.search(r"m=audio[\s\S]*a=inactive", text)
        await viewer.take(text)
        assert await viewer.pictures(3)


async def test_a_computer_with_nothing_but_loopback_still_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioice.ice.ifaddr.get_adapters", list)
    async with _bench(tmp_path) as (media, http, _), peer() as viewer:
        async with http.post(f"{media.url}/whep/overview", data=await viewer.offer(), headers=SDP) as answer:
            text = await answer.text()
        assert re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+)", text) == ["127.0.0.1"]
        await viewer.take(text)
        assert await viewer.pictures(3)


async def test_names_only_multicast_could_resolve_do_not_keep_a_viewer_out(tmp_path: Path) -> None:
    async with _bench(tmp_path) as (media, http, _), peer() as viewer:
        offer = re.sub(
            r"(a=candidate:\S+ 1 udp \d+) \S+", r"\1 4f491de7-2f40-4fbb-80ec-7410219e4dd8.local", await viewer.offer()
        )
        assert ".local" in offer
        async with http.post(f"{media.url}/whep/overview", data=offer, headers=SDP) as answer:
            assert answer.status == 201
            await viewer.take(await answer.text())
        assert await viewer.pictures(3)


async def test_the_doors(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123\n")
    async with _closed(token) as (media, http):
        endpoint = f"{media.url}/whep/overview"
        bearer = {"Authorization": "Bearer 0123456789abcdef0123"}
        for headers, status in (({}, 401), ({"Authorization": "Bearer wrong"}, 401), (bearer, 409)):
            async with http.post(endpoint, data="v=0", headers={**SDP, **headers}) as answer:
                assert answer.status == status
        async with http.get(f"{media.url}/cameras") as answer:
            assert answer.status == 401
        reader, writer = await asyncio.open_connection("127.0.0.1", int(media.url.rpartition(":")[2]))
        writer.write(b"GET /cameras HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 401"), "no text at all is a wrong token, too"
        writer.close()
        await writer.wait_closed()
        async with http.get(f"{media.url}/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"ok": True, "cameras_live": 0})
        async with http.options(endpoint, headers={"Origin": _PAGE}) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == _PAGE
            assert {"Authorization", "If-Match"} <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
            assert answer.headers["Accept-Post"] == "application/sdp"
        async with http.post(endpoint, data="v=0", headers={**SDP, **bearer, "Origin": _PAGE}) as answer:
            assert answer.status == 409
            assert "Location" in answer.headers["Access-Control-Expose-Headers"]
        for method in ("OPTIONS", "POST"):
            async with http.request(
                method, endpoint, headers={**bearer, "Origin": "https://elsewhere.example"}
            ) as answer:
                assert answer.status == 403
                assert "Access-Control-Allow-Origin" not in answer.headers


@asynccontextmanager
async def _closed(token: Path | None) -> AsyncIterator[tuple[Media, aiohttp.ClientSession]]:
    nobody = camera_settings("rtsp://127.0.0.1:1/s")
    async with (
        media_process(nobody, token_file=token, allowed_origins=(_PAGE,)) as media,
        aiohttp.ClientSession() as http,
    ):
        yield media, http


async def test_without_a_token_only_loopback_names_are_served() -> None:
    async with _closed(None) as (media, http):
        for host, status in (("127.0.0.1:1", 200), ("localhost", 200), ("[::1]:80", 200), ("rebound.example:80", 403)):
            async with http.get(f"{media.url}/cameras", headers={"Host": host}) as answer:
                assert answer.status == status


async def test_a_missing_camera_leaves_the_process_serving() -> None:
    async with _closed(None) as (media, http):

        async def told() -> bool:
            async with http.get(f"{media.url}/cameras") as answer:
                (state,) = await answer.json()
            assert (state["live"], state["last_frame_age_s"]) == (False, None)
            return bool(state["fault"] == "CAMERA_UNREACHABLE")

        await until(told)


@pytest.mark.needs("promtool")
async def test_metrics_pass_promtool(tmp_path: Path) -> None:
    async with _bench(tmp_path) as (media, http, panel), peer() as viewer:
        async with http.post(f"{media.url}/whep/overview", data=await viewer.offer(), headers=SDP) as answer:
            await viewer.take(await answer.text())
        await viewer.pictures(3)
        await panel.do("drop")
        await until_live(http, media, live=False)
        async with http.get(f"{media.url}/metrics") as answer:
            text = await answer.text()
    for name in ("frames_total", "viewers", "camera_faults_total", "time_to_first_rtp_seconds_count"):
        assert f"lane_media_{name}{{" in text
    done = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_settings_that_are_not_safe_are_refused(tmp_path: Path) -> None:
    short = tmp_path / "token"
    short.write_text("short")
    one = camera_settings("rtsp://c/s")
    with pytest.raises(EdgeError, match="needs a token"):
        MediaSettings("0.0.0.0", 0, None, (one,))
    with pytest.raises(EdgeError, match="same view"):
        MediaSettings("127.0.0.1", 0, None, (one, one))
    with pytest.raises(EdgeError, match="shorter than 16"):
        MediaSettings("0.0.0.0", 0, short, (one,)).read_token()
    with pytest.raises(EdgeError, match="No such file"):
        MediaSettings("0.0.0.0", 0, tmp_path / "none", (one,)).read_token()


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    async with _closed(None) as (media, _):
        port = int(media.url.rpartition(":")[2])
        with pytest.raises(EdgeError, match=f"MEDIA_PORT.*127.0.0.1:{port}.*in use"):
            async with media_process(listen_port=port):
                pass
