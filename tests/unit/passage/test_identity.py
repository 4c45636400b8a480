"""Who a sighting belongs to, ids and digests from given values."""

import uuid
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.model.decision import ActKind
from edge_agent.model.identity import Assignment, IdentityClaim, IdentityKind, Sighting
from edge_agent.model.inputs import SightingChanged
from edge_agent.model.lane import Zone
from edge_agent.passage.identity_digest import NO_IDENTITY, identity_digest
from edge_agent.passage.uuid7 import uuid7

from .story import UTC0, Lane, stamp


@given(st.integers(0, 2**60), st.binary(max_size=32), st.integers(0, 2**40))
def test_uuid7_has_the_layout_of_rfc_9562(utc_ns: int, seed: bytes, counter: int) -> None:
    parsed = uuid.UUID(uuid7(utc_ns, seed, counter))
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == utc_ns // 1_000_000
    assert uuid7(utc_ns, seed, counter) == str(parsed)
    assert uuid7(utc_ns, seed, counter + 1) != str(parsed)


def assignment(kind: IdentityKind, token: str, sighting_id: str = "s") -> Assignment:
    """One piece of evidence."""
    claim = IdentityClaim(kind, token, b"", "", "rfid-1/1")
    at = stamp(0)
    return Assignment(Sighting(sighting_id, claim, "rfid-1", 1, 3, -5000, at, at, at), 1.0, (), True, at)


def test_the_digest_covers_binding_claims_once_in_any_order() -> None:
    card, tag = assignment(IdentityKind.DRIVER_CARD, "c"), assignment(IdentityKind.TRANSPONDER, "t")
    again = assignment(IdentityKind.DRIVER_CARD, "c", "seen by another antenna")
    cargo = assignment(IdentityKind.CONTAINER, "x")
    assert identity_digest((card, tag)) == identity_digest((tag, again, card, cargo))
    assert identity_digest((card,)) != identity_digest((tag,))
    assert identity_digest((cargo,)) == NO_IDENTITY == identity_digest(())
    # printf 'driver_card=c\ntransponder=t\n' | sha256sum
    expected = "17ded6a3903541f3d9e20a98022117418e196b41cbde59c45315734eeb403a33"
    assert identity_digest((card, tag)) == f"sha256:{expected}"


def test_a_tag_without_a_vehicle_is_stray_and_never_given_to_the_next() -> None:
    lane = Lane().start()
    at = lane.at
    claim = IdentityClaim(IdentityKind.DRIVER_CARD, "litter", b"", "", "rfid-1/1")
    sighting = Sighting("s-1", claim, "rfid-1", 1, 40, -6000, at, at, at)
    lane.feed(SightingChanged(at, sighting))
    lane.wait(70, pace=1.0)
    assert lane.state.strays == (("rfid-1/1", 1),)
    lane.on(Zone.A)
    lane.wait(0.5)
    lane.feed(SightingChanged(lane.at, replace(sighting, reads=80, last=lane.at)))
    lane.wait(8)
    lane.off(Zone.A)
    lane.wait(1)
    assert lane.first.assignments == ()
    lane.feed(SightingChanged(lane.at, replace(sighting, reads=90, closed=True)))
    assert lane.state.pending == ()
    assert lane.state.strays == (("rfid-1/1", 1),)


def test_an_antenna_the_lane_does_not_know_gives_strays() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    claim = IdentityClaim(IdentityKind.DRIVER_CARD, "c", b"", "", "rfid-9/1")
    at = lane.at
    lane.feed(SightingChanged(at, Sighting("s", claim, "rfid-9", 1, 9, -5000, at, at, at, closed=True)))
    assert lane.state.strays == (("rfid-9/1", 1),)


def test_a_follower_heard_early_is_given_to_nobody_until_it_comes() -> None:
    lane = Lane().start()
    first = lane.arrive("t1")
    lane.wait(0.5)
    lane.see("t2-card")
    lane.wait(1.0)
    assert len(lane.state.pending) == 1
    lane.on(Zone.A)
    lane.wait(0.3)
    lane.see("t2-card", reads=12, ago=0.1)
    lane.wait(8)
    lane.off(Zone.A)
    lane.wait(1)
    leader, follower = lane.state.conveyances
    assert leader.conveyance_id == first.conveyance_id
    assert {a.sighting.claim.token for a in leader.assignments} == {"t1-card", "t1-tag"}
    assert {a.sighting.claim.token for a in follower.assignments} == {"t2-card"}


def test_ids_come_from_the_seed_and_the_stamp() -> None:
    lane, twin = Lane().start(), Lane().start()
    lane.on(Zone.A)
    twin.on(Zone.A)
    assert lane.first.conveyance_id == twin.first.conveyance_id
    assert lane.first.conveyance_id != lane.first.bundle_id
    assert uuid.UUID(lane.first.conveyance_id).int >> 80 == UTC0 // 1_000_000


def test_a_new_card_is_asked_about_after_the_debounce_only() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    assert len(lane.asked) == 1, "complete: asked at once"
    lane.see("second-card")
    lane.wait(0.2)
    lane.see("third-card", ago=0.2)
    lane.wait(0.2)
    assert len(lane.asked) == 1
    lane.wait(0.2)
    assert len(lane.asked) == 2
    assert len(lane.asked[1].assignments) == 4


def test_a_pallet_of_tagged_goods_does_not_drown_the_lane() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    for number in range(200):
        lane.see(f"box-{number}", IdentityKind.OTHER_TAG)
    assert ("TAG_FLOOD", True) in lane.conditions
    kinds = [a.sighting.claim.kind for a in lane.first.assignments]
    assert kinds.count(IdentityKind.OTHER_TAG) <= 64
    assert kinds.count(IdentityKind.DRIVER_CARD) == 1
    lane.decide()
    lane.wait(7)
    lane.off(Zone.A)
    lane.drive_to_line()
    lane.pass_line()
    assert len(lane.bundles) == 1
    lane.wait(1)
    lane.act(ActKind.ACKNOWLEDGE, condition="TAG_FLOOD")
    assert ("TAG_FLOOD", False) in lane.conditions


def test_a_tag_heard_again_from_afar_stays_with_its_truck() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.wait(0.5)
    echo = next(e.sighting for e in lane.journal if isinstance(e, SightingChanged))
    at = lane.at
    lane.feed(SightingChanged(at, replace(echo, sighting_id="echo", rssi_peak_cdbm=-6900, first=at, peak=at, last=at)))
    assert [a.sighting.sighting_id for a in lane.first.assignments] == ["t1-card", "t1-tag", "echo"]
    assert lane.first.flags == ()


def test_the_last_word_of_a_departed_truck_goes_to_nobody() -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    lane.on(Zone.A)
    lane.wait(0.3)
    lane.identify("t1")
    lane.see("t1-card-again")
    assert [a.sighting.sighting_id for a in lane.first.assignments] == ["t1-card-again"]
    at = lane.at
    claim = IdentityClaim(IdentityKind.DRIVER_CARD, "t1-card", b"", "", "rfid-1/1")
    lane.feed(SightingChanged(at, Sighting("new", claim, "rfid-1", 1, 9, -5000, at, at, at, closed=True)))
    assert len(lane.first.assignments) == 1
    assert lane.state.strays == (("rfid-1/1", 1),)


def test_a_sighting_moves_to_the_vehicle_that_fits_clearly_better() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.see("x-card")
    lane.wait(6.8)
    lane.off(Zone.A)
    lane.wait(6)
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.see("x-card", reads=60, rssi=-4800)
    leader, follower = lane.state.conveyances
    assert leader.assignments == ()
    assert [a.sighting.claim.token for a in follower.assignments] == ["x-card"]
