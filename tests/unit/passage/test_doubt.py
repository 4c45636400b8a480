"""Where sensors contradict each other: nobody is accused, records say what is in doubt, and end in a stated time."""

import pytest

from drivers.api import Aspect, Grade
from edge_agent.model.conveyance import Flag, Outcome
from edge_agent.model.decision import ActKind
from edge_agent.model.effects import AddSupplement
from edge_agent.model.inputs import SignalChanged
from edge_agent.model.lane import Zone
from edge_agent.passage.codes import CauseCode
from edge_agent.passage.views import red_causes

from .story import CONFIG, Lane

EXIT_BOUND_S = 2 * 36.8 / (5.0 / 3.6)
"""Twice the way from the beam to the end of X at the slowest pace of the stories' lane."""
OVER_X_BOUND_S = 2 * (2.0 + 27.5) / (5.0 / 3.6)


def at_line(lane: Lane) -> None:
    """A truck without a release stands at the line."""
    lane.arrive()
    lane.drive_to_line()
    lane.wait(8)


def cross(lane: Lane, loop_to_beam_s: float = 0.2) -> None:
    """Over the line, loop and beam free again."""
    lane.on(Zone.BEAM)
    lane.wait(5.0)
    lane.off(Zone.S)
    lane.wait(loop_to_beam_s)
    lane.off(Zone.BEAM)


def test_a_driver_who_runs_the_red_is_accused_and_stays_so_when_all_sensors_agree() -> None:
    lane = Lane().start()
    at_line(lane)
    cross(lane)
    lane.wait(7.0)
    lane.on(Zone.X)
    lane.wait(6.0)
    lane.off(Zone.X)
    (bundle,) = lane.bundles
    assert bundle.outcome is Outcome.VIOLATION
    assert Flag.DOUBTFUL not in bundle.flags
    assert lane.state.counts.violations == 1


def test_who_has_moved_off_on_green_is_not_accused_when_the_head_ends_it_under_its_lease() -> None:
    """A lease that is being renewed, a head that has had enough: red comes just before the nose is over the line."""
    lane = Lane().start()
    truck = lane.arrive()
    lane.drive_to_line()
    lane.wait(8)
    lane.decide()
    assert lane.green == truck.conveyance_id
    lane.wait(2)
    lease = lane.state.lease
    assert lease is not None
    lane.feed(SignalChanged(lane.at, Aspect.RED, Aspect.RED, Grade.LAMP, "lease_expired", "", lease.seq))
    lane.wait(0.2)
    lane.on(Zone.BEAM)
    (record,) = lane.state.conveyances
    assert Flag.VIOLATION not in record.flags


def test_an_accusation_is_taken_back_when_the_beam_outlasts_the_loop() -> None:
    lane = Lane().start()
    at_line(lane)
    cross(lane, loop_to_beam_s=4.0)
    (record,) = lane.state.conveyances
    assert Flag.VIOLATION not in record.flags
    assert Flag.DOUBTFUL in record.flags
    assert lane.state.counts.violations == 0
    assert lane.events.count("VIOLATION") == 1, "the alarm went out at once all the same"
    assert lane.events.count("VIOLATION_DOUBTFUL") == 1


def test_an_accusation_that_no_exit_confirms_does_not_reach_the_record() -> None:
    lane = Lane().start()
    at_line(lane)
    cross(lane)
    assert lane.state.counts.violations == 1
    lane.wait(EXIT_BOUND_S + 1)
    (bundle,) = lane.bundles
    assert bundle.outcome is not Outcome.VIOLATION
    assert {Flag.DOUBTFUL, Flag.SENSOR_FAULT} <= set(bundle.flags)
    assert lane.state.counts.violations == 0


def test_a_crossing_taken_back_takes_its_accusation_and_its_count_back() -> None:
    lane = Lane().start()
    at_line(lane)
    lane.on(Zone.BEAM)
    assert lane.state.counts.violations == 1
    lane.wait(1)
    lane.off(Zone.BEAM)
    assert lane.state.counts.violations == 0
    assert Flag.VIOLATION not in lane.first.flags


def test_with_a_dead_exit_a_passage_ends_in_the_stated_time_and_a_late_exit_is_a_supplement() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    cross(lane)
    lane.wait(EXIT_BOUND_S - 1)
    assert lane.bundles == []
    lane.wait(2)
    (bundle,) = lane.bundles
    assert bundle.outcome is Outcome.RELEASED_ROLLING
    assert Flag.SENSOR_FAULT in bundle.flags
    assert ("EXIT_SENSOR_DOUBTFUL", True) in lane.conditions
    lane.on(Zone.X)
    lane.wait(5)
    lane.off(Zone.X)
    assert len(lane.bundles) == 1, "it is the same vehicle, late"
    (supplement,) = lane.of(AddSupplement)
    assert isinstance(supplement, AddSupplement)
    assert (supplement.bundle_id, supplement.kind) == (bundle.bundle_id, "late_exit")
    assert lane.order_known()
    lane.arrive("t2")
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    assert ("EXIT_SENSOR_DOUBTFUL", False) in lane.conditions


def test_an_exit_loop_that_stays_occupied_ends_the_record_in_the_stated_time() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    cross(lane)
    lane.wait(7.0)
    lane.on(Zone.X)
    lane.wait(OVER_X_BOUND_S - 1)
    assert lane.bundles == []
    lane.wait(2)
    assert [Flag.SENSOR_FAULT in bundle.flags for bundle in lane.bundles] == [True]
    lane.off(Zone.X)
    assert lane.order_known(), "a tail whose record is closed says nothing about those upstream"


def test_a_vehicle_at_the_exit_with_a_truck_far_upstream_is_not_that_truck() -> None:
    """It has neither been on the stop loop nor broken the beam: one sensor lies, not two."""
    lane = Lane().start()
    truck = lane.arrive()
    lane.wait(4.0)
    lane.on(Zone.D)
    lane.wait(9.0)
    lane.on(Zone.X)
    lane.wait(1.0)
    lane.off(Zone.X)
    (phantom,) = lane.bundles
    assert phantom.conveyance_id != truck.conveyance_id
    assert {Flag.UNPROVEN, Flag.ORDER_UNKNOWN} <= set(phantom.flags)
    assert lane.first.conveyance_id == truck.conveyance_id


def test_what_an_officer_does_not_see_is_unproven_and_carries_nobodys_card() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.act(ActKind.CONFIRM_ORDER)
    (bundle,) = lane.bundles
    assert {Flag.UNPROVEN, Flag.ABANDONED} <= set(bundle.flags)
    assert bundle.assignments == ()


def test_nothing_is_over_two_zones_farther_apart_than_it_is_long() -> None:
    """The decision loop sticks: its tail is not the leader's, who is at the exit by then."""
    lane = Lane().start()
    lane.arrive("t1")
    lane.decide()
    lane.wait(4.0)
    lane.on(Zone.D)
    lane.wait(11.0)
    lane.on(Zone.S)
    lane.wait(1.0)
    cross(lane)
    lane.wait(7.0)
    lane.on(Zone.X)
    lane.wait(6.0)
    lane.off(Zone.X)
    (bundle,) = lane.bundles
    assert Flag.SENSOR_FAULT in bundle.flags
    lane.off(Zone.D)
    assert bundle.times.d_tail is None
    assert not lane.order_known()


def test_a_stop_loop_that_flickers_under_a_crossing_truck_is_not_the_next_one() -> None:
    lane = Lane().start()
    leader = lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    follower = lane.arrive("t2")
    lane.wait(4)
    lane.on(Zone.D)
    lane.on(Zone.BEAM)
    lane.wait(1)
    lane.off(Zone.S)
    lane.wait(4)
    lane.on(Zone.S)
    lane.wait(1)
    lane.off(Zone.S)
    lane.wait(0.1)
    lane.off(Zone.BEAM)
    crossed, behind = lane.state.tracks
    assert (crossed.id, behind.id) == (leader.conveyance_id, follower.conveyance_id)
    assert (crossed.upstream, behind.upstream) == (False, True)
    assert all(Zone.BEAM not in track.over for track in lane.state.tracks)


def test_a_truck_that_stops_in_the_corridor_has_red_until_it_stands_at_the_line() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide(ttl_s=600)
    assert lane.green == truck.conveyance_id
    lane.wait(60)
    assert lane.green == ""
    lane.decide(revision=2, ttl_s=600)
    causes = [cause.code for cause in red_causes(lane.state, lane.at)]
    assert lane.green == ""
    assert CauseCode.STOPPED in causes
    lane.on(Zone.D)
    lane.wait(8)
    lane.off(Zone.D)
    lane.wait(5)
    lane.on(Zone.S)
    assert lane.green == ""
    lane.wait(8)
    assert lane.green == truck.conveyance_id
    assert lane.state.lease is not None
    assert lane.state.lease.standing


@pytest.mark.parametrize("confirmed", [True, False])
def test_with_a_dead_stop_loop_the_record_of_a_released_truck_says_released_in_doubt(confirmed: bool) -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.wait(4.0)
    lane.on(Zone.D)
    lane.wait(6.5)
    lane.off(Zone.D)
    lane.wait(2.0)
    assert lane.green
    lane.on(Zone.BEAM)
    assert lane.green == ""
    if confirmed:
        lane.wait(4.0)
        lane.off(Zone.BEAM)
        lane.act(ActKind.CONFIRM_ORDER)
    else:
        lane.wait(4.0)
        lane.off(Zone.BEAM)
    lane.wait(6.0)
    lane.on(Zone.X)
    lane.wait(5.0)
    lane.off(Zone.X)
    (bundle,) = lane.bundles
    assert bundle.outcome is Outcome.RELEASED_ROLLING
    assert Flag.DOUBTFUL in bundle.flags
    assert lane.state.counts.released == 1


def test_the_bounds_above_are_those_of_the_stories_lane() -> None:
    assert CONFIG.kinematics.v_min_kmh == 5.0
    assert CONFIG.policy.stopped_factor == 2.0
    assert CONFIG.geometry.x.end_m - CONFIG.geometry.beam_m == pytest.approx(36.8)


def test_a_short_truck_whose_length_is_overestimated_is_not_taken_for_gone_when_its_nose_comes_to_the_exit() -> None:
    """It stopped over the advance loop, so that it seems long, and quick; its follower is over the line still, and no
    truck is long enough to be at the exit as well."""
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    lane.wait(16.0)
    lane.off(Zone.A)
    lane.wait(6.0)
    lane.on(Zone.D)
    lane.wait(1.0)
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t2")
    lane.wait(6.8)
    lane.off(Zone.A)
    lane.off(Zone.D)
    lane.wait(4.0)
    lane.on(Zone.S)
    lane.wait(1.2)
    lane.on(Zone.BEAM)
    lane.wait(3.8)
    lane.off(Zone.S)
    lane.wait(0.2)
    lane.off(Zone.BEAM)
    lane.on(Zone.D)
    lane.wait(3.8)
    lane.on(Zone.S)
    lane.wait(0.5)
    lane.on(Zone.BEAM)
    lane.wait(5.2)
    lane.on(Zone.X)
    assert lane.bundles == []
    lane.wait(4.0)
    lane.off(Zone.X)
    (bundle,) = lane.bundles
    assert {a.sighting.claim.token for a in bundle.assignments} == {"t1-card", "t1-tag"}
    assert Flag.SENSOR_FAULT not in bundle.flags


def test_a_short_truck_gathering_speed_is_over_the_exit_for_less_than_half_its_time_over_the_line() -> None:
    lane = Lane().start()
    at_line(lane)
    lane.decide()
    cross(lane)
    lane.wait(7.0)
    lane.on(Zone.X)
    lane.wait(2.3)
    lane.off(Zone.X)
    (bundle,) = lane.bundles
    assert Flag.SENSOR_FAULT not in bundle.flags


def test_an_exit_that_sees_less_than_any_vehicle_has_not_seen_it_leave() -> None:
    lane = Lane().start()
    at_line(lane)
    lane.decide()
    cross(lane)
    lane.wait(7.0)
    lane.on(Zone.X)
    lane.wait(0.9)
    lane.off(Zone.X)
    assert lane.bundles == []
    lane.wait(0.5)
    lane.on(Zone.X)
    lane.wait(4.0)
    lane.off(Zone.X)
    (bundle,) = lane.bundles
    assert bundle.ended == bundle.times.x_tail
    assert Flag.SENSOR_FAULT in bundle.flags


def test_an_accusation_does_not_stand_where_the_exit_saw_far_less_than_the_line() -> None:
    """The beam was stuck over one who stood, or left by the side: the exit has seen another."""
    lane = Lane().start()
    at_line(lane)
    cross(lane)
    lane.wait(7.0)
    lane.on(Zone.X)
    lane.wait(2.3)
    lane.off(Zone.X)
    (bundle,) = lane.bundles
    assert bundle.outcome is not Outcome.VIOLATION
    assert Flag.DOUBTFUL in bundle.flags
