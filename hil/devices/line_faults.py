"""What a program between two ends of a line does to the bytes that pass: lose, delay, split, change, repeat, cut."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hil.devices.control import Handler

KINDS = ("drop", "delay", "pieces", "first", "flip", "noise", "change", "twice", "cut")
WAYS = ("to_agent", "to_device")

_NOISE = b"\x00\x5a\xff"


@dataclass(frozen=True, slots=True)
class LineFault:
    """One active fault. `times`: chunks left (None: until cleared). The other fields as in `LineFaults.set`."""

    times: int | None
    ms: float = 0.0
    size: int = 1
    rate: float = 0.0
    at: int = 0
    mask: int = 0xFF


@dataclass(frozen=True, slots=True)
class Passing:
    """What becomes of a chunk: pieces, each after a pause in seconds, and whether the line is cut after them."""

    pieces: tuple[tuple[float, bytes], ...]
    cut: bool = False


class LineFaults:
    """The faults of one way of a line. A chunk is what one read of the other end gave: a frame or a few on TCP,
    some characters of one on a serial line. `seed` makes the random ones repeatable."""

    def __init__(self, seed: int = 1) -> None:
        self._active: dict[str, LineFault] = {}
        self._chance = random.Random(seed)
        self.passed = 0
        """Bytes let through since the last fault was set."""

    def set(self, request: Mapping[str, Any]) -> None:
        """Switch one on: {"fault": KIND, "times"?, ...}. ValueError: no such kind.

        drop: nothing passes. delay: `ms` later. pieces: `size` bytes at a time, `ms` between. first: only `size`
        bytes of a chunk. flip: each bit with probability `rate`. noise: three bytes before a chunk. change: byte `at`
        of a chunk XOR `mask`. twice: chunk repeated. cut: the line is cut after `at` bytes from now.
        """
        kind = request["fault"]
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind}; known: {', '.join(KINDS)}")
        names = {"times", "ms", "size", "rate", "at", "mask"}
        given = {"times": None, **{name: request[name] for name in names & request.keys()}}
        self._active[kind] = LineFault(**given)
        self.passed = 0

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()

    def report(self) -> list[str]:
        """Names of the active ones."""
        return sorted(self._active)

    def shape(self, chunk: bytes) -> Passing:
        """What becomes of a chunk."""
        if not self._active:
            self.passed += len(chunk)
            return Passing(((0.0, chunk),))
        if self._take("drop"):
            return Passing(())
        chunk = self._changed(chunk)
        cut = self._active.get("cut")
        ends = cut is not None and self.passed + len(chunk) >= cut.at
        if cut is not None and ends:
            chunk = chunk[: max(0, cut.at - self.passed)]
            del self._active["cut"]
        self.passed += len(chunk)
        return Passing(self._timed(chunk), ends)

    def _changed(self, chunk: bytes) -> bytes:
        if fault := self._take("first"):
            chunk = chunk[: fault.size]
        if fault := self._take("flip"):
            chunk = bytes(self._flipped(byte, fault.rate) for byte in chunk)
        if (fault := self._take("change")) and fault.at < len(chunk):
            chunk = chunk[: fault.at] + bytes([chunk[fault.at] ^ fault.mask]) + chunk[fault.at + 1 :]
        if self._take("noise"):
            chunk = _NOISE + chunk
        return chunk + chunk if self._take("twice") else chunk

    def _timed(self, chunk: bytes) -> tuple[tuple[float, bytes], ...]:
        late = self._take("delay")
        start_s = late.ms / 1000 if late else 0.0
        split = self._take("pieces")
        if not split:
            return ((start_s, chunk),)
        parts = [chunk[i : i + split.size] for i in range(0, len(chunk), split.size)]
        return tuple((start_s if n == 0 else split.ms / 1000, part) for n, part in enumerate(parts))

    def _flipped(self, byte: int, rate: float) -> int:
        for bit in range(8):
            if self._chance.random() < rate:
                byte ^= 1 << bit
        return byte

    def _take(self, kind: str) -> LineFault | None:
        fault = self._active.get(kind)
        if fault is None:
            return None
        if fault.times is not None:
            if fault.times <= 1:
                del self._active[kind]
            else:
                self._active[kind] = replace(fault, times=fault.times - 1)
        return fault


class Way:
    """One way of a line: bytes leave in their order, each when its pause is over. `put` sends what passes, `cut` ends
    the line."""

    def __init__(self, faults: LineFaults, put: Callable[[bytes], None], cut: Callable[[], None]) -> None:
        self._faults = faults
        self._put = put
        self._cut = cut
        self._free_at = 0.0
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, chunk: bytes) -> None:
        """A chunk has come in at the other end."""
        passing = self._faults.shape(chunk)
        for pause_s, piece in passing.pieces:
            self._later(pause_s, lambda piece=piece: self._put(piece))  # type: ignore[misc]
        if passing.cut:
            self._later(0.0, self._cut)

    def close(self) -> None:
        """Nothing that waits is sent any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _later(self, pause_s: float, act: Callable[[], None]) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + pause_s
        self._waiting.append((self._free_at, act))
        if self._timer is None:
            self._due()

    def _due(self) -> None:
        """One timer for all: the loop does not keep the order of two that are due at the same time."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._waiting and self._waiting[0][0] <= loop.time():
            self._waiting.popleft()[1]()
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0][0], self._due)


def fault_verbs(ways: Mapping[str, LineFaults]) -> Mapping[str, Handler]:
    """`fault` ({"way"?: both when left out, and what `LineFaults.set` takes}), `clear`, `faults` and `passed`."""

    def chosen(request: Mapping[str, Any]) -> list[LineFaults]:
        return [ways[request["way"]]] if "way" in request else list(ways.values())

    def set_fault(request: Mapping[str, Any]) -> None:
        for faults in chosen(request):
            faults.set(request)

    def clear(request: Mapping[str, Any]) -> None:
        for faults in chosen(request):
            faults.clear()

    return {
        "fault": set_fault,
        "clear": clear,
        "faults": lambda _: {way: faults.report() for way, faults in ways.items()},
        "passed": lambda _: {way: faults.passed for way, faults in ways.items()},
    }
