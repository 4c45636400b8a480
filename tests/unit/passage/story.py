"""A tiny lane to tell stories with: the core under test, a clock, a release service that answers, trucks that drive.

Not the traffic world: everything here is written out so that a story can be read on one screen.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from drivers.api import Aspect, Grade, Stamp
from edge_agent.model.conveyance import Conveyance
from edge_agent.model.decision import ActKind, Authority, Decision, OfficerAct, Role, Verdict
from edge_agent.model.effects import (
    AnswerAct,
    AskRelease,
    Effect,
    EmitEvent,
    GrantLease,
    SealBundle,
    SetCondition,
    WithdrawLease,
)
from edge_agent.model.identity import IdentityClaim, IdentityKind, Sighting
from edge_agent.model.inputs import (
    ActReceived,
    CentreLink,
    CoreInput,
    DecisionReceived,
    SightingChanged,
    SignalChanged,
    Started,
    Tick,
    ZonesChanged,
)
from edge_agent.model.lane import Geometry, Kinematics, LaneIdentity, LaneMode, LanePolicy, Zone, ZoneSpan
from edge_agent.passage.corridor import CoreConfig, LaneState, initial_state, step
from edge_agent.passage.etag import etag_of
from edge_agent.passage.identity_digest import identity_digest

NS = 1_000_000_000
UTC0 = 1_790_000_000 * NS
GEOMETRY = Geometry(
    a=ZoneSpan(-62.0, -58.0),
    d=ZoneSpan(-31.0, -29.0),
    s=ZoneSpan(-3.0, 0.0),
    beam_m=0.2,
    x=ZoneSpan(35.0, 37.0),
    antennas=(("rfid-1", 1, ZoneSpan(-64.0, -56.0)),),
)
KINEMATICS = Kinematics(v_max_kmh=25.0, v_min_kmh=5.0, reaction_s=1.5, decel_ms2=2.0)
IDENTITY = LaneIdentity("ports/0453/lanes/07", "0453", "CAWND", "CA_BOUND", "0.1.0", "sha256:c", "sha256:p", "sha256:i")
CONFIG = CoreConfig(IDENTITY, GEOMETRY, KINEMATICS, LanePolicy(), LaneMode.REMOTE)
CARGO = IdentityClaim(IdentityKind.CRN, "crn-token", b"", "", "central")


def stamp(seconds: float) -> Stamp:
    """Both clocks at this second of the story."""
    ns = round(seconds * NS)
    return Stamp(ns, UTC0 + ns)


@dataclass
class Lane:
    """The core with a journal, and everything that came out of it."""

    config: CoreConfig = CONFIG
    now: float = 0.0
    state: LaneState = field(init=False)
    journal: list[CoreInput] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    levels: dict[Zone, bool] = field(default_factory=lambda: dict.fromkeys(Zone, False))
    edges: dict[Zone, int] = field(default_factory=lambda: dict.fromkeys(Zone, 0))
    session: int = 1
    acts: int = 0
    signal_lies: Callable[[Aspect], tuple[Aspect | None, Grade]] = lambda aspect: (aspect, Grade.LAMP)
    shows: Callable[[Aspect], Aspect | None] = lambda aspect: aspect
    decided: int = 0

    def __post_init__(self) -> None:
        self.state = initial_state(self.config)

    def feed(self, event: CoreInput) -> tuple[Effect, ...]:
        """One input; journalled as the shell would."""
        before = self.state
        self.state, effects = step(self.state, event)
        if self.state is not before or effects:
            self.journal.append(event)
        self.effects.extend(effects)
        self.saw(effects)
        for effect in effects:
            if isinstance(effect, GrantLease | WithdrawLease):
                self._show(effect)
        return effects

    def saw(self, effects: tuple[Effect, ...]) -> None:
        """For lanes that check what comes out."""

    def _show(self, effect: GrantLease | WithdrawLease) -> None:
        """A signal loop that follows the lease at once."""
        aspect = self.shows(Aspect.GREEN if isinstance(effect, GrantLease) else Aspect.RED)
        if aspect is None:
            return
        if self.state.signal is not None and self.state.signal.commanded is aspect:
            return
        seq = effect.lease.seq if isinstance(effect, GrantLease) else effect.seq
        reason = "" if aspect is Aspect.GREEN else effect.reason if isinstance(effect, WithdrawLease) else ""
        confirmed, grade = self.signal_lies(aspect)
        self.feed(SignalChanged(self.at, aspect, confirmed, grade, reason, "", seq))

    @property
    def at(self) -> Stamp:
        return stamp(self.now)

    def start(self, *, order_known: bool = True, centre: bool = True) -> "Lane":
        """Start, see the zones once, have the centre up and (as a rule) an officer confirm an empty corridor."""
        self.feed(Started(self.at, f"boot-{self.now}", b"seed" + str(self.now).encode()))
        self.zones()
        if centre:
            self.feed(CentreLink(self.at, True))
        if order_known:
            self.act(ActKind.CONFIRM_ORDER)
        else:
            self.control()
        return self

    def zones(self, *changes: tuple[Zone, bool]) -> None:
        """A snapshot after these level changes."""
        for zone, level in changes:
            if self.levels[zone] != level:
                self.edges[zone] += 1
            self.levels[zone] = level
        self.feed(ZonesChanged(self.at, self.session, dict(self.levels), dict(self.edges)))

    def on(self, zone: Zone) -> None:
        """The zone becomes occupied."""
        self.zones((zone, True))

    def off(self, zone: Zone) -> None:
        """The zone becomes free."""
        self.zones((zone, False))

    def wait(self, seconds: float, pace: float = 0.1) -> None:
        """Time passes, in ticks."""
        end = round(self.now + seconds, 6)
        while self.now < end - 1e-9:
            self.now = round(min(end, self.now + pace), 6)
            self.feed(Tick(self.at))

    def see(
        self,
        token: str,
        kind: IdentityKind = IdentityKind.DRIVER_CARD,
        reads: int = 5,
        rssi: int = -5200,
        ago: float = 0.0,
    ) -> None:
        """The antenna at A has a sighting of this tag, strongest `ago` seconds ago."""
        claim = IdentityClaim(kind, token, b"", "", "rfid-1/1", 0.98)
        peak = stamp(self.now - ago)
        self.feed(SightingChanged(self.at, Sighting(token, claim, "rfid-1", 1, reads, rssi, peak, peak, self.at)))

    def identify(self, name: str) -> None:
        """Card and transponder of one truck."""
        self.see(f"{name}-card")
        self.see(f"{name}-tag", IdentityKind.TRANSPONDER)

    @property
    def first(self) -> Conveyance:
        """The first vehicle upstream of the stop line."""
        track = self.state.first_upstream
        assert track is not None
        return track.conveyance

    def decide(
        self,
        verdict: Verdict = Verdict.RELEASE,
        *,
        of: Conveyance | None = None,
        revision: int = 1,
        ttl_s: float = 120.0,
        digest: str | None = None,
        cargo: bool = True,
        echoed: float | None = None,
    ) -> Decision:
        """Central decides on a vehicle (the first upstream)."""
        conveyance = of if of is not None else self.first
        self.decided += 1
        decision = Decision(
            decision_id=f"decision-{self.decided}",
            conveyance_id=conveyance.conveyance_id,
            revision=revision,
            verdict=verdict,
            authority=Authority.SYSTEM,
            identity_digest=digest if digest is not None else identity_digest(conveyance.assignments),
            echoed_mono_ns=stamp(self.now if echoed is None else echoed).mono_ns,
            ttl_ms=int(ttl_s * 1000),
            issued_utc_ns=UTC0,
            received=self.at,
            cargo=(CARGO,) if cargo else (),
        )
        self.feed(DecisionReceived(self.at, decision))
        return decision

    def control(self, officer: str = "bso:p1", **more: object) -> AnswerAct:
        """This officer takes control of the lane, from whoever is shown to have it."""
        self.acts += 1
        act = OfficerAct(ActKind.TAKE_CONTROL, f"take-{self.acts}", officer, Role.OFFICER, reason="story")
        return self.send(replace(act, displaces=self.state.control.officer, **more))  # type: ignore[arg-type]

    def act(self, kind: ActKind, role: Role = Role.OFFICER, of: Conveyance | None = None, **more: object) -> AnswerAct:
        """An officer (or another role) acts on what is shown now; where that needs control and nobody has it, the
        officer has taken it before."""
        if role is Role.OFFICER and not self.state.control.officer:
            self.control(str(more.get("officer", "bso:p1")))
        self.acts += 1
        act = OfficerAct(kind=kind, request_id=f"act-{self.acts}", officer="bso:p1", role=role)
        if of is not None:
            seen = of.hold.etag if kind is ActKind.CLEAR_HOLD and of.hold is not None else etag_of(of)
            act = replace(
                act, conveyance_id=of.conveyance_id, etag=seen, identity_digest=identity_digest(of.assignments)
            )
        return self.send(replace(act, **more))  # type: ignore[arg-type]

    def send(self, act: OfficerAct) -> AnswerAct:
        """Send an act as it is; exactly one answer must come back."""
        answers = [e for e in self.feed(ActReceived(self.at, act)) if isinstance(e, AnswerAct)]
        assert len(answers) == 1
        return answers[0]

    def of(self, kind: type[Effect]) -> list[Effect]:
        """All effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def events(self) -> list[str]:
        """Codes of the events so far."""
        return [effect.code for effect in self.effects if isinstance(effect, EmitEvent)]

    @property
    def conditions(self) -> list[tuple[str, bool]]:
        """Conditions raised (True) and cleared so far."""
        return [(effect.code, effect.active) for effect in self.effects if isinstance(effect, SetCondition)]

    @property
    def bundles(self) -> list[Conveyance]:
        """Sealed passages so far."""
        return [effect.conveyance for effect in self.effects if isinstance(effect, SealBundle)]

    @property
    def asked(self) -> list[AskRelease]:
        """Requests so far."""
        return [effect for effect in self.effects if isinstance(effect, AskRelease)]

    @property
    def withdrawn(self) -> list[WithdrawLease]:
        """Leases withdrawn so far."""
        return [effect for effect in self.effects if isinstance(effect, WithdrawLease)]

    def order_known(self) -> bool:
        """Whether the order of the corridor is known."""
        return self.state.order_known

    @property
    def mode(self) -> str:
        """The mode in effect."""
        return self.state.mode.value

    @property
    def green(self) -> str:
        """Conveyance id that green is allowed for; empty for none."""
        return self.state.lease.conveyance_id if self.state.lease is not None else ""

    def arrive(self, name: str | None = "t1") -> Conveyance:
        """A truck comes over A, is identified and drives on to where its tail has left A (10 km/h, 16 m)."""
        self.on(Zone.A)
        order = self.state.counts.detected
        self.wait(0.4)
        if name is not None:
            self.identify(name)
        self.wait(6.8)
        self.off(Zone.A)
        return next(c for c in self.state.conveyances if c.order == order)

    def drive_to_line(self) -> None:
        """From A's tail to standing at the stop line (10 km/h to D, slower from there)."""
        self.wait(4.0)
        self.on(Zone.D)
        self.wait(6.5)
        self.off(Zone.D)
        self.wait(5.0)
        self.on(Zone.S)

    def pass_line(self) -> None:
        """Over the beam and out through X."""
        self.on(Zone.BEAM)
        self.wait(5.0)
        self.off(Zone.S)
        self.wait(1.0)
        self.off(Zone.BEAM)
        self.wait(7.0)
        self.on(Zone.X)
        self.wait(6.0)
        self.off(Zone.X)


@dataclass
class Truck:
    """A truck of the driving stories. `nose` in metres from the stop line; obeys the light unless told otherwise."""

    name: str
    starts: float
    kmh: float = 10.0
    length: float = 18.0
    tags: bool = True
    obeys: bool = True
    nose: float = -90.0
    speed: float = 0.0
    stopped_s: float = 0.0
    going: bool = False
    crossed_at: float | None = None


class Traffic:
    """Trucks over the lane at 20 Hz; central answers after `latency_s`; checks every green against who is first."""

    def __init__(self, lane: Lane, trucks: list[Truck], latency_s: float = 0.8) -> None:
        self.lane = lane
        self.trucks = trucks
        self.latency_s = latency_s
        self.answers: list[tuple[float, AskRelease]] = []
        self.reads: dict[str, Sighting] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.seen = 0
        self.wrong_greens: list[str] = []

    def run(self, until: float, pace: float = 0.05) -> None:
        """Drive until this second of the story."""
        while self.lane.now < until:
            self.lane.now = round(self.lane.now + pace, 6)
            self._move(pace)
            self._sense()
            self.lane.feed(Tick(self.lane.at))
            self._answer()
            self._watch()

    def _move(self, dt: float) -> None:
        ahead: Truck | None = None
        for truck in self.trucks:
            if self.lane.now < truck.starts:
                break
            limit = float("inf")
            green = self._green_for(truck)
            if truck.nose < 0 and truck.obeys and not green:
                braking = truck.speed**2 / 4.0
                if truck.going or truck.nose + braking < -1.0 + 0.3:
                    limit = -1.0
                truck.going = False
            if truck.nose < 0 and green:
                truck.going = True
            if ahead is not None:
                limit = min(limit, ahead.nose - ahead.length - 2.5)
            room = max(0.0, limit - truck.nose)
            allowed = math.sqrt(4.0 * room)
            truck.speed = min(
                truck.speed + 1.0 * dt if truck.nose > -89.0 else truck.kmh / 3.6, truck.kmh / 3.6, allowed
            )
            if truck.speed < 0.05 and truck.nose < 0:
                truck.stopped_s += dt
            before = truck.nose
            truck.nose += truck.speed * dt
            if before < GEOMETRY.beam_m <= truck.nose:
                truck.crossed_at = self.lane.now
            ahead = truck

    def _green_for(self, truck: Truck) -> bool:
        return self.lane.state.lease is not None and self._first() is truck

    def _first(self) -> Truck | None:
        return next((t for t in self.trucks if t.nose < GEOMETRY.beam_m and t.nose > -89.9), None)

    def _sense(self) -> None:
        spans = {Zone.A: GEOMETRY.a, Zone.D: GEOMETRY.d, Zone.S: GEOMETRY.s, Zone.X: GEOMETRY.x}
        spans[Zone.BEAM] = ZoneSpan(GEOMETRY.beam_m, GEOMETRY.beam_m)
        now = {
            zone: any(t.nose >= span.start_m and t.nose - t.length <= span.end_m for t in self.trucks)
            for zone, span in spans.items()
        }
        if now != self.lane.levels:
            self.lane.zones(*now.items())
        for truck in self.trucks:
            if truck.tags:
                self._read(truck, f"{truck.name}-card", IdentityKind.DRIVER_CARD)
                self._read(truck, f"{truck.name}-tag", IdentityKind.TRANSPONDER)

    def _read(self, truck: Truck, token: str, kind: IdentityKind) -> None:
        distance = abs(truck.nose - 2.0 + 60.0)
        known = self.reads.get(token)
        at = self.lane.at
        if distance > 14.0:
            if known is not None and not known.closed and at.mono_ns - known.last.mono_ns > 2 * NS:
                self.reads[token] = replace(known, closed=True)
                self.lane.feed(SightingChanged(at, self.reads[token]))
            return
        rssi = round(-4500 - 4000 * math.log10(1 + distance / 4.0))
        if known is None:
            claim = IdentityClaim(kind, token, b"", "", "rfid-1/1", 0.98)
            known = Sighting(token, claim, "rfid-1", 1, 0, -9999, at, at, at)
        better = rssi > known.rssi_peak_cdbm
        known = replace(known, reads=known.reads + 1, last=at)
        if better:
            known = replace(known, rssi_peak_cdbm=rssi, peak=at)
        self.reads[token] = known
        if known.reads % 5 == 3:
            self.lane.feed(SightingChanged(at, known))

    def _answer(self) -> None:
        for ask in self.lane.asked[self.seen :]:
            self.answers.append((self.lane.now + self.latency_s, ask))
        self.seen = len(self.lane.asked)
        for due, ask in list(self.answers):
            if self.lane.now < due:
                continue
            self.answers.remove((due, ask))
            track = self.lane.state.track(ask.conveyance_id)
            if track is None:
                continue
            names = {a.sighting.claim.token.split("-")[0] for a in ask.assignments}
            verdict = self.verdicts.get(next(iter(names), ""), Verdict.RELEASE)
            self.lane.decide(
                verdict if ask.complete else Verdict.HOLD_AT_LINE,
                of=track.conveyance,
                revision=ask.revision,
                digest=ask.identity_digest,
                echoed=ask.at.mono_ns / NS,
            )

    def _watch(self) -> None:
        lease = self.lane.state.lease
        if lease is None:
            return
        first = self._first()
        track = self.lane.state.track(lease.conveyance_id)
        assert track is not None
        names = {a.sighting.claim.token.split("-")[0] for a in track.conveyance.assignments}
        if first is None or (names and names != {first.name}):
            self.wrong_greens.append(f"{self.lane.now}: {names} while first is {first}")
