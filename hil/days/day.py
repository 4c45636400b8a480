"""A lane's day from a seed: random traffic, random faults, an officer who works; and what must be true of it."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from drivers.api import Aspect
from edge_agent.model.conveyance import Flag, Outcome
from hil.days.records import Lie, RecordJudge
from hil.days.troubles import Trouble, happenings, troubles
from hil.oracles.wrong_green import Rule
from hil.rig.virtual_lane import Options, VirtualLane
from hil.rig.virtual_loop import VirtualLoop
from hil.world.faults import Happening, Verb
from hil.world.geometry import Geometry
from hil.world.rules import ReleaseRule
from hil.world.traffic import PlanFeed, Traffic, TrafficMix
from hil.world.truck import TruckPlan, driver_card, transponder
from hil.world.world import World

CALM_S = 200.0
"""The last part of a day has no faults: there the lane must work again."""
RECOVERY_S = 60.0
FRESH = "fresh"
LONGER_S = 300.0
"""So much longer a day lasts at most, with nobody new on the road, until the lane has shown that it works again."""
_LOOK_S = 5.0
_FRESH_SERIAL = 2_000_000_001
"""Beyond those of any traffic: serials of seeds go up to a thousand million."""


@dataclass(frozen=True, slots=True)
class Without:
    """What of a day is left out, to find what matters: these troubles by their number, these trucks, the rest after
    world second `after_s`."""

    troubles: frozenset[int] = frozenset()
    trucks: frozenset[str] = frozenset()
    after_s: float = float("inf")


@dataclass(slots=True)
class Day:
    """A day after it was run: `until_s` is below `day_s` where only its beginning was."""

    seed: int
    day_s: float
    lane: VirtualLane
    feed: PlanFeed
    troubles: tuple[Trouble, ...]
    until_s: float


def fresh_truck(day_s: float) -> TruckPlan:
    """A truck with everything in order that comes when the faults are over: it must get through."""
    tags = (driver_card(_FRESH_SERIAL), transponder(_FRESH_SERIAL + 1))
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
    without: Without | None = None,
    geometry: Geometry | None = None,
    arm_travel_s: float | None = None,
) -> Day:
    """Run one day on a virtual loop of its own. `verbs`, `zones`: only these faults, only these sensors lying (named as
    those of a lane with a beam); `geometry`: the lane; `arm_travel_s`: how long its barrier arm takes, None: it has
    none."""
    geometry = geometry if geometry is not None else Geometry()
    without = without if without is not None else Without()
    feed = PlanFeed(Traffic(seed, mix), lambda plan: plan.id in without.trucks)
    found = troubles(seed, day_s - CALM_S, verbs) if faults else ()
    found = tuple(trouble for trouble in found if not trouble.zone or zones is None or trouble.zone in zones)
    found = tuple(trouble for trouble in found if arm_travel_s is not None or trouble.verb is not Verb.ARM_JAMS)
    found = tuple(trouble for number, trouble in enumerate(found) if number not in without.troubles)
    world = World(geometry, feed, seed, arm_travel_s=arm_travel_s)
    fresh = fresh_truck(day_s)
    world.add(fresh)
    lane = VirtualLane(
        world,
        lambda truck: ReleaseRule() if truck == FRESH else feed.arrivals[truck].rule,
        lambda truck: fresh if truck == FRESH else feed.arrivals[truck].plan,
        (_here(happening, geometry) for happening in happenings(seed, found, day_s - CALM_S)),
        replace(options if options is not None else Options(), officer=True),
    )
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(lane.run(min(day_s, without.after_s), lambda: _longer(lane, feed, day_s)))
    return Day(seed, day_s, lane, feed, found, min(day_s, without.after_s))


def _here(happening: Happening, geometry: Geometry) -> Happening:
    """The same on this lane: another sensor is at the line, of a curtain's two outputs one may be stuck either way; and
    where nobody may roll another mode is the one to come back to."""
    args = dict(happening.args)
    zone = str(args.get("zone", ""))
    if zone and geometry.sensor(zone) != zone:
        args["zone"] = geometry.line_zones[-1]
        if "level" in args and len(geometry.line_zones) > 1:
            args["level"] = int(happening.trigger.at_s or 0) % 2 == 0
    if args.get("mode") == "remote" and not geometry.rolls:
        args["mode"] = "attended"
    return replace(happening, args=args)


def _longer(lane: VirtualLane, feed: PlanFeed, day_s: float) -> float:
    """How many seconds to go on after the day: some, while it has not shown what it must and there is time left. The
    road was full, perhaps, or an officer has just sent somebody aside."""
    if lane.now_s < day_s - _LOOK_S or lane.now_s >= day_s + LONGER_S or not any(_life(lane)):
        return 0.0
    feed.end()
    return _LOOK_S


def complaints(day: Day) -> list[str]:
    """Everything that must not be, whatever happened; empty when all is well."""
    life = _life(day.lane) if day.until_s >= day.day_s else ()
    arm = day.lane.module.arm
    return [*_wrong_greens(day), *(arm.oracle.wrongs if arm is not None else ()), *_sequence(day), *_queues(day), *life]


def record_complaints(day: Day) -> list[str]:
    """What must not be of the records: see `RecordJudge`. A silent module leaves the agent as blind as a dead one,
    and one that answers late is reason enough to doubt."""
    blind = (Verb.KILL_AGENT, Verb.MODULE_SILENT, Verb.MODULE_LATE)
    dead = tuple((t.begins_s, t.ends_s) for t in day.troubles if t.verb in blind)
    return RecordJudge(day.lane, lies(day), dead).complaints()


def doubted(day: Day) -> int:
    """How many of a day's records claim nobody's tags, because they say that they may be of two vehicles."""
    return sum(1 for passage in day.lane.sealed() if Flag.MIXED in passage.conveyance.flags)


def lies(day: Day) -> tuple[Lie, ...]:
    """What the sensors of this day lied; one that chatters or misses its edges lies both ways."""
    stuck = (h for h in happenings(day.seed, day.troubles, day.day_s - CALM_S) if h.verb is Verb.SENSOR_STUCK)
    levels = {(h.trigger.at_s, str(h.args["zone"])): bool(h.args["level"]) for h in stuck}
    found = []
    for t in day.troubles:
        if t.verb is Verb.SENSOR_STUCK:
            found.append(Lie(t.begins_s, t.ends_s, t.zone, levels[t.begins_s, t.zone]))
        elif t.verb in (Verb.SENSOR_CHATTER, Verb.SENSOR_FROZEN):
            found += [Lie(t.begins_s, t.ends_s, t.zone, level) for level in (True, False)]
    return tuple(found)


def _wrong_greens(day: Day) -> Iterator[str]:
    """A dead agent cannot withdraw its green, nor can one whose module does not listen: there the module's watchdog is
    the bound, which the oracle knows too. One that answers late is told the next thing after its answer."""
    bound_s = Options().kill_bound_s
    cut_off = [(t.begins_s, bound_s) for t in day.troubles if t.verb in (Verb.KILL_AGENT, Verb.MODULE_SILENT)]
    late = [t for t in day.troubles if t.verb is Verb.MODULE_LATE]
    for verdict in day.lane.wrong:
        until = [since + bound_s for since, bound_s in cut_off if 0.0 <= verdict.t - since <= bound_s]
        until += [verdict.t + 2.0 * late_s(t) for t in late if t.begins_s <= verdict.t <= t.ends_s + bound_s]
        outlived = verdict.rule in (Rule.AFTER_NOSE, Rule.BEYOND_REVOCATION)
        if not (outlived and until and day.lane.shown_at(max(until)) is not Aspect.GREEN):
            yield f"wrong green at {verdict.t:.3f}: {verdict.rule.value}: {verdict.text}"
    for since, bound_s in cut_off:
        if (
            since + bound_s < day.day_s
            and day.lane.shown_at(since + bound_s) is Aspect.GREEN
            and _was_green(day, since)
        ):
            yield f"wrong green at {since + bound_s:.3f}: still green {bound_s} s after the agent was cut off"


def late_s(trouble: Trouble) -> float:
    """How late a late module answers."""
    return float(trouble.words["ms"]) / 1000.0


def _was_green(day: Day, since: float) -> bool:
    """One green from then until the bound, not a new one."""
    bound_s = Options().kill_bound_s
    return not any(since < t <= since + bound_s for t, _ in day.lane.shown) and day.lane.shown_at(since) is Aspect.GREEN


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


def _life(lane: VirtualLane) -> Iterator[str]:
    """Once the faults are over the order is known, the head is well, and who is released gets through."""
    state = lane.agent.state if lane.agent is not None else None
    if state is not None and not state.order.known:
        yield f"order still unknown at the end: {state.order.reason}"
    if state is not None and state.fault is not None:
        yield f"fault still latched at the end: {state.fault.code}"
    ended = next((passage.conveyance for passage in reversed(lane.sealed()) if passage.truck == FRESH), None)
    if ended is None or ended.outcome not in (Outcome.RELEASED_ROLLING, Outcome.RELEASED_STOPPED):
        outcome = ended.outcome if ended is not None else None
        yield f"the fresh truck did not get through: {outcome or 'no bundle'}"
