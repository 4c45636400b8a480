"""A lane's day from a seed: random traffic, random faults, an officer who works; and what must be true of it."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from drivers.api import Aspect
from edge_agent.model.conveyance import Outcome
from hil.days.records import Lie, RecordJudge
from hil.oracles.wrong_green import Rule
from hil.rig.virtual_lane import Options, VirtualLane
from hil.rig.virtual_loop import VirtualLoop
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
    """What must not be of the records: see `RecordJudge`."""
    dead = tuple((t.begins_s, t.ends_s) for t in day.troubles if t.verb is Verb.KILL_AGENT)
    return RecordJudge(day.lane, lies(day), dead).complaints()


def lies(day: Day) -> tuple[Lie, ...]:
    """What the sensors of this day lied."""
    stuck = (h for h in happenings(day.seed, day.troubles, day.day_s - CALM_S) if h.verb is Verb.SENSOR_STUCK)
    levels = {(h.trigger.at_s, str(h.args["zone"])): bool(h.args["level"]) for h in stuck}
    found = (t for t in day.troubles if t.verb is Verb.SENSOR_STUCK)
    return tuple(Lie(t.begins_s, t.ends_s, t.zone, levels[t.begins_s, t.zone]) for t in found)


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
