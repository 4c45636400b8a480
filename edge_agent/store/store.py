"""The store as the rest of the agent sees it: requests from the event loop, grouped into the writer's transactions."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from drivers.api import Clock, Stamp
from edge_agent.model.errors import StoreError

from .database import DATABASE, open_for_reading
from .ledger import Ledger, LedgerState
from .records import (
    BundleDraft,
    OpenReport,
    OutboxRecord,
    OutboxStatus,
    RecordClass,
    RecordDraft,
    Sealed,
    StoredBundle,
    StoreLimits,
)
from .writer import DATA, Done, Snapshot, Work, Writer

T = TypeVar("T")

_GROUP = 256


@dataclass(frozen=True, slots=True)
class _Request:
    """One request on its way. `frees`: it makes room, or leads to it, and may use the disk's last reserve."""

    work: Work
    frees: bool
    answer: asyncio.Future[Any]


class Store:
    """One lane's store. Use from one event loop; every request runs in the thread `store`.

    A request that was cancelled is still carried out, in its order: never repeat it, wait for the next one instead.
    `on_health(ok, code)` is called in the loop whenever the store falls below its reserve or fails, and when it is well
    again; `health` is the same now. Made by `open`.
    """

    def __init__(
        self, writer: Writer, executor: ThreadPoolExecutor, clock: Clock, opened: tuple[OpenReport, str, Snapshot]
    ) -> None:
        self.opened, self.epoch, self._snapshot = opened
        self.on_health: Callable[[bool, str], None] | None = None
        self._writer = writer
        self._executor = executor
        self._clock = clock
        self._queue: deque[_Request] = deque()
        self._running = False
        self._closed = False
        self._news = asyncio.Event()

    @classmethod
    async def open(
        cls,
        directory: Path,
        lane: str,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        limits: StoreLimits | None = None,
    ) -> "Store":
        """Open the lane's store, make it when there is none, or set a damaged one aside and make a new one.

        `random_bytes` gives the epoch of a new store. StoreError: STORE_IN_USE, STORE_OTHER_LANE, STORE_NEWER_SCHEMA,
        STORE_NOT_DURABLE, STORE_FAILED; never for damage (see `opened`).
        """
        writer = Writer(directory, limits or StoreLimits())
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        epoch = str(uuid.UUID(bytes=random_bytes(16), version=4))
        loop = asyncio.get_running_loop()
        try:
            opened = await loop.run_in_executor(executor, writer.open, lane, epoch, clock.stamp())
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(writer, executor, clock, opened)

    @property
    def health(self) -> tuple[bool, str]:
        """Whether the store keeps its promise now, and the code of what is wrong ("" when nothing is)."""
        return self._snapshot.ok, self._snapshot.code

    async def load(self) -> tuple[bytes | None, list[bytes]]:
        """The last checkpoint (None: none yet) and the journal rows after it, in order."""
        return await self._ask(lambda ledger, _: ledger.load())

    async def commit(
        self, journal: Sequence[bytes], bundles: Sequence[BundleDraft] = (), records: Sequence[RecordDraft] = ()
    ) -> tuple[Sealed, ...]:
        """Append, seal and queue in one transaction; all of it is on the disk when this returns, in this order.

        Idempotent by bundle_id and record_id: what is there already is returned, or left, as it was. On any exception
        nothing of it is stored (StoreError: the disk; anything else: what a `build` raised). Cancelled: see the class.
        """
        rows, drafts, others = tuple(journal), tuple(bundles), tuple(records)

        def work(ledger: Ledger, at: Stamp) -> tuple[Sealed, ...]:
            ledger.append_journal(rows)
            sealed = tuple(ledger.seal(draft, at.utc_ns) for draft in drafts)
            for record in others:
                ledger.append(record, at.utc_ns)
            return sealed

        return await self._ask(work)

    async def checkpoint(self, state: bytes) -> None:
        """Replace every journal row whose commit was called before this by one row; then forget what retention allows.

        To be called when nobody is in a hurry: it may take some tens of milliseconds."""
        await self._ask(lambda ledger, _: ledger.checkpoint(state), frees=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._writer.maintain, self._clock.stamp())

    async def pending(self, record_class: RecordClass, after_seq: int, limit: int) -> list[OutboxRecord]:
        """Records above `after_seq`, in order, at most `limit`; refused ones included, for they keep their place."""
        return await self._ask(lambda ledger, _: ledger.pending(record_class, after_seq, limit))

    async def acknowledge(self, record_class: RecordClass, watermark: int) -> None:
        """Central holds everything up to the watermark. StoreError STORE_WATERMARK_AHEAD above the last sequence."""
        await self._ask(lambda ledger, at: ledger.acknowledge(record_class, watermark, at.utc_ns), frees=True)

    async def quarantine(self, record_class: RecordClass, seq: int, reason: str) -> None:
        """Central will never take this record: keep it for a person to look at."""
        await self._ask(lambda ledger, _: ledger.quarantine(record_class, seq, reason), frees=True)

    async def list_bundles(self, limit: int, before_seq: int | None = None) -> list[StoredBundle]:
        """The newest bundles still held, newest first; `before_seq` continues an earlier list."""
        return await self._ask(lambda ledger, _: ledger.bundles(limit, before_seq))

    async def get_bundle(self, bundle_id: str) -> StoredBundle | None:
        """The bundle of this id, or of the only id that begins so; None when there is none or more than one."""
        return await self._ask(lambda ledger, _: ledger.bundle(bundle_id))

    def status(self) -> tuple[OutboxStatus, ...]:
        """Every class as of the last transaction, most urgent first."""
        return self._snapshot.status

    def chain(self) -> tuple[bytes, int]:
        """Head (32 bytes; zeros before the first bundle) and length of the bundle chain as of the last transaction."""
        return self._snapshot.chain_head, self._snapshot.chain_length

    def appended(self) -> asyncio.Event:
        """An event that is set when records are next queued. Take it, then look for records, then wait for it."""
        return self._news

    async def close(self) -> None:
        """Carry out what was asked for, then let the store go. May be called again."""
        if self._closed:
            return
        last = asyncio.shield(self._submit(lambda ledger, _: None))
        self._closed = True
        try:
            await last
        finally:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._writer.close)
            self._executor.shutdown(wait=False)

    async def _ask(self, work: Callable[[Ledger, Stamp], T], *, frees: bool = False) -> T:
        # Shielded: a caller that gives up must not leave a hole in the journal.
        answer: T = await asyncio.shield(self._submit(work, frees=frees))
        return answer

    def _submit(self, work: Work, *, frees: bool = False) -> asyncio.Future[Any]:
        if self._closed:
            raise StoreError("STORE_CLOSED", "the store is closed")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Looked at once here, so that the failure of a request nobody waits for any more is not reported twice.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._queue.append(_Request(work, frees, answer))
        self._start()
        return answer

    def _start(self) -> None:
        if self._running or not self._queue:
            return
        self._running = True
        batch = [self._queue.popleft() for _ in range(min(_GROUP, len(self._queue)))]
        works, frees = [request.work for request in batch], [request.frees for request in batch]
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, self._writer.run, works, frees, self._clock.stamp())
        done.add_done_callback(partial(self._finish, batch))

    def _finish(self, batch: list[_Request], done: asyncio.Future[Done]) -> None:
        self._running = False
        fault = None if done.cancelled() else done.exception()
        if fault is not None or done.cancelled():
            outcomes: list[Any] = [fault or StoreError("STORE_CLOSED", "the store was closed")] * len(batch)
        else:
            outcomes = done.result().outcomes
            self._publish(done.result().snapshot)
        for request, outcome in zip(batch, outcomes, strict=True):
            if request.answer.done():
                continue
            if isinstance(outcome, BaseException):
                request.answer.set_exception(outcome)
            else:
                request.answer.set_result(outcome)
        self._start()

    def _publish(self, snapshot: Snapshot) -> None:
        before, self._snapshot = self._snapshot, snapshot
        if [s.last_seq for s in before.status] != [s.last_seq for s in snapshot.status]:
            self._news.set()
            self._news = asyncio.Event()
        if (before.ok, before.code) != (snapshot.ok, snapshot.code) and self.on_health is not None:
            self.on_health(snapshot.ok, snapshot.code)


def dump(directory: Path) -> Iterator[str]:
    """`ACK <bundle_id>` for every durable bundle of the store, in order, whether the agent runs or not.

    To be run in a process of its own: one file must never be open through two SQLite libraries in one process.
    StoreError when there is no store.
    """
    connection = open_for_reading(directory / DATA / DATABASE)
    try:
        ledger = Ledger(connection, LedgerState(lane="", epoch=""))
        for bundle_id in ledger.bundle_ids():
            yield f"ACK {bundle_id}"
    finally:
        connection.close(True)
