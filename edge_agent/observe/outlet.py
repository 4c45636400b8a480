"""Lines to a stream that is never waited for: what the other end does not take at once is kept, up to a bound.

The log is written on the event loop's own thread, so that its last line is out when the process dies. A journal that
has stopped reading must not stop the lane for it.
"""

import contextlib
import os
import select
from collections import deque
from collections.abc import Callable
from typing import Final, TextIO

LINES_KEPT: Final = 1000
_PIECE: Final = 4096
"""PIPE_BUF: a pipe or a socket that is ready takes so much without waiting."""
_LAST_WAITS: Final = 4
_WAIT_MS: Final = 50


class LineOutlet:
    """What a `logging.StreamHandler` writes to. Lines leave whole and in order, those that are kept with the next one;
    of what is beyond `LINES_KEPT` the newest go, and `lost(count)` makes the line that tells so once there is room. A
    stream without a file is just written to."""

    def __init__(self, stream: TextIO, lost: Callable[[int], str]) -> None:
        self._stream = stream
        self._lost_line = lost
        self._lost = 0
        self._kept: deque[bytes] = deque()
        self._fd = _file_of(stream)
        self._ready = select.poll()
        if self._fd is not None:
            self._ready.register(self._fd, select.POLLOUT)

    def write(self, text: str) -> None:
        """One line with its end. OSError when the other end is gone."""
        if self._fd is None:
            self._stream.write(text)
            self._stream.flush()
            return
        self._push(self._fd)
        if len(self._kept) >= LINES_KEPT:
            self._lost += 1
            return
        if self._lost:
            self._kept.append(self._lost_line(self._lost).encode())
            self._lost = 0
        self._kept.append(text.encode())
        self._push(self._fd)

    def flush(self) -> None:
        """Nothing: `write` hands on what is taken."""

    def close(self) -> None:
        """The last lines, for a fifth of a second at the most; the stream stays open."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                self._push(self._fd, _LAST_WAITS)

    def _push(self, file: int, waits: int = 0) -> None:
        while self._kept:
            if self._ready.poll(0):
                line = self._kept[0]
                written = os.write(file, line[:_PIECE])
                if written < len(line):
                    self._kept[0] = line[written:]
                else:
                    self._kept.popleft()
            elif waits:
                waits -= 1
                self._ready.poll(_WAIT_MS)
            else:
                return


def _file_of(stream: TextIO) -> int | None:
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError):
        return None
