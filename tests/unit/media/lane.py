"""A media process inside the test, its virtual camera, and a WHEP viewer made of aiortc."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from drivers.camera.settings import RtspCameraSettings
from edge_agent.media.app import run_media
from edge_agent.media.settings import MediaSettings
from edge_agent.runtime.clock import SystemClock

SDP = {"Content-Type": "application/sdp"}
STUN_FREE = RTCConfiguration(iceServers=[])


@dataclass
class Media:
    """A running media process: where it is, and the camera states it told."""

    url: str
    states: list[tuple[str, bool]] = field(default_factory=list)

    def told(self, view: str, live: bool, age_s: float | None) -> None:
        assert age_s is None or age_s >= 0
        if not self.states or self.states[-1] != (view, live):
            self.states.append((view, live))


def camera_settings(url: str, **settings: Any) -> RtspCameraSettings:
    """Settings of the camera under test."""
    return RtspCameraSettings.model_validate({"view": "overview", "url": url, **settings})


@asynccontextmanager
async def media_process(*cameras: RtspCameraSettings, **settings: Any) -> AsyncIterator[Media]:
    """The media process as a task of this loop, on a free port."""
    given = MediaSettings(
        **{"listen_host": "127.0.0.1", "listen_port": 0, "token_file": None, "cameras": cameras, **settings}
    )
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    media = Media("")
    task = asyncio.create_task(run_media(given, SystemClock(), ready.set_result, media.told))
    try:
        task.add_done_callback(lambda _: ready.done() or ready.cancel())
        try:
            port = await ready
        except asyncio.CancelledError:
            await task
            raise
        media.url = f"http://127.0.0.1:{port}"
        yield media
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until_live(http: aiohttp.ClientSession, media: Media, live: bool = True) -> None:
    """Wait until the first camera is live, or no longer."""
    async with asyncio.timeout(15):
        while True:
            async with http.get(f"{media.url}/cameras") as answer:
                if (await answer.json())[0]["live"] is live:
                    return
            await asyncio.sleep(0.02)


class Peer:
    """A WHEP viewer; `images` are the pictures it decoded, as mean brightness per picture."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(STUN_FREE)
        self.track: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.connection.on("track", self.track.set_result)
        self.connection.addTransceiver("video", direction="recvonly")

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def take(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def pictures(self, count: int) -> list[Any]:
        async with asyncio.timeout(15):
            track = await self.track
            return [await track.recv() for _ in range(count)]

    async def close(self) -> None:
        await self.connection.close()


@asynccontextmanager
async def peer() -> AsyncIterator[Peer]:
    """A viewer that is closed after."""
    viewer = Peer()
    try:
        yield viewer
    finally:
        await viewer.close()
