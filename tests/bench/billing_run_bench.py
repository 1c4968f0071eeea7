"""How fast a month comes out of the database and back into it: `vitalwire billing run`.

Usage: `python -m tests.bench.billing_run_bench [PATIENTS]`. Fills a fresh PostgreSQL with patients as `billing_bench`
has them (one nurse for eight, never at two places at once), runs the month twice and prints one JSON object: patients a
second by the clock, processor seconds of the command, rows kept by the first and by the repeated run.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from server.db.embedded import stop_embedded
from tests.bench.billing_bench import months
from tests.support.database import fresh_database, make_template, server_dsn

Json = dict[str, Any]
Conn = psycopg.Connection[Any]
SHARED = 8
NAMES = {
    "practitioner": "practitioner_id",
    "from": "from_on",
    "to": "to_on",
    "performer": "performer_id",
    "start": "started_at",
    "end": "ended_at",
    "with": "with_whom",
}


def patients(count: int) -> Iterator[Json]:
    """Patient-months whose ids are unique in the database; a nurse goes from one of her patients to the next."""
    for number, facts in enumerate(months(count)):
        own = f"p{number}-"
        nurse, shift = f"rn-{number // SHARED}", timedelta(minutes=7 * (number % SHARED))
        for one in facts["time_entries"]:
            one |= {"id": own + one["id"], "performer": nurse}
            one |= {field: moved(one[field], shift) for field in ("start", "end", "recorded_at")}
        for one in facts["devices"]:
            one["id"] = own + one["id"]
        for one in facts["readings"]:
            one |= {"id": own + one["id"], "device": own + one["device"]}
        yield facts


def moved(instant: str, by: timedelta) -> str:
    return (datetime.fromisoformat(instant) + by).isoformat()


def fill(conn: Conn, count: int) -> None:
    """All rows by COPY."""
    everyone = list(patients(count))
    practice = everyone[0]["practice"]
    _copy(conn, "practice", [{"name": "Bench", "is_simulated": False, **practice}])
    _copy(conn, "payer_profile", [{"practice_id": practice["id"], **everyone[0]["payer"], "locality": None}])
    here = {"practice_id": practice["id"]}
    _copy(conn, "practitioner", [{**here, "id": "dr-a", "name": "Bench", "credential": "MD"}])
    nurse = {**here, "name": "Bench", "credential": "RN", "employer": "practice", "qualified": True}
    _copy(conn, "staff", [{"id": f"rn-{n}", **nurse} for n in range(count // SHARED + 1)])
    _copy(conn, "patient", [{**here, "name": "Bench", **_patient(facts)} for facts in everyone])
    known = {"recorded_at": "2015-01-01T00:00:00Z"}
    zones = (_of(facts, here, facts["patient"]["time_zones"]) for facts in everyone)
    _copy(conn, "patient_zone", [row for rows in zones for row in rows])
    conditions = (_of(facts, {**here, **known}, facts["patient"]["conditions"]) for facts in everyone)
    _copy(conn, "patient_condition", [row for rows in conditions for row in rows])
    for name, table in (
        ("visits", "visit"),
        ("enrollments", "enrollment"),
        ("consents", "consent"),
        ("care_plans", "care_plan"),
        ("services", "known_service"),
    ):
        lists = (_of(facts, {**here, **known}, facts.get(name, ())) for facts in everyone)
        _copy(conn, table, [row for rows in lists for row in rows])
    _copy(conn, "device", [{**here, **one} for facts in everyone for one in facts["devices"]])
    _copy(conn, "observation", [{**here, **_observation(f, one)} for f in everyone for one in f["readings"]])
    times = (_of(facts, {**here, "note": "bench"}, facts["time_entries"]) for facts in everyone)
    _copy(conn, "time_entry", [row for rows in times for row in rows])
    conn.commit()
    conn.autocommit = True
    conn.execute("ANALYZE")


def _patient(facts: Json) -> Json:
    return {name: facts["patient"][name] for name in ("id", "established_on", "qualified_medicare_beneficiary")}


def _of(facts: Json, here: Json, rows: Iterable[Json]) -> list[Json]:
    """Rows of one patient under the names of their columns."""
    own = {**here, "patient_id": facts["patient"]["id"]}
    return [{**own, **{NAMES.get(name, name): value for name, value in row.items()}} for row in rows]


def _observation(facts: Json, one: Json) -> Json:
    return {
        "patient_id": facts["patient"]["id"],
        "message_id": uuid.uuid5(uuid.NAMESPACE_OID, one["id"]),
        "gateway_id": "gw-0000000001",
        "device_id": one["device"],
        "kind": "blood-pressure",
        "measured_at": one["measured_at"],
        "received_at": one["received_at"],
        "stored_at": one["received_at"],
        "local_date": one["measured_at"][:10],
        "entry": one["entry"],
        "memory": "live",
        "time_quality": "synchronised",
        "components": Jsonb([]),
        "verdict": "accepted",
    }


def _copy(conn: Conn, table: str, rows: Sequence[Json]) -> None:
    """Rows into a table, one COPY for those that have the same columns."""
    kinds: dict[tuple[str, ...], list[Json]] = {}
    for row in rows:
        kinds.setdefault(tuple(row), []).append(row)
    for columns, alike in kinds.items():
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
        with conn.cursor() as cursor, cursor.copy(into) as copy:
            for row in alike:
                copy.write_row([row[column] for column in columns])


def run_month(dsn: str) -> tuple[float, float, Json]:
    """(seconds by the clock, processor seconds of the command and its processes, what it says)."""
    command = [sys.executable, "-m", "server.billing", "run", "--month", "2026-04", "--as-of", "2026-06-01T00:00:00Z"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    found = subprocess.run(
        command, env={**os.environ, "DATABASE_URL": dsn}, stdout=subprocess.PIPE, check=True, text=True
    )
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used, json.loads(found.stdout)


def main(count: int) -> Json:
    folder = Path(tempfile.mkdtemp(prefix="vw-bench-pg-"))
    dsn = server_dsn(folder)
    try:
        make_template(dsn, "vw_bench_template")
        with fresh_database(dsn, "vw_bench_template", "vw_bench") as url:
            with psycopg.connect(url) as owner:
                fill(owner, count)
            first = run_month(url)
            again = run_month(url)
    finally:
        if "TEST_DATABASE_URL" not in os.environ:
            stop_embedded(folder / "pgdata")
    return {
        "patients": count,
        "seconds": round(first[0], 1),
        "patients_per_second": round(count / first[0]),
        "command_cpu_seconds": round(first[1], 1),
        "stored": first[2]["stored"],
        "repeated_seconds": round(again[0], 1),
        "repeated_stored": again[2]["stored"],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)) + "\n")
