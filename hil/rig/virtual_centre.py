"""The release service on a loop's time: answers what a rule says, to whoever the identities belong to.

As the reference service: a rule's delay counts from the first request with the same identities; an answered request
that comes again is answered at once; what falls due while the link is down waits for the lane's next request. A line
that is silent for less than three heartbeats loses nothing: what was sent arrives when it is back.

While `late_s` is set, answers are that much late at most, each differently: they overtake each other, and every third
comes twice.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from drivers.api import Clock
from edge_agent.model.decision import Authority, Decision, ReferralReason, Verdict
from edge_agent.model.effects import AskRelease, WithdrawRequest
from edge_agent.model.identity import IdentityClaim, IdentityKind
from edge_agent.model.inputs import CentreLink, DecisionReceived
from hil.world.rules import Answer, ReleaseRule, answers
from hil.world.rules import Verdict as WorldVerdict

HEARTBEATS_MISSED_S = 3.0
RECONNECT_S = 1.0
_CARGO = IdentityClaim(IdentityKind.CRN, "crn", b"", "", "central")


@dataclass(slots=True)
class _Case:
    truck: str
    digest: str
    stamp_ns: int
    rule: ReleaseRule
    answer: Answer | None = None
    revision: int = 0
    arrived: int = 0
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def stop(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


@dataclass(frozen=True, slots=True)
class CentreOutlets:
    """`submit` hands an input to whichever agent is alive. `answered(truck, release, until_s)` tells what reached the
    lane, in the loop's seconds; `linked(up)` when the lane takes the link for up or lost."""

    submit: Callable[[DecisionReceived | CentreLink], None]
    answered: Callable[[str, bool, float], None]
    linked: Callable[[bool], None]


class VirtualCentre:
    """`truck_of(token)` names the truck that carries a tag ("" for nobody's), `rule_of(truck)` what is to be answered.

    Identities of two trucks in one request fit no expected conveyance: NO_DECISION, and counted in `mixed`.
    """

    def __init__(
        self,
        clock: Clock,
        outlets: CentreOutlets,
        truck_of: Callable[[str], str],
        rule_of: Callable[[str], ReleaseRule],
    ) -> None:
        self.up = True
        self.late_s = 0.0
        self.asked = 0
        self.mixed = 0
        self._clock = clock
        self._out = outlets
        self._truck_of = truck_of
        self._rule_of = rule_of
        self._loop = asyncio.get_running_loop()
        self._cases: dict[str, _Case] = {}
        self._linked = False
        self._timer: asyncio.TimerHandle | None = None
        self._numbers = 0
        self._late: list[Callable[[], None]] = []

    def connect(self) -> None:
        """A fresh agent's link comes up, if the line is up."""
        if self.up:
            self._say(True)

    def disconnect(self) -> None:
        """The agent is gone."""
        self._linked = False
        self._late.clear()
        self._stop_timer()

    def cut(self) -> None:
        """The line goes silent; three missed heartbeats later the agent knows."""
        self.up = False
        self._stop_timer()
        if self._linked:
            self._timer = self._loop.call_later(HEARTBEATS_MISSED_S, self._say, False)

    def mend(self) -> None:
        """The line is back; the link, where it was lost, a reconnection later."""
        self.up = True
        self._stop_timer()
        if not self._linked:
            self._timer = self._loop.call_later(RECONNECT_S, self._say, True)
        late, self._late = self._late, []
        for do in late:
            do()

    def close(self) -> None:
        """No more timers."""
        self._stop_timer()
        for case in self._cases.values():
            case.stop()

    def ask(self, request: AskRelease) -> None:
        """A request from the lane."""
        if not self._linked:
            return
        if not self.up:
            self._late.append(lambda: self.ask(request))
            return
        self.asked += 1
        case = self._cases.get(request.conveyance_id)
        truck = self._matched(request)
        if case is None or (case.digest, case.truck) != (request.identity_digest, truck):
            self._begin(request, truck, case)
            return
        case.stamp_ns = request.at.mono_ns
        if case.answer is not None:
            now_s = self._loop.time()
            answer = case.answer
            self._give(request.conveyance_id, Answer(now_s, answer.verdict, now_s + case.rule.ttl_s, 0))

    def withdraw(self, request: WithdrawRequest) -> None:
        """The lane needs no answer any more; changes of mind still come, as late revisions."""
        del request

    def _say(self, up: bool) -> None:
        self._timer = None
        self._linked = up
        self._late.clear()
        self._out.linked(up)
        self._out.submit(CentreLink(at=self._clock.stamp(), up=up))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _matched(self, request: AskRelease) -> str:
        tokens = (a.sighting.claim.token for a in request.assignments)
        trucks = {truck for token in tokens if (truck := self._truck_of(token))}
        if len(trucks) > 1:
            self.mixed += 1
        return trucks.pop() if len(trucks) == 1 else ""

    def _begin(self, request: AskRelease, truck: str, before: _Case | None) -> None:
        if before is not None:
            before.stop()
        rule = self._rule_of(truck) if truck else ReleaseRule(WorldVerdict.NO_DECISION, silent=not request.assignments)
        revision = before.revision if before is not None else 0
        arrived = before.arrived if before is not None else 0
        case = _Case(truck, request.identity_digest, request.at.mono_ns, rule, revision=revision, arrived=arrived)
        self._cases[request.conveyance_id] = case
        for answer in answers(rule, self._loop.time()):
            case.timers.append(self._loop.call_at(answer.t, self._give, request.conveyance_id, answer))

    def _give(self, conveyance_id: str, answer: Answer) -> None:
        """The answer is given; it reaches the lane if there is a link, at once or when the line is back."""
        case = self._cases[conveyance_id]
        case.answer = answer
        if not self._linked:
            return
        case.revision += 1
        self._numbers += 1
        decision = self._decision(conveyance_id, case, answer)
        if not self.up:
            self._late.append(lambda: self._send(case, answer, decision))
        elif self.late_s:
            self._send_late(case, answer, decision)
        else:
            self._send(case, answer, decision)

    def _send_late(self, case: _Case, answer: Answer, decision: Decision) -> None:
        late_s = self.late_s * (1.0 - self._numbers % 3 / 3.0)
        case.timers.append(self._loop.call_later(late_s, self._send, case, answer, decision))
        if self._numbers % 3 == 0:
            case.timers.append(self._loop.call_later(late_s * 1.5, self._send, case, answer, decision))

    def _send(self, case: _Case, answer: Answer, decision: Decision) -> None:
        """It reaches the lane. What is older than what has arrived changes nothing."""
        if not self._linked:
            return
        if case.truck and decision.revision > case.arrived:
            self._out.answered(case.truck, decision.verdict is Verdict.RELEASE, answer.until)
        case.arrived = max(case.arrived, decision.revision)
        now = self._clock.stamp()
        self._out.submit(DecisionReceived(at=now, decision=replace(decision, received=now)))

    def _decision(self, conveyance_id: str, case: _Case, answer: Answer) -> Decision:
        now = self._clock.stamp()
        verdict = Verdict(answer.verdict.value)
        referral = (
            ReferralReason(case.rule.reason) if verdict is Verdict.REFER_SECONDARY else ReferralReason.UNSPECIFIED
        )
        return Decision(
            decision_id=f"decision-{self._numbers}",
            conveyance_id=conveyance_id,
            revision=case.revision,
            verdict=verdict,
            authority=Authority.SYSTEM,
            identity_digest=case.digest,
            echoed_mono_ns=case.stamp_ns,
            ttl_ms=max(1, int(answer.until * 1000 - case.stamp_ns / 1e6)),
            issued_utc_ns=now.utc_ns,
            received=now,
            basis="virtual",
            referral=referral,
            cargo=(_CARGO,) if case.truck else (),
        )
