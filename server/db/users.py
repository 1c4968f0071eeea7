"""SQL of users, their sessions and log-in attempts. These tables carry no row-level security: a log-in happens before
the practice is known. Every list filters by practice itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row

from server.db.pool import AsyncConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a log-in needs to know of one user."""

    id: str
    practice_id: str
    password_hash: str
    role: str
    disabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One session with its user and practice, as stored."""

    token_hash: bytes
    csrf_token: str
    last_seen_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    user_id: str
    practice_id: str
    practice_name: str
    time_zone: str
    is_simulated: bool
    role: str
    display_name: str
    language: str
    staff_id: str | None
    practitioner_id: str | None
    patient_id: str | None


async def find_account(conn: AsyncConnection, login: str) -> Account | None:
    """The account of a login name, written as the user wrote it (case does not matter)."""
    async with conn.cursor(row_factory=class_row(Account)) as cursor:
        await cursor.execute(
            "SELECT id, practice_id, password_hash, role, disabled_at IS NOT NULL AS disabled"
            " FROM app_user WHERE login = lower(%s)",
            (login,),
        )
        return await cursor.fetchone()


async def display_name(conn: AsyncConnection, user_id: str, *, practice_id: str) -> str | None:
    cursor = await conn.execute(
        "SELECT display_name FROM app_user WHERE id = %s AND practice_id = %s", (user_id, practice_id)
    )
    row = await cursor.fetchone()
    return str(row[0]) if row else None


async def store_password_hash(conn: AsyncConnection, user_id: str, password_hash: str) -> None:
    await conn.execute("UPDATE app_user SET password_hash = %s WHERE id = %s", (password_hash, user_id))


async def open_session(
    conn: AsyncConnection,
    *,
    token_hash: bytes,
    account: Account,
    csrf_token: str,
    now: datetime,
    expires_at: datetime,
) -> None:
    await conn.execute(
        "INSERT INTO web_session (token_hash, practice_id, user_id, csrf_token, created_at, last_seen_at, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (token_hash, account.practice_id, account.id, csrf_token, now, now, expires_at),
    )


async def find_session(conn: AsyncConnection, token_hash: bytes) -> SessionRow | None:
    """The session of a cookie, whether it still lives or not. Users who were switched off have none."""
    async with conn.cursor(row_factory=class_row(SessionRow)) as cursor:
        await cursor.execute(
            """
            SELECT s.token_hash, s.csrf_token, s.last_seen_at, s.expires_at, s.revoked_at,
                   u.id AS user_id, u.practice_id, p.name AS practice_name, p.time_zone, p.is_simulated,
                   u.role, u.display_name, u.language, u.staff_id, u.practitioner_id, u.patient_id
            FROM web_session s
            JOIN app_user u ON u.id = s.user_id
            JOIN practice p ON p.id = u.practice_id
            WHERE s.token_hash = %s AND u.disabled_at IS NULL
            """,
            (token_hash,),
        )
        return await cursor.fetchone()


async def touch_session(conn: AsyncConnection, token_hash: bytes, now: datetime) -> None:
    await conn.execute(
        "UPDATE web_session SET last_seen_at = greatest(last_seen_at, %s) WHERE token_hash = %s", (now, token_hash)
    )


async def revoke_session(conn: AsyncConnection, token_hash: bytes, now: datetime) -> None:
    await conn.execute(
        "UPDATE web_session SET revoked_at = %s WHERE token_hash = %s AND revoked_at IS NULL", (now, token_hash)
    )


async def revoke_sessions_of(conn: AsyncConnection, user_id: str, now: datetime) -> int:
    """All sessions of one user (password changed, person left); returns how many."""
    cursor = await conn.execute(
        "UPDATE web_session SET revoked_at = %s WHERE user_id = %s AND revoked_at IS NULL", (now, user_id)
    )
    return cursor.rowcount


async def record_login_attempt(
    conn: AsyncConnection, *, login_hash: bytes, address: str | None, now: datetime, succeeded: bool
) -> None:
    await conn.execute(
        "INSERT INTO login_attempt (login_hash, address, at, succeeded) VALUES (%s, %s, %s, %s)",
        (login_hash, address, now, succeeded),
    )


async def recent_failures(
    conn: AsyncConnection, *, login_hash: bytes, address: str | None, now: datetime, window: timedelta
) -> tuple[tuple[datetime, ...], tuple[datetime, ...]]:
    """Failed attempts since the last success: of this account, and from this address. Oldest first.

    From an address where this account has logged in during the last 30 days only that address's own failures count: a
    stranger who guesses elsewhere cannot keep the owner out.
    """
    account = await conn.execute(
        """
        WITH known AS (
            SELECT EXISTS (
                SELECT 1 FROM login_attempt
                WHERE login_hash = %(hash)s AND succeeded AND address = %(address)s AND at > %(known_since)s
            ) AS here
        )
        SELECT a.at FROM login_attempt a, known
        WHERE a.login_hash = %(hash)s AND NOT a.succeeded AND a.at > %(since)s
          AND (NOT known.here OR a.address = %(address)s)
          AND a.at > coalesce(
              (SELECT max(at) FROM login_attempt WHERE login_hash = %(hash)s AND succeeded), '-infinity')
        ORDER BY a.at
        """,
        {"hash": login_hash, "address": address, "since": now - window, "known_since": now - timedelta(days=30)},
    )
    by_account = tuple(row[0] for row in await account.fetchall())
    origin = await conn.execute(
        "SELECT at FROM login_attempt WHERE address = %s AND NOT succeeded AND at > %s ORDER BY at",
        (address, now - window),
    )
    return by_account, tuple(row[0] for row in await origin.fetchall())
