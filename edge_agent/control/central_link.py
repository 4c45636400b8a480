"""The lane's side of the release service: requests as they are now, the link's state, and the forwarding of records."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import grpc

from drivers.api import Clock, Stamp
from edge_agent.central.connection import connect
from edge_agent.central.decide import DecideSession, LaneSide, outgoing_channel
from edge_agent.central.forward import ForwardPolicy, ForwardReports, ForwardSession
from edge_agent.model.decision import Decision
from edge_agent.model.effects import AskRelease, Severity, WithdrawRequest
from edge_agent.model.errors import CentralError, CentralRejected
from edge_agent.model.inputs import CentreLink, CoreInput, DecisionReceived
from edge_agent.observe.log import log
from edge_agent.passage.state import LaneState
from edge_agent.passage.views import view
from edge_agent.runtime.health import Condition, HealthBoard
from edge_agent.runtime.supervise import CENTRAL_CAP_S, Backoff, keep_running
from edge_agent.store.records import OutboxRecord, RecordClass
from edge_agent.store.store import Store
from edge_agent.wire import release as release_wire
from securecorridor.release.v1 import release_service_pb2 as pb

_LOG = logging.getLogger("central")
_YIELD_NS = 200_000_000
_QUIET_NS = 30_000_000_000
"""A stream that ends for the same reason sooner than this is not told again: central may be away for hours."""
_DECIDE = "decide"
_REFUSES = "CENTRAL_REFUSES"
_HEALED_BY_ACK = ("CENTRAL_WATERMARK_AHEAD", "CENTRAL_WATERMARK_BEHIND", "CENTRAL_WATERMARK_LOST")


@dataclass(frozen=True, slots=True)
class LinkPorts:
    """What the link needs of the agent; all quick and synchronous."""

    state: Callable[[], LaneState]
    submit: Callable[[CoreInput], None]
    heartbeat: Callable[[], pb.LaneHeartbeat]
    hello: Callable[[int], pb.DecideHello]
    clock: Clock
    board: HealthBoard


class CentralLink:
    """Keeps one decision stream and one stream per record class going, and the lane's present requests at hand."""

    def __init__(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None,
        lane: str,
        store: Store,
        ports: LinkPorts,
        *,
        drain_per_s: float,
    ) -> None:
        self._target = target
        self._credentials = credentials
        self._lane = lane
        self._store = store
        self._ports = ports
        self._drain_per_s = drain_per_s
        self._outgoing = outgoing_channel()
        self._requests: dict[str, pb.ReleaseRequest] = {}
        self._request_seq = 0
        self._welcomed = False
        self._asked_ns = -_YIELD_NS
        self._alarmed: dict[str, set[RecordClass]] = {}
        self._ended: dict[str, tuple[str, int]] = {}
        self._refused: set[str] = set()
        self.up = False
        self.since: Stamp | None = None

    async def run(self) -> None:
        """All streams, until cancelled."""
        decisions = connect(self._target, self._credentials)
        records = connect(self._target, self._credentials)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_deciding(decisions), name="central-decide")
                for record_class in RecordClass:
                    group.create_task(self._keep_forwarding(records, record_class), name=f"outbox-{record_class}")
        finally:
            await decisions.close()
            await records.close()

    def ask(self, effect: AskRelease) -> None:
        """Send a release request, and keep it for the next stream."""
        self._request_seq += 1
        self._asked_ns = effect.at.mono_ns
        shown = view(self._ports.state(), effect.at)
        vehicle = next((v for v in shown.conveyances if v.conveyance_id == effect.conveyance_id), None)
        eta_s = vehicle.eta_to_commit_s if vehicle is not None else None
        request = release_wire.release_request(
            effect,
            seq=self._request_seq,
            bundle_id=vehicle.conveyance.bundle_id if vehicle is not None else "",
            order=0 if vehicle is None or vehicle.crossed else vehicle.place + 1,
            commit_in_ms=round(eta_s * 1000) if eta_s is not None else 0,
        )
        self._requests[effect.conveyance_id] = request
        self._outgoing.put(pb.DecideRequest(request=request))

    def withdraw(self, effect: WithdrawRequest) -> None:
        """Tell central that no decision is needed any more."""
        self._requests.pop(effect.conveyance_id, None)
        self._outgoing.put(pb.DecideRequest(withdrawal=release_wire.withdrawal(effect)))

    def _current(self) -> Sequence[pb.ReleaseRequest]:
        return [request for _, request in sorted(self._requests.items(), key=lambda item: item[1].seq)]

    def _on_decision(self, decision: Decision) -> None:
        self._ports.submit(DecisionReceived(at=decision.received, decision=decision))

    def _on_link(self, up: bool) -> None:
        now = self._ports.clock.stamp()
        if up:
            self._works(_DECIDE)
        if up is not self.up:
            self.up, self.since = up, now
            log(_LOG, logging.INFO if up else logging.WARNING, "central_up" if up else "central_lost")
        self._ports.submit(CentreLink(at=now, up=up))

    def _on_welcome(self, welcome: pb.DecideWelcome) -> None:
        # Central's watermark survives the agent: after a restart request numbers go on from there, also those of
        # requests made before the first stream was up.
        if self._welcomed or welcome.request_watermark == 0:
            self._welcomed = True
            self._request_seq = max(self._request_seq, welcome.request_watermark)
            return
        self._welcomed = True
        self._request_seq = welcome.request_watermark
        for request in self._current():
            self._request_seq += 1
            request.seq = self._request_seq

    def _busy(self) -> bool:
        """A request has just gone out: records let it pass. Not for as long as the decision takes: a slow one must not
        hold up the backlog, and it has a connection of its own."""
        return self._ports.clock.stamp().mono_ns - self._asked_ns < _YIELD_NS

    async def _keep_deciding(self, channel: grpc.aio.Channel) -> NoReturn:
        side = LaneSide(
            hello=lambda: self._ports.hello(self._request_seq),
            current=self._current,
            heartbeat=self._ports.heartbeat,
            on_decision=self._on_decision,
            on_seen_elsewhere=self._ports.submit,
            on_link=self._on_link,
            on_welcome=self._on_welcome,
        )
        await keep_running(
            lambda: DecideSession(channel, self._outgoing, side, self._ports.clock),
            lambda _nothing: None,
            Backoff(CENTRAL_CAP_S, random.Random()),  # noqa: S311 - jitter
            lambda error: self._fault(_DECIDE, error),
            CentralError,
        )

    async def _keep_forwarding(self, channel: grpc.aio.Channel, record_class: RecordClass) -> NoReturn:
        policy = ForwardPolicy(rate_hz=self._drain_per_s, busy=self._busy)
        alarm = partial(self._alarm, record_class)
        reports = ForwardReports(on_alarm=alarm, on_reject=self._rejected, on_acknowledged=self._acknowledged)
        await keep_running(
            lambda: ForwardSession(channel, self._store, self._lane, record_class, policy, reports),
            lambda _nothing: None,
            Backoff(CENTRAL_CAP_S, random.Random()),  # noqa: S311 - jitter
            lambda error: self._fault(record_class.value, error),
            CentralError,
        )

    def _fault(self, stream: str, error: CentralError) -> None:
        now = self._ports.clock.stamp()
        if isinstance(error, CentralRejected) and error.code not in self._alarmed:
            self._refused.add(stream)
            text = f"central refuses the stream of {stream}: {error.code}: {error.message}"
            self._ports.board.raise_condition(Condition(_REFUSES, Severity.ALARM, text, error.hint, now))
        now_ns = now.mono_ns
        code, at_ns = self._ended.get(stream, ("", 0))
        self._ended[stream] = error.code, now_ns
        if error.code == code and now_ns - at_ns < _QUIET_NS:
            return
        log(_LOG, logging.WARNING, "central_stream_ended", code=error.code, detail=f"{stream}: {error.message}")

    def _works(self, stream: str) -> None:
        """Central has taken what this stream is for."""
        if stream in self._refused:
            self._refused.discard(stream)
            if not self._refused:
                self._ports.board.clear(_REFUSES)

    def _alarm(self, record_class: RecordClass, code: str, message: str) -> None:
        now = self._ports.clock.stamp()
        hint = "the runbook says what to do about watermarks that do not fit"
        condition = Condition(f"CENTRAL_{code}", Severity.ALARM, message, hint, now)
        self._alarmed.setdefault(condition.code, set()).add(record_class)
        self._ports.board.raise_condition(condition)

    def _rejected(self, record_class: RecordClass, record: OutboxRecord, reason: str) -> None:
        text = f"{record_class} {record.seq} was refused by central ({reason}) and is quarantined"
        hint = "tell central's operators; lanectl outbox shows how many"
        now = self._ports.clock.stamp()
        self._ports.board.raise_condition(Condition("RECORD_QUARANTINED", Severity.ALARM, text, hint, now))

    def _acknowledged(self, record_class: RecordClass, watermark: int) -> None:
        log(_LOG, logging.DEBUG, "acknowledged", detail=f"{record_class} {watermark}")
        self._works(record_class.value)
        for code in _HEALED_BY_ACK:
            stuck = self._alarmed.get(code, set())
            stuck.discard(record_class)  # another class may be stuck for the same reason
            if not stuck:
                self._ports.board.clear(code)
