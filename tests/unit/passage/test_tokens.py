"""What the lane remembers of identities: passback, copies, other lanes, late cards. Flags, never a red light."""

from dataclasses import replace

from edge_agent.model.conveyance import Conveyance, Flag
from edge_agent.model.effects import AddSupplement
from edge_agent.model.identity import IdentityClaim, IdentityKind, Sighting
from edge_agent.model.inputs import SeenElsewhere, SightingChanged
from edge_agent.model.lane import LanePolicy, Zone
from edge_agent.passage.tokens import MOST_TOKENS
from edge_agent.wire.journal import decode_input, decode_record, encode_input, encode_record

from .story import CONFIG, UTC0, Lane

ELSEWHERE = "ports/0453/lanes/08"


def gone(lane: Lane, name: str) -> str:
    """A truck passes; returns its conveyance id."""
    truck = lane.arrive(name)
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    return truck.conveyance_id


def again(lane: Lane, name: str) -> Conveyance:
    """A truck comes with the identities of one that was here before, seen anew."""
    lane.on(Zone.A)
    lane.wait(0.4)
    chip(lane, f"{name}-card", "", IdentityKind.DRIVER_CARD, f"card at {lane.now}")
    chip(lane, f"{name}-tag", "", IdentityKind.TRANSPONDER, f"tag at {lane.now}")
    assert len(lane.first.assignments) == 2
    return lane.first


def chip(lane: Lane, token: str, tid: str, kind: IdentityKind = IdentityKind.TRANSPONDER, sighting: str = "s") -> None:
    """A tag read with its chip number."""
    claim = IdentityClaim(kind, token, b"", "", "rfid-1/1", tid_token=tid)
    at = lane.at
    lane.feed(SightingChanged(at, Sighting(sighting, claim, "rfid-1", 1, 5, -5200, at, at, at)))


def test_a_card_that_comes_back_too_soon_is_flagged_and_not_refused() -> None:
    lane = Lane().start()
    gone(lane, "t1")
    lane.wait(120, pace=1.0)
    truck = again(lane, "t1")
    assert Flag.PASSBACK in truck.flags
    assert lane.events.count("IDENTITY_PASSBACK") == 1
    lane.decide()
    assert lane.green == truck.conveyance_id


def test_a_card_that_comes_back_later_is_not_flagged() -> None:
    lane = Lane().start()
    gone(lane, "t1")
    lane.wait(600, pace=1.0)
    assert again(lane, "t1").flags == ()


def test_passback_can_be_switched_off() -> None:
    lane = Lane(replace(CONFIG, policy=LanePolicy(passback_s=0.0))).start()
    gone(lane, "t1")
    lane.wait(70, pace=1.0)
    assert again(lane, "t1").flags == ()


def test_another_chip_behind_the_same_number_is_flagged_and_not_refused() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    chip(lane, "tag", "chip-1")
    lane.wait(6.8)
    lane.off(Zone.A)
    assert lane.first.flags == ()
    lane.drive_to_line()
    lane.pass_line()
    lane.wait(700, pace=1.0)
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.see("card")
    chip(lane, "tag", "chip-2", sighting="s2")
    assert Flag.TID_MISMATCH in lane.first.flags
    assert lane.events.count("IDENTITY_TID_MISMATCH") == 1
    lane.decide()
    assert lane.green == lane.first.conveyance_id


def test_two_chips_of_one_number_in_one_window_are_flagged() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    chip(lane, "tag", "")
    chip(lane, "tag", "chip-1")
    assert Flag.TID_MISMATCH not in lane.first.flags
    chip(lane, "tag", "chip-2")
    assert Flag.TID_MISMATCH in lane.first.flags


def test_a_chip_not_read_is_no_mismatch() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    chip(lane, "tag", "chip-1")
    chip(lane, "tag", "", sighting="again")
    assert lane.first.flags == ()


def test_another_lane_is_told_of_on_the_passage_once_and_does_not_turn_the_light() -> None:
    lane = Lane().start()
    truck = lane.arrive("t1")
    told = SeenElsewhere(lane.at, truck.conveyance_id, "t1-card", ELSEWHERE, UTC0, -6100)
    lane.feed(told)
    lane.feed(told)
    assert Flag.SEEN_ELSEWHERE in lane.first.flags
    assert lane.events.count("IDENTITY_SEEN_ELSEWHERE") == 1
    lane.decide()
    assert lane.green == truck.conveyance_id


def test_another_lane_is_told_of_in_a_supplement_when_the_truck_has_gone() -> None:
    lane = Lane().start()
    name = gone(lane, "t1")
    lane.feed(SeenElsewhere(lane.at, name, "t1-tag", ELSEWHERE, UTC0, 0))
    (supplement,) = (e for e in lane.of(AddSupplement) if isinstance(e, AddSupplement))
    assert supplement.kind == "seen_elsewhere"
    assert supplement.bundle_id == lane.bundles[0].bundle_id
    assert dict(supplement.facts)["lane"] == ELSEWHERE
    assert "t1-tag" not in str(supplement.facts)


def test_what_central_tells_of_strangers_changes_nothing() -> None:
    lane = Lane().start()
    truck = lane.arrive("t1")
    before = lane.state
    lane.feed(SeenElsewhere(lane.at, truck.conveyance_id, "another", ELSEWHERE, UTC0, 0))
    lane.feed(SeenElsewhere(lane.at, "nobody", "t1-card", ELSEWHERE, UTC0, 0))
    assert lane.state is before


def test_a_card_shown_after_the_lane_had_asked_is_flagged_late() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.see("tag", IdentityKind.TRANSPONDER)
    lane.see("card")
    assert Flag.LATE_CARD not in lane.first.flags
    lane.see("second")
    assert Flag.LATE_CARD in lane.first.flags


def test_the_memory_is_bounded_and_outlives_a_checkpoint() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    chip(lane, "first", "chip-1")
    lane.wait(6.8)
    lane.off(Zone.A)
    lane.wait(0.2)
    kept = decode_record(type(lane.state), encode_record(replace(lane.state, config=CONFIG)))
    assert kept.tokens == lane.state.tokens
    assert kept.tokens["first"].tid_token == "chip-1"
    many = {f"t{n}": kept.tokens["first"] for n in range(MOST_TOKENS)}
    lane.state = replace(lane.state, tokens=many)
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.see("one more")
    assert len(lane.state.tokens) == MOST_TOKENS
    assert "t0" not in lane.state.tokens


def test_what_central_tells_is_journalled() -> None:
    lane = Lane()
    told = SeenElsewhere(lane.at, "c", "t", ELSEWHERE, UTC0, -6100)
    assert decode_input(encode_input(told)) == told
