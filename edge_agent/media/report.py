"""Tells the control process which camera views are live, over its media door. The control process never calls media."""

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc
import grpc.aio

from drivers.api import Clock
from edge_agent.observe.log import log
from edge_agent.wire import types
from securecorridor.lane.v1 import sighting_service_pb2 as pb
from securecorridor.lane.v1.sighting_service_pb2_grpc import SightingServiceStub

_LOG = logging.getLogger("media")
_AGAIN_S = 1.0
_OPTIONS = (("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 2_000))


class ViewReporter:
    """Keeps one stream to the agent open and sends the state of each view whenever `tell` is called. Only the newest
    state of a view is kept: an agent that was away is told how things are, not how they were."""

    def __init__(self, target: str, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._views: dict[str, pb.ViewState] = {}
        self._fresh: set[str] = set()
        self._bell = asyncio.Event()

    def tell(self, view: str, live: bool, age_s: float | None) -> None:
        """The state of one view now; `age_s` of its last picture, None before the first."""
        self._views[view] = pb.ViewState(
            view=view,
            live=live,
            at=types.moment(self._clock.stamp()),
            last_frame_age_ms=round(age_s * 1000) if age_s is not None else -1,
        )
        self._fresh.add(view)
        self._bell.set()

    async def run(self) -> None:
        """Report until cancelled; the agent may come and go."""
        up = True
        async with grpc.aio.insecure_channel(self._target, options=_OPTIONS) as channel:
            stub = SightingServiceStub(channel)
            while True:
                self._fresh.update(self._views)
                self._bell.set()
                try:
                    async for _ in stub.ReportSightings(self._reports()):
                        if not up:
                            log(_LOG, logging.INFO, "agent_back")
                        up = True
                except grpc.aio.AioRpcError as error:
                    if up:
                        log(_LOG, logging.WARNING, "agent_away", code=error.code().name)
                    up = False
                await asyncio.sleep(_AGAIN_S)

    async def _reports(self) -> AsyncIterator[pb.ReportSightingsRequest]:
        while True:
            await self._bell.wait()
            self._bell.clear()
            # Taken before anything is sent: what is told meanwhile is fresh again.
            fresh, self._fresh = self._fresh, set()
            for view in sorted(fresh):
                yield pb.ReportSightingsRequest(view=self._views[view])
