"""The record holds every number of the outcome report, taken from passages the core has sealed."""

from dataclasses import replace

import pytest

from drivers.api import Stamp
from edge_agent.bundle.record import BundleExtras, BundleRecord, ClockState, EvidenceRef, build_record
from edge_agent.model.conveyance import Conveyance, Flag, Outcome
from edge_agent.model.decision import Authority, Verdict
from edge_agent.model.identity import Leg
from edge_agent.model.lane import LaneMode
from tests.unit.passage.story import CONFIG, GEOMETRY, IDENTITY, Lane, Traffic, Truck

PICTURE = EvidenceRef("e-1", "JPEG", "FRONT", Stamp(1, 2), "sha256:0", 10, "P30D")
EXTRAS = BundleExtras(
    LaneMode.REMOTE, ClockState("ntp", 1.8, 4.0, False), GEOMETRY, CONFIG.kinematics, CONFIG.policy, "boot", (PICTURE,)
)


def record_of(conveyance: Conveyance) -> BundleRecord:
    """The record under test."""
    return build_record(conveyance, IDENTITY, EXTRAS)


def passage(latency_s: float = 0.8, kmh: float = 10.0) -> Conveyance:
    """One truck through the lane."""
    lane = Lane().start()
    Traffic(lane, [Truck("t1", 1.0, kmh=kmh)], latency_s).run(100)
    (sealed,) = lane.bundles
    return sealed


def test_a_nominal_passage() -> None:
    record = record_of(passage())
    assert record.outcome is Outcome.RELEASED_ROLLING
    assert record.released_without_stopping
    assert record.green_confirmed
    assert record.stops == record.dwell_ms == 0
    assert record.transit_ms == pytest.approx((62 + 37 + 18) / (10 / 3.6) * 1000, rel=0.02)
    assert record.speed.a_kmh == pytest.approx(10, rel=0.05)
    assert record.speed.least_kmh > 9
    assert record.speed.commit_m == pytest.approx(6.1, abs=0.4)  # 10 km/h: 1.5 s of it, and braking at 2 m/s2
    assert {(leg.leg, leg.complete, leg.claims) for leg in record.legs} == {
        (Leg.DRIVER, True, 1),
        (Leg.CONVEYANCE, True, 1),
        (Leg.CARGO, True, 1),
    }
    (decision,) = record.decisions
    assert decision.authority is Authority.SYSTEM
    assert decision.latency_ms == pytest.approx(800, abs=60)
    assert decision.before_decision_line
    assert decision.before_commit
    assert decision.requested_ms == record.requests[0].at_ms
    assert [s.commanded.value for s in record.signals] == ["green", "red"]
    assert record.signals[0].at_ms == record.granted_ms
    card = record.claims[0]
    assert card.reads > 3
    assert card.first_ms is not None
    assert card.first_ms < 0, "it was read before the loop saw the truck"
    assert record.claims[-1].source == "central"
    assert record.evidence == (PICTURE,)
    assert record.site.interlock_digest == "sha256:i"
    assert record.identity_digest == record.requests[0].identity_digest


def test_a_late_passage_counts_its_stop_and_is_not_without_stopping() -> None:
    record = record_of(passage(latency_s=25.0, kmh=12.0))
    assert record.outcome is Outcome.RELEASED_STOPPED
    assert not record.released_without_stopping
    assert record.stops == 1
    assert record.dwell_ms > 1000
    assert not record.decisions[0].before_commit
    assert Flag.LATE in record.flags


def test_only_a_sealed_conveyance_has_a_record() -> None:
    lane = Lane().start()
    with pytest.raises(ValueError, match="sealed"):
        record_of(lane.arrive())


def test_times_of_another_boot_are_not_subtracted() -> None:
    sealed = passage()
    later = Stamp(5, sealed.detected.utc_ns + 3_600_000_000_000)
    again = replace(sealed, detected=Stamp(10**15, sealed.detected.utc_ns), granted=later)
    assert record_of(again).granted_ms is None


def test_conflicts_are_facts() -> None:
    sealed = passage()
    first = sealed.assignments[0]
    claim = replace(first.sighting.claim, token="another")
    second = replace(first, sighting=replace(first.sighting, claim=claim), rivals=(("c-2", 0.7),))
    record = record_of(replace(sealed, assignments=(*sealed.assignments, second)))
    assert record.conflicts == ("several_driver_card", "rival_vehicles")
    refused = replace(sealed.decisions[0], verdict=Verdict.REFUSE_RETURN)
    assert record_of(replace(sealed, decisions=(refused,))).decisions[0].verdict is Verdict.REFUSE_RETURN
