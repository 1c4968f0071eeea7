"""Log-ins as an administrator manages them, and the names of the care team. SQL beside its function.

These tables carry no row-level security (a log-in happens before the practice is known): every query filters by
practice itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from server.db.pool import AsyncConnection
from server.db.rows import changed, many, value


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """One log-in."""

    id: str
    login: str
    role: str
    display_name: str
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody whose time is counted: staff or practitioner."""

    id: str
    name: str
    credential: str
    kind: str


async def users_of_practice(conn: AsyncConnection) -> list[UserRow]:
    return await many(
        conn,
        UserRow,
        """
        SELECT id, login, role, display_name, created_at, disabled_at FROM app_user
        WHERE practice_id = current_practice()
        ORDER BY disabled_at NULLS FIRST, role, login
        """,
    )


async def login_taken(conn: AsyncConnection, login: str) -> bool:
    """Log-in names are unique over all practices."""
    return bool(await value(conn, "SELECT count(*) FROM app_user WHERE login = %s", (login,)))


async def insert_user(
    conn: AsyncConnection,
    *,
    practice_id: str,
    login: str,
    password_hash: str,
    role: str,
    display_name: str,
    staff_id: str | None,
    practitioner_id: str | None,
    patient_id: str | None,
) -> str:
    return str(
        await value(
            conn,
            """
            INSERT INTO app_user
                (practice_id, login, password_hash, role, display_name, staff_id, practitioner_id, patient_id)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
            RETURNING id
            """,
            (practice_id, login, password_hash, role, display_name, staff_id, practitioner_id, patient_id),
        )
    )


async def disable_user(conn: AsyncConnection, user_id: str, *, at: datetime) -> bool:
    """Switch a log-in off and end its sessions. False when the practice has no such active log-in."""
    done = await changed(
        conn,
        """
        UPDATE app_user SET disabled_at = %s
        WHERE id = %s AND practice_id = current_practice() AND disabled_at IS NULL
        """,
        (at, user_id),
    )
    if done:
        await conn.execute(
            "UPDATE web_session SET revoked_at = %s WHERE user_id = %s AND revoked_at IS NULL", (at, user_id)
        )
    return done


async def set_language(conn: AsyncConnection, user_id: str, language: str) -> None:
    await conn.execute("UPDATE app_user SET language = %s WHERE id = %s", (language, user_id))


async def care_team(conn: AsyncConnection) -> list[Person]:
    """Everybody whose time is counted, for names beside time entries and for new log-ins."""
    return await many(
        conn,
        Person,
        """
        SELECT id, name, credential, 'staff' AS kind FROM staff WHERE practice_id = current_practice()
        UNION ALL
        SELECT id, name, credential, 'practitioner' FROM practitioner WHERE practice_id = current_practice()
        ORDER BY name, id
        """,
    )


async def practice_phone(conn: AsyncConnection) -> str | None:
    """The number patients call."""
    cursor = await conn.execute("SELECT phone FROM practice WHERE id = current_practice()")
    row = await cursor.fetchone()
    return str(row[0]) if row is not None and row[0] else None
