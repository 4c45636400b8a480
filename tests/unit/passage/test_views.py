"""What people are shown: vehicles in order, three legs, and why it is red."""

from edge_agent.model.decision import ActKind, Verdict
from edge_agent.model.identity import Leg
from edge_agent.model.inputs import CentreLink, ZonesLost
from edge_agent.model.lane import Zone
from edge_agent.passage.views import red_causes, view

from .story import Lane, Traffic, Truck


def codes(lane: Lane) -> list[str]:
    """Why it is red, in order."""
    return [cause.code.value for cause in red_causes(lane.state, lane.at)]


def test_why_it_is_red_changes_as_the_truck_comes_along() -> None:
    lane = Lane().start()
    assert codes(lane) == ["NO_VEHICLE"]
    lane.on(Zone.A)
    assert codes(lane) == ["WAITING_IDENTITY", "WAITING_IDENTITY", "WAITING_DECISION"]
    lane.wait(0.4)
    lane.identify("t1")
    assert codes(lane) == ["WAITING_DECISION"]
    since = red_causes(lane.state, lane.at)[0].since
    assert since == lane.asked[-1].at
    lane.decide(Verdict.HOLD_AT_LINE)
    assert codes(lane) == ["NOT_RELEASED"]
    lane.decide(revision=2)
    assert codes(lane) == []
    lane.act(ActKind.HOLD_LANE, reason="tyre")
    cause = red_causes(lane.state, lane.at)[0]
    assert (cause.code.value, cause.by, cause.text) == ("HOLD_LANE", "bso:p1", "lane held: tyre")
    lane.act(ActKind.CLEAR_HOLD)
    lane.act(ActKind.HOLD_LANE)
    assert red_causes(lane.state, lane.at)[0].text == "lane held: no reason given"
    lane.feed(CentreLink(lane.at, False))
    lane.feed(ZonesLost(lane.at, "X"))
    assert codes(lane) == ["HOLD_LANE", "ZONES_LOST", "ORDER_UNKNOWN", "CENTRE_LOST", "MUST_STAND_AT_LINE"]


def test_the_view_shows_vehicles_from_the_line_upstream_then_those_past_it() -> None:
    lane = Lane().start()
    traffic = Traffic(lane, [Truck("t0", 1.0), Truck("t1", 12.0), Truck("t2", 23.0)], latency_s=0.5)
    traffic.run(41.0)
    shown = view(lane.state, lane.at)
    owners = [v.assignments[0].sighting.claim.token.split("-")[0] for v in shown.conveyances]
    assert owners == ["t1", "t2", "t0"]
    assert [v.place for v in shown.conveyances] == [0, 1, 2]
    assert [v.crossed for v in shown.conveyances] == [False, False, True]
    second = shown.conveyances[1]
    assert second.position is not None
    truth = traffic.trucks[2].nose
    assert second.position.latest_m - 0.5 <= truth <= second.position.earliest_m + 0.5
    assert second.eta_to_commit_s is not None
    assert second.eta_to_commit_s > 0
    assert {leg.leg: leg.complete for leg in second.legs} == dict.fromkeys(Leg, True)
    assert shown.conveyances[2].eta_to_commit_s is None


def test_the_etag_changes_with_what_is_shown_and_not_with_time() -> None:
    lane = Lane().start()
    lane.arrive()
    before = view(lane.state, lane.at)
    lane.wait(0.5)
    after = view(lane.state, lane.at)
    assert (before.etag, before.conveyances[0].etag) == (after.etag, after.conveyances[0].etag)
    lane.decide()
    changed = view(lane.state, lane.at)
    assert changed.etag != after.etag
    assert changed.conveyances[0].etag != after.conveyances[0].etag


def test_a_place_is_where_it_was_last_seen_to_where_it_can_be_and_nothing_while_zones_are_unknown() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.wait(1.0)
    seen = lane.config.geometry.a.start_m
    place = view(lane.state, lane.at).conveyances[0].position
    assert place is not None
    assert place.latest_m == seen
    assert seen < place.earliest_m <= lane.config.geometry.d.start_m
    lane.feed(ZonesLost(lane.at, "X"))
    assert view(lane.state, lane.at).conveyances[0].position is None


def test_who_stands_at_the_line_is_shown_there() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.drive_to_line()
    lane.wait(30.0)
    (shown,) = view(lane.state, lane.at).conveyances
    assert shown.waiting
    assert shown.position is not None
    geometry = lane.config.geometry
    assert (shown.position.latest_m, shown.position.earliest_m) == (geometry.s.start_m, geometry.beam_m)
