"""A lane's radio without its rig: the world's sensor edges and reads, straight into smoothing and the passage core.

No loop, no bus, no store: a vehicle costs a few milliseconds, so that a hundred thousand can be looked at. Lamps follow
a rule of their own (one green per truck, after a delay from A), because only who is where matters here.
"""

import heapq
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from drivers.api import Secret, Stamp, TagRead, token_of
from edge_agent.control.sightings import SightingTracker
from edge_agent.model.conveyance import Conveyance, Flag
from edge_agent.model.effects import SealBundle
from edge_agent.model.inputs import CentreLink, CoreInput, Started, Tick, ZonesChanged
from edge_agent.model.lane import Zone
from edge_agent.passage.corridor import CoreConfig, initial_state, step
from edge_agent.passage.state import NEVER
from hil.rig.virtual_agent import CLASSES, READER, SITE_KEY, core_config
from hil.world.events import EventKind, WorldEvent
from hil.world.geometry import Geometry, Lamp
from hil.world.rf import AirRead, RfModel, StrayTag
from hil.world.traffic import Kind, PlanFeed, Traffic, TrafficMix
from hil.world.world import World

NS = 1_000_000_000
SWEEP_S = 0.1
"""How often silent sightings are looked for, as in the agent."""
UTC0 = 1_790_000_000 * NS

SHARES = {
    Kind.RELEASED: 0.70,
    Kind.HELD: 0.10,
    Kind.LATE: 0.05,
    Kind.NO_TAG: 0.03,
    Kind.SLEEVED_CARD: 0.05,
    Kind.LATE_CARD: 0.04,
    Kind.TWO_CARDS: 0.03,
}
TRAFFIC = TrafficMix(
    trucks_per_h=150.0,
    platoon_share=0.5,
    platoon_gap_s=(1.5, 8.0),
    headway_s=1.0,
    stand_gap_m=2.0,
    shares=SHARES,
)
"""Dense traffic with tailgating: half of the trucks follow at 1.5 s and more, and close up to 2 m when they stand."""


@dataclass(frozen=True, slots=True)
class RadioWorld:
    """Everything that is varied: the radio, the traffic, whether the next lane is busy, tags that lie about."""

    rf: RfModel = field(default_factory=RfModel)
    mix: TrafficMix = TRAFFIC
    neighbour: bool = True
    strays: tuple[StrayTag, ...] = ()


COUNTED = ("vehicles", "misassigned", "ambiguous", "complete", "incomplete", "unread", "doubled", "strays", "reads")
MOST_EXAMPLES = 40
KEPT = 32
"""Trucks that are known for a while after their record was sealed."""


@dataclass(slots=True)
class Figures:
    """What came of it. Vehicles are counted once each, by the worst that befell them.

    `misassigned`: a tag on its record that it does not bear. `ambiguous`: flagged so. `complete`: every tag of its own
    that the antennas heard clearly (5 reads or more) is on the record. `incomplete`: the rest. `unread`: of all, those
    that bear tags and have none on the record. `doubled`: a second record of one truck, made where two stood so close
    that a loop saw one; its tags are judged too. `strays` and `reads` are not of vehicles."""

    vehicles: int = 0
    misassigned: int = 0
    ambiguous: int = 0
    complete: int = 0
    incomplete: int = 0
    unread: int = 0
    doubled: int = 0
    strays: int = 0
    reads: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        """Together; the first examples are kept."""
        for name in COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.examples = (self.examples + other.examples)[:MOST_EXAMPLES]


class Lamps:
    """One green for each truck in turn, some time after it came to A; red from its nose over the line on."""

    def __init__(self, world: World, feed: PlanFeed, seed: int) -> None:
        self._world = world
        self._feed = feed
        self._random = random.Random(f"lamps {seed}")
        self._due: dict[str, float] = {}
        self._over = ""

    def saw(self, event: WorldEvent) -> None:
        """A world event that may turn the lamp."""
        if event.kind is EventKind.NOSE and event.place == "A":
            self._due[event.truck] = event.t + self._delay_s(self._feed.arrivals[event.truck].kind)
        elif event.kind is EventKind.NOSE and event.place == "S":
            self._due.pop(event.truck, None)
            self._over = event.truck
            self._world.set_lamp(Lamp.RED)
        elif event.kind is EventKind.TAIL and event.place == "S" and event.truck == self._over:
            self._over = ""

    def next_t(self) -> float:
        """When the first truck upstream of the line may go; infinite while none may."""
        first = self._world.first_upstream()
        if self._over or first is None or first not in self._due or self._world.lamp is Lamp.GREEN:
            return float("inf")
        return max(self._due[first], self._world.now)

    def turn(self) -> None:
        """It may go now."""
        self._world.set_lamp(Lamp.GREEN)

    def _delay_s(self, kind: Kind) -> float:
        if kind in (Kind.HELD, Kind.LATE):
            return self._random.uniform(12.0, 30.0)
        return self._random.uniform(0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened on a lane at one instant."""

    events: tuple[WorldEvent, ...]


def moments(
    world: World, feed: PlanFeed, rf: RfModel, seed: int, level_db: float = 0.0
) -> Iterator[tuple[float, AirRead | Moment]]:
    """Everything on one lane in order of time, for ever: its tags as our antennas hear them, `level_db` weaker or
    stronger, and what happens there. The lamps are worked on the way."""
    lamps = Lamps(world, feed, seed)
    while True:
        change = world.next_change()
        end = min(world.now + 5.0, lamps.next_t(), change if change is not None else float("inf"))
        for read in rf.reads(world.geometry.antennas, world.carriers(level_db), world.now, end, seed):
            yield read.t, read
        events = tuple(world.advance(end))
        if lamps.next_t() <= end:
            lamps.turn()
        for event in events:
            lamps.saw(event)
        yield end, Moment(events)


def heard_across(
    side: Iterator[tuple[float, AirRead | Moment]], feed: PlanFeed
) -> Iterator[tuple[float, AirRead | Moment]]:
    """Of the next lane only what our antennas hear; nothing is kept of trucks that have left it."""
    for t, what in side:
        if isinstance(what, AirRead):
            yield t, what
            continue
        for event in what.events:
            if event.kind is EventKind.LEFT:
                feed.forget(event.truck)


class RadioLane:
    """One lane (and, if asked, the next one) from world second 0 until so many vehicles have been sealed."""

    def __init__(self, seed: int, given: RadioWorld, config: CoreConfig | None = None) -> None:
        self.config = config if config is not None else core_config(Geometry())
        self.state = initial_state(self.config)
        self.figures = Figures()
        self.tracker = SightingTracker(
            classes=CLASSES,
            site_key=SITE_KEY,
            seal=lambda _secret, _token: b"",
            sealed_key_id="",
            new_id=self._new_id,
            lost_s=self.config.policy.sighting_lost_s,
            early_reads=self.config.policy.early_reads,
        )
        self._seed = seed
        self._feed = PlanFeed(Traffic(seed, given.mix))
        sides = [moments(World(Geometry(), self._feed, seed, given.rf, given.strays), self._feed, given.rf, seed)]
        if given.neighbour:
            feed = PlanFeed(Traffic(seed + 5_000, given.mix))
            world = World(Geometry(), feed, seed, given.rf)
            sides.append(heard_across(moments(world, feed, given.rf, seed, -given.rf.neighbour_db), feed))
        self._moments = heapq.merge(*sides, key=lambda moment: moment[0])
        self._ids = 0
        self._edges = dict.fromkeys(Zone, 0)
        self._levels = dict.fromkeys(Zone, False)
        self._owner: dict[str, str] = {}
        self._judged: deque[str] = deque()
        self._heard: Counter[tuple[str, str]] = Counter()
        self._truck_of: dict[str, str] = {}
        self._swept_s = 0.0
        self._begin()

    def run(self, vehicles: int, until_s: float = float("inf")) -> Figures:
        """Until so many are sealed, or the time has come."""
        for t, what in self._moments:
            self._take_moment(t, what)
            if self.figures.vehicles >= vehicles or t >= until_s:
                break
        self.figures.strays = self.state.counts.strays
        return self.figures

    def _take_moment(self, t: float, what: AirRead | Moment) -> None:
        self._pass_time(t)
        if isinstance(what, AirRead):
            self._read(what)
            return
        for event in what.events:
            self._saw(event)

    def _pass_time(self, t: float) -> None:
        """Silent sightings and what falls due, ten times a second while there is anything to look at."""
        while self._swept_s + SWEEP_S <= t:
            if not self.tracker.tracked and self.state.due_ns == NEVER:
                self._swept_s = t
                return
            self._swept_s += SWEEP_S
            now = _stamp(self._swept_s)
            for change in self.tracker.sweep(now):
                self._take(change)
            self._take(Tick(now))

    def _read(self, read: AirRead) -> None:
        self.figures.reads += 1
        tid = Secret(bytes.fromhex(read.tid)) if read.tid is not None else None
        epc = Secret(bytes.fromhex(read.epc))
        at = _stamp(read.t)
        change = self.tracker.read(TagRead(at, READER, read.antenna, epc, 0x3000, int(read.rssi_dbm * 100), 1, tid=tid))
        owner = self._owner.get(read.epc)
        if owner is not None:
            self._heard[owner, read.epc] += 1
        if change is not None:
            self._take(change)

    def _saw(self, event: WorldEvent) -> None:
        if event.kind is EventKind.ENTERED:
            for tag in self._feed.arrivals[event.truck].plan.tags:
                self._owner[tag.epc] = event.truck
        elif event.kind is EventKind.ZONE:
            known = {track.id for track in self.state.tracks}
            self._edge(event)
            for track in self.state.tracks:
                if track.id not in known:
                    self._truck_of[track.id] = event.truck

    def _begin(self) -> None:
        self._take(Started(_stamp(0.0), "boot", b"seed"))
        self._take(CentreLink(_stamp(0.0), True))
        self._take(ZonesChanged(_stamp(0.0), 1, dict(self._levels), dict(self._edges)))

    def _edge(self, event: WorldEvent) -> None:
        zone = Zone(event.place)
        self._edges[zone] += 1
        self._levels[zone] = event.on
        self._take(ZonesChanged(_stamp(event.t), 1, dict(self._levels), dict(self._edges)))

    def _take(self, event: CoreInput) -> None:
        self.state, effects = step(self.state, event)
        for effect in effects:
            if isinstance(effect, SealBundle):
                self._sealed(effect.conveyance)

    def _sealed(self, conveyance: Conveyance) -> None:
        figures = self.figures
        truck = self._truck_of.pop(conveyance.conveyance_id, "")
        plan = self._feed.arrivals[truck].plan
        own = {token_of(Secret(bytes.fromhex(tag.epc)), SITE_KEY): tag.epc for tag in plan.tags}
        have = {a.sighting.claim.token for a in conveyance.assignments}
        wrong = have - own.keys()
        if truck in self._judged:
            figures.doubled += 1
            figures.misassigned += bool(wrong)
            self._example("doubled ", conveyance, truck, have)
            return
        figures.vehicles += 1
        clear = {token for token, epc in own.items() if self._heard.pop((truck, epc), 0) >= 5}
        if wrong:
            figures.misassigned += 1
            self._example("", conveyance, truck, wrong)
        elif Flag.AMBIGUOUS in conveyance.flags:
            figures.ambiguous += 1
            self._example("ambiguous ", conveyance, truck, have)
        elif clear <= have:
            figures.complete += 1
        else:
            figures.incomplete += 1
            self._example("incomplete ", conveyance, truck, clear - have)
        figures.unread += bool(plan.tags and not have)
        self.tracker.forget(list(have))
        self._judged.append(truck)
        if len(self._judged) > KEPT:
            gone = self._judged.popleft()
            for tag in self._feed.arrivals[gone].plan.tags:
                self._owner.pop(tag.epc, None)
            self._feed.forget(gone)

    def _example(self, what: str, conveyance: Conveyance, truck: str, tokens: set[str]) -> None:
        if len(self.figures.examples) < MOST_EXAMPLES:
            self.figures.examples.append(what + self._describe(conveyance, truck, tokens))

    def _describe(self, conveyance: Conveyance, truck: str, tokens: set[str]) -> str:
        kinds = sorted(
            f"{a.sighting.claim.kind.value}/{a.sighting.antenna} {a.sighting.reads} reads {a.sighting.rssi_peak_cdbm}"
            f" peak {a.sighting.peak.mono_ns / NS:.2f} early={a.early} score={a.score:.2f} rivals={len(a.rivals)}"
            for a in conveyance.assignments
            if a.sighting.claim.token in tokens
        )
        entered = conveyance.times.a_nose
        at = entered.mono_ns / NS if entered is not None else 0.0
        kind = self._feed.arrivals[truck].kind.value
        return f"seed {self._seed} {truck} ({kind}) over A at {at:.2f}: {kinds} {[f.value for f in conveyance.flags]}"

    def _new_id(self, _at: Stamp) -> str:
        self._ids += 1
        return f"s{self._ids}"


def _stamp(t: float) -> Stamp:
    ns = int(t * NS)
    return Stamp(ns, UTC0 + ns)
