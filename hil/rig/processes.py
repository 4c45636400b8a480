"""Child processes of a bench: started with a ready line, ended for certain, and their control channels."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_END_S = 5.0


class StartFailed(RuntimeError):
    """A process of the bench did not come up; the message holds the end of its log."""


class Child:
    """One started process. `ready` holds the fields of its ready line (empty when none was awaited)."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log
        self.ready: Mapping[str, Any] = {}

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    async def wait_ready(self, timeout_s: float) -> None:
        """Read stdout up to the line `{"ready": true, ...}`."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                while line := await self.process.stdout.readline():
                    with contextlib.suppress(ValueError):
                        fields = json.loads(line)
                        if isinstance(fields, dict) and fields.get("ready"):
                            self.ready = fields
                            return
                raise StartFailed(f"{self.name} ended before it was ready\n{self.log_end()}")
        except TimeoutError:
            raise StartFailed(f"{self.name} did not become ready in {timeout_s:g} s\n{self.log_end()}") from None

    def log_end(self, lines: int = 15) -> str:
        """The last lines of its standard error."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(f"  {self.name}: {line}" for line in text.splitlines()[-lines:])

    def kill(self) -> None:
        """SIGKILL, as a power cut of this process."""
        self.process.kill()

    async def end(self, timeout_s: float = _END_S) -> int:
        """SIGTERM, then SIGKILL when it does not end in time; returns the exit code."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(timeout_s):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            return await self.process.wait()


async def start(
    name: str,
    arguments: Sequence[str],
    log_dir: Path,
    *,
    ready_s: float | None = 15.0,
    environment: Mapping[str, str] | None = None,
) -> Child:
    """Start `python -m ...` (this interpreter) in its own session, so that Ctrl-C reaches only the starter.

    Standard error goes to `log_dir/name.log`. `ready_s` None: do not wait for a ready line.
    """
    log = log_dir / f"{name}.log"
    with log.open("ab") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if ready_s is not None else sink,
            stderr=sink,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    child = Child(name, process, log)
    if ready_s is not None:
        try:
            await child.wait_ready(ready_s)
        except BaseException:
            await child.end()
            raise
    return child


class Control:
    """A client of one device's control channel: requests on one connection, events on another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()

    async def do(self, verb: str, **fields: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON values
        """Send one request; RuntimeError when the device refuses it."""
        async with self._turn:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_unix_connection(str(self._path))
            assert self._reader is not None
            self._writer.write(json.dumps({"do": verb, **fields}).encode() + b"\n")
            line = await self._reader.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"ok": False, "error": "device is gone"}
        if not answer.get("ok"):
            raise RuntimeError(f"{self._path.name} refused {verb}: {answer.get('error')}")
        return answer

    async def events(self, subscribed: Callable[[], None] = lambda: None) -> AsyncIterator[Mapping[str, Any]]:
        """The device's events from now on; ends when the device does. `subscribed`: from here nothing is missed."""
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=1 << 20)
        try:
            writer.write(b'{"do": "subscribe"}\n')
            await reader.readline()
            subscribed()
            while line := await reader.readline():
                yield json.loads(line)
        finally:
            writer.close()

    async def close(self) -> None:
        """Close the request connection."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
