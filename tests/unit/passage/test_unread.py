"""A vehicle that a reader felt and could not read is an event of its own, named when it can be no other."""

from dataclasses import replace

import pytest

from edge_agent.model.effects import EmitEvent, Severity
from edge_agent.model.inputs import VehicleUnread
from edge_agent.model.lane import Zone
from edge_agent.passage.corridor import fold, initial_state
from edge_agent.wire.journal import decode_input, encode_input

from .story import CONFIG, Lane


def told(lane: Lane, antenna: int = 1, device: str = "rfid-1") -> EmitEvent:
    """What comes of a vehicle that is felt now."""
    (event,) = lane.feed(VehicleUnread(lane.at, device, antenna))
    assert isinstance(event, EmitEvent)
    assert (event.code, event.severity) == ("UNREAD_VEHICLE", Severity.WARNING)
    return event


@pytest.mark.parametrize("antenna", [1, 0])
def test_the_only_vehicle_there_is_named(antenna: int) -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.5)
    event = told(lane, antenna)
    assert event.conveyance_id == lane.first.conveyance_id
    assert dict(event.facts) == {"antenna": "rfid-1/1" if antenna else "rfid-1"}


def test_nobody_is_named_where_nobody_or_more_than_one_can_be_meant() -> None:
    lane = Lane().start()
    assert told(lane).conveyance_id == ""
    lane.on(Zone.A)
    lane.wait(2.0)
    lane.off(Zone.A)
    lane.wait(1.0)
    lane.on(Zone.A)
    lane.wait(0.2)
    assert len(lane.state.tracks) == 2
    assert told(lane).conveyance_id == ""
    assert told(lane, device="rfid-9").conveyance_id == "", "an antenna that geometry does not place"


def test_a_vehicle_that_has_left_the_antenna_is_not_meant() -> None:
    config = replace(CONFIG, geometry=replace(CONFIG.geometry, length_max_m=12.0))
    lane = Lane(config).start()
    lane.on(Zone.A)
    lane.wait(1.5)
    lane.off(Zone.A)
    lane.wait(4.0)
    lane.on(Zone.D)
    lane.wait(3.0)
    assert told(lane).conveyance_id == ""


def test_it_is_journalled_and_changes_nothing_of_the_lane() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    before = lane.state.tracks
    told(lane)
    event = lane.journal[-1]
    assert decode_input(encode_input(event)) == event
    assert lane.state.tracks == before
    assert fold(initial_state(lane.config), lane.journal) == lane.state
