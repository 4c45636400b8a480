"""A small lane in memory behind the real doors: enough of the agent to see every kind of answer."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from drivers.api import EdgeError, Stamp
from edge_agent.api.backend import PassageFound
from edge_agent.api.feeds import Broadcast, Notifier, Watch
from edge_agent.api.server import ApiServer
from edge_agent.model.decision import ActKind, ActResult, OfficerAct, Role
from edge_agent.model.effects import AnswerAct
from edge_agent.model.readers import AntennaHealth, ReaderHealth, ReadingGap
from edge_agent.runtime.channel import Channel
from edge_agent.wire import types as wire
from edge_agent.wire.readers import reader_message
from securecorridor.lane.v1 import capture_service_pb2 as capture_pb
from securecorridor.lane.v1 import control_pb2 as control_pb
from securecorridor.lane.v1 import diagnostics_service_pb2 as diagnostics_pb
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb
from securecorridor.lane.v1 import sighting_service_pb2 as sighting_pb
from securecorridor.lane.v1 import types_pb2 as types_pb

CONVEYANCE = "0190e1c2-5a70-7000-8000-00000000c001"
BUNDLE = "0190e1c2-5a70-7000-8000-00000000b001"
SEALED_BUNDLE = "0190e1c2-0000-7000-8000-00000000b000"
SEALED_CONVEYANCE = "0190e1c2-0000-7000-8000-00000000c000"
DIGEST = "sha256:" + "ab" * 32
CLEAR_TEXT = "e200341201234567"
NOW = Stamp(mono_ns=5_000_000_000, utc_ns=1_767_225_600_000_000_000)


def uuid4() -> str:
    """A request id."""
    return str(uuid.uuid4())


READER = ReaderHealth(
    device="reader-1", kind="mercury", up=True, reads=120, reads_per_s=4.5, temperature_c=41.0, over_temperature=False,
    antennas=(
        AntennaHealth(1, 100, (0, 0, 5, 20, 60, 15, 0, 0, 0), 0, 2, 50, 20, 5, 50, ("high return loss",)),
        AntennaHealth(2, 20, (0, 0, 0, 0, 0, 0, 0, 0, 0), 20, 0, 0, 0, 0, 100),
    ),
    counters={"crc_errors": 3.0, "frames": 400.0},
    gaps=(
        ReadingGap(NOW, replace(NOW, mono_ns=NOW.mono_ns + 2_500_000_000), "RFID_SILENT"),
        ReadingGap(NOW, None, "X"),
    ),
)  # fmt: skip


class FakeLane:
    """Implements `LaneBackend`. `acts` is what came through; `fail` makes the next act or read raise. `besides`: what
    the lane has besides its head."""

    def __init__(self) -> None:
        self.acts: list[OfficerAct] = []
        self.fail: Exception | None = None
        self.silent = False
        self.head_well = True
        self.held = False
        self.green = False
        self.etag = 1
        self.mode = types_pb.LANE_MODE_REMOTE
        self.fault = ""
        self.conveyances = True
        self.conditions_now: list[types_pb.Condition] = []
        self.work: lane_pb.Maintenance | None = None
        self.besides = lane_pb.LaneState()
        self.control = control_pb.Control(
            officer="bso-4711", change=control_pb.Control.CHANGE_TAKEN, since=wire.moment(NOW)
        )
        self.control.left.FromMilliseconds(3200)
        self.kept: list[str] = []
        self.captures_now: list[capture_pb.Capture] = []
        self.consoles: list[str] = []
        self.plates: list[sighting_pb.PlateSighting] = []
        self.views: dict[str, bool] = {}
        self.gone: list[tuple[str, ...]] = []
        self.sealed = [_passage(seq) for seq in range(30, 0, -1)]
        self.bundle = b"bundle bytes"
        self.changes = Notifier()
        self.sealing: Broadcast[lane_pb.Passage] = Broadcast("passages")
        self.happening: Broadcast[diagnostics_pb.TailEvent] = Broadcast("events")
        self.history = [_event(f"EVENT_{n}") for n in range(5)]
        self.changed = asyncio.Event()

    def lane_state(self, role: Role) -> lane_pb.LaneState:
        """Gives identities in clear to everybody: the doors must not."""
        causes = [] if self.green else [_cause("WAITING_DECISION", "waiting for a decision", "central")]
        if self.held:
            causes.insert(0, _cause("HOLD_LANE", "the lane is held", "bso-7"))
        if self.fault:
            causes.insert(0, _cause("FAULT_LATCHED", f"signal fault {self.fault}", "io-1"))
        lane = lane_pb.LaneState(
            name="ports/0427/lanes/07",
            mode=self.mode,
            etag=f"lane-{self.etag}",
            at=wire.moment(NOW),
            corridor_order_known=True,
            corridor_order_since=wire.moment(NOW),
            signal=self._signal(),
            conveyances=[_conveyance(self.etag, self.green)] if self.conveyances else [],
            conditions=self.conditions_now,
            red_causes=causes,
            centre_up=True,
            centre_since=wire.moment(NOW),
            console_present=bool(self.consoles),
            boot_id="boot-1",
            agent_version="0.1.0",
            maintenance=self.work,
            control=self.control,
            zones=[lane_pb.ZoneState(zone="zone_a", level=lane_pb.ZoneState.LEVEL_OCCUPIED, edges=3)],
        )
        if self.held:
            lane.hold.CopyFrom(
                types_pb.Hold(officer="bso-7", role="officer", reason="look", may_clear=["officer"], etag="hold-1")
            )
            lane.hold.since.CopyFrom(wire.moment(NOW))
        lane.MergeFrom(self.besides)
        return lane

    def _signal(self) -> lane_pb.SignalState:
        aspect = types_pb.ASPECT_GREEN if self.green else types_pb.ASPECT_RED
        return lane_pb.SignalState(
            commanded=aspect,
            confirmed=aspect,
            grade=types_pb.GRADE_LAMP,
            confirmed_since=wire.moment(NOW),
            readback_age=Duration(nanos=40_000_000),
            fault=self.fault,
            granted_to=CONVEYANCE if self.green else "",
        )

    def change(self) -> None:
        """Something an officer would act on changed."""
        self.etag += 1
        self.changes.notify()

    def lane_changes(self) -> AbstractContextManager[Watch]:
        return self.changes.watch()

    async def act(self, act: OfficerAct) -> AnswerAct:
        if self.fail is not None:
            raise self.fail
        if self.silent:
            await asyncio.Event().wait()
        earlier = next((a for a in self.acts if a.request_id == act.request_id), None)
        if earlier is not None:
            return AnswerAct(NOW, act.request_id, ActResult.OK, "as before", f"lane-{self.etag}")
        result, message = self._judge(act)
        if result is ActResult.OK:
            self.acts.append(act)
            self.change()
        may_clear = ("officer",) if act.kind in (ActKind.HOLD_LANE, ActKind.HOLD_CONVEYANCE) else ()
        return AnswerAct(NOW, act.request_id, result, message, f"lane-{self.etag}", may_clear)

    def keep_control(self, officer: str) -> float | None:
        self.kept.append(officer)
        return 4.0 if officer == self.control.officer else None

    async def capture(self, act: OfficerAct) -> AnswerAct:
        if act.device == "nowhere-1":
            return AnswerAct(NOW, act.request_id, ActResult.NOT_FOUND, "not here", "")
        return await self.act(act)

    async def captures(self) -> list[capture_pb.Capture]:
        return self.captures_now

    def _judge(self, act: OfficerAct) -> tuple[ActResult, str]:
        if act.conveyance_id not in ("", CONVEYANCE):
            return ActResult.NOT_FOUND, "no such vehicle in the lane"
        bound = act.kind in (ActKind.RELEASE_CONVEYANCE, ActKind.REFER_CONVEYANCE)
        if bound and (act.etag, act.identity_digest) != (f"conveyance-{self.etag}", DIGEST):
            return ActResult.FAILED_PRECONDITION, "the vehicle has changed since it was shown: look again"
        if act.kind is ActKind.HOLD_LANE:
            self.held = True
        if act.kind is ActKind.CLEAR_HOLD:
            self.held = False
        return ActResult.OK, act.kind.value

    async def test_signal(self, act: OfficerAct) -> tuple[AnswerAct, lane_pb.TestSignalResponse]:
        red, green, dark = types_pb.ASPECT_RED, types_pb.ASPECT_GREEN, types_pb.ASPECT_DARK
        steps = [
            lane_pb.SignalTestStep(aspect=red, passed=True, shown=red, grade=types_pb.GRADE_LAMP),
            lane_pb.SignalTestStep(aspect=green, passed=self.head_well, shown=dark, why="not confirmed in time"),
        ]
        return await self.act(act), lane_pb.TestSignalResponse(passed=self.head_well, steps=steps)

    async def commission_head(self, act: OfficerAct) -> tuple[AnswerAct, lane_pb.CommissionHeadResponse]:
        response = lane_pb.CommissionHeadResponse(passed=self.head_well, sign="feedback")
        response.red_after.FromMilliseconds(987)
        if not self.head_well:
            response.why = "more than 2000 ms"
        return await self.act(act), response

    async def list_passages(self, page_size: int, before_seq: int | None) -> list[lane_pb.Passage]:
        if self.fail is not None:
            raise self.fail
        return [p for p in self.sealed if before_seq is None or p.seq < before_seq][:page_size]

    async def get_passage(self, passage_id: str) -> PassageFound | None:
        if CONVEYANCE.startswith(passage_id) or BUNDLE.startswith(passage_id):
            return PassageFound(None, _conveyance(self.etag, self.green), b"")
        if SEALED_CONVEYANCE.startswith(passage_id) or SEALED_BUNDLE.startswith(passage_id):
            return PassageFound(self.sealed[0], None, self.bundle)
        return None

    def passages(self) -> AbstractContextManager[Channel[lane_pb.Passage]]:
        return self.sealing.subscribe()

    def devices(self) -> list[diagnostics_pb.Device]:
        device = diagnostics_pb.Device(
            device="reader-1", kind="mercury", up=True, since=wire.moment(NOW), model="M7E-HECTO", sessions=2,
            required=True, counters={"reads": 12.0},
        )  # fmt: skip
        device.last_seen_age.FromMilliseconds(1500)
        return [device]

    def readers(self) -> list[diagnostics_pb.Reader]:
        return [reader_message(READER, self.conditions_now, {"reader-1/1": 7})]

    def conditions(self) -> list[types_pb.Condition]:
        return self.conditions_now

    def outbox(self) -> diagnostics_pb.GetOutboxResponse:
        waiting = diagnostics_pb.OutboxClass(record_class="bundle", records=2, bytes=4096, last_seq=30, watermark=28)
        waiting.oldest_age.FromSeconds(75)
        return diagnostics_pb.GetOutboxResponse(
            classes=[waiting], connected=True, connected_since=wire.moment(NOW), epoch="e1", chain_length=30,
            chain_head=b"\x01" * 32, store_bytes=1 << 20,
        )  # fmt: skip

    def recent_events(self, backlog: int) -> list[diagnostics_pb.TailEvent]:
        return self.history[-backlog:]

    def events(self) -> AbstractContextManager[Channel[diagnostics_pb.TailEvent]]:
        return self.happening.subscribe()

    def report_plate(self, plate: sighting_pb.PlateSighting) -> None:
        self.plates.append(plate)

    def report_view(self, view: sighting_pb.ViewState) -> None:
        self.views[view.view] = view.live

    def views_gone(self, views: Sequence[str]) -> None:
        self.gone.append(tuple(views))
        self.changed.set()

    @contextmanager
    def console_watch(self, officer: str) -> Iterator[None]:
        self.consoles.append(officer)
        self.changed.set()
        try:
            yield
        finally:
            self.consoles.remove(officer)
            self.changed.set()

    async def until_changed(self) -> None:
        """Until a console came or went, or views went."""
        await self.changed.wait()
        self.changed.clear()


def _cause(code: str, text: str, by: str) -> lane_pb.RedCause:
    return lane_pb.RedCause(code=code, text=text, since=wire.moment(NOW), by=by, hint=f"what to do about {code}")


def _conveyance(etag: int, green: bool) -> lane_pb.ConveyanceState:
    state = lane_pb.ConveyanceState(
        conveyance_id=CONVEYANCE,
        bundle_id=BUNDLE,
        etag=f"conveyance-{etag}",
        identity_digest=DIGEST,
        phase=types_pb.PHASE_REQUESTED,
        order=1,
        legs=[
            lane_pb.ConveyanceState.LegState(leg=types_pb.LEG_DRIVER, complete=True, required=True, claims=1),
            lane_pb.ConveyanceState.LegState(leg=types_pb.LEG_CARGO, complete=False, required=True),
        ],
        flags=["late"],
        position_earliest_m=-31.5,
        position_latest_m=-28.0,
        speed_kmh=12.5,
        detected=wire.moment(NOW),
        green=green,
        identities=[
            lane_pb.ConveyanceState.ClearIdentity(kind=types_pb.IDENTITY_KIND_TRANSPONDER, value=CLEAR_TEXT),
        ],
    )
    state.commit_in.FromMilliseconds(2400)
    return state


def _passage(seq: int) -> lane_pb.Passage:
    last = seq == 30
    passage = lane_pb.Passage(
        bundle_id=SEALED_BUNDLE if last else f"0190e1c2-{seq:04d}-7000-8000-00000000b000",
        conveyance_id=SEALED_CONVEYANCE if last else f"0190e1c2-{seq:04d}-7000-8000-00000000c000",
        outcome=types_pb.OUTCOME_RELEASED_ROLLING,
        flags=["late"],
        seq=seq,
        delivered=seq < 29,
        released_without_stopping=True,
    )
    passage.detect_time.FromNanoseconds(NOW.utc_ns)
    passage.seal_time.FromNanoseconds(NOW.utc_ns + 20_000_000_000)
    passage.transit.FromSeconds(20)
    return passage


def _event(code: str) -> diagnostics_pb.TailEvent:
    return diagnostics_pb.TailEvent(
        at=wire.moment(NOW), code=code, severity=types_pb.SEVERITY_INFO, conveyance_id=CONVEYANCE, facts={"n": "1"}
    )


event = _event


@asynccontextmanager
async def open_doors(
    folder: Path, lane: FakeLane, loopback_port: int = 0, groups: dict[Role, str] | None = None
) -> AsyncIterator[ApiServer]:
    """The real doors over the lane."""
    async with ApiServer(lane, folder, loopback_port, groups or {}) as server:
        server.serving(True)
        yield server


@asynccontextmanager
async def channel(folder: Path, role: Role) -> AsyncIterator[grpc.aio.Channel]:
    """A client at the role's door."""
    async with grpc.aio.insecure_channel(f"unix:{folder / role.value}.sock") as opened:
        yield opened


async def next_of(call: Any) -> Any:
    """The next message of a stream."""
    return await call.read()


async def error_of(call: Any) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo, list[str]]:
    """How a call failed: status, ErrorInfo, fields named by BadRequest."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call.read() if hasattr(call, "read") else call)
    status = await rpc_status.aio.from_call(call)
    assert status is not None, f"no rich status: {caught.value.code()} {caught.value.details()}"
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(bad if detail.Is(bad.DESCRIPTOR) else info)
    return caught.value.code(), info, [violation.field for violation in bad.field_violations]


STORE_FAULT = EdgeError("STORE_FULL", "the store is full", "free some space")
