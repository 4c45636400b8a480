"""What camera tests talk to: the virtual camera as a process, and servers that are no camera."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from drivers.camera.rtsp_camera import CameraEvent, CameraFrame, RtspCamera
from hil.rig.processes import Control, start


@asynccontextmanager
async def virtual_camera(tmp_path: Path, *arguments: str) -> AsyncIterator[tuple[str, Control]]:
    """A running virtual camera: its URL and its panel."""
    control = tmp_path / "camera.sock"
    command = ["-m", "hil.devices.rtsp_camera", "--control", str(control), *arguments]
    camera = await start("camera", command, tmp_path)
    panel = Control(control)
    try:
        yield camera.ready["url"], panel
    finally:
        await panel.close()
        assert await camera.end() == 0


@asynccontextmanager
async def tcp_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
) -> AsyncIterator[str]:
    """A server on loopback that leaves no task behind: its address as a camera URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(conversation(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/s"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def says(words: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
    """A peer that says `words` and then listens."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await reader.read()

    return serve


def replies(
    **answers: str,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
    """A peer that answers each method with `answers[method]` (status line, headers, body), and 200 otherwise."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                sequence = head.partition("CSeq: ")[2].partition("\r\n")[0]
                status, _, rest = answers.get(head.partition(" ")[0], "200 OK\r\n\r\n").partition("\r\n")
                writer.write(f"RTSP/1.0 {status}\r\nCSeq: {sequence}\r\n{rest}".encode())

    return serve


async def until(reached: Callable[[], Awaitable[bool]], timeout_s: float = 10.0) -> None:
    """Wait for a state of another process."""
    async with asyncio.timeout(timeout_s):
        while not await reached():  # noqa: ASYNC110 - the other process has no event to wait for
            await asyncio.sleep(0.01)


async def until_idle(panel: Control) -> None:
    """Wait until the virtual camera has no client."""

    async def idle() -> bool:
        return not (await panel.do("get"))["clients"]

    await until(idle)


class Recorder:
    """Takes what a camera emits and ends the session when there is enough; `begun` is set with the first picture."""

    def __init__(self, enough: int) -> None:
        self.events: list[CameraEvent] = []
        self.begun = asyncio.Event()
        self._enough = enough

    @property
    def frames(self) -> list[CameraFrame]:
        """The pictures."""
        return [event for event in self.events if isinstance(event, CameraFrame)]

    async def record(self, camera: RtspCamera) -> None:
        """Run one session; raises what it raises."""
        async with asyncio.timeout(20):
            task = asyncio.current_task()
            assert task is not None

            def emit(event: CameraEvent) -> None:
                self.events.append(event)
                if isinstance(event, CameraFrame):
                    self.begun.set()
                if len(self.frames) == self._enough:
                    task.cancel()

            try:
                await camera.run(emit)
            except asyncio.CancelledError:
                if len(self.frames) < self._enough:
                    raise
                task.uncancel()
