"""What drivers and staff are told besides the light: message sign, beacon and audible tone, by single outputs.

The sign shows STOP / ARRÊT by itself when no input is energised; so does a lane whose agent has died, because the
module lets go. `sign_text` and `alarms` are pure; the loop adds the clock and the wire. It writes on change, renews
what ends by itself, and reads back what the outputs hold: what somebody else has switched is switched back.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from drivers.api import Aspect, Clock, DeviceError, Grade
from edge_agent.model.actuators import AlarmShown, NoticesShown, SignShown, SignText
from edge_agent.model.decision import Verdict
from edge_agent.model.lane import LaneMode
from edge_agent.passage.corridor import LaneState

from .sign_conditions import NOT_AS_TOLD, tell_of_sign
from .signal_loop import SignalState

if TYPE_CHECKING:
    from .agent import Agent

PERIOD_S = 0.05
LOOK_NS = 1_000_000_000
"""The outputs are read back so often, and at once after a change."""
_STALE_NS = 3 * LOOK_NS


class Notice(StrEnum):
    """The outputs, by their role: the sign's texts beside its default, the beacon, the tone."""

    PROCEED = "sign_proceed"
    SECONDARY = "sign_secondary"
    CLOSED = "sign_closed"
    BEACON = "beacon"
    TONE = "tone"


_TEXTS = {Notice.PROCEED: SignText.PROCEED, Notice.SECONDARY: SignText.SECONDARY, Notice.CLOSED: SignText.CLOSED}
_NOTICE_OF = {text: notice for notice, text in _TEXTS.items()}


class NoticeOutputs(Protocol):
    """The outputs of a live session (`drivers.modbus.actuators.Actuators`)."""

    @property
    def roles(self) -> frozenset[str]:
        """The roles wired."""
        ...

    @property
    def lasts_ms(self) -> int:
        """An output goes off by itself when nobody has switched it on again for so long; 0: it does not."""
        ...

    async def switch(self, role: str, *, on: bool) -> None:
        """Switch one; DeviceError."""
        ...

    async def read(self) -> Mapping[str, bool]:
        """What they hold, by role; DeviceError."""
        ...


@dataclass(frozen=True, slots=True)
class NoticeLimits:
    """How long, in ns, a violation keeps the beacon on, and how long the tone sounds for it."""

    beacon_ns: int
    tone_ns: int


def sign_text(state: LaneState, signal: SignalState) -> SignText:
    """What the sign says. It never says more than the light: PROCEED SLOWLY only with a green that is commanded and
    confirmed by contact or lamp, and not as a test; every other text than STOP only with a confirmed red."""
    green = signal.commanded is Aspect.GREEN and signal.confirmed is Aspect.GREEN and signal.grade >= Grade.CONTACT
    if green and not signal.fault and signal.test is None:
        return SignText.PROCEED
    if signal.commanded is not Aspect.RED or signal.confirmed is not Aspect.RED:
        return SignText.STOP
    if state.mode in (LaneMode.CLOSED, LaneMode.MAINTENANCE):
        return SignText.CLOSED
    first = state.first_upstream
    decisions = first.conveyance.decisions if first is not None else ()
    if first is not None and state.hold is None and first.conveyance.hold is None and decisions:
        return SignText.SECONDARY if decisions[-1].verdict is Verdict.REFER_SECONDARY else SignText.STOP
    return SignText.STOP


def alarms(
    state: LaneState, violated_ns: int | None, now_ns: int, limits: NoticeLimits
) -> tuple[frozenset[Notice], frozenset[Notice]]:
    """Beacon and tone that are to be on, and those that somebody has silenced: a latched fault lights the beacon as
    long as it lasts, the violation of `violated_ns` lights it for a time and sounds the tone for a shorter one."""
    faulty = state.fault is not None or state.barrier_fault is not None
    standing = frozenset({Notice.BEACON} if faulty else ())
    if violated_ns is None:
        return standing, frozenset()
    lengths = ((Notice.BEACON, limits.beacon_ns), (Notice.TONE, limits.tone_ns))
    told = frozenset(notice for notice, length_ns in lengths if now_ns - violated_ns < length_ns)
    if state.silenced is not None and state.silenced.at.mono_ns >= violated_ns:
        return standing, told - standing
    return standing | told, frozenset()


class NoticeLoop:
    """Keeps the outputs as they should be: off before on, and all of them anew after every reconnect. `wired`: those
    that the lane has; `outputs` gives the live session's, the same object for the whole session. `on_change` is called
    when what is wanted or known to be shown has changed."""

    def __init__(
        self,
        wired: frozenset[Notice],
        outputs: Callable[[], NoticeOutputs | None],
        state: Callable[[], LaneState],
        signal: Callable[[], SignalState],
        clock: Clock,
        limits: NoticeLimits,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._wired = wired
        self._outputs = outputs
        self._state = state
        self._signal = signal
        self._clock = clock
        self._limits = limits
        self._on_change = on_change
        self._session: NoticeOutputs | None = None
        self._on: set[Notice] = set()
        self._unsure: set[Notice] = set()
        self._renew_ns: dict[Notice, int] = {}
        self._seen: Mapping[str, bool] | None = None
        self._seen_ns = 0
        self._look_ns = 0
        self._wants: frozenset[Notice] = frozenset()
        self._silent: frozenset[Notice] = frozenset()
        self._since = dict.fromkeys(Notice, clock.stamp())
        self._told = NoticesShown()
        self._violations = state().counts.violations
        self._violated_ns: int | None = None
        self.failures = 0

    def shown(self) -> NoticesShown:
        """What is wanted, and what the outputs were read back to hold a moment ago."""
        fresh = self._clock.stamp().mono_ns - self._seen_ns <= _STALE_NS
        seen = self._seen if self._session is not None and fresh else None
        return NoticesShown(
            self._sign_shown(seen), self._alarm_shown(Notice.BEACON, seen), self._alarm_shown(Notice.TONE, seen)
        )

    async def run(self) -> None:
        """Until cancelled; the session switches everything off when it ends."""
        while True:
            await self._turn()
            shown = self.shown()
            if shown != self._told:
                self._told = shown
                self._on_change()
            await asyncio.sleep(PERIOD_S)

    def _sign_shown(self, seen: Mapping[str, bool] | None) -> SignShown | None:
        wired = self._wired & _TEXTS.keys()
        if not wired:
            return None
        wanted = next((_TEXTS[notice] for notice in self._wants if notice in wired), SignText.STOP)
        lit = [_TEXTS[notice] for notice in sorted(wired) if seen is not None and seen.get(notice.value)]
        known = seen is not None and len(lit) < 2
        shown = (lit[0] if lit else SignText.STOP) if known else None
        since = max((self._since[notice] for notice in wired), key=lambda stamp: stamp.mono_ns)
        return SignShown(wanted, since, shown, Grade.COIL if known else Grade.NONE)

    def _alarm_shown(self, notice: Notice, seen: Mapping[str, bool] | None) -> AlarmShown | None:
        if notice not in self._wired:
            return None
        silenced = self._state().silenced
        by = silenced.by if silenced is not None and notice in self._silent else ""
        return AlarmShown(notice in self._wants, self._since[notice], seen.get(notice.value) if seen else None, by)

    def _want(self) -> frozenset[Notice]:
        state, now = self._state(), self._clock.stamp()
        if state.counts.violations > self._violations:
            self._violated_ns = now.mono_ns
        self._violations = state.counts.violations  # one that proved to be none is taken off the count
        on, self._silent = alarms(state, self._violated_ns, now.mono_ns, self._limits)
        text = _NOTICE_OF.get(sign_text(state, self._signal()))
        wanted = (on | ({text} if text is not None else set())) & self._wired
        for notice in wanted ^ self._wants:
            self._since[notice] = now
        self._wants = wanted
        return wanted

    async def _turn(self) -> None:
        outputs = self._outputs()
        if outputs is not self._session:
            self._session, self._on, self._unsure, self._seen, self._look_ns = outputs, set(), set(), None, 0
            self._told = NoticesShown()  # conditions of the session before are gone: tell anew
        wanted = self._want()
        if outputs is None:
            return
        try:
            for notice in sorted((self._on | self._unsure) - wanted):
                await self._switch(outputs, notice, on=False)
            for notice in sorted((wanted - self._on) | (self._unsure & wanted)):
                await self._switch(outputs, notice, on=True)
            await self._renew(outputs)
            await self._look(outputs)
        except DeviceError:
            self.failures += 1

    async def _switch(self, outputs: NoticeOutputs, notice: Notice, *, on: bool) -> None:
        self._unsure.add(notice)  # if the exchange fails, it may have been switched all the same
        self._seen, self._look_ns = None, 0
        self._renew_ns[notice] = self._clock.stamp().mono_ns + _renewed_after_ns(outputs)
        await outputs.switch(notice.value, on=on)
        (self._on.add if on else self._on.discard)(notice)
        self._unsure.discard(notice)

    async def _renew(self, outputs: NoticeOutputs) -> None:
        """Switch on again what is on and would end by itself."""
        if not outputs.lasts_ms:
            return
        for notice in sorted(self._on):
            now_ns = self._clock.stamp().mono_ns
            if now_ns >= self._renew_ns[notice]:
                await outputs.switch(notice.value, on=True)
                self._renew_ns[notice] = now_ns + _renewed_after_ns(outputs)

    async def _look(self, outputs: NoticeOutputs) -> None:
        """Read back, and doubt what is not as it was switched."""
        now_ns = self._clock.stamp().mono_ns
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + LOOK_NS
        self._seen = await outputs.read()
        self._seen_ns = now_ns
        self._unsure |= {notice for notice in self._wired if self._seen.get(notice.value) is not (notice in self._on)}


def _renewed_after_ns(outputs: NoticeOutputs) -> int:
    """Early enough for one lost exchange."""
    return outputs.lasts_ms * 1_000_000 // 3


def make_notices(agent: "Agent") -> NoticeLoop | None:
    """The loop of a lane that has any of these outputs; None without."""
    head = next(device for device in agent.config.devices if device.id == agent.config.signal.device)
    roles = getattr(head, "actuators", {})
    wired = frozenset(notice for notice in Notice if notice.value in roles)
    if not wired:
        return None

    def outputs() -> NoticeOutputs | None:
        live = agent.head()
        return live.actuators if live is not None else None

    def changed() -> None:
        sign = loop.shown().sign
        if sign is not None and agent.head() is not None:
            tell_of_sign(agent.board, head.id, sign, agent.clock.stamp())
        else:
            agent.board.clear(NOT_AS_TOLD, head.id)  # why is told already
        agent.backend.changed()  # which is made after this

    section = agent.config.notices
    limits = NoticeLimits(round(section.beacon_s * 1e9), round(section.tone_s * 1e9))
    state, signal = lambda: agent.passage.state, agent.signal.state
    loop = NoticeLoop(wired, outputs, state, signal, agent.clock, limits, changed)
    return loop
