"""What a replay reads: SQL beside the functions that run it, page by page of patients, in one read-only snapshot.

Input: a DSN whose user may take the role `vw_alerts`. Output: patients with their stored readings as the engine takes
them, and the log of what was raised. Memory: one page of patients.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import psycopg
from psycopg.rows import class_row, tuple_row

from alerts.model import Reading
from alerts.observation import to_reading
from alerts.tables import AsyncConnection, Patient
from alerts.worker import connect

# Twenty-five patients with four readings a day are some 10,000 rows in memory; larger pages are not faster.
PAGE: Final = 25


class DatabaseNotReachedError(Exception):
    """The database does not answer, or broke off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One step of an alert that was raised."""

    patient_id: str
    alert_id: str
    family: str
    at: datetime
    kind: str
    from_state: str | None
    to_state: str
    severity: str
    rule: str
    evidence: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One patient with all that a replay needs. `recorded_at`: when the assignment became known to the server."""

    patient: Patient
    recorded_at: datetime | None
    readings: list[Reading] = field(default_factory=list)
    log: list[LogRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    patient_id: str
    message_id: uuid.UUID
    kind: str
    device_id: str
    measured_at: datetime
    arrived_at: datetime
    local_date: date | None
    sequence_number: int | None
    user_id: int | None
    components: list[dict[str, Any]]
    flags: list[str]


@asynccontextmanager
async def snapshot(dsn: str) -> AsyncIterator[AsyncConnection]:
    """A read-only transaction in which nothing changes. Raises `DatabaseNotReachedError`."""
    try:
        async with await connect(dsn) as conn, conn.transaction():
            await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield conn
    except psycopg.OperationalError as error:
        raise DatabaseNotReachedError from error


async def practice_exists(conn: AsyncConnection, practice_id: str) -> bool:
    cursor = await conn.execute("SELECT 1 FROM practice WHERE id = %s", (practice_id,))
    return await cursor.fetchone() is not None


async def count_patients(conn: AsyncConnection, *, practice_id: str | None, until: datetime) -> int:
    cursor = await conn.execute(
        """
        SELECT count(DISTINCT patient_id)
        FROM device_assignment
        WHERE lower(valid) < %(until)s AND (%(practice)s::text IS NULL OR practice_id = %(practice)s)
        """,
        {"practice": practice_id, "until": until},
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def stored_patients(
    conn: AsyncConnection, *, practice_id: str | None, earliest: datetime, until: datetime
) -> AsyncIterator[Stored]:
    """Patients who ever had a device, by identifier, with the readings that arrived from `earliest` to `until`."""
    after = ""
    while page := await _page(conn, after=after, practice_id=practice_id, until=until):
        by_id = {stored.patient.patient_id: stored for stored in page}
        await _fill_readings(conn, by_id, earliest=earliest, until=until)
        await _fill_log(conn, by_id, earliest=earliest, until=until)
        for stored in page:
            yield stored
        after = page[-1].patient.patient_id


async def _page(conn: AsyncConnection, *, after: str, practice_id: str | None, until: datetime) -> list[Stored]:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            """
            SELECT p.id, p.practice_id, p.alert_profile, coalesce(a.kinds, '{}'), a.since, a.recorded_at
            FROM patient p
            LEFT JOIN LATERAL (
                SELECT array_agg(DISTINCT d.kind) AS kinds, min(lower(da.valid)) AS since,
                    min(da.recorded_at) AS recorded_at
                FROM device_assignment da
                JOIN device d ON d.id = da.device_id
                WHERE da.patient_id = p.id AND da.valid @> %(until)s
            ) a ON true
            WHERE p.id > %(after)s
              AND (%(practice)s::text IS NULL OR p.practice_id = %(practice)s)
              AND EXISTS (
                  SELECT 1 FROM device_assignment da WHERE da.patient_id = p.id AND lower(da.valid) < %(until)s
              )
            ORDER BY p.id
            LIMIT %(page)s
            """,
            {"after": after, "practice": practice_id, "until": until, "page": PAGE},
        )
        return [
            Stored(
                patient=Patient(
                    patient_id=row[0],
                    practice_id=row[1],
                    state=None,
                    profile=row[2],
                    device_kinds=tuple(row[3]),
                    assigned_at=row[4],
                ),
                recorded_at=row[5],
            )
            for row in await cursor.fetchall()
        ]


async def _fill_readings(
    conn: AsyncConnection, by_id: dict[str, Stored], *, earliest: datetime, until: datetime
) -> None:
    """Readings in the order of arrival: as judged, else as it waits, else (judged by an older version) as stored."""
    async with conn.cursor(row_factory=class_row(_Row)) as cursor:
        await cursor.execute(
            """
            SELECT * FROM (
                SELECT o.patient_id, o.message_id, o.kind, o.device_id, o.measured_at,
                    coalesce(j.arrived_at, w.enqueued_at, o.stored_at) AS arrived_at,
                    o.local_date, o.sequence_number, o.user_id, o.components, o.flags
                FROM observation_of_practice o
                LEFT JOIN observation_judgement j ON j.message_id = o.message_id
                LEFT JOIN alert_work w ON w.patient_id = o.patient_id AND w.message_id = o.message_id
                WHERE o.patient_id = ANY(%(patients)s) AND o.verdict = 'accepted'
            ) r
            WHERE arrived_at >= %(earliest)s AND arrived_at < %(until)s
            ORDER BY patient_id, arrived_at, message_id
            """,
            {"patients": list(by_id), "earliest": earliest, "until": until},
        )
        async for row in cursor:
            reading = to_reading(
                message_id=str(row.message_id),
                kind=row.kind,
                device_id=row.device_id,
                measured_at=row.measured_at,
                arrived_at=row.arrived_at,
                local_date=row.local_date,
                sequence_number=row.sequence_number,
                user_id=row.user_id,
                components=row.components,
                flags=row.flags,
            )
            if reading is not None:
                by_id[row.patient_id].readings.append(reading)


async def _fill_log(conn: AsyncConnection, by_id: dict[str, Stored], *, earliest: datetime, until: datetime) -> None:
    async with conn.cursor(row_factory=class_row(LogRow)) as cursor:
        await cursor.execute(
            """
            SELECT e.patient_id, e.alert_id, a.family, e.at, e.kind, e.from_state, e.to_state,
                e.detail ->> 'severity' AS severity, e.detail ->> 'rule' AS rule,
                ARRAY(SELECT jsonb_array_elements_text(e.detail -> 'evidence')) AS evidence
            FROM alert a
            JOIN alert_event e ON e.alert_id = a.id
            WHERE a.patient_id = ANY(%(patients)s) AND e.at < %(until)s AND e.kind <> 'retake_asked'
              AND (e.at >= %(earliest)s OR a.family = 'tech.gateway')
            ORDER BY e.patient_id, e.id
            """,
            {"patients": list(by_id), "earliest": earliest, "until": until},
        )
        async for row in cursor:
            by_id[row.patient_id].log.append(row)
