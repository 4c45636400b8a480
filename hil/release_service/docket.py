"""Decisions given, durably: a repeated request gets the same answer, also from a service that was killed in between."""

from dataclasses import dataclass
from pathlib import Path

import apsw

from securecorridor.lane.v1 import types_pb2 as lane_pb

_FILE = "decisions.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS request_watermark (lane TEXT, epoch TEXT, seq INTEGER NOT NULL, PRIMARY KEY (lane, epoch));
CREATE TABLE IF NOT EXISTS decision (
  lane TEXT, conveyance_id TEXT, revision INTEGER, request_revision INTEGER NOT NULL, rule TEXT NOT NULL,
  payload BLOB NOT NULL, PRIMARY KEY (lane, conveyance_id, revision)
);
"""


@dataclass(frozen=True, slots=True)
class Given:
    """The latest decision on a conveyance, the revision of the request it answers, and the rule it follows."""

    request_revision: int
    rule: str
    decision: lane_pb.Decision


class Docket:
    """The decisions of one service. Each write is on the disk when it returns, in well under 10 ms."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._db = apsw.Connection(str(directory / _FILE))
        self._db.set_busy_timeout(5_000)
        self._db.pragma("journal_mode", "wal")
        self._db.execute("PRAGMA synchronous=FULL")
        with self._db:
            self._db.execute(_SCHEMA).fetchall()
        self._watermarks: dict[tuple[str, str], int] = {
            (lane, epoch): seq
            for lane, epoch, seq in self._db.execute("SELECT lane, epoch, seq FROM request_watermark")
        }

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def request_watermark(self, lane: str, epoch: str) -> int:
        """The highest request sequence seen; 0 for none."""
        return self._watermarks.get((lane, epoch), 0)

    def saw(self, lane: str, epoch: str, seq: int) -> None:
        """Count a request; written with the next decision, for only an answered request is owed nothing more."""
        key = (lane, epoch)
        self._watermarks[key] = max(seq, self._watermarks.get(key, 0))

    def put(self, lane: str, epoch: str, given: Given) -> None:
        """Record a decision before it is sent."""
        decision = given.decision
        with self._db:
            self._db.execute(
                "INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?)",
                (
                    lane,
                    decision.conveyance_id,
                    decision.revision,
                    given.request_revision,
                    given.rule,
                    decision.SerializeToString(),
                ),
            )
            self._db.execute(
                "INSERT OR REPLACE INTO request_watermark VALUES (?, ?, ?)",
                (lane, epoch, self.request_watermark(lane, epoch)),
            )

    def latest(self, lane: str, conveyance_id: str) -> Given | None:
        """The newest decision on a conveyance, or None."""
        row = self._db.execute(
            """SELECT request_revision, rule, payload FROM decision WHERE lane = ? AND conveyance_id = ?
               ORDER BY revision DESC LIMIT 1""",
            (lane, conveyance_id),
        ).fetchone()
        return None if row is None else Given(row[0], row[1], lane_pb.Decision.FromString(row[2]))
