"""Shared vocabulary messages (`securecorridor.lane.v1` types) to and from model records."""

from drivers.api import Stamp
from edge_agent.model.conveyance import Intervention, RequestMade, SignalEvent, ZoneTimes
from edge_agent.model.decision import Authority, Decision, Hold, ReferralReason, Verdict
from edge_agent.model.identity import Assignment, IdentityClaim, IdentityKind, Sighting
from securecorridor.lane.v1 import types_pb2 as pb

from . import enums


def moment(stamp: Stamp) -> pb.Moment:
    """A stamp as a Moment."""
    message = pb.Moment(mono_ns=stamp.mono_ns)
    message.time.FromNanoseconds(stamp.utc_ns)
    return message


def optional_moment(stamp: Stamp | None) -> pb.Moment | None:
    """A stamp as a Moment, or None (the field stays absent)."""
    return None if stamp is None else moment(stamp)


def stamp(message: pb.Moment) -> Stamp:
    """A Moment as a stamp."""
    return Stamp(mono_ns=message.mono_ns, utc_ns=message.time.ToNanoseconds())


def claim(record: IdentityClaim) -> pb.IdentityClaim:
    """An identity claim."""
    return pb.IdentityClaim(
        kind=enums.IDENTITY_KIND.to_wire(record.kind),
        leg=enums.LEG.to_wire(record.leg),
        token=record.token,
        sealed=pb.SealedIdentity(key_id=record.sealed_key_id, ciphertext=record.sealed),
        source=record.source,
        confidence=record.confidence,
        binding=record.binding,
        scheme=record.scheme,
        filter_value=record.filter_value,
        tid_token=record.tid_token,
    )


def claim_record(message: pb.IdentityClaim) -> IdentityClaim | None:
    """An identity claim back; None when its kind is unknown to this version."""
    kind: IdentityKind | None = enums.IDENTITY_KIND.from_wire(message.kind)
    if kind is None:
        return None
    return IdentityClaim(
        kind=kind,
        token=message.token,
        sealed=message.sealed.ciphertext,
        sealed_key_id=message.sealed.key_id,
        source=message.source,
        confidence=message.confidence,
        scheme=message.scheme,
        filter_value=message.filter_value if message.HasField("filter_value") else None,
        tid_token=message.tid_token,
    )


def assignment(record: Assignment) -> pb.Assignment:
    """An assignment with its sighting flattened in."""
    sighting: Sighting = record.sighting
    return pb.Assignment(
        claim=claim(sighting.claim),
        sighting_id=sighting.sighting_id,
        device=sighting.device,
        antenna=sighting.antenna,
        reads=sighting.reads,
        rssi_peak_cdbm=sighting.rssi_peak_cdbm,
        first=moment(sighting.first),
        peak=moment(sighting.peak),
        last=moment(sighting.last),
        score=record.score,
        rivals=[pb.Assignment.Rival(conveyance_id=rival, score=score) for rival, score in record.rivals],
        early=record.early,
        rssi_mean_cdbm=sighting.rssi_mean_cdbm,
    )


def decision(record: Decision) -> pb.Decision:
    """A decision."""
    message = pb.Decision(
        decision_id=record.decision_id,
        conveyance_id=record.conveyance_id,
        revision=record.revision,
        verdict=enums.VERDICT.to_wire(record.verdict),
        authority=enums.AUTHORITY.to_wire(record.authority),
        identity_digest=record.identity_digest,
        echoed_stamp_mono_ns=record.echoed_mono_ns,
        ttl_ms=record.ttl_ms,
        basis=record.basis,
        referral_reason=enums.REFERRAL.to_wire(record.referral),
        officer=record.officer,
        cargo=[claim(c) for c in record.cargo],
        programmes=record.programmes,
    )
    message.issue_time.FromNanoseconds(record.issued_utc_ns)
    return message


TTL_MAX_MS = 3_600_000
"""Longest time to live of a decision."""


def decision_record(message: pb.Decision, received: Stamp) -> Decision:
    """A decision back, stamped with its arrival. An unknown verdict becomes NO_DECISION, which is never green.

    One whose time to live is out of range, or that answers a request later than now (of another boot of this computer,
    say), is never live.
    """
    echoed_ns = message.echoed_stamp_mono_ns
    in_range = 1 <= message.ttl_ms <= TTL_MAX_MS and 0 < echoed_ns <= received.mono_ns
    return Decision(
        decision_id=message.decision_id,
        conveyance_id=message.conveyance_id,
        revision=message.revision,
        verdict=enums.VERDICT.from_wire(message.verdict) or Verdict.NO_DECISION,
        authority=enums.AUTHORITY.from_wire(message.authority) or Authority.SYSTEM,
        identity_digest=message.identity_digest,
        echoed_mono_ns=min(echoed_ns, received.mono_ns),
        ttl_ms=message.ttl_ms if in_range else 0,
        issued_utc_ns=message.issue_time.ToNanoseconds(),
        received=received,
        basis=message.basis,
        referral=enums.REFERRAL.from_wire(message.referral_reason) or ReferralReason.UNSPECIFIED,
        officer=message.officer,
        cargo=tuple(c for c in map(claim_record, message.cargo) if c is not None),
        programmes=tuple(message.programmes),
    )


def zone_times(record: ZoneTimes) -> pb.ZoneTimes:
    """Zone times; unknown ones stay absent."""
    return pb.ZoneTimes(
        a_nose=optional_moment(record.a_nose),
        a_tail=optional_moment(record.a_tail),
        d_nose=optional_moment(record.d_nose),
        d_tail=optional_moment(record.d_tail),
        s_loop=optional_moment(record.s_loop),
        s_nose=optional_moment(record.s_nose),
        s_tail=optional_moment(record.s_tail),
        x_nose=optional_moment(record.x_nose),
        x_tail=optional_moment(record.x_tail),
    )


def request_made(record: RequestMade) -> pb.RequestMade:
    """A request that was sent."""
    return pb.RequestMade(
        at=moment(record.at),
        revision=record.revision,
        identity_digest=record.identity_digest,
        complete=record.complete,
    )


def signal_event(record: SignalEvent) -> pb.SignalEvent:
    """A signal change."""
    return pb.SignalEvent(
        at=moment(record.at),
        commanded=enums.ASPECT.to_wire(record.commanded),
        confirmed=enums.ASPECT.to_wire(record.confirmed),
        grade=enums.GRADE.to_wire(record.grade),
        reason=record.reason,
    )


def intervention(record: Intervention) -> pb.Intervention:
    """An officer's act."""
    return pb.Intervention(
        at=moment(record.at),
        act=record.act,
        officer=record.officer,
        role=record.role,
        request_id=record.request_id,
        result=record.result,
        reason=record.reason,
    )


def hold(record: Hold) -> pb.Hold:
    """A hold in force."""
    return pb.Hold(
        since=moment(record.since),
        officer=record.by,
        role=record.role,
        reason=record.reason,
        may_clear=[role.value for role in record.clear_roles],
        etag=record.etag,
    )
