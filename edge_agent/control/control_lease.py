"""How long control of the lane lasts: the heartbeats of the console that has it. The journal hears of the end only."""

from collections.abc import Callable

from drivers.api import Clock, Stamp
from edge_agent.model.inputs import ControlLost, CoreInput
from edge_agent.passage.state import Control

_NS = 1_000_000_000


class ControlLease:
    """Counts down from when control was taken, and anew from each `keep`. When nothing is left the core is told.

    `control` gives who controls the lane now; `submit` takes the loss."""

    def __init__(self, control: Callable[[], Control], submit: Callable[[CoreInput], None], clock: Clock) -> None:
        self._control = control
        self._submit = submit
        self._clock = clock
        self._whose = Control()
        self._until_ns = 0

    def keep(self, officer: str) -> float | None:
        """This officer's console lives: seconds until control ends without another word. None when it has ended, or is
        another officer's."""
        now = self._clock.stamp()
        self.tick(now)
        control = self._follow()
        if not officer or control.officer != officer:
            return None
        self._until_ns = now.mono_ns + int(control.lasts_s * _NS)
        return control.lasts_s

    def left_s(self, now: Stamp) -> float | None:
        """Seconds until control ends; None when nobody has it."""
        control = self._follow()
        return max(0.0, (self._until_ns - now.mono_ns) / _NS) if control.officer else None

    def tick(self, now: Stamp) -> None:
        """Time passed."""
        control = self._follow()
        if control.officer and now.mono_ns >= self._until_ns:
            self._submit(ControlLost(at=now, officer=control.officer))

    def _follow(self) -> Control:
        """Who controls the lane; for another one than before, or for longer, time begins anew."""
        control = self._control()
        if control is not self._whose and control != self._whose:
            begun = control.since if control.since != self._whose.since else None
            start_ns = begun.mono_ns if begun is not None else self._clock.stamp().mono_ns
            self._until_ns = start_ns + int(control.lasts_s * _NS)
        self._whose = control
        return control
