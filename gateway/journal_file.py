"""The journal's SQLite file: opening, schema, settings that survive a power cut, and setting a damaged file aside.

Input: a path and a size bound. Output: an open connection (autocommit; the writer begins and commits), or a
`JournalError` that says what is wrong with the disk.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.errors import JournalError

SCHEMA_VERSION: Final = 1
_PAGE_BYTES: Final = 4096
_KEPT_ASIDE: Final = 3
HEADROOM_BYTES: Final = 1024 * 1024
"""Room a session must find before it starts: more than any device's whole memory. A cuff forgets a reading when the
Bluetooth stack confirms it, long before we could refuse it; so without room nobody is asked for readings."""

# One statement an item: `executescript` would commit between them.
_SCHEMA: Final = (
    """CREATE TABLE session (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        device_id TEXT NOT NULL,
        driver TEXT NOT NULL,
        home_zone TEXT NOT NULL,
        model TEXT,
        firmware TEXT,
        started_at TEXT NOT NULL,
        ended_at TEXT,
        outcome TEXT)""",
    """CREATE TABLE clock_reading (
        id INTEGER PRIMARY KEY,
        session_id INTEGER NOT NULL REFERENCES session(id) ON DELETE CASCADE,
        gateway_at TEXT NOT NULL,
        device_time TEXT,
        characteristic TEXT NOT NULL,
        payload BLOB NOT NULL,
        written INTEGER NOT NULL)""",
    # state: raw = not read yet; read = became an entry; transport = carries no reading; held = decoded, but nobody's
    # reading (control solution, implausible); quarantined = could not be decoded, read again after an update
    """CREATE TABLE packet (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id INTEGER NOT NULL REFERENCES session(id) ON DELETE CASCADE,
        characteristic TEXT NOT NULL,
        payload BLOB NOT NULL,
        received_at TEXT NOT NULL,
        monotonic REAL NOT NULL,
        state TEXT NOT NULL DEFAULT 'raw' CHECK (state IN ('raw', 'read', 'transport', 'held', 'quarantined')),
        reason TEXT)""",
    "CREATE INDEX packet_session ON packet (session_id)",
    "CREATE INDEX packet_open ON packet (state, session_id) WHERE state IN ('raw', 'quarantined', 'held')",
    # state: pending = never sent; sent = published, no receipt yet; stored = the server's receipt came (after its
    # COMMIT); rejected = the server keeps it in its dead-letter table
    """CREATE TABLE entry (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL UNIQUE,
        session_id INTEGER,
        device_id TEXT NOT NULL,
        memory TEXT NOT NULL,
        envelope BLOB NOT NULL,
        state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'stored', 'rejected')),
        attempts INTEGER NOT NULL DEFAULT 0,
        created_at TEXT NOT NULL,
        sent_at TEXT,
        settled_at TEXT,
        reason TEXT)""",
    "CREATE INDEX entry_unsettled ON entry (position) WHERE state IN ('pending', 'sent')",
    "CREATE INDEX entry_state ON entry (state, settled_at)",
    "CREATE INDEX entry_session ON entry (session_id)",
    """CREATE TABLE resume (
        device_id TEXT NOT NULL,
        driver TEXT NOT NULL,
        token TEXT NOT NULL,
        moved_at TEXT NOT NULL,
        PRIMARY KEY (device_id, driver))""",
    "CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), written_at TEXT NOT NULL)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """How full the journal is. `limit_bytes` is the bound set by the installer."""

    used_bytes: int
    limit_bytes: int
    disk_free_bytes: int

    @property
    def free_bytes(self) -> int:
        return max(0, min(self.limit_bytes - self.used_bytes, self.disk_free_bytes))

    @property
    def nearly_full(self) -> bool:
        return self.used_bytes * 5 >= self.limit_bytes * 4 or self.disk_free_bytes < 8 * HEADROOM_BYTES


def open_journal(path: Path, *, max_bytes: int) -> sqlite3.Connection:
    """An open, checked, migrated journal. Raises `sqlite3.DatabaseError` as SQLite sees it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    is_new = not path.exists()
    connection = sqlite3.connect(path, isolation_level=None, timeout=10.0, check_same_thread=False)
    try:
        if is_new:
            path.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        connection.execute("PRAGMA cache_size = -2048")
        connection.execute(f"PRAGMA max_page_count = {max(64, max_bytes // _PAGE_BYTES)}")
        findings = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
        if findings != ["ok"]:
            raise sqlite3.DatabaseError("database disk image is malformed")
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise JournalError(
            "journal-too-new",
            f"the journal has schema {version}, this gateway knows {SCHEMA_VERSION}; install the newer version again",
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:  # another process may have been first
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def space(connection: sqlite3.Connection, path: Path) -> Space:
    """Pages in use and room left, on the journal's bound and on the disk."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    limit = connection.execute("PRAGMA max_page_count").fetchone()[0]
    disk = os.statvfs(path.parent)
    return Space(
        used_bytes=(pages - free) * _PAGE_BYTES,
        limit_bytes=limit * _PAGE_BYTES,
        disk_free_bytes=disk.f_bavail * disk.f_frsize,
    )


def set_aside(path: Path, at: datetime) -> Path:
    """Move a damaged journal out of the way, whole, for a person to look at. Returns its new path."""
    target = path.with_name(f"{path.name}.damaged-{at:%Y%m%dT%H%M%S%f}")
    for suffix in ("-wal", "-shm", ""):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.move(source, target.with_name(target.name + suffix))
    older = sorted(p for p in path.parent.glob(f"{path.name}.damaged-*") if not p.name.endswith(("-wal", "-shm")))
    for victim in older[:-_KEPT_ASIDE]:
        for suffix in ("-wal", "-shm", ""):
            victim.with_name(victim.name + suffix).unlink(missing_ok=True)
    return target


def salvage(damaged: Path, fresh: sqlite3.Connection) -> int:
    """Copy the unsettled entries that can still be read out of a damaged file. Returns how many.

    A copy of the files is opened, so that the evidence stays as it was found. What cannot be read is read again from
    the devices: the new journal has no resume points.
    """
    copy = damaged.with_name(damaged.name + ".reading")
    saved = 0
    try:
        shutil.copyfile(damaged, copy)
        wal = damaged.with_name(damaged.name + "-wal")
        if wal.exists():
            shutil.copyfile(wal, copy.with_name(copy.name + "-wal"))
        source = sqlite3.connect(copy, isolation_level=None)
        try:
            fresh.execute("BEGIN IMMEDIATE")
            try:
                for row in source.execute(
                    "SELECT message_id, device_id, memory, envelope, state, created_at FROM entry NOT INDEXED "
                    "WHERE state IN ('pending', 'sent') ORDER BY position"
                ):
                    saved += fresh.execute(
                        "INSERT OR IGNORE INTO entry (message_id, device_id, memory, envelope, state, created_at) "
                        "VALUES (?, ?, ?, ?, ?, ?)",
                        row,
                    ).rowcount
            except sqlite3.DatabaseError:
                pass  # the page after this one is unreadable; keep what came before it
            fresh.execute("COMMIT")
        finally:
            source.close()
    except (sqlite3.DatabaseError, OSError):
        if fresh.in_transaction:
            fresh.execute("ROLLBACK")
            saved = 0
    finally:
        for suffix in ("-wal", "-shm", ""):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
    return saved
