"""What an operator watches: dead letters, the alert worker's backlog, the audit log. SQL beside its function.

Input: a connection with the practice of its transaction set. Output: frozen rows without a patient's value; a dead
letter's payload comes only through `dead_letter_payload`, which its caller audits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.db.pool import AsyncConnection
from server.db.rows import many, one, value


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message the server could not accept; its payload stays out of this row."""

    id: int
    gateway_id: str | None
    message_id: str | None
    reason: str
    bytes: int
    received_at: datetime
    replayed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Readings that wait to be judged."""

    waiting: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One row of the audit log with the actor's name where it is a person's."""

    seq: int
    at: datetime
    actor: str
    action: str
    entity: str
    entity_id: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditProblem:
    """A row whose hash does not follow."""

    seq: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Somebody opened a patient's record."""

    who: str
    at: datetime


async def dead_letters(conn: AsyncConnection, *, limit: int = 50) -> list[DeadLetter]:
    """Newest first."""
    return await many(
        conn,
        DeadLetter,
        """
        SELECT id, gateway_id, message_id, reason, octet_length(payload) AS bytes, received_at, replayed_at
        FROM dead_letter
        WHERE practice_id = current_practice()
        ORDER BY received_at DESC, id DESC
        LIMIT %s
        """,
        (limit,),
    )


async def dead_letter_payload(conn: AsyncConnection, letter_id: int) -> bytes | None:
    """The bytes as they came. Health data: audit the look in the same transaction."""
    cursor = await conn.execute(
        "SELECT payload FROM dead_letter WHERE id = %s AND practice_id = current_practice()", (letter_id,)
    )
    row = await cursor.fetchone()
    return bytes(row[0]) if row is not None else None


async def backlog(conn: AsyncConnection, practice_id: str) -> Backlog:
    """Of the alert worker's own connection, which sees every practice: hence the practice in the query."""
    found = await one(
        conn,
        Backlog,
        "SELECT count(*)::int AS waiting, min(enqueued_at) AS oldest_at FROM alert_work WHERE practice_id = %s",
        (practice_id,),
    )
    return found or Backlog(waiting=0, oldest_at=None)


async def audit_rows(conn: AsyncConnection, *, before: int | None, limit: int = 100) -> list[AuditRow]:
    """Newest first; `before` continues a list."""
    return await many(
        conn,
        AuditRow,
        """
        SELECT a.seq, a.at, coalesce(u.display_name, a.actor) AS actor, a.action, a.entity, a.entity_id, a.detail
        FROM audit a
        LEFT JOIN app_user u ON u.id = a.actor AND u.practice_id = a.practice_id
        WHERE a.practice_id = current_practice() AND a.seq < coalesce(%s, 9223372036854775807)
        ORDER BY a.seq DESC
        LIMIT %s
        """,
        (before, limit),
    )


async def audit_problems(conn: AsyncConnection, practice_id: str) -> list[AuditProblem]:
    """Rows that do not follow from the one before; empty when nothing was touched."""
    return await many(conn, AuditProblem, "SELECT seq, problem FROM audit_verify(%s) ORDER BY seq", (practice_id,))


async def audit_count(conn: AsyncConnection) -> int:
    return int(await value(conn, "SELECT count(*) FROM audit WHERE practice_id = current_practice()"))


async def looks_at_patient(conn: AsyncConnection, patient_id: str, *, since: datetime, but_not: str) -> list[Look]:
    """Who opened this patient's record lately, each person once with the last time; `but_not` is the patient's user."""
    return await many(
        conn,
        Look,
        """
        SELECT coalesce(u.display_name, a.actor) AS who, max(a.at) AS at
        FROM audit a
        LEFT JOIN app_user u ON u.id = a.actor AND u.practice_id = a.practice_id
        WHERE a.practice_id = current_practice() AND a.entity = 'patient' AND a.entity_id = %s AND a.action = 'open'
          AND a.at >= %s AND a.actor <> %s
        GROUP BY 1
        ORDER BY 2 DESC
        LIMIT 20
        """,
        (patient_id, since, but_not),
    )
