"""A captured session once more: the driver's own code on virtual time, fed what its link gave and told the same times.

Everything happens in the captured order. A read gets the bytes it got then, at that time; one that was given up then
waits until the driver's own time-out ends it; a write must be what was written then. Where the driver does something
else, the replay ends with what was captured and what it wanted.
"""

import asyncio
import contextlib
import json
import math
import selectors
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from drivers.api import (
    DeviceError,
    DeviceRefused,
    DeviceTimeout,
    LinkLost,
    Observation,
    ProtocolViolation,
    Source,
    Stamp,
)
from drivers.link.capture_codec import Capture, Record, RecordKind
from drivers.link.link import Link
from drivers.link.tape import Splice
from drivers.link.tcp import Stream

_SHOWN_BYTES = 24


class _Diverged(BaseException):
    """The driver left the captured path. No fault of a device: no driver may handle it."""


class _TapeEnd(BaseException):
    """The capture ends here, in the middle of a session."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first difference: the record's number in the capture and its time, what was captured, and what the driver
    did. Neither shows a value: what passes a link may identify a person."""

    record: int
    at_s: float
    captured: str
    replayed: str


@dataclass(frozen=True, slots=True)
class SessionReplay:
    """One session. `ended`: the code of the fault it ended with, "" when it was cancelled or the capture ends in it;
    `whole`: whether the capture holds its end."""

    observations: tuple[Observation, ...]
    ended: str
    whole: bool
    divergence: Divergence | None


Callee = Callable[[str, str, Callable[[Observation], None]], Awaitable[None]]
"""Asks the driver for something: what, with what, and where the observation goes that it answers with."""
MakeSession = Callable[[bytes, "ReplayClock", "ReplaySplice"], Source]
"""Makes the captured driver again, from what the capture says it was made from."""


def replay(capture: Capture, make: MakeSession) -> tuple[SessionReplay, ...]:
    """Every session of a capture that begins in it, in order; nothing after the first that diverges. Runs an event loop
    of its own: not to be called from a coroutine. Faults of `make` go to the caller."""
    sessions: list[SessionReplay] = []
    start = Stamp(capture.header.started_mono_ns, capture.header.started_utc_ns)
    player = Player(capture.records, start)
    while player.next_session() and not (sessions and sessions[-1].divergence):
        with asyncio.Runner(loop_factory=lambda: _ReplayLoop(player)) as runner:
            sessions.append(runner.run(_session(player, make)))
    return tuple(sessions)


async def _session(player: "Player", make: MakeSession) -> SessionReplay:
    seen: list[Observation] = []
    made_from = player.take(RecordKind.BEGUN, "begin").payload
    splice = ReplaySplice(player)
    source = make(made_from, ReplayClock(player), splice)
    loop = asyncio.get_running_loop()
    task = player.task = loop.create_task(source.run(seen.append))
    calls = loop.create_task(_follow_calls(player, splice, seen))
    try:
        await asyncio.wait([task])
    finally:
        player.task = None
        calls.cancel()
        await asyncio.wait([calls])
    error = None if task.cancelled() else task.exception()
    if player.stopped is None and error is None and not task.cancelled():
        player.compare_end("")
    elif player.stopped is None and isinstance(error, DeviceError):
        player.compare_end(error.code)
    elif error is not None and not isinstance(error, DeviceError | _Diverged | _TapeEnd):
        raise error
    ended = error.code if isinstance(error, DeviceError) else ""
    whole = not isinstance(player.stopped, _TapeEnd)
    return SessionReplay(tuple(seen), ended, whole, player.divergence)


async def _follow_calls(player: "Player", splice: "ReplaySplice", seen: list[Observation]) -> None:
    """Ask the driver for what it was asked for then, when it was."""
    calls: dict[int, asyncio.Task[None]] = {}
    try:
        while True:
            record = await player.until("", lambda kind: kind in (RecordKind.CALL, RecordKind.CALL_CANCELLED))
            told = json.loads(player.take(record.kind, "").payload)
            if record.kind is RecordKind.CALL and splice.callee is not None:
                call = _answered(splice.callee, told["do"], told["with"], seen.append)
                calls[told["number"]] = asyncio.get_running_loop().create_task(call)
            elif told["number"] in calls:
                calls[told["number"]].cancel()
    except (_Diverged, _TapeEnd):
        return
    finally:
        for task in calls.values():
            task.cancel()
        if calls:
            await asyncio.wait(calls.values())


async def _answered(callee: "Callee", do: str, with_: str, emit: Callable[[Observation], None]) -> None:
    """A call whose fault its caller handled then."""
    with contextlib.suppress(DeviceError, _Diverged, _TapeEnd):
        await callee(do, with_, emit)


class Player:
    """The records, and how far they have been played."""

    def __init__(self, records: Sequence[Record], start: Stamp) -> None:
        self._numbers, self._records = _to_be_played(records)
        self._start = start
        self._waiting: dict[asyncio.Future[None], str] = {}
        self._at = 0
        self.now_ns = start.mono_ns
        self.task: asyncio.Task[None] | None = None
        self.stopped: BaseException | None = None
        self.divergence: Divergence | None = None

    def next_session(self) -> bool:
        """Go to the next session's beginning; False when there is none."""
        while self._at < len(self._records) and self._records[self._at].kind is not RecordKind.BEGUN:
            self._at += 1
        self.stopped = None
        if self._at == len(self._records):
            return False
        self.now_ns = max(self.now_ns, self._start.mono_ns + self._records[self._at].offset_ns)
        return True

    def peek(self, doing: str) -> Record:
        """The next record; the session is stopped where there is none, or where it was cancelled then."""
        if self.stopped is not None:
            raise self.stopped
        if self._at == len(self._records):
            self._stop(_TapeEnd())
        record = self._records[self._at]
        if record.kind is RecordKind.CANCELLED:
            self._stop(asyncio.CancelledError())
        if record.kind is RecordKind.ENDED or record.kind is RecordKind.BEGUN:
            self.diverge(doing)
        return record

    async def until(
        self, doing: str, fits: Callable[[RecordKind], bool], also: Callable[[], bool] = lambda: True
    ) -> Record:
        """Wait until the next record is of a kind that fits, for drivers that do several things at a time. `doing` is
        told when it never comes."""
        while True:
            if self.stopped is not None:
                raise self.stopped
            if self._at == len(self._records):
                self._stop(_TapeEnd())
            record = self._records[self._at]
            if record.kind is RecordKind.CANCELLED:
                self._stop(asyncio.CancelledError())
            if fits(record.kind) and also():
                return record
            moved = asyncio.get_running_loop().create_future()
            self._waiting[moved] = doing
            try:
                await moved
            finally:
                self._waiting.pop(moved, None)

    def caller_gives_up(self) -> bool:
        """Whether the record after the next says that whoever called the driver gave up."""
        after = self._records[self._at + 1] if self._at + 1 < len(self._records) else None
        return after is not None and after.kind is RecordKind.CALL_CANCELLED

    def next_sent(self) -> bytes:
        """The bytes sent next, if nothing but looks at the clock comes before; else nothing."""
        at = self._at
        while at < len(self._records) and self._records[at].kind is RecordKind.STAMP:
            at += 1
        found = self._records[at] if at < len(self._records) else None
        return found.payload if found is not None and found.kind is RecordKind.TX else b""

    def _wake(self) -> None:
        for moved in self._waiting:
            if not moved.done():
                moved.set_result(None)

    def take(self, kind: RecordKind, doing: str) -> Record:
        """The next record, which must be of this kind; time moves to it."""
        if kind is RecordKind.BEGUN:
            record = self._records[self._at]
        else:
            record = self.peek(doing)
            if record.kind is not kind:
                self.diverge(doing)
        self._at += 1
        self.now_ns = max(self.now_ns, self._start.mono_ns + record.offset_ns)
        self._wake()
        return record

    def undone(self) -> Record | None:
        """The next record if it says that the call before it failed."""
        following = self._records[self._at] if self._at < len(self._records) else None
        return following if following is not None and following.kind is RecordKind.UNDONE else None

    def stamp_of(self, record: Record) -> Stamp:
        """The time the driver was told then."""
        wall_ns = int.from_bytes(record.payload, "big", signed=True)
        return Stamp(self._start.mono_ns + record.offset_ns, self._start.utc_ns + wall_ns)

    def diverge(self, doing: str) -> NoReturn:
        """The driver does something else than what was captured."""
        record = self._records[self._at] if self._at < len(self._records) else None
        captured = _told(record) if record is not None else "the end of the capture"
        offset_ns = record.offset_ns if record is not None else self.now_ns - self._start.mono_ns
        self.divergence = Divergence(self._number(), offset_ns / 1e9, captured, doing)
        self._stop(_Diverged())

    def stuck(self) -> None:
        """The driver waits for what does not come: nothing is left that could wake it."""
        if self.task is None or self.stopped is not None:
            raise RuntimeError("a replayed driver did not end")
        record = self._records[self._at] if self._at < len(self._records) else None
        captured = _told(record) if record is not None else "the end of the capture"
        at_s = record.offset_ns / 1e9 if record is not None else 0.0
        wishes = " and ".join(sorted({doing for doing in self._waiting.values() if doing}))
        self.divergence = Divergence(self._number(), at_s, captured, wishes or "waiting without a time-out")
        self.stopped = _Diverged()
        self.task.cancel()

    def compare_end(self, code: str) -> None:
        """The driver ended by itself: so it must have then."""
        doing = f"ending with {code or 'nothing'}"
        if self._at == len(self._records):
            return
        record = self._records[self._at]
        if record.kind is not RecordKind.ENDED or json.loads(record.payload)["code"] != code:
            self.divergence = Divergence(self._number(), record.offset_ns / 1e9, _told(record), doing)

    def _number(self) -> int:
        """The next record's place in the capture."""
        return self._numbers[self._at] if self._at < len(self._records) else len(self._numbers)

    def _stop(self, why: BaseException) -> NoReturn:
        self.stopped = why
        self._wake()
        raise why


class ReplayClock:
    """A `drivers.api.Clock` that tells the captured times."""

    def __init__(self, player: Player) -> None:
        self._player = player

    def stamp(self) -> Stamp:
        """What the driver was told then."""
        return self._player.stamp_of(self._player.take(RecordKind.STAMP, "looking at the clock"))


class ReplaySplice(Splice):
    """Openers that open nothing: the links they give are the capture."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.callee: Callee | None = None

    def link(self, open_link: Callable[[], Awaitable[Link]]) -> Callable[[], Awaitable[Link]]:
        """The captured serial line."""

        async def opened() -> Link:
            await self._open()
            return _ReplayLink(self.player)

        return opened

    def stream(self, open_link: Callable[[], Awaitable[Stream]]) -> Callable[[], Awaitable[Stream]]:
        """The captured connection."""

        async def opened() -> Stream:
            await self._open()
            return _ReplayLink(self.player)

        return opened

    async def _open(self) -> None:
        await _outcome(self.player, RecordKind.OPENED, "opening the link")


class _ReplayLink:
    """A link as the driver sees it."""

    def __init__(self, player: Player) -> None:
        self._player = player

    async def read(self, max_bytes: int) -> bytes:
        return (await _outcome(self._player, RecordKind.RX, "reading")).payload[:max_bytes]

    async def write(self, data: bytes) -> None:
        player = self._player
        doing = f"writing {_size(data)}"
        record = player.peek(doing)
        if record.kind is not RecordKind.TX:
            player.diverge(doing)
        if record.payload != data:
            player.diverge(f"{doing}, {_difference(record.payload, data)}")
        player.take(RecordKind.TX, doing)
        if (undone := player.undone()) is None:
            return
        if undone.payload:
            raise fault_of(player.take(RecordKind.UNDONE, doing))
        await until_given_up(player, RecordKind.UNDONE, doing)

    def set_baud(self, baud: int) -> None:
        player = self._player
        doing = f"setting {baud} bits/s"
        if player.peek(doing).payload != baud.to_bytes(4, "big"):
            player.diverge(doing)
        player.take(RecordKind.BAUD, doing)
        if player.undone() is not None:
            raise fault_of(player.take(RecordKind.UNDONE, doing))

    async def close(self) -> None:
        if self._player.stopped is None:
            self._player.take(RecordKind.CLOSED, "closing the link")


async def _outcome(player: Player, good: RecordKind, doing: str) -> Record:
    """What the call came to then: its record, the link's fault, or the end of its caller's patience."""
    record = player.peek(doing)
    if record.kind is RecordKind.LOST:
        raise fault_of(player.take(RecordKind.LOST, doing))
    if record.kind is RecordKind.TIMEOUT:
        await until_given_up(player, RecordKind.TIMEOUT, doing)
    return player.take(good, doing)


async def until_given_up(player: Player, kind: RecordKind, doing: str) -> NoReturn:
    """Wait until the caller's own patience ends, as it did then."""
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        player.take(kind, doing)
    raise AssertionError("nobody completes this wait")


def fault_of(record: Record) -> DeviceError:
    """A captured fault."""
    told = json.loads(record.payload)
    return _FAULTS.get(told["fault"], DeviceError)(told["code"], told["message"], told["hint"])


_FAULTS: dict[str, type[DeviceError]] = {
    fault.__name__: fault for fault in (LinkLost, DeviceTimeout, ProtocolViolation, DeviceRefused)
}


def _to_be_played(records: Sequence[Record]) -> tuple[list[int], list[Record]]:
    """The records that a driver takes part in, and their places."""
    played = [(number, record) for number, record in enumerate(records) if record.kind is not RecordKind.WIRE]
    return [number for number, _ in played], [record for _, record in played]


def _told(record: Record) -> str:
    """A captured record in words, without a value."""
    if record.kind in (RecordKind.RX, RecordKind.TX):
        return f"{_WORDS[record.kind]} {_size(record.payload)}"
    if record.kind is RecordKind.BAUD:
        return f"setting {int.from_bytes(record.payload, 'big')} bits/s"
    if record.kind in (RecordKind.ENDED, RecordKind.LOST):
        return f"{_WORDS[record.kind]} {json.loads(record.payload)['code'] or 'nothing'}"
    return _WORDS[record.kind]


_WORDS = {
    RecordKind.BEGUN: "the next session",
    RecordKind.STAMP: "looking at the clock",
    RecordKind.OPENED: "opening the link",
    RecordKind.RX: "reading",
    RecordKind.TX: "writing",
    RecordKind.TIMEOUT: "giving up a read",
    RecordKind.LOST: "the link's fault",
    RecordKind.CLOSED: "closing the link",
    RecordKind.CANCELLED: "a cancellation",
    RecordKind.ENDED: "ending with",
    RecordKind.UNDONE: "a failed write",
    RecordKind.CALL: "a call from outside",
    RecordKind.CALL_CANCELLED: "the end of a call from outside",
    RecordKind.WIRE: "bytes on the line",
}


def _size(data: bytes) -> str:
    return f"{len(data)} byte{'s' if len(data) != 1 else ''}"


def _difference(captured: bytes, written: bytes) -> str:
    """Where two writes differ. What a host writes are settings and requests: identities come from the device."""
    at = next((i for i, (a, b) in enumerate(zip(captured, written, strict=False)) if a != b), None)
    if at is None:
        return f"captured {_size(captured)}"
    here = slice(at, at + _SHOWN_BYTES)
    return f"different from byte {at} on: captured {captured[here].hex(' ')}, written {written[here].hex(' ')}"


class _Selector(selectors.DefaultSelector):
    """Never waits: hands out what is ready, else moves time to the next timer."""

    player: Player

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            self.player.stuck()
        elif not ready and timeout:
            # Rounded up: a timer must not be a nanosecond away for ever.
            self.player.now_ns += math.ceil(timeout * 1e9)
        return ready


class _ReplayLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock is the capture's."""

    def __init__(self, player: Player) -> None:
        self._player = player
        selector = _Selector()
        selector.player = player
        super().__init__(selector)

    def time(self) -> float:
        return self._player.now_ns / 1e9
