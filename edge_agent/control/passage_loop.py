"""The passage loop: one owner of the core's state. Every input is stepped at once; what it causes is split by danger.

Towards red nothing waits: a withdrawn lease or a hold reaches the signal loop within the call that brought the input.
Everything else (a lease, a request, an answer, a bundle) waits for the commit of the input that caused it, and a lease
whose commit took longer than the deadline is not published at all: the light stays red.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from drivers.api import Clock, Stamp
from edge_agent.model.decision import ActResult, Lease, OfficerAct
from edge_agent.model.effects import (
    AddSupplement,
    AnswerAct,
    AskRelease,
    Effect,
    EmitEvent,
    GrantLease,
    SealBundle,
    SetCondition,
    WithdrawLease,
    WithdrawRequest,
)
from edge_agent.model.errors import StoreError
from edge_agent.model.inputs import ActReceived, CoreInput, StoreHealth, Tick
from edge_agent.passage.corridor import LaneState, step
from edge_agent.store.records import BundleDraft, RecordDraft, Sealed
from edge_agent.wire.journal import encode_input, encode_record

from .control_lease import ControlLease

GRANT_DEADLINE_S = 0.025
_TICK_S = 0.1
_ANSWER_S = 2.0
_CHECKPOINT_ROWS = 400
_CHECKPOINT_ROWS_BUSY = 5000
"""A checkpoint takes tens of milliseconds, which could cost a lease its deadline: an occupied lane waits longer."""
_CHECKPOINT_RETRY_S = 10.0
"""After one that failed: it takes long, and each would fill a disk that is full with the news of its failure."""
_STORE_RETRY_S = 0.5


class Ledger(Protocol):
    """The durable side, as the loop needs it: one transaction for an input and all it caused."""

    async def commit(
        self,
        journal: Sequence[bytes],
        bundles: Sequence[BundleDraft] = (),
        records: Sequence[RecordDraft] = (),
    ) -> tuple[Sealed, ...]:
        """Durable on return; StoreError when it cannot be."""
        ...

    async def checkpoint(self, state: bytes) -> None:
        """Replace the journal so far by this state. StoreError when it cannot be; the journal is then as it was."""
        ...


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where effects go. All quick and synchronous; `draft_*` turn an effect into what is stored with its cause."""

    orders_changed: Callable[[], None]
    ask: Callable[[AskRelease], None]
    withdraw: Callable[[WithdrawRequest], None]
    event: Callable[[EmitEvent], None]
    condition: Callable[[SetCondition], None]
    sealed: Callable[[Sealed, SealBundle], None]
    changed: Callable[[], None]
    draft_bundle: Callable[[SealBundle], BundleDraft]
    draft_event: Callable[[EmitEvent], RecordDraft]
    draft_supplement: Callable[[AddSupplement], RecordDraft]


@dataclass(frozen=True, slots=True)
class _Stepped:
    journal: bytes
    effects: tuple[Effect, ...]


class PassageLoop:
    """Owns the core's state. `submit` may be called from any task of the loop's thread. `control` counts how long an
    officer's control of the lane still lasts."""

    def __init__(
        self,
        state: LaneState,
        ledger: Ledger,
        clock: Clock,
        outlets: Outlets,
        *,
        before_tick: Callable[[Stamp], None] = lambda _now: None,
    ) -> None:
        self.state = state
        self.steps = 0
        self.withheld_leases = 0
        self.commit_failures = 0
        self._ledger = ledger
        self._clock = clock
        self._out = outlets
        self._before_tick = before_tick
        self._pending: deque[_Stepped] = deque()
        self._bell = asyncio.Event()
        self._lease: Lease | None = None
        self._answers: dict[str, list[asyncio.Future[AnswerAct]]] = {}
        self._rows = 0
        self._checkpoint_s = 0.0
        self._store_ok = True
        self.control = ControlLease(lambda: self.state.control, self.submit, clock)

    @property
    def lease(self) -> Lease | None:
        """The lease that may show green now: granted, committed in time and not withdrawn."""
        return self._lease

    def submit(self, event: CoreInput) -> None:
        """Step the core with one input, at once. Red-ward effects have been carried out when this returns."""
        state, effects = step(self.state, event)
        self.steps += 1
        if state is self.state and not effects:
            return
        self.state = state
        for effect in effects:
            if isinstance(effect, WithdrawLease):
                self._withdraw(effect)
            elif isinstance(effect, SetCondition):
                self._out.condition(effect)
        self._out.orders_changed()
        self._out.changed()
        self._pending.append(_Stepped(encode_input(event), effects))
        self._bell.set()

    async def act(self, act: OfficerAct) -> AnswerAct:
        """Put an officer's act to the core and return its answer once it is recorded. A HOLD is red before that."""
        answer: asyncio.Future[AnswerAct] = asyncio.get_running_loop().create_future()
        self._answers.setdefault(act.request_id, []).append(answer)
        now = self._clock.stamp()
        try:
            self.submit(ActReceived(at=now, act=act))
            async with asyncio.timeout(_ANSWER_S):
                return await answer
        except TimeoutError:
            text = "taken, but the store has not recorded it: the lane stays red until it does"
            return AnswerAct(now, act.request_id, ActResult.FAILED_PRECONDITION, text, "")
        finally:
            waiting = self._answers.get(act.request_id, [])
            if answer in waiting:
                waiting.remove(answer)
            if not waiting:
                self._answers.pop(act.request_id, None)

    async def run(self) -> None:
        """Tick the core and commit what it caused, until cancelled; then commit what is left."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tick(), name="passage-tick")
                group.create_task(self._commit_forever(), name="passage-commit")
        finally:
            if self._pending:
                await self._commit_all()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = self._clock.stamp()
            self.control.tick(now)
            self._before_tick(now)
            self.submit(Tick(now))

    async def _commit_forever(self) -> None:
        while True:
            await self._wait_for_work()
            while self._pending:
                if not await self._commit_all():
                    await asyncio.sleep(_STORE_RETRY_S)
            await self._checkpoint_when_due()

    async def _wait_for_work(self) -> None:
        """Until there is something to commit; while the store is slow or failing, also try it without."""
        while not self._pending:
            self._bell.clear()
            if self._store_ok:
                await self._bell.wait()
                continue
            try:
                async with asyncio.timeout(_STORE_RETRY_S):
                    await self._bell.wait()
            except TimeoutError:
                await self._try_store()

    async def _try_store(self) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await self._ledger.commit([])
        except StoreError:
            return
        if asyncio.get_running_loop().time() - began <= GRANT_DEADLINE_S:
            self._report_store(ok=True, code="")

    async def _commit_all(self) -> bool:
        """One transaction for everything pending; False when the store failed (nothing is lost, it is tried again)."""
        batch = tuple(self._pending)
        effects = [effect for stepped in batch for effect in stepped.effects]
        seals = [effect for effect in effects if isinstance(effect, SealBundle)]
        began = asyncio.get_running_loop().time()
        try:
            sealed = await self._ledger.commit(
                [stepped.journal for stepped in batch],
                [self._out.draft_bundle(seal) for seal in seals],
                self._records(effects),
            )
        except StoreError as error:
            self.commit_failures += 1
            self._report_store(ok=False, code=error.code)
            return False
        except asyncio.CancelledError:
            # The store carries a cancelled commit out all the same: it must not be made twice.
            self._take_off(batch)
            raise
        self._take_off(batch)
        self._rows += len(batch)
        in_time = asyncio.get_running_loop().time() - began <= GRANT_DEADLINE_S
        if in_time:
            self._report_store(ok=True, code="")
        by_id = {seal.conveyance.bundle_id: seal for seal in seals}
        for stored in sealed:
            self._out.sealed(stored, by_id[stored.bundle_id])
        self._release(effects, in_time=in_time)
        return True

    def _take_off(self, batch: Sequence[_Stepped]) -> None:
        for _ in batch:
            self._pending.popleft()

    def _records(self, effects: Sequence[Effect]) -> list[RecordDraft]:
        records = [self._out.draft_event(e) for e in effects if isinstance(e, EmitEvent)]
        records += [self._out.draft_supplement(e) for e in effects if isinstance(e, AddSupplement)]
        return records

    def _release(self, effects: Sequence[Effect], *, in_time: bool) -> None:
        """Carry out what had to wait for the commit."""
        for effect in effects:
            if isinstance(effect, GrantLease):
                self._publish(effect.lease, in_time=in_time)
            elif isinstance(effect, AskRelease):
                self._out.ask(effect)
            elif isinstance(effect, WithdrawRequest):
                self._out.withdraw(effect)
            elif isinstance(effect, EmitEvent):
                self._out.event(effect)
            elif isinstance(effect, AnswerAct):
                for answer in self._answers.get(effect.request_id, ()):
                    if not answer.done():
                        answer.set_result(effect)

    def _publish(self, lease: Lease, *, in_time: bool) -> None:
        # A lease that was withdrawn or replaced while its commit ran must not come to life again.
        if self.state.lease is None or self.state.lease.seq != lease.seq:
            return
        # A renewal may be late: the green it renews stands on a lease that was in time, and its cause is durable now.
        held, now_ns = self._lease, self._clock.stamp().mono_ns
        renewal = held is not None and held.conveyance_id == lease.conveyance_id and held.deadline_mono_ns > now_ns
        if not in_time and not renewal:
            self.withheld_leases += 1
            self._report_store(ok=False, code="STORE_SLOW")
            return
        self._lease = lease
        self._out.orders_changed()

    def _withdraw(self, effect: WithdrawLease) -> None:
        """At once, or, for a planned end, as a lease that has just run out: the interlock may then show amber."""
        if effect.immediate or self._lease is None:
            self._lease = None
        else:
            self._lease = replace(self._lease, deadline_mono_ns=min(self._lease.deadline_mono_ns, effect.at.mono_ns))

    def _report_store(self, *, ok: bool, code: str) -> None:
        if ok is not self._store_ok:
            self._store_ok = ok
            self.submit(StoreHealth(at=self._clock.stamp(), ok=ok, code=code))

    async def _checkpoint_when_due(self) -> None:
        bound = _CHECKPOINT_ROWS_BUSY if self.state.conveyances else _CHECKPOINT_ROWS
        if not self.state.store.up:
            # A store that is short of room gets some back by a checkpoint.
            bound = 1
        now_s = asyncio.get_running_loop().time()
        if self._rows < bound or self._pending or now_s < self._checkpoint_s:
            return
        state = encode_record(self.state)
        try:
            await self._ledger.checkpoint(state)
        except StoreError:
            # The rows are durable as they are, only more of them; the store itself tells of what is wrong with it.
            self.commit_failures += 1
            self._checkpoint_s = now_s + _CHECKPOINT_RETRY_S
        else:
            self._rows = 0
