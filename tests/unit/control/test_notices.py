"""Sign, beacon and tone: what they say for a state of the lane, and the loop that keeps them so, on virtual time."""

import asyncio
from dataclasses import replace

import pytest

from drivers.api import Aspect, DeviceTimeout, Grade
from edge_agent.control.notices import Notice, NoticeLimits, NoticeLoop, alarms, sign_text
from edge_agent.control.signal_loop import SignalState
from edge_agent.model.actuators import SignText
from edge_agent.model.decision import ActKind, ActResult, Role, Verdict
from edge_agent.model.effects import EmitEvent
from edge_agent.model.lane import LaneMode
from edge_agent.passage.corridor import LaneState
from edge_agent.passage.state import Fault, Silence
from edge_agent.safety.facts import Reason, Ruling
from edge_agent.safety.timing import HeadTest
from tests.unit.control.signal_rig import LoopClock
from tests.unit.passage.story import Lane, stamp

S = 1_000_000_000
LIMITS = NoticeLimits(60 * S, 5 * S)
RED = SignalState(
    commanded=Aspect.RED, since=stamp(0), confirmed=Aspect.RED, grade=Grade.LAMP, confirmed_at=stamp(0),
    confirmed_since=stamp(0),
    ruling=Ruling(Aspect.RED, (Reason.NO_LEASE,)), reasons_since=(), fault="", lease_seq=0, cycles=1,
    last_cycle=None, failures=0, last_failure="", fed=None, tripped=False, test=None,
)  # fmt: skip
GREEN = replace(RED, commanded=Aspect.GREEN, confirmed=Aspect.GREEN, ruling=Ruling(Aspect.GREEN, ()))


def lane(mode: LaneMode = LaneMode.REMOTE) -> LaneState:
    state = Lane().start().state
    return replace(state, mode=mode, wanted_mode=mode)


def test_proceed_is_said_with_a_confirmed_green_only() -> None:
    assert sign_text(lane(), GREEN) is SignText.PROCEED
    for change in (
        {"commanded": Aspect.RED},
        {"commanded": Aspect.AMBER},
        {"commanded": None},
        {"confirmed": Aspect.RED},
        {"confirmed": Aspect.DARK},
        {"confirmed": None},
        {"grade": Grade.COIL},
        {"fault": "SIGNAL_CONFLICT"},
        {"test": HeadTest(Aspect.GREEN, 1)},
    ):
        assert sign_text(lane(), replace(GREEN, **change)) is SignText.STOP, change


@pytest.mark.parametrize("mode", list(LaneMode))
def test_the_sign_never_says_more_than_the_light(mode: LaneMode) -> None:
    for commanded in (None, *Aspect):
        for confirmed in (None, *Aspect):
            text = sign_text(lane(mode), replace(RED, commanded=commanded, confirmed=confirmed))
            if text is SignText.PROCEED:
                assert (commanded, confirmed) == (Aspect.GREEN, Aspect.GREEN)
            elif text is not SignText.STOP:
                assert (commanded, confirmed) == (Aspect.RED, Aspect.RED)


def test_a_closed_lane_says_so_and_every_other_one_says_stop() -> None:
    said = {mode for mode in LaneMode if sign_text(lane(mode), RED) is SignText.CLOSED}
    assert said == {LaneMode.CLOSED, LaneMode.MAINTENANCE}


def test_the_first_vehicle_that_is_referred_is_sent_to_secondary_unless_held() -> None:
    story = Lane().start()
    story.arrive()
    assert sign_text(story.state, RED) is SignText.STOP
    story.decide(Verdict.REFER_SECONDARY)
    assert sign_text(story.state, RED) is SignText.SECONDARY
    assert sign_text(story.state, GREEN) is SignText.PROCEED
    story.act(ActKind.HOLD_LANE)
    assert sign_text(story.state, RED) is SignText.STOP
    story.act(ActKind.CLEAR_HOLD)
    story.act(ActKind.HOLD_CONVEYANCE, of=story.first)
    assert sign_text(story.state, RED) is SignText.STOP


def test_a_refusal_is_not_told_by_the_sign() -> None:
    story = Lane().start()
    story.arrive()
    story.decide(Verdict.REFUSE_RETURN)
    assert sign_text(story.state, RED) is SignText.STOP


def on(state: LaneState, since_violation_ns: int | None) -> set[Notice]:
    now_ns = 1000 * S
    violated_ns = now_ns - since_violation_ns if since_violation_ns is not None else None
    return set(alarms(state, violated_ns, now_ns, LIMITS)[0])


def test_beacon_and_tone_have_their_times() -> None:
    calm, fault = lane(), Fault("SIGNAL_DARK", stamp(0))
    assert on(calm, None) == set()
    assert on(calm, 0) == {Notice.BEACON, Notice.TONE}
    assert on(calm, 5 * S) == {Notice.BEACON}
    assert on(calm, 60 * S) == set()
    assert on(replace(calm, fault=fault), 60 * S) == {Notice.BEACON}
    assert on(replace(calm, barrier_fault=fault), None) == {Notice.BEACON}


def test_silence_is_for_what_has_happened_up_to_then_and_not_for_a_fault() -> None:
    fault = Fault("SIGNAL_DARK", stamp(0))
    silent = replace(lane(), silenced=Silence(stamp(998), "bso-7"))
    assert on(silent, 3 * S) == set()
    assert on(silent, 2 * S) == set()
    assert on(silent, 2 * S - 1) == {Notice.BEACON, Notice.TONE}, "a violation since"
    assert on(replace(silent, fault=fault), 3 * S) == {Notice.BEACON}
    assert alarms(silent, 997 * S, 1000 * S, LIMITS)[1] == {Notice.BEACON, Notice.TONE}
    assert alarms(replace(silent, fault=fault), 997 * S, 1000 * S, LIMITS)[1] == {Notice.TONE}
    assert alarms(silent, None, 1000 * S, LIMITS)[1] == set()


def test_a_viewer_may_not_silence() -> None:
    story = Lane().start()
    assert story.act(ActKind.SILENCE, Role.VIEWER).result is ActResult.PERMISSION_DENIED
    assert story.state.silenced is None


@pytest.mark.parametrize("role", [Role.OFFICER, Role.TECHNICIAN])
def test_staff_may_silence_and_it_is_on_record_who_did(role: Role) -> None:
    story = Lane().start()
    assert story.act(ActKind.SILENCE, role).result is ActResult.OK
    assert story.state.silenced == Silence(story.at, "bso:p1")
    acts = [dict(e.facts) for e in story.effects if isinstance(e, EmitEvent) and e.code == "OFFICER_ACT"]
    told = acts[-1]
    assert (told["act"], told["officer"], told["role"], told["result"]) == ("silence", "bso:p1", role.value, "OK")
    story.start()
    assert story.state.silenced is None, "the monotonic clock may have begun anew"


class Outputs:
    """Records what is switched; `fail` makes exchanges fail after they took effect. `lasts_ms`: what is on ends by
    itself, of which only the log tells."""

    def __init__(self, *without: Notice, lasts_ms: int = 0) -> None:
        self.lasts_ms = lasts_ms
        self.wired = frozenset(Notice) - set(without)
        self.roles = frozenset(notice.value for notice in self.wired)
        self.on: set[str] = set()
        self.log: list[tuple[str, bool]] = []
        self.fail = False

    async def switch(self, role: str, *, on: bool) -> None:
        assert role in self.roles
        self.log.append((role, on))
        (self.on.add if on else self.on.discard)(role)
        assert len(self.on & {"sign_proceed", "sign_secondary", "sign_closed"}) < 2, "two texts at once"
        if self.fail:
            raise DeviceTimeout("MODULE_TIMEOUT", "no answer")

    async def read(self) -> dict[str, bool]:
        if self.fail:
            raise DeviceTimeout("MODULE_TIMEOUT", "no answer")
        return {role: role in self.on for role in self.roles}


class NoticeRig:
    def __init__(self, *without: Notice) -> None:
        self.state, self.signal = lane(), RED
        self.outputs: Outputs | None = Outputs(*without)
        self.news = 0
        self.loop = NoticeLoop(
            self.outputs.wired,
            lambda: self.outputs,
            lambda: self.state,
            lambda: self.signal,
            LoopClock(),
            LIMITS,
            self._changed,
        )
        self.task = asyncio.create_task(self.loop.run())

    def _changed(self) -> None:
        self.news += 1

    async def shown(self, seconds: float = 0.2) -> set[str]:
        await asyncio.sleep(seconds)
        assert self.outputs is not None
        return self.outputs.on

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def violate(self, by: int = 1) -> None:
        counts = self.state.counts
        self.state = replace(self.state, counts=replace(counts, violations=counts.violations + by))


async def test_texts_change_by_way_of_the_default() -> None:
    rig = NoticeRig()
    assert await rig.shown() == set()
    rig.signal = GREEN
    assert await rig.shown() == {"sign_proceed"}
    rig.signal = RED
    rig.state = lane(LaneMode.CLOSED)
    assert await rig.shown() == {"sign_closed"}
    assert rig.outputs is not None
    assert rig.outputs.log == [("sign_proceed", True), ("sign_proceed", False), ("sign_closed", True)]
    await asyncio.sleep(60)
    assert len(rig.outputs.log) == 3, "written on change only"
    await rig.end()


async def test_what_ends_by_itself_is_renewed_in_time_and_no_longer_than_it_is_wanted() -> None:
    rig = NoticeRig()
    rig.outputs = Outputs(lasts_ms=1500)
    rig.signal = GREEN
    assert await rig.shown(10.0) == {"sign_proceed"}
    renewed = len(rig.outputs.log)
    assert set(rig.outputs.log) == {("sign_proceed", True)}
    assert 18 <= renewed <= 21, "after a third of what it lasts, on the next turn"
    rig.outputs.fail = True
    await asyncio.sleep(1)
    assert len(rig.outputs.log) > renewed + 5, "a lost exchange is made again at once"
    rig.outputs.fail, rig.signal = False, RED
    assert await rig.shown() == set()
    told = len(rig.outputs.log)
    await asyncio.sleep(10)
    assert len(rig.outputs.log) == told
    await rig.end()


async def test_a_violation_sounds_and_lights_for_a_time() -> None:
    rig = NoticeRig()
    await rig.shown()
    rig.violate()
    assert await rig.shown() == {"beacon", "tone"}
    assert await rig.shown(5) == {"beacon"}
    rig.violate(-1)
    assert await rig.shown(10) == {"beacon"}
    assert await rig.shown(50) == set()
    rig.violate()
    assert await rig.shown() == {"beacon", "tone"}
    await rig.end()


async def test_a_silenced_tone_stays_silent_until_the_next_violation() -> None:
    rig = NoticeRig()
    await rig.shown()
    rig.violate()
    assert await rig.shown() == {"beacon", "tone"}
    rig.state = replace(rig.state, silenced=Silence(LoopClock().stamp(), "bso-7"))
    assert await rig.shown() == set()
    tone, beacon = rig.loop.shown().tone, rig.loop.shown().beacon
    assert tone is not None
    assert beacon is not None
    assert (tone.silenced_by, beacon.silenced_by, tone.wanted) == ("bso-7", "bso-7", False)
    rig.violate()
    assert await rig.shown() == {"beacon", "tone"}
    tone = rig.loop.shown().tone
    assert tone is not None
    assert tone.silenced_by == ""
    await rig.end()


async def test_what_failed_is_tried_again_and_what_may_be_on_is_switched_off() -> None:
    rig = NoticeRig()
    assert rig.outputs is not None
    rig.outputs.fail = True
    rig.signal = GREEN
    await rig.shown()
    assert rig.loop.failures > 1
    rig.signal = RED
    rig.outputs.fail = False
    assert await rig.shown() == set()
    rig.signal = GREEN
    assert await rig.shown() == {"sign_proceed"}
    await rig.end()


async def test_a_new_session_is_told_everything_and_what_is_not_wired_is_left_alone() -> None:
    rig = NoticeRig(Notice.TONE, Notice.BEACON)
    rig.signal = GREEN
    await rig.shown()
    rig.outputs = None
    await asyncio.sleep(1)
    rig.outputs = Outputs(Notice.TONE, Notice.BEACON)
    rig.violate()
    assert await rig.shown() == {"sign_proceed"}
    await rig.end()


async def test_what_is_shown_is_what_was_read_back() -> None:
    rig = NoticeRig()
    await rig.shown()
    shown = rig.loop.shown()
    assert shown.sign is not None
    assert shown.beacon is not None
    assert (shown.sign.wanted, shown.sign.shown, shown.sign.grade) == (SignText.STOP, SignText.STOP, Grade.COIL)
    assert (shown.beacon.wanted, shown.beacon.shown) == (False, False)
    rig.signal, news = GREEN, rig.news
    await rig.shown()
    shown = rig.loop.shown()
    assert shown.sign is not None
    assert (shown.sign.wanted, shown.sign.shown) == (SignText.PROCEED, SignText.PROCEED)
    assert shown.sign.since.mono_ns > 0
    assert rig.news > news
    assert rig.outputs is not None
    rig.outputs.fail = True
    await asyncio.sleep(5)
    shown = rig.loop.shown()
    assert shown.sign is not None
    assert (shown.sign.wanted, shown.sign.shown, shown.sign.grade) == (SignText.PROCEED, None, Grade.NONE)
    rig.outputs = None
    await asyncio.sleep(1)
    assert rig.loop.shown().sign is not None
    await rig.end()


async def test_what_somebody_else_switched_is_switched_back() -> None:
    rig = NoticeRig()
    await rig.shown()
    assert rig.outputs is not None
    rig.outputs.on |= {"sign_proceed", "tone"}
    assert await rig.shown(1.5) == set()
    rig.signal = GREEN
    assert await rig.shown() == {"sign_proceed"}
    rig.outputs.on.clear()
    assert await rig.shown(1.5) == {"sign_proceed"}
    await rig.end()


async def test_what_is_not_wired_is_not_shown() -> None:
    rig = NoticeRig(Notice.TONE, Notice.SECONDARY, Notice.PROCEED, Notice.CLOSED)
    await rig.shown()
    shown = rig.loop.shown()
    assert (shown.sign, shown.tone, shown.beacon is not None) == (None, None, True)
    await rig.end()
