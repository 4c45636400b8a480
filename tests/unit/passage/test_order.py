"""When the order of the corridor is in doubt, what happens then, and the two ways back."""

from dataclasses import replace

from edge_agent.model.conveyance import Flag, Outcome
from edge_agent.model.decision import ActKind, ActResult, Role
from edge_agent.model.effects import GrantLease, WithdrawLease
from edge_agent.model.inputs import SightingChanged, Started, StoreHealth, ZonesLost
from edge_agent.model.lane import Zone
from edge_agent.passage.codes import CauseCode
from edge_agent.passage.corridor import fold, initial_state
from edge_agent.passage.etag import lane_etag
from edge_agent.passage.kinematics import clearing_s
from edge_agent.passage.views import red_causes

from .story import CONFIG, GEOMETRY, KINEMATICS, Lane, Traffic, Truck, stamp


def test_after_a_start_the_first_truck_is_released_standing_and_that_restores_the_order() -> None:
    lane = Lane().start(order_known=False)
    trucks = [Truck("t1", 1.0, kmh=12), Truck("t2", 110.0, kmh=12)]
    traffic = Traffic(lane, trucks)
    traffic.run(100)
    (first,) = lane.of(GrantLease)
    assert isinstance(first, GrantLease)
    assert first.lease.standing
    assert trucks[0].stopped_s > 1
    assert lane.order_known()
    traffic.run(170)
    assert [b.outcome for b in lane.bundles] == [Outcome.RELEASED_STOPPED, Outcome.RELEASED_ROLLING]
    assert not traffic.wrong_greens


def test_the_order_does_not_come_back_while_others_are_inside() -> None:
    lane = Lane().start(order_known=False)
    trucks = [Truck(f"t{i}", 1.0 + 12 * i, kmh=12) for i in range(3)]
    traffic = Traffic(lane, trucks)
    traffic.run(60)
    assert len(lane.bundles) >= 1
    assert not lane.order_known()
    traffic.run(240)
    assert [b.outcome for b in lane.bundles] == [Outcome.RELEASED_STOPPED] * 3
    assert lane.order_known()
    assert not traffic.wrong_greens


def test_a_truck_already_inside_at_start_is_found_and_only_an_officer_releases_it() -> None:
    lane = Lane()
    lane.levels[Zone.S] = True
    lane.start(order_known=False)
    (inside,) = lane.state.conveyances
    assert inside.flags == (Flag.NO_TAG, Flag.ORDER_UNKNOWN)
    assert inside.assignments == ()
    lane.wait(10)
    lane.decide()
    assert lane.green == ""
    assert CauseCode.UNIDENTIFIED_VEHICLE in {cause.code for cause in red_causes(lane.state, lane.at)}
    assert lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first).result is ActResult.OK
    assert lane.state.lease is not None
    assert lane.state.lease.standing
    lane.pass_line()
    assert len(lane.bundles) == 1
    assert not lane.order_known(), "it did not come in through A: others may hide behind it"


def test_a_truck_hidden_between_the_zones_at_start_is_not_taken_for_the_one_that_came_after() -> None:
    lane = Lane().start(order_known=False)
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    lane.wait(1.0)
    lane.on(Zone.D)  # no vehicle is this fast: somebody was hidden between A and D
    hidden, arrived = lane.state.conveyances
    assert hidden.assignments == ()
    assert {a.sighting.claim.token for a in arrived.assignments} == {"t1-card", "t1-tag"}
    lane.wait(8)
    lane.on(Zone.S)
    lane.wait(10)
    lane.decide(of=arrived)
    assert lane.green == ""


def test_a_lost_session_withdraws_rolling_green_and_needs_a_standing_release() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    assert lane.green
    lane.session += 1
    lane.edges = dict.fromkeys(Zone, 0)
    lane.zones()
    assert not lane.order_known()
    assert lane.withdrawn[-1].immediate
    assert Flag.SENSOR_FAULT in lane.first.flags
    lane.wait(2)
    assert lane.green == ""


def test_lost_zone_inputs_are_red_until_they_are_back_and_the_order_is_confirmed() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide()
    lane.feed(ZonesLost(lane.at, "IO_LINK_LOST"))
    assert lane.green == ""
    assert lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(truck.conveyance_id,)).result is (
        ActResult.FAILED_PRECONDITION
    )
    lane.wait(1)
    lane.zones()
    assert ("ZONES_LOST", False) in lane.conditions
    assert lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(truck.conveyance_id,)).result is ActResult.OK
    assert lane.green == truck.conveyance_id


def test_a_pulse_in_the_beam_takes_even_an_officers_standing_green() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.drive_to_line()
    lane.wait(8)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    assert lane.green
    lane.edges[Zone.BEAM] += 2
    lane.zones()
    assert lane.green == ""
    assert lane.withdrawn[-1].reason == "beam_edge"
    assert not lane.order_known()
    assert len(lane.state.tracks) == 1
    lane.wait(2)
    assert lane.green == ""


def test_confirming_the_order_seals_what_the_officer_does_not_see() -> None:
    lane = Lane().start()
    ghost = lane.arrive("t1")
    lane.wait(20)
    real = lane.arrive("t2")
    lane.session += 1
    lane.zones()
    lane.wait(1)
    twice = (real.conveyance_id, real.conveyance_id)
    assert lane.act(ActKind.CONFIRM_ORDER, confirmed_order=twice).result is ActResult.FAILED_PRECONDITION
    lane.on(Zone.A)
    assert lane.act(ActKind.CONFIRM_ORDER).result is ActResult.FAILED_PRECONDITION
    lane.off(Zone.A)
    denied = lane.act(ActKind.CONFIRM_ORDER, Role.TECHNICIAN, confirmed_order=(real.conveyance_id,))
    assert denied.result is ActResult.PERMISSION_DENIED
    assert lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(real.conveyance_id,)).result is ActResult.OK
    assert lane.order_known()
    assert ghost.conveyance_id in {b.conveyance_id for b in lane.bundles}
    assert {b.outcome for b in lane.bundles} == {Outcome.ABANDONED}
    assert lane.bundles[0].interventions[-1].act == "confirm_order"
    assert [c.conveyance_id for c in lane.state.conveyances] == [real.conveyance_id]


def test_a_restart_orphans_whoever_is_inside_and_no_old_decision_holds() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide()
    seq = lane.state.lease_seq
    again = Lane(now=3.0, acts=100)
    again.state = fold(initial_state(CONFIG), lane.journal)
    assert again.state == lane.state
    effects = again.feed(Started(stamp(3.0), "another-boot", b"other"))
    assert any(isinstance(e, WithdrawLease) and e.immediate for e in effects)
    again.zones()
    orphan = again.first
    assert orphan.conveyance_id == truck.conveyance_id
    assert {Flag.ORPHANED, Flag.RESTARTED, Flag.ORDER_UNKNOWN} <= set(orphan.flags)
    assert again.green == ""
    again.on(Zone.D)
    again.wait(15)
    again.off(Zone.D)
    again.on(Zone.S)
    again.wait(10)
    assert again.act(ActKind.RELEASE_CONVEYANCE, of=again.first).result is ActResult.OK
    assert again.state.lease_seq == seq + 1
    again.pass_line()
    (bundle,) = again.bundles
    assert bundle.bundle_id == truck.bundle_id
    assert bundle.outcome is Outcome.RELEASED_STOPPED


def test_a_hold_survives_a_restart() -> None:
    lane = Lane().start()
    lane.act(ActKind.HOLD_LANE)
    lane.feed(Started(lane.at, "boot-2", b"s"))
    assert lane.state.hold is not None


def test_d_without_a_is_a_contradiction() -> None:
    lane = Lane().start()
    lane.on(Zone.D)
    assert not lane.order_known()
    assert len(lane.state.tracks) == 1
    assert lane.state.order.reason == "unexpected_vehicle_at_zone_d"


def test_x_without_s_is_a_contradiction_and_still_one_bundle() -> None:
    lane = Lane().start()
    lane.on(Zone.X)
    lane.wait(5)
    lane.off(Zone.X)
    assert not lane.order_known()
    assert [b.outcome for b in lane.bundles] == [Outcome.UNRESOLVED]


def test_a_dead_decision_loop_does_not_double_the_truck() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.wait(20)
    lane.on(Zone.S)
    assert len(lane.state.tracks) == 1
    assert not lane.order_known()
    assert Flag.SENSOR_FAULT in lane.first.flags


def test_a_vehicle_that_vanishes_is_abandoned_and_the_order_is_in_doubt() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.wait(901, pace=1.0)
    (bundle,) = lane.bundles
    assert bundle.outcome is Outcome.ABANDONED
    assert {Flag.ABANDONED, Flag.STOPPED_IN_CORRIDOR} <= set(bundle.flags)
    assert not lane.order_known()


def test_one_that_waits_at_the_line_is_never_abandoned() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.drive_to_line()
    lane.wait(2000, pace=5.0)
    assert lane.bundles == []


def test_all_hold_invents_no_passages() -> None:
    lane = Lane().start()
    lane.act(ActKind.SET_MODE, mode="all_hold")
    lane.on(Zone.X)
    lane.off(Zone.X)
    lane.on(Zone.BEAM)
    assert lane.state.tracks == ()
    assert not lane.order_known()


def test_a_failing_store_leaves_remote() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.feed(StoreHealth(lane.at, False, "STORE_FULL"))
    assert lane.mode == "degraded"
    assert lane.green == ""
    assert lane.withdrawn[-1].immediate
    assert lane.act(ActKind.SET_MODE, mode="remote").result is ActResult.FAILED_PRECONDITION
    lane.feed(StoreHealth(lane.at, True, ""))
    assert lane.mode == "remote"


def test_the_same_tag_on_two_vehicles_is_flagged_on_both() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.wait(6)
    lane.on(Zone.A)
    lane.wait(0.3)
    sightings = [e.sighting for e in lane.journal if isinstance(e, SightingChanged)]
    again = replace(sightings[0], sighting_id="second", peak=lane.at, first=lane.at, last=lane.at)
    lane.feed(SightingChanged(lane.at, again))
    assert all(Flag.DUPLICATE_IDENTITY in c.flags for c in lane.state.conveyances)


def test_a_restart_with_a_truck_over_x_keeps_it_one_truck() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(5)
    lane.zones((Zone.S, False), (Zone.BEAM, False))
    lane.wait(7)
    lane.on(Zone.X)
    lane.feed(Started(lane.at, "boot-2", b"s"))
    lane.session += 1
    lane.zones()
    assert [c.conveyance_id for c in lane.state.conveyances] == [truck.conveyance_id]
    lane.wait(3)
    lane.off(Zone.X)
    assert [b.conveyance_id for b in lane.bundles] == [truck.conveyance_id]


def test_a_truck_that_left_while_the_agent_was_down_does_not_take_the_next_ones_exit() -> None:
    lane = Lane().start()
    gone = lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(2)
    lane.now += 20
    lane.levels = dict.fromkeys(Zone, False)
    lane.feed(Started(lane.at, "boot-2", b"s"))
    lane.session += 1
    lane.zones()
    lane.act(ActKind.CONFIRM_ORDER)
    lane.wait(5)
    following = lane.arrive("t2")
    lane.drive_to_line()
    lane.pass_line()
    assert [b.conveyance_id for b in lane.bundles] == [gone.conveyance_id, following.conveyance_id]
    assert [b.times.x_tail is None for b in lane.bundles] == [True, False]


def test_an_order_seen_before_a_vehicle_came_is_not_confirmed() -> None:
    lane = Lane().start(order_known=False)
    seen = lane_etag(lane.state)
    lane.arrive()
    assert lane.act(ActKind.CONFIRM_ORDER, etag=seen).result is ActResult.FAILED_PRECONDITION
    assert lane.first.outcome is None
    named = (lane.first.conveyance_id,)
    now = lane_etag(lane.state)
    assert lane.act(ActKind.CONFIRM_ORDER, etag=now, confirmed_order=named).result is ActResult.OK


def restarted(lane: Lane) -> None:
    """The agent is killed and comes back; the zones are as they were."""
    lane.wait(2.0)
    lane.feed(Started(lane.at, f"boot-{lane.now}", b"next"))
    lane.session += 1
    lane.zones()


def test_what_a_chattering_sensor_made_up_is_over_when_an_officer_sees_nobody() -> None:
    """Were each taken for one that has crossed unseen, the lane would count as occupied for minutes with each."""
    lane = Lane().start()
    for _ in range(12):
        lane.on(Zone.D)
        lane.wait(1.0)
        lane.off(Zone.D)
        lane.wait(1.0)
    assert len(lane.state.conveyances) == 12
    restarted(lane)
    assert lane.act(ActKind.CONFIRM_ORDER).result is ActResult.OK
    assert lane.state.conveyances == ()
    assert {bundle.outcome for bundle in lane.bundles} == {Outcome.ABANDONED}
    assert all(Flag.UNPROVEN in bundle.flags for bundle in lane.bundles)


def test_one_that_may_have_crossed_while_no_agent_was_alive_is_given_up_by_the_time_since_then() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.wait(4.0)
    lane.on(Zone.D)
    lane.wait(6.5)
    lane.off(Zone.D)
    restarted(lane)
    began = lane.now
    bound_s = 2.0 * clearing_s(GEOMETRY, KINEMATICS)
    lane.wait(40.0)
    assert lane.act(ActKind.CONFIRM_ORDER).result is ActResult.OK
    assert [conveyance.flags for conveyance in lane.state.conveyances if Flag.DOUBTFUL in conveyance.flags]
    other = lane.arrive("t2")
    lane.act(ActKind.CONFIRM_ORDER)
    assert [bundle.conveyance_id for bundle in lane.bundles] == [other.conveyance_id]
    lane.wait(began + bound_s - lane.now - 0.1)
    assert len(lane.bundles) == 1
    lane.wait(0.2)
    assert len(lane.bundles) == 2, "nobody who was upstream of the line has kept it there"


def test_while_the_order_is_unknown_a_hold_on_one_holds_whoever_is_first() -> None:
    lane = Lane()
    lane.levels[Zone.S] = True
    lane.start(order_known=False)
    found = lane.first
    lane.arrive()
    held = next(c for c in lane.state.conveyances if c.conveyance_id != found.conveyance_id)
    assert lane.act(ActKind.HOLD_CONVEYANCE, of=held).result is ActResult.OK
    lane.wait(10)
    assert lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first).result is ActResult.OK
    assert lane.green == "", "it may be the vehicle that is held"
    assert CauseCode.HOLD in {cause.code for cause in red_causes(lane.state, lane.at)}
    assert lane.act(ActKind.CLEAR_HOLD, conveyance_id=held.conveyance_id).result is ActResult.OK
    assert lane.green == found.conveyance_id
