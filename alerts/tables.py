"""The alert tables: SQL beside the functions that run it. Every function takes a connection and never commits.

Input: a connection of the role `vw_alerts`. Output: frozen values of the pure engine, and rows written from them.
Everything is set-based: the cost of a batch hardly depends on the number of patients in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.rows import class_row, tuple_row

from alerts.state import PatientState, decode_state

AsyncConnection: TypeAlias = psycopg.AsyncConnection[Any]

# Namespace of alert identities: the same patient and number give the same id, so that a replay gives the same rows.
_ALERT_NAMESPACE: Final = uuid.UUID("0c1a64a8-5a6e-5d0d-8f35-3a2f4b0f6a57")


def alert_id(patient_id: str, number: int) -> str:
    """Opaque, and the same whenever it is asked for."""
    return "al-" + uuid.uuid5(_ALERT_NAMESPACE, f"{patient_id}|{number}").hex[:20]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A locked patient with what the engine remembers. `state` is None before the first reading."""

    patient_id: str
    practice_id: str
    state: PatientState | None
    profile: dict[str, Any]
    device_kinds: tuple[str, ...]
    assigned_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkRow:
    """One reading that waits for judgement. `enqueued_at` is when it became this patient's in our database."""

    id: int
    patient_id: str
    message_id: uuid.UUID
    measured_at: datetime
    enqueued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReading:
    """A row of the observation view, as far as alerts need it."""

    message_id: uuid.UUID
    kind: str
    device_id: str
    measured_at: datetime
    local_date: Any
    sequence_number: int | None
    user_id: int | None
    components: list[dict[str, Any]]
    flags: list[str]


# --- read and lock ------------------------------------------------------------------------------------------------


async def lock_patients(conn: AsyncConnection, *, now: datetime, limit: int) -> list[Patient]:
    """Lock at most `limit` patients that have readings waiting or a clock run out, and that nobody else holds.

    The oldest work comes first. A patient whose row another transaction holds is left to it.
    """
    await conn.execute(
        """
        INSERT INTO alert_patient_state (patient_id, practice_id)
        SELECT DISTINCT w.patient_id, w.practice_id
        FROM (SELECT patient_id, practice_id FROM alert_work ORDER BY id LIMIT %s) w
        WHERE NOT EXISTS (SELECT 1 FROM alert_patient_state s WHERE s.patient_id = w.patient_id)
        ORDER BY 1
        ON CONFLICT DO NOTHING
        """,
        (_WORK_WINDOW,),
    )
    return await _locked(
        conn,
        """
        SELECT s.patient_id
        FROM alert_patient_state s
        WHERE s.patient_id IN (
            (SELECT patient_id FROM alert_work ORDER BY id LIMIT %(window)s)
            UNION
            (SELECT patient_id FROM alert_patient_state WHERE due_at <= %(now)s ORDER BY due_at LIMIT %(limit)s)
        )
        ORDER BY s.due_at NULLS FIRST
        LIMIT %(limit)s
        FOR UPDATE OF s SKIP LOCKED
        """,
        {"window": _WORK_WINDOW, "now": now, "limit": limit},
    )


# Readings looked at to find patients with work: large enough to fill a batch, small enough to stay an index scan.
_WORK_WINDOW: Final = 1000


async def lock_patient(conn: AsyncConnection, *, patient_id: str, practice_id: str, now: datetime) -> Patient | None:
    """Lock one patient of this practice, waiting for whoever holds it; None when there is no such patient here."""
    found = await _locked(
        conn,
        """
        SELECT patient_id
        FROM alert_patient_state
        WHERE patient_id = %(patient_id)s AND practice_id = %(practice_id)s
        FOR UPDATE
        """,
        {"patient_id": patient_id, "practice_id": practice_id, "now": now},
    )
    return found[0] if found else None


async def _locked(conn: AsyncConnection, query: Any, parameters: dict[str, Any]) -> list[Patient]:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query, parameters)
        names = [row[0] for row in await cursor.fetchall()]
    return await _load(conn, names, now=parameters["now"])


async def _load(conn: AsyncConnection, names: list[str], *, now: datetime) -> list[Patient]:
    """What the engine needs of these patients, whose rows are locked already."""
    if not names:
        return []
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            """
            SELECT
                s.patient_id,
                s.practice_id,
                s.state::text,
                p.alert_profile,
                coalesce(a.kinds, '{}'),
                a.since
            FROM alert_patient_state s
            JOIN patient p ON p.id = s.patient_id
            LEFT JOIN LATERAL (
                SELECT array_agg(DISTINCT d.kind) AS kinds, min(lower(da.valid)) AS since
                FROM device_assignment da
                JOIN device d ON d.id = da.device_id
                WHERE da.patient_id = s.patient_id AND da.valid @> %s
            ) a ON true
            WHERE s.patient_id = ANY(%s)
            """,
            (now, names),
        )
        return [
            Patient(
                patient_id=row[0],
                practice_id=row[1],
                state=decode_state(row[2]) if row[2] is not None else None,
                profile=row[3],
                device_kinds=tuple(row[4]),
                assigned_at=row[5],
            )
            for row in await cursor.fetchall()
        ]


async def waiting_work(conn: AsyncConnection, patient_ids: Sequence[str], *, limit: int) -> list[WorkRow]:
    """The readings of locked patients that wait, in the order in which they came in."""
    async with conn.cursor(row_factory=class_row(WorkRow)) as cursor:
        await cursor.execute(
            """
            SELECT id, patient_id, message_id, measured_at, enqueued_at
            FROM alert_work
            WHERE patient_id = ANY(%s)
            ORDER BY id
            LIMIT %s
            FOR UPDATE
            """,
            (list(patient_ids), limit),
        )
        return await cursor.fetchall()


async def longest_wait_seconds(conn: AsyncConnection) -> float:
    """How long the oldest stored reading has waited for its judgement, 0 when none waits."""
    cursor = await conn.execute(
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(enqueued_at)), 0) FROM alert_work"
    )
    row = await cursor.fetchone()
    assert row is not None
    return float(row[0])


async def readings(conn: AsyncConnection, work: Sequence[WorkRow]) -> dict[uuid.UUID, StoredReading]:
    """The stored readings of these work rows."""
    if not work:
        return {}
    async with conn.cursor(row_factory=class_row(StoredReading)) as cursor:
        await cursor.execute(
            """
            SELECT message_id, kind, device_id, measured_at, local_date, sequence_number, user_id, components, flags
            FROM observation_of_practice
            WHERE message_id = ANY(%s) AND measured_at = ANY(%s)
            """,
            ([w.message_id for w in work], [w.measured_at for w in work]),
        )
        return {row.message_id: row for row in await cursor.fetchall()}


async def lock_gateway_changes(
    conn: AsyncConnection, *, now: datetime, limit: int
) -> list[tuple[Patient, bool, datetime]]:
    """Lock patients whose home was lost or came back since the engine was told: patient, online, since when.

    A home is lost when every gateway that serves the patient's devices says offline (or its last will does).
    """
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            """
            SELECT s.patient_id, g.offline, g.at
            FROM (
                SELECT da.patient_id, bool_and(gs.state = 'offline') AS offline, max(gs.at) AS at
                FROM gateway_status gs
                JOIN device d ON d.gateway_id = gs.gateway_id
                JOIN device_assignment da ON da.device_id = d.id AND da.valid @> %(now)s
                GROUP BY da.patient_id
            ) g
            JOIN alert_patient_state s ON s.patient_id = g.patient_id AND s.gateway_offline <> g.offline
            WHERE s.state IS NOT NULL
            ORDER BY s.patient_id
            LIMIT %(limit)s
            FOR UPDATE OF s SKIP LOCKED
            """,
            {"now": now, "limit": limit},
        )
        changes = {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}
    patients = await _load(conn, list(changes), now=now)
    return [(p, not changes[p.patient_id][0], min(changes[p.patient_id][1], now)) for p in patients]


async def enrol_silent_patients(conn: AsyncConnection, *, now: datetime) -> int:
    """Give patients with a device but without any reading a row, so that their silence is counted too."""
    cursor = await conn.execute(
        """
        INSERT INTO alert_patient_state (patient_id, practice_id, due_at)
        SELECT da.patient_id, da.practice_id, %(now)s
        FROM device_assignment da
        WHERE da.valid @> %(now)s
          AND NOT EXISTS (SELECT 1 FROM alert_patient_state s WHERE s.patient_id = da.patient_id)
        GROUP BY da.patient_id, da.practice_id
        ORDER BY da.patient_id
        ON CONFLICT DO NOTHING
        """,
        {"now": now},
    )
    return cursor.rowcount


# --- acts of people -----------------------------------------------------------------------------------------------


async def alert_family(conn: AsyncConnection, *, alert: str, practice_id: str) -> tuple[str, str] | None:
    """Patient and family of an alert of this practice."""
    row = await (
        await conn.execute(
            "SELECT patient_id, family FROM alert WHERE id = %s AND practice_id = %s", (alert, practice_id)
        )
    ).fetchone()
    return (row[0], row[1]) if row else None


async def live_alerts(conn: AsyncConnection, *, practice_id: str | None, limit: int = 1000) -> list[dict[str, Any]]:
    """Everything that is not closed, most severe first, for a terminal. Identifiers and the reason, no names."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            """
            SELECT jsonb_build_object('id', id, 'patient', patient_id, 'family', family, 'severity', severity,
                'state', state, 'level', level, 'text', text, 'tags', tags, 'opened_at', opened_at, 'due_at', due_at,
                'owner', owner_id)
            FROM alert
            WHERE state <> 'closed' AND (%(practice)s::text IS NULL OR practice_id = %(practice)s)
            ORDER BY severity, due_at NULLS LAST, opened_at, id
            LIMIT %(limit)s
            """,
            {"practice": practice_id, "limit": limit},
        )
        return [row[0] for row in await cursor.fetchall()]
