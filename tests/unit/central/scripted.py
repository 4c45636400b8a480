"""A release service made of two functions, and the reference service inside the test's own loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from edge_agent.central.connection import connect
from hil.release_service.book import Book
from hil.release_service.desk import Switches
from hil.release_service.docket import Docket
from hil.release_service.keys import Keys, make_keys
from hil.release_service.rules_file import load_rules
from hil.release_service.service import SERVER_OPTIONS, ReleaseService
from securecorridor.release.v1 import release_service_pb2_grpc as pb_grpc

Script = Callable[[AsyncIterator[Any], Any], Awaitable[None]]


class ScriptedService(pb_grpc.ReleaseServiceServicer):
    """Each stream is handed to its function."""

    def __init__(self, decide: Script | None, forward: Script | None) -> None:
        self._decide = decide
        self._forward = forward

    async def Decide(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        assert self._decide is not None
        await self._decide(request_iterator, context)

    async def Forward(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        assert self._forward is not None
        await self._forward(request_iterator, context)


@contextlib.asynccontextmanager
async def scripted(decide: Script | None = None, forward: Script | None = None) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a service that does just this."""
    async with served(ScriptedService(decide, forward)) as target, channel_to(target) as channel:
        yield channel


@contextlib.asynccontextmanager
async def served(servicer: pb_grpc.ReleaseServiceServicer, listen: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serve it; gives the target's address."""
    server = grpc.aio.server(options=SERVER_OPTIONS)
    pb_grpc.add_ReleaseServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(listen)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
        await _ended("rpc_task")


@contextlib.asynccontextmanager
async def channel_to(target: str) -> AsyncIterator[grpc.aio.Channel]:
    """The lane's channel, closed at the end."""
    channel = connect(target)
    try:
        yield channel
    finally:
        await channel.close()
        await _ended("StreamStreamCall._prepare_rpc", "_AioCall._handle_status_once_received")


async def _ended(*names: str) -> None:
    """Let gRPC's own tasks of these names end: it lets go of cancelled calls a little later. Those of other calls that
    go on are not waited for."""
    left = [
        task
        for task in asyncio.all_tasks()
        if not task.done() and {task.get_name(), getattr(task.get_coro(), "__qualname__", "")} & set(names)
    ]
    if left:
        await asyncio.wait(left, timeout=0.3)


class Reference:
    """The reference service with what it published, in order."""

    def __init__(self, directory: Path, rules: str) -> None:
        if not (directory / "keys").exists():
            make_keys(directory / "keys")
        self.keys = Keys(directory / "keys")
        self.book = Book(directory / "central")
        self.docket = Docket(directory / "central")
        self.switches = Switches()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._news = asyncio.Event()
        self.rules = load_rules(rules, "rules.yaml")
        self.service = ReleaseService(self.rules, self.keys, self.docket, self.book, self.switches, self._publish)

    def _publish(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))
        self._news.set()

    def seen(self, event: str) -> list[dict[str, Any]]:
        """What was published under this name."""
        return [fields for name, fields in self.events if name == event]

    async def until(self, event: str, count: int) -> list[dict[str, Any]]:
        """Wait until it was published so often."""
        while len(self.seen(event)) < count:
            self._news.clear()
            await self._news.wait()
        return self.seen(event)

    def close(self) -> None:
        """Let its files go."""
        self.service.close()
        self.book.close()
        self.docket.close()


@contextlib.asynccontextmanager
async def reference(
    directory: Path, rules: str = "default: {verdict: hold_at_line, delay_s: 0}", listen: str = "127.0.0.1:0"
) -> AsyncIterator[tuple[Reference, grpc.aio.Channel]]:
    """The reference service and a channel to it."""
    service = Reference(directory, rules)
    try:
        async with served(service.service, listen) as target, channel_to(target) as channel:
            yield service, channel
    finally:
        service.close()


@contextlib.asynccontextmanager
async def running(work: Awaitable[Any]) -> AsyncIterator["asyncio.Future[Any]"]:
    """Run it beside the block, and cancel it at the end."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def never(*_: Any) -> None:
    """Wait for ever."""
    await asyncio.Event().wait()
