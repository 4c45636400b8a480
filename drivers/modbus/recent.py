"""What was read of a module a moment ago and may serve once more, where an exchange costs milliseconds of wire. Pure.

What agrees with the command may be a little old; what deviates from it is read anew, and nothing serves from before the
last switching or the last readback that failed. So a green waits for no exchange that would tell nothing new, and a
deviation is told with its own time. Nothing that serves is older than two poll periods, and a lane's `signal.stale_ms`,
above which a readback is worthless, is at least that.
"""

from dataclasses import dataclass

from drivers.api import Aspect, Stamp
from drivers.modbus.head_codec import LampState

Bits = tuple[int, ...]
Block = tuple[bool, ...]


@dataclass(slots=True)
class Recent:
    """The newest of both halves of a readback; `switched_ns` is when an output was last switched.

    `poll_ns`: the poll period. Coils serve for two of it: a signal cycle longer than that still reads them every time.
    Inputs serve for one, and under red for two: there a poll may be late because the signal goes first, and a lamp that
    failed costs nothing.
    """

    poll_ns: int
    switched_ns: int = 0
    read: tuple[Stamp, Block] | None = None
    polled: tuple[Stamp, Bits] | None = None

    def forget(self) -> None:
        """Nothing serves any more: an exchange failed, and what the module does since is not known."""
        self.read = self.polled = None

    def coils(self, now: Stamp, commanded: Block | None) -> tuple[Stamp, Block] | None:
        """The outputs as last read, and when, if they were as `commanded`."""
        if self.read is None or not self._serves(self.read[0], now, 2 * self.poll_ns):
            return None
        return self.read if self.read[1] == commanded else None

    def inputs(self, now: Stamp, commanded: Aspect | None) -> tuple[Stamp, Bits] | None:
        """The inputs as last polled."""
        bound_ns = self.poll_ns * (2 if commanded is Aspect.RED else 1)
        return self.polled if self.polled is not None and self._serves(self.polled[0], now, bound_ns) else None

    def _serves(self, stamp: Stamp, now: Stamp, bound_ns: int) -> bool:
        return stamp.mono_ns > max(now.mono_ns - bound_ns, self.switched_ns)


def agrees(shown: LampState, commanded: Aspect | None) -> bool:
    """Whether the lamps, as far as they are felt at all, show what the outputs command."""
    return not shown.conflict and shown.aspect in (None, commanded)
