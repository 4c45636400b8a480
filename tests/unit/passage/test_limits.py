"""Where one instant more or less decides, and where one vehicle's news must not become another's."""

from dataclasses import replace

import pytest

from drivers.api import Aspect, Grade, Stamp
from edge_agent.model.conveyance import Conveyance, Flag
from edge_agent.model.decision import ActKind, ActResult, Authority, Verdict
from edge_agent.model.effects import AddSupplement, EmitEvent, GrantLease, WithdrawLease
from edge_agent.model.identity import IdentityKind
from edge_agent.model.inputs import CentreLink, ClockStepped, DecisionReceived, SignalChanged, Tick, ZonesLost
from edge_agent.model.lane import LanePolicy, Zone
from edge_agent.passage.kinematics import excuse_ns, standing_time_ns
from edge_agent.passage.lane_control import LONGEST_S
from edge_agent.passage.leases import LIT_GRACE_NS, late_due_ns
from edge_agent.passage.state import RANK

from .story import CONFIG, GEOMETRY, KINEMATICS, NS, Lane, stamp


def ignored(lane: Lane) -> list[str]:
    """Reasons for which decisions were ignored so far."""
    return [dict(e.facts)["reason"] for e in lane.effects if isinstance(e, EmitEvent) and e.code == "DECISION_IGNORED"]


def ended(lane: Lane) -> list[tuple[float, str, bool]]:
    """When, why and how abruptly leases ended."""
    found = [e for e in lane.effects if isinstance(e, WithdrawLease)]
    return [(round(e.at.mono_ns / NS, 3), e.reason, e.immediate) for e in found]


def released(**more: float) -> Lane:
    """A truck on its way with a long release, on a lane with these times."""
    lane = Lane(replace(CONFIG, policy=LanePolicy(**more))).start()  # type: ignore[arg-type]
    lane.arrive()
    lane.decide(ttl_s=600.0)
    assert lane.green
    return lane


def test_a_green_outlives_the_centre_for_its_grace_and_ends_with_it() -> None:
    lane = released(centre_grace_s=3.0)
    lost = lane.now
    lane.feed(CentreLink(lane.at, False))
    lane.wait(2.9)
    assert lane.green
    lane.wait(0.1)
    assert ended(lane) == [(round(lost + 3.0, 3), "centre_lost", True)]


def test_a_centre_that_comes_back_within_the_grace_costs_no_green() -> None:
    lane = released(centre_grace_s=3.0)
    lane.feed(CentreLink(lane.at, False))
    lane.wait(2.9)
    lane.feed(CentreLink(lane.at, True))
    lane.wait(1.0)
    assert ended(lane) == []


def test_no_new_green_is_given_within_the_grace() -> None:
    lane = Lane(replace(CONFIG, policy=LanePolicy(centre_grace_s=3.0))).start()
    lane.arrive()
    lane.feed(CentreLink(lane.at, False))
    lane.decide()
    assert lane.green == ""


def test_an_equal_revision_counts_as_the_answer_to_a_later_request_when_the_identity_has_changed() -> None:
    lane = Lane().start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    lane.wait(1.0)
    lane.decide(Verdict.HOLD_AT_LINE)
    lane.see("t1-card-2")
    lane.wait(6.0)
    lane.off(Zone.A)
    lane.wait(1.0)
    assert Flag.MULTIPLE_CARDS in lane.first.flags
    lane.decide(Verdict.REFUSE_RETURN)
    assert ignored(lane) == []
    assert lane.first.decisions[-1].verdict is Verdict.REFUSE_RETURN


@pytest.mark.parametrize(("waits", "asked", "taken"), [(2.0, 2.0, True), (1.9, 1.9, False), (2.0, 0.0, False)])
def test_an_equal_revision_counts_from_the_instant_the_last_one_is_dead_and_for_a_later_request_only(
    waits: float, asked: float, taken: bool
) -> None:
    lane = Lane().start()
    lane.arrive()
    began = lane.now
    lane.decide(ttl_s=2.0)
    lane.wait(waits)
    lane.decide(Verdict.HOLD_AT_LINE, echoed=began + asked)
    assert ignored(lane) == ([] if taken else ["revision"])


def test_a_release_by_an_officer_that_lapses_leaves_what_central_said() -> None:
    lane = released()
    assert lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first, lease_s=5.0).result is ActResult.OK
    lane.wait(6.0)
    granted = [e.lease.authority for e in lane.effects if isinstance(e, GrantLease)]
    assert granted == [Authority.SYSTEM, Authority.BSO, Authority.SYSTEM]
    assert lane.green


def test_central_decides_for_itself_only() -> None:
    lane = Lane().start()
    lane.arrive()
    decision = lane.decide(Verdict.HOLD_AT_LINE)
    lane.feed(DecisionReceived(lane.at, replace(decision, decision_id="x", revision=2, authority=Authority.BSO)))
    assert ignored(lane) == ["officers_act_through_the_lane"]


def test_a_late_revision_is_of_its_own_passage_and_leaves_the_others_alone() -> None:
    lane = Lane().start()
    for name in ("t1", "t2"):
        lane.arrive(name)
        lane.decide()
        lane.drive_to_line()
        lane.pass_line()
    first, second = lane.bundles
    lane.decide(of=first, revision=5)
    lane.decide(of=second, revision=2)
    late = [e for e in lane.effects if isinstance(e, AddSupplement)]
    assert [(e.bundle_id, dict(e.facts)["revision"]) for e in late] == [(first.bundle_id, "5"), (second.bundle_id, "2")]


@pytest.mark.parametrize(
    ("required", "read", "green"),
    [
        (True, None, False),
        (True, IdentityKind.OTHER_TAG, False),
        (True, IdentityKind.CONTAINER, True),
        (False, None, True),
    ],
)
def test_a_release_that_names_no_cargo_is_enough_where_none_is_required_or_the_lane_has_read_some(
    required: bool, read: IdentityKind | None, green: bool
) -> None:
    lane = Lane(replace(CONFIG, policy=LanePolicy(required_cargo=required))).start()
    lane.on(Zone.A)
    lane.wait(0.4)
    lane.identify("t1")
    if read is not None:
        lane.see("t1-box", read)
    lane.wait(6.8)
    lane.off(Zone.A)
    lane.wait(1.0)
    lane.decide(cargo=False)
    assert bool(lane.green) is green


@pytest.mark.parametrize(("more_s", "accused"), [(-0.1, False), (0.1, True)])
def test_whoever_loses_a_green_that_nobody_told_of_is_excused_for_as_long_as_it_cannot_stop(
    more_s: float, accused: bool
) -> None:
    lane = Lane(shows=lambda _: None).start()
    lane.arrive()
    lane.decide()
    lane.wait(4.0)
    lane.on(Zone.D)
    lane.wait(6.5)
    lane.off(Zone.D)
    lane.wait(3.0)
    assert lane.green
    lane.decide(Verdict.REFER_SECONDARY, revision=2)
    lane.wait(excuse_ns(KINEMATICS, standing=False) / NS + more_s)
    lane.on(Zone.S)
    lane.on(Zone.BEAM)
    (passing,) = lane.state.conveyances
    assert (Flag.VIOLATION in passing.flags) is accused
    assert ("VIOLATION" in lane.events) is accused


def test_whoever_may_have_been_too_fast_to_stop_when_its_green_went_is_excused() -> None:
    lane = Lane(shows=lambda _: None).start()
    lane.arrive()
    lane.decide()
    lane.decide(Verdict.REFER_SECONDARY, revision=2)
    assert lane.first.committed is None
    lane.wait(1.0)
    lane.on(Zone.D)
    lane.wait(5.0)
    lane.on(Zone.S)
    lane.on(Zone.BEAM)
    assert Flag.VIOLATION not in lane.state.conveyances[0].flags


def test_a_lease_that_cannot_last_longer_is_not_renewed() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(ttl_s=4.0)
    lane.wait(3.0)
    lane.feed(ClockStepped(lane.at, 5))
    assert len(lane.of(GrantLease)) == 1
    lane.wait(1.0)
    assert [reason for _, reason, _ in ended(lane)] == ["decision_expired"]


def test_a_rolling_green_that_is_not_lit_is_late_from_the_very_instant() -> None:
    lane = Lane(shows=lambda _: None).start()
    lane.feed(SignalChanged(lane.at, Aspect.RED, Aspect.RED, Grade.LAMP, "no_lease", "", 0))
    lane.arrive()
    lane.decide()
    lane.wait(4.0)
    lane.on(Zone.D)
    held = lane.state.held
    assert held is not None
    due_ns = late_due_ns(lane.state, held)
    for at_ns, late in ((due_ns - 1, 0), (due_ns, due_ns)):
        lane.feed(Tick(Stamp(at_ns, at_ns)))
        assert lane.state.held is not None
        assert lane.state.held.late_ns == late


def test_zone_inputs_that_start_over_end_a_green() -> None:
    lane = released()
    lane.session += 1
    lane.zones()
    assert lane.green == ""
    assert [abrupt for _, _, abrupt in ended(lane)] == [True]


def test_what_central_refuses_after_an_officers_release_is_refused() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first)
    assert lane.green
    lane.wait(1.0)
    lane.decide(Verdict.REFER_SECONDARY)
    assert lane.green == ""


def test_a_green_that_ended_with_the_nose_was_used_however_often_the_head_was_told_of_it() -> None:
    lane = Lane(shows=lambda _: None).start()
    lane.arrive()
    lane.decide()
    for commanded, confirmed, reason in (
        (Aspect.GREEN, None, ""),
        (Aspect.GREEN, Aspect.GREEN, ""),
        (Aspect.RED, None, "nose_over_line"),
    ):
        lane.wait(0.1)
        lane.feed(SignalChanged(lane.at, commanded, confirmed, Grade.LAMP, reason, "", 1))
    assert ended(lane) == []


def test_a_worn_out_green_is_not_renewed_in_the_same_instant() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.drive_to_line()
    lane.wait(12.0)
    lane.decide(ttl_s=600)
    assert lane.green
    lane.now += 20.0
    lane.feed(Tick(lane.at))
    assert [reason for _, reason, _ in ended(lane)] == ["stalled_after_green"]
    assert len(lane.of(GrantLease)) == 1


def test_a_new_decision_gives_no_more_time_to_a_green_that_is_not_lit() -> None:
    lane = Lane(shows=lambda _: None).start()
    lane.feed(SignalChanged(lane.at, Aspect.RED, Aspect.RED, Grade.LAMP, "no_lease", "", 0))
    lane.arrive()
    lane.decide()
    lane.wait(4.0)
    lane.on(Zone.D)
    while lane.state.held is not None and not lane.state.held.late_ns:
        lane.wait(0.1)
    late = lane.now
    lane.wait(0.1)
    lane.decide(revision=2)
    assert len(lane.of(GrantLease)) == 2
    lane.wait(1.0)
    assert [(at, reason) for at, reason, _ in ended(lane)] == [(round(late + LIT_GRACE_NS / NS, 3), "not_lit_in_time")]


def test_a_new_green_takes_the_excuse_for_the_last_one_with_it() -> None:
    lane = Lane(shows=lambda _: None).start()
    lane.arrive()
    lane.decide()
    lane.decide(Verdict.HOLD_AT_LINE, revision=2)
    assert lane.state.tracks[0].excused_ns > 0
    lane.decide(revision=3)
    assert lane.green
    assert lane.state.tracks[0].excused_ns == 0


@pytest.mark.parametrize(("asked", "lasts"), [(0.0, 4.0), (0.5, 0.5), (LONGEST_S, LONGEST_S)])
def test_control_lasts_as_long_as_asked_for_and_else_as_policy_has_it(asked: float, lasts: float) -> None:
    lane = Lane().start()
    lane.act(ActKind.GIVE_CONTROL)
    lane.wait(1.0)
    assert lane.state.control.since == stamp(0.0)
    assert lane.control(duration_s=asked).result is ActResult.OK
    assert (lane.state.control.lasts_s, lane.state.control.since) == (lasts, lane.at)


def test_who_enters_in_the_instant_in_which_the_order_is_lost_is_accounted_for() -> None:
    lane = Lane().start()
    lane.zones((Zone.A, True), (Zone.X, True))
    assert not lane.order_known()
    lane.wait(0.4)
    lane.identify("t1")
    lane.wait(6.8)
    lane.zones((Zone.A, False), (Zone.X, False))
    lane.drive_to_line()
    lane.wait(12.0)
    lane.decide()
    assert lane.green
    lane.pass_line()
    assert lane.order_known()


def test_who_crosses_on_red_brings_no_order_back() -> None:
    lane = Lane().start(order_known=False)
    lane.arrive()
    lane.drive_to_line()
    lane.pass_line()
    lane.wait(5.0)
    assert lane.state.conveyances == ()
    assert not lane.order_known()


def _lost_inputs_behind(lane: Lane, seconds: float, follower: str | None = "t2") -> list[Conveyance]:
    """Two trucks on their way, the first behind D; nothing is seen for so long, and then nobody anywhere."""
    first = lane.arrive()
    lane.wait(4.0)
    lane.on(Zone.D)
    lane.wait(4.0)
    lane.off(Zone.D)
    second = lane.arrive(follower)
    lane.feed(ZonesLost(lane.at, "INPUTS_STALE"))
    lane.wait(seconds)
    return [first, second]


def test_whom_the_officer_does_not_see_is_sealed_as_unproven_with_the_act_on_the_record() -> None:
    lane = Lane().start()
    trucks = _lost_inputs_behind(lane, 2.0)
    lane.zones()
    lane.act(ActKind.CONFIRM_ORDER)
    assert [b.conveyance_id for b in lane.bundles] == [truck.conveyance_id for truck in trucks]
    for record in lane.bundles:
        assert Flag.UNPROVEN in record.flags
        assert [(note.act, note.officer) for note in record.interventions] == [("confirm_order", "bso:p1")]


def test_the_one_whom_the_officer_sees_at_the_line_stands_there_from_then_on() -> None:
    lane = Lane().start()
    first, second = _lost_inputs_behind(lane, 2.0)
    lane.zones((Zone.S, True))
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(first.conveyance_id, second.conveyance_id))
    confirmed = lane.now
    while lane.state.tracks[0].standing is None:
        lane.wait(0.1)
    assert lane.now - confirmed == pytest.approx(standing_time_ns(0, GEOMETRY, KINEMATICS) / NS, abs=0.1)
    lane.decide(of=first)
    assert lane.green == first.conveyance_id
    assert Zone.S not in lane.state.tracks[1].over


def test_after_a_long_gap_the_first_may_be_past_the_line_and_the_rest_is_sealed() -> None:
    lane = Lane().start()
    first, second = _lost_inputs_behind(lane, 20.0, None)
    lane.zones()
    lane.act(ActKind.CONFIRM_ORDER)
    assert [b.conveyance_id for b in lane.bundles] == [second.conveyance_id]
    assert [(c.conveyance_id, Flag.DOUBTFUL in c.flags) for c in lane.state.conveyances] == [
        (first.conveyance_id, True)
    ]


def test_what_was_accounted_for_counts_for_nothing_once_the_order_is_lost_again() -> None:
    lane = Lane().start(order_known=False)
    lost = lane.state.order.since
    lane.arrive()
    lane.drive_to_line()
    lane.wait(12.0)
    lane.decide()
    lane.arrive("t2")
    lane.pass_line()
    orders = [lane.state.order]
    lane.on(Zone.BEAM)
    orders.append(lane.state.order)
    assert [order.accounted for order in orders] == [True, False]
    assert [order.since for order in orders] == [lost, lost], "in doubt since then, without a break"


def test_who_is_past_the_line_is_spared_the_doubt_about_the_order_and_not_that_about_the_clock() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    lane.wait(5.0)
    lane.off(Zone.S)
    lane.wait(1.0)
    lane.off(Zone.BEAM)
    lane.feed(ClockStepped(lane.at, 5000))
    lane.feed(ZonesLost(lane.at, "INPUTS_STALE"))
    (passed,) = lane.state.conveyances
    assert Flag.CLOCK_STEPPED in passed.flags
    assert Flag.ORDER_UNKNOWN not in passed.flags


def test_an_order_that_is_known_again_is_so_from_now() -> None:
    lane = Lane().start(order_known=False)
    lane.wait(3.0)
    lane.act(ActKind.CONFIRM_ORDER)
    assert lane.state.order.since == lane.at
    lane.wait(2.0)
    lane.on(Zone.BEAM)
    assert lane.state.order.since == lane.at


def test_behind_the_one_at_the_line_nobody_else_is_there() -> None:
    lane = Lane().start()
    first, second = _lost_inputs_behind(lane, 2.0)
    lane.zones((Zone.D, True))
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(first.conveyance_id, second.conveyance_id))
    assert [track.reached for track in lane.state.tracks] == [RANK[Zone.D], RANK[Zone.D]]
    lane.off(Zone.D)
    lane.on(Zone.S)
    assert [Zone.S in track.over for track in lane.state.tracks] == [True, False]
