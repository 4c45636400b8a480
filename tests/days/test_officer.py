"""The officer of the virtual lane sees what a camera shows."""

from edge_agent.model.conveyance import Flag, Outcome
from hil.days.records import RecordJudge
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


def test_of_two_records_begun_by_one_truck_the_one_where_it_is_seen_is_named() -> None:
    """T1 comes past A with no agent alive, and goes on in the record that T2 has begun behind it; T2 gets a second one
    at D. When T1 has left by the side, unseen as well, it is the second one that is T2's."""
    trucks = (TruckPlan("T1", 1.0, length_m=10.0, acts=(StopAct(-35.0, 25.0),)), TruckPlan("T2", 4.0))
    happenings = (
        Happening(Trigger(at_s=8.0), Verb.KILL_AGENT),
        Happening(Trigger(at_s=36.0), Verb.START_AGENT),
        Happening(Trigger(at_s=70.0), Verb.DIRECT_TRUCK, {"truck": "T1", "way": "side"}),
        Happening(Trigger(at_s=75.0), Verb.KILL_AGENT),
        Happening(Trigger(at_s=82.0), Verb.START_AGENT),
        Happening(Trigger(at_s=83.0), Verb.CONFIRM_ORDER),
        Happening(Trigger(at_s=100.0), Verb.RELEASE_CONVEYANCE, {"truck": "T2"}),
    )
    name = "two records of one truck"
    rules = {truck.id: ReleaseRule(silent=True) for truck in trucks}
    lane = play(Scenario(name, name, 1, Geometry(), trucks, rules, (), happenings, Expectation(run_for_s=150.0)))
    assert RecordJudge(lane, (), ((8.0, 36.0), (75.0, 82.0))).complaints() == []
    assert [p.conveyance.outcome for p in lane.sealed()][-1] is Outcome.RELEASED_STOPPED
    assert [p.conveyance.times.a_nose for p in lane.sealed()] == [None, None]
