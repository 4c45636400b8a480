"""Which decisions are taken: digest, revision, time to live, repeats and order of arrival."""

from itertools import pairwise

import pytest

from edge_agent.model.conveyance import Flag
from edge_agent.model.decision import ActKind, ActResult, Verdict
from edge_agent.model.effects import AddSupplement, EmitEvent, GrantLease
from edge_agent.model.inputs import DecisionReceived
from edge_agent.model.lane import Zone
from edge_agent.passage.corridor import step

from .story import Lane


def ignored(lane: Lane) -> list[str]:
    """Reasons for which decisions were ignored so far."""
    return [dict(e.facts)["reason"] for e in lane.effects if isinstance(e, EmitEvent) and e.code == "DECISION_IGNORED"]


def test_a_decision_on_another_identity_is_ignored() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(digest="sha256:other")
    assert lane.green == ""
    assert ignored(lane) == ["identity_digest"]


def test_the_same_decision_twice_changes_nothing() -> None:
    lane = Lane().start()
    lane.arrive()
    decision = lane.decide()
    assert step(lane.state, DecisionReceived(lane.at, decision)) == (lane.state, ())


def test_lower_and_equal_revisions_are_ignored() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(Verdict.HOLD_AT_LINE, revision=3)
    lane.decide(revision=2)
    lane.decide(revision=3)
    assert lane.green == ""
    assert ignored(lane) == ["revision", "revision"]
    lane.decide(revision=4)
    assert lane.green


def test_a_decision_for_nobody_is_an_event() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    other = Lane(now=50.0).start()
    other.decide(of=truck)
    assert ignored(other) == ["unknown_conveyance"]


def test_a_decision_that_arrives_after_its_time_is_ignored() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(ttl_s=2.0, echoed=0.5)
    assert ignored(lane) == ["expired"]


def test_an_expired_release_ends_softly_and_is_asked_for_again() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(ttl_s=3.0)
    asked = len(lane.asked)
    assert lane.green
    lane.wait(3.2)
    assert lane.green == ""
    assert not lane.withdrawn[-1].immediate
    assert len(lane.asked) == asked + 1
    lane.decide(revision=1, ttl_s=60)
    assert lane.green, "the same revision answers a later request"


def test_a_lease_is_refreshed_before_it_runs_out_while_the_decision_lives() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(ttl_s=600)
    lane.wait(20)
    granted = [e.lease for e in lane.effects if isinstance(e, GrantLease)]
    assert [lease.seq for lease in granted] == [1, 2]
    assert granted[1].deadline_mono_ns > granted[0].deadline_mono_ns
    assert lane.withdrawn == []


def test_an_unanswered_request_is_repeated_at_growing_pauses() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.wait(400, pace=0.5)
    times = [ask.at.mono_ns / 1e9 for ask in lane.asked]
    assert [round(b - a) for a, b in pairwise(times)] == [5, 10, 20, 40, 40, 40, 40]
    assert "RELEASE_SERVICE_NO_ANSWER" in lane.events


@pytest.mark.parametrize("released", [True, False])
def test_a_revision_between_the_line_and_x_is_late_only_for_a_released_vehicle(released: bool) -> None:
    lane = Lane().start()
    truck = lane.arrive()
    if released:
        lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(1)
    lane.decide(Verdict.REFER_SECONDARY, of=truck, revision=2)
    (passing,) = lane.state.conveyances
    assert (Flag.LATE_REVOCATION in passing.flags) is released
    assert passing.decisions[-1].verdict is Verdict.REFER_SECONDARY


def test_a_decision_for_a_departed_vehicle_supplements_its_record_once_per_revision() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    (bundle,) = lane.bundles
    before = lane.green
    lane.decide(of=truck, revision=1)
    assert lane.of(AddSupplement) == [], "what the record has already"
    for _ in range(2):
        lane.decide(Verdict.REFER_SECONDARY, of=truck, revision=2)
    lane.decide(of=truck, revision=3)
    late = [e for e in lane.effects if isinstance(e, AddSupplement)]
    assert [(e.bundle_id, e.kind, dict(e.facts)["revision"]) for e in late] == [
        (bundle.bundle_id, "late_revision", "2"),
        (bundle.bundle_id, "late_revision", "3"),
    ]
    assert lane.events.count("LATE_REVOCATION") == 1
    assert lane.green == before == ""


def test_what_central_said_before_an_officer_refused_does_not_come_back_when_the_officers_release_lapses() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(ttl_s=120.0)
    assert lane.green != ""
    lane.act(ActKind.REFER_CONVEYANCE, of=lane.first)
    assert lane.green == ""
    lane.drive_to_line()
    lane.wait(10.0)
    assert lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first, lease_s=5.0).result is ActResult.OK
    assert lane.green != ""
    lane.wait(6.0)
    assert lane.green == "", "central's release would be live still"
    lane.wait(10.0)
    assert lane.green == ""
    lane.decide(revision=2)
    assert lane.green != "", "central has decided anew"
