"""What the database itself promises of records that money and law hang on: one place at a time, one audit chain."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from server.db.pool import Role, connect
from tests.support import builders

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)
TICK = timedelta(microseconds=1)


@pytest.fixture
def practice(database: str) -> str:
    with psycopg.connect(database) as conn:
        builders.practice(conn)
        builders.staff(conn)
        builders.staff(conn, staff_id="st-2", name="Max Moss")
        builders.patient(conn)
        builders.patient(conn, patient_id="pt-2", name="Luis Ortega")
    return database


def work(dsn: str, start: datetime, *, patient: str = "pt-2", performer: str = "st-1", program: str = "ccm") -> str:
    """Ten minutes of work written by the web process's role; its id."""
    with connect(dsn, "vw_web") as conn, conn.transaction():
        conn.execute("SELECT set_config('app.practice_id', 'pr-a', true)")
        row = conn.execute(
            "INSERT INTO time_entry (practice_id, patient_id, program, performer_id, started_at, ended_at, activity,"
            " note) VALUES ('pr-a', %s, %s, %s, %s, %s, 'coordination', 'x') RETURNING id",
            (patient, program, performer, start, start + TEN_MINUTES),
        ).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("patient", ["pt-1", "pt-2"])
@pytest.mark.parametrize("shift", [TICK - TEN_MINUTES, timedelta(0), TEN_MINUTES - TICK])
def test_one_person_cannot_be_in_two_entries_at_once(practice: str, patient: str, shift: timedelta) -> None:
    """Whatever the patient or the program: a microsecond in common is too much."""
    work(practice, NINE, patient="pt-1", program="rpm")

    with pytest.raises(psycopg.errors.ExclusionViolation, match="time_entry_one_place_at_a_time"):
        work(practice, NINE + shift, patient=patient)


@pytest.mark.parametrize("shift", [-TEN_MINUTES, TEN_MINUTES])
def test_entries_may_touch_and_two_people_may_work_at_once(practice: str, shift: timedelta) -> None:
    work(practice, NINE, patient="pt-1", program="rpm")

    work(practice, NINE + shift)
    work(practice, NINE, performer="st-2")


def test_audit_chain_stays_whole_when_many_write_at_once(practice: str) -> None:
    """Four connections, two of which now and then give up: no gap, no fork, nothing of what was given up."""

    def write(number: int) -> None:
        with connect(practice, "vw_web") as conn:
            for entry in range(25):
                with conn.transaction(force_rollback=number % 2 == 1 and entry % 5 == 0):
                    conn.execute("SELECT set_config('app.practice_id', 'pr-a', true)")
                    conn.execute(
                        "INSERT INTO audit (practice_id, actor, action, entity, entity_id)"
                        " VALUES ('pr-a', %s, 'open', 'patient', %s)",
                        (f"us-{number}", f"pt-{entry}"),
                    )

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(4)))

    with connect(practice) as conn:
        numbers = [seq for (seq,) in conn.execute("SELECT seq FROM audit WHERE practice_id = 'pr-a' ORDER BY seq")]
        problems = conn.execute("SELECT * FROM audit_verify('pr-a')").fetchall()
    assert numbers == list(range(1, 4 * 25 - 2 * 5 + 1))
    assert problems == []


@pytest.mark.parametrize("role", ["vw_web", "vw_billing"])  # ingest and alerts serve every practice
def test_audit_of_another_practice_cannot_be_written(practice: str, role: Role) -> None:
    with psycopg.connect(practice) as owner:
        builders.practice(owner, "pr-b")
    with connect(practice, role) as conn:
        conn.execute("SELECT set_config('app.practice_id', 'pr-a', true)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(
                "INSERT INTO audit (practice_id, actor, action, entity, entity_id)"
                " VALUES ('pr-b', 'us-1', 'open', 'patient', 'pt-9')"
            )
