"""Server-sent events of one page: states of the lane it shows, contact, and a line on every other lane.

`state`: a LaneState as it comes from the agent, its age in the `link` right behind it. `link`: once a second and at
every change, `{"connected", "since", "state_age_s"}`; a page must not take a state as current beyond that age. `lanes`
(with `?tiles=1`): one line per lane. A state is sent again only to a page that is new, and its `link` tells how old it
is.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import ClientConnectionResetError, web
from google.protobuf import json_format

from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import types_pb2 as types

from .lane_link import LaneLink
from .metrics import ConsoleCollector

_EVERY_S: Final = 1.0
_LEAST_S: Final = 0.1
_GONE_MS: Final = 5_000
"""A browser whose network is gone is no officer present: its connection ends after so long without acknowledgement."""


class Streams:
    """All pages connected now."""

    def __init__(self, lanes: Sequence[LaneLink], collector: ConsoleCollector) -> None:
        self._lanes = lanes
        self._collector = collector
        self._open: set[asyncio.Event] = set()
        self._ending = False

    def end(self) -> None:
        """The process is on its way out: every stream ends."""
        self._ending = True
        for changed in self._open:
            changed.set()

    async def serve(
        self,
        request: web.Request,
        lane: LaneLink,
        officer: str,
        whole: bool,
        over: Callable[[], bool],
        headers: Mapping[str, str],
    ) -> web.StreamResponse:
        """Send until the page goes, or its time is `over`. With `whole`, lines on all lanes, and the officer is present
        in all of them."""
        response = web.StreamResponse(headers={**headers, "Content-Type": "text/event-stream"})
        response.headers["X-Accel-Buffering"] = "no"
        _notice_dead_peer(request)
        changed = asyncio.Event()
        shown = self._lanes if whole else [lane]
        with ExitStack() as stack:
            stack.enter_context(self._counted(changed))
            for each in shown:
                stack.enter_context(each.watching(officer))
                stack.enter_context(each.reading(changed))
            try:
                await response.prepare(request)
                await self._send(response, lane, shown if whole else (), changed, over)
            except ClientConnectionResetError:
                pass  # the page went; whoever looks now is told by the other streams
        return response

    async def _send(
        self,
        response: web.StreamResponse,
        lane: LaneLink,
        tiles: Sequence[LaneLink],
        changed: asyncio.Event,
        over: Callable[[], bool],
    ) -> None:
        version = 0
        await response.write(b"retry: 1000\n\n")
        while not self._ending and not over():
            changed.clear()
            parts = []
            if lane.version != version and lane.state is not None:
                version = lane.version
                parts.append(_event("state", state_json(lane.state)))
            parts.append(_event("link", _link_json(lane)))
            if tiles:
                parts.append(_event("lanes", [_tile_json(tile) for tile in tiles]))
            await response.write(b"".join(parts))
            await asyncio.sleep(_LEAST_S)
            try:
                async with asyncio.timeout(_EVERY_S - _LEAST_S):
                    await changed.wait()
            except TimeoutError:
                continue

    @contextmanager
    def _counted(self, changed: asyncio.Event) -> Iterator[None]:
        self._open.add(changed)
        self._collector.streams += 1
        try:
            yield
        finally:
            self._open.discard(changed)
            self._collector.streams -= 1


def state_json(state: pb.LaneState) -> dict[str, Any]:
    """A state as the page reads it: names of the `.proto` files, enums by name, false and zero written out."""
    return json_format.MessageToDict(state, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _link_json(lane: LaneLink) -> dict[str, Any]:
    age_s = lane.state_age_s
    since = datetime.fromtimestamp(lane.connected_since.utc_ns / 1e9, UTC)
    return {
        "connected": lane.connected,
        "since": since.isoformat(timespec="milliseconds"),
        "state_age_s": None if age_s is None else round(age_s, 3),
    }


def _tile_json(lane: LaneLink) -> dict[str, Any]:
    tile: dict[str, Any] = {"index": lane.index, "name": lane.name, **_link_json(lane)}
    state = lane.state
    if state is None:
        return tile
    signal = state.signal
    upstream = [conveyance for conveyance in state.conveyances if conveyance.order > 0]
    return {
        **tile,
        "mode": types.LaneMode.Name(state.mode),
        "signal": json_format.MessageToDict(
            signal, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        ),
        "at": json_format.MessageToDict(state.at, preserving_proto_field_name=True),
        "hold": state.HasField("hold"),
        "controlled_by": state.control.officer,
        "order_known": state.corridor_order_known,
        "conveyances": len(upstream),
        "waiting": sum(conveyance.standing_at_line and not conveyance.green for conveyance in upstream),
        "alarms": sum(condition.severity == types.SEVERITY_ALARM for condition in state.conditions),
    }


def _notice_dead_peer(request: web.Request) -> None:
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("socket")
    if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_MS)
