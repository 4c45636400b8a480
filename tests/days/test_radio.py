"""Who a tag is given to in the default radio world, and that nothing grows: a share of `python -m hil.radio`."""

import gc

from drivers.api import Secret, Stamp, TagRead
from edge_agent.control.sightings import MAX_TRACKED
from edge_agent.model.conveyance import Flag
from edge_agent.model.identity import IdentityKind
from edge_agent.model.inputs import Tick, ZonesChanged
from edge_agent.model.lane import Zone
from edge_agent.passage.corridor import step
from hil.radio.lane import RadioLane, RadioWorld
from hil.radio.sweep import holds
from hil.rig.virtual_agent import READER
from hil.world.rf import RfModel, StrayTag
from hil.world.tags import cargo_epc, driver_card_epc
from hil.world.truck import driver_card


def _objects() -> int:
    """How many containers are alive: what a structure that grows is made of."""
    gc.collect()
    return len(gc.get_objects())


def test_no_tag_on_a_wrong_record_and_nothing_grows_with_the_traffic() -> None:
    """Tailgating, a busy next lane, sleeves and late cards."""
    lane = RadioLane(4_001, RadioWorld())
    lane.run(40)
    before = _objects()
    figures = lane.run(140)
    assert holds(figures), figures
    assert figures.complete >= 0.98 * figures.vehicles, figures
    # What is remembered of passages and identities is still being filled up to its bounds.
    assert _objects() - before < 100 * 40
    assert len(lane.state.tracks) + len(lane.state.pending) < 30
    assert lane.tracker.tracked < 30


def test_where_nothing_can_be_told_apart_it_fails() -> None:
    """The figure can be other than 0: with the next lane as loud as this one tags do end on wrong records."""
    figures = RadioLane(4_005, RadioWorld(rf=RfModel(neighbour_db=0.0))).run(6)
    assert figures.misassigned > 0


def test_a_card_lying_under_the_antenna_is_given_to_hardly_anybody() -> None:
    """To the first vehicles at most, which nobody could know better about."""
    litter = driver_card(9_000_001, offset_m=0.0, level_db=-3.0)
    lane = RadioLane(4_002, RadioWorld(neighbour=False, strays=(StrayTag(litter, -56.0),)))
    figures = lane.run(12)
    assert figures.misassigned <= 1, figures
    assert "STATIC_TAG" in lane.state.conditions


class _Flood:
    """A lane that a vehicle with thousands of tags drives over, again and again."""

    def __init__(self) -> None:
        self.lane = RadioLane(4_004, RadioWorld(neighbour=False))
        self.t = 10.0
        self.edges = dict.fromkeys(Zone, 0)
        self.serial = 0

    def window(self, tags: int, *, cards: bool) -> None:
        """One vehicle over A, with so many different tags read once each."""
        self._zone(Zone.A, on=True)
        for _ in range(tags):
            self.serial += 1
            self.t += 0.002
            epc = driver_card_epc(self.serial) if cards else cargo_epc(self.serial)
            read = TagRead(self._stamp(), READER, 1, Secret(bytes.fromhex(epc)), 0x3000, -4800, 1)
            change = self.lane.tracker.read(read)
            if change is not None:
                self.lane.state, _ = step(self.lane.state, change)
        self._zone(Zone.A, on=False)
        self.t += 5.0
        for change in self.lane.tracker.sweep(self._stamp()):
            self.lane.state, _ = step(self.lane.state, change)
        self.lane.state, _ = step(self.lane.state, Tick(self._stamp()))

    def _zone(self, zone: Zone, *, on: bool) -> None:
        self.edges[zone] += 1
        levels = {z: on and z is zone for z in Zone}
        self.lane.state, _ = step(self.lane.state, ZonesChanged(self._stamp(), 1, levels, dict(self.edges)))

    def _stamp(self) -> Stamp:
        return Stamp(int(self.t * 1e9), int(self.t * 1e9))


def test_thousands_of_distinct_tags_in_a_window_are_dropped_with_a_count_and_memory_stays_flat() -> None:
    flood = _Flood()
    flood.window(MAX_TRACKED + 50, cards=False)
    assert flood.lane.tracker.dropped == 50
    assert flood.lane.tracker.tracked == 0
    assert "TAG_FLOOD" in flood.lane.state.conditions
    flood.window(MAX_TRACKED, cards=True)
    before = _objects()
    flood.window(MAX_TRACKED, cards=False)
    flood.window(MAX_TRACKED, cards=True)
    assert _objects() - before < 5_000
    kinds = [a.sighting.claim.kind for t in flood.lane.state.tracks for a in t.conveyance.assignments]
    assert kinds.count(IdentityKind.DRIVER_CARD) <= 128
    assert kinds.count(IdentityKind.OTHER_TAG) <= 64
    assert any(Flag.MULTIPLE_CARDS in t.conveyance.flags for t in flood.lane.state.tracks)
