"""Whatever comes in, in whatever order: what must hold after every single input."""

from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.api import Aspect, Grade
from edge_agent.model.decision import ActKind, Authority, OfficerAct, Role, Verdict
from edge_agent.model.effects import AnswerAct, Effect, GrantLease, SealBundle, WithdrawLease
from edge_agent.model.identity import IdentityKind
from edge_agent.model.inputs import (
    ActReceived,
    CentreLink,
    ClockStepped,
    ConsolePresence,
    ControlLost,
    CoreInput,
    DeviceChanged,
    HeadTested,
    SignalChanged,
    Started,
    StoreHealth,
    Tick,
    ZonesLost,
)
from edge_agent.model.lane import LaneMode, Zone
from edge_agent.passage.corridor import advance, fold, initial_state
from edge_agent.passage.decisions import effective
from edge_agent.passage.etag import etag_of
from edge_agent.passage.identity_digest import identity_digest
from edge_agent.passage.state import RANK
from edge_agent.passage.views import red_causes, view

from .story import CONFIG, Lane

ZONE = st.sampled_from(list(Zone))
NAMES = st.sampled_from(["t1", "t2", "t3"])
DRIVING = st.one_of(
    st.tuples(st.just("arrive"), NAMES),
    st.just(("release",)),
    st.just(("line",)),
    st.just(("over",)),
    st.just(("clear",)),
    st.tuples(st.just("wait"), st.floats(0.05, 20.0)),
    st.tuples(st.just("decide"), st.integers(0, 3), st.sampled_from(list(Verdict)), st.integers(1, 9)),
    st.tuples(st.just("act"), st.just(ActKind.RELEASE_CONVEYANCE), st.just(Role.OFFICER), st.integers(0, 1)),
)
MENDING = st.one_of(
    st.tuples(st.just("act"), st.just(ActKind.CONFIRM_ORDER), st.just(Role.OFFICER), st.just(0)),
    st.tuples(st.just("act"), st.just(ActKind.CLEAR_HOLD), st.just(Role.OFFICER), st.integers(0, 4)),
    st.tuples(st.just("act"), st.just(ActKind.CLEAR_FAULT), st.just(Role.OFFICER), st.just(0)),
    st.tuples(st.just("act"), st.just(ActKind.SET_MODE), st.just(Role.OFFICER), st.just(0)),
    st.just(("mend",)),
)
TROUBLE = st.one_of(
    st.tuples(st.just("toggle"), ZONE),
    st.tuples(st.just("see"), NAMES, st.sampled_from([IdentityKind.DRIVER_CARD, IdentityKind.TRANSPONDER])),
    st.tuples(st.just("act"), st.sampled_from(list(ActKind)), st.sampled_from(list(Role)), st.integers(0, 4)),
    st.just(("session",)),
    st.just(("lost",)),
    st.tuples(st.just("pulse"), ZONE),
    st.tuples(st.just("centre"), st.booleans()),
    st.tuples(st.just("console"), st.booleans()),
    st.just(("silent",)),
    st.tuples(st.just("store"), st.booleans()),
    st.tuples(st.just("device"), st.booleans()),
    st.tuples(st.just("fault"), st.booleans()),
    st.tuples(st.just("clock"), st.integers(-9999, 9999)),
    st.just(("restart",)),
)
OPS = st.integers(0, 9).flatmap(lambda n: DRIVING if n < 7 else TROUBLE if n < 9 else MENDING)


@dataclass
class Guarded(Lane):
    """A lane that checks the invariants after every input."""

    in_force: int = 0
    last_seq: int = 0
    sealed: Counter[str] = field(default_factory=Counter)
    known: set[str] = field(default_factory=set)

    def feed(self, event: CoreInput) -> tuple[Effect, ...]:
        before = self.state
        effects = super().feed(event)
        if isinstance(event, Tick) and event.at.mono_ns < before.due_ns:
            assert (self.state, effects) == (before, ())
            assert advance(before, event) == (before, ()), "an idle tick must change nothing"
        self._check()
        return effects

    def saw(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, GrantLease):
                assert effect.lease.seq > self.last_seq
                self.last_seq = self.in_force = effect.lease.seq
            elif isinstance(effect, WithdrawLease):
                assert effect.seq == self.in_force
                self.in_force = 0
            elif isinstance(effect, SealBundle):
                self.sealed[effect.conveyance.bundle_id] += 1
                assert self.sealed[effect.conveyance.bundle_id] == 1
                assert effect.conveyance.outcome is not None

    def _check(self) -> None:
        state = self.state
        ids = [track.id for track in state.tracks]
        assert len(set(ids)) == len(ids)
        assert state.counts.detected == state.counts.sealed + len(ids)
        reached = [track.reached for track in state.tracks]
        past = [track.reached for track in state.tracks if not track.upstream]
        assert reached[: len(past)] == past, "who has crossed is ahead of who has not"
        assert (self.in_force == 0) == (state.lease is None)
        if state.lease is not None:
            self._check_lease()

    def _check_lease(self) -> None:
        state, lease = self.state, self.state.lease
        assert lease is not None
        track = state.first_upstream
        assert track is not None
        assert track.id == lease.conveyance_id
        decision = effective(track, self.at.mono_ns)
        assert decision is not None
        assert decision.verdict is Verdict.RELEASE
        assert decision.decision_id == lease.decision_id
        assert decision.identity_digest == identity_digest(track.conveyance.assignments)
        assert lease.deadline_mono_ns <= decision.deadline_mono_ns
        assert state.hold is None
        assert track.conveyance.hold is None
        if decision.authority is Authority.BSO:
            assert state.control.officer, "an officer's green ends with the control of the lane"
            assert state.control.unbroken is not None
            assert state.control.unbroken.mono_ns <= decision.received.mono_ns
        assert state.fault is None
        assert state.mode not in {LaneMode.CLOSED, LaneMode.ALL_HOLD, LaneMode.FAULT}
        assert state.zones.fresh
        assert not state.zones.occupied(Zone.BEAM)
        assert lease.input_session == state.zones.session
        assert lease.beam_edges == state.zones.edges.get(Zone.BEAM, 0)
        if not lease.standing:
            assert state.order.known
            assert state.mode is LaneMode.REMOTE
        elif lease.authority is Authority.SYSTEM:
            assert not track.suspect
            assert state.mode is LaneMode.REMOTE
        if lease.standing:
            assert track.reached == RANK[Zone.S]
            assert Zone.S in track.over
        if lease.authority is Authority.SYSTEM:
            assert state.centre.up

    def send(self, act: OfficerAct) -> AnswerAct:
        answers = [e for e in self.feed(ActReceived(self.at, act)) if isinstance(e, AnswerAct)]
        assert len(answers) == 1
        return answers[0]


class Player:
    """Turns drawn operations into inputs."""

    def __init__(self) -> None:
        self.lane = Guarded().start()

    def play(self, op: tuple[object, ...]) -> None:
        """One operation."""
        name, *args = op
        getattr(self, f"do_{name}")(*args)

    def do_toggle(self, zone: Zone) -> None:
        self.lane.zones((zone, not self.lane.levels[zone]))

    def do_arrive(self, name: str) -> None:
        """A vehicle comes in over A and drives on."""
        if not self.lane.levels[Zone.A]:
            self.lane.on(Zone.A)
            self.lane.wait(0.4)
            self.lane.identify(name)
            self.lane.wait(6.0, pace=0.5)
            self.lane.off(Zone.A)

    def do_release(self) -> None:
        """Central releases the first vehicle."""
        track = self.lane.state.first_upstream
        if track is not None:
            self.lane.decide(revision=len(track.conveyance.decisions) + 5)

    def do_line(self) -> None:
        """The first vehicle drives on until it stands at the line."""
        track = self.lane.state.first_upstream
        for zone in (Zone.D, Zone.S):
            if track is not None and track.reached < RANK[zone] and not self.lane.levels[zone]:
                self.lane.wait(6.0, pace=0.5)
                self.lane.on(zone)
        self.lane.off(Zone.D)
        self.lane.wait(7.0, pace=0.5)

    def do_over(self) -> None:
        """Over the beam, tail clear."""
        self.lane.on(Zone.BEAM)
        self.lane.wait(4.0, pace=0.5)
        self.lane.zones((Zone.S, False), (Zone.BEAM, False))

    def do_clear(self) -> None:
        """Out through X."""
        self.lane.wait(3.0, pace=0.5)
        self.lane.on(Zone.X)
        self.lane.wait(3.0, pace=0.5)
        self.lane.off(Zone.X)

    def do_mend(self) -> None:
        """Everything is well again."""
        lane = self.lane
        lane.zones()
        for event in (
            CentreLink(lane.at, True),
            DeviceChanged(lane.at, "rfid-1", True, "", True),
            StoreHealth(lane.at, True, ""),
        ):
            lane.feed(event)

    def do_wait(self, seconds: float) -> None:
        self.lane.wait(seconds, pace=1.3)

    def do_see(self, name: str, kind: IdentityKind) -> None:
        self.lane.see(f"{name}-{kind.value}", kind)

    def do_decide(self, index: int, verdict: Verdict, revision: int) -> None:
        tracks = self.lane.state.tracks
        if tracks:
            self.lane.decide(verdict, of=tracks[index % len(tracks)].conveyance, revision=revision, ttl_s=revision * 9)

    def do_act(self, kind: ActKind, role: Role, index: int) -> None:
        lane = self.lane
        upstream = [t for t in lane.state.tracks if t.upstream]
        officer = "q" if index == 4 else "p"
        if role is Role.OFFICER and kind is not ActKind.GIVE_CONTROL and officer == "p":
            lane.control(officer)
        lane.acts += 1
        act = OfficerAct(
            kind,
            f"act-{lane.acts}",
            officer,
            role,
            verdict=Verdict.MANUAL_LANE,
            mode=["remote", "attended", "closed", "all_hold"][index % 4] if index else "remote",
            condition="X",
            confirmed_order=tuple(t.id for t in upstream) if kind is ActKind.CONFIRM_ORDER else (),
        )
        named = kind not in {ActKind.HOLD_LANE, ActKind.CONFIRM_ORDER, ActKind.SET_MODE, ActKind.CLEAR_FAULT}
        if lane.state.tracks and named and index < 4:
            shown = lane.state.tracks[index % len(lane.state.tracks)].conveyance
            digest = identity_digest(shown.assignments)
            act = replace(act, conveyance_id=shown.conveyance_id, etag=etag_of(shown), identity_digest=digest)
        if kind is ActKind.CLEAR_FAULT and index % 2 == 0:
            lane.feed(HeadTested(lane.at, "signal_test", True, "io-1", "", "p", ()))
        lane.send(act)
        assert lane.feed(ActReceived(lane.at, act)), "a repeat is answered too"

    def do_session(self) -> None:
        self.lane.session += 1
        self.lane.zones()

    def do_lost(self) -> None:
        self.lane.feed(ZonesLost(self.lane.at, "X"))

    def do_pulse(self, zone: Zone) -> None:
        self.lane.edges[zone] += 2
        self.lane.zones()

    def do_centre(self, up: bool) -> None:
        self.lane.feed(CentreLink(self.lane.at, up))

    def do_console(self, present: bool) -> None:
        self.lane.feed(ConsolePresence(self.lane.at, present))

    def do_silent(self) -> None:
        self.lane.feed(ControlLost(self.lane.at, self.lane.state.control.officer))

    def do_store(self, ok: bool) -> None:
        self.lane.feed(StoreHealth(self.lane.at, ok, "X"))

    def do_device(self, up: bool) -> None:
        self.lane.feed(DeviceChanged(self.lane.at, "rfid-1", up, "X", True))

    def do_fault(self, fault: bool) -> None:
        code = "SIGNAL_MISMATCH" if fault else ""
        self.lane.feed(SignalChanged(self.lane.at, Aspect.RED, Aspect.RED, Grade.LAMP, "x", code, 0))

    def do_clock(self, step_ms: int) -> None:
        self.lane.feed(ClockStepped(self.lane.at, step_ms))

    def do_restart(self) -> None:
        self.lane.feed(Started(self.lane.at, f"boot-{self.lane.now}", f"seed-{self.lane.now}".encode()))
        self.lane.zones()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(OPS, min_size=5, max_size=50))
def test_invariants_hold_after_every_input(ops: list[tuple[object, ...]]) -> None:
    player = Player()
    for op in ops:
        player.play(op)
        red_causes(player.lane.state, player.lane.at)
    view(player.lane.state, player.lane.at)
    assert fold(initial_state(CONFIG), player.lane.journal) == player.lane.state
