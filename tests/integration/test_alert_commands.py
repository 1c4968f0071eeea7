"""The alert commands that need a database, as an operator runs them; channels that fail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from alerts.notify.channel import Channel, Delivery, Notification
from alerts.notify.console import Console
from alerts.rules import load_rule_set
from alerts.worker import Worker, connect
from tests.support.alert_database import NOW, PATIENT, PRACTICE, glucose, provision, rows, store_reading


async def run_command(*words: str, **environment: str) -> tuple[int | None, str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DATABASE_URL")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alerts", *words, env={**clean, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("command", ["run", "list"])
async def test_command_without_a_database_says_what_to_set(command: str) -> None:
    code, out, err = await run_command(command)

    assert (code, out) == (2, "")
    assert json.loads(err)["error"]["where"] == "DATABASE_URL"


async def test_unreadable_secret_file_is_named(tmp_path: Path) -> None:
    code, _, err = await run_command("run", DATABASE_URL_FILE=str(tmp_path / "none"))

    assert code == 2
    assert json.loads(err)["error"]["where"] == "DATABASE_URL_FILE"


async def test_list_prints_live_alerts_as_json(database: str, tmp_path: Path) -> None:
    provision(database)
    store_reading(database, glucose("48"), kind="glucose")
    async with await connect(database) as conn:
        await Worker(database, load_rule_set(), now=lambda: NOW).once(conn)
    secret = tmp_path / "url"
    secret.write_text(database + "\n")

    code, out, _ = await run_command("list", "--practice", PRACTICE, DATABASE_URL_FILE=str(secret))

    listed = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(a["family"], a["severity"], a["state"], a["patient"]) for a in listed] == [
        ("glucose.low", "P1", "open", PATIENT)
    ]
    assert (await run_command("list", "--practice", "pr-none", DATABASE_URL=database))[1] == ""


async def test_worker_process_says_ready_logs_aside_and_ends_cleanly_when_told(database: str) -> None:
    provision(database)
    with psycopg.connect(database) as conn:
        now = conn.execute("SELECT clock_timestamp()").fetchone()
    assert now is not None
    store_reading(database, glucose("48"), kind="glucose", measured_at=now[0])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alerts", "run", env={**os.environ, "DATABASE_URL": database},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    log = await asyncio.wait_for(process.stderr.readline(), 30)
    process.send_signal(signal.SIGTERM)
    out, _ = await asyncio.wait_for(process.communicate(), 30)

    assert [json.loads(line) for line in out.splitlines()] == [{"ready": True}]
    assert json.loads(log).items() >= {"event": "notification", "severity": "P1", "family": "glucose.low"}.items()
    assert process.returncode == 0


class Broken:
    """A channel whose provider refuses."""

    name = "broken"

    async def send(self, conn: psycopg.AsyncConnection[Any], notification: Notification) -> Delivery:
        return Delivery(channel=self.name, succeeded=False, reason="provider refused")


async def test_failed_attempt_is_a_row_and_stops_no_other_channel(database: str) -> None:
    provision(database)
    store_reading(database, glucose("48"), kind="glucose")
    channels: tuple[Channel, ...] = (Broken(), Console())

    async with await connect(database) as conn:
        await Worker(database, load_rule_set(), channels=channels, now=lambda: NOW).once(conn)

    assert rows(database, "SELECT channel, succeeded, reason, attempted_at FROM delivery ORDER BY id") == [
        ("broken", False, "provider refused", NOW),
        ("console", True, "", NOW),
    ]


async def test_health_is_bad_while_a_reading_waits_too_long_and_good_once_it_is_judged(database: str) -> None:
    provision(database)
    with psycopg.connect(database) as conn:
        row = conn.execute("SELECT clock_timestamp() - interval '61 seconds'").fetchone()
    assert row is not None
    store_reading(database, glucose("104"), kind="glucose", measured_at=row[0], enqueued_at=row[0])

    waiting = await run_command("health", DATABASE_URL=database)
    patient = await run_command("health", "--limit", "3600", DATABASE_URL=database)
    async with await connect(database) as worker:
        await Worker(database, load_rule_set(), now=lambda: row[0]).once(worker)
    judged = await run_command("health", DATABASE_URL=database)
    away = await run_command("health", DATABASE_URL="postgresql://127.0.0.1:1/nowhere")

    assert (waiting[0], json.loads(waiting[1])["healthy"]) == (1, False)
    assert (patient[0], json.loads(patient[1])["healthy"]) == (0, True)
    assert (judged[0], json.loads(judged[1])) == (0, {"healthy": True, "longest_wait_seconds": 0})
    assert away[0] == 1
    assert json.loads(away[2])["error"]["where"] == "DATABASE_URL"
