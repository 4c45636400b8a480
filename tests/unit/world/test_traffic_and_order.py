"""Whatever drivers and lamps do: trucks keep apart and in order, red is heeded, and a seed fixes everything."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.world.events import EventKind, TruckState, WorldEvent, digest
from hil.world.geometry import Geometry
from hil.world.rules import ReleaseRule
from hil.world.traffic import Kind, PlanFeed, Traffic, TrafficMix
from hil.world.truck import Act, Behaviour, ReverseAct, StopAct, TruckPlan
from hil.world.world import World
from tests.unit.world.perfect_lane import PerfectLane

_acts = st.one_of(
    st.builds(StopAct, st.floats(-100.0, 40.0), st.floats(0.1, 20.0)),
    st.builds(ReverseAct, st.floats(-90.0, 30.0), st.floats(0.5, 20.0)),
)


@st.composite
def _plans(draw: st.DrawFn) -> list[TruckPlan]:
    enter_s = 0.0
    plans = []
    for number in range(draw(st.integers(2, 6))):
        enter_s += draw(st.floats(0.0, 15.0))
        acts: list[Act] = sorted(draw(st.lists(_acts, max_size=2)), key=lambda act: act.x_m)
        plans.append(
            TruckPlan(
                id=f"T{number + 1}",
                enter_s=enter_s,
                cruise_kmh=draw(st.floats(4.0, 30.0)),
                length_m=draw(st.floats(4.0, 30.0)),
                behaviour=draw(st.sampled_from([*Behaviour, Behaviour.OBEYS, Behaviour.OBEYS])),
                acts=tuple(acts),
                brake_mps2=draw(st.floats(1.0, 2.0)),
                accelerate_mps2=draw(st.floats(0.4, 1.5)),
                stop_short_m=draw(st.floats(0.5, 2.5)),
                gap_m=draw(st.floats(2.0, 6.0)),
                headway_s=draw(st.floats(0.5, 3.0)),
            )
        )
    return plans


_lamps = st.lists(st.tuples(st.floats(0.1, 20.0), st.sampled_from(["red", "green", "amber"])), max_size=12)


def _world(plans: list[TruckPlan], lamps: list[tuple[float, str]]) -> World:
    world = World(Geometry(), plans)
    t = 0.0
    for wait_s, aspect in lamps:
        t += wait_s
        world.set_lamp(aspect, t)
    return world


def _drive(plans: list[TruckPlan], lamps: list[tuple[float, str]], step_s: float) -> tuple[World, list[WorldEvent]]:
    """Step the world, checking order and distance at every step."""
    world = _world(plans, lamps)
    events: list[WorldEvent] = []
    now = 0.0
    while now < 240.0 and not world.finished():
        now += step_s
        events += world.advance(now)
        for ahead, behind in itertools.pairwise(world.trucks()):
            assert behind.nose_m < ahead.tail_m, f"{behind.id} runs into {ahead.id} at {now}"
    return world, events


@given(_plans(), _lamps)
def test_trucks_never_overlap_and_keep_their_order(plans: list[TruckPlan], lamps: list[tuple[float, str]]) -> None:
    _drive(plans, lamps, 0.25)


@given(_plans())
def test_obeying_trucks_never_cross_a_standing_red(plans: list[TruckPlan]) -> None:
    _, events = _drive(plans, [], 1.0)
    obeying = {plan.id for plan in plans if plan.behaviour is Behaviour.OBEYS}
    assert not [e for e in events if e.kind is EventKind.NOSE and e.place == "S" and e.truck in obeying]


@given(_plans(), _lamps)
def test_sensors_follow_from_where_the_trucks_are(plans: list[TruckPlan], lamps: list[tuple[float, str]]) -> None:
    """Edges alternate, and folded they give the levels that positions give."""
    world, events = _drive(plans, lamps, 1.0)
    levels = dict.fromkeys(world.zones(), False)
    for event in events:
        if event.kind is EventKind.ZONE:
            assert levels[event.place] is not event.on
            levels[event.place] = event.on
    assert levels == world.zones()
    for zone, span in Geometry().zones().items():
        near = [v for v in world.trucks() if v.nose_m > span.start_m + 1e-6 and v.tail_m < span.end_m - 1e-6]
        far = [v for v in world.trucks() if v.nose_m > span.start_m - 1e-6 and v.tail_m < span.end_m + 1e-6]
        assert bool(near) <= world.zones()[zone] <= bool(far)


@given(_plans(), _lamps, st.floats(0.02, 3.0))
def test_how_time_is_cut_changes_nothing(plans: list[TruckPlan], lamps: list[tuple[float, str]], step_s: float) -> None:
    coarse, fine = _world(plans, lamps), _world(plans, lamps)
    cuts = itertools.takewhile(lambda now: now < 240.0, itertools.accumulate(itertools.repeat(step_s)))
    in_steps = [event for now in (*cuts, 240.0) for event in fine.advance(now)]
    assert digest(coarse.advance(240.0)) == digest(in_steps)


def test_a_copy_goes_the_same_way() -> None:
    plans = PlanFeed(Traffic(5))
    world = World(Geometry(), plans, seed=5)
    world.advance(300.0)
    twin = world.copy()
    assert digest(world.advance(600.0)) == digest(twin.advance(600.0))


def test_full_lane_makes_trucks_wait_outside() -> None:
    world = World(Geometry(), [TruckPlan(f"T{n}", 1.0 + n) for n in range(8)])
    world.advance(300.0)
    assert world.waiting_outside()
    assert all(view.state is TruckState.STANDING for view in world.trucks())
    gaps = [ahead.tail_m - behind.nose_m for ahead, behind in itertools.pairwise(world.trucks())]
    assert gaps == pytest.approx([4.0] * len(gaps), abs=1.1)


def test_added_truck_comes_in_its_turn() -> None:
    world = World(Geometry(), [TruckPlan("T1", 1.0), TruckPlan("T3", 40.0)])
    world.add(TruckPlan("T2", 20.0))
    entered = [e.truck for e in world.advance(100.0) if e.kind is EventKind.ENTERED]
    assert entered == ["T1", "T2", "T3"]
    with pytest.raises(ValueError, match="before now"):
        world.add(TruckPlan("T4", 20.0))


def _day(seed: int, hours: float) -> PerfectLane:
    feed = PlanFeed(Traffic(seed))
    world = World(Geometry(), feed, seed)

    def rule_of(truck: str) -> ReleaseRule:
        return feed.arrivals[truck].rule

    return PerfectLane(world, rule_of, officer_after_s=12.0).run(hours * 3600.0, with_reads=True)


def test_same_seed_same_events_and_reads() -> None:
    one, two, other = _day(11, 0.5), _day(11, 0.5), _day(12, 0.5)
    assert digest(one.events) == digest(two.events)
    assert one.reads == two.reads
    assert digest(one.events) != digest(other.events)


@pytest.mark.parametrize("seed", range(4))
def test_random_traffic_on_a_perfect_lane_has_no_wrong_green(seed: int) -> None:
    lane = _day(seed, 2.0)
    assert lane.oracle.verdicts() == []
    assert lane.oracle.counts().greens == len(lane.green_for) > 100


def test_traffic_keeps_its_rate_and_its_mix() -> None:
    arrivals = Traffic(3).take(4000)
    hours = arrivals[-1].plan.enter_s / 3600.0
    assert 4000 / hours == pytest.approx(120.0, rel=0.06)
    share = sum(arrival.kind is Kind.REFERRED for arrival in arrivals) / 4000
    assert share == pytest.approx(TrafficMix().shares[Kind.REFERRED], abs=0.015)
    assert len({tag.epc for arrival in arrivals for tag in arrival.plan.tags}) > 4000
    assert [a.plan.enter_s for a in arrivals] == sorted(a.plan.enter_s for a in arrivals)


def test_traffic_mix_refuses_an_impossible_rate() -> None:
    with pytest.raises(ValueError, match="trucks_per_h"):
        TrafficMix(trucks_per_h=0.0)
