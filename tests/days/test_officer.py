"""The officer of the virtual lane sees what a camera shows."""

from edge_agent.model.conveyance import Flag
from hil.world.faults import Happening, Trigger, Verb
from hil.world.geometry import Geometry
from hil.world.rules import ReleaseRule
from hil.world.scenario import Expectation, Scenario
from hil.world.truck import StopAct, TruckPlan
from tests.scenarios.judge import play


def test_a_truck_whose_nose_stops_right_at_the_advance_loop_is_seen_and_confirmed() -> None:
    truck = TruckPlan("T1", 1.0, acts=(StopAct(-60.0, 30.0),), start_m=-60.0, start_kmh=0.0)
    confirm = Happening(Trigger(at_s=30.0), Verb.CONFIRM_ORDER)
    name = "stops right at A"
    rules = {"T1": ReleaseRule()}
    story = Scenario(name, name, 1, Geometry(), (truck,), rules, (), (confirm,), Expectation(run_for_s=120.0))
    lane = play(story)
    assert [act.message for act in lane.acts][-1] == "order confirmed: 1 vehicle(s)"
    assert all(Flag.UNPROVEN not in passage.conveyance.flags for passage in lane.sealed())
