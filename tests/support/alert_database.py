"""Rows an alert test starts from: a practice, a patient with devices, and readings as ingest writes them."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import psycopg

PRACTICE = "pr-test"
PATIENT = "pt-test"
NURSE = "us-nurse"
OTHER_NURSE = "us-other"
CUFF = "bp-test"
METER = "gl-test"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def provision(dsn: str, *patients: str) -> None:
    """One practice with two nurses and these patients, each with a cuff and a meter of their own."""
    with psycopg.connect(dsn) as conn:
        conn.execute("INSERT INTO practice (id, name, time_zone) VALUES (%s, 'x', 'UTC')", (PRACTICE,))
        for user in (NURSE, OTHER_NURSE):
            conn.execute(
                "INSERT INTO app_user (id, practice_id, login, password_hash, role, display_name)"
                " VALUES (%s, %s, %s, 'x', 'nurse', 'x')",
                (user, PRACTICE, user),
            )
        for patient in patients or (PATIENT,):
            conn.execute("INSERT INTO patient (id, practice_id, name) VALUES (%s, %s, 'x')", (patient, PRACTICE))
            for device, kind in ((cuff_of(patient), "blood-pressure"), (meter_of(patient), "glucose")):
                conn.execute("INSERT INTO device (id, practice_id, kind) VALUES (%s, %s, %s)", (device, PRACTICE, kind))
                conn.execute(
                    "INSERT INTO device_assignment (practice_id, device_id, patient_id, valid)"
                    " VALUES (%s, %s, %s, tstzrange('2026-01-01', NULL))",
                    (PRACTICE, device, patient),
                )


def cuff_of(patient: str) -> str:
    return f"{CUFF}-{patient}"


def meter_of(patient: str) -> str:
    return f"{METER}-{patient}"


def blood_pressure(sys: str, dia: str) -> list[dict[str, Any]]:
    return [component("systolic", sys), component("diastolic", dia)]


def glucose(value: str | None, absent: str | None = None) -> list[dict[str, Any]]:
    return [component("glucose", value, "mg/dL", absent)]


def component(metric: str, value: str | None, unit: str = "mm[Hg]", absent: str | None = None) -> dict[str, Any]:
    return {"metric": metric, "value": value, "unit": unit, "absent_reason": absent}


def store_reading(
    dsn: str,
    components: list[dict[str, Any]],
    *,
    patient: str = PATIENT,
    kind: str = "blood-pressure",
    measured_at: datetime = NOW,
    enqueued_at: datetime | None = None,
    flags: tuple[str, ...] = (),
) -> uuid.UUID:
    """A reading and its work row in one transaction, written by the ingest role."""
    message_id = uuid.uuid4()
    device = meter_of(patient) if kind == "glucose" else cuff_of(patient)
    with psycopg.connect(dsn, options="-c role=vw_ingest") as conn:
        conn.execute(
            """
            INSERT INTO observation (message_id, practice_id, patient_id, gateway_id, device_id, kind, measured_at,
                received_at, local_date, entry, memory, time_quality, components, flags, verdict)
            VALUES (%s, %s, %s, 'gw-0123456789', %s, %s, %s, %s, %s, 'automatic', 'live', 'synchronised', %s, %s,
                'accepted')
            """,
            (message_id, PRACTICE, patient, device, kind, measured_at, measured_at, measured_at.date(),
             json.dumps(components), list(flags)),
        )  # fmt: skip
        conn.execute(
            "INSERT INTO alert_work (practice_id, patient_id, message_id, measured_at, enqueued_at)"
            " VALUES (%s, %s, %s, %s, %s)",
            (PRACTICE, patient, message_id, measured_at, enqueued_at or measured_at),
        )
        conn.execute("SELECT pg_notify('vw_alert_work', '')")
    return message_id


def rows(dsn: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Rows as the owner of the database sees them."""
    with psycopg.connect(dsn) as conn:
        return conn.execute(query, parameters).fetchall()
