"""SQL of time: the timers that run, and the entries a person has confirmed. Entries are appended, never edited.

Input: a connection that sees one practice. Output: timer values of `server.care.time_log`, entry rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from server.care.time_log import Piece, Timer
from server.db.pool import AsyncConnection
from server.db.rows import many, one


class OverlapError(Exception):
    """The person is already logged somewhere else in these seconds."""

    def __init__(self, clash: Clash | None) -> None:
        super().__init__("one person cannot be in two entries at once")
        self.clash = clash


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """The entry that is in the way."""

    started_at: datetime
    ended_at: datetime
    patient_id: str
    patient_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A live entry (not superseded, not voided) with the names a page shows."""

    id: str
    patient_id: str
    patient_name: str
    program: str | None
    performer_id: str
    performer_name: str
    started_at: datetime
    ended_at: datetime
    activity: str
    live: bool
    with_whom: str | None
    note: str
    alert_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerRow:
    """A timer as stored, with what was typed but not sent."""

    timer: Timer
    patient_name: str
    draft: dict[str, str]


async def lock_timers(conn: AsyncConnection, user_id: str) -> None:
    """Two tabs of one person take turns until this transaction ends."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('work_timer ' || %s, 0))", (user_id,))


async def timers_of(conn: AsyncConnection, user_id: str) -> list[TimerRow]:
    """All unconfirmed work of one person, oldest first."""
    cursor = await conn.execute(
        """
        SELECT t.patient_id, p.name, t.program, t.activity, t.alert_id, t.started_at, t.running_since, t.last_input_at,
               t.pieces, t.draft
        FROM work_timer t
        JOIN patient p ON p.id = t.patient_id
        WHERE t.user_id = %s
        ORDER BY t.started_at, t.patient_id
        LIMIT 100
        """,
        (user_id,),
    )
    return [_timer_row(row) for row in await cursor.fetchall()]


async def save_timer(conn: AsyncConnection, *, user_id: str, practice_id: str, timer: Timer) -> None:
    """Insert or replace; the draft stays as it was. A paused one must be saved before another one runs."""
    await conn.execute(
        """
        INSERT INTO work_timer (user_id, practice_id, patient_id, program, alert_id, activity, started_at,
                                running_since, last_input_at, pieces)
        VALUES (%(user)s, %(practice)s, %(patient)s, %(program)s, %(alert)s, %(activity)s, %(started_at)s,
                %(running_since)s, %(last_input_at)s, %(pieces)s)
        ON CONFLICT (user_id, patient_id) DO UPDATE SET
            program = excluded.program,
            alert_id = excluded.alert_id,
            activity = excluded.activity,
            running_since = excluded.running_since,
            last_input_at = excluded.last_input_at,
            pieces = excluded.pieces
        """,
        {
            "user": user_id,
            "practice": practice_id,
            "patient": timer.patient_id,
            "program": timer.program,
            "alert": timer.alert_id,
            "activity": timer.activity,
            "started_at": timer.started_at,
            "running_since": timer.running_since,
            "last_input_at": timer.last_input_at,
            "pieces": Jsonb([_piece_json(piece) for piece in timer.pieces]),
        },
    )


async def save_draft(conn: AsyncConnection, *, user_id: str, patient_id: str, draft: dict[str, str]) -> None:
    await conn.execute(
        "UPDATE work_timer SET draft = %s WHERE user_id = %s AND patient_id = %s", (Jsonb(draft), user_id, patient_id)
    )


async def draft_of(conn: AsyncConnection, *, user_id: str, patient_id: str) -> str:
    """What this person typed for this patient and never sent."""
    cursor = await conn.execute(
        "SELECT draft->>'note' FROM work_timer WHERE user_id = %s AND patient_id = %s", (user_id, patient_id)
    )
    row = await cursor.fetchone()
    return str(row[0]) if row and row[0] else ""


async def draft_was_sent(conn: AsyncConnection, *, user_id: str, patient_id: str, note: str) -> None:
    """The words went into an act on an alert: no longer a draft, but what the time entry will most likely say."""
    await conn.execute(
        "UPDATE work_timer SET draft = jsonb_build_object('sent', %s::text) WHERE user_id = %s AND patient_id = %s",
        (note, user_id, patient_id),
    )


async def delete_timer(conn: AsyncConnection, *, user_id: str, patient_id: str) -> None:
    await conn.execute("DELETE FROM work_timer WHERE user_id = %s AND patient_id = %s", (user_id, patient_id))


async def insert_entry(
    conn: AsyncConnection,
    *,
    practice_id: str,
    patient_id: str,
    performer_id: str,
    piece: Piece,
    live: bool,
    with_whom: str | None,
    note: str,
    alert_id: str | None,
    recorded_by: str,
) -> str:
    """One stretch of work, to the second. Raises `OverlapError` when the person is logged elsewhere in it; the
    transaction goes on."""
    try:
        async with conn.transaction():
            cursor = await conn.execute(
                """
                INSERT INTO time_entry (practice_id, patient_id, program, performer_id, started_at, ended_at, activity,
                                        live, with_whom, note, alert_id, recorded_by)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
                RETURNING id
                """,
                (
                    practice_id,
                    patient_id,
                    piece.program,
                    performer_id,
                    piece.start,
                    piece.end,
                    piece.activity,
                    live,
                    with_whom,
                    note,
                    alert_id,
                    recorded_by,
                ),
            )
            row = await cursor.fetchone()
    except psycopg.errors.ExclusionViolation as error:
        raise OverlapError(await _clash(conn, performer_id, piece)) from error
    return str(row[0]) if row else ""


async def _clash(conn: AsyncConnection, performer_id: str, piece: Piece) -> Clash | None:
    return await one(
        conn,
        Clash,
        """
        SELECT t.started_at, t.ended_at, t.patient_id, p.name AS patient_name
        FROM time_entry t
        JOIN patient p ON p.id = t.patient_id
        WHERE t.performer_id = %s AND tstzrange(t.started_at, t.ended_at) && tstzrange(%s, %s)
          AND t.superseded_at IS NULL AND t.voided_at IS NULL
        ORDER BY t.started_at
        LIMIT 1
        """,
        (performer_id, piece.start, piece.end),
    )


_ENTRY = """
    SELECT t.id, t.patient_id, p.name AS patient_name, t.program, t.performer_id,
           coalesce(s.name, d.name, t.performer_id) AS performer_name, t.started_at, t.ended_at, t.activity, t.live,
           t.with_whom, t.note, t.alert_id
    FROM time_entry t
    JOIN patient p ON p.id = t.patient_id
    LEFT JOIN staff s ON s.id = t.performer_id
    LEFT JOIN practitioner d ON d.id = t.performer_id
    WHERE t.superseded_at IS NULL AND t.voided_at IS NULL
"""


async def entries_of_patient(conn: AsyncConnection, patient_id: str, *, limit: int = 10) -> list[Entry]:
    """The newest work for one patient."""
    return await many(
        conn, Entry, _ENTRY + " AND t.patient_id = %s ORDER BY t.started_at DESC, t.id LIMIT %s", (patient_id, limit)
    )


async def entries_of_performer(conn: AsyncConnection, performer_id: str, *, since: datetime) -> list[Entry]:
    """One person's confirmed work from an instant on, oldest first."""
    return await many(
        conn,
        Entry,
        _ENTRY + " AND t.performer_id = %s AND t.ended_at > %s ORDER BY t.started_at, t.id LIMIT 500",
        (performer_id, since),
    )


def _timer_row(row: tuple[Any, ...]) -> TimerRow:
    patient_id, name, program, activity, alert_id, started_at, running_since, last_input_at, pieces, draft = row
    timer = Timer(
        patient_id=patient_id,
        program=program,
        activity=activity,
        alert_id=alert_id,
        started_at=started_at,
        running_since=running_since,
        last_input_at=last_input_at,
        pieces=tuple(
            Piece(
                start=datetime.fromisoformat(piece["start"]),
                end=datetime.fromisoformat(piece["end"]),
                program=piece["program"],
                activity=piece["activity"],
            )
            for piece in pieces
        ),
    )
    return TimerRow(timer=timer, patient_name=name, draft=draft)


def _piece_json(piece: Piece) -> dict[str, str]:
    return {
        "start": piece.start.isoformat(),
        "end": piece.end.isoformat(),
        "program": piece.program,
        "activity": piece.activity,
    }
