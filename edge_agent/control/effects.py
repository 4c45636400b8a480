"""Where the core's effects go: the signal loop, central, the board, the API's feeds, and drafts for the store."""

import logging
from typing import TYPE_CHECKING

import grpc

from edge_agent.bundle.record import BundleExtras, ClockState, build_record
from edge_agent.model.conveyance import Flag
from edge_agent.model.effects import (
    AddSupplement,
    AskRelease,
    EmitEvent,
    SealBundle,
    SetCondition,
    Severity,
    WithdrawRequest,
)
from edge_agent.model.errors import StoreError
from edge_agent.model.inputs import CoreInput
from edge_agent.model.lane import LaneIdentity
from edge_agent.observe.log import log
from edge_agent.passage.codes import TYPED
from edge_agent.runtime.health import Condition
from edge_agent.store.records import BundleDraft, OpenKind, RecordClass, RecordDraft, Sealed
from edge_agent.wire import enums
from edge_agent.wire import release as release_wire
from edge_agent.wire.bundle import bundle_message
from securecorridor.release.v1 import release_service_pb2 as pb

from .central_link import LinkPorts
from .identity import new_uuid7
from .passage_loop import Outlets

if TYPE_CHECKING:
    from .agent import Agent

_LOG = logging.getLogger("lane")
_LEVELS = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.ALARM: logging.ERROR}


class EffectOutlets:
    """Carries effects from the passage loop to the agent's other parts."""

    def __init__(self, agent: "Agent", identity: LaneIdentity) -> None:
        self._agent = agent
        self._identity = identity

    def outlets(self) -> Outlets:
        """What the passage loop calls."""
        agent = self._agent
        return Outlets(
            orders_changed=agent.orders_changed,
            ask=self._ask,
            withdraw=self._withdraw,
            event=self._event,
            condition=self._condition,
            sealed=self._sealed,
            changed=self._changed,
            draft_bundle=self._draft_bundle,
            draft_event=self._draft_event,
            draft_supplement=self._draft_supplement,
        )

    def link_ports(self) -> LinkPorts:
        """What the link to central calls."""
        agent = self._agent
        return LinkPorts(
            state=lambda: agent.passage.state,
            submit=self._submit,
            heartbeat=self._heartbeat,
            hello=self._hello,
            clock=agent.clock,
            board=agent.board,
        )

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Mutual TLS towards central, when the configuration asks for it."""
        tls = self._agent.config.central.tls
        if tls is None:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=tls.ca_file.read_bytes(),
            private_key=tls.key_file.read_bytes(),
            certificate_chain=tls.cert_file.read_bytes(),
        )

    async def report_opened(self) -> None:
        """Say how the store was found: one set aside before it is an alarm, and central is told whose chain ends."""
        report = self._agent.store.opened
        log(_LOG, logging.INFO, "store_opened", detail=f"{report.kind}, {report.journal_rows} journal rows")
        if report.kind is OpenKind.QUARANTINED:
            text = f"the store before this one was set aside in {report.quarantine}: {report.reason}"
            hint = "send that folder to the maintainers; undelivered bundles may be in it, see the runbook"
            now = self._agent.clock.stamp()
            self._agent.board.raise_condition(Condition("STORE_QUARANTINED", Severity.ALARM, text, hint, now))
            facts = (
                ("reason", report.reason),
                ("previous_epoch", report.previous_epoch),
                ("previous_chain_head", report.previous_chain_head.hex()),
                ("previous_chain_length", str(report.previous_chain_length)),
            )
            told = EmitEvent(now, "STORE_QUARANTINED", Severity.ALARM, "", facts)
            try:
                await self._agent.store.commit([], records=[self._draft_event(told)])
            except StoreError as error:
                log(_LOG, logging.ERROR, "store_quarantine_not_recorded", code=error.code, detail=error.message)

    # The passage loop and the link are made before what they call: these look the other part up when called.

    def _changed(self) -> None:
        self._agent.backend.changed()

    def _submit(self, event: CoreInput) -> None:
        self._agent.passage.submit(event)

    def _ask(self, effect: AskRelease) -> None:
        self._agent.link.ask(effect)

    def _withdraw(self, effect: WithdrawRequest) -> None:
        self._agent.link.withdraw(effect)

    def _event(self, effect: EmitEvent) -> None:
        typed = TYPED.get(effect.code)
        detail = " ".join(f"{name}={value}" for name, value in effect.facts if name != typed)
        log(_LOG, _LEVELS[effect.severity], effect.code, passage_id=effect.conveyance_id, detail=detail)
        self._agent.backend.event(effect)

    def _condition(self, effect: SetCondition) -> None:
        board = self._agent.board
        if effect.active:
            board.raise_condition(Condition(effect.code, effect.severity, effect.title, effect.hint, effect.at))
        else:
            board.clear(effect.code)

    def _sealed(self, sealed: Sealed, effect: SealBundle) -> None:
        conveyance = effect.conveyance
        outcome = conveyance.outcome.value if conveyance.outcome is not None else "unresolved"
        self._agent.metrics.conveyance(outcome)
        self._agent.readers.passed(conveyance)
        self._agent.tracker.forget([a.sighting.claim.token for a in conveyance.assignments])
        self._agent.backend.sealed(sealed.payload, sealed.seq, sealed.payload_sha256)

    def _draft_bundle(self, effect: SealBundle) -> BundleDraft:
        record = build_record(effect.conveyance, self._identity, self._extras(effect))
        return BundleDraft(
            effect.conveyance.bundle_id,
            lambda chain_prev: release_wire.payload(bundle_message(record, chain_prev)),
        )

    def _extras(self, effect: SealBundle) -> BundleExtras:
        config = self._agent.passage.state.config
        stepped = Flag.CLOCK_STEPPED in effect.conveyance.flags
        return BundleExtras(
            mode=self._agent.passage.state.mode,
            # The agent does not know yet whether NTP or PTP disciplines the clock, so it claims neither.
            clock=ClockState(source="free", offset_ms=0.0, uncertainty_ms=0.0, stepped=stepped),
            geometry=config.geometry,
            kinematics=config.kinematics,
            policy=config.policy,
            boot_id=self._agent.boot_id,
        )

    def _draft_event(self, effect: EmitEvent) -> RecordDraft:
        event_id = new_uuid7(effect.at)
        message = release_wire.lane_event(effect, event_id, self._identity, self._agent.clock.stamp())
        payload = release_wire.payload(message)
        return RecordDraft(RecordClass.LANE_EVENT, event_id, release_wire.LANE_EVENT_TYPE, payload)

    def _draft_supplement(self, effect: AddSupplement) -> RecordDraft:
        supplement_id = new_uuid7(effect.at)
        payload = release_wire.payload(release_wire.supplement(effect, supplement_id, self._identity))
        return RecordDraft(RecordClass.SUPPLEMENT, supplement_id, release_wire.SUPPLEMENT_TYPE, payload)

    def _hello(self, request_seq: int) -> pb.DecideHello:
        head, length = self._agent.store.chain()
        return pb.DecideHello(
            lane=self._identity.lane,
            epoch=self._agent.store.epoch,
            boot_id=self._agent.boot_id,
            agent=release_wire.agent_state(self._identity),
            last_request_seq=request_seq,
            chain_head=head,
            chain_length=length,
        )

    def _heartbeat(self) -> pb.LaneHeartbeat:
        agent = self._agent
        head, length = agent.store.chain()
        return pb.LaneHeartbeat(
            mode=enums.LANE_MODE.to_wire(agent.passage.state.mode),
            confirmed=enums.ASPECT.to_wire(agent.signal.state().confirmed),
            conveyances=len(agent.passage.state.tracks),
            chain_head=head,
            chain_length=length,
            outbox_records=sum(status.records for status in agent.store.status()),
        )
