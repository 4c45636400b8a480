"""Who owns the store, where a damaged one goes, and the ballast that keeps a full disk from being the end."""

import contextlib
import datetime
import fcntl
import os
from pathlib import Path
from typing import IO

from edge_agent.model.errors import StoreError

_LOCK = "lock"
_QUARANTINE = "quarantine"


class OwnerLock:
    """An exclusive flock on the store's lock file, held until `release` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        """Take it; StoreError STORE_IN_USE when another process holds it."""
        path = directory / _LOCK
        self._file: IO[str] = path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read().strip() or "unknown"
            self._file.close()
            raise StoreError(
                "STORE_IN_USE",
                f"another agent (process {owner}) works on the store {directory}",
                "one lane, one agent, one store: stop the other agent or correct the store's directory",
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let it go. The file stays: removing it would let two owners lock two files of one name."""
        self._file.close()


def set_aside(data: Path, utc_ns: int) -> Path:
    """Move the folder of a damaged database to `quarantine/<time>/` beside it, durably; returns where it is now."""
    moment = datetime.datetime.fromtimestamp(utc_ns / 1e9, datetime.UTC).strftime("%Y%m%dT%H%M%S")
    root = data.parent / _QUARANTINE
    root.mkdir(exist_ok=True)
    folder = root / moment
    number = 1
    while folder.exists():
        number += 1
        folder = root / f"{moment}-{number}"
    # One rename of the folder, not three of its files: a database parted from its log would look whole and be old.
    data.rename(folder)
    for directory in (root, data.parent):
        sync_directory(directory)
    return folder


def newest_aside(directory: Path) -> Path | None:
    """The folder set aside last in this store's directory, None without one."""
    return max((directory / _QUARANTINE).glob("*/"), key=lambda folder: folder.stat().st_ctime_ns, default=None)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Ballast:
    """Disk room held by a file of `size` bytes, given up when the disk is full and taken back when there is room.

    Raises nothing: a file system that does not even tell its room has none, and what was committed stays committed.
    """

    def __init__(self, directory: Path, name: str, size: int) -> None:
        self._directory = directory
        self._path = directory / name
        self._size = size

    @property
    def held(self) -> bool:
        """Whether the room is still in reserve."""
        return self._size == 0 or os.path.exists(self._path)  # noqa: PTH110 - Path.exists raises on a failing disk

    def disk_free(self) -> int:
        """Bytes this process may still write on the store's file system, the ballast not counted."""
        try:
            room = os.statvfs(self._directory)
        except OSError:
            return 0
        return room.f_bavail * room.f_frsize

    def give_up(self) -> bool:
        """Free the room; True when there was some to free."""
        if self._size == 0 or not self.held:
            return False
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def take(self) -> bool:
        """Hold the room again, if the disk has twice as much; True when it is held."""
        if self.held:
            return True
        if self.disk_free() < 2 * self._size:
            return False
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            return False
        return True
