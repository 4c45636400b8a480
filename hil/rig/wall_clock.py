"""The wall clock that one agent sees, stepped by hand: the machine's own stays as it is."""

import os
import struct
import sys
from pathlib import Path

_SHIM = '''\
"""Steps the wall clock of an interpreter by the seconds in a file, as a time daemon or a person would."""

import mmap
import os
import struct
import time

with open(os.environ["WALL_CLOCK_STEP"], "rb") as _file:
    _step = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + struct.unpack("d", _step[:])[0]
time.time_ns = lambda: _time_ns() + int(struct.unpack("d", _step[:])[0] * 1e9)
'''


class WallClock:
    """Start the agent with `environment`; its wall time is then off by `stepped_s`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "step"
        self.stepped_s = 0.0
        self.step(0)
        (folder / "sitecustomize.py").write_text(_SHIM)
        path = os.pathsep.join([str(folder), *sys.path])
        self.environment = {"PYTHONPATH": path, "WALL_CLOCK_STEP": str(self._file)}

    def step(self, seconds: float) -> None:
        """Off by so much from now on."""
        self.stepped_s = seconds
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("d", seconds))
