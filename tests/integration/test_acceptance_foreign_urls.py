"""Every address of the policy table that names a row, asked by every allowed role with the rows of another practice.

Oracles: the answer is word for word the one for a row that does not exist, nothing of the other practice is in it, and
no row of the other practice changes. The same requests with the own rows find them, so the refusals are not accidents.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from psycopg import sql

from server.security import policy
from server.security.identity import Role
from tests.support import builders
from tests.support.web import MovableClock, browser, log_in, running_app, token_of

AT = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
SECRETS = ("Zelda Fremd", "187/112", "+1 555 0199", "gw-00000000bb", "secret-of-b")
# Rows of each practice by the name of the address part; `none` exists nowhere.
PARTS = {
    "own": {"patient_id": "pt-1", "alert_id": "al-1", "device_id": "dev-cuff-1", "user_id": "us-biller"},
    "foreign": {"patient_id": "pt-b", "alert_id": "al-b", "device_id": "dev-cuff-b", "user_id": "us-b"},
    "none": {"patient_id": "pt-x", "alert_id": "al-x", "device_id": "dev-x", "user_id": "us-x"},
}
FIXED = {"month": "2026-11", "act": "press"}
# One form that satisfies every handler as far as it can, so that none stops before it looks for the row.
FORM = {
    "family": "bp.high",
    "outcome": "reached",
    "minutes": "5",
    "reason": "treated",
    "note": "words",
    "disposition": "expected",
    "as_of": "2026-11-22T15:00:00Z",
    "demo": "yes",
    "birth_on": "1950-03-14",
    "from_at": "2026-11-22T09:00",
    "assignment_id": "none",
    "name": "Changed Name",
    "sex": "female",
    "phone": "1",
    "language": "en",
    "zone": "UTC",
    "goal": "g",
    "icd10": "I10",
    "program": "ccm",
    "activity": "coordination",
    "problems": "p",
    "goals": "g",
    "actions": "a",
}
ADDRESSES = [rule for rule in policy.RULES if rule.roles is not None and "{" in rule.path]
# Without a running simulator there is no own device to press; the tester's addresses are tested with one elsewhere.
NOTHING_OF_ONES_OWN = {"/tester/devices/{device_id}/{act}"}


@pytest.fixture
async def app(database: str) -> AsyncIterator[FastAPI]:
    with psycopg.connect(database) as conn:
        for practice, suffix in (("pr-a", "1"), ("pr-b", "b")):
            builders.practice(conn, practice, simulated=True)
            _fill(conn, practice, suffix)
        for role in Role:
            builders.user(
                conn,
                role.value,
                staff_id="st-1" if role is Role.NURSE else None,
                practitioner_id="dr-1" if role is Role.PRACTITIONER else None,
                patient_id="pt-1" if role is Role.PATIENT else None,
            )
        builders.user(conn, "nurse", practice_id="pr-b", login="b", staff_id="st-b", name="secret-of-b")
    async with running_app(database, MovableClock()) as running:
        yield running


def _fill(conn: psycopg.Connection, practice: str, suffix: str) -> None:
    """A patient with a cuff, a reading, an alert and a dead letter."""
    patient, gateway = f"pt-{suffix}", f"gw-00000000{suffix * 2}"
    builders.practitioner(conn, practice, f"dr-{suffix}")
    builders.staff(conn, practice, f"st-{suffix}")
    name, phone = ("Zelda Fremd", "+1 555 0199") if suffix == "b" else ("Anna Kowalska", "+1 555 0100")
    builders.patient(conn, practice, patient, name=name, phone=phone)
    builders.enrollment(conn, patient, "rpm", practice_id=practice, practitioner_id=f"dr-{suffix}")
    builders.device(conn, patient, practice_id=practice, device_id=f"dev-cuff-{suffix}", gateway_id=gateway)
    reading = builders.blood_pressure(
        conn,
        187,
        112,
        AT,
        patient_id=patient,
        practice_id=practice,
        device_id=f"dev-cuff-{suffix}",
        gateway_id=gateway,
    )
    builders.alert(conn, AT, alert_id=f"al-{suffix}", patient_id=patient, practice_id=practice, evidence=[reading])
    conn.execute(
        "INSERT INTO dead_letter (practice_id, gateway_id, topic, reason, payload, payload_sha256)"
        " VALUES (%s, %s, 'vw/1/gw/x/up/readings', 'invalid-json', 'secret-of-b', sha256(%s))",
        (practice, gateway, practice.encode()),
    )


def parts(database: str, whose: str) -> dict[str, str]:
    """The address parts of one practice; those the database numbered are looked up."""
    found = {**FIXED, **PARTS[whose]}
    if whose == "none":
        return found | {"message_id": "00000000-0000-5000-8000-000000000001", "letter_id": "999999999"}
    practice = "pr-a" if whose == "own" else "pr-b"
    with psycopg.connect(database) as conn:
        row = conn.execute(
            "SELECT (SELECT message_id::text FROM observation WHERE practice_id = %(p)s),"
            " (SELECT id::text FROM dead_letter WHERE practice_id = %(p)s)",
            {"p": practice},
        ).fetchone()
    assert row is not None
    return found | {"message_id": row[0], "letter_id": row[1]}


def address(rule: policy.Rule, named: dict[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda part: named[part[1]], rule.path)


async def ask(client: httpx.AsyncClient, rule: policy.Rule, named: dict[str, str]) -> tuple[int, str]:
    """Status and text, without what differs between any two answers: the token, the address itself."""
    token = token_of((await client.get("/nowhere")).text)
    where = address(rule, named)
    form = None if rule.method == "GET" else {**FORM, "csrf_token": token, "patient_id": named["patient_id"]}
    answer = await client.request(rule.method, where, data=form)
    text = answer.text + answer.headers.get("location", "")
    for word in (where, *(value for name, value in named.items() if name not in {*FIXED, "letter_id"})):
        text = text.replace(word, "…")
    return answer.status_code, text.replace(token, "token")


def rows_of_the_other_practice(database: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table that carries a practice, as text; the audit trail may grow."""
    with psycopg.connect(database) as conn:
        tables = conn.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'practice_id'"
            " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE 'audit%'"
        ).fetchall()
        query = sql.SQL("SELECT t::text FROM {} t WHERE practice_id = 'pr-b' ORDER BY 1")
        return {name: conn.execute(query.format(sql.Identifier(name))).fetchall() for (name,) in tables}


@pytest.mark.parametrize("role", [role for role in Role if any(role in (rule.roles or ()) for rule in ADDRESSES)])
async def test_rows_of_another_practice_do_not_exist(app: FastAPI, database: str, role: Role) -> None:
    foreign, none = parts(database, "foreign"), parts(database, "none")
    before = rows_of_the_other_practice(database)
    different, told = [], []
    async with browser(app) as client:
        await log_in(client, role.value)
        for rule in ADDRESSES:
            if not policy.may(rule, role):
                continue
            there, nowhere = await ask(client, rule, foreign), await ask(client, rule, none)
            assert there[0] < 500, (rule, there)
            if there != nowhere:
                different.append((rule.method, rule.path, there[0], nowhere[0]))
            told += [(rule.path, secret) for secret in SECRETS if secret in there[1]]

    assert different == []
    assert told == []
    assert rows_of_the_other_practice(database) == before


@pytest.mark.parametrize("role", [role for role in Role if any(role in (rule.roles or ()) for rule in ADDRESSES)])
async def test_the_same_requests_find_the_own_rows(app: FastAPI, database: str, role: Role) -> None:
    own = parts(database, "own")
    missing = []
    async with browser(app) as client:
        await log_in(client, role.value)
        for rule in ADDRESSES:
            if not policy.may(rule, role) or rule.path in NOTHING_OF_ONES_OWN:
                continue
            status, _ = await ask(client, rule, own)
            if status == 404 or status >= 500:
                missing.append((rule.method, rule.path, status))

    assert missing == []
