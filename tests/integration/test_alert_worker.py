"""Readings become alerts on a real PostgreSQL: batches, races, clocks, notifications."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg
import pytest

from alerts import tables
from alerts.batch import Rulebook, run_batch
from alerts.rules import load_rule_set
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

ALERTS = "SELECT family, severity, state, level, tags FROM alert ORDER BY patient_id, number"


def worker(dsn: str, now: datetime) -> Worker:
    return Worker(dsn, load_rule_set(), now=lambda: now)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task does, at most 20 s."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the condition is in the database
            await asyncio.sleep(0.02)


async def judge_all(dsn: str, now: datetime) -> None:
    async with await connect(dsn) as conn:
        while (await worker(dsn, now).once(conn)).readings:
            pass


async def test_severe_reading_becomes_a_confirmed_alert_with_its_log_and_page(database: str) -> None:
    provision(database)
    first = store_reading(database, blood_pressure("192", "124"))
    second = store_reading(database, blood_pressure("188", "122"), measured_at=NOW + timedelta(minutes=6))

    await judge_all(database, NOW + timedelta(minutes=6, seconds=1))

    alert = rows(
        database,
        "SELECT id, family, rule, severity, state, level, evidence, text, ruleset, due_at - changed_at FROM alert",
    )
    assert len(alert) == 1
    assert alert[0][1:6] == ("bp.high", "bp.severe", "P1", "open", 0)
    assert alert[0][6] == [first, second]
    assert alert[0][7] == (
        "Blood pressure 188/122 mmHg: systolic above 180 and diastolic above 120; confirmed by a second reading."
    )
    assert alert[0][8:] == ("adult-default@3", timedelta(minutes=5))
    events = rows(database, "SELECT kind, from_state, to_state FROM alert_event ORDER BY id")
    assert events == [
        ("pending", None, "pending"),
        ("retake_asked", "pending", "pending"),
        ("confirmed", "pending", "open"),
    ]
    assert rows(database, "SELECT level, late, settled_at IS NOT NULL FROM notification") == [(0, False, True)]
    assert rows(database, "SELECT channel, succeeded FROM delivery ORDER BY channel") == [
        ("console", True),
        ("web", True),
    ]
    ui = rows(database, "SELECT kind, ref FROM ui_event ORDER BY id")
    assert set(ui) == {("alert", alert[0][0]), ("notice", alert[0][0])}


async def test_work_row_is_gone_only_with_its_judgement(database: str) -> None:
    provision(database)
    messages = [
        store_reading(database, blood_pressure("120", "80")),
        store_reading(database, blood_pressure("60", "140"), measured_at=NOW + timedelta(minutes=1)),
        store_reading(
            database, blood_pressure("120", "81"), measured_at=NOW + timedelta(minutes=2), flags=("cuff-loose",)
        ),
    ]

    await judge_all(database, NOW + timedelta(minutes=3))

    judged = dict(rows(database, "SELECT message_id, verdict FROM observation_judgement"))
    assert judged == dict(zip(messages, ["ok", "quarantined", "suspect"], strict=True))
    assert rows(database, "SELECT count(*) FROM alert_work") == [(0,)]


async def test_worker_killed_before_commit_loses_nothing(database: str) -> None:
    provision(database)
    store_reading(database, glucose("48"), kind="glucose")
    book = Rulebook(load_rule_set())

    async with await connect(database) as conn:
        pid = conn.info.backend_pid

        async def killed_before_commit() -> None:
            async with conn.transaction():
                assert (await run_batch(conn, book, now=NOW)).readings == 1
                with psycopg.connect(database, autocommit=True) as owner:
                    owner.execute("SELECT pg_terminate_backend(%s)", (pid,))

        with pytest.raises(psycopg.OperationalError):
            await killed_before_commit()
    assert rows(database, "SELECT count(*) FROM alert_work") == [(1,)]
    assert rows(database, "SELECT count(*) FROM alert") == [(0,)]

    await judge_all(database, NOW)

    assert rows(database, "SELECT count(*) FROM alert_work") == [(0,)]
    assert rows(database, ALERTS) == [("glucose.low", "P1", "open", 0, [])]


async def test_page_that_was_not_sent_is_sent_by_the_next_worker(database: str) -> None:
    provision(database)
    store_reading(database, glucose("48"), kind="glucose")
    async with await connect(database) as conn:
        async with conn.transaction():
            await run_batch(conn, Rulebook(load_rule_set()), now=NOW)
        assert rows(database, "SELECT count(*) FROM delivery") == [(0,)]

        sent = await worker(database, NOW).tell(conn)
        again = await worker(database, NOW).tell(conn)

    assert (sent, again) == (1, 0)
    assert rows(database, "SELECT count(*) FROM delivery") == [(2,)]


async def test_two_workers_judge_each_reading_once(database: str) -> None:
    patients = [f"pt-{n:02}" for n in range(20)]
    provision(database, *patients)
    for minute in range(5):
        for patient in patients:
            store_reading(
                database, glucose("60"), kind="glucose", patient=patient, measured_at=NOW + timedelta(minutes=minute)
            )
    now = NOW + timedelta(minutes=5)

    async def drain() -> int:
        total = 0
        async with await connect(database) as conn:
            while rows(database, "SELECT count(*) FROM alert_work") != [(0,)]:
                total += (await worker(database, now).once(conn)).readings
        return total

    counts = await asyncio.gather(drain(), drain())

    assert sum(counts) == 100
    assert rows(database, "SELECT count(*), count(DISTINCT message_id) FROM observation_judgement") == [(100, 100)]
    assert rows(database, "SELECT count(*), min(cardinality(evidence)), max(cardinality(evidence)) FROM alert") == [
        (20, 5, 5)
    ]


async def test_patient_held_by_another_transaction_is_left_to_it(database: str) -> None:
    provision(database)
    store_reading(database, glucose("48"), kind="glucose")
    book = Rulebook(load_rule_set())

    async with await connect(database) as one, await connect(database) as two:
        async with one.transaction():
            assert (await run_batch(one, book, now=NOW)).readings == 1
            # A new patient's first row is waited for; the lock of a known one is skipped.
            async with two.transaction():
                await two.execute("SET LOCAL lock_timeout = '200ms'")
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    await run_batch(two, book, now=NOW)
        store_reading(database, glucose("47"), kind="glucose", measured_at=NOW + timedelta(minutes=1))
        async with one.transaction():
            assert (await run_batch(one, book, now=NOW + timedelta(minutes=1))).readings == 1
            async with two.transaction():
                assert (await run_batch(two, book, now=NOW + timedelta(minutes=1))).patients == 0


async def test_clocks_missed_in_an_outage_fire_once_in_order_and_say_late(database: str) -> None:
    provision(database)
    store_reading(database, glucose("48"), kind="glucose")
    await judge_all(database, NOW)

    await judge_all(database, NOW + timedelta(hours=2))
    await judge_all(database, NOW + timedelta(hours=2, seconds=1))

    notes = rows(database, "SELECT level, due_at, late FROM notification ORDER BY id")
    assert notes == [
        (0, NOW, False),
        (1, NOW + timedelta(minutes=5), True),
        (2, NOW + timedelta(minutes=15), True),
        (3, NOW + timedelta(minutes=20), True),  # no second reading: one level more than the clock alone
    ]
    assert rows(database, ALERTS) == [("glucose.low", "P1", "open", 3, ["recheck_overdue"])]


async def test_reading_that_waited_longer_than_six_hours_never_pages(database: str) -> None:
    provision(database)
    measured = NOW - timedelta(hours=6, minutes=1)
    store_reading(database, glucose("48"), kind="glucose", measured_at=measured, enqueued_at=NOW)

    await judge_all(database, NOW)

    assert rows(database, ALERTS) == [("glucose.low", "P3", "open", 0, ["late"])]
    assert rows(database, "SELECT count(*) FROM notification") == [(0,)]


async def test_meter_codes_are_hi_and_lo(database: str) -> None:
    provision(database, "pt-hi", "pt-inf", "pt-lo")
    store_reading(database, glucose(None), kind="glucose", patient="pt-hi", flags=("result-too-high",))
    store_reading(database, glucose(None, "positive-infinity"), kind="glucose", patient="pt-inf")
    store_reading(database, glucose(None), kind="glucose", patient="pt-lo", flags=("result-too-low",))

    await judge_all(database, NOW)

    found = rows(database, "SELECT patient_id, family, severity, tags FROM alert ORDER BY patient_id")
    assert found == [
        ("pt-hi", "glucose.high", "P1", ["at_once"]),
        ("pt-inf", "glucose.high", "P1", ["at_once"]),
        ("pt-lo", "glucose.low", "P1", []),
    ]


async def test_patient_who_never_measured_is_missed_without_any_reading(database: str) -> None:
    provision(database)

    async with await connect(database) as conn:
        await worker(database, NOW).once(conn)

    assert rows(database, "SELECT family, severity, state, text FROM alert") == [
        ("tech.missed", "P4", "open", "No blood pressure reading for 72 h; limit 72 h.")
    ]


async def test_profile_of_the_patient_is_used(database: str) -> None:
    provision(database)
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE patient SET alert_profile = '{\"pulse_hi\": 90}'")
    components = [*blood_pressure("120", "80"), {"metric": "pulse-rate", "value": "95", "unit": "/min"}]
    store_reading(database, components)

    await judge_all(database, NOW)

    assert rows(database, ALERTS) == [("pulse", "P3", "pending", 0, [])]


async def test_profile_the_rule_set_refuses_falls_back_to_the_defaults_and_says_so(database: str) -> None:
    provision(database)
    with psycopg.connect(database) as conn:
        conn.execute('UPDATE patient SET alert_profile = \'{"kinds": ["pregnancy"]}\'')
    store_reading(database, glucose("48"), kind="glucose")

    await judge_all(database, NOW)

    assert rows(database, ALERTS) == [("glucose.low", "P1", "open", 0, []), ("tech.profile", "P3", "open", 0, [])]
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE patient SET alert_profile = '{}'")
    store_reading(database, glucose("100"), kind="glucose", measured_at=NOW + timedelta(minutes=9))

    await judge_all(database, NOW + timedelta(minutes=9))

    assert rows(database, ALERTS)[1] == ("tech.profile", "P3", "closed", 0, ["mended"])


async def test_running_worker_wakes_on_ingest_and_stops_when_told(database: str) -> None:
    provision(database)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(Worker(database, load_rule_set()).run(stop, on_ready=ready.set))
    await asyncio.wait_for(ready.wait(), 20)
    with psycopg.connect(database) as conn:
        now = conn.execute("SELECT clock_timestamp()").fetchone()
    assert now is not None
    store_reading(database, glucose("48"), kind="glucose", measured_at=now[0])

    await until(lambda: bool(rows(database, "SELECT 1 FROM alert WHERE family = 'glucose.low'")))
    stop.set()
    await asyncio.wait_for(task, 20)


async def test_lost_connection_is_taken_up_again(database: str) -> None:
    provision(database)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(Worker(database, load_rule_set()).run(stop, on_ready=ready.set))
    await asyncio.wait_for(ready.wait(), 20)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'vitalwire-alerts' AND datname = current_database()"
        )
        now = owner.execute("SELECT clock_timestamp()").fetchone()
    assert now is not None
    store_reading(database, glucose("48"), kind="glucose", measured_at=now[0])

    await until(lambda: not rows(database, "SELECT 1 FROM alert_work"))
    stop.set()
    await asyncio.wait_for(task, 20)


async def test_alert_ids_are_the_same_in_every_replay(database: str) -> None:
    provision(database)
    store_reading(database, glucose("48"), kind="glucose")

    await judge_all(database, NOW)

    assert rows(database, "SELECT id FROM alert") == [(tables.alert_id(PATIENT, 1),)]
    async with await connect(database) as conn:
        listed = await tables.live_alerts(conn, practice_id=PRACTICE)
    assert [item["family"] for item in listed] == ["glucose.low"]


async def test_lost_home_hides_the_missing_readings_and_ends_when_it_is_back(database: str) -> None:
    provision(database)
    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO gateway (id, practice_id) VALUES ('gw-0123456789', %s)", (PRACTICE,))
        conn.execute("UPDATE device SET gateway_id = 'gw-0123456789'")
        conn.execute(
            "INSERT INTO gateway_status (gateway_id, practice_id, state, at, outbox_depth, software, heard_at)"
            " VALUES ('gw-0123456789', %s, 'offline', %s, 0, '', %s)",
            (PRACTICE, NOW, NOW),
        )
    store_reading(database, blood_pressure("120", "80"))
    store_reading(database, glucose("100"), kind="glucose")
    await judge_all(database, NOW)
    # The state exists only now; the next look tells it that the home is lost.
    await judge_all(database, NOW + timedelta(seconds=5))

    await judge_all(database, NOW + timedelta(hours=80))
    lost = rows(database, ALERTS)
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE gateway_status SET state = 'online', at = %s", (NOW + timedelta(hours=81),))
    await judge_all(database, NOW + timedelta(hours=81))

    assert lost == [("tech.gateway", "P4", "open", 0, [])]
    assert rows(database, ALERTS) == [("tech.gateway", "P4", "closed", 0, ["online"])]
    assert rows(database, "SELECT due_at FROM alert_patient_state") == [(NOW + timedelta(hours=81 + 72),)]
