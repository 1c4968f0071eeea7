"""Connection pools, one database role a process, and the transactions that are the only place that commits.

Input: a DSN and the role of the process (`vw_ingest`, `vw_alerts`, `vw_web`, `vw_billing`).
Output: psycopg connections that have taken that role, with the practice of the transaction set where there is one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Literal, TypeAlias

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, ConnectionPool

Role: TypeAlias = Literal["vw_ingest", "vw_alerts", "vw_web", "vw_billing"]
Connection: TypeAlias = psycopg.Connection[Any]
AsyncConnection: TypeAlias = psycopg.AsyncConnection[Any]

# The promise "a receipt means it is on disk" stands on these three.
_DURABLE_SETTINGS: Final = {"fsync": "on", "full_page_writes": "on"}
_DURABLE_COMMIT: Final = frozenset({"on", "local", "remote_write", "remote_apply"})


class UnsafeDatabaseError(RuntimeError):
    """The database is configured to lose committed data after a power cut."""


def conninfo(dsn: str, role: Role | None, application_name: str) -> str:
    """The DSN with the process's role taken at connection and sessions speaking UTC."""
    options = "-c timezone=UTC" + (f" -c role={role}" if role else "")
    return make_conninfo(dsn, options=options, application_name=application_name)


def connect(dsn: str, role: Role | None = None, *, application_name: str = "vitalwire") -> Connection:
    """One connection outside a pool (workers that own a single connection, command-line tools)."""
    return psycopg.connect(conninfo(dsn, role, application_name))


async def async_connect(dsn: str, role: Role | None = None, *, application_name: str = "vitalwire") -> AsyncConnection:
    """One autocommit connection for the event loop: each statement is a transaction of its own."""
    return await psycopg.AsyncConnection.connect(conninfo(dsn, role, application_name), autocommit=True)


def open_pool(
    dsn: str, role: Role, *, max_size: int = 4, application_name: str = "vitalwire"
) -> ConnectionPool[Connection]:
    """A pool for threads. Waits until the database answers; raises `PoolTimeout` after 30 s."""
    pool: ConnectionPool[Connection] = ConnectionPool(
        conninfo(dsn, role, application_name), min_size=1, max_size=max_size, open=False
    )
    pool.open(wait=True, timeout=30)
    return pool


async def open_async_pool(
    dsn: str, role: Role, *, max_size: int = 8, application_name: str = "vitalwire"
) -> AsyncConnectionPool[AsyncConnection]:
    """A pool for the event loop. Waits until the database answers; raises `PoolTimeout` after 30 s."""
    pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
        conninfo(dsn, role, application_name), min_size=1, max_size=max_size, open=False
    )
    await pool.open(wait=True, timeout=30)
    return pool


@contextmanager
def transaction(pool: ConnectionPool[Connection], practice_id: str | None = None) -> Iterator[Connection]:
    """One transaction, seen as one practice. Commits at the end, rolls back on any exception."""
    with pool.connection() as conn, conn.transaction():
        if practice_id is not None:
            conn.execute("SELECT set_config('app.practice_id', %s, true)", (practice_id,))
        yield conn


@asynccontextmanager
async def async_transaction(
    pool: AsyncConnectionPool[AsyncConnection], practice_id: str | None = None
) -> AsyncIterator[AsyncConnection]:
    """As `transaction`, for the event loop."""
    async with pool.connection() as conn, conn.transaction():
        if practice_id is not None:
            await conn.execute("SELECT set_config('app.practice_id', %s, true)", (practice_id,))
        yield conn


_DURABILITY_SQL: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
_DURABILITY_NAMES: Final = [*_DURABLE_SETTINGS, "synchronous_commit"]


def require_durable(conn: Connection) -> None:
    """Refuse to serve from a database that may forget what it acknowledged. Raises `UnsafeDatabaseError`."""
    _check_durable(dict(conn.execute(_DURABILITY_SQL, (_DURABILITY_NAMES,)).fetchall()))


async def require_durable_async(conn: AsyncConnection) -> None:
    """As `require_durable`, for the event loop."""
    cursor = await conn.execute(_DURABILITY_SQL, (_DURABILITY_NAMES,))
    _check_durable(dict(await cursor.fetchall()))


def _check_durable(settings: Mapping[str, str]) -> None:
    for name, wanted in _DURABLE_SETTINGS.items():
        if settings.get(name) != wanted:
            raise UnsafeDatabaseError(f"{name} must be {wanted}: a receipt promises that the reading is on disk")
    if settings.get("synchronous_commit") not in _DURABLE_COMMIT:
        raise UnsafeDatabaseError("synchronous_commit must not be off: a receipt promises that the reading is on disk")
