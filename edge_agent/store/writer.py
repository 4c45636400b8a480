"""The writer thread's side: opens the store, carries out batches of requests as one transaction each, keeps room."""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from drivers.api import Stamp
from edge_agent.model.errors import StoreError

from .database import DATABASE, Damaged, create_database, open_database, pragma_number, unavailable
from .ledger import Ledger, LedgerState, read_state, read_state_of
from .quarantine import Ballast, OwnerLock, newest_aside, set_aside, sync_directory
from .records import OpenKind, OpenReport, OutboxStatus, StoreLimits

DATA = "data"
_FORGET_ROWS = 4_096
_LAST_BALLAST_BYTES = 2 << 20
_RETURN_PAGES = 128
_RETURN_STEPS = 4_096

Work = Callable[[Ledger, Stamp], Any]
"""One request: works on the ledger inside a transaction and answers. May be called again after a rollback."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the other threads may know without asking: counters, chain and health, as of the last transaction."""

    status: tuple[OutboxStatus, ...]
    chain_head: bytes
    chain_length: int
    ok: bool
    code: str


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome of one batch: for each request its answer, or the exception it failed with."""

    outcomes: list[Any]
    snapshot: Snapshot


class Writer:
    """Owns the connection. After `open`, all methods belong to one thread."""

    def __init__(self, directory: Path, limits: StoreLimits) -> None:
        self._directory = directory
        self._limits = limits
        self._ballast = Ballast(directory, "ballast", limits.reserve_bytes)
        # Kept when the ballast is spent: with no byte left, not even an acknowledgement could make room.
        self._last_ballast = Ballast(directory, "ballast.last", min(limits.reserve_bytes, _LAST_BALLAST_BYTES))
        self._lock: OwnerLock
        self._db: apsw.Connection
        self._ledger: Ledger

    def open(self, lane: str, epoch: str, at: Stamp) -> tuple[OpenReport, str, Snapshot]:
        """Take the store; make it, or make it anew beside a damaged one. Returns what was found, the epoch in force and
        the state. StoreError when it is in use, belongs to another lane or version, or the disk does not do."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock = OwnerLock(self._directory)
        except OSError as error:
            raise StoreError("STORE_FAILED", f"{self._directory}: {error.strerror}", "check its permissions") from error
        try:
            report = self._open(LedgerState(lane=lane, epoch=epoch), at)
        except BaseException:
            self._lock.release()
            raise
        return report, self._ledger.state.epoch, self._snapshot()

    def _open(self, fresh: LedgerState, at: Stamp) -> OpenReport:
        data = self._directory / DATA
        if data.exists():
            try:
                return OpenReport(OpenKind.CONTINUED, self._attach(fresh.lane))
            except Damaged as damage:
                reason = str(damage)
            folder = set_aside(data, at.utc_ns)
        elif (aside := newest_aside(self._directory)) is not None:
            # By a person; or a power cut, or a full disk, came between setting a store aside and making the next.
            reason, folder = "set aside by hand, or at a start that did not come to its end", aside
        else:
            self._create(fresh)
            self._attach(fresh.lane)
            return OpenReport(OpenKind.FRESH, 0)
        old = read_state_of(folder / DATABASE) or LedgerState(lane="", epoch="", chain_head=b"")
        self._create(
            LedgerState(
                lane=fresh.lane,
                epoch=fresh.epoch,
                previous_epoch=old.epoch,
                previous_chain_head=old.chain_head,
                previous_chain_length=old.chain_length,
            )
        )
        self._attach(fresh.lane)
        return OpenReport(OpenKind.QUARANTINED, 0, folder, reason, old.epoch, old.chain_head, old.chain_length)

    def _create(self, state: LedgerState) -> None:
        # Made beside and renamed: a store that a power cut left half made would pass for a damaged one.
        making = self._directory / f"{DATA}.new"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        connection = create_database(making / DATABASE)
        try:
            with connection:
                Ledger(connection, state).save_state()
        except apsw.Error as error:
            raise unavailable(error) from error
        finally:
            connection.close(True)
        sync_directory(making)
        making.rename(self._directory / DATA)
        sync_directory(self._directory)

    def _attach(self, lane: str) -> int:
        connection = open_database(self._directory / DATA / DATABASE, self._limits.capacity_bytes)
        try:
            ledger = Ledger(connection, read_state(connection))
            self._check_lane(ledger.state.lane, lane)
            rows = ledger.verify()
        except (apsw.BusyError, apsw.LockedError, apsw.NoMemError) as error:
            connection.close(True)
            raise unavailable(error) from error  # good records must not be set aside for a moment's trouble
        except (apsw.Error, ValueError, KeyError, TypeError, AttributeError) as error:
            connection.close(True)
            raise Damaged(f"{type(error).__name__} while reading") from error
        except BaseException:
            connection.close(True)
            raise
        self._db, self._ledger = connection, ledger
        self._last_ballast.take()
        self._ballast.take()
        return rows

    def _check_lane(self, found: str, wanted: str) -> None:
        if found != wanted:
            raise StoreError(
                "STORE_OTHER_LANE",
                f"the store {self._directory} belongs to lane {found}, not {wanted}",
                "give every lane a store of its own",
            )

    def run(self, works: Sequence[Work], frees: Sequence[bool], at: Stamp) -> Done:
        """Carry out a batch as one transaction. What fails alone is undone alone; a failing commit fails them all,
        except that on a full disk those which make room (`frees`) are tried once more with the last reserve."""
        try:
            try:
                outcomes = self._transaction(works, at)
            except apsw.FullError:
                if not self._make_room():
                    raise
                outcomes = self._transaction(works, at)
        except apsw.FullError as error:
            return self._run_freeing(works, frees, at, unavailable(error))
        except apsw.Error as error:
            fault = unavailable(error)
            return Done([fault] * len(works), self._snapshot(fault.code))
        return Done(outcomes, self._snapshot())

    def _run_freeing(self, works: Sequence[Work], frees: Sequence[bool], at: Stamp, fault: StoreError) -> Done:
        outcomes: list[Any] = [fault] * len(works)
        chosen = [index for index, freeing in enumerate(frees) if freeing]
        if chosen:
            self._last_ballast.give_up()
            with contextlib.suppress(apsw.Error):
                for index, answer in zip(chosen, self._transaction([works[i] for i in chosen], at), strict=True):
                    outcomes[index] = answer
            self._make_room()
        return Done(outcomes, self._snapshot(fault.code if fault in outcomes else ""))

    def maintain(self, at: Stamp) -> None:
        """Forget what was delivered long ago, and wipe it from the log too. For moments when nobody is in a hurry."""
        # A fault of the disk shows in the next transaction, which somebody waits for.
        with contextlib.suppress(apsw.Error):
            with self._db:
                removed = self._ledger.purge(at.utc_ns - round(self._limits.retention_s * 1e9))
            short = not (self._ballast.held and self._last_ballast.held)
            if removed or short:
                self._give_back(_RETURN_STEPS if short else 1)

    def _give_back(self, steps: int) -> None:
        """Return free pages to the disk: after it ran full, all of them, so that the ballast can be held again."""
        for _ in range(steps):
            before = pragma_number(self._db, "page_count")
            # In small steps: what is moved goes through the log, and the log must fit.
            self._db.execute(f"PRAGMA incremental_vacuum({_RETURN_PAGES})").fetchall()
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            if pragma_number(self._db, "page_count") == before:
                return

    def close(self) -> None:
        """Fold the log into the file and let the store go."""
        # Else the log stays and is read at the next start.
        with contextlib.suppress(apsw.Error):
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._db.close(True)
        self._lock.release()

    def _transaction(self, works: Sequence[Work], at: Stamp) -> list[Any]:
        ledger = self._ledger
        before = (ledger.state, dict(ledger.pending_bytes))
        self._db.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [self._one(work, at) for work in works]
            if ledger.state is not before[0]:
                ledger.save_state()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            ledger.state, ledger.pending_bytes = before
            raise
        return outcomes

    def _one(self, work: Work, at: Stamp) -> Any:  # noqa: ANN401 - the request's own answer
        ledger = self._ledger
        before = (ledger.state, dict(ledger.pending_bytes))
        self._db.execute("SAVEPOINT request")
        try:
            answer = work(ledger, at)
        except apsw.Error:
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever made the request
            self._db.execute("ROLLBACK TO request")
            ledger.state, ledger.pending_bytes = before
            answer = error
        self._db.execute("RELEASE request")
        return answer

    def _make_room(self) -> bool:
        """Give up the ballast, and delivered records whatever their age; True when either gained something."""
        freed = self._ballast.give_up()
        # When there is no room even to delete, the ballast was all there is.
        with contextlib.suppress(apsw.Error):
            with self._db:
                freed |= self._ledger.purge(None, _FORGET_ROWS) > 0
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        return freed

    def _snapshot(self, fault: str = "") -> Snapshot:
        state = self._ledger.state
        code = fault
        if not code and self._is_low():
            code = "STORE_BELOW_RESERVE"
        try:
            status = self._ledger.status()
        except apsw.Error as error:
            code, status = unavailable(error).code, ()
        return Snapshot(status, state.chain_head, state.chain_length, not code, code)

    def _is_low(self) -> bool:
        if self._has_reserve():
            return False
        # Delivered records go before anything else does: they are safe at central.
        with contextlib.suppress(apsw.Error), self._db:
            self._ledger.purge(None, _FORGET_ROWS)
        return not self._has_reserve()

    def _has_reserve(self) -> bool:
        reserve = self._limits.reserve_bytes
        held = self._last_ballast.take() and self._ballast.take()
        return held and self._ballast.disk_free() >= reserve and self._room() >= reserve

    def _room(self) -> int:
        try:
            pages = pragma_number(self._db, "page_count") - pragma_number(self._db, "freelist_count")
            return self._limits.capacity_bytes - pages * pragma_number(self._db, "page_size")
        except apsw.Error:
            return 0  # asked after the commit, which must not be taken for failed
