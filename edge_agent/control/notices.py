"""What drivers and staff are told besides the light: message sign, beacon and audible tone, by single outputs.

The sign shows STOP / ARRÊT by itself when no input is energised; so does a lane whose agent has died, because the
module lets go. `notices` is pure; the loop adds the clock and the wire.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from drivers.api import Aspect, Clock, DeviceError, Grade
from edge_agent.model.decision import Verdict
from edge_agent.model.lane import LaneMode
from edge_agent.passage.corridor import LaneState

from .signal_loop import SignalState

if TYPE_CHECKING:
    from .agent import Agent

PERIOD_S = 0.05


class Notice(StrEnum):
    """The outputs, by their role: the sign's texts beside its default, the beacon, the tone."""

    PROCEED = "sign_proceed"
    SECONDARY = "sign_secondary"
    CLOSED = "sign_closed"
    BEACON = "beacon"
    TONE = "tone"


class NoticeOutputs(Protocol):
    """The outputs of a live session (`drivers.modbus.actuators.Actuators`)."""

    @property
    def roles(self) -> frozenset[str]:
        """The roles wired."""
        ...

    async def switch(self, role: str, *, on: bool) -> None:
        """Switch one; DeviceError."""
        ...


@dataclass(frozen=True, slots=True)
class NoticeLimits:
    """How long, in ns, a violation keeps the beacon on, and how long the tone sounds for it."""

    beacon_ns: int
    tone_ns: int


def sign_text(state: LaneState, signal: SignalState) -> Notice | None:
    """What the sign says; None for its default, STOP / ARRÊT. It never says more than the light: PROCEED SLOWLY only
    with a green that is commanded and confirmed by contact or lamp, and not as a test; every other text only with a
    confirmed red."""
    green = signal.commanded is Aspect.GREEN and signal.confirmed is Aspect.GREEN and signal.grade >= Grade.CONTACT
    if green and not signal.fault and signal.test is None:
        return Notice.PROCEED
    if signal.commanded is not Aspect.RED or signal.confirmed is not Aspect.RED:
        return None
    if state.mode in (LaneMode.CLOSED, LaneMode.MAINTENANCE):
        return Notice.CLOSED
    first = state.first_upstream
    decisions = first.conveyance.decisions if first is not None else ()
    if first is not None and state.hold is None and first.conveyance.hold is None and decisions:
        return Notice.SECONDARY if decisions[-1].verdict is Verdict.REFER_SECONDARY else None
    return None


def alarms(state: LaneState, since_violation_ns: int | None, limits: NoticeLimits) -> frozenset[Notice]:
    """Beacon and tone: a latched fault lights the beacon as long as it lasts, a violation lights it for a time and
    sounds the tone for a shorter one."""
    faulty = state.fault is not None or state.barrier_fault is not None
    on = {Notice.BEACON} if faulty else set()
    if since_violation_ns is not None and since_violation_ns < limits.beacon_ns:
        on.add(Notice.BEACON)
    if since_violation_ns is not None and since_violation_ns < limits.tone_ns:
        on.add(Notice.TONE)
    return frozenset(on)


class NoticeLoop:
    """Keeps the outputs as they should be: off before on, and all of them anew after every reconnect. `outputs` gives
    the live session's, the same object for the whole session."""

    def __init__(
        self,
        outputs: Callable[[], NoticeOutputs | None],
        state: Callable[[], LaneState],
        signal: Callable[[], SignalState],
        clock: Clock,
        limits: NoticeLimits,
    ) -> None:
        self._outputs = outputs
        self._state = state
        self._signal = signal
        self._clock = clock
        self._limits = limits
        self._session: NoticeOutputs | None = None
        self._on: set[Notice] = set()
        self._unsure: set[Notice] = set()
        self._violations = state().counts.violations
        self._violated_ns: int | None = None
        self.failures = 0

    async def run(self) -> None:
        """Until cancelled; the session switches everything off when it ends."""
        while True:
            await self._turn()
            await asyncio.sleep(PERIOD_S)

    def _wanted(self) -> frozenset[Notice]:
        state, now_ns = self._state(), self._clock.stamp().mono_ns
        if state.counts.violations > self._violations:
            self._violated_ns = now_ns
        self._violations = state.counts.violations  # one that proved to be none is taken off the count
        since = now_ns - self._violated_ns if self._violated_ns is not None else None
        text = sign_text(state, self._signal())
        return alarms(state, since, self._limits) | ({text} if text is not None else frozenset())

    async def _turn(self) -> None:
        outputs = self._outputs()
        if outputs is not self._session:
            self._session, self._on, self._unsure = outputs, set(), set()
        wanted = self._wanted()
        if outputs is None:
            return
        wired = {notice for notice in Notice if notice.value in outputs.roles}
        try:
            for notice in sorted((self._on | self._unsure) - wanted):
                await outputs.switch(notice.value, on=False)
                self._on.discard(notice)
                self._unsure.discard(notice)
            for notice in sorted((wanted & wired) - self._on):
                self._unsure.add(notice)  # if the exchange fails, it may be on all the same
                await outputs.switch(notice.value, on=True)
                self._unsure.discard(notice)
                self._on.add(notice)
        except DeviceError:
            self.failures += 1


def make_notices(agent: "Agent") -> NoticeLoop | None:
    """The loop of a lane that has any of these outputs; None without."""
    head = next(device for device in agent.config.devices if device.id == agent.config.signal.device)
    roles = getattr(head, "actuators", {})
    if not any(notice.value in roles for notice in Notice):
        return None

    def outputs() -> NoticeOutputs | None:
        live = agent.head()
        return live.actuators if live is not None else None

    section = agent.config.notices
    limits = NoticeLimits(round(section.beacon_s * 1e9), round(section.tone_s * 1e9))
    return NoticeLoop(outputs, lambda: agent.passage.state, agent.signal.state, agent.clock, limits)
