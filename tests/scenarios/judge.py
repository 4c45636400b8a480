"""Plays a scenario on the virtual clock and says in words what is not as the file expects."""

from hil.rig import story_judge
from hil.rig.virtual_lane import VirtualLane
from hil.rig.virtual_record import play, record_of
from hil.world.scenario import Scenario

__all__ = ["complaints", "play"]


def complaints(story: Scenario, lane: VirtualLane) -> list[str]:
    """Everything that did not come out as expected; empty when all is well."""
    return story_judge.complaints(story, record_of(lane))
