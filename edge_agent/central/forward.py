"""One class of records on its way: from the watermark on, in order, paced, yielding to decisions, never dropped."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc

from edge_agent.model.errors import CentralRejected, CentralUnavailable, StoreError
from edge_agent.store.records import OutboxRecord, OutboxStatus, RecordClass
from edge_agent.wire import release
from securecorridor.release.v1 import release_service_pb2 as pb
from securecorridor.release.v1.release_service_pb2_grpc import ReleaseServiceStub

from .connection import ANSWER_S, faults_of

_WINDOW_MAX = 512
_FETCH = 64
_YIELD_S = 0.02
_ACK_S = 10.0

T = TypeVar("T")

_Call = grpc.aio.StreamStreamCall[pb.ForwardRequest, pb.ForwardResponse]
_WIRE_CLASS = {
    RecordClass.BUNDLE: pb.RECORD_CLASS_BUNDLE,
    RecordClass.SUPPLEMENT: pb.RECORD_CLASS_SUPPLEMENT,
    RecordClass.LANE_EVENT: pb.RECORD_CLASS_LANE_EVENT,
    RecordClass.EVIDENCE: pb.RECORD_CLASS_EVIDENCE,
}


class Outbox(Protocol):
    """The store, as forwarding needs it."""

    epoch: str

    async def pending(self, record_class: RecordClass, after_seq: int, limit: int) -> list[OutboxRecord]:
        """Records above `after_seq`, in order."""
        ...

    async def acknowledge(self, record_class: RecordClass, watermark: int) -> None:
        """Central holds everything up to here."""
        ...

    async def quarantine(self, record_class: RecordClass, seq: int, reason: str) -> None:
        """Central will never take this one."""
        ...

    def status(self) -> tuple[OutboxStatus, ...]:
        """Every class now."""
        ...

    def appended(self) -> asyncio.Event:
        """Set when records are next queued."""
        ...


@dataclass(frozen=True, slots=True)
class ForwardPolicy:
    """How fast. `rate_hz` records a second, 0 for as fast as it goes; `busy` true while a decision is awaited."""

    rate_hz: float = 200.0
    busy: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class ForwardReports:
    """Who is told. `on_alarm(code, message)`: watermarks that do not fit. `on_reject(class, record, reason)`: a record
    was refused for good and is quarantined. `on_acknowledged(class, watermark)`: central holds everything up to it;
    told at the beginning of a stream, too, where nothing waits."""

    on_alarm: Callable[[str, str], None]
    on_reject: Callable[[RecordClass, OutboxRecord, str], None]
    on_acknowledged: Callable[[RecordClass, int], None] = lambda _class, _watermark: None


class ForwardSession:
    """One stream of one class. Raises CentralUnavailable (with the store's code when it is the store that fails), or
    CentralRejected when a person must look first."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        store: Outbox,
        lane: str,
        record_class: RecordClass,
        policy: ForwardPolicy,
        reports: ForwardReports,
    ) -> None:
        self._stub = ReleaseServiceStub(channel)
        self._store = store
        self._lane = lane
        self._class = record_class
        self._policy = policy
        self._reports = reports
        self._window = 1
        self._sent = 0
        self._seen = 0
        self._rejected: dict[int, str] = {}
        self._in_flight: dict[int, OutboxRecord] = {}
        self._moved = asyncio.Event()
        self._heard_s = 0.0
        self._free_s = 0.0

    async def run(self, emit: Callable[[object], None]) -> None:
        """Forward until the stream breaks. Nothing is emitted."""
        call: _Call = self._stub.Forward(wait_for_ready=True)
        async with faults_of(call):
            await self._resume(call)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send_all(call), name=f"forward-{self._class}-send")
                group.create_task(self._listen(call), name=f"forward-{self._class}-listen")
                group.create_task(self._settle(), name=f"forward-{self._class}-settle")

    @property
    def _status(self) -> OutboxStatus:
        return next(s for s in self._store.status() if s.record_class is self._class)

    async def _resume(self, call: _Call) -> None:
        hello = pb.ForwardHello(
            lane=self._lane,
            epoch=self._store.epoch,
            record_class=_WIRE_CLASS[self._class],
            last_seq=self._status.last_seq,
        )
        try:
            async with asyncio.timeout(ANSWER_S):
                await call.write(pb.ForwardRequest(hello=hello))
                answer = await call.read()
        except TimeoutError:
            raise CentralUnavailable(
                "CENTRAL_NO_ANSWER", f"no watermark within {ANSWER_S:g} s", "check the line and the release service"
            ) from None
        if not isinstance(answer, pb.ForwardResponse) or not answer.HasField("resume"):
            raise await self._ended(call)
        watermark = answer.resume.watermark
        status = self._status
        if watermark > status.last_seq:
            raise self._refuse(
                "WATERMARK_AHEAD",
                f"{self._class}: central holds {watermark}, this store has made {status.last_seq}",
                "the store is an older copy of a disk: set it aside so that a new epoch begins; see the runbook",
            )
        if watermark < status.watermark:
            await self._go_back(watermark, status)
        self._window = max(1, min(answer.resume.window, _WINDOW_MAX))
        self._sent = self._seen = watermark
        self._heard_s = self._free_s = asyncio.get_running_loop().time()
        if watermark > status.watermark:
            await _of_store(self._store.acknowledge(self._class, watermark))
        if watermark > status.watermark or watermark == status.last_seq:
            self._reports.on_acknowledged(self._class, watermark)

    async def _go_back(self, watermark: int, status: OutboxStatus) -> None:
        """Central has lost what it acknowledged: send it again if it is still held."""
        held = await _of_store(self._store.pending(self._class, watermark, 1))
        if held and held[0].seq == watermark + 1:
            text = f"{self._class}: central went back from {status.watermark} to {watermark}; sending again"
            self._reports.on_alarm("WATERMARK_BEHIND", text)
            return
        raise self._refuse(
            "WATERMARK_LOST",
            f"{self._class}: central went back from {status.watermark} to {watermark}; those records are gone here",
            "central must restore them from its own copy, or accept the gap; see the runbook",
        )

    async def _send_all(self, call: _Call) -> None:
        while True:
            news = self._store.appended()
            records = await _of_store(self._store.pending(self._class, self._sent, _FETCH))
            if not records:
                await news.wait()
            for record in records:
                await self._wait_for_turn()
                await self._send(call, record)

    async def _send(self, call: _Call, record: OutboxRecord) -> None:
        if record.seq != self._sent + 1:
            raise self._refuse(
                "SEQUENCE_BROKEN",
                f"{self._class}: record {record.seq} follows {self._sent} in the store",
                "the store is damaged: see the runbook",
            )
        # A damaged record goes without its payload: central refuses it and knows of the loss, and the rest goes on.
        message = pb.ForwardRecord(
            seq=record.seq,
            record_id=record.record_id,
            envelope=release.envelope(record.payload_type, record.payload),
            payload_sha256=record.payload_sha256,
            chain_head=record.chain_head,
        )
        self._sent = record.seq
        if not self._in_flight:
            self._heard_s = asyncio.get_running_loop().time()
            # From now on an answer is owed: let `_settle` watch for it.
            self._moved.set()
        self._in_flight[record.seq] = record
        await call.write(pb.ForwardRequest(record=message))

    async def _wait_for_turn(self) -> None:
        loop = asyncio.get_running_loop()
        while self._sent - self._seen >= self._window or self._policy.busy():
            if self._policy.busy():
                await asyncio.sleep(_YIELD_S)
            else:
                self._moved.clear()
                await self._wait_for_answer()
        if self._policy.rate_hz > 0:
            self._free_s = max(self._free_s + 1.0 / self._policy.rate_hz, loop.time())
            await asyncio.sleep(self._free_s - loop.time())

    async def _wait_for_answer(self) -> None:
        # Woken by any answer; a service that takes records and never answers is as good as gone.
        try:
            async with asyncio.timeout_at(self._heard_s + _ACK_S):
                await self._moved.wait()
        except TimeoutError:
            raise CentralUnavailable(
                "CENTRAL_NO_ANSWER",
                f"{self._class}: nothing acknowledged for {_ACK_S:g} s",
                "check the release service",
            ) from None

    async def _listen(self, call: _Call) -> None:
        while True:
            answer = await call.read()
            if not isinstance(answer, pb.ForwardResponse):
                raise await self._ended(call)
            self._heard_s = asyncio.get_running_loop().time()
            if answer.HasField("ack"):
                self._advance(answer.ack.watermark)
            elif answer.HasField("reject"):
                await self._reject(answer.reject)

    def _advance(self, watermark: int) -> None:
        if watermark > self._sent:
            raise self._refuse(
                "WATERMARK_AHEAD",
                f"{self._class}: central acknowledged {watermark}, {self._sent} is the last one sent",
                "tell central's operators",
            )
        seen = max(self._seen, watermark)
        # A refused record counts as seen.
        while seen + 1 in self._rejected:
            seen += 1
        if seen == self._seen:
            return
        for seq in range(self._seen + 1, seen + 1):
            self._in_flight.pop(seq, None)
            self._rejected.pop(seq, None)
        self._seen = seen
        self._moved.set()

    async def _reject(self, reject: pb.ForwardReject) -> None:
        record = self._in_flight.get(reject.seq)
        if record is None or reject.seq in self._rejected:
            return
        self._rejected[reject.seq] = reject.reason
        await _of_store(self._store.quarantine(self._class, reject.seq, reject.reason))
        self._reports.on_reject(self._class, record, reject.reason)
        self._advance(self._seen)

    async def _settle(self) -> None:
        """Write the newest watermark to the store; those that came meanwhile cost one transaction together."""
        settled = self._seen
        while True:
            self._moved.clear()
            if self._seen > settled:
                settled = self._seen
                await _of_store(self._store.acknowledge(self._class, settled))
                self._reports.on_acknowledged(self._class, settled)
            elif self._in_flight:
                await self._wait_for_answer()
            else:
                await self._moved.wait()

    def _refuse(self, code: str, message: str, hint: str) -> CentralRejected:
        self._reports.on_alarm(code, message)
        return CentralRejected(f"CENTRAL_{code}", message, hint)

    async def _ended(self, call: _Call) -> CentralUnavailable:
        return CentralUnavailable(
            "CENTRAL_UNAVAILABLE",
            f"the release service ended the {self._class} stream: {(await call.code()).name}",
            "it is restarting",
        )


async def _of_store(answer: Awaitable[T]) -> T:
    """What the store answers. Its fault ends the stream like any other, to be tried again: the passage loop tells of
    it, and a disk that is full or slow for a while must not end the process."""
    try:
        return await answer
    except StoreError as error:
        raise CentralUnavailable(error.code, error.message, error.hint) from error
