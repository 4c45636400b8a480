"""Whose nose is at X: how long each of two vehicles behind the line may have taken, to a tenth of a second."""

import pytest

from edge_agent.model.conveyance import Conveyance, Flag
from edge_agent.model.effects import AddSupplement
from edge_agent.model.lane import Zone
from edge_agent.passage.exits import PACE, SLACK_S

from .story import CONFIG, GEOMETRY, Lane

OVER_S = 6.0
BEHIND_S = 12.0
Edges = list[tuple[float, Zone, bool]]


def way(starts: float) -> Edges:
    """The edges of one vehicle from A to behind the line."""
    spans = ((Zone.A, 0.0, 7.2), (Zone.D, 11.2, 17.7), (Zone.S, 22.7, 27.7), (Zone.BEAM, 22.7, 22.7 + OVER_S))
    return [(starts + at, zone, on) for zone, *times in spans for at, on in zip(times, (True, False), strict=True)]


def two_past_the_line() -> Lane:
    """Two vehicles have crossed, one behind the other, and X has seen neither."""
    lane = Lane().start()
    edges = sorted([*way(0.0), *way(BEHIND_S)], key=lambda edge: edge[0])
    for at, zone, on in edges:
        lane.wait(at - lane.now)
        lane.zones((zone, on))
        if zone is Zone.A and on:
            lane.identify(f"t{at}")
        if zone is Zone.D and not on:
            lane.decide(of=lane.first, ttl_s=600)
    assert not any(Flag.DOUBTFUL in truck.flags for truck in lane.state.conveyances)
    return lane


def longest_s(truck: Conveyance) -> float:
    """From the nose over the line: what it may take to X, at the pace it crossed with."""
    assert truck.length_m is not None
    assert truck.times.s_nose is not None
    return PACE * (GEOMETRY.x.start_m - GEOMETRY.beam_m) / (truck.length_m / OVER_S) + SLACK_S


def nose_at_x(lane: Lane, at: float) -> list[bool]:
    """Whether X's nose was given to the first, and to the second."""
    lane.wait(at - lane.now)
    lane.on(Zone.X)
    first, second = (*lane.bundles, *lane.state.conveyances)
    return [truck.times.x_nose is not None for truck in (first, second)]


@pytest.mark.parametrize(("more_s", "whose"), [(-0.1, [True, False]), (0.1, [False, True])])
def test_the_first_has_left_unseen_once_it_is_later_than_its_pace_allows(more_s: float, whose: list[bool]) -> None:
    lane = two_past_the_line()
    first = lane.state.conveyances[0]
    assert nose_at_x(lane, 22.7 + longest_s(first) + more_s) == whose
    assert [b.conveyance_id for b in lane.bundles] == ([] if whose[0] else [first.conveyance_id])


@pytest.mark.parametrize(("more_s", "whose"), [(-0.1, [False, True]), (0.1, [True, False])])
def test_it_is_the_second_only_while_its_own_pace_allows(more_s: float, whose: list[bool]) -> None:
    lane = two_past_the_line()
    second = lane.state.conveyances[1]
    assert nose_at_x(lane, 22.7 + BEHIND_S + longest_s(second) + more_s) == whose


@pytest.mark.parametrize(("more_s", "late"), [(-1.0, True), (1.0, False)])
def test_a_nose_at_x_is_that_of_a_sealed_record_for_a_while_and_once_only(more_s: float, late: bool) -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(5.0)
    lane.off(Zone.S)
    lane.off(Zone.BEAM)
    while not lane.bundles:
        lane.wait(1.0)
    sealed = lane.bundles[0].ended
    assert sealed is not None
    lane.wait(sealed.mono_ns / 1e9 + CONFIG.policy.abandon_s + more_s - lane.now, pace=1.0)
    lane.on(Zone.X)
    assert len(lane.of(AddSupplement)) == int(late)
    assert lane.events.count("CONVEYANCE_UNEXPECTED") == int(not late)
    lane.off(Zone.X)
    lane.on(Zone.X)
    assert len(lane.of(AddSupplement)) == int(late)
    assert lane.events.count("CONVEYANCE_UNEXPECTED") == 1 + int(not late)
