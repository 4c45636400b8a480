"""Tags of no vehicle: those that stay, those of the next lane, and an antenna that looks elsewhere."""

from dataclasses import replace

import pytest

from edge_agent.model.conveyance import Flag
from edge_agent.model.effects import SetCondition
from edge_agent.model.identity import IdentityClaim, IdentityKind, Sighting
from edge_agent.model.inputs import SightingChanged
from edge_agent.model.lane import LanePolicy, Zone, ZoneSpan

from .story import CONFIG, GEOMETRY, Lane, stamp

FLOORED = replace(CONFIG, geometry=replace(GEOMETRY, floors=(("rfid-1", 1, -6000),)))


def litter(
    lane: Lane,
    *,
    since: float,
    token: str = "litter",
    level: int = -5800,
    peak: float | None = None,
    closed: bool = False,
) -> SightingChanged:
    """A tag heard from `since` until now at an even level, loudest at `peak`."""
    claim = IdentityClaim(IdentityKind.DRIVER_CARD, token, b"", "", "rfid-1/1")
    first = stamp(since)
    loudest = first if peak is None else stamp(peak)
    sighting = Sighting(f"{token}-{since}", claim, "rfid-1", 1, 40, level, first, loudest, lane.at, closed, level - 200)
    return SightingChanged(lane.at, sighting)


def lie(lane: Lane, seconds: float, since: float | None = None) -> float:
    """A tag lies there for so long, told of every second; returns when it was first heard."""
    begun = lane.now if since is None else since
    for _ in range(int(seconds)):
        lane.wait(1.0, pace=0.5)
        lane.feed(litter(lane, since=begun))
    return begun


def told(lane: Lane, code: str) -> list[tuple[bool, str]]:
    """What was said of a condition."""
    return [(e.active, e.title) for e in lane.of(SetCondition) if isinstance(e, SetCondition) and e.code == code]


def test_a_tag_that_stays_is_reported_with_its_antenna_and_the_report_goes_with_it() -> None:
    lane = Lane().start()
    lie(lane, 110)
    assert told(lane, "STATIC_TAG") == []
    lie(lane, 20, since=0.0)
    assert told(lane, "STATIC_TAG") == [(True, "A tag stays in the field of rfid-1/1")]
    lane.wait(59, pace=1.0)
    assert len(told(lane, "STATIC_TAG")) == 1
    lane.wait(2, pace=1.0)
    assert [active for active, _ in told(lane, "STATIC_TAG")] == [True, False]


def test_a_tag_that_stays_is_given_to_no_truck_even_when_heard_anew_under_one() -> None:
    lane = Lane().start()
    lie(lane, 130)
    lane.feed(litter(lane, since=0.0, closed=True))
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.feed(litter(lane, since=lane.now, level=-5500))
    lane.wait(7)
    lane.off(Zone.A)
    lane.wait(1)
    assert lane.first.assignments == ()
    assert lane.first.flags == ()


def test_a_tag_that_lay_there_when_the_truck_came_is_not_its() -> None:
    lane = Lane().start()
    begun = lie(lane, 25)
    lane.on(Zone.A)
    lane.wait(0.5)
    lane.feed(litter(lane, since=begun, level=-5700, peak=lane.now))
    lane.wait(7)
    lane.off(Zone.A)
    lane.wait(1)
    assert lane.first.assignments == ()


def test_a_card_heard_while_its_truck_queued_before_the_lane_is_its_when_it_comes() -> None:
    lane = Lane().start()
    begun = lie(lane, 130)
    lane.on(Zone.A)
    lane.wait(0.5)
    event = litter(lane, since=begun, level=-4900, peak=lane.now)
    lane.feed(replace(event, sighting=replace(event.sighting, rssi_mean_cdbm=-5950)))
    assert [a.sighting.claim.token for a in lane.first.assignments] == ["litter"]
    lane.wait(1)
    assert [active for active, _ in told(lane, "STATIC_TAG")] == [True, False]


def test_a_forgotten_tag_may_be_a_card_again() -> None:
    lane = Lane().start()
    lie(lane, 130)
    lane.feed(litter(lane, since=0.0, closed=True))
    lane.wait(301, pace=1.0)
    assert lane.state.loose == ()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.see("litter")
    assert [a.sighting.claim.token for a in lane.first.assignments] == ["litter"]


@pytest.mark.parametrize(("rssi", "taken"), [(-6001, []), (-6000, ["x"])])
def test_a_tag_under_the_floor_is_the_next_lanes(rssi: int, taken: list[str]) -> None:
    lane = Lane(FLOORED).start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.see("x", rssi=rssi)
    lane.wait(7)
    lane.off(Zone.A)
    lane.wait(1)
    assert [a.sighting.claim.token for a in lane.first.assignments] == taken


def test_a_tag_that_rises_over_the_floor_is_taken() -> None:
    lane = Lane(FLOORED).start()
    lane.on(Zone.A)
    lane.wait(0.2)
    lane.see("x", rssi=-6500)
    assert not lane.first.assignments
    lane.wait(0.4)
    lane.see("x", rssi=-5000)
    assert [a.sighting.claim.token for a in lane.first.assignments] == ["x"]


def test_strays_of_one_antenna_make_an_aim_alarm_that_goes_by_itself() -> None:
    lane = Lane(replace(CONFIG, policy=LanePolicy(stray_alarm=5, stray_window_s=600.0))).start()
    for number in range(4):
        lane.wait(10, pace=1.0)
        lane.feed(litter(lane, since=lane.now, token=f"t{number}", closed=True))
    assert told(lane, "ANTENNA_AIM") == []
    lane.wait(10, pace=1.0)
    lane.feed(litter(lane, since=lane.now, token="t5", closed=True))
    assert told(lane, "ANTENNA_AIM") == [(True, "Tags of no vehicle are heard by rfid-1/1")]
    lane.wait(600, pace=1.0)
    assert [active for active, _ in told(lane, "ANTENNA_AIM")] == [True, False]
    assert lane.state.strays == (("rfid-1/1", 5),)


def test_a_second_antenna_is_named_too() -> None:
    lane = Lane(replace(CONFIG, policy=LanePolicy(stray_alarm=2))).start()
    for number in range(2):
        lane.feed(litter(lane, since=lane.now, token=f"t{number}", closed=True))
    for number in range(2):
        event = litter(lane, since=lane.now, token=f"u{number}", closed=True)
        lane.feed(replace(event, sighting=replace(event.sighting, antenna=2, sighting_id=f"u{number}")))
    assert [title for _, title in told(lane, "ANTENNA_AIM")] == [
        "Tags of no vehicle are heard by rfid-1/1",
        "Tags of no vehicle are heard by rfid-1/1, rfid-1/2",
    ]


def test_one_flickering_tag_and_the_next_lane_say_nothing_of_the_aim() -> None:
    lane = Lane(replace(FLOORED, policy=LanePolicy(stray_alarm=3))).start()
    for _ in range(6):
        lane.wait(5, pace=1.0)
        lane.feed(litter(lane, since=lane.now, closed=True))
        lane.feed(litter(lane, since=lane.now, token=f"far-{lane.now}", level=-6600, closed=True))
    assert told(lane, "ANTENNA_AIM") == []
    assert lane.state.strays == (("rfid-1/1", 12),)


def test_what_is_remembered_of_strays_is_bounded() -> None:
    lane = Lane().start()
    for number in range(300):
        lane.feed(litter(lane, since=lane.now, token=f"t{number}", closed=True))
    assert len(lane.state.loose) == 64
    assert all(len(times) <= 20 for _, times in lane.state.stray_times)


def test_a_tag_between_two_trucks_is_nobodys_and_both_records_say_so() -> None:
    middle = ("rfid-1", 2, ZoneSpan(-52.0, -44.0))
    lane = Lane(replace(CONFIG, geometry=replace(GEOMETRY, antennas=(*GEOMETRY.antennas, middle)))).start()
    lane.arrive("t1")
    lane.wait(0.5)
    lane.on(Zone.A)
    lane.wait(3.0)
    # Between A and D nobody knows which of the two was under this antenna then.
    claim = IdentityClaim(IdentityKind.DRIVER_CARD, "x", b"", "", "rfid-1/2")
    peak = stamp(lane.now - 0.5)
    lane.feed(SightingChanged(lane.at, Sighting("x", claim, "rfid-1", 2, 9, -5200, peak, peak, peak, closed=True)))
    lane.wait(3)
    lane.on(Zone.D)
    lane.wait(3)
    lane.off(Zone.A)
    lane.wait(4)
    lane.off(Zone.D)
    lane.wait(1)
    leader, follower = lane.state.conveyances
    assert [a.sighting.claim.token for c in (leader, follower) for a in c.assignments] == ["t1-card", "t1-tag"]
    (mine,), (theirs,) = leader.doubtful, follower.doubtful
    assert mine.sighting == theirs.sighting
    assert [rival for rival, _ in mine.rivals] == [follower.conveyance_id]
    assert Flag.AMBIGUOUS in leader.flags
    assert Flag.AMBIGUOUS in follower.flags
    assert lane.events.count("IDENTITY_AMBIGUOUS") == 2
    assert lane.state.pending == ()


def test_two_trucks_worth_of_identities_on_one_are_two_trucks() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    lane.see("second-card")
    assert Flag.AMBIGUOUS not in lane.first.flags, "two drivers may share a cab"
    lane.see("t2-tag", IdentityKind.TRANSPONDER)
    assert Flag.AMBIGUOUS in lane.first.flags
    assert lane.events.count("MERGED_DETECTION") == 1
    lane.decide()
    assert lane.green == ""
