"""How a passage ends: what it is called, what is remembered of it, and for how long."""

import pytest

from edge_agent.model.conveyance import Outcome
from edge_agent.model.decision import Verdict
from edge_agent.model.effects import AddSupplement
from edge_agent.model.lane import Zone

from .story import Lane


def test_who_stopped_at_the_line_on_a_rolling_release_did_not_roll_through() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.wait(8.0)
    lane.pass_line()
    assert [b.outcome for b in lane.bundles] == [Outcome.RELEASED_STOPPED]


def test_where_x_saw_a_vehicle_and_stays_occupied_no_other_is_taken_for_it() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(5.0)
    lane.off(Zone.S)
    lane.off(Zone.BEAM)
    lane.wait(7.0)
    lane.on(Zone.X)
    while not lane.bundles:
        lane.wait(1.0)
    lane.off(Zone.X)
    lane.wait(5.0)
    lane.on(Zone.X)
    assert lane.of(AddSupplement) == []


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (Verdict.REFER_SECONDARY, Outcome.REFERRED),
        (Verdict.REFUSE_RETURN, Outcome.REFUSED),
        (Verdict.MANUAL_LANE, Outcome.MANUAL),
        (Verdict.HOLD_AT_LINE, Outcome.REVERSED),
    ],
)
def test_who_turns_back_is_called_by_what_was_decided_where_that_sends_it_away(
    verdict: Verdict, outcome: Outcome
) -> None:
    lane = Lane().start()
    lane.arrive()
    lane.drive_to_line()
    lane.decide(verdict, ttl_s=5000)
    lane.wait(10.0)
    lane.off(Zone.S)
    lane.wait(lane.config.policy.abandon_s + 1.0, pace=1.0)
    assert [b.outcome for b in lane.bundles] == [outcome]


def test_what_is_remembered_of_a_passage() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(revision=4)
    lane.drive_to_line()
    lane.pass_line()
    (record,) = lane.bundles
    assert record.ended == lane.at
    (kept,) = lane.state.sealed
    assert (kept.at_ns, kept.highest_revision, kept.exit_owed, kept.left) == (lane.at.mono_ns, 4, False, True)
    assert kept.claims == (("driver_card", "t1-card"), ("transponder", "t1-tag"))
    assert kept.sightings == ("t1-card", "t1-tag")
