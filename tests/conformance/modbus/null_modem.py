"""A serial cable between two programs: a pty at each end, and every character takes its time on the way."""

import os
import select
import threading
import time
import tty
from types import TracebackType
from typing import Self

_BITS_PER_CHARACTER = 10


class NullModem:
    """`ends`: the ports. `baud` paces both directions (8N1). A context manager."""

    def __init__(self, baud: int) -> None:
        self._character_s = _BITS_PER_CHARACTER / baud
        pairs = [os.openpty() for _ in range(2)]
        self._masters = [master for master, _ in pairs]
        self._slaves = [slave for _, slave in pairs]
        for slave in self._slaves:
            tty.setraw(slave)
        self.ends = tuple(os.ttyname(slave) for slave in self._slaves)
        self._ending = False
        self._thread = threading.Thread(target=self._carry, name="null-modem", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending = True
        self._thread.join(5)
        for descriptor in (*self._masters, *self._slaves):
            os.close(descriptor)

    def _carry(self) -> None:
        """Characters arrive one by one at the line's rate, whatever the size of the write."""
        other = {self._masters[0]: self._masters[1], self._masters[1]: self._masters[0]}
        while not self._ending:
            for master in select.select(self._masters, [], [], 0.05)[0]:
                due = time.monotonic()
                for byte in os.read(master, 512):
                    due += self._character_s
                    time.sleep(max(0.0, due - time.monotonic()))
                    os.write(other[master], bytes([byte]))
