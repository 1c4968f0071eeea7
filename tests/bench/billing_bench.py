"""How fast months are adjudicated, JSON in and out, and whether memory stays flat.

Usage: `python -m tests.bench.billing_bench [MONTHS]`. Each generated month has 30 time entries, 25 reading days and
three programs (RPM, CCM, behavioral integration). Prints one JSON object: months a second in the process, and of
`python -m server.billing adjudicate -` by the clock and by processor time, with its peak memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

from server.billing.determine import adjudicate
from tests.billing_cases.months import consent, entry, local, month_facts, reading

Json = dict[str, Any]
FIRST = date(2026, 4, 1)


def months(count: int, *, seed: int = 7) -> Iterator[Json]:
    """Patient-months that differ in their minutes and days."""
    chance = Random(seed)
    for number in range(count):
        facts = month_facts("2026-04", period_from=FIRST, days=1, ccm_time="0:01")
        facts["patient"]["id"] = f"p{number}"
        facts["enrollments"].append({"program": "bhi", "practitioner": "dr-a", "from": "2026-02-16"})
        facts["visits"][0]["discussed"] = ["rpm", "ccm", "bhi"]
        consent(facts, "bhi", facts["consents"][0]["granted_at"])
        days = sorted(chance.sample(range(1, 30), 24))
        facts["readings"] += [reading(f"d{n}", FIRST + timedelta(days=n)) for n in days]
        facts["time_entries"] = [
            entry(
                f"t{n}",
                ("rpm", "ccm", "bhi")[n % 3],
                local(FIRST + timedelta(days=n % 30), 9 + n % 3),
                chance.randrange(30, 400),
                **({"activity": "live-call", "live": True, "with": "patient"} if n % 3 == 0 else {}),
            )
            for n in range(30)
        ]
        yield facts


def in_process(sample: list[Json]) -> float:
    """Months a second of processor time, facts already parsed from JSON."""
    adjudicate(sample[0])
    begun = time.process_time()
    for facts in sample:
        adjudicate(facts)
    return len(sample) / (time.process_time() - begun)


def through_the_command(count: int) -> Json:
    """The command over a file of `count` months, JSON in and out. The file keeps this process small: its own memory
    would else be counted as the child's."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "facts.jsonl", Path(folder) / "answers.jsonl"
        with source.open("w", encoding="utf-8") as out:
            for facts in months(count):
                out.write(json.dumps(facts) + "\n")
        begun = time.perf_counter()
        with source.open("rb") as given, target.open("wb") as answers:
            subprocess.run(
                [sys.executable, "-m", "server.billing", "adjudicate", "-"], stdin=given, stdout=answers, check=True
            )
        seconds = time.perf_counter() - begun
        with target.open("rb") as answers:
            answered = sum(1 for _ in answers)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "months": count,
        "answered": answered,
        "command_per_second": round(count / seconds),
        "command_per_cpu_second": round(count / (used.ru_utime + used.ru_stime)),
        "command_peak_mb": round(used.ru_maxrss / 1024),
    }


def main(count: int) -> Json:
    found = through_the_command(count)
    return {**found, "in_process_per_cpu_second": round(in_process(list(months(min(count, 500)))))}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)) + "\n")
