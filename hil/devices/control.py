"""The control channel of a virtual device: JSON lines over a unix socket.

A request is one object `{"do": NAME, ...}`; its answer one line, `{"ok": true, ...}` or `{"ok": false, "error": ...}`.
`{"do": "subscribe"}` turns the connection into a stream of events `{"at_ns": CLOCK_MONOTONIC, "event": NAME, ...}` on
the device's own clock: what oracles judge by. A device prints one JSON line `{"ready": true, ...}` on stdout when it
serves, and ends when its stdin closes (its starter died) or on SIGTERM.

By hand: `python -m hil.devices.control SOCKET '{"do": "get"}'` sends one request and prints the answer.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Handler = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]

_SUBSCRIBER_BACKLOG_BYTES = 1 << 20


class ControlChannel:
    """Serves one device's verbs and publishes its events. `verbs` maps a name to a function (request -> answer)."""

    def __init__(self, path: Path, verbs: Mapping[str, Handler]) -> None:
        self._path = path
        self._verbs = verbs
        self._subscribers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Start serving; removes a stale socket file first."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path=str(self._path))

    async def close(self) -> None:
        """Stop serving and remove the socket file."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._subscribers):
                writer.close()
        self._path.unlink(missing_ok=True)

    def publish(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - JSON values
        """Send an event, stamped now, to every subscriber; one that does not read is cut off."""
        line = json.dumps({"at_ns": time.monotonic_ns(), "event": event, **fields}).encode() + b"\n"
        for writer in tuple(self._subscribers):
            if writer.transport.get_write_buffer_size() > _SUBSCRIBER_BACKLOG_BYTES:
                writer.close()
                self._subscribers.discard(writer)
            else:
                writer.write(line)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = self._answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                if answer.get("subscribed"):
                    self._subscribers.add(writer)
                await writer.drain()
        # Cancelled only when the program ends; the stream's own callback would tell it as a failure, with a traceback.
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass
        finally:
            self._subscribers.discard(writer)
            writer.close()

    def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
            verb = request["do"]
            if verb == "subscribe":
                return {"ok": True, "subscribed": True}
            return {"ok": True, **(self._verbs[verb](request) or {})}
        except (KeyError, TypeError, ValueError) as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}", "verbs": sorted(self._verbs)}


def announce_ready(**fields: Any) -> None:  # noqa: ANN401 - JSON values
    """Tell the starter that the device serves, with its addresses."""
    print(json.dumps({"ready": True, **fields}), flush=True)


async def until_told_to_end() -> None:
    """Return on SIGTERM, SIGINT or when stdin closes, so that no device outlives its starter."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if not sys.stdin.closed and not sys.stdin.isatty():
        with contextlib.suppress(OSError, ValueError, PermissionError):
            loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 4096) else ended.set())
    await ended.wait()


def ask(path: Path, request: str, timeout_s: float = 5.0) -> Mapping[str, Any]:
    """Send one request, JSON as a person types it, and return the answer. ValueError when either is not JSON, OSError
    when nobody serves or answers."""
    json.loads(request)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout_s)
        link.connect(str(path))
        link.sendall(" ".join(request.split()).encode() + b"\n")
        with link.makefile("rb") as lines:
            line = lines.readline()
    answer: dict[str, Any] = json.loads(line)
    return answer


def main(arguments: Sequence[str]) -> int:
    """Send one request and print the answer; 1 when it is refused or nobody answers, 2 for a wrong command line."""
    if len(arguments) != 2:
        print(f"usage: python -m hil.devices.control SOCKET '{json.dumps({'do': 'get'})}'", file=sys.stderr)
        return 2
    try:
        answer = ask(Path(arguments[0]), arguments[1])
    except (OSError, ValueError) as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(answer))
    return 0 if answer.get("ok") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
