"""Enrolments, consents, care plans, visits: the facts that make a month billable. SQL beside its function.

Input: a connection with the practice of its transaction set. Output: frozen rows. Nothing here commits. Facts are
appended; what ends is given an end, never deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from server.db.pool import AsyncConnection
from server.db.rows import changed, many, value

# What a patient must be told before consent counts (42 CFR 410.26 practice; order as they are read to the patient).
CONSENT_STATEMENTS: Final = ("availability", "cost-sharing", "one-practitioner", "right-to-stop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """One episode of one program with one practitioner; dates inclusive."""

    id: str
    program: str
    practitioner_id: str
    practitioner_name: str
    from_on: date
    to_on: date | None
    end_reason: str | None
    ordered_on: date | None
    diagnosis: str | None
    setup_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """Consent to one program with one practitioner, and which statements were made."""

    id: str
    program: str
    practitioner_id: str
    granted_at: datetime
    revoked_at: datetime | None
    form: str
    statements: list[str]
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CarePlan:
    """One version of a care plan; it counts once a practitioner has approved it."""

    id: str
    program: str
    version: int
    content: dict[str, Any]
    approved_at: datetime | None
    approved_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Practitioner:
    """Who a claim is made for."""

    id: str
    name: str
    credential: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A patient and the programs of a span of days."""

    patient_id: str
    name: str
    programs: list[str]


async def insert_enrollment(
    conn: AsyncConnection,
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
    """Raises `ExclusionViolation` (enrollment_once) when the patient is in this program with this practitioner then."""
    await conn.execute(
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


async def end_enrollment(conn: AsyncConnection, enrollment_id: str, *, to_on: date, end_reason: str) -> bool:
    """The last day of an episode and why it ended. False when there is no such running episode in the practice."""
    return await changed(
        conn,
        """
            UPDATE enrollment SET to_on = %s, end_reason = %s
            WHERE id = %s AND practice_id = current_practice() AND to_on IS NULL
            """,
        (to_on, end_reason, enrollment_id),
    )


async def enrollments(conn: AsyncConnection, patient_id: str) -> list[Enrollment]:
    """Every episode of a patient, running ones first."""
    return await many(
        conn,
        Enrollment,
        """
            SELECT e.id, e.program, e.practitioner_id, d.name AS practitioner_name, e.from_on, e.to_on, e.end_reason,
                   e.ordered_on, e.diagnosis, e.setup_on
            FROM enrollment e
            JOIN practitioner d ON d.id = e.practitioner_id
            WHERE e.patient_id = %s AND e.practice_id = current_practice()
            ORDER BY e.to_on NULLS FIRST, e.program, e.from_on DESC
            """,
        (patient_id,),
    )


async def enrolled_patients(conn: AsyncConnection, *, first: date, last: date) -> list[Enrolled]:
    """Everybody who was in a program on any day from `first` to `last`, by name."""
    return await many(
        conn,
        Enrolled,
        """
        SELECT p.id AS patient_id, p.name, array_agg(DISTINCT e.program ORDER BY e.program) AS programs
        FROM enrollment e
        JOIN patient p ON p.id = e.patient_id
        WHERE e.practice_id = current_practice()
          AND daterange(e.from_on, e.to_on, '[]') && daterange(%s, %s, '[]')
        GROUP BY p.id, p.name
        ORDER BY p.name, p.id
        """,
        (first, last),
    )


async def insert_consent(
    conn: AsyncConnection,
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
    await conn.execute(
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


async def revoke_consent(conn: AsyncConnection, consent_id: str, *, revoked_at: datetime) -> bool:
    """False when the practice has no such consent or it was withdrawn already."""
    return await changed(
        conn,
        """
            UPDATE consent SET revoked_at = %s
            WHERE id = %s AND practice_id = current_practice() AND revoked_at IS NULL AND granted_at <= %s
            """,
        (revoked_at, consent_id, revoked_at),
    )


async def consents(conn: AsyncConnection, patient_id: str) -> list[Consent]:
    """Newest first."""
    return await many(
        conn,
        Consent,
        """
            SELECT id, program, practitioner_id, granted_at, revoked_at, form, statements, language FROM consent
            WHERE patient_id = %s AND practice_id = current_practice()
            ORDER BY granted_at DESC, id
            """,
        (patient_id,),
    )


async def insert_care_plan(
    conn: AsyncConnection,
    *,
    practice_id: str,
    patient_id: str,
    program: str,
    content: dict[str, Any],
    recorded_at: datetime,
    approved_at: datetime | None = None,
    approved_by: str | None = None,
) -> int:
    """The next version of a patient's plan. Returns its number."""
    return int(
        await value(
            conn,
            """
        INSERT INTO care_plan
            (practice_id, patient_id, program, version, content, recorded_at, approved_at, approved_by)
        SELECT %(practice)s, %(patient)s, %(program)s, coalesce(max(version), 0) + 1, %(content)s, %(recorded_at)s,
               %(approved_at)s, %(approved_by)s
        FROM care_plan WHERE patient_id = %(patient)s AND program = %(program)s
        RETURNING version
        """,
            {
                "practice": practice_id,
                "patient": patient_id,
                "program": program,
                "content": Jsonb(content),
                "recorded_at": recorded_at,
                "approved_at": approved_at,
                "approved_by": approved_by,
            },
        )
    )


async def approve_care_plan(
    conn: AsyncConnection, care_plan_id: str, *, approved_at: datetime, approved_by: str
) -> bool:
    """False when the practice has no such plan or it was approved already."""
    return await changed(
        conn,
        """
            UPDATE care_plan SET approved_at = %s, approved_by = %s
            WHERE id = %s AND practice_id = current_practice() AND approved_at IS NULL
            """,
        (approved_at, approved_by, care_plan_id),
    )


async def care_plans(conn: AsyncConnection, patient_id: str) -> list[CarePlan]:
    """Newest version first."""
    return await many(
        conn,
        CarePlan,
        """
            SELECT id, program, version, content, approved_at, approved_by FROM care_plan
            WHERE patient_id = %s AND practice_id = current_practice()
            ORDER BY program, version DESC
            """,
        (patient_id,),
    )


async def insert_visit(
    conn: AsyncConnection,
    *,
    practice_id: str,
    patient_id: str,
    kind: str,
    practitioner_id: str,
    at: datetime,
    discussed: tuple[str, ...],
    recorded_at: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO visit (practice_id, patient_id, kind, practitioner_id, at, discussed, recorded_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        (practice_id, patient_id, kind, practitioner_id, at, list(discussed), recorded_at),
    )


async def practitioners(conn: AsyncConnection) -> list[Practitioner]:
    return await many(
        conn,
        Practitioner,
        """
            SELECT id, name, credential FROM practitioner WHERE practice_id = current_practice() ORDER BY name, id
            """,
    )
