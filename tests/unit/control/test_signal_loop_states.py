"""The signal loop under any sequence of orders, inputs, session losses and faults, on virtual time.

The rules below say when green may be written and when it must have ended; they know nothing of the interlock's code.
"""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from drivers.api import Aspect, DeviceError, DeviceTimeout
from edge_agent.control.signal_loop import Limits
from edge_agent.safety.facts import Permit
from hil.rig.virtual_loop import VirtualLoop
from tests.unit.control.signal_rig import AMBER, DARK, GREEN, MS, RED, Head, Rig

STEP_MS = 10
RED_MIN_MS = 500
ENDED_MS = 130
"""One cycle of 100 ms and the exchanges around it."""
STOPPED_MS = 20
"""After a wake: the rest of one exchange of 5 ms, one write, and the step of this test."""


class SignalStates(RuleBasedStateMachine):
    """Drives one lane. `*_ns` are the times since when something has been so, None when it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.world = VirtualLoop()
        self.used = 0
        self.last_green_ns = -RED_MIN_MS * MS
        self.session_read = False
        self.continuing = ""
        self.failing = 0
        self.latched = False
        self.since: dict[str, int | None] = {}

    @initialize(amber_ms=st.sampled_from([0, 3_000]), tell=st.booleans())
    def build(self, amber_ms: int, tell: bool) -> None:
        async def make() -> Rig:
            return Rig(Limits(amber_ns=amber_ms * MS))

        self.rig = self.world.run_until_complete(make())
        self._watch(self.rig.live)
        self.task = self.world.create_task(self.rig.loop.run())
        self._advance(1_000 if tell else 0)

    def teardown(self) -> None:
        try:
            if hasattr(self, "task"):
                self.task.cancel()
                self.world.run_until_complete(asyncio.gather(self.task, return_exceptions=True))
                assert not self.healthy() or self.rig.module.coils is RED
        finally:
            self.world.close()

    # --- what may be written ---------------------------------------------------------------------------------------

    def _watch(self, head: Head) -> None:
        self.session_read = False
        self.continuing = ""
        head.on_write = self._written
        head.fail = self._fails

    def _fails(self, what: str) -> DeviceError | None:
        if self.failing:
            self.failing -= 1
            self.session_read = False
            self.continuing = ""
            return DeviceTimeout("MODBUS_TIMEOUT", "no answer")
        if what == "read":
            self.session_read = True
        return None

    def _written(self, aspect: Aspect) -> None:
        rig = self.rig
        if aspect is not GREEN:
            self.continuing = ""
            assert aspect is RED or rig.limits.amber_ns, "amber on a head without"
            return
        lease = rig.orders.lease
        assert lease is not None, "green without a lease"
        assert self.allowed(), f"green against {rig.orders}"
        assert not rig.loop.state().fault, "green under a fault"
        assert self.session_read, "green before red was read back"
        if self.continuing:
            assert lease.conveyance_id == self.continuing, "a green was inherited"
        else:
            assert lease.seq > self.used, "a lease was green twice"
            assert rig.now_ns() - self.last_green_ns >= RED_MIN_MS * MS, "chatter"
        self.used, self.last_green_ns, self.continuing = lease.seq, rig.now_ns(), lease.conveyance_id

    def allowed(self) -> bool:
        """Everything that this test controls speaks for green."""
        orders, rig = self.rig.orders, self.rig
        lease = orders.lease
        if lease is None or orders.hold or not orders.source_alive or rig.now_ns() >= lease.deadline_mono_ns:
            return False
        if not rig.inputs_live or rig.beam or rig.edges != lease.beam_edges:
            return False
        if lease.standing:
            return rig.loop_occupied and orders.permit is not Permit.NONE
        return orders.order_known and orders.permit is Permit.ROLLING

    # --- time --------------------------------------------------------------------------------------------------------

    def healthy(self) -> bool:
        return self.rig.head is not None and not self.failing

    def _advance(self, ms: int) -> None:
        for _ in range(0, max(ms, 1), STEP_MS):
            self.world.run_until_complete(asyncio.sleep(STEP_MS / 1000))
            assert not self.task.done(), self.task
            self._look()

    def _lasting(self, what: str, holds: bool) -> int:
        """For how many ms it has been so."""
        now = self.world.now_s
        start = self.since.get(what)
        self.since[what] = None if not holds else (start if start is not None else round(now * 1e9))
        start = self.since[what]
        return 0 if start is None else (round(now * 1e9) - start) // MS

    def _look(self) -> None:
        module, state = self.rig.module, self.rig.loop.state()
        module.look()
        well = self._lasting("well", self.healthy())
        if min(well, self._lasting("not allowed", not self.allowed())) > ENDED_MS:
            assert module.coils is not GREEN, f"green outlived its grounds: {state}"
        held = self.rig.orders.hold
        if min(well, self._lasting("held", held)) > STOPPED_MS:
            assert module.coils is RED, f"hold did not stop: {state}"
        if min(well, self._lasting("conflict", {RED, GREEN} <= module.lit())) > 450:
            assert state.fault, "conflict was not latched"
        if min(well, self._lasting("dark", module.shows() is DARK)) > 1_000:
            assert state.fault, "darkness was not latched"
        if self._lasting("ill", not self.healthy()) > module.watchdog_ms:
            assert module.coils is RED, "the watchdog was fed by failed cycles"
        if self._lasting("amber", module.coils is AMBER) > 3_000 + ENDED_MS:
            raise AssertionError("amber lasts too long")
        assert not self.latched or state.fault, "a latched fault went away by itself"
        self.latched = bool(state.fault)

    # --- orders ------------------------------------------------------------------------------------------------------

    @rule(ms=st.sampled_from([0, 20, 50, 100, 400, 1_500, 4_000]))
    def time_passes(self, ms: int) -> None:
        self._advance(ms)

    @rule(seconds=st.sampled_from([0.05, 1.0, 30.0]), standing=st.booleans(), who=st.sampled_from(["c1", "c2"]))
    def lease_given(self, seconds: float, standing: bool, who: str) -> None:
        self.rig.give(seconds=seconds, standing=standing, who=who)

    @rule()
    def lease_withdrawn(self) -> None:
        self.rig.order(lease=None)

    @rule(hold=st.booleans())
    def hold(self, hold: bool) -> None:
        self.rig.order(hold=hold)

    @rule(permit=st.sampled_from(Permit))
    def mode(self, permit: Permit) -> None:
        self.rig.order(permit=permit)

    @rule(known=st.booleans(), alive=st.booleans())
    def order_and_source(self, known: bool, alive: bool) -> None:
        self.rig.order(order_known=known, source_alive=alive)

    @rule()
    def fault_cleared(self) -> None:
        self.latched = False
        self.rig.order(fault_cleared_seq=self.rig.orders.fault_cleared_seq + 1)

    # --- the lane ----------------------------------------------------------------------------------------------------

    @rule(broken=st.booleans(), wake=st.booleans())
    def beam(self, broken: bool, wake: bool) -> None:
        self.rig.edges += broken is not self.rig.beam
        self.rig.beam = broken
        if wake:
            self.rig.loop.wake()

    @rule(occupied=st.booleans())
    def stop_loop(self, occupied: bool) -> None:
        self.rig.loop_occupied = occupied

    @rule(live=st.booleans())
    def inputs(self, live: bool) -> None:
        self.rig.inputs_live = live

    # --- the module --------------------------------------------------------------------------------------------------

    @rule(back=st.booleans())
    def session(self, back: bool) -> None:
        self.rig.head = None
        if back:
            head = self.rig.session()
            self._watch(head)
            self.rig.head = head

    @rule(exchanges=st.integers(1, 4))
    def exchanges_fail(self, exchanges: int) -> None:
        self.failing = exchanges

    @rule(dead=st.sets(st.sampled_from([RED, GREEN])), stuck=st.sets(st.sampled_from([RED, GREEN]), max_size=1))
    def lamps(self, dead: set[Aspect], stuck: set[Aspect]) -> None:
        self.rig.module.dead_lamps, self.rig.module.stuck_lamps = dead, stuck

    @rule()
    def foreign_write(self) -> None:
        self.rig.module.foreign = True

    @precondition(lambda self: self.rig.module.coils is not RED)
    @rule()
    def watchdog_trips(self) -> None:
        self.rig.module.output(RED)
        self.rig.module.tripped = True

    # --- liveness ----------------------------------------------------------------------------------------------------

    @rule(standing=st.booleans())
    def all_is_well_again(self, standing: bool) -> None:
        """Nothing above may leave the lane stuck in red: put right and cleared, the next lease is green."""
        rig, self.failing = self.rig, 0
        rig.module.dead_lamps, rig.module.stuck_lamps, rig.module.foreign = set(), set(), False
        rig.beam, rig.loop_occupied, rig.inputs_live = False, standing, True
        if rig.head is None:
            self.session(back=True)
        rig.order(permit=Permit.STANDING if standing else Permit.ROLLING, hold=False, order_known=not standing)
        rig.order(source_alive=True, lease=None)
        self._advance(200)
        self.fault_cleared()
        self._advance(4_000 if rig.limits.amber_ns else 700)
        rig.give(standing=standing)
        self._advance(150)
        assert rig.module.shows() is GREEN, rig.loop.state()
        assert rig.loop.state().confirmed is GREEN


TestSignalStates = SignalStates.TestCase
TestSignalStates.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
