"""One lane's line to its agent: one watch kept open, the latest state, acts, and who of the officers is looking."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Final

import grpc
import grpc.aio
from google.protobuf.message import Message

from drivers.api import Clock, LinkLost, Stamp
from edge_agent.config.schema import ConsoleLaneSection, TlsSection
from edge_agent.model.errors import ConfigError
from edge_agent.observe.log import log
from edge_agent.runtime.supervise import Backoff, keep_running
from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import lane_service_pb2_grpc as lane_grpc

from .acts import Act, Answer, answer_of, refusal_of

_log = logging.getLogger(__name__)

SILENT_S: Final = 2.5
"""An agent that says nothing for so long is away, whatever the connection says: a state is due every half second."""
_INTERVAL_MS = 500
_FIRST_PAUSE_S = 0.4
_CAP_S = 2.0
_HAND_OVER_S = 2.0
_LINGER_S = 2.0
_PASSAGES = 20
_KEEP_S = 1.0

# A lane that comes back must be seen within two seconds, not after the library's two minutes.
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)


class LaneLink:
    """The console's side of one lane. `state` is the last one that came, stamped `state_at`; `connected_since` tells
    when contact began or ended. ConfigError CONSOLE_TLS when certificates cannot be read."""

    def __init__(self, index: int, section: ConsoleLaneSection, clock: Clock, rng: Random) -> None:
        self.index = index
        self.name = section.name
        self.media_url = section.media_url
        self.state: pb.LaneState | None = None
        self.version = 0
        self.reconnects = 0
        self.connected = False
        self.connected_since: Stamp = clock.stamp()
        self._state_at: Stamp | None = None
        self._target = section.target
        self._credentials = None if section.tls is None else _credentials(section.tls)
        self._clock = clock
        self._rng = rng
        self._officers: list[str] = []
        self._officers_changed = asyncio.Event()
        self._readers: set[asyncio.Event] = set()
        self._generation = 0
        self._channel: grpc.aio.Channel | None = None

    @property
    def state_age_s(self) -> float | None:
        """Seconds since the last state came; None before the first."""
        return None if self._state_at is None else (self._clock.stamp().mono_ns - self._state_at.mono_ns) / 1e9

    @property
    def watchers(self) -> int:
        """Browsers that look at this lane."""
        return len(self._officers)

    async def run(self) -> None:
        """Keep one watch open until cancelled. It is opened anew when another officer answers for the lane; the old one
        ends when the new one speaks, so that the lane never sees the officer gone in between."""
        async with self._connect() as self._channel, asyncio.TaskGroup() as group:
            old: asyncio.Task[None] | None = None
            while True:
                officer = self._officer()
                speaking = asyncio.Event()
                self._generation += 1
                watch = group.create_task(self._keep(self._generation, officer, speaking), name=f"watch:{self.name}")
                if old is not None:
                    await _either(speaking, _HAND_OVER_S)
                    old.cancel()
                old = watch
                while self._officer() == officer:
                    self._officers_changed.clear()
                    await self._officers_changed.wait()

    @contextmanager
    def watching(self, officer: str) -> Iterator[None]:
        """An officer's browser looks at the lane while the context lasts, and two seconds longer: a reloaded page is
        not an officer gone."""
        self._officers.append(officer)
        self._officers_changed.set()
        try:
            yield
        finally:
            asyncio.get_running_loop().call_later(_LINGER_S, self._leave, officer)

    @contextmanager
    def reading(self, changed: asyncio.Event) -> Iterator[None]:
        """`changed` is set at every new state and every change of contact while the context lasts."""
        self._readers.add(changed)
        try:
            yield
        finally:
            self._readers.discard(changed)

    async def act(self, act: Act, request: Message) -> Answer:
        """Put an act to the agent; the answer says whether it arrived."""
        ready = self._ready
        try:
            call = getattr(self._stub(), act.method)
            return answer_of(await call(request, timeout=act.deadline_s, wait_for_ready=act.persistent))
        except grpc.aio.AioRpcError as error:
            # Without a line before and after, nothing left this computer; a line that broke may have carried the act.
            return refusal_of(error, sent=ready or self._ready)

    async def keep_control(self, officer: str) -> None:
        """A page of the officer who controls the lane has just seen it. Whatever comes of it is in the next state."""
        with suppress(grpc.aio.AioRpcError):
            await self._stub().KeepControl(control_pb.KeepControlRequest(officer=officer), timeout=_KEEP_S)

    async def passages(self) -> list[pb.Passage]:
        """The last sealed passages, newest first. grpc.aio.AioRpcError."""
        request = pb.ListPassagesRequest(page_size=_PASSAGES)
        answer: pb.ListPassagesResponse = await self._stub().ListPassages(request, timeout=3.0)
        return list(answer.passages)

    @property
    def _ready(self) -> bool:
        return self._channel is not None and self._channel.get_state() is grpc.ChannelConnectivity.READY

    def _connect(self) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._target, options=_OPTIONS)
        return grpc.aio.secure_channel(self._target, self._credentials, options=_OPTIONS)

    def _stub(self) -> "lane_grpc.LaneServiceAsyncStub":
        assert self._channel is not None, "acts come from requests, and those after run has begun"
        return lane_grpc.LaneServiceStub(self._channel)

    def _officer(self) -> str:
        """Who answers for the lane: the officer who has looked at it longest; "" for nobody."""
        return self._officers[0] if self._officers else ""

    def _leave(self, officer: str) -> None:
        self._officers.remove(officer)
        self._officers_changed.set()

    async def _keep(self, generation: int, officer: str, speaking: asyncio.Event) -> None:
        def take(state: pb.LaneState) -> None:
            speaking.set()
            if generation == self._generation:
                self._take(state)

        def lost(fault: LinkLost) -> None:
            if generation == self._generation:
                self._lost(fault)

        backoff = Backoff(cap_s=_CAP_S, rng=self._rng, first_s=_FIRST_PAUSE_S)
        await keep_running(lambda: _Watch(self._stub(), officer), take, backoff, lost, LinkLost)

    def _take(self, state: pb.LaneState) -> None:
        self.state, self._state_at = state, self._clock.stamp()
        self.version += 1
        if not self.connected:
            self.connected, self.connected_since = True, self._state_at
            log(_log, logging.INFO, "lane_in_contact", device=self.name)
        self._ring()

    def _lost(self, fault: LinkLost) -> None:
        self.reconnects += 1
        if self.connected:
            self.connected, self.connected_since = False, self._clock.stamp()
            log(_log, logging.WARNING, "lane_out_of_contact", device=self.name, code=fault.code, detail=fault.message)
            self._ring()

    def _ring(self) -> None:
        for reader in self._readers:
            reader.set()


class _Watch:
    """One WatchLane call: ends in LinkLost."""

    def __init__(self, stub: "lane_grpc.LaneServiceAsyncStub", officer: str) -> None:
        self._stub = stub
        self._officer = officer

    async def run(self, emit: Callable[[pb.LaneState], None]) -> None:
        request = pb.WatchLaneRequest(officer_present=bool(self._officer), officer=self._officer)
        request.min_interval.FromMilliseconds(_INTERVAL_MS)
        call = self._stub.WatchLane(request)
        try:
            while True:
                async with asyncio.timeout(SILENT_S):
                    answer = await call.read()
                if not isinstance(answer, pb.WatchLaneResponse):
                    raise LinkLost("LANE_ENDED", "the agent ended the watch")
                emit(answer.lane)
        except TimeoutError as error:
            raise LinkLost("LANE_SILENT", "the agent says nothing") from error
        except grpc.aio.AioRpcError as error:
            raise LinkLost("LANE_AWAY", error.details() or error.code().name) from error
        finally:
            call.cancel()


async def _either(event: asyncio.Event, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return


def _credentials(tls: TlsSection) -> grpc.ChannelCredentials:
    """Mutual TLS from files. ConfigError CONSOLE_TLS."""
    try:
        ca, key, chain = (path.read_bytes() for path in (tls.ca_file, tls.key_file, tls.cert_file))
    except OSError as error:
        hint = "make the file readable for the console's user"
        raise ConfigError("CONSOLE_TLS", f"{error.filename}: {error.strerror}", hint) from error
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=chain)
