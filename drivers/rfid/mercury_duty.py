"""How much of the time a Mercury module transmits: as configured, and less while it is too hot. Pure; times are
monotonic seconds and passed in."""

from typing import NamedTuple

from drivers.rfid.settings.mercury import Derate, MercurySettings

MAX_MS = 0xFFFF
_FRESH_S = 10.0
_FRESH_CYCLES = 3


class Duty(NamedTuple):
    """One read cycle: transmitting `on_ms`, then pausing `off_ms`."""

    on_ms: int
    off_ms: int

    @property
    def cycle_ms(self) -> int:
        """From the start of one cycle to the next."""
        return self.on_ms + self.off_ms

    @property
    def share(self) -> float:
        """Part of the time spent transmitting, 0-1."""
        return self.on_ms / self.cycle_ms


def low_duty(full: Duty, derate: Derate) -> Duty:
    """The duty of a module that is too hot: the profile's, or half of a configured one that is as low already."""
    low = Duty(derate.on_ms, derate.off_ms)
    if low.share < full.share:
        return low
    return Duty(full.on_ms, min(MAX_MS, full.off_ms + full.cycle_ms))


class DutyGovernor:
    """Lowers the duty when the module complains about heat and gives it back when it has cooled.

    Full duty comes back after the hold time without a complaint, `recover_drop_c` below the hottest report since the
    complaint; a module that reports no temperature gets it back after `cool_down_s`. Hot again within `cool_down_s` of
    full duty doubles the hold time, up to `cool_down_s`: a module that cannot cool is not restarted in a loop.
    """

    def __init__(self, settings: MercurySettings, derate: Derate) -> None:
        self._derate = derate
        self._full = Duty(settings.cycle_ms, settings.off_ms)
        self._low = low_duty(self._full, derate)
        self._fresh_s = max(_FRESH_S, _FRESH_CYCLES * max(self._full.cycle_ms, self._low.cycle_ms) / 1000)
        self._hold_s = derate.hold_s
        self._hot_at = 0.0
        self._restored_at: float | None = None
        self._heard_at: float | None = None
        self._celsius = 0
        self._hottest: int | None = None
        self.lowered = False

    @property
    def duty(self) -> Duty:
        """The duty to read with now."""
        return self._low if self.lowered else self._full

    def complain(self, now_s: float) -> None:
        """The module is too hot: low duty from now on."""
        self._hot_at = now_s
        if self.lowered:
            return
        self.lowered = True
        self._hottest = self._celsius if self._is_fresh(now_s) else None
        if self._restored_at is not None and now_s - self._restored_at <= self._derate.cool_down_s:
            self._hold_s = min(2 * self._hold_s, self._derate.cool_down_s)
        else:
            self._hold_s = self._derate.hold_s

    def report(self, celsius: int, now_s: float) -> None:
        """The module told its temperature."""
        self._celsius = celsius
        self._heard_at = now_s
        if self.lowered and (self._hottest is None or celsius > self._hottest):
            self._hottest = celsius

    def may_restore(self, now_s: float) -> bool:
        """True when full duty may come back."""
        if not self.lowered:
            return False
        quiet_s = now_s - self._hot_at
        if self._hottest is None or not self._is_fresh(now_s):
            return quiet_s > self._derate.cool_down_s
        return quiet_s >= self._hold_s and self._celsius <= self._hottest - self._derate.recover_drop_c

    def restore(self, now_s: float) -> None:
        """Full duty from now on."""
        self.lowered = False
        self._restored_at = now_s

    def _is_fresh(self, now_s: float) -> bool:
        return self._heard_at is not None and now_s - self._heard_at <= self._fresh_s
