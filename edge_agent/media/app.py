"""Composition root of the media process."""

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from drivers.api import Clock, EdgeError
from edge_agent.config.load import load_config
from edge_agent.config.schema import LaneConfig
from edge_agent.media.feed import CameraFeed
from edge_agent.media.metrics import FirstPictureTimes, MediaCollector
from edge_agent.media.report import ViewReporter
from edge_agent.media.sessions import Sessions
from edge_agent.media.settings import MediaSettings
from edge_agent.media.viewer import prepare_library
from edge_agent.media.whep import Doors, WhepServer
from edge_agent.model.errors import ConfigError
from edge_agent.observe.log import logging_to
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.systemd import ServiceManager

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


def main(config_path: Path) -> int:
    """`edge-agent media`: serve the lane's cameras until SIGTERM or SIGINT; the exit code. EdgeError to the caller."""
    config = load_config(config_path)
    settings = settings_of(config)
    with logging_to(config.lane.id):
        try:
            asyncio.run(_until_signalled(settings, config))
        except asyncio.CancelledError:
            return 0
    return 0


def settings_of(config: LaneConfig) -> MediaSettings:
    """The media section as this process wants it. ConfigError when the lane has none."""
    media = config.media
    if media is None:
        raise ConfigError("NO_MEDIA", "the configuration has no media section", "add one, or disable this unit")
    return MediaSettings(
        listen_host=media.listen_host,
        listen_port=media.listen_port,
        token_file=media.token_file,
        cameras=tuple(media.cameras),
        allowed_origins=media.allowed_origins,
        max_viewers=media.max_viewers,
    )


async def _until_signalled(settings: MediaSettings, config: LaneConfig) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    clock = SystemClock()
    manager = ServiceManager()
    reporter = ViewReporter(f"unix:{config.api.socket_dir / 'media.sock'}", clock)

    def ready(port: int) -> None:
        manager.ready(f"serving {len(settings.cameras)} view(s) on port {port}")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(reporter.run(), name="report")
            group.create_task(run_media(settings, clock, ready, reporter.tell), name="media")
    finally:
        manager.close()
