"""Capture files on disk: written by a thread of their own, so that no disk can hold up a link."""

import os
import queue
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drivers.link.capture_codec import MAX_HEADER, CaptureUnreadable, Header, read_header

SUFFIX = ".lanecap"
BUFFER_BYTES = 4 << 20
"""What may wait for a slow disk."""
_HEAD_BYTES = 2 * MAX_HEADER


@dataclass(frozen=True, slots=True)
class CaptureFound:
    """A capture file at the lane; `header` None when it cannot be read."""

    capture: str
    path: Path
    size_bytes: int
    header: Header | None


class CaptureFolder:
    """The folder of one lane's captures, mode 0700. Methods may block; OSError from the file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, capture: str) -> Path:
        """Where a capture is or will be; the name says nothing of what is in it."""
        return self.folder / f"{capture}{SUFFIX}"

    def free_bytes(self) -> int:
        """Room on its file system."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return shutil.disk_usage(self.folder).free

    def found(self) -> tuple[CaptureFound, ...]:
        """Every capture, newest first."""
        return tuple(sorted(self._found(), key=_started_ns, reverse=True))

    def delete(self, capture: str) -> bool:
        """Remove a capture; False when there is none."""
        try:
            self.path_of(capture).unlink()
        except FileNotFoundError:
            return False
        return True

    def _found(self) -> Iterator[CaptureFound]:
        if not self.folder.is_dir():
            return
        for path in self.folder.glob(f"*{SUFFIX}"):
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
            try:
                header = read_header(head)
            except CaptureUnreadable:
                header = None
            yield CaptureFound(path.stem, path, path.stat().st_size, header)


class CaptureWriter:
    """One capture file being written, mode 0600. `put` never blocks; `fault` says why the file ended early."""

    def __init__(self, path: Path, opening: bytes) -> None:
        """Make the file and write its opening; blocks. OSError, FileExistsError when there is one of that name."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self.fault = ""
        self.size_bytes = len(opening)
        """Bytes taken so far, written or about to be."""
        try:
            self._write(opening)
        except OSError:
            os.close(self._descriptor)
            path.unlink(missing_ok=True)
            raise
        self._thread = threading.Thread(target=self._run, name="capture-writer", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Hand bytes to the disk, in order. When too many wait already the file ends here."""
        with self._lock:
            if self.fault:
                return
            if self._waiting + len(data) > BUFFER_BYTES:
                self.fault = "the disk is too slow"
                return
            self._waiting += len(data)
            self.size_bytes += len(data)
        self._queue.put(data)

    def close(self) -> None:
        """No more bytes will come: the thread writes what waits and closes the file."""
        self._queue.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread; blocks."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while (data := self._queue.get()) is not None:
                if not self.fault:
                    self._take(data)
                with self._lock:
                    self._waiting -= len(data)
        finally:
            os.close(self._descriptor)

    def _take(self, data: bytes) -> None:
        try:
            self._write(data)
        except OSError as error:
            with self._lock:
                self.fault = os.strerror(error.errno) if error.errno else str(error)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        os.fdatasync(self._descriptor)


def _started_ns(found: CaptureFound) -> int:
    return found.header.started_utc_ns if found.header is not None else 0
