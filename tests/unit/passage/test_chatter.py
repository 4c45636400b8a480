"""A loop that chatters makes up vehicles: one condition tells of it, and their records are few."""

import pytest

from edge_agent.model.conveyance import Flag, Outcome
from edge_agent.model.decision import ActKind, ActResult
from edge_agent.model.effects import SetCondition
from edge_agent.model.inputs import Started
from edge_agent.model.lane import Zone
from edge_agent.passage.chatter import MOST_RISES, QUIET_S, SHORT_PULSES

from .story import Lane


def pulses(lane: Lane, zone: Zone, number: int, seconds: float = 0.2) -> None:
    for _ in range(number):
        lane.on(zone)
        lane.wait(seconds)
        lane.off(zone)
        lane.wait(seconds)


@pytest.mark.parametrize("zone", [Zone.A, Zone.D, Zone.X])
@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.6, 1.5])
def test_a_minute_of_chatter_is_one_condition_and_a_few_records(zone: Zone, seconds: float) -> None:
    lane = Lane().start()
    lane.wait(1)
    pulses(lane, zone, round(60.0 / (2.0 * seconds)), seconds)
    assert [told for told in lane.conditions if told[0] == "LOOP_CHATTERS"] == [("LOOP_CHATTERS", True)]
    assert lane.events.count("CORRIDOR_ORDER_LOST") <= 2 + MOST_RISES
    assert not lane.order_known()
    lane.wait(QUIET_S + 60.0)
    assert lane.conditions[-1] == ("LOOP_CHATTERS", False)
    assert not lane.state.conveyances
    assert len(lane.bundles) <= (SHORT_PULSES if seconds < 0.6 else MOST_RISES)
    assert all(Flag.UNPROVEN in bundle.flags for bundle in lane.bundles)


@pytest.mark.parametrize("zone", [Zone.A, Zone.D, Zone.X])
def test_trucks_make_no_loop_chatter(zone: Zone) -> None:
    """The densest traffic there may be: the shortest trucks at the highest speed, one every four seconds."""
    lane = Lane().start()
    for _ in range(30):
        lane.on(zone)
        lane.wait(1.0)
        lane.off(zone)
        lane.wait(3.0)
    assert "LOOP_CHATTERS" not in dict(lane.conditions)


def test_a_truck_that_comes_while_a_chatters_has_one_record_and_an_officer_releases_it() -> None:
    lane = Lane().start()
    lane.wait(1)
    pulses(lane, Zone.A, 20)
    lane.identify("t1")
    pulses(lane, Zone.A, 20)
    lane.drive_to_line()
    lane.wait(8)
    (here,) = [c for c in lane.state.conveyances if c.times.s_loop is not None]
    assert not here.assignments, "where A chatters, nobody knows who was under its antenna"
    lane.decide(of=here)
    assert lane.green == ""
    assert lane.first.conveyance_id == here.conveyance_id
    assert lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first).result is ActResult.OK
    assert lane.green == here.conveyance_id
    lane.pass_line()
    released = [bundle for bundle in lane.bundles if bundle.outcome is Outcome.RELEASED_STOPPED]
    assert [bundle.conveyance_id for bundle in released] == [here.conveyance_id]
    assert Flag.SENSOR_FAULT in released[0].flags
    assert len(lane.bundles) == SHORT_PULSES, "its own is one of those that the chatter began with"


def test_what_is_read_over_a_that_chatters_is_given_to_nobody() -> None:
    """Neither to the one that may be there, nor to the next one that comes."""
    lane = Lane().start()
    lane.wait(1)
    pulses(lane, Zone.A, 20)
    lane.identify("t1")
    lane.wait(8)
    lane.on(Zone.D)
    lane.wait(1)
    lane.wait(QUIET_S)
    lane.arrive("t2")
    here, following = lane.state.conveyances
    assert not here.assignments
    assert {a.sighting.claim.token for a in following.assignments} == {"t2-card", "t2-tag"}


def test_a_truck_known_before_a_chatters_keeps_its_record_and_its_tags() -> None:
    lane = Lane().start()
    truck = lane.arrive("t1")
    pulses(lane, Zone.A, 30)
    lane.on(Zone.D)
    known = next(c for c in lane.state.conveyances if c.conveyance_id == truck.conveyance_id)
    assert known.times.d_nose is not None
    assert {a.sighting.claim.token for a in known.assignments} == {"t1-card", "t1-tag"}
    assert len(lane.state.conveyances) == 2


def test_one_that_stands_over_a_when_it_comes_to_rest_keeps_the_record() -> None:
    lane = Lane().start()
    lane.wait(1)
    pulses(lane, Zone.A, 20)
    lane.on(Zone.A)
    lane.wait(QUIET_S + 1.0)
    assert lane.conditions[-1] == ("LOOP_CHATTERS", False)
    (here,) = lane.state.conveyances
    lane.off(Zone.A)
    lane.wait(4.0)
    lane.on(Zone.D)
    assert [c.conveyance_id for c in lane.state.conveyances] == [here.conveyance_id]
    assert lane.first.times.a_tail is not None


def test_whole_pulses_between_two_looks_are_chatter_too() -> None:
    lane = Lane().start()
    lane.wait(1)
    for _ in range(SHORT_PULSES):
        lane.edges[Zone.A] += 2
        lane.zones()
        lane.wait(1)
    assert ("LOOP_CHATTERS", True) in lane.conditions
    assert not lane.state.conveyances


def test_a_second_loop_that_chatters_is_named_with_the_first() -> None:
    lane = Lane().start()
    lane.wait(1)
    pulses(lane, Zone.A, 4)
    pulses(lane, Zone.X, 4)
    titles = [e.title for e in lane.of(SetCondition) if isinstance(e, SetCondition) and e.code == "LOOP_CHATTERS"]
    assert titles == ["zone_a chatters", "zone_a, zone_x chatters"]


def test_an_officer_gets_the_order_back_while_a_chatters_and_not_while_d_does() -> None:
    """Who comes at A comes behind all others; who comes at D unannounced was in the corridor, and nobody knew."""
    for zone, known in ((Zone.A, True), (Zone.D, False)):
        lane = Lane().start()
        lane.wait(1)
        pulses(lane, zone, 10)
        lane.act(ActKind.CONFIRM_ORDER)
        assert lane.order_known()
        pulses(lane, zone, 10)
        assert lane.order_known() is known


def test_a_new_life_of_the_agent_knows_of_no_chatter_and_says_so() -> None:
    lane = Lane().start()
    lane.wait(1)
    pulses(lane, Zone.A, 10)
    lane.feed(Started(lane.at, "boot-2", b"next"))
    assert lane.conditions[-1] != ("LOOP_CHATTERS", True)
    assert "LOOP_CHATTERS" not in lane.state.conditions
