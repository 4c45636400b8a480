"""A serial cable between two programs: a pty at each end, and every character takes its time on the way.

A process of its own, so that its work is not that of whoever is measured: `python -m
tests.conformance.modbus.null_modem BAUD` prints the two ports as JSON and ends when its stdin closes.
"""

import json
import os
import select
import subprocess
import sys
import time
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

_BITS_PER_CHARACTER = 10
_ROOT = Path(__file__).resolve().parents[3]


class NullModem:
    """`ends`: the ports. `baud` paces both directions (8N1). A context manager."""

    def __init__(self, baud: int) -> None:
        command = [sys.executable, "-m", __name__, str(baud)]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.ends: tuple[str, str]

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        near, far = json.loads(self._process.stdout.readline())
        self.ends = near, far
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()


def _carry(masters: tuple[int, int], baud: int) -> None:
    """Characters arrive one by one at the line's rate, whatever the size of the write, until stdin closes."""
    other = {masters[0]: masters[1], masters[1]: masters[0]}
    character_s = _BITS_PER_CHARACTER / baud
    while True:
        for ready in select.select([*masters, sys.stdin.fileno()], [], [])[0]:
            if ready == sys.stdin.fileno():
                return
            due = time.monotonic()
            for byte in os.read(ready, 512):
                due += character_s
                time.sleep(max(0.0, due - time.monotonic()))
                os.write(other[ready], bytes([byte]))


def main() -> None:
    """Lay the cable."""
    pairs = [os.openpty() for _ in range(2)]
    for _, slave in pairs:
        tty.setraw(slave)
    print(json.dumps([os.ttyname(slave) for _, slave in pairs]), flush=True)  # noqa: T201
    _carry((pairs[0][0], pairs[1][0]), int(sys.argv[1]))


if __name__ == "__main__":
    main()
