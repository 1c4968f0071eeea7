"""The one thread that touches the journal file. Jobs that wait together share one transaction and one fsync.

Input: functions of an open connection. Output: futures that resolve after the COMMIT that covers them, or fail with
`JournalError` when the disk did not take it. A damaged file is set aside and a new one started.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from gateway.clock import Clock
from gateway.errors import JournalError
from gateway.journal_file import open_journal, salvage, set_aside

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]

log = structlog.get_logger(__name__)

_MAX_BATCH: Final = 512  # jobs in one transaction; more would keep the first one waiting
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TROUBLE: Final = {
    sqlite3.SQLITE_FULL: ("journal-full", "the disk or the journal's size bound is full; free space on the box"),
    sqlite3.SQLITE_READONLY: ("journal-read-only", "the data folder cannot be written; check the SD card"),
    sqlite3.SQLITE_IOERR: ("journal-disk-error", "the disk reports an error; replace the SD card"),
    sqlite3.SQLITE_CANTOPEN: ("journal-cannot-open", "the journal cannot be opened; check the data folder's owner"),
    sqlite3.SQLITE_BUSY: ("journal-busy", "another program holds the journal; only one gateway may use a data folder"),
}


@dataclass(slots=True)
class _Waiting:
    job: Job
    future: Future[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A journal that was set aside."""

    kept_as: str
    salvaged: int


class JournalWriter:
    """Owns the connection and its thread. `trouble` is what stands between us and the disk, None when all is well."""

    def __init__(self, path: Path, *, max_bytes: int, clock: Clock) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._clock = clock
        self._jobs: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None
        self.trouble: JournalError | None = None
        self.damage: Damage | None = None

    def start(self) -> None:
        """Open the journal and start the thread. A disk that fails now is reported by `trouble`, not raised."""
        with contextlib.suppress(JournalError):
            self._connect()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is queued, close the file. Idempotent."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a job; never blocks. The future resolves after the commit. From any thread.

        A job cannot be cancelled: whoever stops waiting for a packet to be committed must not lose the packet.
        """
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        if self._thread is None:
            future.set_exception(JournalError("journal-closed", "the gateway is shutting down"))
            return future
        self._jobs.put(_Waiting(job, future))
        return future

    def _run(self) -> None:
        stopping = False
        while not stopping:
            waiting: list[_Waiting] = []
            item = self._jobs.get()
            while True:
                if item is None:
                    stopping = True
                    break
                waiting.append(item)
                if len(waiting) >= _MAX_BATCH:
                    break
                try:
                    item = self._jobs.get_nowait()
                except queue.Empty:
                    break
            if waiting:
                self._commit_together(waiting)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        while True:  # whoever came after the end
            try:
                late = self._jobs.get_nowait()
            except queue.Empty:
                return
            if late is not None:
                late.future.set_exception(JournalError("journal-closed", "the gateway is shutting down"))

    def _commit_together(self, waiting: list[_Waiting]) -> None:
        try:
            connection = self._connection or self._connect()
            outcomes = _run_in_one_transaction(connection, waiting)
        except JournalError as error:
            _fail(waiting, error)
        except sqlite3.DatabaseError as error:
            _fail(waiting, self._went_wrong(error))
        else:
            self._back_to_normal()
            for item, outcome in zip(waiting, outcomes, strict=True):
                if isinstance(outcome, _Failed):
                    item.future.set_exception(outcome.error)
                else:
                    item.future.set_result(outcome)

    def _connect(self) -> sqlite3.Connection:
        try:
            try:
                self._connection = open_journal(self._path, max_bytes=self._max_bytes)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._replace_damaged()
        except JournalError as error:
            self._note_trouble(error)
            raise
        except (sqlite3.DatabaseError, OSError) as error:
            trouble = _as_trouble(error)
            self._note_trouble(trouble)
            raise trouble from error
        if self._connection is None:
            raise AssertionError("opening a journal gave neither a connection nor an error")
        return self._connection

    def _replace_damaged(self) -> None:
        kept = set_aside(self._path, self._clock.now())
        self._connection = open_journal(self._path, max_bytes=self._max_bytes)
        salvaged = salvage(kept, self._connection)
        self.damage = Damage(kept_as=kept.name, salvaged=salvaged)
        log.error("journal_damaged", kept_as=kept.name, salvaged=salvaged)

    def _went_wrong(self, error: sqlite3.DatabaseError) -> JournalError:
        """Close the connection (a read-only or broken one never recovers), so that the next job opens it again."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        if _is_damage(error):
            with contextlib.suppress(JournalError):
                self._connect()
            return JournalError("journal-damaged", "the journal file was damaged and has been replaced")
        trouble = _as_trouble(error)
        self._note_trouble(trouble)
        return trouble

    def _note_trouble(self, trouble: JournalError) -> None:
        if self.trouble is None or self.trouble.trouble != trouble.trouble:
            log.error("journal_unavailable", trouble=trouble.trouble)
        self.trouble = trouble

    def _back_to_normal(self) -> None:
        if self.trouble is not None:
            log.info("journal_available_again", after=self.trouble.trouble)
            self.trouble = None


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


_OWN_MISTAKES: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)


def _run_in_one_transaction(connection: sqlite3.Connection, waiting: list[_Waiting]) -> list[Any]:
    """Run all jobs and commit. A job's own mistake undoes that job only; the disk's fails all."""
    outcomes: list[Any] = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        for item in waiting:
            connection.execute("SAVEPOINT job")
            try:
                outcomes.append(item.job(connection))
            except Exception as error:
                if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, _OWN_MISTAKES):
                    raise
                connection.execute("ROLLBACK TO job")
                outcomes.append(_Failed(error))
            connection.execute("RELEASE job")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
    return outcomes


def _fail(waiting: list[_Waiting], error: JournalError) -> None:
    for item in waiting:
        item.future.set_exception(error)


def _primary_code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return _primary_code(error) in _DAMAGED or "malformed" in str(error)


def _as_trouble(error: Exception) -> JournalError:
    trouble, detail = _TROUBLE.get(_primary_code(error) or -1, ("journal-unavailable", f"{type(error).__name__}"))
    return JournalError(trouble, detail)
