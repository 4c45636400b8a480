"""The RTSP client against the virtual camera and its faults, and against ports that are no camera."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers.api import DeviceRefused, DeviceTimeout, DeviceUp, LinkLost, ProtocolViolation
from drivers.camera.rtsp_camera import CameraCounters, RtspCamera
from drivers.camera.settings import RtspCameraSettings
from edge_agent.runtime.clock import SystemClock
from tests.conformance.camera.peers import Recorder, replies, says, tcp_server, until, until_idle, virtual_camera
from tests.unit.camera.streams import annex_b, decoded

pytestmark = pytest.mark.real_time


def _camera(url: str, counters: CameraCounters | None = None, **settings: Any) -> RtspCamera:
    given = {"view": "overview", "url": url, "silent_ms": 1_500, "connect_timeout_ms": 2_000, **settings}
    return RtspCamera("cam1", RtspCameraSettings.model_validate(given), SystemClock(), counters)


async def test_pictures_come_whole_and_decode(tmp_path: Path) -> None:
    async with virtual_camera(tmp_path) as (url, _):
        recorder, counters = Recorder(30), CameraCounters()
        await recorder.record(_camera(url, counters))
    up = recorder.events[0]
    assert isinstance(up, DeviceUp)
    assert (up.device, up.info.model, up.info.details["profile_level_id"]) == ("cam1", "virtual-camera", "42c016")
    frames = recorder.frames
    assert frames[0].is_key
    assert sum(frame.is_key for frame in frames) == 2
    stamps = [frame.stamp.mono_ns for frame in frames]
    assert stamps == sorted(stamps)
    assert len(decoded(annex_b(nal for frame in frames for nal in frame.nals))) == len(frames)
    assert counters.losses.packets == 0
    assert counters.received_bytes > 0
    late = frames[-1]
    assert late.camera_utc_ns is not None
    assert abs(late.stamp.utc_ns - late.camera_utc_ns) < 2_000_000_000


async def test_parameter_sets_only_in_the_description_still_decode(tmp_path: Path) -> None:
    async with virtual_camera(tmp_path) as (url, panel):
        await panel.do("sps_in_sdp_only")
        recorder = Recorder(10)
        await recorder.record(_camera(url))
    assert len(decoded(annex_b(nal for frame in recorder.frames for nal in frame.nals))) == len(recorder.frames)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_digest_login(tmp_path: Path, algorithm: str) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    login = ("--user", "lane", "--password-file", str(password), "--algorithm", algorithm)
    async with virtual_camera(tmp_path, *login) as (url, _):
        recorder = Recorder(1)
        await recorder.record(_camera(url, user="lane", password_file=password))
        wrong = tmp_path / "wrong"
        wrong.write_text("hunter3")
        logins: list[dict[str, Any]] = [{}, {"user": "lane", "password_file": wrong}]
        for settings in [*logins, {"user": "lane", "password_file": tmp_path / "missing"}]:
            with pytest.raises(DeviceRefused, match="CAMERA_AUTH") as refusal:
                await Recorder(1).record(_camera(url, **settings))
            assert "hunter" not in str(refusal.value)


async def test_b_pictures_are_refused(tmp_path: Path) -> None:
    async with virtual_camera(tmp_path, "--b-frames", "2") as (url, _):
        with pytest.raises(DeviceRefused, match="CAMERA_UNSUPPORTED"):
            await Recorder(50).record(_camera(url))


async def test_a_frozen_camera_is_silent(tmp_path: Path) -> None:
    async with virtual_camera(tmp_path) as (url, panel):
        recorder = Recorder(1_000)
        task = asyncio.create_task(recorder.record(_camera(url, silent_ms=500)))
        await asyncio.wait_for(recorder.begun.wait(), 10)
        await panel.do("freeze")
        with pytest.raises(DeviceTimeout, match="CAMERA_SILENT"):
            await task
        await until_idle(panel)  # the session was torn down


async def test_a_host_that_is_no_name_is_link_lost() -> None:
    with pytest.raises(LinkLost, match="CAMERA_UNREACHABLE"):
        await Recorder(1).record(_camera("rtsp://no..name/live"))


async def test_a_dropped_connection_is_link_lost_and_the_next_session_plays(tmp_path: Path) -> None:
    async with virtual_camera(tmp_path) as (url, panel):
        recorder = Recorder(1_000)
        task = asyncio.create_task(recorder.record(_camera(url)))
        await asyncio.wait_for(recorder.begun.wait(), 10)
        await panel.do("drop")
        with pytest.raises(LinkLost, match="CAMERA_UNREACHABLE"):
            await task
        await panel.do("refuse")
        with pytest.raises(LinkLost, match="CAMERA_UNREACHABLE"):
            await Recorder(1).record(_camera(url))
        await panel.do("refuse", on=False)
        again = Recorder(1)

        async def plays() -> bool:
            with contextlib.suppress(LinkLost):  # the port opens a moment after the panel's answer
                await again.record(_camera(url))
            return bool(again.frames)

        await until(plays)


async def test_a_mute_port_is_silent_and_a_chatty_one_a_violation() -> None:
    async with tcp_server(says(b"")) as url:
        with pytest.raises(DeviceTimeout, match="CAMERA_SILENT"):
            await Recorder(1).record(_camera(url, connect_timeout_ms=200))
    async with tcp_server(says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")) as url:
        with pytest.raises(ProtocolViolation, match="CAMERA_PROTOCOL"):
            await Recorder(1).record(_camera(url))
    async with tcp_server(says(bytes(range(256)))) as url:
        with pytest.raises(ProtocolViolation, match="CAMERA_PROTOCOL"):
            await Recorder(1).record(_camera(url))


async def test_a_wrong_path_is_named() -> None:
    answer = b"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n"
    async with tcp_server(says(answer)) as url:
        with pytest.raises(ProtocolViolation, match=r"OPTIONS answered 404.*path"):
            await Recorder(1).record(_camera(url))


_SDP = (
    b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t1\r\n"
    b"a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAFtoCgL/lwEQAAAMABAAAAwBgPFi6gA==,aM48gA==\r\n"
)
_KEY_PICTURE = b"\x65\x88\x84\x00\x10"


class ScriptedCamera:
    """A peer that answers by the book, one byte at a time, with pictures before its answer to PLAY, and ends the
    connection after the second keep-alive."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.left = asyncio.Event()
        self._sequence = 0
        self._ending = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        film = asyncio.create_task(self._film(writer))
        try:
            await self._answer(reader, writer)
            writer.write_eof()
            self.asked += [self._parse(head)[:2] async for head in self._heads(reader)]
            self.left.set()
        finally:
            film.cancel()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in self._heads(reader):
            method, uri, sequence = self._parse(head)
            self.asked.append((method, uri))
            body = _SDP if method == "DESCRIBE" else b""
            answer = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: a1;timeout=1\r\nContent-Length: {len(body)}\r\n"
            if method == "OPTIONS":
                answer += "Public: DESCRIBE, GET_PARAMETER\r\n"
            if method == "PLAY":
                self._send_picture(writer)
            for byte in answer.encode() + b"\r\n" + body:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            if [asked for asked, _ in self.asked].count("GET_PARAMETER") == 2:
                return

    async def _heads(self, reader: asyncio.StreamReader) -> AsyncIterator[str]:
        while True:
            try:
                yield (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                return

    @staticmethod
    def _parse(head: str) -> tuple[str, str, str]:
        method, uri, _ = head.partition("\r\n")[0].split(" ")
        return method, uri, head.partition("CSeq: ")[2].partition("\r\n")[0]

    async def _film(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(0.05)
            if self._sequence and not self._ending:
                self._send_picture(writer)

    def _send_picture(self, writer: asyncio.StreamWriter) -> None:
        self._sequence += 1
        header = struct.pack("!BBHII", 0x80, 96 | 0x80, self._sequence, self._sequence * 4_500, 9)
        packet = header + _KEY_PICTURE
        writer.write(b"$\x00" + len(packet).to_bytes(2, "big") + packet)


async def test_a_whole_conversation_by_the_book() -> None:
    peer = ScriptedCamera()
    recorder = Recorder(1_000)
    async with tcp_server(peer.serve) as url:
        with pytest.raises(LinkLost, match="closed by the camera"):
            await recorder.record(_camera(url))
        await asyncio.wait_for(peer.left.wait(), 5)
    methods = ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "GET_PARAMETER", "GET_PARAMETER", "TEARDOWN"]
    assert [method for method, _ in peer.asked] == methods
    assert peer.asked[2][1] == f"{url}/t1"
    assert [frame.timestamp for frame in recorder.frames][:2] == [4_500, 9_000]
    assert all(frame.is_key and len(frame.nals) == 3 for frame in recorder.frames)


async def test_sessions_open_and_close_without_leaving_anything(tmp_path: Path) -> None:
    async with virtual_camera(tmp_path, "--gop", "1") as (url, panel):
        for _ in range(20):
            await Recorder(1).record(_camera(url))
        await until_idle(panel)


@pytest.mark.parametrize("words", [b"", b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"])
async def test_cancelling_in_the_handshake_ends_at_once(words: bytes) -> None:
    async with tcp_server(says(words)) as url:
        task = asyncio.create_task(_camera(url, connect_timeout_ms=30_000).run(lambda event: None))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 1)


async def test_cancelling_a_playing_session_tears_it_down(tmp_path: Path) -> None:
    async with virtual_camera(tmp_path) as (url, panel):
        recorder = Recorder(1_000)
        task = asyncio.create_task(recorder.record(_camera(url)))
        await asyncio.wait_for(recorder.begun.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 1)
        await until_idle(panel)


_DESCRIBED = f"200 OK\r\nContent-Length: {len(_SDP)}\r\n\r\n{_SDP.decode()}"


@pytest.mark.parametrize(
    ("answers", "fault", "named"),
    [
        (
            {"DESCRIBE": _DESCRIBED, "SETUP": "461 Unsupported Transport\r\n\r\n"},
            DeviceRefused,
            "UNSUPPORTED.*461.*TCP",
        ),
        ({"DESCRIBE": _DESCRIBED, "SETUP": "200 OK\r\n\r\n"}, ProtocolViolation, "without a session"),
        ({"DESCRIBE": "200 OK\r\n\r\n"}, DeviceRefused, "UNSUPPORTED.*nothing"),
        ({"OPTIONS": "401 No\r\nWWW-Authenticate: Negotiate\r\n\r\n"}, DeviceRefused, "AUTH.*no login method"),
        ({"DESCRIBE": "403 Forbidden\r\n\r\n"}, DeviceRefused, "AUTH.*login refused"),
    ],
)
async def test_answers_that_end_the_session(
    tmp_path: Path, answers: dict[str, str], fault: type[Exception], named: str
) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2")
    async with tcp_server(replies(**answers)) as url:
        with pytest.raises(fault, match=named):
            await Recorder(1).record(_camera(url, user="lane", password_file=password))


async def test_packets_without_a_picture_are_not_life_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.camera.rtsp_camera._PICTURE_TIMEOUT_S", 0.5)
    delta = struct.pack("!BBHII", 0x80, 96 | 0x80, 1, 1, 9) + b"\x41\x9a\x00"
    other = struct.pack("!BBHII", 0x80, 97, 2, 1, 9) + b"\x41"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering = asyncio.create_task(
            replies(DESCRIBE=_DESCRIBED, SETUP="200 OK\r\nSession: 1\r\n\r\n")(reader, writer)
        )
        try:
            while not answering.done():
                await asyncio.sleep(0.02)
                for channel, packet in ((0, delta), (0, other), (4, b"noise"), (1, b"no report")):
                    writer.write(b"$" + bytes([channel]) + len(packet).to_bytes(2, "big") + packet)
        finally:
            answering.cancel()

    async with tcp_server(serve) as url:
        with pytest.raises(DeviceTimeout, match=r"CAMERA_SILENT.*no picture that can be shown"):
            await Recorder(1).record(_camera(url, silent_ms=2_000))
