"""Benchmark of `vitalwire alerts replay`: stored readings on a real PostgreSQL, two rule sets, one process.

Run: `.venv/bin/python -m tests.bench.replay_bench [--patients 1000] [--days 90]`. Seeded; prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from alerts.rules import DEFAULT_POLICY, load_rule_set
from server.db.embedded import start_embedded, stop_embedded
from tests.support.alert_database import NOW, provision
from tests.support.database import fresh_database, make_template

WARM_UP_DAYS = 16  # what a replay reads before its first day
SEVERE = '[[sys, ">", 180], [dia, ">", 120]]'
LOOSER = '[[sys, ">", 195], [dia, ">", 120]]'


def fill(dsn: str, patients: int, days: int) -> None:
    """Two blood pressures and two glucose values a day and patient, every 20th out of range, judged on arrival."""
    provision(dsn, *(f"pt-{n:05}" for n in range(patients)))
    with psycopg.connect(dsn) as conn:
        conn.execute("SELECT setseed(0.5)")
        conn.execute(
            """
            INSERT INTO observation (message_id, practice_id, patient_id, gateway_id, device_id, kind, measured_at,
                received_at, local_date, entry, memory, time_quality, components, verdict)
            SELECT gen_random_uuid(), p.practice_id, p.id, 'gw-0123456789',
                CASE k WHEN 'glucose' THEN 'gl-test-' ELSE 'bp-test-' END || p.id, k, at, at, at::date,
                'automatic', 'live', 'synchronised',
                CASE k WHEN 'glucose' THEN jsonb_build_array(jsonb_build_object('metric', 'glucose', 'unit', 'mg/dL',
                    'value', (CASE WHEN random() < 0.05 THEN 45 ELSE 85 END + floor(random() * 24))::text))
                ELSE jsonb_build_array(
                    jsonb_build_object('metric', 'systolic', 'unit', 'mm[Hg]',
                        'value', (CASE WHEN random() < 0.05 THEN 182 ELSE 110 END + floor(random() * 30))::text),
                    jsonb_build_object('metric', 'diastolic', 'unit', 'mm[Hg]',
                        'value', (66 + floor(random() * 22))::text))
                END,
                'accepted'
            FROM patient p
            CROSS JOIN generate_series(0, %s) AS day
            CROSS JOIN (VALUES ('blood-pressure'), ('glucose')) AS kinds (k)
            CROSS JOIN (VALUES (7), (19)) AS hours (h)
            CROSS JOIN LATERAL (
                SELECT %s::timestamptz - make_interval(days => day::int, hours => h, mins => (random() * 30)::int) AS at
            ) AS t
            """,
            (days - 1, NOW),
        )
        conn.execute(
            "INSERT INTO observation_judgement (message_id, practice_id, patient_id, verdict, arrived_at)"
            " SELECT message_id, practice_id, patient_id, 'ok', measured_at FROM observation"
        )
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE")


def measure(dsn: str, folder: Path, days: int) -> dict[str, object]:
    rules = folder / "looser.yaml"
    text = DEFAULT_POLICY.read_text(encoding="utf-8")
    rules.write_text(text.replace(SEVERE, LOOSER, 1), encoding="utf-8")
    assert load_rule_set(rules) != load_rule_set()
    words = ["--days", str(days), "--rules", str(rules), "--until", NOW.strftime("%Y-%m-%dT%H:%M:%SZ")]
    before = _processor_seconds()
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "alerts", "replay", *words],
        env={**os.environ, "DATABASE_URL": dsn},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.perf_counter() - started
    report = json.loads(done.stdout)
    return {
        "patients": report["patients"],
        "readings": report["readings"],
        "seconds": round(seconds, 1),
        "processor_seconds": round(_processor_seconds() - before, 1),
        "readings_per_second": round(report["readings"] / seconds),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "summary": report["summary"],
        "load": round(os.getloadavg()[0], 1),
    }


def _processor_seconds() -> float:
    """Of ended children: the command's, not the database server's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--days", type=int, default=90)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vw-bench-") as name:
        folder = Path(name)
        dsn = start_embedded(folder / "pgdata")
        try:
            make_template(dsn, "bench_template")
            with fresh_database(dsn, "bench_template", "bench") as url:
                fill(url, options.patients, options.days + WARM_UP_DAYS)
                print(json.dumps(measure(url, folder, options.days)))
        finally:
            stop_embedded(folder / "pgdata")


if __name__ == "__main__":
    main()
