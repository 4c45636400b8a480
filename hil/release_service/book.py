"""What central holds, durably: records by lane, epoch, class and sequence; watermarks; the lane's bundle chain.

SQLite in WAL with synchronous=FULL: whatever `take` returned is on the disk. One thread at a time.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import apsw
from google.protobuf.message import DecodeError

from securecorridor.lane.v1 import types_pb2 as lane_pb
from securecorridor.release.v1 import record_pb2
from securecorridor.release.v1 import release_service_pb2 as pb

_FILE = "records.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS watermark (
  lane TEXT, epoch TEXT, class TEXT, seq INTEGER NOT NULL, PRIMARY KEY (lane, epoch, class)
);
CREATE TABLE IF NOT EXISTS chain (
  lane TEXT, epoch TEXT, head BLOB NOT NULL, length INTEGER NOT NULL, mismatches INTEGER NOT NULL,
  PRIMARY KEY (lane, epoch)
);
CREATE TABLE IF NOT EXISTS record (
  lane TEXT, epoch TEXT, class TEXT, seq INTEGER, record_id TEXT NOT NULL, payload_type TEXT NOT NULL,
  payload_sha256 BLOB NOT NULL, outcome TEXT NOT NULL, payload BLOB NOT NULL,
  PRIMARY KEY (lane, epoch, class, seq), UNIQUE (class, record_id)
);
CREATE TABLE IF NOT EXISTS rejected (
  lane TEXT, epoch TEXT, class TEXT, seq INTEGER, record_id TEXT, reason TEXT, PRIMARY KEY (lane, epoch, class, seq)
);
"""
_MESSAGES: dict[str, tuple[type[record_pb2.Bundle | record_pb2.Supplement | record_pb2.LaneEvent], str]] = {
    "bundle": (record_pb2.Bundle, "bundle_id"),
    "supplement": (record_pb2.Supplement, "supplement_id"),
    "lane_event": (record_pb2.LaneEvent, "event_id"),
}
NO_HEAD = bytes(32)


class SequenceGap(Exception):
    """A record came that is not the next one."""


@dataclass(frozen=True, slots=True)
class Line:
    """One forward stream's key."""

    lane: str
    epoch: str
    record_class: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A record that is now held."""

    seq: int
    record_id: str
    outcome: str


@dataclass(slots=True)
class Taken:
    """What became of a batch. `duplicates` were at or below the watermark, or held under another key already."""

    watermark: int
    accepted: list[Accepted] = field(default_factory=list)
    rejected: list[pb.ForwardReject] = field(default_factory=list)
    duplicates: int = 0


@dataclass(slots=True)
class Figures:
    """Counts over everything held, kept up to date; what was repeated is counted since the start of the process."""

    outcomes: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    watermarks: dict[Line, int] = field(default_factory=dict)
    chain_lengths: dict[tuple[str, str], int] = field(default_factory=dict)
    chain_mismatches: int = 0
    rejected: int = 0
    duplicates: int = 0


class Book:
    """The records of one service."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._db = apsw.Connection(str(directory / _FILE))
        self._db.set_busy_timeout(5_000)
        assert self._db.pragma("journal_mode", "wal") == "wal"
        self._db.execute("PRAGMA synchronous=FULL")
        with self._db:
            self._db.execute(_SCHEMA).fetchall()
        # Records of a class that the control channel wants rejected, for tests of the lane.
        self.poison: Counter[str] = Counter()
        self.figures = self._count()

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def watermark(self, line: Line) -> int:
        """The highest sequence held or rejected for good; 0 for none."""
        return self.figures.watermarks.get(line, 0)

    def take(self, line: Line, records: Sequence[pb.ForwardRecord]) -> Taken:
        """Commit a batch. SequenceGap (and nothing of it is taken) when one is neither a repeat nor the next."""
        taken = Taken(self.watermark(line))
        mismatches = 0
        with self._db:
            for record in records:
                if record.seq <= taken.watermark:
                    taken.duplicates += 1
                    continue
                if record.seq != taken.watermark + 1:
                    raise SequenceGap(f"{line.record_class}: {record.seq} after {taken.watermark}")
                taken.watermark = record.seq
                mismatches += self._follow_chain(line, record)
                self._one(line, record, taken)
            self._db.execute(
                "INSERT OR REPLACE INTO watermark VALUES (?, ?, ?, ?)",
                (line.lane, line.epoch, line.record_class, taken.watermark),
            )
        self._add(line, taken, mismatches)
        return taken

    def _one(self, line: Line, record: pb.ForwardRecord, taken: Taken) -> None:
        outcome, reason = self._judge(line, record)
        key = (line.lane, line.epoch, line.record_class, record.seq)
        if reason:
            self._db.execute("INSERT INTO rejected VALUES (?, ?, ?, ?, ?, ?)", (*key, record.record_id, reason))
            taken.rejected.append(pb.ForwardReject(seq=record.seq, reason=reason, message="counted as seen"))
            return
        self._db.execute(
            "INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *key,
                record.record_id,
                record.envelope.payload_type,
                record.payload_sha256,
                outcome,
                record.envelope.payload,
            ),
        )
        if self._db.changes():
            taken.accepted.append(Accepted(record.seq, record.record_id, outcome))
        else:
            taken.duplicates += 1

    def _judge(self, line: Line, record: pb.ForwardRecord) -> tuple[str, str]:
        """The outcome word of a good bundle ("" for other classes), and why the record cannot be taken ("")."""
        payload = record.envelope.payload
        if self.poison[line.record_class] > 0:
            self.poison[line.record_class] -= 1
            return "", "REFUSED_BY_TEST"
        if hashlib.sha256(payload).digest() != record.payload_sha256:
            return "", "PAYLOAD_HASH_MISMATCH"
        if line.record_class not in _MESSAGES:
            return "", ""
        kind, id_field = _MESSAGES[line.record_class]
        expected_type = f"application/x-protobuf; message={kind.DESCRIPTOR.full_name}"
        if record.envelope.payload_type != expected_type:
            return "", "PAYLOAD_TYPE_UNKNOWN"
        try:
            message = kind.FromString(payload)
        except DecodeError:
            return "", "PAYLOAD_INVALID"
        if getattr(message, id_field) != record.record_id:
            return "", "RECORD_ID_MISMATCH"
        if isinstance(message, record_pb2.Bundle):
            return lane_pb.Outcome.Name(message.outcome).removeprefix("OUTCOME_").lower(), ""
        return "", ""

    def _follow_chain(self, line: Line, record: pb.ForwardRecord) -> int:
        """Move the lane's chain over one bundle; 1 when it does not fit, else 0."""
        if line.record_class != "bundle":
            return 0
        row = self._db.execute(
            "SELECT head, length FROM chain WHERE lane = ? AND epoch = ?", (line.lane, line.epoch)
        ).fetchone()
        head, length = row or (NO_HEAD, 0)
        payload = record.envelope.payload
        following = hashlib.sha256(head + len(payload).to_bytes(8, "big") + payload).digest()
        fits = following == record.chain_head and _names(payload, head)
        # After a break the lane's own word is followed, so that one break counts once.
        self._db.execute(
            """INSERT INTO chain VALUES (?, ?, ?, ?, ?) ON CONFLICT (lane, epoch) DO UPDATE
               SET head = excluded.head, length = excluded.length, mismatches = mismatches + excluded.mismatches""",
            (line.lane, line.epoch, record.chain_head, length + 1, int(not fits)),
        )
        return int(not fits)

    def _add(self, line: Line, taken: Taken, mismatches: int) -> None:
        figures = self.figures
        if line.record_class == "bundle":
            key = (line.lane, line.epoch)
            before = figures.chain_lengths.get(key, 0)
            figures.chain_lengths[key] = before + taken.watermark - self.watermark(line)
            figures.outcomes.update(record.outcome for record in taken.accepted)
        figures.watermarks[line] = taken.watermark
        figures.records[line.record_class] += len(taken.accepted)
        figures.chain_mismatches += mismatches
        figures.rejected += len(taken.rejected)
        figures.duplicates += taken.duplicates

    def _count(self) -> Figures:
        figures = Figures()
        for lane, epoch, record_class, seq in self._db.execute("SELECT lane, epoch, class, seq FROM watermark"):
            figures.watermarks[Line(lane, epoch, record_class)] = seq
        for lane, epoch, length, mismatches in self._db.execute("SELECT lane, epoch, length, mismatches FROM chain"):
            figures.chain_lengths[lane, epoch] = length
            figures.chain_mismatches += mismatches
        for record_class, outcome, count in self._db.execute(
            "SELECT class, outcome, count(*) FROM record GROUP BY class, outcome"
        ):
            figures.records[record_class] += count
            if record_class == "bundle":
                figures.outcomes[outcome] += count
        figures.rejected = len(self._db.execute("SELECT seq FROM rejected").fetchall())
        return figures


def dump(directory: Path) -> Iterator[str]:
    """`HAVE <bundle_id> <lane> <epoch> <seq>` for every bundle held, in order of arrival; works while serving.

    FileNotFoundError when there is no store."""
    path = directory / _FILE
    if not path.exists():
        raise FileNotFoundError(path)
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(5_000)
    for record_id, lane, epoch, seq in connection.execute(
        "SELECT record_id, lane, epoch, seq FROM record WHERE class = 'bundle' ORDER BY rowid"
    ):
        yield f"HAVE {record_id} {lane} {epoch} {seq}"
    connection.close()


def _names(payload: bytes, head: bytes) -> bool:
    try:
        return bool(record_pb2.Bundle.FromString(payload).chain_prev == head)
    except DecodeError:
        return False
