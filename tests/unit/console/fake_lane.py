"""A lane that is not there: the gRPC service on a unix socket with a state a test sets, and the console in front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from edge_agent.config.schema import ConsoleSection
from edge_agent.console.app import run_console
from edge_agent.runtime.clock import SystemClock
from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import lane_service_pb2 as pb
from securecorridor.lane.v1 import lane_service_pb2_grpc as lane_grpc
from securecorridor.lane.v1 import types_pb2 as types

TOKEN = "a token of the officers"
OFFICER = "bso-7421"
"""Who controls the lane, unless a test says otherwise."""
S = 1_000_000_000

_ZONES = ("zone_a", "zone_d", "zone_s", "stop_line_beam", "zone_x")
_SIGHTED = (
    (types.IDENTITY_KIND_DRIVER_CARD, "3035-1177-0420-9931", "rfid-1/2", 0.97),
    (types.IDENTITY_KIND_TRANSPONDER, "3034257BF468D480000003EA", "rfid-1/1", 0.99),
    (types.IDENTITY_KIND_PLATE_FRONT, "CA-ON AB 123 CD", "front", 0.91),
)


def now() -> types.Moment:
    """This moment."""
    stamp = SystemClock().stamp()
    moment = types.Moment(mono_ns=stamp.mono_ns)
    moment.time.FromNanoseconds(stamp.utc_ns)
    return moment


def ago(seconds: float) -> types.Moment:
    """A moment that has passed."""
    moment = now()
    moment.mono_ns -= round(seconds * S)
    moment.time.FromNanoseconds(moment.time.ToNanoseconds() - round(seconds * S))
    return moment


def conveyance(order: int, nose_m: float = -20.0, speed_kmh: float = 14.0) -> pb.ConveyanceState:
    """One that has been seen and asked about, its cargo not known yet."""
    state = pb.ConveyanceState(
        conveyance_id=f"0199a9a2-7f10-7c3e-8f21-00000000000{order}",
        etag=f"etag-{order}",
        identity_digest=f"{order}" * 64,
        phase=types.PHASE_REQUESTED,
        order=order,
        legs=[
            pb.ConveyanceState.LegState(leg=types.LEG_DRIVER, complete=True, required=True, claims=1, confidence=0.97),
            pb.ConveyanceState.LegState(
                leg=types.LEG_CONVEYANCE, complete=True, required=True, claims=2, confidence=0.99
            ),
            pb.ConveyanceState.LegState(leg=types.LEG_CARGO, complete=False, required=True),
        ],
        position_earliest_m=nose_m + 0.6,
        position_latest_m=nose_m - 0.8,
        speed_kmh=speed_kmh,
        detected=ago(9.0),
        identities=[
            pb.ConveyanceState.ClearIdentity(kind=kind, value=value, source=source, confidence=confidence)
            for kind, value, source, confidence in _SIGHTED
        ],
    )
    commit_s = (-10.0 - nose_m) / (speed_kmh / 3.6) if speed_kmh else -1.0
    state.commit_in.FromMilliseconds(round(commit_s * 1000))
    return state


def decide(state: pb.ConveyanceState, verdict: types.Verdict.ValueType, left_s: float = 21.0) -> None:
    """Central has decided, and the decision lives for so long."""
    state.phase = types.PHASE_DECIDED
    state.decision.CopyFrom(
        types.Decision(
            decision_id="d-1",
            conveyance_id=state.conveyance_id,
            revision=1,
            verdict=verdict,
            authority=types.AUTHORITY_SYSTEM,
            identity_digest=state.identity_digest,
            echoed_stamp_mono_ns=now().mono_ns,
            ttl_ms=round(left_s * 1000),
            basis="FLE",
        )
    )
    state.decision_live = True
    state.legs[2].complete = True
    state.legs[2].claims = 1


def quiet_lane() -> pb.LaneState:
    """Red and confirmed, nobody there, in order."""
    lane = pb.LaneState(
        name="ports/0453/lanes/07",
        mode=types.LANE_MODE_REMOTE,
        etag="lane-1",
        at=now(),
        corridor_order_known=True,
        corridor_order_since=ago(3600),
        signal=pb.SignalState(
            commanded=types.ASPECT_RED,
            confirmed=types.ASPECT_RED,
            grade=types.GRADE_LAMP,
            confirmed_since=ago(14),
        ),
        red_causes=[
            pb.RedCause(
                code="no_lease",
                text="No conveyance has permission",
                since=ago(14),
                by="",
                hint="Wait for a decision, or talk and release",
            )
        ],
        zones=[pb.ZoneState(zone=zone, level=pb.ZoneState.LEVEL_FREE) for zone in _ZONES],
        centre_up=True,
        centre_since=ago(4000),
        control=control_pb.Control(
            officer=OFFICER, since=ago(600), change=control_pb.Control.CHANGE_TAKEN, reason="shift"
        ),
        console_present=True,
        boot_id="boot-1",
        agent_version="0.1.0",
    )
    lane.signal.readback_age.FromMilliseconds(40)
    return lane


def set_signal(
    lane: pb.LaneState,
    commanded: types.Aspect.ValueType,
    confirmed: types.Aspect.ValueType,
    grade: types.Grade.ValueType = types.GRADE_LAMP,
) -> None:
    """What is commanded and what feedback says."""
    lane.signal.commanded, lane.signal.confirmed, lane.signal.grade = commanded, confirmed, grade
    lane.signal.confirmed_since.CopyFrom(ago(3))
    if confirmed == types.ASPECT_GREEN:
        del lane.red_causes[:]


@dataclass
class Refusal:
    """How the lane refuses the next act."""

    code: grpc.StatusCode
    message: str
    reason: str = ""


@dataclass
class FakeLane:
    """A lane whose state a test sets with `show`; `acts` are the requests that came, `watches` the officers
    present, `beats` the officers whose consoles sent a sign of life."""

    state: pb.LaneState = field(default_factory=quiet_lane)
    acts: list[Any] = field(default_factory=list)
    watches: list[str] = field(default_factory=list)
    beats: list[str] = field(default_factory=list)
    refuse: Refusal | None = None
    silent: bool = False
    answer_after_s: float = 0.0
    passages: list[pb.Passage] = field(default_factory=list)
    on_act: Callable[[Any], None] = lambda _: None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, state: pb.LaneState) -> None:
        """A new state."""
        self.state = state
        self.changed.set()

    async def WatchLane(self, request: Any, context: Any) -> AsyncIterator[pb.WatchLaneResponse]:  # noqa: N802
        officer = request.officer if request.officer_present else ""
        self.watches.append(officer)
        try:
            while True:
                self.changed.clear()
                if not self.silent:
                    self.state.at.CopyFrom(now())
                    yield pb.WatchLaneResponse(lane=self.state)
                with suppress(TimeoutError):
                    async with asyncio.timeout(request.min_interval.ToMilliseconds() / 1000):
                        await self.changed.wait()
        finally:
            self.watches.remove(officer)

    async def KeepControl(self, request: Any, context: Any) -> control_pb.KeepControlResponse:  # noqa: N802
        self.beats.append(request.officer)
        return control_pb.KeepControlResponse()

    async def ListPassages(self, request: Any, context: Any) -> pb.ListPassagesResponse:  # noqa: N802
        return pb.ListPassagesResponse(passages=self.passages[: request.page_size])

    def __getattr__(self, name: str) -> Any:
        # Every other method of the service is an act; what has no response with an outcome is never called.
        response = getattr(pb, f"{name}Response", None)
        if response is None:
            raise AttributeError(name)

        async def act(request: Any, context: Any) -> Any:
            return await self._act(request, context, response)

        return act

    async def _act(self, request: Any, context: Any, response: type) -> Any:
        self.acts.append(request)
        if self.refuse is not None:
            info = error_details_pb2.ErrorInfo(reason=self.refuse.reason, domain="securecorridor")
            packed = any_pb2.Any()
            packed.Pack(info)
            code = code_pb2.Code.Value(self.refuse.code.name)
            status = status_pb2.Status(code=code, message=self.refuse.message, details=[packed])
            await context.abort_with_status(rpc_status.to_status(status))
        self.on_act(request)
        await asyncio.sleep(self.answer_after_s)
        return response(outcome=pb.ActOutcome(etag="after", message="done", may_clear=["officer"], at=now()))


@asynccontextmanager
async def lane_door(lane: FakeLane, path: Path) -> AsyncIterator[None]:
    """The lane's officer door on a unix socket."""
    server = grpc.aio.server()
    lane_grpc.add_LaneServiceServicer_to_server(cast(Any, lane), server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)
        # A call that came just before the end has tasks of the library's own, which end by themselves.
        await until(lambda: not any(task.get_name() == "rpc_task" for task in asyncio.all_tasks()))


@asynccontextmanager
async def console(folder: Path, *sockets: Path, **settings: Any) -> AsyncIterator[str]:
    """A console in front of the lanes with these doors; gives its URL."""
    token_file = folder / "console.token"
    token_file.write_text(TOKEN)
    media_token = settings.pop("media_token", None)
    media_url = settings.pop("media_url", None)
    section = ConsoleSection.model_validate(
        {
            "listen_port": 0,
            "token_file": token_file,
            "lanes": [
                {"name": f"Lane {7 + index:02}", "target": f"unix:{path}", "media_url": media_url}
                for index, path in enumerate(sockets)
            ],
            **settings,
        }
    )
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    work = run_console(section, SystemClock(), ready.set_result, media_token=media_token, rng=Random(1))
    task = asyncio.create_task(work)
    try:
        task.add_done_callback(lambda _: ready.done() or ready.cancel())
        try:
            url = await ready
        except asyncio.CancelledError:
            await task
            raise
        yield url
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - polled as an onlooker would
            await asyncio.sleep(0.01)
