"""How many payloads a second `vitalwire decode --stdin` reads: cuff and meter payloads mixed, from a real pipe.

Run: `.venv/bin/python tests/bench/decode_bench.py [--payloads 500000]`. Prints payloads a second and microseconds each.
Pressures, glucose, pulse, time stamps and sequence numbers all vary (seeded), so that caches see a realistic spread.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _time_stamp(rng: random.Random) -> bytes:
    return (2024 + rng.randrange(3)).to_bytes(2, "little") + bytes(
        (rng.randint(1, 12), rng.randint(1, 28), rng.randrange(24), rng.randrange(60), rng.randrange(60))
    )


def _pressure_payload(rng: random.Random) -> bytes:
    systolic, diastolic = rng.randint(95, 195), rng.randint(55, 94)
    return (
        b"\x1e"
        + systolic.to_bytes(2, "little")
        + diastolic.to_bytes(2, "little")
        + ((systolic + 2 * diastolic) // 3).to_bytes(2, "little")
        + _time_stamp(rng)
        + rng.randint(45, 130).to_bytes(2, "little")
        + bytes((rng.randint(1, 2),))
        + rng.choice((0, 0, 0, 1, 4, 8)).to_bytes(2, "little")
    )


def _glucose_payload(rng: random.Random, sequence_number: int) -> bytes:
    concentration = rng.randint(40, 400) | 0xB000  # x 10^-5 kg/L = mg/dL
    return (
        b"\x0b"
        + (sequence_number % 65536).to_bytes(2, "little")
        + _time_stamp(rng)
        + rng.randint(-300, 300).to_bytes(2, "little", signed=True)
        + concentration.to_bytes(2, "little")
        + b"\x11\x00\x00"
    )


def _lines(count: int) -> bytes:
    rng = random.Random(20260302)
    lines = []
    for number in range(count):
        if number % 2:
            lines.append(f'{{"characteristic": "2A18", "hex": "{_glucose_payload(rng, number).hex()}"}}\n')
        else:
            lines.append(f'{{"characteristic": "2A35", "hex": "{_pressure_payload(rng).hex()}"}}\n')
    return "".join(lines).encode()


def _seconds(source: bytes) -> tuple[float, float, int]:
    """Wall seconds, processor seconds and output lines of one run of the command."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as taken:
        given.write(source)
        given.seek(0)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "gateway.decode", "--stdin"], stdin=given, stdout=taken, check=True, cwd=ROOT
        )
        wall = time.perf_counter() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.seek(0)
        return wall, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime, sum(1 for _ in taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payloads", type=int, default=300_000)
    count = parser.parse_args().payloads
    source = _lines(count)
    start_wall, start_processor, _ = _seconds(b"")
    wall, processor, results = _seconds(source)
    if results != count:
        raise SystemExit(f"{results} results for {count} payloads")
    print(f"start-up {start_wall:.2f} s; {count} payloads (half 2A35, half 2A18)")
    print(f"wall      {count / (wall - start_wall):>9,.0f} payloads/s")
    print(f"processor {count / (processor - start_processor):>9,.0f} payloads/s on one core")


if __name__ == "__main__":
    main()
