"""The nominal stories: trucks that roll through, alone and close behind one another."""

import pytest

from edge_agent.model.conveyance import Flag, Outcome
from edge_agent.passage.corridor import fold, initial_state

from .story import CONFIG, Lane, Traffic, Truck


@pytest.mark.parametrize("kmh", [8.0, 10.0, 15.0, 20.0])
def test_a_released_truck_rolls_through_without_stopping(kmh: float) -> None:
    lane = Lane().start()
    truck = Truck("t1", starts=1.0, kmh=kmh)
    traffic = Traffic(lane, [truck])
    traffic.run(until=1.0 + 150 / (kmh / 3.6))

    (bundle,) = lane.bundles
    assert bundle.outcome is Outcome.RELEASED_ROLLING
    assert bundle.flags == ()
    assert truck.stopped_s == 0
    assert bundle.stops == 0
    assert len(bundle.requests) <= 2
    assert bundle.length_m == pytest.approx(18.0, rel=0.1)
    assert bundle.speed_kmh == pytest.approx(kmh, rel=0.05)
    assert not traffic.wrong_greens
    assert lane.state.tracks == ()
    assert fold(initial_state(CONFIG), lane.journal) == lane.state


@pytest.mark.parametrize("kmh", [10.0, 15.0, 20.0])
def test_a_platoon_of_three_rolls_with_four_second_gaps(kmh: float) -> None:
    lane = Lane().start()
    headway = 18.0 / (kmh / 3.6) + 4.0
    trucks = [Truck(f"t{i}", starts=1.0 + i * headway, kmh=kmh) for i in range(3)]
    traffic = Traffic(lane, trucks)
    traffic.run(until=2 * headway + 150 / (kmh / 3.6) + 5)

    assert [b.outcome for b in lane.bundles] == [Outcome.RELEASED_ROLLING] * 3
    assert [t.stopped_s for t in trucks] == [0, 0, 0]
    assert not traffic.wrong_greens
    assert [b.flags for b in lane.bundles] == [(), (), ()]
    owners = [{a.sighting.claim.token.split("-")[0] for a in b.assignments} for b in lane.bundles]
    assert owners == [{"t0"}, {"t1"}, {"t2"}]
    assert fold(initial_state(CONFIG), lane.journal) == lane.state


def test_a_late_decision_stops_the_truck_and_releases_it_standing() -> None:
    lane = Lane().start()
    truck = Truck("t1", starts=1.0, kmh=15.0)
    Traffic(lane, [truck], latency_s=14.0).run(until=90)

    (bundle,) = lane.bundles
    assert bundle.outcome is Outcome.RELEASED_STOPPED
    assert Flag.LATE in bundle.flags
    assert Flag.WAITING_AT_LINE in bundle.flags
    assert truck.stopped_s > 1.0
    assert bundle.stops == 1


def test_a_queue_at_a_slow_centre_is_released_one_by_one() -> None:
    lane = Lane().start()
    trucks = [Truck(f"t{i}", starts=1.0 + 10.0 * i, kmh=12.0) for i in range(4)]
    traffic = Traffic(lane, trucks, latency_s=25.0)
    traffic.run(until=240)

    assert len(lane.bundles) == 4
    assert not traffic.wrong_greens
    assert {b.outcome for b in lane.bundles} <= {Outcome.RELEASED_ROLLING, Outcome.RELEASED_STOPPED}
    assert lane.state.order.known
