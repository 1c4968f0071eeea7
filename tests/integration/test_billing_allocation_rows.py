"""Accepting a proposal over the real database: new versions with a reason, old ones kept, one audit row each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from server.db.allocations import AllocationRefusedError, accept_allocation
from server.db.pool import async_transaction, open_async_pool
from tests.support import builders

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def practice(database: str) -> str:
    """A patient with two unallocated entries, a tagged one and a voided one."""
    with psycopg.connect(database) as conn:
        builders.practice(conn)
        builders.practitioner(conn)
        builders.staff(conn)
        builders.patient(conn, patient_id="pt-1", name="Anna Kowalska")
        builders.patient(conn, patient_id="pt-2", name="Luis Ortega")
        builders.user(conn, "biller")
        for entry, hour, program in (("u1", 9, None), ("u2", 10, None), ("t1", 11, "rpm"), ("v1", 12, None)):
            conn.execute(
                "INSERT INTO time_entry (id, practice_id, patient_id, program, candidates, performer_id, started_at,"
                " ended_at, activity, live, with_whom, note, recorded_at, voided_at)"
                " VALUES (%s, 'pr-a', 'pt-1', %s, %s, 'st-1', %s, %s, 'live-call', true, 'patient', 'Talked.', %s, %s)",
                (
                    entry,
                    program,
                    [] if program else ["rpm", "ccm"],
                    NOW.replace(hour=hour, day=20),
                    NOW.replace(hour=hour, day=20, minute=12),
                    NOW.replace(day=20),
                    NOW.replace(day=21) if entry == "v1" else None,
                ),
            )
    return database


async def accept(
    dsn: str, programs: dict[str, str], *, reason: str = "Spoke of the sugar diary.", **changes: Any
) -> dict[str, str]:
    pool = await open_async_pool(dsn, "vw_web", application_name="test", max_size=1)
    try:
        async with async_transaction(pool, "pr-a") as conn:
            return await accept_allocation(
                conn,
                **{
                    "practice_id": "pr-a",
                    "patient_id": "pt-1",
                    "programs": programs,
                    "reason": reason,
                    "accepted_by": "us-biller",
                    "now": NOW,
                    **changes,
                },
            )
    finally:
        await pool.close()


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as conn:
        return conn.execute(query).fetchall()


async def test_new_version_supersedes_with_reason_and_audit(practice: str) -> None:
    made = await accept(practice, {"u1": "ccm", "u2": "rpm"})

    old = rows(practice, "SELECT id, program, superseded_at FROM time_entry WHERE id IN ('u1', 'u2') ORDER BY id")
    assert old == [("u1", None, NOW), ("u2", None, NOW)]
    new = rows(
        practice,
        "SELECT supersedes, program, candidates, reason, recorded_by, recorded_at, started_at, ended_at, live, note"
        " FROM time_entry WHERE supersedes IS NOT NULL ORDER BY supersedes",
    )
    assert [row[:6] for row in new] == [
        ("u1", "ccm", [], "Spoke of the sugar diary.", "us-biller", NOW),
        ("u2", "rpm", [], "Spoke of the sugar diary.", "us-biller", NOW),
    ]
    old_work = "SELECT started_at, ended_at, live, note FROM time_entry WHERE id IN ('u1', 'u2') ORDER BY id"
    kept = rows(practice, old_work)
    assert [row[6:] for row in new] == kept
    audited = "SELECT actor, action, entity_id, detail FROM audit WHERE action = 'time.allocate' ORDER BY seq"
    audit = rows(practice, audited)
    assert [(row[0], row[2]) for row in audit] == [("us-biller", made["u1"]), ("us-biller", made["u2"])]
    assert [row[3]["supersedes"] for row in audit] == ["u1", "u2"]
    assert "sugar" not in str(audit)


@pytest.mark.parametrize(
    ("programs", "changes", "message"),
    [
        ({"u1": "ccm"}, {"reason": "  "}, "a reason is needed"),
        ({}, {}, "at least one entry"),
        ({"t1": "ccm"}, {}, "is tagged rpm already"),
        ({"u1": "pcm"}, {}, "is none of its candidates"),
        ({"v1": "ccm"}, {}, "no such entry now"),
        ({"u1": "ccm"}, {"patient_id": "pt-2"}, "no such entry now"),
        ({"u1": "ccm", "t1": "ccm"}, {}, "is tagged rpm already"),
    ],
    ids=["no reason", "nothing", "tagged", "no candidate", "voided", "another patient", "one of two is wrong"],
)
async def test_refused_and_nothing_is_written(
    practice: str, programs: dict[str, str], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(AllocationRefusedError, match=message):
        await accept(practice, programs, **changes)

    assert rows(practice, "SELECT count(*) FROM time_entry WHERE supersedes IS NOT NULL") == [(0,)]
    assert rows(practice, "SELECT count(*) FROM time_entry WHERE superseded_at IS NOT NULL") == [(0,)]
    assert rows(practice, "SELECT count(*) FROM audit WHERE action = 'time.allocate'") == [(0,)]


async def test_entry_is_allocated_once(practice: str) -> None:
    await accept(practice, {"u1": "ccm"})

    with pytest.raises(AllocationRefusedError, match="no such entry now"):
        await accept(practice, {"u1": "rpm"})
