"""Readings as the pages see them, through the view of the tenant. SQL beside the function that runs it.

Input: a connection with the practice of its transaction set. Output: frozen rows, newest first where there is an order.
Only the ingest process writes readings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from server.db.pool import AsyncConnection
from server.db.rows import many, one

# What the quality gate lets count as the patient's own value; `accepted` is what nobody has judged yet.
USABLE = ("accepted", "ok", "suspect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One reading of a patient. `components` as stored: metric, value, unit, absent_reason."""

    message_id: str
    device_id: str
    kind: str
    measured_at: datetime
    received_at: datetime
    local_date: date | None
    time_quality: str
    components: list[dict[str, Any]]
    context: dict[str, Any]
    flags: list[str]
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingDay:
    """One calendar day of the patient and how many usable readings it has."""

    day: date
    readings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldReading:
    """A reading that belongs to nobody yet. No value: whoever assigns a device needs none."""

    message_id: str
    gateway_id: str
    device_id: str
    kind: str
    measured_at: datetime
    received_at: datetime
    verdict: str
    device_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How fast readings came in lately: counts and the longest way from the home box to the database, in seconds."""

    readings: int
    last_stored_at: datetime | None
    median_seconds: Decimal | None
    worst_seconds: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Everything the database knows of one reading's way. No value."""

    message_id: str
    device_id: str
    gateway_id: str
    patient_id: str | None
    kind: str
    device_time: str | None
    measured_at: datetime
    clock_offset_seconds: Decimal | None
    time_quality: str
    sequence_number: int | None
    received_at: datetime
    stored_at: datetime
    stored_verdict: str
    judged_at: datetime | None
    judged_verdict: str | None
    alert_id: str | None
    alert_at: datetime | None
    paged_at: datetime | None
    shown_at: datetime | None


_OBSERVATION = """
    SELECT message_id::text, device_id, kind, measured_at, received_at, local_date, time_quality, components, context,
           flags, judged_verdict AS verdict
    FROM observation_of_practice
"""


async def latest(conn: AsyncConnection, patient_id: str, *, limit: int = 20) -> list[Observation]:
    """The last readings of a patient, newest first, whatever was said about their quality."""
    return await many(
        conn,
        Observation,
        _OBSERVATION + "WHERE patient_id = %s ORDER BY measured_at DESC, message_id LIMIT %s",
        (patient_id, limit),
    )


async def since(conn: AsyncConnection, patient_id: str, *, kind: str, start: datetime) -> list[Observation]:
    """Usable readings of one kind from an instant on, oldest first. At most 1,000."""
    return await many(
        conn,
        Observation,
        _OBSERVATION
        + """
        WHERE patient_id = %s AND kind = %s AND measured_at >= %s AND judged_verdict = ANY(%s)
        ORDER BY measured_at, message_id
        LIMIT 1000
        """,
        (patient_id, kind, start, list(USABLE)),
    )


async def reading_days(conn: AsyncConnection, patient_id: str, *, first: date, last: date) -> list[ReadingDay]:
    """Days on which the patient measured, for the patient's own calendar. Billing counts its days itself."""
    return await many(
        conn,
        ReadingDay,
        """
        SELECT local_date AS day, count(*)::int AS readings
        FROM observation_of_practice
        WHERE patient_id = %s AND local_date BETWEEN %s AND %s AND judged_verdict = ANY(%s)
        GROUP BY local_date
        ORDER BY local_date
        """,
        (patient_id, first, last, list(USABLE)),
    )


async def held(conn: AsyncConnection, *, limit: int = 100) -> list[HeldReading]:
    """Readings without a patient, newest first."""
    return await many(
        conn,
        HeldReading,
        """
        SELECT o.message_id::text, o.gateway_id, o.device_id, o.kind, o.measured_at, o.received_at, o.verdict,
               d.id IS NOT NULL AS device_known
        FROM observation_of_practice o
        LEFT JOIN device d ON d.id = o.device_id
        WHERE o.patient_id IS NULL AND o.verdict IN ('held-unknown-device', 'held-unassigned')
        ORDER BY o.received_at DESC, o.message_id
        LIMIT %s
        """,
        (limit,),
    )


async def flow(conn: AsyncConnection, *, start: datetime) -> Flow:
    """Readings stored from `start` on, and how long they took from the home box."""
    found = await one(
        conn,
        Flow,
        """
        SELECT count(*)::int AS readings, max(stored_at) AS last_stored_at,
               (percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM stored_at - received_at)))::numeric
                   AS median_seconds,
               max(extract(epoch FROM stored_at - received_at)) AS worst_seconds
        FROM observation_of_practice
        WHERE stored_at >= %s
        """,
        (start,),
    )
    return found or Flow(readings=0, last_stored_at=None, median_seconds=None, worst_seconds=None)


async def recent(conn: AsyncConnection, *, limit: int = 25) -> list[HeldReading]:
    """The newest readings of the practice, by when they arrived; no values."""
    return await many(
        conn,
        HeldReading,
        """
        SELECT o.message_id::text, o.gateway_id, o.device_id, o.kind, o.measured_at, o.received_at,
               o.judged_verdict AS verdict, d.id IS NOT NULL AS device_known
        FROM observation_of_practice o
        LEFT JOIN device d ON d.id = o.device_id
        ORDER BY o.received_at DESC, o.message_id
        LIMIT %s
        """,
        (limit,),
    )


async def trace(conn: AsyncConnection, message_id: str) -> Trace | None:
    """One reading through all its stamps; None when the practice has no such reading."""
    return await one(
        conn,
        Trace,
        """
        SELECT o.message_id::text, o.device_id, o.gateway_id, o.patient_id, o.kind, o.device_time, o.measured_at,
               o.clock_offset_seconds, o.time_quality, o.sequence_number, o.received_at, o.stored_at,
               o.verdict AS stored_verdict, j.judged_at, j.verdict AS judged_verdict, a.alert_id, a.alert_at,
               n.paged_at, u.shown_at
        FROM observation_of_practice o
        LEFT JOIN observation_judgement j USING (message_id)
        LEFT JOIN LATERAL (
            SELECT alert.id AS alert_id, alert.opened_at AS alert_at FROM alert
            WHERE alert.patient_id = o.patient_id AND o.message_id = ANY(alert.evidence)
            ORDER BY alert.opened_at LIMIT 1
        ) a ON true
        LEFT JOIN LATERAL (
            SELECT min(created_at) AS paged_at FROM notification WHERE notification.alert_id = a.alert_id
        ) n ON true
        LEFT JOIN LATERAL (
            SELECT min(created_at) AS shown_at FROM ui_event
            WHERE ui_event.ref IN (a.alert_id, o.patient_id, o.message_id::text) AND ui_event.created_at >= o.stored_at
        ) u ON true
        WHERE o.message_id = %s
        """,
        (message_id,),
    )
