"""Who stands at the stop line when the order is in doubt: known again by tags, or given to nobody."""

from dataclasses import replace

from edge_agent.model.conveyance import Conveyance, Flag, Outcome
from edge_agent.model.decision import ActKind, Verdict
from edge_agent.model.identity import IdentityClaim, IdentityKind, Sighting
from edge_agent.model.inputs import SightingChanged, ZonesLost
from edge_agent.model.lane import Zone, ZoneSpan

from .story import CONFIG, GEOMETRY, Lane
from .test_resync import restart

AT_LINE = ("rfid-1", 2, ZoneSpan(-7.0, 1.0))


def lane_with_two_antennas(*, order_known: bool = True) -> Lane:
    geometry = replace(GEOMETRY, antennas=(*GEOMETRY.antennas, AT_LINE))
    return Lane(config=replace(CONFIG, geometry=geometry)).start(order_known=order_known)


def read_at_line(lane: Lane, token: str) -> None:
    """The antenna at the stop line reads a driver's card."""
    claim = IdentityClaim(IdentityKind.DRIVER_CARD, token, b"", "", "rfid-1/2", 0.98)
    sighting = Sighting(f"line-{token}", claim, "rfid-1", 2, 9, -4800, lane.at, lane.at, lane.at)
    lane.feed(SightingChanged(lane.at, sighting))


def tokens(conveyance: Conveyance) -> set[str]:
    return {a.sighting.claim.token for a in conveyance.assignments}


def test_a_record_that_begins_at_the_line_is_the_next_truck_s_when_its_tag_is_read_there() -> None:
    lane = lane_with_two_antennas(order_known=False)
    truck = lane.arrive("t1")
    lane.wait(16)
    lane.on(Zone.S)
    assert len(lane.state.tracks) == 2, "the decision loop has shown nobody"
    read_at_line(lane, "t1-card")
    (track,) = list(lane.state.tracks)
    assert track.id == truck.conveyance_id
    assert track.over == (Zone.S,)
    assert track.suspect, "its identity proves nothing until somebody looks"
    assert tokens(track.conveyance) == {"t1-card", "t1-tag"}
    (nobody,) = lane.bundles
    assert Flag.UNPROVEN in nobody.flags
    assert nobody.assignments == ()


def test_a_card_of_a_truck_that_is_elsewhere_makes_no_record_at_the_line_its_own() -> None:
    lane = lane_with_two_antennas(order_known=False)
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    lane.wait(16)
    lane.on(Zone.S)
    read_at_line(lane, "t1-card")
    assert len(lane.state.tracks) == 2, "it is over A still"
    assert lane.bundles == []


def reversed_at_line(lane: Lane) -> tuple[Conveyance, Conveyance]:
    """One stood at the line and is not seen there any more; the next one comes over the stop loop."""
    first = lane.arrive("t1")
    lane.drive_to_line()
    lane.wait(8)
    second = lane.arrive("t2")
    lane.wait(4)
    lane.on(Zone.D)
    lane.off(Zone.S)
    lane.wait(6)
    lane.off(Zone.D)
    lane.wait(5)
    lane.on(Zone.S)
    return first, second


def test_who_comes_to_the_line_after_one_was_lost_there_keeps_its_tags_and_the_lost_record_ends() -> None:
    """It left by the side with a release in its hand, say."""
    lane = lane_with_two_antennas()
    first, second = reversed_at_line(lane)
    read_at_line(lane, "t2-card")
    (gone,) = lane.bundles
    assert gone.conveyance_id == first.conveyance_id
    assert tokens(gone) == {"t1-card", "t1-tag"}
    assert Flag.DOUBTFUL in gone.flags
    assert lane.first.conveyance_id == second.conveyance_id
    assert tokens(lane.first) == {"t2-card", "t2-tag"}
    assert lane.state.tracks[0].over == (Zone.S,)
    assert lane.green == ""


def test_an_unknown_card_where_one_was_lost_from_sight_is_nobodys_until_an_officer_has_looked() -> None:
    lane = lane_with_two_antennas()
    first, second = reversed_at_line(lane)
    read_at_line(lane, "stranger")
    assert all("stranger" not in tokens(conveyance) for conveyance in lane.state.conveyances)
    assert Flag.AMBIGUOUS in lane.first.flags
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(first.conveyance_id, second.conveyance_id))
    read_at_line(lane, "another")
    assert "another" in tokens(lane.first)


def test_one_that_backed_off_and_comes_again_is_known_by_its_own_card() -> None:
    lane = lane_with_two_antennas()
    truck = lane.arrive("t1")
    lane.drive_to_line()
    lane.wait(8)
    lane.off(Zone.S)
    lane.wait(5)
    lane.on(Zone.S)
    read_at_line(lane, "t1-card")
    assert lane.bundles == []
    assert lane.first.conveyance_id == truck.conveyance_id
    assert Flag.AMBIGUOUS not in lane.first.flags


def test_what_is_read_at_the_line_after_one_left_by_the_side_is_not_its_own() -> None:
    """Another one's presence keeps its record open."""
    lane = lane_with_two_antennas()
    aside = lane.arrive("t1")
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(11)
    lane.on(Zone.S)
    lane.wait(8)
    lane.act(ActKind.DIRECT_CONVEYANCE, of=lane.first, verdict=Verdict.MANUAL_LANE)
    lane.off(Zone.S)
    read_at_line(lane, "stranger")
    (track,) = lane.state.tracks
    assert track.id == aside.conveyance_id
    assert "stranger" not in tokens(track.conveyance)
    lane.off(Zone.D)
    (bundle,) = lane.bundles
    assert {Flag.DIVERTED, Flag.DOUBTFUL} <= set(bundle.flags)


def test_who_comes_to_the_line_while_the_decision_loop_is_stuck_is_the_next_one_in_whatever_order() -> None:
    lane = lane_with_two_antennas(order_known=False)
    lane.on(Zone.D)
    stuck = lane.state.tracks[0]
    lane.state = replace(lane.state, tracks=())
    truck = lane.arrive("t1")
    lane.wait(16)
    lane.on(Zone.S)
    (track,) = lane.state.tracks
    assert track.id == truck.conveyance_id != stuck.id
    assert Flag.SENSOR_FAULT in track.conveyance.flags


def test_the_loop_under_a_stuck_beam_is_the_next_truck_s_when_the_first_was_sent_aside() -> None:
    lane = lane_with_two_antennas()
    first = lane.arrive("t1")
    lane.drive_to_line()
    lane.wait(8)
    second = lane.arrive("t2")
    lane.act(ActKind.DIRECT_CONVEYANCE, of=lane.first, verdict=Verdict.MANUAL_LANE)
    lane.on(Zone.BEAM)
    lane.wait(4)
    lane.off(Zone.S)
    lane.on(Zone.D)
    lane.wait(9)
    lane.on(Zone.S)
    over = {track.id: track.over for track in lane.state.tracks}
    assert Zone.S in over[second.conveyance_id]
    assert Zone.S not in over[first.conveyance_id]


def test_a_truck_that_the_beam_called_back_from_its_green_is_not_accused_when_it_crosses() -> None:
    lane = lane_with_two_antennas()
    lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    lane.wait(8)
    for seconds in (0.3, 0.3):
        lane.on(Zone.BEAM)
        lane.wait(seconds)
        lane.off(Zone.BEAM)
        lane.wait(seconds)
    lane.wait(30)
    lane.pass_line()
    (bundle,) = lane.bundles
    assert bundle.outcome is not Outcome.VIOLATION
    assert Flag.DOUBTFUL in bundle.flags


def test_a_record_whose_times_no_vehicle_can_have_made_says_that_a_sensor_failed() -> None:
    """Over A still when it is at D, farther off than the longest vehicle is long: one of the two is another's."""
    geometry = replace(GEOMETRY, d=ZoneSpan(-30.0, -28.0))
    lane = Lane(config=replace(CONFIG, geometry=geometry)).start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    lane.decide()
    lane.wait(11)
    lane.on(Zone.D)
    lane.wait(1)
    lane.off(Zone.A)
    lane.wait(8)
    lane.off(Zone.D)
    lane.wait(1)
    lane.on(Zone.S)
    lane.wait(1)
    lane.pass_line()
    (bundle,) = lane.bundles
    assert Flag.SENSOR_FAULT in bundle.flags


def test_a_card_heard_before_the_loop_after_a_restart_is_not_the_truck_s_that_has_just_crossed() -> None:
    """Who was found over the decision loop has shown no edge yet, but may be under the antenna by now."""
    lane = lane_with_two_antennas()
    first = lane.arrive("t1")
    lane.drive_to_line()
    lane.wait(8)
    second = lane.arrive("t2")
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(1)
    restart(lane, Zone.D, Zone.S, Zone.BEAM, after=8)
    lane.off(Zone.S)
    lane.wait(0.2)
    lane.off(Zone.BEAM)
    lane.wait(1)
    read_at_line(lane, "t2-late-card")
    lane.wait(0.5)
    lane.on(Zone.S)
    lane.wait(2)
    have = {c.conveyance_id: tokens(c) for c in lane.state.conveyances}
    assert "t2-late-card" not in have[first.conveyance_id]
    assert second.conveyance_id in have


def test_what_one_zone_showed_with_another_s_tags_alone_is_unproven() -> None:
    """The advance loop dropped out under a truck: two records, and the tags may be on either."""
    lane = lane_with_two_antennas()
    lane.on(Zone.A)
    lane.wait(0.5)
    lane.off(Zone.A)
    lane.wait(1)
    lane.on(Zone.A)
    lane.see("t1-card", ago=-0.0)
    lane.wait(4)
    lane.off(Zone.A)
    lane.wait(4)
    real, again = lane.state.conveyances
    carrier = real if tokens(real) else again
    assert tokens(carrier) == {"t1-card"}
    lane.on(Zone.D)
    lane.wait(6)
    lane.off(Zone.D)
    lane.wait(4)
    lane.on(Zone.S)
    lane.wait(1)
    read_at_line(lane, "t1-card")
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    lane.wait(8)
    lane.pass_line()
    lane.wait(1000, pace=10.0)
    assert len(lane.bundles) == 2
    assert [Flag.UNPROVEN in bundle.flags for bundle in lane.bundles] == [False, True]


def test_one_sent_aside_from_a_stop_loop_that_was_stuck_has_left_it_when_it_comes_free() -> None:
    """Its own nose made no edge there; the antenna over the loop has read it."""
    lane = lane_with_two_antennas()
    lane.on(Zone.S)  # stuck: nobody has come
    lane.act(ActKind.CONFIRM_ORDER)
    lane.state = replace(lane.state, tracks=())
    truck = lane.arrive("t1")
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(6.5)
    lane.off(Zone.D)
    lane.wait(8)
    read_at_line(lane, "t1-card")
    lane.act(ActKind.DIRECT_CONVEYANCE, of=lane.first, verdict=Verdict.MANUAL_LANE)
    lane.off(Zone.S)
    (bundle,) = lane.bundles
    assert bundle.conveyance_id == truck.conveyance_id
    assert {Flag.DIVERTED, Flag.SENSOR_FAULT} <= set(bundle.flags)


def test_a_stop_loop_that_comes_free_says_nothing_of_a_truck_still_on_its_way() -> None:
    lane = lane_with_two_antennas()
    lane.on(Zone.S)
    lane.state = replace(lane.state, tracks=())
    truck = lane.arrive("t1")
    lane.wait(4)
    lane.on(Zone.D)
    lane.wait(6.5)
    lane.off(Zone.D)
    lane.wait(8)
    lane.off(Zone.S)
    (track,) = lane.state.tracks
    assert track.id == truck.conveyance_id
    assert Flag.REVERSED not in track.conveyance.flags


def test_after_a_gap_a_tag_that_another_vehicle_carries_is_not_taken_for_the_tag_of_who_was_at_the_line() -> None:
    lane = lane_with_two_antennas()
    first = lane.arrive("t1")
    lane.drive_to_line()
    second = lane.arrive("t2")
    lane.feed(ZonesLost(lane.at, "INPUTS_STALE"))
    lane.wait(2)
    lane.zones()
    read_at_line(lane, "t2-card")
    lane.wait(5)
    records = {c.conveyance_id: c for c in lane.state.conveyances}
    assert tokens(records[first.conveyance_id]) == {"t1-card", "t1-tag"}
    assert "t2-card" in tokens(records[second.conveyance_id])
    assert Flag.AMBIGUOUS in records[first.conveyance_id].flags, "kept with its rivals, for an officer"


def directed_before_a_restart(lane: Lane) -> tuple[Conveyance, Conveyance]:
    """One was sent aside from the line; another waited at the decision loop. A new life finds one truck at the line."""
    first = lane.arrive("t1")
    lane.drive_to_line()
    lane.wait(8)
    second = lane.arrive("t2")
    lane.wait(4)
    lane.on(Zone.D)
    lane.act(ActKind.DIRECT_CONVEYANCE, of=lane.first, verdict=Verdict.MANUAL_LANE)
    restart(lane, Zone.S, after=11)
    return first, second


def test_a_card_read_at_the_line_after_a_restart_ends_the_record_of_one_that_was_sent_aside_before_it() -> None:
    lane = lane_with_two_antennas()
    first, second = directed_before_a_restart(lane)
    read_at_line(lane, "t2-card")
    (gone,) = lane.bundles
    assert gone.conveyance_id == first.conveyance_id
    assert tokens(gone) == {"t1-card", "t1-tag"}
    assert {Flag.DIVERTED, Flag.DOUBTFUL} <= set(gone.flags)
    assert gone.outcome is Outcome.MANUAL, "where the officer had sent it"
    assert "CONVEYANCE_DIVERTED" in lane.events
    (track,) = lane.state.tracks
    assert track.id == second.conveyance_id
    assert track.over == (Zone.S,)


def test_one_that_leaves_as_it_was_directed_before_a_restart_ends_where_it_was_sent() -> None:
    lane = lane_with_two_antennas()
    first, _ = directed_before_a_restart(lane)
    lane.wait(3)
    lane.off(Zone.S)
    (gone,) = lane.bundles
    assert (gone.conveyance_id, gone.outcome) == (first.conveyance_id, Outcome.MANUAL)
    assert Flag.DIVERTED in gone.flags


def test_an_unknown_card_at_the_line_after_a_restart_is_not_that_of_a_truck_sent_aside_before() -> None:
    lane = lane_with_two_antennas()
    directed_before_a_restart(lane)
    read_at_line(lane, "stranger")
    assert all("stranger" not in tokens(conveyance) for conveyance in lane.state.conveyances)
    assert Flag.AMBIGUOUS in lane.first.flags


def test_a_truck_that_an_officer_sends_aside_after_the_restart_stays_the_one_at_the_line() -> None:
    lane = lane_with_two_antennas()
    first, _ = directed_before_a_restart(lane)
    lane.control()
    lane.act(ActKind.DIRECT_CONVEYANCE, of=lane.first, verdict=Verdict.MANUAL_LANE)
    read_at_line(lane, "t2-card")
    assert lane.bundles == []
    assert lane.state.tracks[0].id == first.conveyance_id
