"""The decision stream: requests out within the loop's next turn, decisions in, a heartbeat every second."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc

from drivers.api import Clock
from edge_agent.model.decision import Decision
from edge_agent.model.errors import CentralUnavailable
from edge_agent.model.inputs import SeenElsewhere
from edge_agent.runtime.channel import Channel, Overflow
from edge_agent.wire import release, types
from securecorridor.release.v1 import release_service_pb2 as pb
from securecorridor.release.v1.release_service_pb2_grpc import ReleaseServiceStub

from .connection import ANSWER_S, faults_of

HEARTBEAT_S = 1.0
MISSED = 3
_OUTGOING = 256

_Call = grpc.aio.StreamStreamCall[pb.DecideRequest, pb.DecideResponse]


@dataclass(frozen=True, slots=True)
class LaneSide:
    """What a decision stream needs of the lane; all quick and synchronous.

    `current` gives the present request of every conveyance still in the lane, first in order first. `heartbeat` gives
    the contents (`seq` and `stamp_mono_ns` are filled in). `on_link(True)` when the service has answered a heartbeat of
    this stream, `on_link(False)` when the stream ended after that. `on_welcome` gets the service's view, for the log,
    `on_seen_elsewhere` what it tells of other lanes.
    """

    hello: Callable[[], pb.DecideHello]
    current: Callable[[], Sequence[pb.ReleaseRequest]]
    heartbeat: Callable[[], pb.LaneHeartbeat]
    on_decision: Callable[[Decision], None]
    on_link: Callable[[bool], None]
    on_welcome: Callable[[pb.DecideWelcome], None] = lambda _: None
    on_seen_elsewhere: Callable[[SeenElsewhere], None] = lambda _: None


def outgoing_channel() -> Channel[pb.DecideRequest]:
    """What the lane has to say, also while no stream is up: put requests and withdrawals here.

    Requests are dropped when a stream begins, for it begins with the current ones.
    """
    return Channel("decide-outgoing", _OUTGOING, Overflow.DROP_OLDEST)


class DecideSession:
    """One decision stream. Raises CentralUnavailable (also after three missed heartbeats) or CentralRejected."""

    def __init__(
        self, channel: grpc.aio.Channel, outgoing: Channel[pb.DecideRequest], lane: LaneSide, clock: Clock
    ) -> None:
        self._stub = ReleaseServiceStub(channel)
        self._outgoing = outgoing
        self._lane = lane
        self._clock = clock
        self._turn = asyncio.Lock()
        self._sent = 0
        self._answered = 0

    async def run(self, emit: Callable[[object], None]) -> None:
        """Work until the stream breaks. Nothing is emitted: the lane's callbacks get all."""
        # Waiting for the line, not failing at once: the call begins in the moment the connection is there.
        call: _Call = self._stub.Decide(wait_for_ready=True)
        async with faults_of(call):
            await self._greet(call)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._listen(call), name="decide-listen")
                    group.create_task(self._speak(call), name="decide-speak")
                    group.create_task(self._pulse(call), name="decide-pulse")
            finally:
                if self._answered:
                    self._lane.on_link(False)

    async def _greet(self, call: _Call) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await call.write(pb.DecideRequest(hello=self._lane.hello()))
                answer = await call.read()
        except TimeoutError:
            raise CentralUnavailable(
                "CENTRAL_NO_ANSWER", f"no welcome within {ANSWER_S:g} s", "check the line and the release service"
            ) from None
        if not isinstance(answer, pb.DecideResponse):
            raise await _ended(call)
        if not answer.HasField("welcome"):
            raise CentralUnavailable(
                "CENTRAL_PROTOCOL", "the first message was not welcome", "tell central's operators"
            )
        self._lane.on_welcome(answer.welcome)

    async def _listen(self, call: _Call) -> None:
        while True:
            answer = await call.read()
            if not isinstance(answer, pb.DecideResponse):
                raise await _ended(call)
            if answer.HasField("decision"):
                self._lane.on_decision(types.decision_record(answer.decision, self._clock.stamp()))
            elif answer.HasField("heartbeat"):
                self._hear(answer.heartbeat.seq)
            elif answer.HasField("seen_elsewhere"):
                self._lane.on_seen_elsewhere(release.seen_elsewhere(answer.seen_elsewhere, self._clock.stamp()))

    def _hear(self, seq: int) -> None:
        first = not self._answered
        self._answered = max(self._answered, min(seq, self._sent))
        if first and self._answered:
            self._lane.on_link(True)

    async def _speak(self, call: _Call) -> None:
        kept = []
        while (queued := self._outgoing.take()) is not None:
            if not queued.HasField("request"):
                kept.append(queued)
        for request in self._lane.current():
            await self._write(call, pb.DecideRequest(request=request))
        for message in kept:
            await self._write(call, message)
        async for message in self._outgoing:
            await self._write(call, message)

    async def _pulse(self, call: _Call) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            if self._sent - self._answered >= MISSED:
                raise CentralUnavailable(
                    "CENTRAL_SILENT",
                    f"{MISSED} heartbeats without an answer",
                    "the release service is stopped or overloaded, or the line is cut",
                )
            self._sent += 1
            beat = self._lane.heartbeat()
            beat.seq = self._sent
            beat.stamp_mono_ns = self._clock.stamp().mono_ns
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._write(call, pb.DecideRequest(heartbeat=beat))
            except TimeoutError:
                raise CentralUnavailable(
                    "CENTRAL_SILENT", "the release service takes nothing any more", "check the release service"
                ) from None
            due_s += HEARTBEAT_S
            await asyncio.sleep(due_s - loop.time())

    async def _write(self, call: _Call, message: pb.DecideRequest) -> None:
        # gRPC takes one write at a time.
        async with self._turn:
            await call.write(message)


async def _ended(call: _Call) -> CentralUnavailable:
    return CentralUnavailable(
        "CENTRAL_UNAVAILABLE",
        f"the release service ended the stream: {(await call.code()).name}",
        "it is restarting, or another agent uses the name of this lane",
    )
