"""A bundle record as `securecorridor.release.v1.Bundle`. Serialised once by the caller; never made again."""

from collections.abc import Iterable

from drivers.api import Aspect, Grade, Stamp
from edge_agent.bundle.record import BundleRecord, ClaimRecord, DecisionRecord, LegRecord, SignalRecord
from edge_agent.model.conveyance import Flag
from edge_agent.model.identity import BINDING, IdentityKind
from securecorridor.lane.v1 import types_pb2 as lane_pb
from securecorridor.release.v1 import record_pb2 as pb

from . import enums, types

_MS = 1_000_000
_CLOCK_SOURCE = {
    "free": pb.ClockState.SOURCE_FREE,
    "ntp": pb.ClockState.SOURCE_NTP,
    "ptp": pb.ClockState.SOURCE_PTP,
}


def bundle_message(record: BundleRecord, chain_prev: bytes) -> pb.Bundle:
    """The bundle. `chain_prev` is the 32-byte chain head before it."""
    site, clock = record.site, record.clock
    message = pb.Bundle(
        bundle_id=record.bundle_id,
        conveyance_id=record.conveyance_id,
        chain_prev=chain_prev,
        site=pb.Site(lane=site.lane, office=site.office, unlocode=site.unlocode, direction=site.direction),
        mode=enums.LANE_MODE.to_wire(record.mode),
        clock=pb.ClockState(
            source=_CLOCK_SOURCE.get(clock.source, pb.ClockState.SOURCE_UNSPECIFIED),
            offset_ms=clock.offset_ms,
            uncertainty_ms=clock.uncertainty_ms,
            stepped=clock.stepped,
            boot_id=record.boot_id,
        ),
        agent=pb.AgentState(
            version=site.agent_version,
            config_digest=site.config_digest,
            profile_digest=site.profile_digest,
            interlock_digest=site.interlock_digest,
        ),
        vehicle=pb.Bundle.Vehicle(
            length_m=record.length_m,
            speed_a_d_kmh=record.speed.a_kmh,
            speed_d_s_kmh=record.speed.s_kmh,
            speed_min_kmh=record.speed.least_kmh,
            axles=record.axles,
            vehicle_class=record.vehicle_class,
        ),
        times=types.zone_times(record.times),
        movement=_movement(record),
        identity=_identity(record),
        decisions=[_decision(decision, record) for decision in record.decisions],
        flags=[flag.value for flag in record.flags],
        outcome=enums.OUTCOME.to_wire(record.outcome),
        detected=types.moment(record.detected),
        sealed=types.moment(record.ended),
        privacy=pb.Bundle.Privacy(classification=record.privacy_class, legal_hold=record.legal_hold),
        key_times=_key_times(record),
    )
    _add_histories(message, record)
    return message


def _movement(record: BundleRecord) -> pb.Bundle.Movement:
    message = pb.Bundle.Movement(
        stops=record.stops,
        released_without_stopping=record.released_without_stopping,
        commit_distance_m=record.speed.commit_m,
    )
    message.dwell.FromMilliseconds(record.dwell_ms)
    if record.transit_ms is not None:
        message.transit.FromMilliseconds(record.transit_ms)
    return message


def _identity(record: BundleRecord) -> pb.Bundle.Identity:
    return pb.Bundle.Identity(
        assignments=[_claim(claim, record.detected) for claim in record.claims],
        doubtful=[_claim(claim, record.detected) for claim in record.doubtful],
        digest=record.identity_digest,
        legs=[_leg(leg, record.claims) for leg in record.legs],
        conflicts=record.conflicts,
        read_expected=record.times.a_nose is not None and Flag.READER_GAP not in record.flags,
    )


def _leg(leg: LegRecord, claims: Iterable[ClaimRecord]) -> pb.Bundle.Identity.LegState:
    return pb.Bundle.Identity.LegState(
        leg=enums.LEG.to_wire(leg.leg),
        complete=leg.complete,
        required=leg.required,
        claims=leg.claims,
        confidence=max((claim.confidence for claim in claims if claim.leg is leg.leg), default=0.0),
    )


def _claim(claim: ClaimRecord, start: Stamp) -> lane_pb.Assignment:
    device, _, antenna = claim.source.partition("/")
    return lane_pb.Assignment(
        claim=lane_pb.IdentityClaim(
            kind=enums.IDENTITY_KIND.to_wire(claim.kind),
            leg=enums.LEG.to_wire(claim.leg),
            token=claim.token,
            sealed=lane_pb.SealedIdentity(key_id=claim.sealed_key_id, ciphertext=claim.sealed),
            source=claim.source,
            confidence=claim.confidence,
            binding=_binding(claim.kind),
            scheme=claim.scheme,
            filter_value=claim.filter_value,
            tid_token=claim.tid_token,
        ),
        device=device,
        antenna=int(antenna) if antenna.isdecimal() else 0,
        reads=claim.reads,
        rssi_peak_cdbm=claim.rssi_peak_cdbm,
        first=_after(start, claim.first_ms),
        peak=_after(start, claim.peak_ms),
        last=_after(start, claim.last_ms),
        score=claim.score,
        rivals=[lane_pb.Assignment.Rival(conveyance_id=rival, score=score) for rival, score in claim.rivals],
        early=claim.early,
        rssi_mean_cdbm=claim.rssi_mean_cdbm,
    )


def _binding(kind: IdentityKind) -> bool:
    return kind in BINDING


def _after(start: Stamp, offset_ms: int | None) -> lane_pb.Moment | None:
    if offset_ms is None:
        return None
    return types.moment(Stamp(start.mono_ns + offset_ms * _MS, start.utc_ns + offset_ms * _MS))


def _decision(taken: DecisionRecord, record: BundleRecord) -> pb.Bundle.DecisionTaken:
    decision = lane_pb.Decision(
        decision_id=taken.decision_id,
        conveyance_id=record.conveyance_id,
        revision=taken.revision,
        verdict=enums.VERDICT.to_wire(taken.verdict),
        authority=enums.AUTHORITY.to_wire(taken.authority),
        identity_digest=taken.identity_digest,
        ttl_ms=taken.ttl_ms,
        basis=taken.basis,
        referral_reason=enums.REFERRAL.to_wire(taken.referral),
        officer=taken.officer,
        programmes=taken.programmes,
    )
    decision.issue_time.FromNanoseconds(taken.issued_utc_ns)
    if taken.requested_ms is not None:  # an officer's answers none, and neither does one from before a restart
        answered = next((r.at for r in record.requests if r.at_ms == taken.requested_ms), None)
        decision.echoed_stamp_mono_ns = answered.mono_ns if answered is not None else 0
    message = pb.Bundle.DecisionTaken(
        decision=decision,
        received=types.moment(taken.received),
        before_d=taken.before_decision_line,
        before_commit=taken.before_commit,
    )
    if taken.latency_ms is not None:
        message.latency.FromMilliseconds(taken.latency_ms)
    return message


def _key_times(record: BundleRecord) -> pb.Bundle.Times:
    complete = next((request.at for request in record.requests if request.complete), None)
    first_request = record.requests[0].at if record.requests else None
    first_decision = record.decisions[0].received if record.decisions else None
    return pb.Bundle.Times(
        identity_complete=types.optional_moment(complete),
        first_request=types.optional_moment(first_request),
        first_decision=types.optional_moment(first_decision),
        green_commanded=types.optional_moment(_first(record.signals, confirmed=False)),
        green_confirmed=types.optional_moment(_first(record.signals, confirmed=True)),
        committed=types.optional_moment(record.committed),
    )


def _first(signals: Iterable[SignalRecord], *, confirmed: bool) -> Stamp | None:
    for signal in signals:
        shown = signal.confirmed is Aspect.GREEN and signal.grade >= Grade.CONTACT
        if shown if confirmed else signal.commanded is Aspect.GREEN:
            return signal.at
    return None


def _add_histories(message: pb.Bundle, record: BundleRecord) -> None:
    for request in record.requests:
        message.requests.add(
            at=types.moment(request.at),
            revision=request.revision,
            identity_digest=request.identity_digest,
            complete=request.complete,
        )
    for signal in record.signals:
        message.signals.add(
            at=types.moment(signal.at),
            commanded=enums.ASPECT.to_wire(signal.commanded),
            confirmed=enums.ASPECT.to_wire(signal.confirmed),
            grade=enums.GRADE.to_wire(signal.grade),
            reason=signal.reason,
        )
    for act in record.interventions:
        message.interventions.add(
            at=types.moment(act.at),
            act=act.act,
            officer=act.officer,
            role=act.role,
            request_id=act.request_id,
            result=act.result,
            reason=act.reason,
        )
    for evidence in record.evidence:
        message.evidence.add(
            evidence_id=evidence.evidence_id,
            kind=evidence.kind,
            view=evidence.view,
            at=types.moment(evidence.at),
            sha256=bytes.fromhex(evidence.sha256.removeprefix("sha256:")),
            size_bytes=evidence.size_bytes,
            retain=evidence.retain,
        )
