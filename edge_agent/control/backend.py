"""What the API doors show and do, built from the core's state, the signal loop, the device table and the store."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from drivers.api import Aspect, Clock, Grade, InputSnapshot, Stamp
from edge_agent.api.backend import PassageFound
from edge_agent.api.feeds import Broadcast, Notifier, Watch
from edge_agent.model.decision import ActKind, ActResult, OfficerAct, Role
from edge_agent.model.effects import AnswerAct, EmitEvent
from edge_agent.model.identity import ClearIdentity
from edge_agent.model.inputs import ConsolePresence
from edge_agent.model.readers import ReaderHealth
from edge_agent.passage.views import red_causes, view
from edge_agent.runtime.channel import Channel
from edge_agent.runtime.health import HealthBoard
from edge_agent.store.store import Store
from edge_agent.wire import enums
from edge_agent.wire import lane as lane_wire
from edge_agent.wire import readers as readers_wire
from edge_agent.wire import types as wire
from edge_agent.wire.actuators import add_actuators
from edge_agent.wire.capture import capture_message
from edge_agent.wire.passage import passage_message
from securecorridor.lane.v1 import capture_service_pb2 as capture_pb
from securecorridor.lane.v1 import diagnostics_service_pb2 as diagnostics_pb
from securecorridor.lane.v1 import lane_service_pb2 as lane_pb
from securecorridor.lane.v1 import sighting_service_pb2 as sighting_pb
from securecorridor.lane.v1 import types_pb2 as pb

from . import red
from .actuators import LaneActuators
from .capture_desk import CaptureDesk
from .commissioning import Commissioning
from .devices import DeviceRecord, DeviceTable, profile_text
from .head_test import Step
from .passage_loop import PassageLoop
from .signal_loop import SignalLoop

EVENTS_KEPT = 1000
_ENDED_BY_PERSON = frozenset({"RECORD_QUARANTINED", "STORE_QUARANTINED", "CAPTURE_FAILED"})
_IO_KINDS = frozenset({"modbus_lane_io"})


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the backend reads from. `counters(device)` gives a device's numbers, fresh."""

    lane: str
    version: str
    boot_id: str
    passage: PassageLoop
    signal: SignalLoop
    devices: DeviceTable
    board: HealthBoard
    store: Store
    clock: Clock
    snapshot: Callable[[], InputSnapshot | None]
    stale_ns: int
    reveal: Callable[[str], ClearIdentity | None]
    centre: Callable[[], tuple[bool, Stamp | None]]
    counters: Callable[[str], Mapping[str, float]]
    readers: Callable[[], Sequence[ReaderHealth]]
    captures: CaptureDesk
    commissioning: Commissioning
    actuators: LaneActuators


class Backend:
    """Implements `edge_agent.api.backend.LaneBackend`."""

    def __init__(self, sources: Sources) -> None:
        self._from = sources
        self._changes = Notifier()
        self._passages: Broadcast[lane_pb.Passage] = Broadcast("passages")
        self._events: Broadcast[diagnostics_pb.TailEvent] = Broadcast("events")
        self._kept: deque[diagnostics_pb.TailEvent] = deque(maxlen=EVENTS_KEPT)
        self._consoles = 0

    def changed(self) -> None:
        """Something an officer sees has changed."""
        self._changes.notify()

    def event(self, effect: EmitEvent) -> None:
        """A lane event, now durable."""
        event = diagnostics_pb.TailEvent(
            at=wire.moment(effect.at),
            code=effect.code,
            severity=enums.SEVERITY.to_wire(effect.severity),
            conveyance_id=effect.conveyance_id,
            facts=dict(effect.facts),
        )
        self._kept.append(event)
        self._events.publish(event)

    def sealed(self, payload: bytes, seq: int, payload_sha256: bytes) -> None:
        """A passage has been sealed."""
        if self._passages.readers:
            message = passage_message(payload, self._from.lane, seq, payload_sha256, delivered=False)
            self._passages.publish(message)

    def lane_state(self, role: Role) -> lane_pb.LaneState:
        """The lane now; identities in clear only for the officer."""
        source = self._from
        now = source.clock.stamp()
        state = source.passage.state
        shown = view(state, now)
        left_s = source.passage.control.left_s(now)
        message = lane_wire.lane_message(shown, source.lane, source.boot_id, source.version, left_s)
        since = state.centre.since
        if since is not None:
            message.centre_since.CopyFrom(wire.moment(since))
        green_for = self._add_signal(message, now)
        add_actuators(message, source.actuators.arm(), source.actuators.notices())
        reveal = source.reveal if role is Role.OFFICER else None
        for conveyance in shown.conveyances:
            message.conveyances.append(lane_wire.conveyance_message(conveyance, now, green_for, reveal))
        message.conditions.extend(self.conditions())
        message.red_causes.extend(self._red_causes(now))
        geometry = state.config.geometry
        message.presence.CopyFrom(lane_wire.presence_message(geometry))
        message.zones.extend(lane_wire.zone_messages(source.snapshot(), now, source.stale_ns, geometry.exit_sensed))
        return message

    def lane_changes(self) -> AbstractContextManager[Watch]:
        """Notice of every change."""
        return self._changes.watch()

    async def act(self, act: OfficerAct) -> AnswerAct:
        """Put an act to the core. Acknowledging takes those conditions off the board that nothing else can end."""
        answer = await self._from.passage.act(act)
        if act.kind is ActKind.ACKNOWLEDGE and answer.result is ActResult.OK and act.condition in _ENDED_BY_PERSON:
            for condition in self._from.board.raised():
                if condition.code == act.condition:
                    self._from.board.clear(condition.code, condition.device)
            self.changed()
        return answer

    def keep_control(self, officer: str) -> float | None:
        """A heartbeat of the console that controls the lane."""
        return self._from.passage.control.keep(officer)

    async def capture(self, act: OfficerAct) -> AnswerAct:
        """Start, stop or delete a capture."""
        desk = self._from.captures
        if act.kind is ActKind.START_CAPTURE:
            return await desk.start(act)
        return await (desk.stop(act) if act.kind is ActKind.STOP_CAPTURE else desk.delete(act))

    async def captures(self) -> list[capture_pb.Capture]:
        """Captures at the lane, newest first."""
        now = self._from.clock.stamp()
        running = {running.capture: running for running in self._from.passage.state.captures}
        return [
            capture_message(each.capture, each.path, each.size_bytes, each.header, running.get(each.capture), now)
            for each in await self._from.captures.found()
        ]

    async def test_signal(self, act: OfficerAct) -> tuple[AnswerAct, lane_pb.TestSignalResponse]:
        """Every aspect of the head once, for a person at the lane."""
        answer, steps = await self._from.commissioning.test_signal(act)
        return answer, _signal_test(steps)

    async def commission_head(self, act: OfficerAct) -> tuple[AnswerAct, lane_pb.CommissionHeadResponse]:
        """The kill test of the head's module."""
        answer, done = await self._from.commissioning.kill_test(act)
        response = lane_pb.CommissionHeadResponse()
        if done is not None:
            response.passed, response.sign, response.why = done.result.passed, done.result.sign, done.why
            if done.result.red_ms >= 0:
                response.red_after.FromMilliseconds(done.result.red_ms)
        return answer, response

    async def list_passages(self, page_size: int, before_seq: int | None) -> list[lane_pb.Passage]:
        """Sealed passages, newest first."""
        found = await self._from.store.list_bundles(page_size, before_seq)
        lane = self._from.lane
        return [passage_message(b.payload, lane, b.seq, b.payload_sha256, delivered=b.delivered) for b in found]

    async def get_passage(self, passage_id: str) -> PassageFound | None:
        """Live first, then sealed."""
        now = self._from.clock.stamp()
        live = [
            shown
            for shown in view(self._from.passage.state, now).conveyances
            if shown.conveyance_id.startswith(passage_id) or shown.conveyance.bundle_id.startswith(passage_id)
        ]
        if len(live) == 1:
            return PassageFound(None, lane_wire.conveyance_message(live[0], now, "", None), b"")
        stored = await self._from.store.get_bundle(passage_id)
        if stored is None:
            return None
        passage = passage_message(
            stored.payload, self._from.lane, stored.seq, stored.payload_sha256, delivered=stored.delivered
        )
        return PassageFound(passage, None, stored.payload)

    def passages(self) -> AbstractContextManager[Channel[lane_pb.Passage]]:
        """Each passage as it is sealed."""
        return self._passages.subscribe()

    def devices(self) -> list[diagnostics_pb.Device]:
        """Every device."""
        now = self._from.clock.stamp()
        return [self._device(record, now) for record in self._from.devices.records()]

    def readers(self) -> list[diagnostics_pb.Reader]:
        """Every RFID reader."""
        strays = dict(self._from.passage.state.strays)
        return [readers_wire.reader_message(reader, self.conditions(), strays) for reader in self._from.readers()]

    def conditions(self) -> list[pb.Condition]:
        """Conditions in force, worst first."""
        now = self._from.clock.stamp()
        return [lane_wire.condition_message(c) for c in self._from.board.visible(now.mono_ns)]

    def outbox(self) -> diagnostics_pb.GetOutboxResponse:
        """Records waiting for central."""
        now = self._from.clock.stamp()
        head, length = self._from.store.chain()
        up, since = self._from.centre()
        answer = diagnostics_pb.GetOutboxResponse(
            connected=up,
            connected_since=wire.optional_moment(since),
            epoch=self._from.store.epoch,
            chain_length=length,
            chain_head=head,
        )
        for status in self._from.store.status():
            entry = answer.classes.add(
                record_class=status.record_class.value,
                records=status.records,
                bytes=status.bytes,
                last_seq=status.last_seq,
                watermark=status.watermark,
                quarantined=status.quarantined,
            )
            if status.oldest_utc_ns is not None:
                entry.oldest_age.FromNanoseconds(max(0, now.utc_ns - status.oldest_utc_ns))
            answer.store_bytes += status.bytes
        return answer

    def recent_events(self, backlog: int) -> list[diagnostics_pb.TailEvent]:
        """The last lane events, oldest first."""
        return list(self._kept)[-backlog:] if backlog > 0 else []

    def events(self) -> AbstractContextManager[Channel[diagnostics_pb.TailEvent]]:
        """Each lane event as it happens."""
        return self._events.subscribe()

    def report_plate(self, plate: sighting_pb.PlateSighting) -> None:
        """Plates are noted as a sign of life of their view; they become sightings with the vision process."""
        self._view(plate.view, live=True)

    def report_view(self, report: sighting_pb.ViewState) -> None:
        """A camera view went live or stale."""
        self._view(report.view, live=report.live)

    def views_gone(self, views: Sequence[str]) -> None:
        """The media process is gone."""
        for name in views:
            self._view(name, live=False)

    @contextmanager
    def console_watch(self, officer: str) -> Iterator[None]:
        """An officer's console watches the lane while the context lasts."""
        self._consoles += 1
        if self._consoles == 1:
            self._from.passage.submit(ConsolePresence(at=self._from.clock.stamp(), present=True))
        try:
            yield
        finally:
            self._consoles -= 1
            if self._consoles == 0:
                self._from.passage.submit(ConsolePresence(at=self._from.clock.stamp(), present=False))

    def _view(self, name: str, *, live: bool) -> None:
        self._from.devices.show_view(name, self._from.clock.stamp(), live=live)

    def _add_signal(self, message: lane_pb.LaneState, now: Stamp) -> str:
        """Fill `message.signal`; returns the conveyance green is confirmed for."""
        signal = self._from.signal.state()
        granted = ""
        lease = self._from.passage.state.lease
        confirmed_green = signal.confirmed is Aspect.GREEN and signal.grade >= Grade.CONTACT
        if confirmed_green and lease is not None and lease.seq == signal.lease_seq:
            granted = lease.conveyance_id
        message.signal.CopyFrom(
            lane_pb.SignalState(
                commanded=enums.ASPECT.to_wire(signal.commanded),
                confirmed=lane_wire.shown_aspect(signal.confirmed),
                grade=enums.GRADE.to_wire(signal.grade),
                confirmed_since=wire.moment(signal.confirmed_since),
                fault=signal.fault,
                granted_to=granted,
            )
        )
        if signal.confirmed_at is not None:
            message.signal.readback_age.FromNanoseconds(max(0, now.mono_ns - signal.confirmed_at.mono_ns))
        return granted

    def _red_causes(self, now: Stamp) -> Iterable[lane_pb.RedCause]:
        signal = self._from.signal.state()
        if signal.ruling.aspect is Aspect.GREEN:
            return
        state = self._from.passage.state
        records = self._from.devices.records()
        yield from red.told(
            red_causes(state, now),
            signal.reasons_since,
            [down.device for down in state.devices_down if down.required],
            frozenset(record.device for record in records if record.kind in _IO_KINDS),
            {record.device: record.fault for record in records if record.fault is not None},
        )

    def _device(self, record: DeviceRecord, now: Stamp) -> diagnostics_pb.Device:
        message = diagnostics_pb.Device(
            device=record.device,
            kind=record.kind,
            up=record.up,
            since=wire.moment(record.since),
            sessions=record.sessions,
            required=record.required,
            counters=self._from.counters(record.device),
        )
        if record.last_seen is not None:
            message.last_seen_age.FromNanoseconds(max(0, now.mono_ns - record.last_seen.mono_ns))
        if record.info is not None:
            message.model = record.info.model
            message.firmware = record.info.firmware
            message.serial_number = record.info.serial
            message.identity = record.info.details.get("identity", "")
            message.profile = profile_text(record.info)
        if record.fault is not None:
            message.fault_code = record.fault.code
            message.fault_text = record.fault.message
            message.fault_hint = record.fault.hint
        return message


def _signal_test(steps: Sequence[Step]) -> lane_pb.TestSignalResponse:
    response = lane_pb.TestSignalResponse(passed=bool(steps) and all(step.passed for step in steps))
    for step in steps:
        message = response.steps.add(
            aspect=enums.ASPECT.to_wire(step.aspect),
            passed=step.passed,
            shown=lane_wire.shown_aspect(step.shown),
            grade=enums.GRADE.to_wire(step.grade),
            why=step.why,
        )
        if step.confirmed_ms >= 0:
            message.confirmed_after.FromMilliseconds(step.confirmed_ms)
    return response
