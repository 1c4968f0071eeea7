"""Append to the audit log: who did what to which row. The database numbers and chains the rows.

Input: an actor, an action word, an entity and its id; `detail` holds ids and field names, never a value, name or note.
"""

from __future__ import annotations

from collections.abc import Mapping

from psycopg.types.json import Jsonb

from server.db.pool import AsyncConnection


async def append_audit(
    conn: AsyncConnection,
    *,
    practice_id: str,
    actor: str,
    action: str,
    entity: str,
    entity_id: str,
    detail: Mapping[str, str | int | list[str]] | None = None,
) -> None:
    """One row, in the transaction of the act itself: what was not audited did not happen."""
    await conn.execute(
        "INSERT INTO audit (practice_id, seq, at, actor, action, entity, entity_id, detail, prev, hash)"
        " VALUES (%s, 0, now(), %s, %s, %s, %s, %s, '', '')",  # seq, at, prev and hash are set by the trigger
        (practice_id, actor, action, entity, entity_id, Jsonb(dict(detail or {}))),
    )
