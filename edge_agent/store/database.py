"""The database file: opened with the pragmas that make a commit durable, read back; checked; schema.

While an agent runs, only `apsw` may open the file, in any process: it carries a current SQLite, whereas the WAL-reset
bug of SQLite 3.7.0 to 3.51.2 (sqlite.org/wal.html) can corrupt a file that two connections write or checkpoint.
"""

import hashlib
from pathlib import Path

import apsw

from edge_agent.model.errors import StoreError

DATABASE = "lane.db"
SCHEMA_VERSION = 1
_APPLICATION_ID = 0x4C41_4E45
_JOURNAL_LIMIT_BYTES = 1 << 20
_LOG_PAGES = 256
_SCHEMA = """
CREATE TABLE ledger (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL, sha256 BLOB NOT NULL);
CREATE TABLE journal (pos INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL, sha256 BLOB NOT NULL);
CREATE TABLE checkpoint (
  id INTEGER PRIMARY KEY CHECK (id = 1), pos INTEGER NOT NULL, body BLOB NOT NULL, sha256 BLOB NOT NULL
);
CREATE TABLE record (
  id INTEGER PRIMARY KEY,
  class TEXT NOT NULL,
  seq INTEGER NOT NULL,
  record_id TEXT NOT NULL,
  payload_type TEXT NOT NULL,
  payload_sha256 BLOB NOT NULL,
  chain_head BLOB NOT NULL,
  tag BLOB NOT NULL,
  journal_pos INTEGER NOT NULL,
  stored_utc_ns INTEGER NOT NULL,
  payload BLOB NOT NULL,
  UNIQUE (class, seq),
  UNIQUE (class, record_id)
);
CREATE TABLE delivery (class TEXT NOT NULL, utc_hour INTEGER NOT NULL, watermark INTEGER NOT NULL,
  PRIMARY KEY (class, utc_hour)) WITHOUT ROWID;
CREATE TABLE refused (class TEXT NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (class, seq)) WITHOUT ROWID;
"""


class Damaged(Exception):
    """The file cannot be trusted any more: it is to be set aside."""


def create_database(path: Path) -> apsw.Connection:
    """A new, empty database with the schema. StoreError when the file system cannot hold it durably."""
    try:
        connection = apsw.Connection(str(path))
        # Takes effect only before the first table.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        _set_pragmas(connection)
        with connection:
            connection.execute(_SCHEMA).fetchall()
            connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    except apsw.Error as error:
        raise unavailable(error) from error
    return connection


def open_database(path: Path, capacity_bytes: int) -> apsw.Connection:
    """The one connection that writes, made durable, and the file checked.

    Raises Damaged for a file that is missing, corrupt or no store; StoreError STORE_NEWER_SCHEMA for one of a later
    version (never set aside: its records are good), STORE_NOT_DURABLE when the file system refuses WAL.
    """
    connection: apsw.Connection | None = None
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        connection.set_busy_timeout(2_000)
        _set_pragmas(connection)
        _check(connection)
        set_capacity(connection, capacity_bytes)
    except BaseException as error:
        if connection is not None:
            connection.close(True)
        if isinstance(error, apsw.NotADBError | apsw.CorruptError | apsw.FormatError):
            raise Damaged(f"{type(error).__name__}: {error}") from error
        if isinstance(error, apsw.CantOpenError) and not path.exists():
            raise Damaged(f"{path.name} is missing") from error
        if isinstance(error, apsw.Error):
            raise unavailable(error) from error
        raise
    return connection


def open_for_reading(path: Path) -> apsw.Connection:
    """A second, read-only connection for another process; StoreError when there is no readable store."""
    if not path.exists():
        raise StoreError(
            "STORE_MISSING", f"no store at {path.parent}", "name the directory the agent is configured with"
        )
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(5_000)
        connection.execute("SELECT body FROM ledger").fetchall()
    except apsw.Error as error:
        raise unavailable(error) from error
    return connection


def unavailable(error: apsw.Error) -> StoreError:
    """The store's fault for what SQLite said."""
    if isinstance(error, apsw.FullError):
        return StoreError("STORE_FULL", f"no room: {error}", "free disk space or restore the line to central")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreError("STORE_DAMAGED", f"{error}", "restart the agent: it sets the file aside and starts a new one")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StoreError("STORE_BUSY", f"{error}", "another program holds the store's file")
    return StoreError("STORE_FAILED", f"{type(error).__name__}: {error}", "check the disk and its permissions")


def set_capacity(connection: apsw.Connection, capacity_bytes: int) -> None:
    """Bound the file (PRAGMA max_page_count); an insert beyond fails while deleting still works."""
    page = pragma_number(connection, "page_size")
    connection.execute(f"PRAGMA max_page_count={max(16, capacity_bytes // page)}")


def pragma_number(connection: apsw.Connection, name: str) -> int:
    """A numeric pragma, as SQLite tells it now."""
    value = connection.pragma(name)
    assert isinstance(value, int)
    return value


def sha256(*parts: bytes) -> bytes:
    """SHA-256 over length-prefixed parts, so that no two lists of parts hash alike. One part: over its bytes alone."""
    if len(parts) == 1:
        return hashlib.sha256(parts[0]).digest()
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _set_pragmas(connection: apsw.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=FAST").fetchall()
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA foreign_keys=ON")
    # What is in the log is on the disk twice until folded in: a short one lets little room free a full disk.
    connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}").fetchall()
    connection.execute(f"PRAGMA journal_size_limit={_JOURNAL_LIMIT_BYTES}").fetchall()
    found = (connection.pragma("journal_mode"), connection.pragma("synchronous"), connection.pragma("secure_delete"))
    if found != ("wal", 2, 2):
        raise StoreError(
            "STORE_NOT_DURABLE",
            f"journal_mode, synchronous, secure_delete are {found} and not ('wal', 2, 2)",
            "put the store on a local disk: WAL does not work on network file systems",
        )


def _check(connection: apsw.Connection) -> None:
    version = pragma_number(connection, "user_version")
    if pragma_number(connection, "application_id") != _APPLICATION_ID:
        raise Damaged("not a lane store")
    if version > SCHEMA_VERSION:
        raise StoreError(
            "STORE_NEWER_SCHEMA",
            f"the store has schema {version}, this version knows {SCHEMA_VERSION}",
            "install the newer version again; the store was not touched",
        )
    verdict = connection.pragma("quick_check", 1)
    if verdict != "ok":
        raise Damaged(f"quick_check: {verdict}")
