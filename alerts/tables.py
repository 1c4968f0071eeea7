"""The alert tables: SQL beside the functions that run it. Every function takes a connection and never commits.

Input: a connection of the role `vw_alerts`. Output: frozen values of the pure engine, and rows written from them.
Everything is set-based: the cost of a batch hardly depends on the number of patients in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import msgspec
import psycopg
from psycopg.rows import class_row, tuple_row

from alerts import wording
from alerts.model import Alert, Judgement, NotificationDue, Output, RetakeAsked, State, Transition
from alerts.state import PatientState, decode_state, encode_state

AsyncConnection: TypeAlias = psycopg.AsyncConnection[Any]

# Namespace of alert identities: the same patient and number give the same id, so that a replay gives the same rows.
_ALERT_NAMESPACE: Final = uuid.UUID("0c1a64a8-5a6e-5d0d-8f35-3a2f4b0f6a57")
# A step this much after its due time was held up by an outage, and says so.
LATE_AFTER: Final = timedelta(minutes=1)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the engine made of one patient in this batch."""

    patient: Patient
    state: PatientState
    due_at: datetime | None
    outputs: tuple[Output, ...]
    ruleset: str


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


# --- write --------------------------------------------------------------------------------------------------------


async def write(conn: AsyncConnection, results: Sequence[Result], *, done: Sequence[int], now: datetime) -> None:
    """Write what the engine said and delete the work it was said about: one transaction with the judgement."""
    if not results:
        return
    await _write_states(conn, results)
    await _write_judgements(conn, results)
    touched = [item for result in results for item in _touched(result)]
    if touched:
        await _write_alerts(conn, touched)
        await _write_events(conn, results)
        await _write_notifications(conn, results, now=now)
        await conn.execute(
            "SELECT emit_ui_event(practice, 'alert', alert) FROM unnest(%s::text[], %s::text[]) AS t (practice, alert)",
            (
                [r.patient.practice_id for r, _ in touched],
                [alert_id(r.patient.patient_id, a.number) for r, a in touched],
            ),
        )
    if done:
        await conn.execute("DELETE FROM alert_work WHERE id = ANY(%s)", (list(done),))


async def _write_states(conn: AsyncConnection, results: Sequence[Result]) -> None:
    await conn.execute(
        """
        UPDATE alert_patient_state s
        SET state = t.state::jsonb, due_at = t.due_at, gateway_offline = t.offline, updated_at = clock_timestamp()
        FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::boolean[]) AS t (patient_id, state, due_at, offline)
        WHERE s.patient_id = t.patient_id
        """,
        (
            [r.patient.patient_id for r in results],
            [encode_state(r.state).decode() for r in results],
            [r.due_at for r in results],
            [r.state.gateway_offline for r in results],
        ),
    )


async def _write_judgements(conn: AsyncConnection, results: Sequence[Result]) -> None:
    judged = [(r, o) for r in results for o in r.outputs if isinstance(o, Judgement)]
    if judged:
        await conn.execute(
            """
            INSERT INTO observation_judgement (message_id, practice_id, patient_id, verdict)
            SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[])
            ON CONFLICT DO NOTHING
            """,
            (
                [o.reading_id for _, o in judged],
                [r.patient.practice_id for r, _ in judged],
                [r.patient.patient_id for r, _ in judged],
                [o.verdict.value for _, o in judged],
            ),
        )


def _touched(result: Result) -> Iterable[tuple[Result, Alert]]:
    """Alerts that something happened to, as they are at the end, the older of a family first."""
    latest = {o.alert.number: o.alert for o in result.outputs if isinstance(o, Transition)}
    final = {a.number: a for a in (*result.state.closed.values(), *result.state.live.values())}
    return [(result, final.get(number, latest[number])) for number in sorted(latest)]


async def _write_alerts(conn: AsyncConnection, touched: Sequence[tuple[Result, Alert]]) -> None:
    async with conn.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO alert (id, practice_id, patient_id, number, previous_id, family, rule, severity, state, level,
                reopened, text, tags, evidence, ruleset, opened_at, changed_at, due_at, owner_id, claimed_at, closed_at,
                disposition, note)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::uuid[], %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (id) DO UPDATE SET
                rule = excluded.rule, severity = excluded.severity, state = excluded.state, level = excluded.level,
                reopened = excluded.reopened, text = excluded.text, tags = excluded.tags, evidence = excluded.evidence,
                ruleset = excluded.ruleset, changed_at = excluded.changed_at, due_at = excluded.due_at,
                owner_id = excluded.owner_id, claimed_at = excluded.claimed_at, closed_at = excluded.closed_at,
                disposition = excluded.disposition, note = excluded.note
            """,
            [_alert_row(result, alert) for result, alert in touched],
        )


def _alert_row(result: Result, alert: Alert) -> tuple[Any, ...]:
    patient = result.patient
    return (
        alert_id(patient.patient_id, alert.number),
        patient.practice_id,
        patient.patient_id,
        alert.number,
        alert_id(patient.patient_id, alert.previous) if alert.previous is not None else None,
        alert.family,
        alert.rule,
        alert.severity.value,
        alert.state.value,
        alert.level,
        alert.reopened,
        wording.sentence(alert),
        list(alert.tags),
        list(alert.evidence),
        result.ruleset,
        alert.opened_at,
        alert.changed_at,
        alert.due_at(),
        alert.owner,
        alert.claimed_at,
        alert.closed_at,
        alert.disposition,
        alert.note,
    )


async def _write_events(conn: AsyncConnection, results: Sequence[Result]) -> None:
    rows = [_event_row(result, output) for result in results for output in result.outputs]
    async with conn.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO alert_event
                (practice_id, patient_id, alert_id, at, kind, actor_id, from_state, to_state, detail)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb)
            """,
            [row for row in rows if row is not None],
        )


def _event_row(result: Result, output: Output) -> tuple[Any, ...] | None:
    """A transition or an asked retake as a row of the log; other outputs have tables of their own."""
    patient = result.patient
    before: State | None
    if isinstance(output, RetakeAsked):
        alert, actor = output.alert, None
        at, kind, before = alert.changed_at, "retake_asked", alert.state
        detail: dict[str, Any] = {"reading": output.reading_id, "ask_at": output.ask_at, "until": output.until}
    elif isinstance(output, Transition):
        alert, actor = output.alert, output.actor
        at, kind, before = output.at, output.kind, output.from_state
        detail = output.detail | {
            "severity": alert.severity.value,
            "level": alert.level,
            "rule": alert.rule,
            "ruleset": result.ruleset,
            # One more reading is one more identifier; every other step names all it stands on.
            "evidence": alert.evidence[-1:] if kind == "evidence" else alert.evidence,
        }
    else:
        return None
    return (
        patient.practice_id,
        patient.patient_id,
        alert_id(patient.patient_id, alert.number),
        at,
        kind,
        actor,
        before.value if before is not None else None,
        alert.state.value,
        msgspec.json.encode(detail).decode(),
    )


async def _write_notifications(conn: AsyncConnection, results: Sequence[Result], *, now: datetime) -> None:
    due = [(r, o) for r in results for o in r.outputs if isinstance(o, NotificationDue)]
    if due:
        async with conn.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO notification (practice_id, alert_id, level, due_at, late) VALUES (%s, %s, %s, %s, %s)",
                [
                    (
                        r.patient.practice_id,
                        alert_id(r.patient.patient_id, o.alert.number),
                        o.level,
                        o.due_at,
                        now - o.due_at > LATE_AFTER,
                    )
                    for r, o in due
                ],
            )


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
