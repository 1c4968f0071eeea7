"""Demo data on a real database: complete, honest, made once."""

from __future__ import annotations

from datetime import UTC, date, datetime

import psycopg
import pytest
from argon2 import PasswordHasher

from gateway.contract import GATEWAY_ID
from server.demo.seed import PRACTICE_ID, SeedResult, record_month_work, seed, working_day_before

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)  # a Friday
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def _seed(conn: psycopg.Connection[tuple[object, ...]], now: datetime = NOW) -> SeedResult:
    return seed(conn, now=now, hasher=CHEAP)


@pytest.fixture
def conn(database: str):
    with psycopg.connect(database) as connection:
        yield connection


def _count(conn: psycopg.Connection[tuple[object, ...]], table: str) -> int:
    row = conn.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(str(row[0]))


def test_practice_is_flagged_as_simulated(conn):
    _seed(conn)

    row = conn.execute("SELECT name, time_zone, is_simulated FROM practice WHERE id = %s", (PRACTICE_ID,)).fetchone()

    assert row == ("Demo practice (simulated)", "America/New_York", True)


def test_no_reading_is_inserted(conn):
    _seed(conn)

    assert _count(conn, "observation") == 0
    assert _count(conn, "alert_work") == 0


def test_second_seed_changes_nothing_and_returns_the_same(conn):
    first = _seed(conn)
    before = {
        table: _count(conn, table) for table in ("patient", "device", "time_entry", "consent", "audit", "app_user")
    }

    second = _seed(conn, now=datetime(2026, 11, 29, 9, 0, tzinfo=UTC))

    assert second.homes == first.homes
    assert second.logins == first.logins
    assert (first.created, second.created) == (True, False)
    assert {table: _count(conn, table) for table in before} == before


def test_every_login_answers_to_the_returned_password(conn):
    result = _seed(conn)

    stored = dict(conn.execute("SELECT login, password_hash FROM app_user").fetchall())
    assert {login.login for login in result.logins} == set(stored)
    assert {login.role for login in result.logins} == {
        "patient", "nurse", "practitioner", "biller", "admin", "tester",
    }  # fmt: skip
    for login in result.logins:
        assert PasswordHasher().verify(stored[login.login], login.password)


def test_a_new_password_replaces_the_old_one(conn):
    _seed(conn)

    seed(conn, now=NOW, passwords={"nurse": "a much longer secret"}, hasher=CHEAP)

    row = conn.execute("SELECT password_hash FROM app_user WHERE login = 'nurse'").fetchone()
    assert PasswordHasher().verify(row[0], "a much longer secret")


def test_homes_have_what_a_gateway_needs(conn):
    homes = _seed(conn).homes

    assert [len(home.devices) for home in homes] == [2, 2, 1]
    for home in homes:
        assert GATEWAY_ID.match(home.gateway_id)
        for device in home.devices:
            assert (device.passkey is not None) == (device.kind == "glucose")
            assert int(device.address[:2], 16) >> 6 == 3  # random static address
    assert homes[0].monitored_from == date(2026, 10, 27)  # 24 days before 20 November


def test_each_gateway_has_a_configuration_to_publish(conn):
    _seed(conn)

    rows = conn.execute("SELECT gateway_id, published_at FROM gateway_config ORDER BY gateway_id").fetchall()

    assert rows == [("gw-demohome00001", None), ("gw-demohome00002", None), ("gw-demohome00003", None)]


def test_consent_has_four_statements_and_precedes_the_enrolment(conn):
    _seed(conn)

    rows = conn.execute(
        "SELECT cardinality(c.statements), c.granted_at::date < e.from_on FROM consent c"
        " JOIN enrollment e USING (patient_id, program)"
    ).fetchall()

    assert rows == [(4, True)] * 6


def test_annas_rpm_time_of_the_month_is_21_minutes_50(conn):
    _seed(conn)

    row = conn.execute(
        "SELECT sum(extract(epoch FROM ended_at - started_at))::int FROM time_entry"
        " WHERE patient_id = 'pt-demo01' AND program = 'rpm'"
    ).fetchone()

    assert row == (1310,)  # 12:40 + 9:10


def test_nobody_works_in_the_future_or_before_the_enrolment(conn):
    _seed(conn, now=datetime(2026, 11, 2, 10, 0, tzinfo=UTC))

    assert (
        _count(conn, "time_entry t JOIN enrollment e USING (patient_id, program) WHERE t.started_at::date < e.from_on")
        == 0
    )
    assert _count(conn, "time_entry WHERE ended_at > '2026-11-02T10:00:00Z'") == 0


@pytest.mark.parametrize("first_day", [date(2026, 10, 1), date(2026, 10, 20), date(2026, 11, 1), date(2026, 11, 10)])
def test_month_work_of_twenty_patients_fits_the_one_place_at_a_time_rule(conn, first_day):
    _seed(conn)
    before = _count(conn, "time_entry")
    patients = [f"pt-month{number:03d}" for number in range(1, 21)]
    for patient in patients:
        conn.execute("INSERT INTO patient (id, practice_id, name) VALUES (%s, %s, 'Month')", (patient, PRACTICE_ID))

    record_month_work(conn, patients=patients, nurse_id="st-month", first_day=first_day, days=31, until=NOW)

    assert _count(conn, "time_entry") - before > 20
    assert _count(conn, "time_entry WHERE performer_id = 'st-month' AND ended_at > '2026-11-22T23:59:59Z'") == 0


def test_working_days_skip_the_weekend():
    monday = date(2026, 11, 23)

    assert working_day_before(monday, 1) == date(2026, 11, 20)
    assert working_day_before(monday, 5) == date(2026, 11, 16)
    assert working_day_before(monday, 6) == date(2026, 11, 13)
