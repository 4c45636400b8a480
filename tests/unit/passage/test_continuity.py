"""A record that may be of two vehicles claims nothing that was read; one that a tag ties together claims all of it."""

import pytest

from edge_agent.model.conveyance import Conveyance, Flag
from edge_agent.model.decision import ActKind
from edge_agent.model.identity import IdentityClaim, IdentityKind, Sighting
from edge_agent.model.inputs import SightingChanged, ZonesLost
from edge_agent.model.lane import Zone

from .story import Lane
from .test_resync import restart
from .test_reunion import lane_with_two_antennas, read_at_line, tokens


def read_transponder_at_line(lane: Lane, token: str) -> None:
    claim = IdentityClaim(IdentityKind.TRANSPONDER, token, b"", "", "rfid-1/2", 0.98)
    sighting = Sighting(f"line-{token}", claim, "rfid-1", 2, 9, -4800, lane.at, lane.at, lane.at)
    lane.feed(SightingChanged(lane.at, sighting))


def kept(conveyance: Conveyance) -> set[str]:
    return {a.sighting.claim.token for a in conveyance.doubtful}


def without_d(lane: Lane) -> None:
    """From A's tail to the stop line, under a decision loop that sees nothing."""
    lane.wait(15.5)
    lane.on(Zone.S)


def test_a_truck_that_a_loop_missed_is_itself_when_its_card_is_read_on_both_sides() -> None:
    lane = lane_with_two_antennas()
    lane.arrive("t1")
    without_d(lane)
    assert not lane.order_known()
    read_at_line(lane, "t1-card")
    lane.pass_line()
    (bundle,) = lane.bundles
    assert tokens(bundle) == {"t1-card", "t1-tag"}
    assert Flag.MIXED not in bundle.flags


@pytest.mark.parametrize("read", [True, False])
def test_a_record_that_a_loop_s_miss_has_torn_claims_nothing_when_no_tag_ties_it_together(read: bool) -> None:
    """Who came over A, and who stands at the line, with the same card or none: it may be two trucks."""
    lane = lane_with_two_antennas()
    lane.arrive("t1")
    without_d(lane)
    if read:
        read_at_line(lane, "t2-card")
    lane.pass_line()
    (bundle,) = lane.bundles
    assert Flag.MIXED in bundle.flags
    assert bundle.assignments == ()
    assert kept(bundle) == {"t1-card", "t1-tag", *(["t2-card"] if read else [])}


def test_a_card_read_on_at_the_loop_where_the_inputs_found_it_again_ties_it_together() -> None:
    """One sighting that spans the gap in the zone inputs, by the antenna over the loop that it stands on."""
    lane = lane_with_two_antennas()
    lane.arrive("t1")
    lane.drive_to_line()
    read_at_line(lane, "t1-card")
    lane.feed(ZonesLost(lane.at, "timeout"))
    lane.now += 9.0
    lane.zones()
    track = lane.state.tracks[0]
    assert track.torn is not None
    read_at_line(lane, "t1-card")
    assert lane.state.tracks[0].torn is None


def test_a_card_read_on_where_the_vehicle_is_not_any_more_ties_nothing() -> None:
    lane = lane_with_two_antennas()
    lane.arrive("t1")
    without_d(lane)
    lane.see("t1-card", reads=9)
    assert lane.state.tracks[0].torn is not None


def test_who_has_rolled_on_while_nobody_was_alive_and_is_not_read_again_claims_nothing() -> None:
    lane = lane_with_two_antennas()
    truck = lane.arrive("t1")
    restart(lane, Zone.S, after=20)
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(truck.conveyance_id,))
    lane.pass_line()
    (bundle,) = lane.bundles
    assert Flag.MIXED in bundle.flags
    assert bundle.assignments == ()


def test_who_is_lost_from_sight_and_never_seen_again_keeps_what_was_read_of_it() -> None:
    """Nothing has come on its record since: there is no second vehicle on it."""
    lane = Lane().start()
    lane.arrive("t1")
    restart(lane, after=20)
    lane.wait(901, pace=1.0)
    (bundle,) = lane.bundles
    assert tokens(bundle) == {"t1-card", "t1-tag"}
    assert Flag.MIXED not in bundle.flags


@pytest.mark.parametrize("order_known", [True, False])
def test_two_transponders_on_one_record_are_claimed_unless_the_order_was_in_doubt(order_known: bool) -> None:
    """A tractor and its trailer may have one each; in a corridor whose order is in doubt they may be two vehicles'."""
    lane = lane_with_two_antennas(order_known=order_known)
    lane.arrive("t1")
    lane.drive_to_line()
    read_transponder_at_line(lane, "t1-trailer")
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    lane.pass_line()
    (bundle,) = lane.bundles
    both = {"t1-card", "t1-tag", "t1-trailer"}
    assert (Flag.MIXED in bundle.flags) is not order_known
    assert tokens(bundle) == (both if order_known else set())
    assert kept(bundle) == (set() if order_known else both)


def test_a_pulse_too_short_for_a_vehicle_makes_no_record_another_s_tags_its_own() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.1)
    lane.off(Zone.A)
    lane.identify("t1")
    assert lane.state.tracks[0].conveyance.assignments
    lane.wait(901, pace=1.0)
    (bundle,) = lane.bundles
    assert Flag.MIXED in bundle.flags
    assert kept(bundle) == {"t1-card", "t1-tag"}


def test_what_came_between_two_tears_is_not_tied_to_either_by_what_is_read_later() -> None:
    """A pulse too short for a vehicle, then tags, then a gap: the same tags after it say nothing of the pulse."""
    lane = lane_with_two_antennas()
    lane.on(Zone.A)
    lane.wait(0.1)
    lane.off(Zone.A)
    lane.identify("t1")
    lane.drive_to_line()
    lane.feed(ZonesLost(lane.at, "timeout"))
    lane.now += 9.0
    lane.zones()
    read_at_line(lane, "t1-card")
    lane.pass_line()
    (bundle,) = lane.bundles
    assert Flag.MIXED in bundle.flags
    assert bundle.assignments == ()


def test_a_tear_lasts_over_a_restart() -> None:
    lane = lane_with_two_antennas()
    truck = lane.arrive("t1")
    without_d(lane)
    restart(lane, Zone.S, after=0.5)
    torn = lane.state.tracks[0].torn
    assert torn is not None
    assert torn.times == truck.times
    read_at_line(lane, "t1-card")
    assert lane.state.tracks[0].torn is None


def test_a_pulse_of_the_beam_and_a_vehicle_at_x_are_not_known_to_be_the_same() -> None:
    lane = Lane().start()
    lane.zones((Zone.S, True), (Zone.BEAM, True))
    lane.wait(0.1)
    lane.zones((Zone.S, False), (Zone.BEAM, False))
    lane.wait(7)
    lane.on(Zone.X)
    lane.wait(6)
    lane.off(Zone.X)
    assert [Flag.MIXED in bundle.flags for bundle in lane.bundles] == [True]


@pytest.mark.parametrize("order_known", [True, False])
def test_the_same_card_on_two_records_is_claimed_by_neither_while_the_order_is_in_doubt(order_known: bool) -> None:
    """With the order known it is two vehicles with one card, which is flagged; else it may be one vehicle twice."""
    lane = Lane().start(order_known=order_known)
    lane.arrive("t1")
    lane.drive_to_line()
    lane.on(Zone.A)
    lane.wait(0.4)
    claim = IdentityClaim(IdentityKind.DRIVER_CARD, "t1-card", b"", "", "rfid-1/1", 0.98)
    lane.feed(SightingChanged(lane.at, Sighting("again", claim, "rfid-1", 1, 9, -5200, lane.at, lane.at, lane.at)))
    lane.wait(7)
    lane.off(Zone.A)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    lane.pass_line()
    lane.drive_to_line()
    lane.wait(8)
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    lane.pass_line()
    assert all(Flag.DUPLICATE_IDENTITY in bundle.flags for bundle in lane.bundles)
    assert [Flag.MIXED in bundle.flags for bundle in lane.bundles] == [not order_known] * 2
    assert ["t1-card" in tokens(bundle) for bundle in lane.bundles] == [order_known] * 2


def test_what_a_mixed_record_did_not_claim_may_be_the_next_one_s() -> None:
    lane = lane_with_two_antennas(order_known=False)
    lane.arrive("t1")
    lane.drive_to_line()
    read_transponder_at_line(lane, "t2-tag")
    lane.pass_line()
    second = lane.arrive(None)
    lane.wait(120, pace=1.0)
    track = lane.state.track(second.conveyance_id)
    assert track is not None
    lane.drive_to_line()
    claim = IdentityClaim(IdentityKind.TRANSPONDER, "t2-tag", b"", "", "rfid-1/2", 0.98)
    lane.feed(SightingChanged(lane.at, Sighting("later", claim, "rfid-1", 2, 9, -4800, lane.at, lane.at, lane.at)))
    lane.pass_line()
    first, then = lane.bundles
    assert Flag.MIXED in first.flags
    assert Flag.MIXED not in then.flags
    assert tokens(then) == {"t2-tag"}
