"""Rows for tests, inserted as the database owner, with sane defaults. Every function takes the connection first and
returns the id. Simulated names only.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import psycopg

from server.security.passwords import hash_password

Conn = psycopg.Connection[Any]

PASSWORD = "correct horse battery staple"


@cache
def password_hash() -> str:
    """One hash for all test users: argon2 is slow on purpose."""
    return hash_password(PASSWORD)


def practice(conn: Conn, practice_id: str = "pr-a", *, zone: str = "America/New_York", simulated: bool = False) -> str:
    conn.execute(
        "INSERT INTO practice (id, name, time_zone, is_simulated) VALUES (%s, %s, %s, %s)",
        (practice_id, f"Practice {practice_id}", zone, simulated),
    )
    return practice_id


def practitioner(
    conn: Conn, practice_id: str = "pr-a", practitioner_id: str = "dr-1", *, name: str = "Dr. Ada Wynn"
) -> str:
    conn.execute(
        "INSERT INTO practitioner (id, practice_id, name, credential, npi) VALUES (%s, %s, %s, 'MD', '1234567893')",
        (practitioner_id, practice_id, name),
    )
    return practitioner_id


def staff(conn: Conn, practice_id: str = "pr-a", staff_id: str = "st-1", *, name: str = "Nora Field") -> str:
    conn.execute(
        "INSERT INTO staff (id, practice_id, name, credential) VALUES (%s, %s, %s, 'RN')",
        (staff_id, practice_id, name),
    )
    return staff_id


def user(
    conn: Conn,
    role: str,
    *,
    practice_id: str = "pr-a",
    login: str | None = None,
    staff_id: str | None = None,
    practitioner_id: str | None = None,
    patient_id: str | None = None,
    name: str | None = None,
    language: str = "en",
) -> str:
    """A user with `PASSWORD`. The login is the role unless given; the id is `us-<login>`."""
    login = login or role
    user_id = f"us-{login}"
    conn.execute(
        "INSERT INTO app_user (id, practice_id, login, password_hash, role, display_name, staff_id, practitioner_id,"
        " patient_id, language) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            user_id,
            practice_id,
            login,
            password_hash(),
            role,
            name or f"{login.title()} Tester",
            staff_id,
            practitioner_id,
            patient_id,
            language,
        ),
    )
    return user_id


def patient(
    conn: Conn,
    practice_id: str = "pr-a",
    patient_id: str = "pt-1",
    *,
    name: str = "Anna Kowalska",
    zone: str = "America/New_York",
    goal: str | None = "Below 130/80 at home",
    language: str = "en",
    born: date = date(1950, 3, 14),
    phone: str | None = "+1 555 0100",
) -> str:
    conn.execute(
        "INSERT INTO patient (id, practice_id, name, birth_on, sex, phone, language, goal) "
        " VALUES (%s, %s, %s, %s, 'female', %s, %s, %s)",
        (patient_id, practice_id, name, born, phone, language, goal),
    )
    conn.execute(
        "INSERT INTO patient_zone (patient_id, practice_id, from_on, zone) VALUES (%s, %s, '2020-01-01', %s)",
        (patient_id, practice_id, zone),
    )
    return patient_id


def enrollment(
    conn: Conn,
    patient_id: str = "pt-1",
    program: str = "rpm",
    *,
    practice_id: str = "pr-a",
    practitioner_id: str = "dr-1",
    from_on: date = date(2026, 1, 5),
) -> str:
    row = conn.execute(
        "INSERT INTO enrollment (practice_id, patient_id, program, practitioner_id, from_on, ordered_on)"
        " VALUES (%s, %s, %s, %s, %s, %s) RETURNING id",
        (practice_id, patient_id, program, practitioner_id, from_on, from_on),
    ).fetchone()
    assert row is not None
    return str(row[0])


def consent(
    conn: Conn,
    patient_id: str = "pt-1",
    program: str = "rpm",
    *,
    practice_id: str = "pr-a",
    practitioner_id: str = "dr-1",
    granted_at: str = "2026-01-05T15:00:00Z",
) -> str:
    row = conn.execute(
        "INSERT INTO consent (practice_id, patient_id, program, practitioner_id, granted_at, form, statements)"
        " VALUES (%s, %s, %s, %s, %s, 'verbal', %s) RETURNING id",
        (
            practice_id,
            patient_id,
            program,
            practitioner_id,
            granted_at,
            ["availability", "cost-sharing", "one-practitioner", "right-to-stop"],
        ),
    ).fetchone()
    assert row is not None
    return str(row[0])


def device(
    conn: Conn,
    patient_id: str = "pt-1",
    *,
    kind: str = "blood-pressure",
    practice_id: str = "pr-a",
    device_id: str = "dev-cuff-1",
    gateway_id: str = "gw-0000000001",
    assigned_from: str = "2026-01-05T15:00:00Z",
) -> str:
    """A device on a gateway (made when it does not exist), assigned to the patient."""
    conn.execute(
        "INSERT INTO gateway (id, practice_id) VALUES (%s, %s) ON CONFLICT (id) DO NOTHING", (gateway_id, practice_id)
    )
    conn.execute(
        "INSERT INTO device (id, practice_id, gateway_id, kind, model, fda_defined)"
        " VALUES (%s, %s, %s, %s, 'VW-100', true)",
        (device_id, practice_id, gateway_id, kind),
    )
    conn.execute(
        "INSERT INTO device_assignment (practice_id, device_id, patient_id, valid)"
        " VALUES (%s, %s, %s, tstzrange(%s, NULL))",
        (practice_id, device_id, patient_id, assigned_from),
    )
    return device_id


def blood_pressure(
    conn: Conn,
    systolic: int,
    diastolic: int,
    measured_at: datetime,
    *,
    patient_id: str = "pt-1",
    practice_id: str = "pr-a",
    device_id: str = "dev-cuff-1",
    gateway_id: str = "gw-0000000001",
    pulse: int = 72,
    flags: Sequence[str] = (),
    judged: str | None = "ok",
) -> uuid.UUID:
    components = [
        _component("systolic", Decimal(systolic), "mm[Hg]"),
        _component("diastolic", Decimal(diastolic), "mm[Hg]"),
        _component("pulse-rate", Decimal(pulse), "/min"),
    ]
    return _observation(
        conn, "blood-pressure", components, measured_at, patient_id, practice_id, device_id, gateway_id, flags, judged
    )


def glucose(
    conn: Conn,
    value: int,
    measured_at: datetime,
    *,
    patient_id: str = "pt-1",
    practice_id: str = "pr-a",
    device_id: str = "dev-meter-1",
    gateway_id: str = "gw-0000000001",
    judged: str | None = "ok",
) -> uuid.UUID:
    components = [_component("glucose", Decimal(value), "mg/dL")]
    return _observation(
        conn, "glucose", components, measured_at, patient_id, practice_id, device_id, gateway_id, (), judged
    )


def _component(metric: str, value: Decimal, unit: str) -> dict[str, str | None]:
    return {
        "metric": metric,
        "value": str(value),
        "unit": unit,
        "reported_value": str(value),
        "reported_unit": unit,
        "absent_reason": None,
    }


def _observation(
    conn: Conn,
    kind: str,
    components: list[dict[str, str | None]],
    measured_at: datetime,
    patient_id: str,
    practice_id: str,
    device_id: str,
    gateway_id: str,
    flags: Sequence[str],
    judged: str | None,
) -> uuid.UUID:
    message_id = uuid.uuid4()
    conn.execute(
        "INSERT INTO observation (message_id, practice_id, patient_id, gateway_id, device_id, kind, measured_at,"
        " received_at, local_date, entry, memory, time_quality, components, flags, verdict)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'automatic', 'live', 'synchronised', %s, %s, 'accepted')",
        (
            message_id,
            practice_id,
            patient_id,
            gateway_id,
            device_id,
            kind,
            measured_at,
            measured_at + timedelta(seconds=20),
            measured_at.date(),
            json.dumps(components),
            list(flags),
        ),
    )
    if judged is None:  # as ingest leaves it: the alert engine has yet to see it
        conn.execute(
            "INSERT INTO alert_work (practice_id, patient_id, message_id, measured_at, enqueued_at)"
            " VALUES (%s, %s, %s, %s, %s)",
            (practice_id, patient_id, message_id, measured_at, measured_at + timedelta(seconds=20)),
        )
        return message_id
    conn.execute(
        "INSERT INTO observation_judgement (message_id, practice_id, patient_id, verdict) VALUES (%s, %s, %s, %s)",
        (message_id, practice_id, patient_id, judged),
    )
    return message_id


def alert(
    conn: Conn,
    opened_at: datetime,
    *,
    alert_id: str = "al-1",
    patient_id: str = "pt-1",
    practice_id: str = "pr-a",
    family: str = "bp.high",
    rule: str = "bp.severe",
    severity: str = "P2",
    state: str = "open",
    text: str = "186/112 mmHg; above 180/120 and no retake followed within 20 minutes.",
    due_at: datetime | None = None,
    owner_id: str | None = None,
    evidence: Sequence[uuid.UUID] = (),
    tags: Sequence[str] = (),
) -> str:
    conn.execute(
        "INSERT INTO alert (id, practice_id, patient_id, family, rule, severity, state, text, tags, evidence, ruleset,"
        " opened_at, changed_at, due_at, owner_id, claimed_at, number)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'adult-default/3', %s, %s, %s, %s, %s,"
        " (SELECT coalesce(max(number), 0) + 1 FROM alert WHERE patient_id = %s))",
        (
            alert_id,
            practice_id,
            patient_id,
            family,
            rule,
            severity,
            state,
            text,
            list(tags),
            list(evidence),
            opened_at,
            opened_at,
            due_at,
            owner_id,
            opened_at if owner_id else None,
            patient_id,
        ),
    )
    return alert_id
