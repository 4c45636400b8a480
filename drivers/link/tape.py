"""A tee for links: what passes one device's link, and what its driver was told of the time, in the order it happened.

A session that is recorded gets its link, its clock and its run wrapped; one that is not gets nothing of the kind, so
that a link costs the same as if no tee existed. Noting never waits and never fails: what becomes of the notes is the
recorder's matter, and a tape that has ended takes none.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

from drivers.api import Clock, DeviceError, Emit, Source, Stamp
from drivers.link.capture_codec import Record, RecordKind, encode_record
from drivers.link.link import Link
from drivers.link.tcp import Stream

CHUNK_BYTES = 16 * 1024
_STAMP_BYTES = 8

L = TypeVar("L", bound=Stream)


class Tape:
    """Collects records and hands them on in chunks of about 16 KiB, or when `flush` is called.

    `take(chunk)` gets encoded whole records; it must be quick and must not raise.
    """

    def __init__(self, clock: Clock, start: Stamp, take: Callable[[bytes], object]) -> None:
        self._clock = clock
        self._start = start
        self._take = take
        self._pending = bytearray()
        self.running = True

    def note(self, kind: RecordKind, payload: bytes = b"") -> None:
        """Something happened, now."""
        if self.running:
            self._append(kind, self._clock.stamp(), payload)

    def stamp(self) -> Stamp:
        """The time now, noted as told to the driver."""
        stamp = self._clock.stamp()
        if self.running:
            wall_ns = stamp.utc_ns - self._start.utc_ns
            self._append(RecordKind.STAMP, stamp, wall_ns.to_bytes(_STAMP_BYTES, "big", signed=True))
        return stamp

    def flush(self) -> None:
        """Hand on what there is."""
        if self._pending:
            chunk = bytes(self._pending)
            self._pending.clear()
            self._take(chunk)

    def end(self) -> None:
        """Take no more notes; what there is is handed on."""
        self.running = False
        self.flush()

    def _append(self, kind: RecordKind, now: Stamp, payload: bytes) -> None:
        self._pending += encode_record(Record(kind, max(0, now.mono_ns - self._start.mono_ns), payload))
        if len(self._pending) >= CHUNK_BYTES:
            self.flush()


class Splice:
    """How a driver gets its link: as it is. Recording and replay put themselves in between."""

    def link(self, open_link: Callable[[], Awaitable[Link]]) -> Callable[[], Awaitable[Link]]:
        """The opener of a serial line."""
        return open_link

    def stream(self, open_link: Callable[[], Awaitable[Stream]]) -> Callable[[], Awaitable[Stream]]:
        """The opener of a network connection."""
        return open_link


DIRECT = Splice()


class TapedSplice(Splice):
    """Every link that is opened through it is noted on the tape."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def link(self, open_link: Callable[[], Awaitable[Link]]) -> Callable[[], Awaitable[Link]]:
        """The opener of a serial line, with its attempts noted."""

        async def opened() -> Link:
            return _TapedLink(await _noted_opening(self.tape, open_link), self.tape)

        return opened

    def stream(self, open_link: Callable[[], Awaitable[Stream]]) -> Callable[[], Awaitable[Stream]]:
        """The opener of a network connection, with its attempts noted."""

        async def opened() -> Stream:
            return _TapedStream(await _noted_opening(self.tape, open_link), self.tape)

        return opened


class TapedSource:
    """A session whose beginning, end and cancellation stand on the tape. `made_from`: JSON of what made it."""

    def __init__(self, source: Source, tape: Tape, made_from: bytes) -> None:
        self._source = source
        self._tape = tape
        self._made_from = made_from

    async def run(self, emit: Emit) -> None:
        """The session's own run."""
        tape = self._tape
        tape.note(RecordKind.BEGUN, self._made_from)
        # In a task of its own, so that a cancellation is noted before the driver learns of it.
        task = asyncio.get_running_loop().create_task(self._source.run(emit))
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            tape.note(RecordKind.CANCELLED)
            task.cancel()
            await asyncio.wait([task])
            tape.note(RecordKind.ENDED, encode_end(""))
            if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, DeviceError):
                raise error from None
            raise
        error = task.exception()
        tape.note(RecordKind.ENDED, encode_end(error.code if isinstance(error, DeviceError) else ""))
        task.result()


class _TapedStream:
    """A network connection whose every call is noted."""

    def __init__(self, stream: Stream, tape: Tape) -> None:
        self._stream = stream
        self._tape = tape

    async def read(self, max_bytes: int) -> bytes:
        data = await _noting_ends(self._tape, self._stream.read(max_bytes))
        self._tape.note(RecordKind.RX, data)
        return data

    async def write(self, data: bytes) -> None:
        self._tape.note(RecordKind.TX, data)
        try:
            await self._stream.write(data)
        except asyncio.CancelledError:
            self._tape.note(RecordKind.UNDONE)
            raise
        except DeviceError as error:
            self._tape.note(RecordKind.UNDONE, encode_fault(error))
            raise

    async def close(self) -> None:
        self._tape.note(RecordKind.CLOSED)
        await self._stream.close()


class _TapedLink(_TapedStream):
    """A serial line whose every call is noted."""

    def __init__(self, link: Link, tape: Tape) -> None:
        super().__init__(link, tape)
        self._link = link

    def set_baud(self, baud: int) -> None:
        self._tape.note(RecordKind.BAUD, baud.to_bytes(4, "big"))
        try:
            self._link.set_baud(baud)
        except DeviceError as error:
            self._tape.note(RecordKind.UNDONE, encode_fault(error))
            raise


R = TypeVar("R")


async def _noting_ends(tape: Tape, call: Awaitable[R]) -> R:
    try:
        return await call
    except asyncio.CancelledError:
        tape.note(RecordKind.TIMEOUT)
        raise
    except DeviceError as error:
        tape.note(RecordKind.LOST, encode_fault(error))
        raise


async def _noted_opening(tape: Tape, open_link: Callable[[], Awaitable[L]]) -> L:
    link = await _noting_ends(tape, open_link())
    tape.note(RecordKind.OPENED)
    return link


def encode_fault(error: DeviceError) -> bytes:
    """A link's fault as it stands on the tape."""
    fault = type(error).__name__
    return json.dumps({"fault": fault, "code": error.code, "message": error.message, "hint": error.hint}).encode()


def encode_end(code: str) -> bytes:
    """A session's end as it stands on the tape."""
    return json.dumps({"code": code}).encode()
