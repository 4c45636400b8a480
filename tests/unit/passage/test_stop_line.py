"""Stories at the stop line: holds, refusals, crossings on red, revocations, and a light that does not show."""

import pytest

from drivers.api import Aspect, Grade
from edge_agent.model.conveyance import Flag, Outcome, Phase
from edge_agent.model.decision import ActKind, ActResult, Role, Verdict
from edge_agent.model.effects import AddSupplement, GrantLease
from edge_agent.model.identity import IdentityKind
from edge_agent.model.inputs import CentreLink, DeviceChanged, SignalChanged
from edge_agent.model.lane import Zone

from .story import Lane, Traffic, Truck


def test_hold_turns_red_at_once_and_clearing_it_gives_green_back() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    assert lane.green == lane.first.conveyance_id

    answer = lane.act(ActKind.HOLD_LANE, Role.VIEWER, reason="dog in the lane")
    assert answer.result is ActResult.OK
    assert answer.may_clear == ("officer",)
    assert lane.green == ""
    assert lane.withdrawn[-1].immediate
    assert lane.act(ActKind.CLEAR_HOLD, Role.VIEWER).result is ActResult.PERMISSION_DENIED
    assert lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first).result is ActResult.FAILED_PRECONDITION
    assert lane.act(ActKind.CLEAR_HOLD, Role.OFFICER).result is ActResult.OK
    assert lane.green == lane.first.conveyance_id
    assert [i.act for i in lane.first.interventions] == ["hold_lane", "clear_hold", "release_conveyance", "clear_hold"]


def test_hold_on_one_vehicle_keeps_only_that_one() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.act(ActKind.HOLD_CONVEYANCE, Role.TECHNICIAN, of=truck)
    lane.decide()
    assert lane.green == ""
    assert lane.act(ActKind.CLEAR_HOLD, Role.TECHNICIAN, of=lane.first).result is ActResult.PERMISSION_DENIED
    assert lane.green == ""
    assert lane.act(ActKind.CLEAR_HOLD, of=lane.first).result is ActResult.OK
    assert lane.green == truck.conveyance_id


def test_a_truck_without_tags_is_asked_for_and_an_officer_releases_it_standing() -> None:
    lane = Lane().start()
    lane.arrive(None)
    assert lane.asked == []
    lane.wait(4.0)
    lane.on(Zone.D)
    assert not lane.asked[-1].complete
    assert Flag.NO_TAG in lane.first.flags
    lane.decide(Verdict.MANUAL_LANE)
    lane.wait(12)
    lane.off(Zone.D)
    lane.on(Zone.S)
    lane.wait(8)
    assert lane.green == ""
    assert lane.act(ActKind.RELEASE_CONVEYANCE, of=lane.first, reason="papers seen").result is ActResult.OK
    assert lane.state.lease is not None
    assert lane.state.lease.standing
    lane.pass_line()
    assert lane.bundles[0].outcome is Outcome.RELEASED_STOPPED
    assert [i.act for i in lane.bundles[0].interventions] == ["release_conveyance"]


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [(Verdict.REFUSE_RETURN, Outcome.REFUSED), (Verdict.REFER_SECONDARY, Outcome.REFERRED)],
)
def test_a_refused_or_referred_truck_gets_no_green_and_may_be_directed_away(verdict: Verdict, outcome: Outcome) -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(verdict)
    lane.drive_to_line()
    lane.wait(8)
    assert lane.of(GrantLease) == []
    assert lane.first.phase is Phase.DECIDED
    lane.act(ActKind.DIRECT_CONVEYANCE, of=lane.first, verdict=verdict)
    lane.pass_line()
    assert lane.bundles[0].outcome is outcome
    assert Flag.DIVERTED in lane.bundles[0].flags
    assert Flag.VIOLATION not in lane.bundles[0].flags


def test_an_officers_referral_stands_against_a_later_release_by_central() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.act(ActKind.REFER_CONVEYANCE, of=lane.first)
    lane.decide(revision=5)
    assert lane.green == ""


def test_driving_through_red_is_a_violation_with_a_bundle_of_its_own() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    assert "VIOLATION" in lane.events
    lane.wait(5)
    lane.zones((Zone.BEAM, False), (Zone.S, False))
    lane.wait(6)
    lane.on(Zone.X)
    lane.wait(6)
    lane.off(Zone.X)
    assert [b.outcome for b in lane.bundles] == [Outcome.VIOLATION]


def test_a_tailgater_crosses_on_red_behind_a_released_truck() -> None:
    lane = Lane().start()
    trucks = [Truck("t1", 1.0, kmh=12), Truck("t2", 9.0, kmh=12, obeys=False)]
    traffic = Traffic(lane, trucks)
    traffic.verdicts["t2"] = Verdict.HOLD_AT_LINE
    traffic.run(80)
    assert [b.outcome for b in lane.bundles] == [Outcome.RELEASED_ROLLING, Outcome.VIOLATION]
    assert not traffic.wrong_greens


def test_revocation_upstream_of_the_commit_distance_is_just_red() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.wait(1)
    lane.decide(Verdict.HOLD_AT_LINE, revision=2)
    assert lane.withdrawn[-1].immediate
    assert Flag.REVOKED in lane.first.flags
    assert Flag.LATE_REVOCATION not in lane.first.flags


def test_revocation_inside_the_commit_distance_is_not_the_drivers_doing() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.wait(3.5)
    lane.on(Zone.D)
    lane.wait(9.0)
    assert lane.first.committed is not None
    lane.decide(Verdict.REFER_SECONDARY, revision=2)
    assert lane.withdrawn[-1].immediate
    assert "LATE_REVOCATION" in lane.events
    lane.on(Zone.S)
    lane.wait(0.8)
    lane.pass_line()
    (bundle,) = lane.bundles
    assert Flag.LATE_REVOCATION in bundle.flags
    assert Flag.VIOLATION not in bundle.flags
    assert bundle.outcome is Outcome.REFERRED
    assert [d.revision for d in bundle.decisions] == [1, 2]


def test_who_stops_for_the_revocation_and_then_drives_on_violates() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.wait(3.5)
    lane.on(Zone.D)
    lane.wait(9.0)
    lane.decide(Verdict.REFER_SECONDARY, revision=2)
    lane.off(Zone.D)
    lane.on(Zone.S)
    lane.wait(20)
    lane.on(Zone.BEAM)
    assert Flag.VIOLATION in lane.state.conveyances[0].flags


def test_a_card_read_late_voids_the_decision_and_is_recorded_inside_the_commit_distance() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.wait(3.5)
    lane.on(Zone.D)
    lane.wait(8.0)
    asked = lane.asked[-1]
    lane.see("other-card", ago=18.0)
    lane.wait(0.5)
    (truck,) = lane.state.conveyances
    assert {Flag.LATE_CHANGE, Flag.MULTIPLE_CARDS} <= set(truck.flags)
    assert lane.withdrawn[-1].reason == "identity_changed"
    assert lane.asked[-1].revision == asked.revision + 1
    assert lane.asked[-1].identity_digest != asked.identity_digest
    lane.on(Zone.S)
    lane.pass_line()
    assert Flag.VIOLATION not in lane.bundles[0].flags


def test_supplementary_evidence_raises_the_revision_and_voids_nothing() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    green = lane.green
    lane.see("cargo-tag", IdentityKind.OTHER_TAG, ago=3.0)
    lane.wait(1.0)
    assert lane.green == green
    assert lane.asked[-1].revision == len(lane.asked)
    assert lane.asked[-1].identity_digest == lane.asked[0].identity_digest


def test_a_green_that_is_never_confirmed_is_recorded_as_such() -> None:
    lane = Lane(signal_lies=lambda aspect: (None, Grade.COIL)).start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    assert Flag.UNCONFIRMED_GREEN in lane.bundles[0].flags


def test_a_signal_fault_latches_and_stays_whoever_says_so() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.feed(SignalChanged(lane.at, Aspect.RED, None, Grade.NONE, "readback_disagrees", "SIGNAL_MISMATCH", 1))
    assert lane.mode == "fault"
    assert lane.withdrawn[-1].immediate
    lane.feed(SignalChanged(lane.at, Aspect.RED, Aspect.RED, Grade.LAMP, "fault_latched", "", 0))
    assert lane.mode == "fault"
    assert lane.act(ActKind.SET_MODE, mode="remote").result is ActResult.FAILED_PRECONDITION
    assert lane.act(ActKind.CLEAR_FAULT, Role.VIEWER).result is ActResult.PERMISSION_DENIED
    assert lane.act(ActKind.CLEAR_FAULT, Role.OFFICER).result is ActResult.FAILED_PRECONDITION
    assert lane.mode == "fault"
    assert lane.green == ""


def test_the_centre_lost_withdraws_its_green_and_asks_again_when_it_is_back() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(ttl_s=5)
    lane.feed(CentreLink(lane.at, False))
    assert lane.green == ""
    assert lane.withdrawn[-1].immediate
    assert ("CENTRE_LOST", True) in lane.conditions
    lane.wait(6)
    asked = len(lane.asked)
    lane.feed(CentreLink(lane.at, True))
    assert len(lane.asked) == asked + 1
    lane.decide(revision=2)
    assert lane.green != ""
    assert Flag.CENTRE_LOST in lane.first.flags


def test_a_required_device_down_withholds_green() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.feed(DeviceChanged(lane.at, "camera-1", False, "CAMERA_LINK_LOST", True))
    lane.decide()
    assert lane.green == ""
    lane.feed(DeviceChanged(lane.at, "camera-1", True, "", True))
    assert lane.green != ""


def test_a_release_without_cargo_is_not_green_where_cargo_is_required() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(cargo=False)
    assert lane.green == ""
    lane.decide(revision=2)
    assert lane.green != ""


def test_a_vehicle_that_does_not_use_its_green_needs_a_new_release() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide(ttl_s=600)
    lane.drive_to_line()
    lane.wait(20)
    assert lane.green == ""
    assert Flag.STALLED_AFTER_GREEN in lane.first.flags
    lane.decide(revision=2, ttl_s=600)
    assert lane.green != ""


def test_a_revision_after_sealing_becomes_a_supplement() -> None:
    lane = Lane().start()
    truck = lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    lane.decide(Verdict.REFER_SECONDARY, of=truck, revision=2)
    (supplement,) = lane.of(AddSupplement)
    assert isinstance(supplement, AddSupplement)
    assert supplement.bundle_id == truck.bundle_id
    assert ("verdict", "refer_secondary") in supplement.facts


def test_a_truck_that_rolls_back_from_the_line_is_recorded_and_loses_its_green() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.wait(1)
    lane.off(Zone.S)
    assert Flag.REVERSED in lane.first.flags
    assert lane.withdrawn[-1].immediate
    assert not lane.order_known()


@pytest.mark.parametrize("verdict", [Verdict.REFER_SECONDARY, Verdict.REFUSE_RETURN])
def test_a_truck_sent_out_of_the_lane_before_the_line_is_sealed_and_the_next_waits_for_the_officer(
    verdict: Verdict,
) -> None:
    lane = Lane().start()
    lane.arrive("t1")
    lane.decide(verdict)
    lane.drive_to_line()
    lane.wait(8)
    lane.act(ActKind.DIRECT_CONVEYANCE, of=lane.first, verdict=verdict)
    lane.wait(3)
    lane.off(Zone.S)
    (bundle,) = lane.bundles
    assert bundle.outcome in {Outcome.REFERRED, Outcome.REFUSED}
    assert set(bundle.flags) == {Flag.DIVERTED, Flag.ORDER_UNKNOWN, Flag.WAITING_AT_LINE}
    lane.wait(5)
    lane.arrive("t2")
    lane.decide()
    assert lane.green == "", "a stop loop that died under it looks the same"
    lane.act(ActKind.CONFIRM_ORDER, confirmed_order=(lane.first.conveyance_id,))
    assert lane.green == lane.first.conveyance_id


def test_crossing_while_the_interlock_kept_the_head_red_is_a_violation_lease_or_not() -> None:
    lane = Lane(signal_lies=lambda _aspect: (Aspect.RED, Grade.LAMP)).start()
    lane.shows = lambda _aspect: Aspect.RED
    lane.feed(SignalChanged(lane.at, Aspect.RED, Aspect.RED, Grade.LAMP, "no_lease", "", 0))
    lane.arrive()
    lane.decide()
    assert lane.green
    lane.drive_to_line()
    lane.on(Zone.BEAM)
    assert Flag.VIOLATION in lane.state.conveyances[0].flags


def test_the_interlock_may_answer_the_crossing_before_the_core_hears_of_it() -> None:
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    seq = lane.state.lease_seq
    lane.feed(SignalChanged(lane.at, Aspect.RED, Aspect.GREEN, Grade.LAMP, "nose_over_line", "", seq))
    lane.pass_line()
    assert lane.bundles[0].outcome is Outcome.RELEASED_ROLLING
    assert lane.bundles[0].flags == ()


def test_without_a_word_from_the_signal_loop_the_green_is_unconfirmed() -> None:
    lane = Lane()
    lane.shows = lambda _aspect: None
    lane.start()
    lane.arrive()
    lane.decide()
    lane.drive_to_line()
    lane.pass_line()
    assert lane.bundles[0].flags == (Flag.UNCONFIRMED_GREEN,)


def test_an_exit_that_x_missed_does_not_shift_those_of_the_trucks_behind() -> None:
    lane = Lane().start()
    trucks = []
    for name in ("t1", "t2", "t3"):
        trucks.append(lane.arrive(name).conveyance_id)
        lane.decide()
        lane.drive_to_line()
        lane.on(Zone.BEAM)
        lane.wait(5)
        lane.off(Zone.S)
        lane.wait(1)
        lane.off(Zone.BEAM)
        lane.wait(7)
        if name != "t1":  # X is dead for the first
            lane.on(Zone.X)
            lane.wait(6)
            lane.off(Zone.X)
            assert [b.conveyance_id for b in lane.bundles] == trucks
    assert Flag.SENSOR_FAULT in lane.bundles[0].flags
    assert [b.times.x_tail is None for b in lane.bundles] == [True, False, False]


def test_a_hold_before_a_truck_that_stopped_on_its_way_and_rolls_again_accuses_nobody() -> None:
    """The mean speed since A says that it is still upstream of C(v); it has come faster."""
    lane = Lane().start()
    lane.arrive()
    lane.decide()
    lane.wait(14)
    lane.on(Zone.D)
    lane.wait(5)
    assert lane.first.committed is None
    lane.act(ActKind.HOLD_LANE)
    lane.wait(1)
    lane.on(Zone.S)
    lane.wait(0.8)
    lane.pass_line()
    assert Flag.VIOLATION not in lane.bundles[0].flags
