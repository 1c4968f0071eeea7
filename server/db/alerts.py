"""Alerts as the pages read them. Only the alert engine writes these rows; a person's act goes through it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.db.observations import Observation
from server.db.pool import AsyncConnection
from server.db.rows import many, one, value

# Past this nobody reads a list; the page says that it is cut, most urgent first.
WORKLIST_LIMIT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """One alert with the names a row shows."""

    id: str
    patient_id: str
    patient_name: str
    family: str
    rule: str
    severity: str
    state: str
    level: int
    text: str
    tags: list[str]
    evidence: list[str]
    opened_at: datetime
    due_at: datetime | None
    owner_id: str | None
    owner_name: str | None
    closed_at: datetime | None
    disposition: str | None
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """One step in an alert's life."""

    at: datetime
    kind: str
    actor_name: str | None
    from_state: str | None
    to_state: str | None
    detail: dict[str, Any]


_ALERT = """
    SELECT a.id, a.patient_id, p.name AS patient_name, a.family, a.rule, a.severity, a.state, a.level, a.text, a.tags,
           a.evidence::text[] AS evidence, a.opened_at, a.due_at, a.owner_id, u.display_name AS owner_name, a.closed_at,
           a.disposition, a.note
    FROM alert a
    JOIN patient p ON p.id = a.patient_id
    LEFT JOIN app_user u ON u.id = a.owner_id
    WHERE a.practice_id = current_practice()
"""


async def live_alerts(conn: AsyncConnection) -> list[AlertRow]:
    """Everything that is not closed, most severe first, then the one whose clock ends first."""
    return await many(
        conn,
        AlertRow,
        _ALERT + " AND a.state <> 'closed' ORDER BY a.severity, a.due_at NULLS LAST, a.opened_at, a.id LIMIT %s",
        (WORKLIST_LIMIT,),
    )


async def alert(conn: AsyncConnection, alert_id: str) -> AlertRow | None:
    return await one(conn, AlertRow, _ALERT + " AND a.id = %s", (alert_id,))


async def alerts_of_patient(conn: AsyncConnection, patient_id: str, *, limit: int = 8) -> list[AlertRow]:
    """Live ones first, then the newest."""
    return await many(
        conn,
        AlertRow,
        _ALERT + " AND a.patient_id = %s ORDER BY (a.state = 'closed'), a.opened_at DESC, a.id LIMIT %s",
        (patient_id, limit),
    )


async def events(conn: AsyncConnection, alert_id: str) -> list[AlertEvent]:
    """The log of one alert, oldest first."""
    return await many(
        conn,
        AlertEvent,
        """
        SELECT e.at, e.kind, u.display_name AS actor_name, e.from_state, e.to_state, e.detail
        FROM alert_event e
        LEFT JOIN app_user u ON u.id = e.actor_id
        WHERE e.alert_id = %s AND e.practice_id = current_practice()
        ORDER BY e.id
        LIMIT 200
        """,
        (alert_id,),
    )


async def profile_of_patient(conn: AsyncConnection, patient_id: str) -> dict[str, Any]:
    """The patient's own limits, where they differ from the rule set's."""
    profile = await value(
        conn, "SELECT alert_profile FROM patient WHERE id = %s AND practice_id = current_practice()", (patient_id,)
    )
    return dict(profile)


async def readings_since(conn: AsyncConnection, patient_id: str, *, start: datetime) -> list[Observation]:
    """All readings of a patient from an instant on, oldest first, with what the quality gate said: a nurse must also
    see what was not counted. The newest 2,000."""
    newest = await many(
        conn,
        Observation,
        """
        SELECT message_id::text, device_id, kind, measured_at, received_at, local_date, time_quality, components,
               context, flags, judged_verdict AS verdict
        FROM observation_of_practice
        WHERE patient_id = %s AND measured_at >= %s
        ORDER BY measured_at DESC, message_id
        LIMIT 2000
        """,
        (patient_id, start),
    )
    return newest[::-1]
