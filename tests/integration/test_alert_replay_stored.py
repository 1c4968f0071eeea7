"""`vitalwire alerts replay` over a real PostgreSQL: the law that the set in force replays to what was raised."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from alerts import tables_replay
from alerts.batch import Rulebook
from alerts.replay import Raised
from alerts.replay_run import UnknownPracticeError, _raised, _under, run_replay
from alerts.rule_set import RuleSet
from alerts.rules import DEFAULT_POLICY, load_rule_set
from alerts.worker import Worker, connect
from tests.support.alert_database import (
    NOW,
    PATIENT,
    PRACTICE,
    blood_pressure,
    glucose,
    provision,
    rows,
    store_reading,
)

IN_FORCE = load_rule_set()
END = NOW + timedelta(days=10)
HOUR = timedelta(hours=1)


def looser(folder: Path) -> Path:
    """The set in force with severe blood pressure above 200 instead of 180 (diastolic limit as it is)."""
    text = DEFAULT_POLICY.read_text(encoding="utf-8")
    old = '    any: [[sys, ">", 180], [dia, ">", 120]]\n'
    assert text.count(old) == 1
    path = folder / "looser.yaml"
    path.write_text(text.replace(old, '    any: [[sys, ">", 200], [dia, ">", 120]]\n'), encoding="utf-8")
    return path


async def work(dsn: str, *times: Any) -> None:
    """Let the worker judge what waits at each of these times."""
    async with await connect(dsn) as conn:
        for now in times:
            while (await Worker(dsn, IN_FORCE, now=lambda now=now: now).once(conn)).patients:  # type: ignore[misc]
                pass


async def both(dsn: str, rule_set: RuleSet = IN_FORCE) -> tuple[list[Raised], list[Raised]]:
    """What the replay raises and what was raised, of every patient."""
    replayed: list[Raised] = []
    told: list[Raised] = []
    earliest = NOW - timedelta(days=30)
    async with tables_replay.snapshot(dsn) as conn:
        async for stored in tables_replay.stored_patients(conn, practice_id=None, earliest=earliest, until=END):
            replayed += _under(Rulebook(rule_set), stored, earliest=earliest, since=earliest, until=END)
            told += _raised(stored, since=earliest)
    return replayed, told


async def test_set_in_force_replays_to_what_the_worker_raised(database: str) -> None:
    rng = random.Random(5)
    patients = [f"pt-{n:02}" for n in range(27)]  # more than one page
    provision(database, *patients)
    with psycopg.connect(database) as conn:
        conn.execute(
            "UPDATE device_assignment SET valid = tstzrange(%(at)s, NULL), recorded_at = %(at)s", {"at": NOW - 2 * HOUR}
        )
    await work(database, NOW - 2 * HOUR)
    for hour in range(0, 9 * 24, 9):
        at = NOW + hour * HOUR
        for patient in patients:
            if rng.random() < 0.3:
                continue
            measured = at + timedelta(minutes=rng.randrange(50))
            waited = timedelta(hours=7) if rng.random() < 0.05 else timedelta(0)
            if rng.random() < 0.5:
                parts, kind = blood_pressure(str(rng.randrange(85, 215)), str(rng.randrange(55, 125))), "blood-pressure"
            else:
                parts, kind = glucose(str(rng.randrange(45, 330))), "glucose"
            for again in range(2 if rng.random() < 0.3 else 1):
                store_reading(
                    database,
                    parts,
                    kind=kind,
                    patient=patient,
                    measured_at=measured - waited + again * timedelta(minutes=6),
                    enqueued_at=measured + again * timedelta(minutes=6),
                    flags=("cuff-loose",) if kind == "blood-pressure" and rng.random() < 0.1 else (),
                )
        await work(database, at + HOUR)
    await work(database, END)

    replayed, told = await both(database)

    assert replayed == told
    families = {alert.family for alert in told}
    assert {"bp.high", "bp.low", "glucose.low", "glucose.high", "tech.missed"} <= families
    assert len(told) > 100
    assert (await both(database))[0] == replayed


async def test_lost_home_replays_from_its_own_alert(database: str) -> None:
    provision(database)
    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO gateway (id, practice_id) VALUES ('gw-0123456789', %s)", (PRACTICE,))
        conn.execute("UPDATE device SET gateway_id = 'gw-0123456789'")
        conn.execute(
            "INSERT INTO gateway_status (gateway_id, practice_id, state, at, outbox_depth, software, heard_at)"
            " VALUES ('gw-0123456789', %s, 'online', %s, 0, '', %s)",
            (PRACTICE, NOW, NOW),
        )
    store_reading(database, blood_pressure("120", "80"))
    store_reading(database, glucose("100"), kind="glucose")
    await work(database, NOW)
    for state, at in (("offline", NOW + HOUR), ("online", NOW + 81 * HOUR)):
        with psycopg.connect(database) as conn:
            conn.execute("UPDATE gateway_status SET state = %s, at = %s", (state, at))
        await work(database, at + timedelta(seconds=6))
    await work(database, END)

    replayed, told = await both(database)

    assert [(a.family, a.raised_at) for a in told] == [
        ("tech.gateway", NOW + HOUR),
        ("tech.missed", NOW + (81 + 72) * HOUR),
    ]
    assert replayed == told


async def test_changed_set_is_told_beside_the_set_in_force_and_nothing_is_written(
    database: str, tmp_path: Path
) -> None:
    provision(database)
    first = store_reading(database, blood_pressure("190", "100"), measured_at=NOW + HOUR)
    store_reading(database, blood_pressure("188", "100"), measured_at=NOW + HOUR + timedelta(minutes=6))
    await work(database, NOW + 2 * HOUR)
    counts = "SELECT (SELECT count(*) FROM alert_event), (SELECT count(*) FROM alert), (SELECT count(*) FROM audit)"
    before = rows(database, counts)
    until = (NOW + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    code, out, err = await command(
        "--rules", str(looser(tmp_path)), "--days", "7", "--until", until, "--practice", PRACTICE, dsn=database
    )

    assert code == 0, err
    report = json.loads(out)
    assert report["summary"] == "From 1 to 0 a week; would have missed 1 (listed)."
    assert report["counts"] == [{"family": "bp.high", "severity": "P1", "current": [1], "changed": [0], "raised": [1]}]
    assert [(a["patient"], a["evidence"], a["rule"], a["severity"]) for a in report["only_current"]] == [
        (PATIENT, str(first), "bp.severe", "P1")
    ]
    assert (report["patients"], report["readings"]) == (1, 2)
    assert "1/1 patients" in err
    assert rows(database, counts) == before


async def test_readings_judged_before_their_arrival_was_kept_count_as_stored(database: str) -> None:
    provision(database)
    with psycopg.connect(database) as conn:
        row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    store_reading(database, glucose("48"), kind="glucose", measured_at=row[0])
    await work(database, row[0])
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE observation_judgement SET arrived_at = NULL")

    report = await run_replay(database, current=IN_FORCE, changed=IN_FORCE, since=row[0] - HOUR, until=row[0] + HOUR)

    assert [c for c in report["counts"] if c["family"] == "glucose.low"] == [
        {"family": "glucose.low", "severity": "P1", "current": [1], "changed": [1], "raised": [1]}
    ]


async def test_snapshot_refuses_to_write(database: str) -> None:
    async with tables_replay.snapshot(database) as conn:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await conn.execute("DELETE FROM alert_work")


async def test_unknown_practice_is_refused(database: str) -> None:
    with pytest.raises(UnknownPracticeError):
        await run_replay(database, current=IN_FORCE, changed=IN_FORCE, since=NOW, until=END, practice_id="pr-none")


async def test_bad_rule_file_is_one_error_and_exit_2(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("ruleset: {id: x}\n", encoding="utf-8")

    code, out, err = await command("--rules", str(bad), "--days", "7", dsn="postgresql://127.0.0.1:1/nowhere")

    assert (code, out) == (2, "")
    assert json.loads(err)["error"]["kind"] == "RuleSetError"


async def test_database_that_does_not_answer_is_one_error_and_exit_1() -> None:
    code, out, err = await command("--rules", str(DEFAULT_POLICY), dsn="postgresql://127.0.0.1:1/nowhere")

    assert (code, out) == (1, "")
    assert json.loads(err)["error"]["where"] == "DATABASE_URL"


async def command(*words: str, dsn: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alerts", "replay", *words, env={**os.environ, "DATABASE_URL": dsn},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()
