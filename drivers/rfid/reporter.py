"""What every reader session tells the lane, in one voice: who it is, reads, and what goes wrong. Same for all families.

`Reporter` keeps what must not be told too often or out of turn, so that a driver says what happened and no more.
"""

from collections import deque

from drivers.api import Clock, DeviceInfo, DeviceTimeout, DeviceUp, Emit, ReaderEvent, ReaderEventCode, Stamp, TagRead

NOTICE_S = 1.0
"""The same trouble is told at most this often."""
RESTARTS_ALLOWED = 3
RESTART_WINDOW_S = 60.0


class Reporter:
    """The voice of one session."""

    def __init__(self, device: str, clock: Clock, emit: Emit) -> None:
        self.device = device
        self.up = False
        self._clock = clock
        self._emit = emit
        self._noticed: dict[ReaderEventCode, float] = {}
        self._restarts: deque[float] = deque(maxlen=RESTARTS_ALLOWED)
        self._losses_told = 0

    def now_s(self) -> float:
        """Seconds on the clock of the stamps, so that what is decided by time agrees with what is told, in a replay
        too."""
        return self._clock.stamp().mono_ns / 1e9

    def identified(self, info: DeviceInfo) -> bool:
        """DeviceUp, the first time only: a session says once who it is. True when it said so now."""
        if self.up:
            return False
        self.up = True
        self._emit(DeviceUp(self._clock.stamp(), self.device, info))
        return True

    def read(self, tag: TagRead) -> None:
        """One tag read."""
        self._emit(tag)

    def event(
        self,
        code: ReaderEventCode,
        *,
        value: float | None = None,
        antenna: int | None = None,
        stamp: Stamp | None = None,
    ) -> None:
        """One event, now unless `stamp` says when."""
        self._emit(ReaderEvent(stamp or self._clock.stamp(), self.device, code, antenna, value))

    def notice(self, code: ReaderEventCode, *, value: float | None = None, stamp: Stamp | None = None) -> bool:
        """As `event`, but at most once a second for each code; True when it was told."""
        stamp = stamp or self._clock.stamp()
        now = stamp.mono_ns / 1e9
        last = self._noticed.get(code)
        if last is not None and now - last < NOTICE_S:
            return False
        self._noticed[code] = now
        self.event(code, value=value, stamp=stamp)
        return True

    def losses(self, total: int, stamp: Stamp | None = None) -> None:
        """Records lost in the session so far; what is new of it is told, at most once a second."""
        new = total - self._losses_told
        if new > 0 and self.notice(ReaderEventCode.DROPPED_RECORD, value=float(new), stamp=stamp):
            self._losses_told = total

    def restarted(self, what: str, hint: str) -> None:
        """The reader began anew by itself. DeviceTimeout RFID_RESTARTING when that comes too often to be of use; `what`
        says who did what, as in "the reader restarted"."""
        now = self.now_s()
        if self.up:
            self.event(ReaderEventCode.RESTARTED)
        if len(self._restarts) == RESTARTS_ALLOWED and now - self._restarts[0] < RESTART_WINDOW_S:
            span = now - self._restarts[0]
            raise DeviceTimeout("RFID_RESTARTING", f"{what} {RESTARTS_ALLOWED + 1} times in {span:.0f} s", hint)
        self._restarts.append(now)
