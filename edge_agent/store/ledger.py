"""What one transaction may do: journal rows in, bundles sealed into the chain, records queued, watermarks moved.

Runs in the writer thread only. The counters and the chain head live in one row with its own SHA-256, rewritten in the
transaction that uses them, so that a sequence can neither skip nor start again.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import apsw

from edge_agent.bundle.seal import chain_next
from edge_agent.model.errors import StoreError
from edge_agent.wire.release import BUNDLE_TYPE

from .database import Damaged, sha256
from .records import BundleDraft, OutboxRecord, OutboxStatus, RecordClass, RecordDraft, Sealed, StoredBundle

NO_HEAD = bytes(32)
_NEWEST_CHECKED = 64
_HOUR_NS = 3_600_000_000_000
# Everything but the sequence comes as bytes: a damaged cell must show as damaged, not as an error of a decoder.
_RECORD_FIELDS = "seq, " + ", ".join(
    f"CAST({name} AS BLOB)" for name in ("record_id", "payload_type", "payload", "payload_sha256", "chain_head", "tag")
)
_ROW_FIELDS = "CAST(body AS BLOB), CAST(sha256 AS BLOB)"


@dataclass(frozen=True, slots=True)
class Counter:
    """One class: last sequence used, and the watermark central acknowledged."""

    last_seq: int = 0
    watermark: int = 0


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The row that every other row is counted by. `chain_length` is the bundle class's `last_seq`."""

    lane: str
    epoch: str
    chain_head: bytes = NO_HEAD
    counters: dict[RecordClass, Counter] = field(default_factory=lambda: {c: Counter() for c in RecordClass})
    previous_epoch: str = ""
    previous_chain_head: bytes = b""
    previous_chain_length: int = 0

    @property
    def chain_length(self) -> int:
        """Bundles in the chain."""
        return self.counters[RecordClass.BUNDLE].last_seq

    def encode(self) -> bytes:
        """The row's bytes."""
        body = asdict(self)
        body["chain_head"] = self.chain_head.hex()
        body["previous_chain_head"] = self.previous_chain_head.hex()
        return json.dumps(body, sort_keys=True).encode()

    @classmethod
    def decode(cls, body: bytes) -> "LedgerState":
        """The row back; ValueError, KeyError or TypeError when it is not one."""
        fields: dict[str, Any] = json.loads(body)
        fields["chain_head"] = bytes.fromhex(fields["chain_head"])
        fields["previous_chain_head"] = bytes.fromhex(fields["previous_chain_head"])
        # A class that a later version of this schema adds starts at zero.
        found = {RecordClass(name): Counter(**counter) for name, counter in fields["counters"].items()}
        fields["counters"] = {c: found.get(c, Counter()) for c in RecordClass}
        return cls(**fields)


def read_state(connection: apsw.Connection) -> LedgerState:
    """The ledger row; Damaged when it is missing or fails its SHA-256."""
    row = connection.execute(f"SELECT {_ROW_FIELDS} FROM ledger").fetchone()  # noqa: S608 - own names
    if row is None or sha256(row[0]) != row[1]:
        raise Damaged("the ledger row fails its SHA-256")
    return LedgerState.decode(row[0])


def read_state_of(database: Path) -> LedgerState | None:
    """The ledger row of a damaged file, if it can still be read."""
    try:
        connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return read_state(connection)
        finally:
            connection.close(True)
    except (apsw.Error, Damaged, ValueError, KeyError, TypeError):
        return None


class Ledger:
    """The tables behind one connection. Every method works inside a transaction that the caller opens and commits."""

    def __init__(self, connection: apsw.Connection, state: LedgerState) -> None:
        self._db = connection
        self.state = state
        self.pending_bytes = dict.fromkeys(RecordClass, 0)

    def verify(self) -> int:
        """Check what a restart builds on: journal, checkpoint, the newest records and their counters. Damaged if not.

        Returns the number of journal rows. Older records are checked when they are read.
        """
        rows = 0
        for table in ("checkpoint", "journal"):
            for body, digest in self._db.execute(f"SELECT {_ROW_FIELDS} FROM {table}"):  # noqa: S608 - own names
                if sha256(body) != digest:
                    raise Damaged(f"a {table} row fails its SHA-256")
                rows += table == "journal"
        for record_class, counter in self.state.counters.items():
            self._verify_newest(record_class, counter)
        self.pending_bytes = {c: self._bytes(c, n.watermark, n.last_seq) for c, n in self.state.counters.items()}
        return rows

    def load(self) -> tuple[bytes | None, list[bytes]]:
        """The checkpoint and the journal after it; StoreError STORE_DAMAGED when a row fails its SHA-256."""
        saved = self._db.execute(f"SELECT {_ROW_FIELDS} FROM checkpoint").fetchone()  # noqa: S608 - own names
        rows = list(self._db.execute(f"SELECT {_ROW_FIELDS} FROM journal ORDER BY pos"))  # noqa: S608 - own names
        for body, digest in ([saved] if saved else []) + rows:
            if sha256(body) != digest:
                raise StoreError("STORE_DAMAGED", "a journal row fails its SHA-256", "restart the agent")
        return (saved[0] if saved else None), [body for body, _ in rows]

    def append_journal(self, rows: Sequence[bytes]) -> None:
        """Add journal rows in order."""
        self._db.executemany("INSERT INTO journal (body, sha256) VALUES (?, ?)", ((row, sha256(row)) for row in rows))

    def checkpoint(self, state: bytes) -> None:
        """Replace every journal row by this state."""
        self._db.execute(
            "INSERT OR REPLACE INTO checkpoint (id, pos, body, sha256) VALUES (1, ?, ?, ?)",
            (self._journal_pos(), state, sha256(state)),
        )
        self._db.execute("DELETE FROM journal")

    def seal(self, draft: BundleDraft, utc_ns: int) -> Sealed:
        """Build, chain and queue a bundle; one that was sealed before is returned as it was."""
        known = self._db.execute(
            f"SELECT {_RECORD_FIELDS} FROM record WHERE class = ? AND record_id = ?",  # noqa: S608 - own names
            (RecordClass.BUNDLE, draft.bundle_id),
        ).fetchone()
        if known is not None:
            record = _record(RecordClass.BUNDLE, known)
            if record.damaged:
                raise StoreError("STORE_DAMAGED", f"bundle {draft.bundle_id} fails its SHA-256", "see the runbook")
        else:
            payload = draft.build(self.state.chain_head)
            head = chain_next(self.state.chain_head, payload)
            record = self._insert(RecordClass.BUNDLE, draft.bundle_id, BUNDLE_TYPE, payload, head, utc_ns)
            self.state = replace(self.state, chain_head=head)
        return Sealed(
            record.record_id, record.seq, record.payload, record.payload_sha256, record.chain_head, record.seq
        )

    def append(self, draft: RecordDraft, utc_ns: int) -> None:
        """Queue a record; one of the same class and id is there already and stays."""
        if draft.record_class is RecordClass.BUNDLE:
            raise StoreError("STORE_MISUSED", "bundles are sealed, not appended", "use a BundleDraft")
        known = self._db.execute(
            "SELECT 1 FROM record WHERE class = ? AND record_id = ?", (draft.record_class, draft.record_id)
        ).fetchone()
        if known is None:
            self._insert(draft.record_class, draft.record_id, draft.payload_type, draft.payload, b"", utc_ns)

    def save_state(self) -> None:
        """Write the ledger row."""
        body = self.state.encode()
        self._db.execute("INSERT OR REPLACE INTO ledger (id, body, sha256) VALUES (1, ?, ?)", (body, sha256(body)))

    def pending(self, record_class: RecordClass, after_seq: int, limit: int) -> list[OutboxRecord]:
        """Records above `after_seq`, in order; a row that fails its SHA-256 comes marked and without its payload."""
        rows = self._db.execute(
            f"SELECT {_RECORD_FIELDS} FROM record WHERE class = ? AND seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
            (record_class, after_seq, limit),
        )
        return [_record(record_class, row) for row in rows]

    def acknowledge(self, record_class: RecordClass, watermark: int, utc_ns: int) -> None:
        """Mark everything up to the watermark as delivered. A lower one than before changes nothing."""
        counter = self.state.counters[record_class]
        if watermark > counter.last_seq:
            raise StoreError(
                "STORE_WATERMARK_AHEAD",
                f"{record_class}: acknowledged {watermark}, but {counter.last_seq} is the last ever made",
                "the store may be an old copy of a disk: see the runbook before going on",
            )
        if watermark <= counter.watermark:
            return
        delivered = self._bytes(record_class, counter.watermark, watermark)
        # Beside the records, not in them: to change a row is to write its payload again.
        self._db.execute(
            "INSERT OR REPLACE INTO delivery VALUES (?, ?, ?)", (record_class, utc_ns // _HOUR_NS, watermark)
        )
        self._set(record_class, replace(counter, watermark=watermark))
        self.pending_bytes[record_class] -= delivered

    def quarantine(self, record_class: RecordClass, seq: int, reason: str) -> None:
        """Set a record apart that the other side will never take. It is kept until a person removes it."""
        self._db.execute("INSERT OR REPLACE INTO refused VALUES (?, ?, ?)", (record_class, seq, reason))

    def purge(self, delivered_before_utc_ns: int | None, limit: int = 256) -> int:
        """Remove records delivered before that hour (None: all delivered), oldest first; returns how many.

        What a replay of the journal could seal again, and what was refused, stays.
        """
        saved = self._db.execute("SELECT pos FROM checkpoint").fetchone()
        removed = 0
        for record_class, counter in self.state.counters.items():
            delivered = self._delivered(record_class, counter, delivered_before_utc_ns)
            self._db.execute(
                """DELETE FROM record WHERE id IN (
                     SELECT id FROM record WHERE class = ?1 AND seq <= ?2 AND journal_pos <= ?3
                       AND seq NOT IN (SELECT seq FROM refused WHERE class = ?1) ORDER BY seq LIMIT ?4)""",
                (
                    record_class,
                    delivered,
                    saved[0] if saved else -1,
                    limit,
                ),
            )
            removed += self._db.changes()
            if delivered_before_utc_ns is not None:
                # Of the hours that lie so far back only the last still says something.
                self._db.execute("DELETE FROM delivery WHERE class = ? AND watermark < ?", (record_class, delivered))
        return removed

    def _delivered(self, record_class: RecordClass, counter: Counter, before_utc_ns: int | None) -> int:
        if before_utc_ns is None:
            return counter.watermark
        row = self._db.execute(
            "SELECT max(watermark) FROM delivery WHERE class = ? AND utc_hour < ?",
            (record_class, before_utc_ns // _HOUR_NS),
        ).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    def bundles(self, limit: int, before_seq: int | None) -> list[StoredBundle]:
        """The newest bundles still held, newest first, below `before_seq` when given."""
        rows = self._db.execute(
            f"SELECT {_RECORD_FIELDS} FROM record WHERE class = ? AND seq < ? ORDER BY seq DESC LIMIT ?",  # noqa: S608
            (RecordClass.BUNDLE, before_seq if before_seq is not None else 2**62, limit),
        )
        return self._stored(rows)

    def bundle(self, prefix: str) -> StoredBundle | None:
        """The bundle whose id is or begins with `prefix`; None when none or more than one does."""
        rows = self._db.execute(
            f"SELECT {_RECORD_FIELDS} FROM record WHERE class = ? AND record_id >= ? AND record_id < ? LIMIT 2",  # noqa: S608
            (RecordClass.BUNDLE, prefix, prefix + "\x7f"),
        )
        found = self._stored(rows)
        return found[0] if len(found) == 1 else None

    def bundle_ids(self) -> Iterator[str]:
        """The ids of every intact bundle, in order."""
        rows = self._db.execute(
            f"SELECT {_RECORD_FIELDS} FROM record WHERE class = ? ORDER BY seq",  # noqa: S608
            (RecordClass.BUNDLE,),
        )
        for row in rows:
            record = _record(RecordClass.BUNDLE, row)
            if not record.damaged:
                yield record.record_id

    def status(self) -> tuple[OutboxStatus, ...]:
        """Every class now."""
        return tuple(self._status(c, counter) for c, counter in self.state.counters.items())

    def _status(self, record_class: RecordClass, counter: Counter) -> OutboxStatus:
        oldest = self._db.execute(
            "SELECT stored_utc_ns FROM record WHERE class = ? AND seq > ? ORDER BY seq LIMIT 1",
            (record_class, counter.watermark),
        ).fetchone()
        refused = self._db.execute("SELECT count(*) FROM refused WHERE class = ?", (record_class,)).fetchone()
        return OutboxStatus(
            record_class=record_class,
            records=counter.last_seq - counter.watermark,
            bytes=self.pending_bytes[record_class],
            oldest_utc_ns=oldest[0] if oldest else None,
            last_seq=counter.last_seq,
            watermark=counter.watermark,
            quarantined=refused[0] if refused else 0,
        )

    def _insert(
        self, record_class: RecordClass, record_id: str, payload_type: str, payload: bytes, head: bytes, utc_ns: int
    ) -> OutboxRecord:
        counter = self.state.counters[record_class]
        seq = counter.last_seq + 1
        record = OutboxRecord(seq, record_id, payload_type, payload, sha256(payload), head)
        self._db.execute(
            """INSERT INTO record (class, seq, record_id, payload_type, payload_sha256, chain_head, tag, journal_pos,
                                   stored_utc_ns, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                record_class,
                seq,
                record_id,
                payload_type,
                record.payload_sha256,
                head,
                _tag(record_class, record),
                self._journal_pos(),
                utc_ns,
                payload,
            ),
        )
        self._set(record_class, replace(counter, last_seq=seq))
        self.pending_bytes[record_class] += len(payload)
        return record

    def _set(self, record_class: RecordClass, counter: Counter) -> None:
        self.state = replace(self.state, counters={**self.state.counters, record_class: counter})

    def _journal_pos(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
        return int(row[0]) if row else 0

    def _bytes(self, record_class: RecordClass, above: int, up_to: int) -> int:
        row = self._db.execute(
            "SELECT coalesce(sum(length(payload)), 0) FROM record WHERE class = ? AND seq > ? AND seq <= ?",
            (record_class, above, up_to),
        ).fetchone()
        return int(row[0]) if row else 0

    def _verify_newest(self, record_class: RecordClass, counter: Counter) -> None:
        rows = self._db.execute(
            f"SELECT {_RECORD_FIELDS} FROM record WHERE class = ? ORDER BY seq DESC LIMIT ?",  # noqa: S608
            (record_class, _NEWEST_CHECKED),
        ).fetchall()
        newest = [_record(record_class, row) for row in rows]
        if any(record.damaged for record in newest):
            raise Damaged(f"a {record_class} record fails its SHA-256")
        unsent = counter.last_seq > counter.watermark
        if (newest and newest[0].seq > counter.last_seq) or (
            unsent and (not newest or newest[0].seq < counter.last_seq)
        ):
            raise Damaged(f"the {record_class} counter and its newest record differ")
        chained = record_class is RecordClass.BUNDLE and newest and newest[0].seq == counter.last_seq
        if chained and newest[0].chain_head != self.state.chain_head:
            raise Damaged("the chain head is not that of the newest bundle")

    def _stored(self, rows: Any) -> list[StoredBundle]:  # noqa: ANN401 - a cursor
        watermark = self.state.counters[RecordClass.BUNDLE].watermark
        records = [_record(RecordClass.BUNDLE, row) for row in rows]
        return [
            StoredBundle(r.seq, r.record_id, r.payload, r.payload_sha256, r.seq <= watermark)
            for r in records
            if not r.damaged
        ]


def _record(record_class: RecordClass, row: tuple[Any, ...]) -> OutboxRecord:
    seq, *cells = row
    if not isinstance(seq, int):
        raise StoreError("STORE_DAMAGED", f"a {record_class} record has no number", "restart the agent")
    record_id, payload_type, payload, payload_sha256, chain_head, tag = (cell or b"" for cell in cells)
    record = OutboxRecord(
        seq,
        record_id.decode(errors="replace"),
        payload_type.decode(errors="replace"),
        payload,
        payload_sha256,
        chain_head,
    )
    whole = sha256(record.payload) == record.payload_sha256 and _tag(record_class, record) == tag
    return record if whole else replace(record, payload=b"", damaged=True)


def _tag(record_class: RecordClass, record: OutboxRecord) -> bytes:
    """SHA-256 over everything that says what the payload is; the payload itself is in by its own SHA-256."""
    return sha256(
        record_class.encode(),
        record.seq.to_bytes(8, "big"),
        record.record_id.encode(),
        record.payload_type.encode(),
        record.payload_sha256,
        record.chain_head,
    )
