"""Zone inputs are back after a restart or a loss: who is where now, and who is not who was there before."""

from dataclasses import replace

from edge_agent.model.conveyance import Flag, Outcome
from edge_agent.model.decision import ActKind, ActResult
from edge_agent.model.identity import IdentityClaim, IdentityKind, Sighting
from edge_agent.model.inputs import SightingChanged, Started, ZonesLost
from edge_agent.model.lane import Zone, ZoneSpan

from .story import CONFIG, GEOMETRY, Lane


def restart(lane: Lane, *now: Zone, after: float) -> None:
    """A new life finds exactly these zones occupied, so long after the last sign of the old one."""
    lane.now = round(lane.now + after, 6)
    lane.levels = {zone: zone in now for zone in Zone}
    lane.feed(Started(lane.at, f"boot-{lane.now}", b"s"))
    lane.session += 1
    lane.zones()


def over(lane: Lane, zone: Zone) -> list[int]:
    """Orders of detection of the vehicles over a zone."""
    return [track.conveyance.order for track in lane.state.tracks if zone in track.over]


def test_a_truck_that_stood_at_the_line_before_a_restart_stands_there_after_it() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.drive_to_line()
    lane.wait(8)
    lane.feed(Started(lane.at, "boot-2", b"s"))
    lane.session += 1
    lane.zones()
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(truck.conveyance_id,))
    lane.wait(8)
    assert lane.green == ""
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    assert lane.green == truck.conveyance_id
    lane.pass_line()
    assert [b.outcome for b in lane.bundles] == [Outcome.RELEASED_STOPPED]


def test_a_truck_that_crossed_unseen_and_is_still_over_the_loop_does_not_stand_at_the_line() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.drive_to_line()
    lane.feed(Started(lane.at, "boot-2", b"s"))
    lane.levels[Zone.BEAM] = True
    lane.session += 1
    lane.zones()
    assert [c.conveyance_id for c in lane.state.conveyances] == [truck.conveyance_id]
    assert lane.state.first_upstream is None


def test_after_a_long_outage_a_truck_cannot_be_over_two_zones_farther_apart_than_it_is_long() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.wait(4)
    lane.on(Zone.D)
    restart(lane, Zone.D, Zone.S, after=11)
    assert (over(lane, Zone.S), over(lane, Zone.D)) == ([1], [2])
    assert len(lane.state.tracks) == 2
    lane.arrive("t3")
    assert [c.order for c in lane.state.conveyances] == [1, 2, 3]


def test_the_truck_between_the_zones_has_taken_the_place_of_the_one_that_moved_on() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(2)
    lane.arrive("t2")
    restart(lane, Zone.D, Zone.S, after=5)
    assert (over(lane, Zone.S), over(lane, Zone.D)) == ([1], [2])


def test_after_a_long_outage_who_is_over_a_is_not_taken_for_the_rolling_truck_that_was() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(2)
    lane.identify("t1")
    restart(lane, Zone.A, after=12)
    assert over(lane, Zone.A) == [2]
    lane.wait(1)
    lane.identify("t2")
    first, _ = lane.state.conveyances
    assert {a.sighting.claim.token for a in first.assignments} <= {"t1-card", "t1-tag"}


def test_a_truck_that_waits_over_a_behind_another_is_the_same_after_any_outage() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(3)
    lane.on(Zone.A)
    lane.wait(3)
    restart(lane, Zone.A, Zone.D, after=60)
    assert (over(lane, Zone.D), over(lane, Zone.A)) == ([1], [2])
    lane.wait(60)
    restart(lane, Zone.A, after=1000)
    assert over(lane, Zone.A) == [2]


def test_who_had_green_before_a_long_outage_is_not_taken_for_who_stands_at_the_line_after_it() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    assert lane.green
    lane.wait(1)
    restart(lane, Zone.S, after=30)
    assert over(lane, Zone.S) == [2]
    assert lane.green == ""


def test_an_outage_of_another_boot_of_the_computer_counts_as_long() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(1)
    lane.levels[Zone.A] = True
    at = replace(lane.at, utc_ns=lane.at.utc_ns + 600 * 10**9)
    lane.feed(Started(at, "boot-2", b"s"))
    lane.session += 1
    lane.zones()
    assert over(lane, Zone.A) == [2]


def test_after_a_long_loss_of_inputs_who_had_green_may_have_gone() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    lane.feed(ZonesLost(lane.at, "IO_LINK_LOST"))
    lane.wait(20)
    lane.zones()
    assert over(lane, Zone.S) == [2]
    assert lane.green == ""


def test_past_the_line_the_follower_has_taken_the_place_at_x() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(5)
    lane.zones((Zone.S, False), (Zone.BEAM, False))
    lane.arrive("t2")
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.X)
    lane.on(Zone.BEAM)
    restart(lane, Zone.X, after=12)
    assert over(lane, Zone.X) == [2]
    assert [b.order for b in lane.bundles] == [1]


def test_who_crossed_unseen_and_is_not_named_on_camera_is_sealed_at_its_exit() -> None:
    lane = Lane().start()
    truck = lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    restart(lane, after=9)
    assert lane.act(ActKind.CONFIRM_ORDER).result is ActResult.OK
    assert lane.bundles == []
    assert lane.state.first_upstream is None
    lane.wait(2)
    lane.on(Zone.X)
    lane.wait(4)
    lane.off(Zone.X)
    (bundle,) = lane.bundles
    assert bundle.conveyance_id == truck.conveyance_id
    assert bundle.times.x_tail is not None
    assert bundle.outcome is Outcome.UNRESOLVED
    assert [i.act for i in bundle.interventions] == ["take_control", "confirm_order"]
    assert lane.order_known()


def test_who_crossed_unseen_and_comes_to_x_before_the_officer_looked_has_one_record() -> None:
    lane = Lane().start()
    truck = lane.arrive("t1")
    lane.decide()
    lane.wait(4)
    lane.on(Zone.D)
    restart(lane, after=12)
    lane.on(Zone.X)
    lane.wait(4)
    lane.off(Zone.X)
    assert [b.conveyance_id for b in lane.bundles] == [truck.conveyance_id]
    assert lane.state.tracks == ()


def test_who_is_taken_for_past_the_line_and_never_exits_is_sealed_in_time_and_takes_nobodys_exit() -> None:
    lane = Lane().start()
    gone = lane.arrive("t1")
    restart(lane, after=9)
    lane.act(ActKind.CONFIRM_ORDER)
    assert lane.bundles == []
    following = lane.arrive("t2")
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    assert [b.conveyance_id for b in lane.bundles] == [gone.conveyance_id, following.conveyance_id]
    assert Flag.SENSOR_FAULT in lane.bundles[0].flags
    restart(lane, after=1)
    lane.arrive("t3")
    restart(lane, after=9)
    lane.act(ActKind.CONFIRM_ORDER)
    lane.wait(95)
    assert len(lane.bundles) == 3
    assert lane.order_known(), "the officer has said that it is not upstream of the line"


def test_who_is_not_named_long_after_the_gap_or_behind_another_is_sealed_as_not_there() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.arrive("t2")
    restart(lane, after=9)
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(lane.first.conveyance_id,))
    assert [b.outcome for b in lane.bundles] == [Outcome.ABANDONED]
    lane.wait(60)
    lane.act(ActKind.CONFIRM_ORDER)
    assert [b.outcome for b in lane.bundles] == [Outcome.ABANDONED] * 2


def test_who_rolled_on_green_when_the_agent_died_is_not_accused_and_who_had_none_is() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.decide()
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(6)
    assert lane.green
    restart(lane, after=1)
    lane.on(Zone.S)
    lane.wait(1)
    lane.on(Zone.BEAM)
    assert Flag.VIOLATION not in lane.state.conveyances[0].flags
    lane.wait(5)
    lane.off(Zone.S)
    lane.off(Zone.BEAM)
    lane.arrive("t2")
    lane.drive_to_line()
    restart(lane, Zone.S, after=1)
    lane.on(Zone.BEAM)
    assert Flag.VIOLATION in lane.state.conveyances[1].flags


def test_a_tag_of_who_stands_at_the_advance_loop_is_not_given_to_who_was_found_far_ahead_after_a_gap() -> None:
    """Of the truck ahead only a tail was seen since: by that alone it may have been anywhere."""
    lane = Lane().start()
    ahead = lane.arrive("t1")
    lane.wait(4)
    lane.on(Zone.D)
    restart(lane, Zone.D, after=5)
    lane.wait(2)
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.see("t2-tag", IdentityKind.TRANSPONDER)
    lane.wait(18)
    lane.off(Zone.D)
    lane.wait(0.2)
    lane.see("t2-tag", IdentityKind.TRANSPONDER, reads=50, ago=6.2)
    found = {c.conveyance_id: {a.sighting.claim.token for a in c.assignments} for c in lane.state.conveyances}
    assert found[ahead.conveyance_id] == {"t1-card", "t1-tag"}
    assert {"t2-tag"} in found.values()


def test_who_was_due_at_x_in_the_gap_has_left_when_the_one_that_crossed_in_it_comes_there() -> None:
    lane = Lane().start()
    first = lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    second = lane.arrive("t2")
    lane.zones((Zone.S, False), (Zone.BEAM, False))
    lane.decide(of=second)
    restart(lane, after=20)
    assert lane.act(ActKind.CONFIRM_ORDER).result is ActResult.OK
    lane.wait(3)
    lane.on(Zone.X)
    assert [b.conveyance_id for b in lane.bundles] == [first.conveyance_id]
    lane.wait(6)
    lane.off(Zone.X)
    assert [b.conveyance_id for b in lane.bundles] == [first.conveyance_id, second.conveyance_id]
    assert lane.bundles[1].times.x_tail is not None


def test_who_was_seen_to_cross_is_at_x_sooner_than_two_ahead_of_it_that_nobody_saw() -> None:
    """Whoever crossed in the gap may come to X at any pace, or never; the third comes just when it must."""
    lane = Lane().start()
    lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    second = lane.arrive("t2")
    lane.zones((Zone.S, False), (Zone.BEAM, False))
    lane.decide(of=second)
    restart(lane, after=20)
    assert lane.act(ActKind.CONFIRM_ORDER).result is ActResult.OK
    third = lane.arrive("t3")
    lane.drive_to_line()
    lane.wait(8)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    lane.on(Zone.BEAM)
    lane.wait(5.0)
    lane.off(Zone.S)
    lane.wait(1.0)
    lane.off(Zone.BEAM)
    lane.wait(7.0)
    assert len(lane.state.tracks) == 3
    lane.on(Zone.X)
    assert [track.id for track in lane.state.tracks] == [third.conveyance_id]


def test_a_nose_too_far_ahead_of_who_is_found_over_a_is_that_of_one_nobody_has_seen() -> None:
    """Between A and D during the outage; the zones are farther apart than the longest vehicle is long."""
    lane = Lane(config=replace(CONFIG, geometry=replace(GEOMETRY, d=ZoneSpan(-30.0, -28.0)))).start()
    restart(lane, Zone.A, after=11)
    lane.wait(0.1)
    lane.on(Zone.D)
    assert (over(lane, Zone.D), over(lane, Zone.A)) == ([2], [1])
    assert [track.conveyance.order for track in lane.state.tracks] == [2, 1]


def test_what_is_read_of_one_that_stands_over_a_is_not_given_to_one_ahead_that_nobody_saw_go_there() -> None:
    geometry = replace(GEOMETRY, antennas=(*GEOMETRY.antennas, ("rfid-1", 2, ZoneSpan(-7.0, 1.0))))
    lane = Lane(config=replace(CONFIG, geometry=geometry)).start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    lane.wait(1)
    restart(lane, after=11)
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(lane.first.conveyance_id,))
    lane.wait(1)
    lane.on(Zone.A)
    lane.wait(16)
    heard, claim = lane.at, IdentityClaim(IdentityKind.TRANSPONDER, "t2-tag", b"", "", "rfid-1/1", 0.98)
    sighting = Sighting("late-t2-tag", claim, "rfid-1", 1, 99, -4600, heard, heard, heard)
    lane.feed(SightingChanged(lane.at, sighting))
    lane.wait(9)
    lane.on(Zone.S)
    lane.wait(5)
    lane.off(Zone.A)
    lane.wait(1)
    first, second = lane.state.conveyances
    assert all("t2-tag" not in {a.sighting.claim.token for a in c.assignments} for c in (first, second))
    assert all("t2-tag" in {d.sighting.claim.token for d in c.doubtful} for c in (first, second))
