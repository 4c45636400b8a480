"""The stop-line beam against the stop loop: what it says alone is no crossing, and nobody is accused on it."""

import pytest

from edge_agent.model.conveyance import Conveyance, Flag, Outcome
from edge_agent.model.decision import ActKind, ActResult, Verdict
from edge_agent.model.lane import Zone
from edge_agent.passage.views import red_causes

from .story import Lane


def leave(lane: Lane) -> None:
    """From the line out through X, the stop loop dead or not."""
    lane.wait(5.0)
    lane.off(Zone.S)
    lane.wait(0.2)
    lane.off(Zone.BEAM)
    lane.wait(6.0)
    lane.on(Zone.X)
    lane.wait(6.0)
    lane.off(Zone.X)


@pytest.mark.parametrize("seconds", [0.1, 3.0, 60.0])
def test_a_beam_that_lies_about_a_standing_truck_is_taken_back_and_the_officer_gets_it_through(seconds: float) -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.drive_to_line()
    lane.wait(8)
    lane.on(Zone.BEAM)
    lane.wait(seconds)
    lane.off(Zone.BEAM)
    assert lane.first.conveyance_id == truck.conveyance_id
    assert Flag.VIOLATION not in lane.first.flags
    assert lane.first.times.s_nose is None
    assert not lane.order_known()
    lane.decide()
    assert lane.green == ""
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(truck.conveyance_id,))
    lane.wait(8)
    assert lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first).result is ActResult.OK
    assert lane.green == truck.conveyance_id
    lane.pass_line()
    (bundle,) = lane.bundles
    assert bundle.outcome is Outcome.RELEASED_STOPPED
    assert Flag.VIOLATION not in bundle.flags


def test_a_drawbar_that_the_beam_overlooks_is_doubted_and_nobody_is_accused() -> None:
    """The beam clears in the middle of a released vehicle, with the stop loop occupied, and breaks again."""
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(2.0)
    lane.off(Zone.BEAM)
    assert not lane.order_known()
    lane.wait(0.4)
    lane.on(Zone.BEAM)
    leave(lane)
    (bundle,) = lane.bundles
    assert bundle.conveyance_id == truck.conveyance_id
    assert bundle.outcome is Outcome.RELEASED_ROLLING
    assert Flag.DOUBTFUL in bundle.flags
    assert Flag.VIOLATION not in bundle.flags
    assert lane.state.counts.released == 1


def test_who_lost_the_green_to_the_beam_and_goes_much_later_was_not_released() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(0.2)
    lane.off(Zone.BEAM)
    lane.wait(20.0)
    lane.on(Zone.BEAM)
    leave(lane)
    (bundle,) = lane.bundles
    assert bundle.outcome is Outcome.UNRESOLVED
    assert Flag.DOUBTFUL in bundle.flags
    assert lane.state.counts.released == 0


def test_a_beam_that_lies_during_green_ends_it_and_a_follower_is_not_taken_for_the_truck_at_the_line() -> None:
    lane = Lane().start()
    truck = lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    lane.arrive("t2")
    lane.on(Zone.BEAM)
    assert lane.green == ""
    lane.wait(0.2)
    lane.off(Zone.BEAM)
    assert lane.first.conveyance_id == truck.conveyance_id
    lane.wait(10)
    assert lane.green == "", "the release it had is used up: only a new one gives green"


def test_one_who_follows_through_hides_the_end_of_the_loop_and_the_leader_has_crossed() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    lane.arrive("t2")
    lane.wait(4)
    lane.on(Zone.D)
    lane.on(Zone.BEAM)
    lane.wait(6)
    lane.off(Zone.BEAM)
    crossed, follower = lane.state.tracks
    assert (crossed.upstream, follower.upstream) == (False, True)
    assert lane.green == ""
    assert not lane.order_known(), "or the leader stands there still: whose green it would be, an officer must see"
    assert Flag.DOUBTFUL in crossed.conveyance.flags
    lane.decide()
    lane.wait(8)
    assert lane.green == ""


def test_a_beam_broken_with_the_loop_free_makes_no_vehicle_and_puts_the_order_in_doubt() -> None:
    lane = Lane().start()
    lane.on(Zone.BEAM)
    assert lane.state.tracks == ()
    assert not lane.order_known()
    assert "CORRIDOR_ORDER_LOST" in lane.events
    lane.wait(3)
    lane.off(Zone.BEAM)
    lane.on(Zone.X)
    lane.wait(3)
    lane.off(Zone.X)
    assert len(lane.bundles) == 1, "who comes to X has a record, whatever the beam saw"


def test_a_beam_broken_alone_takes_green_and_the_truck_that_comes_later_has_its_own_exit() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide()
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(4)
    lane.on(Zone.BEAM)
    assert lane.green == ""
    assert lane.withdrawn[-1].immediate
    lane.wait(2.5)
    lane.off(Zone.D)
    lane.wait(5)
    lane.on(Zone.S)
    lane.wait(8)
    assert red_causes(lane.state, lane.at)
    lane.off(Zone.BEAM)
    assert lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(truck.conveyance_id,)).result is ActResult.OK
    lane.wait(8)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    lane.pass_line()
    assert [(b.conveyance_id, b.outcome) for b in lane.bundles] == [(truck.conveyance_id, Outcome.RELEASED_STOPPED)]


@pytest.mark.parametrize("confirmed", [False, True])
def test_with_a_dead_stop_loop_a_released_truck_keeps_its_one_record_and_is_not_accused(confirmed: bool) -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide()
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(8)
    lane.on(Zone.BEAM)
    assert lane.green == ""
    lane.wait(5)
    lane.off(Zone.D)
    lane.off(Zone.BEAM)
    if confirmed:
        assert lane.act(ActKind.CONFIRM_ORDER).result is ActResult.OK
    lane.wait(6)
    lane.on(Zone.X)
    lane.wait(6)
    lane.off(Zone.X)
    (bundle,) = lane.bundles
    assert bundle.conveyance_id == truck.conveyance_id
    assert Flag.VIOLATION not in bundle.flags


def test_a_stop_loop_that_comes_to_life_under_a_crossing_truck_makes_no_second_one() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide()
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(8)
    lane.on(Zone.BEAM)
    lane.wait(2)
    lane.on(Zone.S)
    leave(lane)
    assert [b.conveyance_id for b in lane.bundles] == [truck.conveyance_id]
    assert Flag.VIOLATION not in lane.bundles[0].flags
    assert Flag.REVERSED not in lane.bundles[0].flags


def test_a_vehicle_out_of_order_inside_the_window_of_a_withdrawn_green_is_not_accused() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(9)
    lane.on(Zone.S)
    assert lane.first.committed is not None
    lane.session += 1
    lane.levels[Zone.S] = False  # the module came back and has not felt the loop yet
    lane.zones()
    assert lane.green == ""
    lane.on(Zone.S)
    lane.on(Zone.BEAM)
    assert all(Flag.VIOLATION not in c.flags for c in lane.state.conveyances)
    lane.wait(60)
    lane.zones((Zone.S, False), (Zone.BEAM, False))
    lane.on(Zone.S)
    lane.on(Zone.BEAM)
    later = [c for c in lane.state.conveyances if Flag.DOUBTFUL in c.flags]
    assert later, "no excuse any more: but one that no zone saw coming is reported in doubt, never accused"
    assert "VIOLATION_DOUBTFUL" in lane.events
    assert all(Flag.VIOLATION not in c.flags for c in lane.state.conveyances)


def test_a_truck_that_rolled_back_on_its_green_and_is_there_again_has_not_crossed_on_it() -> None:
    """Then it crosses on red under a beam that lies: that is doubted, and the green of before does not count."""
    lane = Lane().start()
    lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    lane.wait(5)
    lane.off(Zone.S)
    lane.wait(3)
    lane.on(Zone.S)
    lane.on(Zone.BEAM)
    lane.wait(5)
    lane.off(Zone.S)
    lane.wait(1)
    lane.off(Zone.BEAM)
    lane.wait(7)
    lane.on(Zone.X)
    lane.wait(6)
    lane.off(Zone.X)
    (bundle,) = lane.bundles
    assert bundle.outcome is Outcome.UNRESOLVED
    assert lane.state.counts.released == 0


@pytest.mark.parametrize("confirmed", [False, True])
def test_after_a_truck_went_through_a_blind_beam_only_an_officer_gives_green_until_one_is_seen(confirmed: bool) -> None:
    lane = Lane().start()
    truck = lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    assert lane.green
    lane.wait(5)
    lane.off(Zone.S)
    assert lane.green == ""
    assert ("STOP_LINE_BEAM_DOUBTFUL", True) in lane.conditions
    if confirmed:
        lane.act(ActKind.CONFIRM_ORDER)
    lane.wait(5)
    lane.on(Zone.X)
    lane.wait(6)
    lane.off(Zone.X)
    (bundle,) = lane.bundles
    assert bundle.conveyance_id == truck.conveyance_id
    assert bundle.outcome is Outcome.RELEASED_ROLLING, "its lease was in force until then, and X saw it go"
    assert Flag.DOUBTFUL in bundle.flags
    lane.act(ActKind.CONFIRM_ORDER)
    lane.arrive("t2")
    lane.decide()
    lane.drive_to_line()
    lane.wait(8)
    assert lane.green == ""
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    assert lane.green
    lane.pass_line()
    assert ("STOP_LINE_BEAM_DOUBTFUL", False) in lane.conditions
    lane.arrive("t3")
    lane.decide()
    assert lane.green


def sent_aside_at_the_line(lane: Lane) -> Conveyance:
    """The first truck stands at the line, refused by the officer who looked, and a second one comes."""
    lane.arrive("t1")
    lane.drive_to_line()
    lane.wait(8)
    lane.act(ActKind.DIRECT_CONVEYANCE, of=lane.first, verdict=Verdict.REFUSE_RETURN)
    return lane.arrive("t2")


def test_the_exit_of_the_next_truck_is_not_that_of_one_sent_aside_under_a_stuck_beam() -> None:
    lane = Lane().start()
    second = sent_aside_at_the_line(lane)
    lane.on(Zone.BEAM)  # stuck, over a truck that stands
    lane.wait(5)
    lane.off(Zone.S)  # it leaves sideways
    lane.wait(8)
    lane.off(Zone.BEAM)
    lane.decide()
    lane.drive_to_line()
    assert lane.green == second.conveyance_id
    lane.pass_line()
    aside, through = lane.bundles
    assert {Flag.DIVERTED, Flag.DOUBTFUL} <= set(aside.flags)
    assert aside.times.x_nose is None
    assert aside.times.x_tail is None
    assert through.conveyance_id == second.conveyance_id
    assert through.outcome in (Outcome.RELEASED_ROLLING, Outcome.RELEASED_STOPPED)
    assert through.times.x_nose is not None
    assert through.times.x_tail == through.ended
    assert not {Flag.DOUBTFUL, Flag.SENSOR_FAULT, Flag.UNPROVEN} & set(through.flags)


def test_one_sent_elsewhere_that_crosses_as_a_vehicle_does_is_not_doubted() -> None:
    lane = Lane().start()
    sent_aside_at_the_line(lane)
    lane.pass_line()
    (bundle,) = lane.bundles
    assert Flag.DIVERTED in bundle.flags
    assert bundle.times.x_nose is not None
    assert Flag.DOUBTFUL not in bundle.flags
