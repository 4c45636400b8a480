"""A lane's day from a seed: random traffic, random faults, an officer who works; and what must be true of it."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from drivers.api import Aspect
from edge_agent.model.conveyance import Flag, Outcome, ZoneTimes
from hil.oracles.wrong_green import Rule
from hil.rig.virtual_lane import Options, Passage, VirtualLane
from hil.rig.virtual_loop import VirtualLoop
from hil.world.events import EventKind
from hil.world.faults import Happening, Trigger, Verb
from hil.world.geometry import ZONES, Geometry
from hil.world.rules import ReleaseRule
from hil.world.traffic import PlanFeed, Traffic, TrafficMix
from hil.world.truck import TruckPlan, driver_card, transponder
from hil.world.world import World

FAULTS_FROM_S = 20.0
CALM_S = 200.0
"""The last part of a day has no faults: there the lane must work again."""
RECOVERY_S = 60.0
FRESH = "fresh"
SEALED_S = 1.0

_PAIRS: tuple[tuple[Verb, Verb, float, float], ...] = (
    (Verb.LAMP_FEEDBACK_MISSING, Verb.LAMP_FEEDBACK_BACK, 0.1, 20.0),
    (Verb.SENSOR_STUCK, Verb.SENSOR_FREE, 0.2, 25.0),
    (Verb.CENTRE_DOWN, Verb.CENTRE_UP, 0.5, 40.0),
    (Verb.KILL_AGENT, Verb.START_AGENT, 0.5, 12.0),
    (Verb.HOLD_LANE, Verb.CLEAR_HOLD, 2.0, 20.0),
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One fault of a day, from its beginning to its end."""

    verb: Verb
    begins_s: float
    ends_s: float
    zone: str = ""


def troubles(seed: int, day_s: float, verbs: frozenset[Verb] | None = None) -> tuple[Trouble, ...]:
    """The faults of this seed's day: about one in 100 s, of different kinds at the same time too."""
    rng = random.Random(f"troubles {seed}")
    last_s = day_s - CALM_S
    found = []
    for verb, _, shortest_s, longest_s in _PAIRS:
        t = FAULTS_FROM_S + rng.expovariate(1 / 200.0)
        while t < last_s:
            ends = min(t + rng.uniform(shortest_s, longest_s), last_s)
            zone = rng.choice(ZONES) if verb is Verb.SENSOR_STUCK else ""
            found.append(Trouble(verb, round(t, 3), round(ends, 3), zone))
            t = ends + 15.0 + rng.expovariate(1 / 300.0)
    return tuple(trouble for trouble in found if verbs is None or trouble.verb in verbs)


def happenings(seed: int, found: tuple[Trouble, ...], calm_s: float) -> tuple[Happening, ...]:
    """The same as a script; `calm_s`: when all of it is over."""
    rng = random.Random(f"levels {seed}")
    ends = {begin: end for begin, end, _, _ in _PAIRS}
    script = []
    for trouble in found:
        zone = {"zone": trouble.zone} if trouble.zone else {}
        # A beam is wired so that its own faults show as broken; one stuck clear cannot be told from an empty line.
        level = {"level": trouble.zone == "stop_line_beam" or rng.random() < 0.5} if trouble.zone else {}
        script.append(Happening(Trigger(at_s=trouble.begins_s), trouble.verb, {**zone, **level}))
        script.append(Happening(Trigger(at_s=trouble.ends_s), ends[trouble.verb], zone))
        if trouble.verb is Verb.HOLD_LANE:  # nobody may be there to take the first
            script.append(Happening(Trigger(at_s=calm_s + 1.0), Verb.CLEAR_HOLD))
    return tuple(script)


@dataclass(slots=True)
class Day:
    """A day after it was run."""

    seed: int
    day_s: float
    lane: VirtualLane
    feed: PlanFeed
    troubles: tuple[Trouble, ...]


def fresh_truck(day_s: float) -> TruckPlan:
    """A truck with everything in order that comes when the faults are over: it must get through."""
    tags = (driver_card(7_000_001), transponder(7_000_002))
    return TruckPlan(FRESH, day_s - CALM_S + RECOVERY_S, 15.0, tags=tags)


def run_day(
    seed: int,
    day_s: float = 600.0,
    *,
    faults: bool = True,
    verbs: frozenset[Verb] | None = None,
    zones: frozenset[str] | None = None,
    mix: TrafficMix | None = None,
    options: Options | None = None,
) -> Day:
    """Run one day on a virtual loop of its own. `verbs`, `zones`: only these faults, only these sensors stuck."""
    feed = PlanFeed(Traffic(seed, mix))
    found = troubles(seed, day_s, verbs) if faults else ()
    found = tuple(trouble for trouble in found if not trouble.zone or zones is None or trouble.zone in zones)
    world = World(Geometry(), feed, seed)
    fresh = fresh_truck(day_s)
    world.add(fresh)
    lane = VirtualLane(
        world,
        lambda truck: ReleaseRule() if truck == FRESH else feed.arrivals[truck].rule,
        lambda truck: fresh if truck == FRESH else feed.arrivals[truck].plan,
        happenings(seed, found, day_s - CALM_S),
        replace(options if options is not None else Options(), officer=True),
    )
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(lane.run(day_s))
    return Day(seed, day_s, lane, feed, found)


def complaints(day: Day) -> list[str]:
    """Everything that must not be, whatever happened; empty when all is well."""
    return [*_wrong_greens(day), *_sequence(day), *_queues(day), *_life(day)]


def record_complaints(day: Day) -> list[str]:
    """What must not be where no sensor made up a vehicle or hid one from X: one record per truck, its own.

    A record that the officer has found to be nobody's is none of a truck's: after an outage the agent may doubt that
    who is over a zone is who was."""
    return [*_bundles(day), *_in_time(day), *_identities(day), *_drivers(day)]


def _wrong_greens(day: Day) -> Iterator[str]:
    """A dead agent cannot withdraw its green: there the module's watchdog is the bound, which the oracle knows too."""
    kills = [trouble.begins_s for trouble in day.troubles if trouble.verb is Verb.KILL_AGENT]
    for verdict in day.lane.wrong:
        dead = any(0.0 <= verdict.t - killed <= Options().kill_bound_s for killed in kills)
        if not (dead and verdict.rule in (Rule.AFTER_NOSE, Rule.BEYOND_REVOCATION)):
            yield f"wrong green at {verdict.t:.3f}: {verdict.rule.value}: {verdict.text}"
    for killed in kills:
        if day.lane.shown_at(killed + Options().kill_bound_s) is Aspect.GREEN:
            yield f"green {Options().kill_bound_s} s after the agent was killed at {killed}"


def _sequence(day: Day) -> Iterator[str]:
    """Bundles are numbered without a gap, one for each record, and none was made twice."""
    lane = day.lane
    if [bundle.seq for bundle in lane.ledger.bundles] != list(range(1, len(lane.ledger.bundles) + 1)):
        yield "the bundles' sequence has a gap"
    records = Counter(passage.conveyance.conveyance_id for passage in lane.sealed())
    yield from (f"{number} bundles for record {name}" for name, number in records.items() if number > 1)
    live = {track.id for track in lane.agent.state.tracks} if lane.agent is not None else set()
    yield from (f"record {name} is sealed and alive" for name in sorted(live & set(records)))


def _gone(day: Day) -> dict[str, float]:
    return {e.truck: e.t for e in day.lane.events if e.kind in (EventKind.LEFT, EventKind.DIVERTED)}


def _bundles(day: Day) -> Iterator[str]:
    """Exactly one bundle per truck that went through the lane, and none for nobody."""
    lane = day.lane
    count = Counter(passage.truck for passage in lane.sealed() if not _disowned(passage))
    open_now = (
        {lane.truck_of.get(track.id, "") for track in lane.agent.state.tracks} if lane.agent is not None else set()
    )
    for truck, number in count.items():
        if not truck:
            yield f"{number} bundles for nobody"
        if truck and number > 1:
            yield f"{number} bundles for {truck}"
    for truck, t in _gone(day).items():
        if not count[truck] and truck not in open_now:
            yield f"no bundle for {truck}, which left at {t:.1f}"


def _disowned(passage: Passage) -> bool:
    """A record of a vehicle that appeared out of order, and that the officer did not see."""
    conveyance = passage.conveyance
    confirmed = any(note.act == "confirm_order" for note in conveyance.interventions)
    return confirmed and conveyance.outcome is Outcome.ABANDONED and conveyance.times == ZoneTimes()


def _in_time(day: Day) -> Iterator[str]:
    """A passage is sealed within a second of its tail leaving the exit loop, where there was somebody to see it."""
    edges = (e for e in day.lane.events if e.kind is EventKind.ZONE and e.place == "zone_x" and not e.on)
    tails = {e.truck: e.t for e in edges}
    for passage in day.lane.sealed():
        if _disowned(passage):
            continue
        ended, left = passage.conveyance.ended, tails.get(passage.truck)
        if ended is not None and left is not None and not _dead(day, left):
            late_s = ended.mono_ns / 1e9 - day.lane.began_s - left
            if not -0.1 <= late_s <= SEALED_S:
                yield f"{passage.truck} was sealed {late_s:.1f} s after its tail left X"


def _dead(day: Day, t: float) -> bool:
    return any(trouble.begins_s <= t <= trouble.ends_s for trouble in day.troubles if trouble.verb is Verb.KILL_AGENT)


def _identities(day: Day) -> Iterator[str]:
    """What was read of one truck is never on the record of another."""
    for passage in day.lane.sealed():
        for assignment in passage.conveyance.assignments:
            owner = day.lane.owner(assignment.sighting.claim.token)
            if owner != passage.truck:
                yield f"a tag of {owner} on the record of {passage.truck or 'nobody'}"


def _drivers(day: Day) -> Iterator[str]:
    """All drivers obey: nobody may be accused."""
    for passage in day.lane.sealed():
        if passage.conveyance.outcome is Outcome.VIOLATION or Flag.VIOLATION in passage.conveyance.flags:
            yield f"{passage.truck} is accused of a violation"


def _queues(day: Day) -> Iterator[str]:
    agent = day.lane.agent
    if agent is None:
        yield "no agent at the end of the day"
    elif agent.inputs.tags.stats.dropped:
        yield f"{agent.inputs.tags.stats.dropped} tag reads dropped"


def _life(day: Day) -> Iterator[str]:
    """Once the faults are over and the officer has confirmed the order, released trucks roll again."""
    lane = day.lane
    state = lane.agent.state if lane.agent is not None else None
    if state is not None and not state.order.known:
        yield f"order still unknown at the end: {state.order.reason}"
    if state is not None and state.fault is not None:
        yield f"fault still latched at the end: {state.fault.code}"
    ended = {passage.truck: passage.conveyance.outcome for passage in lane.sealed()}
    if ended.get(FRESH) not in (Outcome.RELEASED_ROLLING, Outcome.RELEASED_STOPPED):
        yield f"the fresh truck did not get through: {ended.get(FRESH, 'no bundle')}"
