"""Closed-form motion: the world agrees with the kinematic table of a rolling lane, and drivers heed the lamp."""

import math

import pytest

from hil.world.events import EventKind, WorldEvent
from hil.world.geometry import ALL_ZONES, KMH, ZONES, Geometry, Layout, commit_distance_m
from hil.world.motion import Segment, following_speed, time_to_travel
from hil.world.truck import Behaviour, ReverseAct, StopAct, TruckPlan
from hil.world.world import World

# km/h: seconds from 20, 30, 40, 50, 60 m to the line; C(v) in m; seconds from A (60 m) to C(v)
TABLE = {
    5: ((14.4, 21.6, 28.8, 36.0, 43.2), 2.6, 41.4),
    10: ((7.2, 10.8, 14.4, 18.0, 21.6), 6.1, 19.4),
    15: ((4.8, 7.2, 9.6, 12.0, 14.4), 10.6, 11.9),
    20: ((3.6, 5.4, 7.2, 9.0, 10.8), 16.0, 7.9),
    25: ((2.9, 4.3, 5.8, 7.2, 8.6), 22.5, 5.4),
}


def _events(world: World, until: float) -> list[WorldEvent]:
    return world.advance(until)


def _when(events: list[WorldEvent], kind: EventKind, place: str, truck: str = "T1") -> float:
    return next(e.t for e in events if e.kind is kind and e.place == place and e.truck == truck)


def _green_world(*plans: TruckPlan, geometry: Geometry | None = None) -> World:
    world = World(geometry or Geometry(), plans)
    world.set_lamp("green")
    return world


@pytest.mark.parametrize("kmh", TABLE)
def test_seconds_from_a_point_to_the_stop_line(kmh: int) -> None:
    seconds, commit_m, a_to_commit_s = TABLE[kmh]
    for distance_m, expected_s in zip((20, 30, 40, 50, 60), seconds, strict=True):
        geometry = Geometry(a_m=-float(distance_m), d_m=-10.0)
        events = _events(_green_world(TruckPlan("T1", 0.0, cruise_kmh=kmh), geometry=geometry), 200.0)
        travelled_s = _when(events, EventKind.NOSE, "S") - _when(events, EventKind.NOSE, "A")
        assert travelled_s == pytest.approx(expected_s, abs=0.06)
        assert travelled_s == pytest.approx(distance_m / (kmh * KMH), abs=1e-9)
    assert commit_distance_m(kmh * KMH) == pytest.approx(commit_m, abs=0.06)
    assert (60.0 - commit_distance_m(kmh * KMH)) / (kmh * KMH) == pytest.approx(a_to_commit_s, abs=0.06)


@pytest.mark.parametrize(("kmh", "commit_m"), [(10, 9.5), (15, 16.2), (20, 24.2), (25, 33.4)])
def test_commit_distance_of_a_cautious_driver(kmh: int, commit_m: float) -> None:
    assert commit_distance_m(kmh * KMH, 2.5, 1.5) == pytest.approx(commit_m, abs=0.1)


@pytest.mark.parametrize(("kmh", "length_m", "seconds"), [(10, 23.0, 8.3), (20, 23.0, 4.1), (15, 27.5, 6.6)])
def test_time_over_a_point(kmh: int, length_m: float, seconds: float) -> None:
    events = _events(_green_world(TruckPlan("T1", 0.0, cruise_kmh=kmh, length_m=length_m)), 200.0)
    over_s = _when(events, EventKind.TAIL, "S") - _when(events, EventKind.NOSE, "S")
    assert over_s == pytest.approx(seconds, abs=0.06)


@pytest.mark.parametrize("kmh", [5, 10, 15, 20, 25])
@pytest.mark.parametrize(("margin_m", "crosses"), [(0.2, False), (-0.2, True)])
def test_red_just_before_the_commit_point_stops_a_truck_and_just_after_it_does_not(
    kmh: int, margin_m: float, crosses: bool
) -> None:
    """C(v) is exactly the distance at which a lamp that leaves green divides those who stop from those who cannot."""
    v = kmh * KMH
    world = _green_world(TruckPlan("T1", 0.0, cruise_kmh=kmh))
    world.set_lamp("red", (110.0 - commit_distance_m(v) - margin_m) / v)
    events = _events(world, 200.0)
    assert any(e.kind is EventKind.NOSE and e.place == "S" for e in events) == crosses
    if not crosses:
        stop = next(e for e in events if e.kind is EventKind.STOPPED)
        assert -0.3 <= stop.x_m < 0.0


@pytest.mark.parametrize("kmh", [10, 15, 20, 25])
def test_green_before_the_commit_point_never_slows_a_truck(kmh: int) -> None:
    v = kmh * KMH
    world = World(Geometry(), [TruckPlan("T1", 0.0, cruise_kmh=kmh)])
    world.set_lamp("green", (110.0 - commit_distance_m(v) - 0.6) / v)
    crossing = next(e for e in _events(world, 200.0) if e.kind is EventKind.NOSE and e.place == "S")
    assert crossing.v_mps == pytest.approx(v)
    assert crossing.t == pytest.approx(110.0 / v)


@pytest.mark.parametrize("aspect", ["red", "amber", "dark", "flashing_red"])
def test_anything_but_green_stops_a_truck_on_its_mark(aspect: str) -> None:
    world = World(Geometry(), [TruckPlan("T1", 0.0, stop_short_m=1.4)])
    world.set_lamp(aspect)
    stop = next(e for e in _events(world, 100.0) if e.kind is EventKind.STOPPED)
    assert stop.x_m == pytest.approx(-1.4)
    assert world.zones() == {
        "zone_a": False, "zone_d": False, "zone_s": True, "stop_line_beam": False, "zone_x": False
    }  # fmt: skip
    assert world.next_change() is None


def test_start_on_green_after_reaction_with_the_given_acceleration() -> None:
    world = World(Geometry(), [TruckPlan("T1", 0.0, go_reaction_s=1.0, accelerate_mps2=0.8, stop_short_m=1.0)])
    _events(world, 100.0)
    world.set_lamp("green", 100.0)
    events = _events(world, 200.0)
    assert next(e.t for e in events if e.kind is EventKind.MOVED) == pytest.approx(101.0)
    assert _when(events, EventKind.NOSE, "S") == pytest.approx(101.0 + math.sqrt(2 * 1.0 / 0.8))


def test_a_green_shorter_than_the_reaction_moves_nobody() -> None:
    world = World(Geometry(), [TruckPlan("T1", 0.0)])
    _events(world, 100.0)
    world.set_lamp("green", 100.0)
    world.set_lamp("red", 100.9)
    assert [e.kind for e in _events(world, 200.0)] == [EventKind.LAMP, EventKind.LAMP]


def test_who_runs_red_does_not_slow_down() -> None:
    world = World(Geometry(), [TruckPlan("T1", 0.0, behaviour=Behaviour.RUNS_RED)])
    crossing = next(e for e in _events(world, 200.0) if e.kind is EventKind.NOSE and e.place == "S")
    assert crossing.v_mps == pytest.approx(15 * KMH)


def test_stop_act_stands_where_and_as_long_as_told() -> None:
    events = _events(_green_world(TruckPlan("T1", 0.0, acts=(StopAct(-40.0, 12.0),))), 200.0)
    stop = next(e for e in events if e.kind is EventKind.STOPPED)
    move = next(e for e in events if e.kind is EventKind.MOVED and e.t > stop.t)
    assert stop.x_m == pytest.approx(-40.0)
    assert move.t - stop.t == pytest.approx(12.0)


def test_reverse_act_backs_over_the_line_and_is_seen_by_the_beam() -> None:
    world = _green_world(TruckPlan("T1", 0.0, acts=(ReverseAct(3.0, 6.0),)))
    events = _events(world, 200.0)
    line = [(e.kind, e.place, e.on) for e in events if e.place in ("S", "stop_line_beam")]
    assert line[:4] == [
        (EventKind.NOSE, "S", True),
        (EventKind.ZONE, "stop_line_beam", True),
        (EventKind.ZONE, "stop_line_beam", False),
        (EventKind.NOSE, "S", False),
    ]
    assert [e.x_m for e in events if e.kind is EventKind.STOPPED] == pytest.approx([3.0, -3.0])
    assert world.finished()


def test_direct_side_empties_the_lane_without_crossing() -> None:
    world = World(Geometry(), [TruckPlan("T1", 0.0)])
    _events(world, 100.0)
    world.direct("T1", "side")
    events = _events(world, 200.0)
    assert [(e.kind, e.place) for e in events] == [(EventKind.ZONE, "zone_s"), (EventKind.DIVERTED, "")]
    assert world.finished()


def test_direct_through_crosses_on_red() -> None:
    world = World(Geometry(), [TruckPlan("T1", 0.0)])
    _events(world, 100.0)
    world.direct("T1", "through")
    assert any(e.kind is EventKind.NOSE and e.place == "S" for e in _events(world, 200.0))


def test_direct_refuses_who_does_not_stand_before_the_line() -> None:
    world = World(Geometry(), [TruckPlan("T1", 0.0)])
    _events(world, 5.0)
    with pytest.raises(ValueError, match="does not stand"):
        world.direct("T1", "side")
    with pytest.raises(KeyError):
        world.direct("T9", "side")


def test_time_does_not_go_back() -> None:
    world = World(Geometry(), [])
    world.advance(5.0)
    with pytest.raises(ValueError, match="back"):
        world.advance(4.0)


def test_time_to_travel_against_the_formula() -> None:
    assert time_to_travel(10.0, 2.0, 0.0) == 5.0
    assert time_to_travel(9.0, 0.0, 2.0) == 3.0
    assert time_to_travel(4.0, 4.0, -2.0) == pytest.approx(2.0)
    assert time_to_travel(4.01, 4.0, -2.0) == math.inf
    assert time_to_travel(1.0, 0.0, 0.0) == math.inf
    assert Segment(1.0, math.inf, 0.0, -2.0, 0.0).when_at(-4.0, False) == 3.0


def test_following_speed_leaves_room_to_brake() -> None:
    u = following_speed(0.0, 4.0, 20.0, 1.5)
    assert 0.75 * (4.0 + u) + u * u / 4.0 == pytest.approx(20.0)
    assert following_speed(0.0, 4.0, 2.0, 1.5) == 0.0


def _edges(geometry: Geometry, **truck: object) -> dict[str, list[tuple[float, bool]]]:
    """(metre of the nose, level) of every edge of a truck that drives through at 5 m/s."""
    plan = TruckPlan("T1", 0.0, 18.0, 20.0, start_m=-100.0, **truck)  # type: ignore[arg-type]
    found: dict[str, list[tuple[float, bool]]] = {zone: [] for zone in geometry.zones()}
    world = World(geometry, (plan,))
    world.set_lamp("green")
    for event in world.advance(60.0):
        if event.kind is EventKind.ZONE:
            found[event.place].append((round(event.t * 5.0 - 100.0, 3), event.on))
    return found


def test_each_layout_has_its_sensors() -> None:
    assert tuple(Geometry().zones()) == ZONES
    for layout in Layout:
        geometry = Geometry(layout=layout, exit_loop=False)
        assert tuple(geometry.zones()) == ("zone_a", "zone_d", "zone_s", *geometry.line_zones)
        assert {geometry.sensor(zone) for zone in ZONES} - {"zone_x"} <= set(geometry.zones())
        assert set(geometry.zones()) <= set(ALL_ZONES)


def test_a_drawbar_frees_a_beam_but_neither_a_curtain_nor_a_loop_longer_than_it() -> None:
    bar = (9.0, 10.5)
    assert _edges(Geometry(), drawbar=bar)["stop_line_beam"] == [(0.0, True), (9.0, False), (10.5, True), (20.0, False)]
    curtain = _edges(Geometry(layout=Layout.LIGHT_CURTAIN), drawbar=bar)
    assert curtain["stop_line_curtain_1"] == curtain["stop_line_curtain_2"] == [(0.0, True), (20.0, False)]
    loops = _edges(Geometry(layout=Layout.LOOPS_ONLY), drawbar=bar)
    assert loops["stop_line_loop"] == [(0.0, True), (22.0, False)]
    assert _edges(Geometry(layout=Layout.LOOPS_ONLY), drawbar=(9.0, 12.0))["stop_line_loop"] == [
        (0.0, True), (11.0, False), (12.0, True), (22.0, False)
    ]  # fmt: skip


def test_a_drawbar_ends_within_its_truck() -> None:
    with pytest.raises(ValueError, match="drawbar"):
        TruckPlan("T1", 0.0, length_m=12.0, drawbar=(9.0, 12.0))
