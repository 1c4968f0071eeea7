"""Writing what the engine said: states, judgements, alerts, their log, notifications. SQL beside its functions.

Input: a connection of the role `vw_alerts` inside a transaction, and results. Output: rows, and the work rows gone.
Set-based: the cost of a batch hardly depends on the number of patients in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from alerts import wording
from alerts.model import Alert, Judgement, NotificationDue, Output, RetakeAsked, State, Transition
from alerts.state import PatientState, encode_state
from alerts.tables import AsyncConnection, Patient, alert_id

# A step this much after its due time was held up by an outage, and says so.
LATE_AFTER: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the engine made of one patient in this batch."""

    patient: Patient
    state: PatientState
    due_at: datetime | None
    outputs: tuple[Output, ...]
    ruleset: str
    arrived: Mapping[str, datetime] = field(default_factory=dict)  # of the readings judged, by identifier


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
            INSERT INTO observation_judgement (message_id, practice_id, patient_id, verdict, arrived_at)
            SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
            ON CONFLICT DO NOTHING
            """,
            (
                [o.reading_id for _, o in judged],
                [r.patient.practice_id for r, _ in judged],
                [r.patient.patient_id for r, _ in judged],
                [o.verdict.value for _, o in judged],
                [r.arrived.get(o.reading_id) for r, o in judged],
            ),
        )


def _touched(result: Result) -> list[tuple[Result, Alert]]:
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
