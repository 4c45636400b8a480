"""Composition root of the media process."""

import asyncio
import socket
from collections.abc import Callable
from random import SystemRandom
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from drivers.api import Clock, EdgeError
from edge_agent.media.feed import CameraFeed
from edge_agent.media.metrics import FirstPictureTimes, MediaCollector
from edge_agent.media.sessions import Sessions
from edge_agent.media.settings import MediaSettings
from edge_agent.media.viewer import prepare_library
from edge_agent.media.whep import Doors, WhepServer

OnCameraState = Callable[[str, bool, float | None], None]

_STATE_EVERY_S: Final = 1.0
_BACKLOG: Final = 128


async def run_media(
    settings: MediaSettings,
    clock: Clock,
    on_ready: Callable[[int], None],
    on_camera_state: OnCameraState | None = None,
) -> None:
    """Serve until cancelled. `on_ready` gets the port that listens; `on_camera_state` (view, live, age of the last
    picture in seconds or None before the first) is called at every change and once a second, and must not block.

    Raises EdgeError MEDIA_CONFIG or MEDIA_PORT before `on_ready`.
    """
    prepare_library()
    doors = Doors(settings.read_token(), frozenset(settings.allowed_origins))
    listener = _listen(settings)
    rng = SystemRandom()
    feeds = {camera.view: CameraFeed(camera, clock, rng) for camera in settings.cameras}
    registry = CollectorRegistry()
    sessions = Sessions(settings.max_viewers, FirstPictureTimes(registry).observe)
    registry.register(MediaCollector(feeds, sessions))
    server = WhepServer(feeds, sessions, doors, registry)
    with listener:
        async with asyncio.TaskGroup() as group:
            group.create_task(sessions.run(), name="viewers")
            for feed in feeds.values():
                group.create_task(feed.run(), name=f"device:{feed.view}")
            if on_camera_state is not None:
                group.create_task(_tell_state(tuple(feeds.values()), on_camera_state), name="camera-state")
            group.create_task(_serve(server, listener, on_ready), name="http")


def _listen(settings: MediaSettings) -> socket.socket:
    host, port = settings.listen_host, settings.listen_port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        hint = "free the port or change listen_port"
        raise EdgeError("MEDIA_PORT", f"cannot listen on {host}:{port}: {error.strerror}", hint) from error


async def _serve(server: WhepServer, listener: socket.socket, on_ready: Callable[[int], None]) -> None:
    runner = web.AppRunner(server.application(), handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        on_ready(listener.getsockname()[1])
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _tell_state(feeds: tuple[CameraFeed, ...], tell: OnCameraState) -> None:
    changed = asyncio.Event()
    for feed in feeds:
        feed.on_change = changed.set
    while True:
        changed.clear()
        for feed in feeds:
            tell(feed.view, feed.live, feed.age_s)
        try:
            async with asyncio.timeout(_STATE_EVERY_S):
                await changed.wait()
        except TimeoutError:
            continue
