"""One lane's desk: what is asked about each conveyance, and when which answer falls due.

The delay of a rule counts from the first request with the same binding identities: evidence that only supplements does
not start it again. A raised revision of a request that was answered is answered at once, with the next revision of the
same verdict and the new stamp. Changed binding identities are decided anew from the start.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from hil.release_service.docket import Docket, Given
from hil.release_service.elsewhere import Elsewhere, Seen
from hil.release_service.keys import Keys
from hil.release_service.rules_file import TAG_KINDS, Expected, RuleBook
from securecorridor.lane.v1 import types_pb2 as lane_pb
from securecorridor.release.v1 import release_service_pb2 as pb

Publish = Callable[..., None]
Send = Callable[[pb.DecideResponse], None]

_TTL_MAX_MS = 3_600_000


@dataclass(slots=True)
class Switches:
    """What the control channel has switched: whose answers are held back ("" for everybody's), heartbeats."""

    silent: set[str] = field(default_factory=set)
    heartbeats: bool = True

    def holds_back(self, rule: str) -> bool:
        """Whether answers under this rule wait for `resume`."""
        return "" in self.silent or rule in self.silent


@dataclass(frozen=True, slots=True)
class Step:
    """One answer of a rule's script: `after_s` from the first request, void `ttl_s` after it is given."""

    after_s: float
    verdict: str
    ttl_s: float
    reason: str


@dataclass(slots=True)
class Case:
    """One conveyance that was asked about: `asked_s` first with these identities, `stamped_s` last."""

    request: pb.ReleaseRequest
    expected: Expected
    asked_s: float
    stamped_s: float
    given: Given | None = None
    timers: list[tuple[Step, asyncio.TimerHandle]] = field(default_factory=list)
    due: list[Step] = field(default_factory=list)
    repeat_due: bool = False

    def stop(self) -> None:
        """No more answers from the script."""
        for _, timer in self.timers:
            timer.cancel()
        self.timers.clear()
        self.due.clear()


class Desk:
    """Decides for one lane. Outlives its streams: `connect` names the one that answers go to."""

    def __init__(
        self,
        lane: str,
        rules: RuleBook,
        keys: Keys,
        docket: Docket,
        switches: Switches,
        publish: Publish,
        elsewhere: Elsewhere,
        tell: Callable[[str, pb.SeenElsewhere], None],
    ) -> None:
        self._lane = lane
        self._rules = rules
        self._keys = keys
        self._docket = docket
        self._switches = switches
        self._publish = publish
        self._elsewhere = elsewhere
        self._tell = tell
        self._epoch = ""
        self._send: Send | None = None
        self._cases: dict[str, Case] = {}

    def connect(self, epoch: str, send: Send) -> None:
        """From now on answers go to this stream."""
        self._epoch = epoch
        self._send = send

    def disconnect(self, send: Send) -> None:
        """That stream ended; answers that fall due are kept for the lane's next request."""
        if self._send is send:
            self._send = None

    def ask(self, request: pb.ReleaseRequest) -> None:
        """A release request came."""
        expected = self._rules.find(self._identities(request))
        self._publish(
            "request",
            name=expected.name,
            lane=self._lane,
            conveyance_id=request.conveyance_id,
            revision=request.revision,
            digest=request.identity_digest,
            complete=request.complete,
            stamp=request.stamp_mono_ns,
        )
        self._docket.saw(self._lane, self._epoch, request.seq)
        self._look_elsewhere(request)
        case = self._cases.get(request.conveyance_id)
        if case is None:
            case = self._reopen(request, expected)
            self._cases[request.conveyance_id] = case
            if case.given is None:
                self._begin(case)
                return
        if request.revision < case.request.revision:
            return
        self._continue(case, request, expected)

    def tell(self, notice: pb.SeenElsewhere) -> None:
        """Another lane has seen an identity of this one; lost when the lane is not there."""
        if self._send is not None:
            self._send(pb.DecideResponse(seen_elsewhere=notice))
            self._publish("seen_elsewhere", lane=self._lane, conveyance_id=notice.conveyance_id, elsewhere=notice.lane)

    def withdraw(self, withdrawal: pb.Withdrawal) -> None:
        """The conveyance needs no decision any more."""
        case = self._cases.pop(withdrawal.conveyance_id, None)
        if case is not None:
            case.stop()
        self._publish(
            "withdrawal",
            name=case.expected.name if case is not None else "",
            conveyance_id=withdrawal.conveyance_id,
            reason=withdrawal.reason,
        )

    def flush(self) -> None:
        """Give the answers that fell due while they were held back."""
        for case in self._cases.values():
            if case.repeat_due and case.given is not None:
                self._give(case, case.given)
            due, case.due = case.due, []
            for step in due:
                self._fall_due(case, step)

    def revise(self, named: Callable[[str, str], bool], step: Step) -> int:
        """Change the mind on every open case whose (rule name, conveyance id) is named; returns how many."""
        cases = [case for case in self._cases.values() if named(case.expected.name, case.request.conveyance_id)]
        now_s = asyncio.get_running_loop().time()
        for case in cases:
            self._later(case, replace(step, after_s=now_s - case.asked_s + step.after_s))
        return len(cases)

    def close(self) -> None:
        """Stop every timer."""
        for case in self._cases.values():
            case.stop()

    def _reopen(self, request: pb.ReleaseRequest, expected: Expected) -> Case:
        """A case as far as the docket knows it: nothing given for a conveyance never decided on."""
        now_s = asyncio.get_running_loop().time()
        given = self._docket.latest(self._lane, request.conveyance_id)
        known = pb.ReleaseRequest()
        known.CopyFrom(request)
        if given is not None:
            known.revision = given.request_revision
            known.identity_digest = given.decision.identity_digest
        return Case(known, expected, now_s, now_s, given)

    def _continue(self, case: Case, request: pb.ReleaseRequest, expected: Expected) -> None:
        repeated = request.revision == case.request.revision
        same = request.identity_digest == case.request.identity_digest
        if repeated and same:
            if case.given is not None:
                self._give(case, case.given)
            elif not case.timers and not case.due:
                self._begin(case)
            return
        case.request = request
        case.stamped_s = asyncio.get_running_loop().time()
        if same and expected == case.expected and (case.given is not None or case.timers or case.due):
            if case.given is not None:
                self._again(case, case.given)
            return
        case.expected = expected
        case.stop()
        self._begin(case)

    def _begin(self, case: Case) -> None:
        case.asked_s = case.stamped_s = asyncio.get_running_loop().time()
        rule = case.expected.rule
        if rule.silent:
            return
        self._later(case, Step(rule.delay_s, rule.verdict, rule.ttl_s - rule.delay_s, rule.reason))
        for revision in rule.revisions:
            after_s = rule.delay_s + revision.after_s
            self._later(case, Step(after_s, revision.verdict, revision.ttl_s, revision.reason))

    def _later(self, case: Case, step: Step) -> None:
        when = case.asked_s + step.after_s
        case.timers.append((step, asyncio.get_running_loop().call_at(when, self._fall_due, case, step)))

    def _fall_due(self, case: Case, step: Step) -> None:
        case.timers = [(other, timer) for other, timer in case.timers if other is not step]
        if self._switches.holds_back(case.expected.name):
            case.due.append(step)
            return
        # The lane counts from the stamp of its request; what has passed since that came is added.
        ttl_ms = round((asyncio.get_running_loop().time() - case.stamped_s + step.ttl_s) * 1000)
        self._decide(case, step.verdict, step.reason, ttl_ms)

    def _again(self, case: Case, given: Given) -> None:
        reason = lane_pb.ReferralReason.Name(given.decision.referral_reason).removeprefix("REFERRAL_REASON_").lower()
        verdict = lane_pb.Verdict.Name(given.decision.verdict).removeprefix("VERDICT_").lower()
        if self._switches.holds_back(case.expected.name):
            case.due.append(Step(0.0, verdict, given.decision.ttl_ms / 1000, reason))
            return
        self._decide(case, verdict, reason, given.decision.ttl_ms)

    def _decide(self, case: Case, verdict: str, reason: str, ttl_ms: int) -> None:
        request, expected = case.request, case.expected
        decision = lane_pb.Decision(
            decision_id=_uuid7(),
            conveyance_id=request.conveyance_id,
            revision=1 if case.given is None else case.given.decision.revision + 1,
            verdict=lane_pb.Verdict.Value(f"VERDICT_{verdict.upper()}"),
            authority=lane_pb.AUTHORITY_SYSTEM,
            identity_digest=request.identity_digest,
            echoed_stamp_mono_ns=request.stamp_mono_ns,
            ttl_ms=max(1, min(ttl_ms, _TTL_MAX_MS)),
            basis=expected.basis,
            referral_reason=lane_pb.ReferralReason.Value(f"REFERRAL_REASON_{reason.upper()}"),
            cargo=[self._cargo(cargo.kind, cargo.value.encode()) for cargo in expected.cargo],
            programmes=expected.programmes,
        )
        decision.issue_time.GetCurrentTime()
        case.given = Given(request.revision, expected.name, decision)
        self._docket.put(self._lane, self._epoch, case.given)
        self._give(case, case.given)

    def _give(self, case: Case, given: Given) -> None:
        case.repeat_due = self._switches.holds_back(case.expected.name)
        if self._send is None or case.repeat_due:
            return
        self._send(pb.DecideResponse(decision=given.decision))
        self._publish(
            "decision",
            name=case.expected.name,
            lane=self._lane,
            conveyance_id=given.decision.conveyance_id,
            verdict=lane_pb.Verdict.Name(given.decision.verdict).removeprefix("VERDICT_").lower(),
            revision=given.decision.revision,
            ttl=given.decision.ttl_ms / 1000,
        )

    def _look_elsewhere(self, request: pb.ReleaseRequest) -> None:
        """Tell both lanes of every identity that another one named a moment ago."""
        now_s, now_ns = asyncio.get_running_loop().time(), time.time_ns()
        for assignment in request.identities:
            claim = assignment.claim
            value = self._keys.unseal(claim.sealed.ciphertext, self._lane, claim.token)
            if value is None or not claim.binding:
                continue
            here = Seen(self._lane, request.conveyance_id, claim.token, now_s, now_ns, assignment.rssi_peak_cdbm)
            there = self._elsewhere.saw(lane_pb.IdentityKind.Name(claim.kind), value.hex(), here)
            if there is not None:
                self.tell(_notice(here, there))
                self._tell(there.lane, _notice(there, here))

    def _identities(self, request: pb.ReleaseRequest) -> frozenset[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        for assignment in request.identities:
            claim = assignment.claim
            kind = lane_pb.IdentityKind.Name(claim.kind).removeprefix("IDENTITY_KIND_").lower()
            value = self._keys.unseal(claim.sealed.ciphertext, self._lane, claim.token)
            if value is None:
                self._publish("unreadable_identity", lane=self._lane, conveyance_id=request.conveyance_id, kind=kind)
            elif kind in TAG_KINDS:
                found.add((kind, value.hex().upper()))
            else:
                found.add((kind, value.decode(errors="replace")))
        return frozenset(found)

    def _cargo(self, kind: str, value: bytes) -> lane_pb.IdentityClaim:
        return lane_pb.IdentityClaim(
            kind=lane_pb.IdentityKind.Value(f"IDENTITY_KIND_{kind.upper()}"),
            leg=lane_pb.LEG_CARGO,
            token=self._keys.token(value),
            sealed=lane_pb.SealedIdentity(key_id=self._keys.key_id, ciphertext=self._keys.seal(value, self._lane)),
            source="central",
            confidence=1.0,
        )


def _notice(of: Seen, elsewhere: Seen) -> pb.SeenElsewhere:
    notice = pb.SeenElsewhere(
        conveyance_id=of.conveyance_id,
        token=of.token,
        lane=elsewhere.lane,
        rssi_peak_cdbm=elsewhere.rssi_peak_cdbm,
    )
    notice.seen_time.FromNanoseconds(elsewhere.utc_ns)
    return notice


def step_of(fields: dict[str, Any], verdict: str, reason: str) -> Step:
    """A step from the fields of a `revise` request: verdict now, or `after_s` from now."""
    return Step(float(fields.get("after_s", 0.0)), verdict, float(fields.get("ttl_s", 120.0)), reason)


def _uuid7() -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of Unix milliseconds, then random."""
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62
    text = f"{value | secrets.randbits(62):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
