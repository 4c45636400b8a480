"""One life of the agent's control core, wired as the program wires it, with nothing but its wires replaced."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from drivers.api import InputSnapshot, Secret, Stamp, TagRead
from edge_agent.control.arm_loop import ArmLoop, ArmPorts
from edge_agent.control.head_test import HeadTests
from edge_agent.control.inputs import LaneInputs
from edge_agent.control.orders import OrdersKept, arm_orders
from edge_agent.control.passage_loop import Outlets, PassageLoop
from edge_agent.control.sightings import SightingTracker, TagClass
from edge_agent.control.signal_loop import Limits, SignalFault, SignalLoop, SignalOrders, SignalPorts
from edge_agent.model.decision import ActKind, ActResult, OfficerAct
from edge_agent.model.effects import AnswerAct, AskRelease, EmitEvent, SealBundle, WithdrawRequest
from edge_agent.model.identity import IdentityKind
from edge_agent.model.inputs import ConsolePresence, CoreInput, HeadTested, SignalChanged, Started
from edge_agent.model.lane import Geometry, Kinematics, LaneIdentity, LaneMode, LanePolicy, Zone, ZoneSpan
from edge_agent.model.presence import PresenceLayout
from edge_agent.passage.corridor import CoreConfig, LaneState, initial_state, step
from edge_agent.safety.barrier import ArmFault, ArmLimits
from edge_agent.store.records import BundleDraft, RecordClass, RecordDraft, Sealed
from edge_agent.wire.journal import decode_input, decode_record, encode_record
from hil.rig.virtual_ledger import VirtualLedger
from hil.rig.virtual_module import LoopClock, VirtualHead, VirtualModule
from hil.world import tags
from hil.world.geometry import Geometry as WorldGeometry

READER = "rfid-1"
MODULE = "io-1"
SITE_KEY = b"virtual lane key"
_ANTENNA_REACH_M = 4.0
FLOOR_CDBM = -6000
"""As commissioning sets it in the default radio world: the next lane stays under it, a bare card is 8 dB over it."""
_REFRESH_NS = 100_000_000
_STALE_MS = 300
CLASSES = (
    TagClass(IdentityKind.DRIVER_CARD, bytes.fromhex(tags.DRIVER_CARD_PREFIX)),
    TagClass(IdentityKind.TRANSPONDER, bytes.fromhex(tags.TRANSPONDER_PREFIX)),
)


def core_config(world: WorldGeometry, policy: LanePolicy | None = None) -> CoreConfig:
    """The agent's view of a world lane: same zones, antennas with the bench's reach; at start REMOTE where vehicles may
    roll, else ATTENDED."""
    zones = {name: ZoneSpan(span.start_m, span.end_m) for name, span in world.zones().items()}
    line, reach = zones[world.line_zones[0]], _ANTENNA_REACH_M
    geometry = Geometry(
        a=zones["zone_a"],
        d=zones["zone_d"],
        s=zones["zone_s"],
        beam_m=line.start_m,
        x=zones.get("zone_x", ZoneSpan(world.x_m, world.x_m)),
        antennas=tuple((READER, a.port, ZoneSpan(a.x_m - reach, a.x_m + reach)) for a in world.antennas),
        floors=tuple((READER, a.port, FLOOR_CDBM) for a in world.antennas),
        layout=PresenceLayout(world.layout.value),
        line_length_m=line.end_m - line.start_m,
        exit_sensed=world.exit_loop,
    )
    identity = LaneIdentity("ports/0453/lanes/07", "0453", "CAWND", "inbound", "0", "sha256:0", "sha256:0", "sha256:0")
    kinematics = Kinematics(v_max_kmh=25.0, v_min_kmh=3.0, reaction_s=1.5, decel_ms2=2.0)
    mode = LaneMode.REMOTE if world.rolls else LaneMode.ATTENDED
    return CoreConfig(identity, geometry, kinematics, policy or LanePolicy(), mode)


def restored(config: CoreConfig, ledger: VirtualLedger) -> LaneState:
    """The core's state as the journal left it: checkpoint, then the inputs after it."""
    state = initial_state(config)
    if ledger.saved is not None:
        state = replace(decode_record(LaneState, ledger.saved), config=config)
    for row in ledger.rows:
        state, _ = step(state, decode_input(row))
    return state


@dataclass(frozen=True, slots=True)
class AgentPorts:
    """What surrounds the agent."""

    ask: Callable[[AskRelease], None]
    withdraw: Callable[[WithdrawRequest], None]
    event: Callable[[EmitEvent], None]
    drafted: Callable[[SealBundle], None]


class VirtualAgent:
    """One process: state from the journal, its loops, its session with the module. `kill` is `kill -9`."""

    def __init__(
        self,
        number: int,
        config: CoreConfig,
        ledger: VirtualLedger,
        module: VirtualModule,
        clock: LoopClock,
        ports: AgentPorts,
        exchange_s: float,
    ) -> None:
        self.number = number
        self.alive = True
        self.acts = 0
        self._ports = ports
        self._clock = clock
        self._sightings = 0
        self._cleared = 0
        self._orders = OrdersKept()
        self._ledger = ledger.open()
        state = restored(config, ledger)
        self._faulty = state.fault is not None
        self._module = module
        self.head = VirtualHead(module, exchange_s)
        self.passage = PassageLoop(state, self._ledger, clock, self._outlets(), before_tick=self._before_tick)
        self.tracker = SightingTracker(
            classes=CLASSES,
            site_key=SITE_KEY,
            seal=lambda _secret, token: b"sealed:" + token.encode(),
            sealed_key_id="virtual",
            new_id=self._sighting_id,
            lost_s=config.policy.sighting_lost_s,
            early_reads=config.policy.early_reads,
        )
        self.inputs = LaneInputs(
            clock=clock, tracker=self.tracker, submit=self.submit, wake=self._wake, stale_ms=_STALE_MS,
            layout=config.geometry.layout,
        )  # fmt: skip
        self.tests = HeadTests(lambda: self.signal, clock, amber=False)
        ports_of_signal = SignalPorts(
            head=lambda: self.head if self.head.alive else None,
            zones=self._zones,
            orders=self.orders,
            clock=clock,
            on_change=self._signal_changed,
            on_cycle=self.tests.looked,
        )
        zones = tuple(zone for zone in Zone if zone is not Zone.X or config.geometry.exit_sensed)
        latched = SignalFault(state.fault.code) if state.fault is not None else None
        self.signal = SignalLoop(ports_of_signal, Limits(barrier=module.arm is not None, zones=zones), latched=latched)
        self._arm = self._make_arm(state) if module.arm is not None else None

    @property
    def state(self) -> LaneState:
        """The core's state."""
        return self.passage.state

    def orders(self) -> SignalOrders:
        """What the core asks of the signal now."""
        return self._orders.of(self.passage.state, self.passage.lease, self._cleared, self.tests.asked)

    def begin(self) -> None:
        """The first input of a life; the store is open."""
        now = self._clock.stamp()
        seed = f"life-{self.number}".encode()
        self.submit(Started(at=now, boot_id=f"boot-{self.number}", seed=seed))

    async def run(self) -> None:
        """All loops, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.signal.run(), name="signal")
            group.create_task(self.passage.run(), name="passage")
            group.create_task(self.inputs.follow_tags(), name="tags")
            if self._arm is not None:
                group.create_task(self._arm.run(), name="arm")

    def kill(self) -> None:
        """From now on nothing this agent does reaches anybody. Its tasks are the caller's to cancel."""
        self.alive = False
        self.head.alive = False
        self._ledger.alive = False

    def submit(self, event: CoreInput) -> None:
        """Hand an input to the core, unless the process is gone."""
        if self.alive:
            self.passage.submit(event)

    def watch(self, present: bool) -> None:
        """An officer's console watches, or does not."""
        self.submit(ConsolePresence(at=self._clock.stamp(), present=present))

    async def act(self, act: OfficerAct) -> AnswerAct:
        """An officer's act, as the API puts it to the core."""
        answer = await self.passage.act(act)
        if act.kind is ActKind.TEST_SIGNAL and answer.result is ActResult.OK and not self.tests.busy:
            steps = await self.tests.run()
            passed = all(step.passed for step in steps)
            self.submit(HeadTested(self._clock.stamp(), "signal_test", passed, MODULE, "", act.officer, ()))
        return answer

    def take_snapshot(self, snapshot: InputSnapshot) -> None:
        """A poll of the zone inputs that found a change."""
        if self.alive:
            self.inputs.take_snapshot(snapshot)

    def take_tag(self, epc: Secret, antenna: int, rssi_dbm: float) -> None:
        """The reader reports one read."""
        if self.alive:
            read = TagRead(self._clock.stamp(), READER, antenna, epc, 0x3000, int(rssi_dbm * 100), 1)
            self.inputs.tags.put(read)

    def _make_arm(self, state: LaneState) -> ArmLoop:
        ports = ArmPorts(
            outputs=lambda: self.head if self.head.alive else None,
            zones=self._zones,
            orders=lambda: arm_orders(self.state, self.signal.state(), self._clock.stamp().mono_ns),
            clock=self._clock,
            on_change=self.submit,
        )
        fault = ArmFault(state.barrier_fault.code) if state.barrier_fault is not None else None
        return ArmLoop(ports, ArmLimits(), latched=fault, cleared_seq=state.barrier_cleared)

    def _zones(self) -> InputSnapshot | None:
        """The newest snapshot; polls that found no change only make it younger, where there were any."""
        snapshot = self.inputs.snapshot
        if snapshot is None or not self._module.readable:
            return snapshot
        now = self._clock.stamp()
        if now.mono_ns - snapshot.stamp.mono_ns > _REFRESH_NS:
            snapshot = InputSnapshot(now, snapshot.device, snapshot.session, snapshot.levels, snapshot.edges)
            self.inputs.snapshot = snapshot
        return snapshot

    def _outlets(self) -> Outlets:
        return Outlets(
            orders_changed=self._orders_changed,
            ask=lambda effect: self._ports.ask(effect) if self.alive else None,
            withdraw=lambda effect: self._ports.withdraw(effect) if self.alive else None,
            event=lambda effect: self._ports.event(effect) if self.alive else None,
            condition=lambda _effect: None,
            sealed=self._sealed,
            changed=lambda: None,
            draft_bundle=self._draft_bundle,
            draft_event=lambda effect: RecordDraft(RecordClass.LANE_EVENT, effect.code, "event", b""),
            draft_supplement=lambda effect: RecordDraft(RecordClass.SUPPLEMENT, effect.bundle_id, effect.kind, b""),
        )

    def _orders_changed(self) -> None:
        faulty = self.passage.state.fault is not None
        if self._faulty and not faulty:
            self._cleared += 1
        self._faulty = faulty
        self.signal.orders_moved()

    def _wake(self) -> None:
        self.signal.wake()

    def _before_tick(self, now: Stamp) -> None:
        self.inputs.tick(now)

    def _signal_changed(self, change: SignalChanged) -> None:
        self.tests.changed(change)
        self.submit(change)

    def _sealed(self, _sealed: Sealed, effect: SealBundle) -> None:
        self.tracker.forget([a.sighting.claim.token for a in effect.conveyance.assignments])

    def _draft_bundle(self, effect: SealBundle) -> BundleDraft:
        self._ports.drafted(effect)
        payload = encode_record(effect.conveyance)
        return BundleDraft(effect.conveyance.bundle_id, lambda _chain: payload)

    def _sighting_id(self, _at: Stamp) -> str:
        self._sightings += 1
        return f"sighting-{self.number}-{self._sightings}"
