"""A serial line on a pty: paced at the client's bit rate, garbled when that is not the device's, unpluggable.

The pty passes bytes at once, so bytes are metered here: 10 bit times a character in both directions. The line keeps a
descriptor of the client's end open, or the device would read errors whenever no client has it open.
"""

import asyncio
import os
import random
import termios
import tty
from collections.abc import Callable
from pathlib import Path

_TICK_S = 0.001
_BITS_PER_CHARACTER = 10
_OUT_LIMIT = 8192
_RATES = {getattr(termios, name): int(name[1:]) for name in dir(termios) if name.startswith("B") and name[1:].isdigit()}


class PtyLine:
    """The device's end. `receive` gets the client's bytes at line speed; `send` queues bytes towards the client."""

    def __init__(self, link: Path, baud: int, receive: Callable[[bytes], None], seed: int = 1) -> None:
        self.link = link
        self._receive = receive
        self._noise = random.Random(seed)
        self._master = -1
        self._slave = -1
        self._out = bytearray()
        self._free_at = 0.0
        self._pending = asyncio.Event()
        self.baud = baud
        self.lost_bytes = 0

    @property
    def plugged(self) -> bool:
        """Whether a client could open the port now."""
        return self._master >= 0

    @property
    def backlog(self) -> int:
        """Bytes waiting for the wire."""
        return len(self._out)

    def plug(self) -> None:
        """Make a new pty and point the symlink at it."""
        if self.plugged:
            return
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        fresh = self.link.with_name(self.link.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self.link)
        self._free_at = asyncio.get_running_loop().time()
        asyncio.get_running_loop().add_reader(self._master, self._readable)

    def unplug(self) -> None:
        """Take the port away: the client's reads fail, the name is gone."""
        if not self.plugged:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        self.link.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1
        self._out.clear()

    def send(self, data: bytes) -> None:
        """Queue bytes for the wire; what a full transmit buffer cannot take is lost."""
        if len(self._out) + len(data) > _OUT_LIMIT:
            self.lost_bytes += len(data)
            return
        self._out += data
        self._pending.set()

    def set_baud(self, baud: int) -> None:
        """Change the device's own rate, bits/s."""
        self.baud = baud

    async def pump(self) -> None:
        """Move queued bytes at the line's rate until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._pending.wait()
            last = loop.time()
            credit = 1.0
            while self._out:
                await asyncio.sleep(_TICK_S)
                now = loop.time()
                credit += (now - last) * self.baud / _BITS_PER_CHARACTER
                last = now
                count = min(int(credit), len(self._out))
                credit -= count
                self._put(bytes(self._out[:count]))
                del self._out[:count]
            self._pending.clear()

    def client_baud(self) -> int:
        """The rate the client set, bits/s (0 when it is none of the standard ones)."""
        return _RATES.get(termios.tcgetattr(self._slave)[5], 0)

    def _put(self, data: bytes) -> None:
        if not self.plugged or not data:
            return
        try:
            written = os.write(self._master, self._as_heard(data, self.baud, self.client_baud()))
        except BlockingIOError:
            written = 0  # nobody reads and the buffer is full: lost, as on a cut cable
        except OSError:
            written = 0
        if not written:
            self.lost_bytes += len(data)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return
        except OSError:
            return
        loop = asyncio.get_running_loop()
        rate = self.client_baud() or self.baud
        heard = self._as_heard(data, rate, self.baud)
        self._free_at = max(self._free_at, loop.time()) + len(data) * _BITS_PER_CHARACTER / rate
        loop.call_at(self._free_at, self._receive, heard)

    def _as_heard(self, data: bytes, sent_at: int, heard_at: int) -> bytes:
        """The same characters sampled at another rate are other characters, fewer or more of them."""
        if sent_at == heard_at or not heard_at:
            return data
        count = max(1, min(len(data) * heard_at // max(sent_at, 1), 4 * len(data)))
        return self._noise.randbytes(count)
