"""A green that ends before its vehicle has crossed: the driver may have moved off on it, and gets another one only
where it cannot come just as the nose passes the line."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.api import Aspect, Grade
from edge_agent.model.conveyance import Flag, Outcome
from edge_agent.model.decision import ActKind
from edge_agent.model.effects import GrantLease
from edge_agent.model.inputs import CentreLink, ConsolePresence, SignalChanged
from edge_agent.model.lane import Zone
from edge_agent.passage.codes import CauseCode
from edge_agent.passage.kinematics import standing_time_ns
from edge_agent.passage.views import red_causes

from .story import CONFIG, GEOMETRY, KINEMATICS, NS, Lane

STANDS_S = standing_time_ns(0, GEOMETRY, KINEMATICS) / NS


def standing() -> Lane:
    """A truck that stands at the line on a green."""
    lane = Lane().start()
    lane.arrive()
    lane.drive_to_line()
    lane.wait(STANDS_S + 0.2)
    assert lane.events.count("WAITING_AT_LINE") == 1
    lane.decide()
    assert lane.state.lease is not None
    assert lane.state.lease.standing
    lane.wait(1.2)
    return lane


def late_card(lane: Lane) -> None:
    """A card is found to be this truck's, and the centre releases the new identity soon."""
    came = lane.first.times.a_nose
    assert came is not None
    lane.see(f"card-{lane.decided}", ago=lane.now - came.mono_ns / NS - 0.5)
    assert lane.green == ""
    lane.wait(0.4)
    lane.decide(revision=lane.decided + 5)


def test_a_truck_that_has_moved_off_on_a_lost_green_crosses_without_a_second_one() -> None:
    lane = standing()
    greens = len(lane.of(GrantLease))
    late_card(lane)
    assert lane.green == ""
    assert [cause.code for cause in red_causes(lane.state, lane.at)] == [CauseCode.NOT_STANDING]
    lane.wait(0.6)
    lane.pass_line()
    assert len(lane.of(GrantLease)) == greens
    assert lane.bundles[0].outcome is Outcome.UNRESOLVED
    assert {Flag.VIOLATION, Flag.DOUBTFUL} & set(lane.bundles[0].flags) == set()


def test_a_truck_that_stays_where_it_is_gets_green_when_it_is_seen_to_stand_again() -> None:
    lane = standing()
    late_card(lane)
    lane.wait(STANDS_S - 0.6)
    assert lane.green == ""
    lane.wait(0.4)
    assert lane.green == lane.first.conveyance_id
    assert lane.state.lease is not None
    assert lane.state.lease.standing
    assert lane.events.count("WAITING_AT_LINE") == 1
    lane.pass_line()
    assert lane.bundles[0].outcome is Outcome.RELEASED_STOPPED


def test_a_hold_that_is_cleared_gives_a_standing_truck_its_green_back_when_it_is_seen_to_stand() -> None:
    lane = standing()
    lane.act(ActKind.HOLD_LANE)
    lane.wait(2.0)
    lane.act(ActKind.CLEAR_HOLD)
    assert lane.green == ""
    lane.wait(STANDS_S - 1.8)
    assert lane.green == lane.first.conveyance_id


def slow() -> Lane:
    """A truck that rolls over the stop loop on a green; so slow that its commit distance is ahead still."""
    lane = Lane(replace(CONFIG, kinematics=replace(KINEMATICS, v_min_kmh=3.0))).start()
    lane.arrive()
    lane.wait(28.0)
    lane.on(Zone.D)
    lane.decide()
    lane.wait(26.0)
    lane.on(Zone.S)
    assert lane.green == lane.first.conveyance_id
    assert lane.first.committed is None
    return lane


def test_a_truck_that_rolls_over_the_stop_loop_gets_no_second_green_before_it_stands() -> None:
    lane = slow()
    lane.act(ActKind.HOLD_LANE)
    lane.wait(0.2)
    lane.act(ActKind.CLEAR_HOLD)
    assert lane.first.committed is None
    assert lane.green == ""
    lane.wait(STANDS_S + 0.2)
    assert lane.green == lane.first.conveyance_id
    assert lane.state.lease is not None
    assert lane.state.lease.standing


def test_a_truck_upstream_of_its_commit_distance_rolls_on_a_second_green() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.act(ActKind.HOLD_LANE)
    lane.act(ActKind.CLEAR_HOLD)
    assert lane.green == lane.first.conveyance_id
    assert lane.state.lease is not None
    assert not lane.state.lease.standing


def shown(lane: Lane, aspect: Aspect, reason: str = "") -> None:
    """The signal loop tells what it commands."""
    lane.feed(SignalChanged(lane.at, aspect, aspect, Grade.LAMP, reason, "", lane.state.lease_seq))


@pytest.mark.parametrize("reason", ["module_not_ready", "readback_unknown", "barrier_not_up"])
def test_a_green_that_the_head_has_ended_by_itself_takes_its_lease_with_it(reason: str) -> None:
    lane = standing()
    shown(lane, Aspect.RED, reason)
    assert lane.green == ""
    lane.wait(STANDS_S - 0.2)
    assert lane.green == ""
    lane.wait(0.4)
    assert lane.green == lane.first.conveyance_id


def test_a_head_that_has_not_shown_the_green_yet_does_not_end_it() -> None:
    lane = Lane()
    lane.shows = lambda _aspect: None
    lane.start()
    lane.arrive()
    lane.decide()
    seq = lane.state.lease_seq
    shown(lane, Aspect.RED, "minimum_red")
    assert lane.state.lease_seq == seq
    assert lane.green
    shown(lane, Aspect.GREEN)
    shown(lane, Aspect.RED, "readback_unknown")
    assert lane.state.lease_seq == seq + 1, "upstream of its commit distance it may have another one at once"


WAYS: dict[str, Callable[[Lane], object]] = {
    "hold": lambda lane: (lane.act(ActKind.HOLD_LANE), lane.act(ActKind.CLEAR_HOLD)),
    "link": lambda lane: (lane.feed(CentreLink(lane.at, False)), lane.feed(CentreLink(lane.at, True))),
    "card": late_card,
    "head": lambda lane: shown(lane, Aspect.RED, "readback_unknown"),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.floats(0.05, STANDS_S + 2.0)), min_size=1, max_size=6))
def test_between_a_lost_green_and_the_next_a_truck_over_the_stop_loop_has_had_time_to_cross(
    losses: list[tuple[str, float]],
) -> None:
    lane = standing()
    for way, pause_s in losses:
        WAYS[way](lane)
        lane.wait(pause_s, pace=0.05)
    since_ns = None
    for effect in lane.effects:
        if isinstance(effect, GrantLease):
            assert since_ns is None or effect.at.mono_ns - since_ns >= STANDS_S * NS
            since_ns = None
        elif effect in lane.withdrawn:
            since_ns = effect.at.mono_ns


def test_an_officers_release_that_lapses_in_front_of_a_rolling_truck_accuses_nobody() -> None:
    """It comes to be known to stand by the time it entered the stop loop, but its driver may have moved off since."""
    lane = Lane().start()
    lane.arrive()
    lane.feed(ConsolePresence(lane.at, True))
    lane.wait(4.0)
    lane.on(Zone.D)
    lane.wait(1.0)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    lane.wait(14.4)
    lane.on(Zone.S)
    assert lane.green == lane.first.conveyance_id
    lane.wait(STANDS_S - 0.1)
    assert lane.green == "", "twenty seconds are over"
    lane.wait(1.0)
    lane.pass_line()
    assert "VIOLATION" not in lane.events
    assert lane.bundles[0].outcome is Outcome.UNRESOLVED
