"""Rejected payloads: list them, show one, give one (or all of a reason) to ingest again after a fix.

Input: a connection of the role `vw_ingest`. Output: rows of the dead-letter table; a replay's outcome. A replayed
payload takes the same way as a new one: what was stored meanwhile is not stored twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from server.db.pool import AsyncConnection
from server.ingest.accept import Accepted, Rejected, accept
from server.ingest.write import store

_COLUMNS: Final = "id, practice_id, gateway_id, topic, message_id, reason, detail, received_at, replayed_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One refused payload, without the payload itself: it may hold a patient's values."""

    id: int
    practice_id: str | None
    gateway_id: str | None
    topic: str
    message_id: str | None
    reason: str
    detail: str
    received_at: datetime
    replayed_at: datetime | None


async def listing(
    conn: AsyncConnection, *, reason: str | None = None, waiting_only: bool = True, limit: int = 100
) -> list[DeadLetter]:
    """The newest first."""
    async with conn.cursor(row_factory=class_row(DeadLetter)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM dead_letter"  # noqa: S608 - our own constant
            " WHERE (%(reason)s::text IS NULL OR reason = %(reason)s) AND (NOT %(waiting)s OR replayed_at IS NULL)"
            " ORDER BY id DESC LIMIT %(limit)s",
            {"reason": reason, "waiting": waiting_only, "limit": limit},
        )
        return await cursor.fetchall()


async def show(conn: AsyncConnection, letter_id: int) -> tuple[DeadLetter, bytes] | None:
    """One letter and its payload."""
    async with conn.cursor(row_factory=class_row(DeadLetter)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM dead_letter WHERE id = %s", (letter_id,))  # noqa: S608
        letter = await cursor.fetchone()
    if letter is None:
        return None
    payload = await (await conn.execute("SELECT payload FROM dead_letter WHERE id = %s", (letter_id,))).fetchone()
    return None if payload is None else (letter, bytes(payload[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a replay did with the readings of one letter."""

    letter_id: int
    new: int
    already: int
    reasons: tuple[str, ...]


async def replay(conn: AsyncConnection, letter_id: int) -> Replay | None:
    """Judge the payload again with today's code and data. It stays a waiting dead letter when refused again."""
    found = await show(conn, letter_id)
    if found is None:
        return None
    letter, payload = found
    results = accept(letter.topic, payload, await _practices(conn, letter.gateway_id))
    accepted = [item for item in results if isinstance(item, Accepted)]
    rejected = [item for item in results if isinstance(item, Rejected)]
    async with conn.transaction():
        outcome = await store(conn, accepted, rejected)
        if not outcome.rejected:
            await conn.execute("UPDATE dead_letter SET replayed_at = clock_timestamp() WHERE id = %s", (letter_id,))
    return Replay(
        letter_id=letter_id,
        new=sum(outcome.new.values()),
        already=outcome.already,
        reasons=tuple(item.reason for item in outcome.rejected),
    )


async def _practices(conn: AsyncConnection, gateway_id: str | None) -> Mapping[str, str]:
    cursor = await conn.execute("SELECT id, practice_id FROM gateway WHERE id = %s", (gateway_id,))
    return dict(await cursor.fetchall())
