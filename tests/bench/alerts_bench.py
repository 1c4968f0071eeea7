"""Benchmarks of alerting: the pure engine on one core, and reading committed -> alert row on a real PostgreSQL.

Run: `.venv/bin/python -m tests.bench.alerts_bench engine|latency [--rate 500] [--seconds 20]`. Seeded; prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg

from alerts.engine import step
from alerts.model import Reading
from alerts.profile import rules_for
from alerts.rules import load_rule_set
from alerts.state import decode_state, encode_state, new_state
from server.db.embedded import start_embedded, stop_embedded
from tests.support.alert_database import provision
from tests.support.database import fresh_database, make_template

START = datetime(2026, 1, 5, tzinfo=UTC)


def engine(patients: int = 200, days: int = 60) -> dict[str, float]:
    """Two blood pressures and two glucose values a day and patient; every 20th is out of range. Full windows."""
    rng = random.Random(7)
    rules = rules_for(load_rule_set(), {"expects": ["bp", "glucose"]})
    streams: list[list[Reading]] = []
    for patient in range(patients):
        stream: list[Reading] = []
        for day in range(days):
            for hour in (7, 19):
                at = START + timedelta(days=day, hours=hour, minutes=rng.randrange(30))
                high = rng.random() < 0.05
                sys = Decimal(rng.randrange(182, 215) if high else rng.randrange(110, 140))
                dia = Decimal(rng.randrange(66, 88))
                stream.append(_reading(f"{patient}-{len(stream)}", "bp", at, (sys, dia, Decimal(70))))
                low = rng.random() < 0.05
                value = Decimal(rng.randrange(45, 69) if low else rng.randrange(85, 180))
                stream.append(_reading(f"{patient}-{len(stream)}", "glucose", at + timedelta(minutes=2), (value,)))
        streams.append(stream)
    total = sum(map(len, streams))
    outputs = 0
    started = time.perf_counter()
    for stream in streams:
        state = new_state(START)
        for reading in stream:
            state, said = step(state, reading, rules)
            outputs += len(said)
    elapsed = time.perf_counter() - started
    encoded = encode_state(state)
    codec = time.perf_counter()
    for _ in range(1000):
        decode_state(encode_state(state))
    return {
        "readings": total,
        "outputs": outputs,
        "readings_per_second": round(total / elapsed),
        "state_bytes": len(encoded),
        "state_round_trips_per_second": round(1000 / (time.perf_counter() - codec)),
    }


def _reading(name: str, kind: str, at: datetime, values: tuple[Decimal, ...]) -> Reading:
    return Reading(id=name, kind=kind, measured_at=at, arrived_at=at, values=values, day=at.toordinal())


async def latency(rate: int, seconds: int, patients: int = 1000) -> dict[str, float]:
    """Commit `rate` readings a second, each its own transaction as ingest's batches are, against one worker process.

    Measured per reading that must raise an alert (every 20th): from its COMMIT to the moment another connection, woken
    as the pages are, has read the alert's event.
    """
    with tempfile.TemporaryDirectory(prefix="vw-bench-") as folder:
        dsn = start_embedded(Path(folder) / "pgdata")
        try:
            make_template(dsn, "bench_template")
            names = [f"pt-{n:05}" for n in range(patients)]
            with fresh_database(dsn, "bench_template", "bench") as url:
                provision(url, *names)
                return await _measure(url, names, rate, seconds)
        finally:
            stop_embedded(Path(folder) / "pgdata")


async def _measure(url: str, names: list[str], rate: int, seconds: int) -> dict[str, float]:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alerts", "run", env={**os.environ, "DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert worker.stdout is not None
    await asyncio.wait_for(worker.stdout.readline(), 30)
    rng = random.Random(11)
    seen: dict[uuid.UUID, float] = {}
    watching = asyncio.create_task(_watch(url, seen), name="bench-watch")
    committed: dict[uuid.UUID, float] = {}
    batch = max(1, rate // 50)  # ingest commits every 20 ms at this rate
    conn = await psycopg.AsyncConnection.connect(url, autocommit=True, options="-c role=vw_ingest")
    begun = time.perf_counter()
    for number in range(rate * seconds // batch):
        await asyncio.sleep(max(0.0, begun + number * batch / rate - time.perf_counter()))
        rows = []
        severe = []
        now = datetime.now(UTC)
        for _ in range(batch):
            message = uuid.uuid4()
            low = rng.random() < 0.05
            patient = rng.choice(names)
            value = str(rng.randrange(45, 54) if low else rng.randrange(90, 180))
            component = {"metric": "glucose", "value": value, "unit": "mg/dL"}
            rows.append(
                (message, "pr-test", patient, f"gl-test-{patient}", now, now, now.date(), json.dumps([component]))
            )
            if low:
                severe.append(message)
        async with conn.transaction():
            async with conn.cursor() as cursor:
                await cursor.executemany(
                    "INSERT INTO observation (message_id, practice_id, patient_id, gateway_id, device_id, kind,"
                    " measured_at, received_at, local_date, entry, memory, time_quality, components, verdict)"
                    " VALUES (%s, %s, %s,"
                    " 'gw-0123456789', %s, 'glucose', %s, %s, %s, 'automatic', 'live', 'synchronised', %s, 'accepted')",
                    rows,
                )
                await cursor.executemany(
                    "INSERT INTO alert_work (practice_id, patient_id, message_id, measured_at) VALUES (%s, %s, %s, %s)",
                    [(r[1], r[2], r[0], r[4]) for r in rows],
                )
            await conn.execute("SELECT pg_notify('vw_alert_work', '')")
        at = time.time()
        committed.update(dict.fromkeys(severe, at))
    sent = time.perf_counter() - begun
    async with asyncio.timeout(60):
        while not committed.keys() <= seen.keys():  # noqa: ASYNC110 - another task fills it as rows appear
            await asyncio.sleep(0.05)
    watching.cancel()
    worker.terminate()
    await worker.wait()
    delays = sorted(1000 * (seen[message] - at) for message, at in committed.items())
    return {
        "readings_per_second": round(rate * seconds / sent),
        "alerted_readings": len(committed),
        "p50_ms": round(statistics.median(delays), 1),
        "p99_ms": round(delays[int(len(delays) * 0.99)], 1),
        "max_ms": round(delays[-1], 1),
    }


async def _watch(url: str, seen: dict[uuid.UUID, float]) -> None:
    """Note when each reading's alert event can first be read by another connection (the pages' wake-up)."""
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as conn,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as ear,
    ):
        await ear.execute("LISTEN vw_ui")
        last = 0
        async for _ in ear.notifies():
            rows = await (
                await conn.execute(
                    "SELECT id, detail -> 'evidence' ->> -1 FROM alert_event WHERE id > %s ORDER BY id", (last,)
                )
            ).fetchall()
            at = time.time()
            for number, reading in rows:
                last = number
                if reading is not None:
                    seen.setdefault(uuid.UUID(reading), at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["engine", "latency"])
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    result = engine() if options.what == "engine" else asyncio.run(latency(options.rate, options.seconds))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
