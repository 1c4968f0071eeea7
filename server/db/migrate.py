"""Forward-only SQL migrations: ordered, check-summed, one at a time under an advisory lock.

Input: a DSN and the numbered files beside this module. Output: a database at the newest version, and what was applied.
`pre` files run before new code is deployed, `post` files after; a file is one transaction and is never edited once
released. A file that starts with `-- timescaledb` runs only where that extension can be had.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

MIGRATIONS: Final = Path(__file__).with_name("migrations")
_NAME: Final = re.compile(r"^(\d{4})_(pre|post)_[a-z0-9_]+\.sql$")
_LOCK_KEY: Final = 7_046_029_254  # any fixed number; two migrating processes must agree on it
# A migration that waits longer than this for a lock would stop every reader behind it.
_LOCK_TIMEOUT: Final = "5s"


class MigrationError(RuntimeError):
    """The database and the migration files do not fit; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str
    needs_timescaledb: bool

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(directory: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """All migrations in order. A badly named or doubled file is an error, never skipped."""
    found: list[Migration] = []
    for path in sorted(directory.glob("*.sql")):
        match = _NAME.match(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: expected NNNN_pre_words.sql or NNNN_post_words.sql")
        sql = path.read_text(encoding="utf-8")
        found.append(
            Migration(number=int(match[1]), name=path.name, sql=sql, needs_timescaledb=sql.startswith("-- timescaledb"))
        )
    numbers = [migration.number for migration in found]
    if len(set(numbers)) != len(numbers):
        raise MigrationError("two migrations carry the same number")
    return tuple(found)


def timescaledb_available(conn: psycopg.Connection[Any]) -> bool:
    """The one place that knows whether hypertables, columnstore and retention can be had here.

    Installed is not enough: the server must have loaded the library at its start.
    """
    row = conn.execute(
        "SELECT count(*) FROM pg_available_extensions, pg_settings WHERE pg_available_extensions.name = 'timescaledb'"
        " AND pg_settings.name = 'shared_preload_libraries' AND setting LIKE '%timescaledb%'"
    ).fetchone()
    return bool(row and row[0])


def migrate(dsn: str, directory: Path = MIGRATIONS) -> tuple[str, ...]:
    """Bring the database to the newest version. Returns the names applied now; running it again returns ()."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
        try:
            return _apply_pending(conn, load(directory))
        finally:
            conn.execute("SELECT pg_advisory_unlock(%s)", (_LOCK_KEY,))


def _apply_pending(conn: psycopg.Connection[Any], migrations: tuple[Migration, ...]) -> tuple[str, ...]:
    conn.execute(
        "CREATE TABLE IF NOT EXISTS schema_migration (number integer PRIMARY KEY, name text NOT NULL,"
        " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )
    applied = {row[0]: (row[1], row[2]) for row in conn.execute("SELECT number, name, checksum FROM schema_migration")}
    _check_known(applied, migrations)
    with_timescaledb = timescaledb_available(conn)
    done: list[str] = []
    for migration in migrations:
        if migration.number in applied or (migration.needs_timescaledb and not with_timescaledb):
            continue
        with conn.transaction():
            conn.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            conn.execute(migration.sql.encode())
            conn.execute(
                "INSERT INTO schema_migration (number, name, checksum) VALUES (%s, %s, %s)",
                (migration.number, migration.name, migration.checksum),
            )
        done.append(migration.name)
    return tuple(done)


def _check_known(applied: dict[int, tuple[str, str]], migrations: tuple[Migration, ...]) -> None:
    known = {migration.number: migration for migration in migrations}
    for number, (name, checksum) in applied.items():
        migration = known.get(number)
        if migration is None:
            raise MigrationError(
                f"the database has migration {name}, which this release does not know: install a newer release"
            )
        if migration.checksum != checksum:
            raise MigrationError(f"{migration.name} was changed after it was applied: add a new migration instead")
