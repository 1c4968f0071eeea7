"""Patients and what does not change often about them: SQL beside the function that runs it.

Input: a connection with the practice of its transaction set, and ids. Output: frozen rows. Nothing here commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg.types.json import Jsonb

from server.db.pool import AsyncConnection
from server.db.rows import changed, many, one, value

PAGE_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One row of `patient`, with the zone the patient lives in now."""

    id: str
    practice_id: str
    name: str
    birth_on: date | None
    sex: str | None
    phone: str | None
    language: str
    established_on: date | None
    qualified_medicare_beneficiary: bool
    goal: str | None
    discharged_on: date | None
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A diagnosis and what was attested about it."""

    icd10: str
    chronic_12_months: bool
    significant_risk: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MedicationChange:
    """A change of medicine on a day, in the words of who recorded it."""

    changed_on: date
    description: str


async def insert_patient(
    conn: AsyncConnection,
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
    patient_id: str | None = None,
) -> str:
    """A new patient and the zone that decides to which calendar day a reading belongs. Returns the id."""
    new_id = str(
        await value(
            conn,
            """
        INSERT INTO patient (id, practice_id, name, birth_on, sex, phone, language, established_on, goal, alert_profile)
        VALUES (coalesce(%s, new_id('pt')), %s, %s, %s, %s, %s, %s, %s, %s, %s)
        RETURNING id
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
    )
    await conn.execute(
        "INSERT INTO patient_zone (patient_id, practice_id, from_on, zone) VALUES (%s, %s, %s, %s)",
        (new_id, practice_id, zone_from, zone),
    )
    return new_id


_PATIENT = """
    SELECT p.id, p.practice_id, p.name, p.birth_on, p.sex, p.phone, p.language, p.established_on,
           p.qualified_medicare_beneficiary, p.goal, p.discharged_on, coalesce(z.zone, r.time_zone) AS zone
    FROM patient p
    JOIN practice r ON r.id = p.practice_id
    LEFT JOIN LATERAL (
        SELECT zone FROM patient_zone WHERE patient_id = p.id AND from_on <= current_date ORDER BY from_on DESC LIMIT 1
    ) z ON true
"""


async def patient(conn: AsyncConnection, patient_id: str) -> Patient | None:
    """One patient of the transaction's practice, or None: another practice's patient does not exist here."""
    return await one(conn, Patient, _PATIENT + "WHERE p.id = %s AND p.practice_id = current_practice()", (patient_id,))


async def patients(conn: AsyncConnection, *, search: str = "", limit: int = PAGE_LIMIT) -> list[Patient]:
    """Patients of the transaction's practice by name; `search` matches a part of the name or the exact id."""
    pattern = "%" + search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
    return await many(
        conn,
        Patient,
        _PATIENT
        + """
            WHERE p.practice_id = current_practice() AND (p.name ILIKE %s OR p.id = %s)
            ORDER BY p.name, p.id
            LIMIT %s
            """,
        (pattern, search, limit),
    )


async def update_patient(
    conn: AsyncConnection,
    patient_id: str,
    *,
    name: str,
    birth_on: date | None,
    phone: str | None,
    language: str,
    goal: str | None,
) -> bool:
    """Correct what a person may correct about a patient. False when the practice has no such patient."""
    return await changed(
        conn,
        """
            UPDATE patient SET name = %s, birth_on = %s, phone = %s, language = %s, goal = %s
            WHERE id = %s AND practice_id = current_practice()
            """,
        (name, birth_on, phone, language, goal, patient_id),
    )


async def alert_profile(conn: AsyncConnection, patient_id: str) -> dict[str, Any]:
    """The patient's own limits over the alert rule set; empty when there are none."""
    return dict(
        await value(
            conn,
            "SELECT alert_profile FROM patient WHERE id = %s AND practice_id = current_practice()",
            (patient_id,),
        )
    )


async def set_zone(conn: AsyncConnection, patient_id: str, *, practice_id: str, from_on: date, zone: str) -> None:
    """The zone a patient lives in from a date on; earlier reading days keep the zone they had."""
    await conn.execute(
        """
        INSERT INTO patient_zone (patient_id, practice_id, from_on, zone) VALUES (%s, %s, %s, %s)
        ON CONFLICT (patient_id, from_on) DO UPDATE SET zone = excluded.zone
        """,
        (patient_id, practice_id, from_on, zone),
    )


async def insert_condition(
    conn: AsyncConnection,
    *,
    practice_id: str,
    patient_id: str,
    icd10: str,
    chronic_12_months: bool,
    significant_risk: bool,
    attested_by: str | None,
) -> None:
    """A diagnosis; recording it again replaces what was attested."""
    await conn.execute(
        """
        INSERT INTO patient_condition (practice_id, patient_id, icd10, chronic_12_months, significant_risk, attested_by)
        VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT ON CONSTRAINT patient_condition_once DO UPDATE
            SET chronic_12_months = excluded.chronic_12_months,
                significant_risk = excluded.significant_risk,
                attested_by = excluded.attested_by
        """,
        (practice_id, patient_id, icd10, chronic_12_months, significant_risk, attested_by),
    )


async def conditions(conn: AsyncConnection, patient_id: str) -> list[Condition]:
    return await many(
        conn,
        Condition,
        """
            SELECT icd10, chronic_12_months, significant_risk FROM patient_condition
            WHERE patient_id = %s AND practice_id = current_practice()
            ORDER BY icd10
            """,
        (patient_id,),
    )


async def insert_medication_change(
    conn: AsyncConnection,
    *,
    practice_id: str,
    patient_id: str,
    changed_on: date,
    description: str,
    recorded_by: str | None,
) -> None:
    await conn.execute(
        """
        INSERT INTO medication_change (practice_id, patient_id, changed_on, description, recorded_by)
        VALUES (%s, %s, %s, %s, %s)
        """,
        (practice_id, patient_id, changed_on, description, recorded_by),
    )


async def medication_changes(conn: AsyncConnection, patient_id: str, *, limit: int = 20) -> list[MedicationChange]:
    """Newest first."""
    return await many(
        conn,
        MedicationChange,
        """
            SELECT changed_on, description FROM medication_change
            WHERE patient_id = %s AND practice_id = current_practice()
            ORDER BY changed_on DESC, id
            LIMIT %s
            """,
        (patient_id, limit),
    )
