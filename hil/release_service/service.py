"""The two streams of the contract, served with grpc.aio. What is decided is desk.py's, what is held is book.py's."""

import asyncio
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from hil.release_service.book import Book, Line, SequenceGap, Taken
from hil.release_service.desk import Desk, Publish, Switches
from hil.release_service.docket import Docket
from hil.release_service.elsewhere import Elsewhere
from hil.release_service.keys import Keys
from hil.release_service.rules_file import RuleBook
from securecorridor.release.v1 import release_service_pb2 as pb
from securecorridor.release.v1 import release_service_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]

WINDOW = 64
_BATCH = 256
_LANE = re.compile(r"ports/[^/]+/lanes/[^/]+")

SERVER_OPTIONS = (
    # A lane pings every 2 s to notice a dead line; the default would answer with GOAWAY too_many_pings.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # One service a port: a second one must fail and not share it.
    ("grpc.so_reuseport", 0),
)


class ReleaseService(pb_grpc.ReleaseServiceServicer):
    """The servicer. `publish` is the control channel's; `switches` and `rules` may change while it serves."""

    def __init__(
        self, rules: RuleBook, keys: Keys, docket: Docket, book: Book, switches: Switches, publish: Publish
    ) -> None:
        self.desks: dict[str, Desk] = {}
        self._rules = rules
        self._keys = keys
        self._docket = docket
        self._book = book
        self._switches = switches
        self._publish = publish
        self._elsewhere = Elsewhere()
        # The book has one thread: its commits must not hold up a decision.
        self._clerk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="book")

    def close(self) -> None:
        """Stop timers and the book's thread; streams must have ended."""
        for desk in self.desks.values():
            desk.close()
        self._clerk.shutdown()

    async def Decide(  # type: ignore[override]  # noqa: N802 - the contract's name; replies by write
        self, request_iterator: AsyncIterator[pb.DecideRequest], context: Context
    ) -> None:
        """Requests in, decisions out, every heartbeat answered at once."""
        first = await anext(request_iterator, None)
        if first is None or not first.HasField("hello"):
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "HELLO_EXPECTED", "the first message must be hello")
        hello = first.hello
        await self._check_lane(hello.lane, context)
        desk = self.desks.get(hello.lane)
        if desk is None:
            desk = Desk(
                hello.lane,
                self._rules,
                self._keys,
                self._docket,
                self._switches,
                self._publish,
                self._elsewhere,
                self._tell,
            )
            self.desks[hello.lane] = desk
        outgoing: asyncio.Queue[pb.DecideResponse] = asyncio.Queue()
        send = outgoing.put_nowait
        welcome = pb.DecideWelcome(
            request_watermark=self._docket.request_watermark(hello.lane, hello.epoch),
            chain_length=self._book.figures.chain_lengths.get((hello.lane, hello.epoch), 0),
        )
        welcome.central_time.GetCurrentTime()
        await context.write(pb.DecideResponse(welcome=welcome))
        self._publish("hello", stream="decide", lane=hello.lane, epoch=hello.epoch, chain_length=hello.chain_length)
        desk.connect(hello.epoch, send)
        writer = asyncio.create_task(_write_all(outgoing, context))
        try:
            async for request in request_iterator:
                self._dispatch(desk, request, send)
        finally:
            desk.disconnect(send)
            writer.cancel()

    def _tell(self, lane: str, notice: pb.SeenElsewhere) -> None:
        """To a lane that may not be connected."""
        desk = self.desks.get(lane)
        if desk is not None:
            desk.tell(notice)

    def _dispatch(self, desk: Desk, request: pb.DecideRequest, send: Any) -> None:  # noqa: ANN401 - put_nowait
        match request.WhichOneof("message"):
            case "heartbeat" if self._switches.heartbeats:
                beat = request.heartbeat
                answer = pb.CentralHeartbeat(seq=beat.seq, echoed_stamp_mono_ns=beat.stamp_mono_ns)
                send(pb.DecideResponse(heartbeat=answer))
            case "request":
                desk.ask(request.request)
            case "withdrawal":
                desk.withdraw(request.withdrawal)
            case "local_decision":
                decision = request.local_decision
                self._publish("local_decision", conveyance_id=decision.conveyance_id, revision=decision.revision)
            case _:
                pass

    async def Forward(  # type: ignore[override]  # noqa: N802 - the contract's name; replies by write
        self, request_iterator: AsyncIterator[pb.ForwardRequest], context: Context
    ) -> None:
        """Records in, watermarks out, each after its commit."""
        first = await anext(request_iterator, None)
        if first is None or not first.HasField("hello"):
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "HELLO_EXPECTED", "the first message must be hello")
        hello = first.hello
        await self._check_lane(hello.lane, context)
        if hello.record_class == pb.RECORD_CLASS_UNSPECIFIED or not hello.epoch:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "HELLO_INCOMPLETE", "epoch and class must be given")
        record_class = pb.RecordClass.Name(hello.record_class).removeprefix("RECORD_CLASS_").lower()
        line = Line(hello.lane, hello.epoch, record_class)
        resume = pb.ForwardResume(watermark=self._book.watermark(line), window=WINDOW)
        self._publish(
            "hello",
            stream="forward",
            lane=line.lane,
            epoch=line.epoch,
            record_class=record_class,
            last_seq=hello.last_seq,
            watermark=resume.watermark,
        )
        await context.write(pb.ForwardResponse(resume=resume))
        incoming: asyncio.Queue[pb.ForwardRecord | None] = asyncio.Queue(WINDOW)
        reader = asyncio.create_task(_read_all(request_iterator, incoming))
        try:
            while batch := await _batch_of(incoming):
                await self._take(line, batch, context)
            await reader
        finally:
            reader.cancel()

    async def _take(self, line: Line, batch: list[pb.ForwardRecord], context: Context) -> None:
        loop = asyncio.get_running_loop()
        try:
            taken: Taken = await loop.run_in_executor(self._clerk, self._book.take, line, batch)
        except SequenceGap as gap:
            await _abort(context, grpc.StatusCode.FAILED_PRECONDITION, "SEQUENCE_GAP", str(gap))
        for reject in taken.rejected:
            self._publish("reject", record_class=line.record_class, seq=reject.seq, reason=reject.reason)
            await context.write(pb.ForwardResponse(reject=reject))
        await context.write(pb.ForwardResponse(ack=pb.ForwardAck(watermark=taken.watermark)))
        for record in taken.accepted:
            if line.record_class == "bundle":
                self._publish("bundle", bundle_id=record.record_id, seq=record.seq, outcome=record.outcome)
            else:
                self._publish("record", record_class=line.record_class, record_id=record.record_id, seq=record.seq)

    async def _check_lane(self, lane: str, context: Context) -> None:
        if not _LANE.fullmatch(lane):
            await _abort(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "LANE_NAME_INVALID",
                "lane must be ports/{office}/lanes/{lane}",
            )


async def _abort(context: Context, code: grpc.StatusCode, reason: str, message: str) -> NoReturn:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="securecorridor"))
    status = status_pb2.Status(code=code.value[0], message=message, details=[detail])
    await context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort returned")


async def _write_all(outgoing: "asyncio.Queue[pb.DecideResponse]", context: Context) -> None:
    while True:
        await context.write(await outgoing.get())


async def _read_all(
    request_iterator: AsyncIterator[pb.ForwardRequest], incoming: "asyncio.Queue[pb.ForwardRecord | None]"
) -> None:
    async for request in request_iterator:
        if request.HasField("record"):
            await incoming.put(request.record)
    await incoming.put(None)


async def _batch_of(incoming: "asyncio.Queue[pb.ForwardRecord | None]") -> list[pb.ForwardRecord]:
    """Everything that waits, at least one; empty once the stream has ended."""
    batch: list[pb.ForwardRecord] = []
    record = await incoming.get()
    while record is not None:
        batch.append(record)
        if incoming.empty() or len(batch) >= _BATCH:
            return batch
        record = incoming.get_nowait()
    if batch:
        incoming.put_nowait(None)
    return batch
