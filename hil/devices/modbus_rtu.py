"""A serial line with virtual modules on it, as Modbus over Serial Line 1.02 has it: bytes take their time, a frame ends
with 3.5 characters of silence, and whoever talks while another does spoils both frames.

A module begins to answer when that silence is over, so an exchange takes the wire time of both frames and one silence.
Unit ids that nobody has are not answered; unit 0 is a broadcast, which everybody carries out and nobody answers.

Control verbs, of any module on the line: `unplug` and `replug` (the adapter), `stuck` (nothing passes), `babble
{"every_ms"}` (another node sends 0x55 without end), `line_clear`, `line` (counters).
"""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil.devices.control import Handler
from hil.devices.mercury_line import PtyLine
from hil.devices.modbus_unit import Module
from hil.devices.modbus_wire import Frame, open_rtu

_BITS_PER_CHARACTER = 10
_FIXED_SILENCE_S = 0.00175
_BABBLE = b"\x55"


class RtuLine:
    """The line: one pty behind a symlink, 8N1, and the units on it."""

    def __init__(self, link: Path, baud: int = 19200) -> None:
        self.pty = PtyLine(link, baud, self._heard)
        self.ports: dict[int, RtuPort] = {}
        self.frames = 0
        self.garbage = 0
        self.collisions = 0
        self._silence_s = _FIXED_SILENCE_S if baud > 19200 else 3.5 * _BITS_PER_CHARACTER / baud
        self._buffer = bytearray()
        self._end: asyncio.TimerHandle | None = None
        self._pump: asyncio.Task[None] | None = None
        self._babbling: asyncio.TimerHandle | None = None
        self._later: set[asyncio.TimerHandle] = set()
        self._stuck = False

    def open(self) -> None:
        """Plug the adapter in. May be called for each module on the line."""
        if self._pump is None:
            self.pty.plug()
            self._pump = asyncio.get_running_loop().create_task(self.pty.pump())

    async def close(self) -> None:
        """Take everything down."""
        self._clear()
        for timer in (*self._later, *([self._end] if self._end is not None else [])):
            timer.cancel()
        self.pty.unplug()
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump

    def verbs(self) -> Mapping[str, Handler]:
        """The faults of the line."""
        return {
            "unplug": lambda _: self.pty.unplug(),
            "replug": lambda _: self.pty.plug(),
            "stuck": lambda _: self._stick(),
            "babble": lambda request: self._babble(float(request.get("every_ms", 10)) / 1000),
            "line_clear": lambda _: self._clear(),
            "line": lambda _: self.report(),
        }

    def report(self) -> Mapping[str, Any]:
        """What was heard so far."""
        return {"frames": self.frames, "garbage": self.garbage, "collisions": self.collisions}

    def send(self, frame: bytes) -> None:
        """Put bytes on the line, after what is on its way already."""
        if not self._stuck:
            self.pty.send(frame)

    def send_later(self, frame: bytes, seconds: float) -> None:
        """The same in a while."""
        loop = asyncio.get_running_loop()

        def send() -> None:
            self._later.discard(timer)
            self.send(frame)

        timer = loop.call_later(seconds, send)
        self._later.add(timer)

    def _heard(self, data: bytes) -> None:
        if self._stuck:
            return
        if self.pty.backlog:
            self.collisions += 1
            return
        self._buffer += data
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(self._silence_s, self._frame_ended)

    def _frame_ended(self) -> None:
        self._end = None
        heard, frame = bytes(self._buffer), open_rtu(bytes(self._buffer))
        self._buffer.clear()
        if frame is None:
            self.garbage += 1
            for port in self.ports.values():
                port.hear_garbage(len(heard))
            return
        self.frames += 1
        if frame.unit == 0:
            for port in self.ports.values():
                port.serve(frame, broadcast=True)
        elif frame.unit in self.ports:
            self.ports[frame.unit].serve(frame)

    def _stick(self) -> None:
        self._stuck = True

    def _babble(self, every_s: float) -> None:
        self.send(_BABBLE)
        self._babbling = asyncio.get_running_loop().call_later(every_s, self._babble, every_s)

    def _clear(self) -> None:
        self._stuck = False
        if self._babbling is not None:
            self._babbling.cancel()
            self._babbling = None


class RtuPort:
    """One unit's place on a line."""

    def __init__(self, line: RtuLine, unit: int) -> None:
        self.line = line
        self.unit = unit
        self._module: Module | None = None
        self._silent = False

    async def open(self, module: Module) -> None:
        """Join the line."""
        self._module = module
        self.line.ports[self.unit] = self
        self.line.open()

    def close(self) -> None:
        """Leave the line."""
        self.line.ports.pop(self.unit, None)

    def refuse(self) -> None:
        """Deaf and silent."""
        self._silent = True

    def restore(self) -> None:
        """Listen again; the adapter is back, too."""
        self._silent = False
        self.line.pty.plug()

    def cut(self) -> None:
        """A serial line has no connections."""

    def verbs(self) -> Mapping[str, Handler]:
        """Those of the line."""
        return self.line.verbs()

    def report(self) -> Mapping[str, Any]:
        """The line's counters."""
        return {"listening": not self._silent, **self.line.report()}

    def hear_garbage(self, size: int) -> None:
        """Bytes between two silences that are no frame: told, and nothing else."""
        if self._module is not None:
            self._module.control.publish("garbage", why=f"{size} bytes that are no frame")

    def serve(self, frame: Frame, *, broadcast: bool = False) -> None:
        """Carry out a request heard on the line, and answer it."""
        module = self._module
        if module is None or self._silent:
            return
        reply = module.answer(frame)
        if reply is None or broadcast:
            return
        function = frame.pdu[0]
        answer = module.faults.rtu_frame(frame.pdu, self.unit, reply)
        late = module.faults.take("delay", function)
        if late is not None:
            self.line.send_later(answer, late.value / 1000)
        else:
            self.line.send(answer)
