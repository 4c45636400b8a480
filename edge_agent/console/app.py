"""Composition root of the console process."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

from aiohttp import web

from drivers.api import Clock, EdgeError
from edge_agent.config.load import load_config, load_console_config
from edge_agent.config.schema import ConsoleSection
from edge_agent.model.errors import ConfigError
from edge_agent.observe.log import logging_to
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.systemd import ServiceManager

from .doors import Doors, read_token
from .lane_link import LaneLink
from .server import ConsoleServer

OnReady = Callable[[str], None]

_BACKLOG: Final = 128


def main(config_path: Path) -> int:
    """`edge-agent console`: serve the page until SIGTERM or SIGINT, then end within two seconds; the exit code.

    `config_path` is a `lane.yaml` with a `console` section, or a file of its own (ConsoleConfig). EdgeError, also that
    of an address that cannot be taken, goes to the caller.
    """
    settings = load_console_config(config_path).console
    media_token = viewers_token(config_path)
    with logging_to("console"):
        try:
            asyncio.run(_until_signalled(settings, media_token))
        except asyncio.CancelledError:
            return 0
    return 0


async def run_console(
    settings: ConsoleSection,
    clock: Clock,
    on_ready: OnReady,
    *,
    media_token: str | None = None,
    rng: Random | None = None,
) -> None:
    """Serve until cancelled. `on_ready` gets the page's URL once it listens; `media_token` is what signed-in pages show
    to the lanes' media processes.

    Raises ConfigError CONSOLE_TOKEN or CONSOLE_TLS, EdgeError CONSOLE_PORT.
    """
    doors = Doors(read_token(settings.token_file), settings.allowed_origins, clock)
    source = SystemRandom() if rng is None else rng
    lanes = [LaneLink(index, section, clock, source) for index, section in enumerate(settings.lanes)]
    server = ConsoleServer(lanes, doors, media_token)
    with _listen(settings) as listener:
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(lane.run(), name=f"lane:{lane.name}")
            group.create_task(_serve(server, listener, on_ready), name="http")


async def _serve(server: ConsoleServer, listener: socket.socket, on_ready: OnReady) -> None:
    runner = web.AppRunner(server.application(), handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, backlog=_BACKLOG).start()
        host, port = listener.getsockname()[:2]
        on_ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _listen(settings: ConsoleSection) -> socket.socket:
    host, port = settings.listen_host, settings.listen_port
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        hint = "free the port or change console.listen_port"
        raise EdgeError("CONSOLE_PORT", f"cannot listen on {host}:{port}: {error.strerror}", hint) from error


async def _until_signalled(settings: ConsoleSection, media_token: str | None) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    manager = ServiceManager()

    def ready(url: str) -> None:
        manager.ready(f"console on {url}")
        sys.stderr.write(f"console on {url}\n")

    try:
        await run_console(settings, SystemClock(), ready, media_token=media_token)
    finally:
        manager.stopping("console ends")
        manager.close()


def viewers_token(config_path: Path) -> str | None:
    """The viewers' token of a lane whose media process is configured in the same file. ConfigError."""
    try:
        media = load_config(config_path).media
    except ConfigError:
        return None  # a console's own file: it was checked before, and names no media process
    if media is None or media.token_file is None:
        return None
    return read_token(media.token_file, "media.token_file").decode()
