"""The rows a demo home is made of, written by the owner of the database with ids and moments of the past.

Input: a connection and the values of one row. Output: the row, inserted. Nothing here commits. Pages write through
`server.db`; these are apart because a seed dates its facts and names them, which a page may never do.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from psycopg.types.json import Jsonb

from server.db.pool import Connection


def insert_patient(
    conn: Connection,
    *,
    practice_id: str,
    name: str,
    zone: str,
    zone_from: date,
    birth_on: date | None = None,
    sex: str | None = None,
    phone: str | None = None,
    language: str = "en",
    established_on: date | None = None,
    goal: str | None = None,
    alert_profile: dict[str, Any] | None = None,
    patient_id: str,
) -> None:
    """A patient, and the zone that decides to which calendar day a reading belongs."""
    conn.execute(
        """
        INSERT INTO patient (id, practice_id, name, birth_on, sex, phone, language, established_on, goal, alert_profile)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            patient_id,
            practice_id,
            name,
            birth_on,
            sex,
            phone,
            language,
            established_on,
            goal,
            Jsonb(alert_profile or {}),
        ),
    )
    conn.execute(
        "INSERT INTO patient_zone (patient_id, practice_id, from_on, zone) VALUES (%s, %s, %s, %s)",
        (patient_id, practice_id, zone_from, zone),
    )


def insert_condition(
    conn: Connection,
    *,
    practice_id: str,
    patient_id: str,
    icd10: str,
    chronic_12_months: bool,
    significant_risk: bool,
    attested_by: str | None,
) -> None:
    conn.execute(
        """
        INSERT INTO patient_condition (practice_id, patient_id, icd10, chronic_12_months, significant_risk, attested_by)
        VALUES (%s, %s, %s, %s, %s, %s)
        """,
        (practice_id, patient_id, icd10, chronic_12_months, significant_risk, attested_by),
    )


def insert_medication_change(
    conn: Connection, *, practice_id: str, patient_id: str, changed_on: date, description: str, recorded_by: str | None
) -> None:
    conn.execute(
        """
        INSERT INTO medication_change (practice_id, patient_id, changed_on, description, recorded_by)
        VALUES (%s, %s, %s, %s, %s)
        """,
        (practice_id, patient_id, changed_on, description, recorded_by),
    )


def insert_enrollment(
    conn: Connection,
    *,
    practice_id: str,
    patient_id: str,
    program: str,
    practitioner_id: str,
    from_on: date,
    recorded_at: datetime,
    episode: str | None = None,
    ordered_on: date | None = None,
    diagnosis: str | None = None,
    setup_on: date | None = None,
) -> None:
    conn.execute(
        """
        INSERT INTO enrollment
            (practice_id, patient_id, program, practitioner_id, from_on, episode, ordered_on, diagnosis, setup_on,
             recorded_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            practice_id,
            patient_id,
            program,
            practitioner_id,
            from_on,
            episode,
            ordered_on,
            diagnosis,
            setup_on,
            recorded_at,
        ),
    )


def insert_consent(
    conn: Connection,
    *,
    practice_id: str,
    patient_id: str,
    program: str,
    practitioner_id: str,
    granted_at: datetime,
    form: str,
    statements: tuple[str, ...],
    language: str,
    recorded_by: str | None,
    recorded_at: datetime,
) -> None:
    conn.execute(
        """
        INSERT INTO consent
            (practice_id, patient_id, program, practitioner_id, granted_at, form, statements, language, recorded_by,
             recorded_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            practice_id,
            patient_id,
            program,
            practitioner_id,
            granted_at,
            form,
            list(statements),
            language,
            recorded_by,
            recorded_at,
        ),
    )


def insert_care_plan(
    conn: Connection,
    *,
    practice_id: str,
    patient_id: str,
    program: str,
    content: dict[str, Any],
    recorded_at: datetime,
    approved_at: datetime,
    approved_by: str,
) -> None:
    conn.execute(
        """
        INSERT INTO care_plan
            (practice_id, patient_id, program, version, content, recorded_at, approved_at, approved_by)
        VALUES (%s, %s, %s, 1, %s, %s, %s, %s)
        """,
        (practice_id, patient_id, program, Jsonb(content), recorded_at, approved_at, approved_by),
    )


def insert_visit(
    conn: Connection,
    *,
    practice_id: str,
    patient_id: str,
    kind: str,
    practitioner_id: str,
    at: datetime,
    discussed: tuple[str, ...],
    recorded_at: datetime,
) -> None:
    conn.execute(
        """
        INSERT INTO visit (practice_id, patient_id, kind, practitioner_id, at, discussed, recorded_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        (practice_id, patient_id, kind, practitioner_id, at, list(discussed), recorded_at),
    )


def insert_gateway(conn: Connection, *, practice_id: str, gateway_id: str, label: str, created_at: datetime) -> None:
    conn.execute(
        "INSERT INTO gateway (id, practice_id, label, created_at) VALUES (%s, %s, %s, %s)",
        (gateway_id, practice_id, label, created_at),
    )


def insert_device(
    conn: Connection,
    *,
    practice_id: str,
    device_id: str,
    gateway_id: str | None,
    kind: str,
    model: str | None,
    address: str | None,
    local_name: str | None,
    passkey: int | None,
    fda_defined: bool,
    created_at: datetime,
) -> None:
    conn.execute(
        """
        INSERT INTO device
            (id, practice_id, gateway_id, kind, model, address, local_name, passkey, fda_defined, created_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (device_id, practice_id, gateway_id, kind, model, address, local_name, passkey, fda_defined, created_at),
    )


def insert_assignment(
    conn: Connection,
    *,
    practice_id: str,
    device_id: str,
    patient_id: str,
    user_slot: int | None,
    from_at: datetime,
    recorded_at: datetime,
) -> None:
    conn.execute(
        """
        INSERT INTO device_assignment (practice_id, device_id, patient_id, user_slot, valid, recorded_at)
        VALUES (%s, %s, %s, %s, tstzrange(%s, NULL, '[)'), %s)
        """,
        (practice_id, device_id, patient_id, user_slot, from_at, recorded_at),
    )


def insert_gateway_config(conn: Connection, *, practice_id: str, gateway_id: str, at: datetime) -> None:
    """A first version that waits to be published."""
    conn.execute(
        "INSERT INTO gateway_config (gateway_id, practice_id, version, changed_at) VALUES (%s, %s, 1, %s)",
        (gateway_id, practice_id, at),
    )
    conn.execute("SELECT pg_notify('vw_gateway_config', %s)", (gateway_id,))
