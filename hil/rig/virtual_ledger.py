"""The durable side in memory: survives the agent, and refuses one that was killed."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.model.errors import StoreError
from edge_agent.store.records import BundleDraft, RecordDraft, Sealed


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A durable bundle."""

    seq: int
    bundle_id: str
    payload: bytes


class VirtualLedger:
    """Journal, bundles and records. `commit_s` is what one transaction takes; it is durable half-way through."""

    def __init__(self, commit_s: float) -> None:
        self.commit_s = commit_s
        self.failing = False
        self.saved: bytes | None = None
        self.rows: list[bytes] = []
        self.rows_ever = 0
        self.bundles: list[StoredBundle] = []
        self.record_ids: list[str] = []
        self._chain = bytes(32)
        self._known: set[str] = set()

    def open(self) -> "LedgerSession":
        """The view of one life of the agent."""
        return LedgerSession(self)

    def keep(
        self, journal: Sequence[bytes], bundles: Sequence[BundleDraft], records: Sequence[RecordDraft]
    ) -> tuple[Sealed, ...]:
        """One transaction. AssertionError when a bundle is sealed twice."""
        self.rows += journal
        self.rows_ever += len(journal)
        self.record_ids += [record.record_id for record in records]
        return tuple(self._seal(draft) for draft in bundles)

    def _seal(self, draft: BundleDraft) -> Sealed:
        assert draft.bundle_id not in self._known, f"bundle {draft.bundle_id} sealed twice"
        self._known.add(draft.bundle_id)
        payload = draft.build(self._chain)
        digest = hashlib.sha256(payload).digest()
        self._chain = hashlib.sha256(self._chain + digest).digest()
        seq = len(self.bundles) + 1
        self.bundles.append(StoredBundle(seq, draft.bundle_id, payload))
        return Sealed(draft.bundle_id, seq, payload, digest, self._chain, seq)


class LedgerSession:
    """Implements the passage loop's `Ledger`. With `alive` False it is the store of a process that is no more."""

    def __init__(self, ledger: VirtualLedger) -> None:
        self.alive = True
        self._ledger = ledger

    async def commit(
        self,
        journal: Sequence[bytes],
        bundles: Sequence[BundleDraft] = (),
        records: Sequence[RecordDraft] = (),
    ) -> tuple[Sealed, ...]:
        """Durable after half of `commit_s`, answered after all of it; StoreError while failing or dead."""
        await self._pause()
        if self._ledger.failing or not self.alive:
            raise StoreError("STORE_FAILING", "the disk does not write")
        sealed = self._ledger.keep(journal, bundles, records)
        await self._pause()
        return sealed

    async def checkpoint(self, state: bytes) -> None:
        """Replace the journal so far by this state."""
        if self.alive:
            self._ledger.saved = state
            self._ledger.rows.clear()

    async def _pause(self) -> None:
        if self._ledger.commit_s and self.alive:
            await asyncio.sleep(self._ledger.commit_s / 2)
