"""The record of one passage: everything a bundle holds, and every number of the outcome report, as one frozen value.

Another layer turns it into bytes. Offsets `*_ms` count from the first detection on the monotonic clock; None where the
moment is unknown, or lies in another boot of the computer.
"""

from dataclasses import dataclass

from drivers.api import Aspect, Grade, Stamp
from edge_agent.model.conveyance import Conveyance, Flag, Outcome, ZoneTimes
from edge_agent.model.decision import Authority, Decision, ReferralReason, Verdict
from edge_agent.model.identity import Assignment, IdentityClaim, IdentityKind, Leg
from edge_agent.model.lane import Geometry, Kinematics, LaneIdentity, LaneMode, LanePolicy
from edge_agent.passage.identity_digest import identity_digest
from edge_agent.passage.kinematics import commit_distance_m, speed_kmh
from edge_agent.passage.legs import cargo_complete, claims_of
from edge_agent.passage.sealing import rolled_through

SCHEMA = "lane.bundle/1"
PRIVACY_CLASS = "PROTECTED_B"


@dataclass(frozen=True, slots=True)
class ClockState:
    """How good the wall clock was at sealing. `source`: ptp, ntp or free."""

    source: str
    offset_ms: float
    uncertainty_ms: float
    stepped: bool


@dataclass(frozen=True, slots=True)
class EvidenceRef:
    """A picture or clip, named by its digest. `retain` is an ISO 8601 duration."""

    evidence_id: str
    kind: str
    view: str
    at: Stamp
    sha256: str
    size_bytes: int
    retain: str


@dataclass(frozen=True, slots=True)
class BundleExtras:
    """What the core does not know of a passage: mode and clock at sealing, evidence, boot, measured class."""

    mode: LaneMode
    clock: ClockState
    geometry: Geometry
    kinematics: Kinematics
    policy: LanePolicy
    boot_id: str = ""
    evidence: tuple[EvidenceRef, ...] = ()
    vehicle_class: str = "UNKNOWN"
    axles: int = 0
    legal_hold: bool = False


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """One identity claim as it was read and given to the vehicle; `rivals` are the vehicles it might have belonged to.

    `reads` 0 and no times for a claim that central supplied."""

    leg: Leg
    kind: IdentityKind
    token: str
    sealed: bytes
    sealed_key_id: str
    source: str
    confidence: float
    reads: int = 0
    rssi_peak_cdbm: int = 0
    first_ms: int | None = None
    peak_ms: int | None = None
    last_ms: int | None = None
    score: float = 1.0
    early: bool = False
    rivals: tuple[tuple[str, float], ...] = ()
    scheme: str = ""
    filter_value: int | None = None
    tid_token: str = ""
    rssi_mean_cdbm: int = 0


@dataclass(frozen=True, slots=True)
class LegRecord:
    """Completeness of one leg against the lane's policy at sealing."""

    leg: Leg
    required: bool
    complete: bool
    claims: int


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One release request."""

    revision: int
    at: Stamp
    at_ms: int | None
    identity_digest: str
    complete: bool


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision. `latency_ms` from the request it answers to its arrival (None for an officer's own); before D and
    before C(v) as the report counts them (False when that moment was never seen)."""

    decision_id: str
    revision: int
    verdict: Verdict
    authority: Authority
    officer: str
    basis: str
    referral: ReferralReason
    programmes: tuple[str, ...]
    identity_digest: str
    requested_ms: int | None
    received_ms: int | None
    latency_ms: int | None
    ttl_ms: int
    issued_utc_ns: int
    received: Stamp
    before_decision_line: bool
    before_commit: bool


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """What was commanded and what feedback confirmed."""

    at: Stamp
    at_ms: int | None
    commanded: Aspect
    confirmed: Aspect | None
    grade: Grade
    reason: str


@dataclass(frozen=True, slots=True)
class InterventionRecord:
    """An officer's act, by pseudonym."""

    at: Stamp
    at_ms: int | None
    act: str
    officer: str
    role: str
    request_id: str
    result: str
    reason: str


@dataclass(frozen=True, slots=True)
class SpeedRecord:
    """Mean speeds in km/h between A and D, D and the stop loop, stop line and X; 0 where unknown; `least` of those.
    `commit_m`: the commit distance at the first of them, 0 where that is unknown."""

    a_kmh: float
    s_kmh: float
    x_kmh: float
    least_kmh: float
    commit_m: float


@dataclass(frozen=True, slots=True)
class BundleRecord:
    """One passage, sealed as it was."""

    schema: str
    bundle_id: str
    conveyance_id: str
    site: LaneIdentity
    mode: LaneMode
    clock: ClockState
    boot_id: str
    order: int
    vehicle_class: str
    axles: int
    length_m: float
    speed: SpeedRecord
    detected: Stamp
    ended: Stamp
    times: ZoneTimes
    granted: Stamp | None
    committed: Stamp | None
    granted_ms: int | None
    committed_ms: int | None
    stops: int
    dwell_ms: int
    transit_ms: int | None
    released_without_stopping: bool
    claims: tuple[ClaimRecord, ...]
    doubtful: tuple[ClaimRecord, ...]
    identity_digest: str
    legs: tuple[LegRecord, ...]
    conflicts: tuple[str, ...]
    requests: tuple[RequestRecord, ...]
    decisions: tuple[DecisionRecord, ...]
    signals: tuple[SignalRecord, ...]
    interventions: tuple[InterventionRecord, ...]
    evidence: tuple[EvidenceRef, ...]
    flags: tuple[Flag, ...]
    outcome: Outcome
    green_confirmed: bool
    privacy_class: str
    legal_hold: bool


def build_record(conveyance: Conveyance, identity: LaneIdentity, extras: BundleExtras) -> BundleRecord:
    """The record of a sealed conveyance. ValueError when it is not sealed."""
    if conveyance.outcome is None or conveyance.ended is None:
        raise ValueError("only a sealed conveyance has a bundle")
    start = conveyance.detected
    last = conveyance.decisions[-1] if conveyance.decisions else None
    times = conveyance.times
    return BundleRecord(
        schema=SCHEMA,
        bundle_id=conveyance.bundle_id,
        conveyance_id=conveyance.conveyance_id,
        site=identity,
        mode=extras.mode,
        clock=extras.clock,
        boot_id=extras.boot_id,
        order=conveyance.order,
        vehicle_class=extras.vehicle_class,
        axles=extras.axles,
        length_m=conveyance.length_m,
        speed=_speeds(times, extras.geometry, extras.kinematics),
        detected=start,
        ended=conveyance.ended,
        times=times,
        granted=conveyance.granted,
        committed=conveyance.committed,
        granted_ms=_offset_ms(start, conveyance.granted),
        committed_ms=_offset_ms(start, conveyance.committed),
        stops=conveyance.stops,
        dwell_ms=conveyance.dwell_ms,
        transit_ms=_between_ms(times.a_nose, times.x_tail),
        released_without_stopping=released_without_stopping(conveyance),
        claims=tuple(_claim(assignment, start) for assignment in conveyance.assignments) + _central_claims(conveyance),
        doubtful=tuple(_claim(assignment, start) for assignment in conveyance.doubtful),
        identity_digest=identity_digest(conveyance.assignments),
        legs=_legs(conveyance, last, extras.policy),
        conflicts=_conflicts(conveyance),
        requests=tuple(
            RequestRecord(r.revision, r.at, _offset_ms(start, r.at), r.identity_digest, r.complete)
            for r in conveyance.requests
        ),
        decisions=tuple(_decision(decision, conveyance) for decision in conveyance.decisions),
        signals=tuple(
            SignalRecord(s.at, _offset_ms(start, s.at), s.commanded, s.confirmed, s.grade, s.reason)
            for s in conveyance.signals
        ),
        interventions=tuple(
            InterventionRecord(
                i.at, _offset_ms(start, i.at), i.act, i.officer, i.role, i.request_id, i.result, i.reason
            )
            for i in conveyance.interventions
        ),
        evidence=extras.evidence,
        flags=conveyance.flags,
        outcome=conveyance.outcome,
        green_confirmed=green_confirmed(conveyance),
        privacy_class=PRIVACY_CLASS,
        legal_hold=extras.legal_hold,
    )


def released_without_stopping(conveyance: Conveyance) -> bool:
    """Release effective before the nose reached C(v), and no interval of 1 s or more below walking pace between A and
    the tail over S; a crossing that was not released, or whose release was taken back, does not count."""
    return conveyance.outcome is Outcome.RELEASED_ROLLING and rolled_through(conveyance)


def green_confirmed(conveyance: Conveyance) -> bool:
    """Whether feedback (contact or lamp current) has shown green to this vehicle: only that counts as shown."""
    return any(s.confirmed is Aspect.GREEN and s.grade >= Grade.CONTACT for s in conveyance.signals)


def _offset_ms(start: Stamp, at: Stamp | None) -> int | None:
    """Milliseconds since the start; negative ones (read before it was detected) stay, another boot gives None."""
    if at is None:
        return None
    mono = at.mono_ns - start.mono_ns
    wall = at.utc_ns - start.utc_ns
    another_boot = mono < 0 and wall > 0 and wall - mono > 60_000_000_000
    return None if another_boot else mono // 1_000_000


def _between_ms(start: Stamp | None, end: Stamp | None) -> int | None:
    return None if start is None or end is None else _offset_ms(start, end)


def _speeds(times: ZoneTimes, geometry: Geometry, kinematics: Kinematics) -> SpeedRecord:
    legs = (
        (times.a_nose, geometry.a.start_m, times.d_nose, geometry.d.start_m),
        (times.d_nose, geometry.d.start_m, times.s_loop, geometry.s.start_m),
        (times.s_nose, geometry.beam_m, times.x_nose, geometry.x.start_m),
    )
    a_kmh, s_kmh, x_kmh = (
        speed_kmh(from_m, start.mono_ns, to_m, end.mono_ns) if start is not None and end is not None else 0.0
        for start, from_m, end, to_m in legs
    )
    known = [speed for speed in (a_kmh, s_kmh, x_kmh) if speed > 0]
    commit_m = commit_distance_m(a_kmh, kinematics) if a_kmh > 0 else 0.0
    return SpeedRecord(a_kmh, s_kmh, x_kmh, min(known, default=0.0), commit_m)


def _claim(assignment: Assignment, start: Stamp) -> ClaimRecord:
    sighting = assignment.sighting
    claim = sighting.claim
    return ClaimRecord(
        leg=claim.leg,
        kind=claim.kind,
        token=claim.token,
        sealed=claim.sealed,
        sealed_key_id=claim.sealed_key_id,
        source=claim.source,
        confidence=claim.confidence,
        reads=sighting.reads,
        rssi_peak_cdbm=sighting.rssi_peak_cdbm,
        first_ms=_offset_ms(start, sighting.first),
        peak_ms=_offset_ms(start, sighting.peak),
        last_ms=_offset_ms(start, sighting.last),
        score=assignment.score,
        early=assignment.early,
        rivals=assignment.rivals,
        scheme=claim.scheme,
        filter_value=claim.filter_value,
        tid_token=claim.tid_token,
        rssi_mean_cdbm=sighting.rssi_mean_cdbm,
    )


def _central_claims(conveyance: Conveyance) -> tuple[ClaimRecord, ...]:
    """Cargo claims that decisions brought, each once."""
    known: dict[tuple[IdentityKind, str], IdentityClaim] = {}
    for decision in conveyance.decisions:
        for claim in decision.cargo:
            known.setdefault((claim.kind, claim.token), claim)
    return tuple(
        ClaimRecord(c.leg, c.kind, c.token, c.sealed, c.sealed_key_id, c.source, c.confidence) for c in known.values()
    )


def _legs(conveyance: Conveyance, last: Decision | None, policy: LanePolicy) -> tuple[LegRecord, ...]:
    driver, vehicle = claims_of(conveyance, Leg.DRIVER), claims_of(conveyance, Leg.CONVEYANCE)
    cargo = (*claims_of(conveyance, Leg.CARGO), *(last.cargo if last is not None else ()))
    return (
        LegRecord(Leg.DRIVER, policy.required_driver, bool(driver), len({c.token for c in driver})),
        LegRecord(Leg.CONVEYANCE, policy.required_conveyance, bool(vehicle), len({c.token for c in vehicle})),
        LegRecord(
            Leg.CARGO, policy.required_cargo, bool(cargo) and cargo_complete(conveyance, last, policy),
            len({c.token for c in cargo}),
        ),
    )  # fmt: skip


def _conflicts(conveyance: Conveyance) -> tuple[str, ...]:
    """Facts about the identity set that contradict one another; for central to judge."""
    tokens: dict[IdentityKind, set[str]] = {}
    for assignment in conveyance.assignments:
        tokens.setdefault(assignment.sighting.claim.kind, set()).add(assignment.sighting.claim.token)
    found = [
        f"several_{kind.value}"
        for kind in (IdentityKind.DRIVER_CARD, IdentityKind.TRANSPONDER, IdentityKind.PLATE_FRONT)
        if len(tokens.get(kind, ())) > 1
    ]
    if Flag.DUPLICATE_IDENTITY in conveyance.flags:
        found.append("also_on_another_vehicle")
    if any(assignment.rivals for assignment in conveyance.assignments):
        found.append("rival_vehicles")
    if conveyance.doubtful:
        found.append("doubtful_reads")
    found += [
        flag.value for flag in (Flag.PASSBACK, Flag.SEEN_ELSEWHERE, Flag.TID_MISMATCH) if flag in conveyance.flags
    ]
    return tuple(found)


def _decision(decision: Decision, conveyance: Conveyance) -> DecisionRecord:
    start = conveyance.detected
    request = next((r for r in conveyance.requests if r.at.mono_ns == decision.echoed_mono_ns), None)
    asked = request.at if request is not None and decision.authority is Authority.SYSTEM else None
    return DecisionRecord(
        decision_id=decision.decision_id,
        revision=decision.revision,
        verdict=decision.verdict,
        authority=decision.authority,
        officer=decision.officer,
        basis=decision.basis,
        referral=decision.referral,
        programmes=decision.programmes,
        identity_digest=decision.identity_digest,
        requested_ms=_offset_ms(start, asked),
        received_ms=_offset_ms(start, decision.received),
        latency_ms=_between_ms(asked, decision.received),
        ttl_ms=decision.ttl_ms,
        issued_utc_ns=decision.issued_utc_ns,
        received=decision.received,
        before_decision_line=_before(decision.received, conveyance.times.d_nose),
        before_commit=_before(decision.received, conveyance.committed),
    )


def _before(at: Stamp, moment: Stamp | None) -> bool:
    return moment is not None and at.mono_ns <= moment.mono_ns
