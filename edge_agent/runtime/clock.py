"""The one place that reads the computer's clocks."""

import time

from drivers.api import Stamp


class SystemClock:
    """Both clocks of this computer. The monotonic one is the clock of the event loop (`loop.time()`)."""

    __slots__ = ()

    def stamp(self) -> Stamp:
        """The time now: CLOCK_MONOTONIC and CLOCK_REALTIME, in nanoseconds."""
        return Stamp(mono_ns=time.monotonic_ns(), utc_ns=time.time_ns())
