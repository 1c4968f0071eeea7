"""`python -m tests.bench [NAME...]`: run benchmarks one after the other, each in a process of its own.

Input: names, none for all. Output: what each benchmark prints, under its command; exit 1 when one of them failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Bench:
    """A benchmark: its module with its words, and what it measures."""

    words: tuple[str, ...]
    measures: str


BENCHES: Final[dict[str, Bench]] = {
    "decode": Bench(("decode_bench",), "payloads a second through `vitalwire decode --stdin`"),
    "journal": Bench(
        ("journal_bench",), "append → COMMIT of the gateway's journal (--folder in the script: which disk)"
    ),
    "gateway": Bench(("gateway_idle_bench",), "memory and idle CPU of the home box on BlueZ's own path"),
    "reading-latency": Bench(("reading_latency_bench",), "a cuff's packet heard → committed by the server"),
    "ingest": Bench(("ingest_bench",), "MQTT → committed row → receipt, beside a naive consumer"),
    "ingest-quick": Bench(("ingest_bench", "--quick"), "the same with a tenth of the readings"),
    "alert-engine": Bench(("alerts_bench", "engine"), "readings judged a second, pure, one core"),
    "alert-latency": Bench(("alerts_bench", "latency"), "reading committed → alert readable, 500 readings/s"),
    "alert-replay": Bench(("replay_bench",), "90 days of 1,000 patients under two rule sets"),
    "billing": Bench(("billing_bench",), "patient-months adjudicated a second, JSON in and out"),
    "billing-run": Bench(("billing_run_bench",), "patients a second from the database and back into it"),
}
_ALL: Final = tuple(name for name in BENCHES if name != "ingest-quick")


def main(arguments: Sequence[str] | None = None) -> int:
    width = max(map(len, BENCHES))
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Run benchmarks one after the other; without a name, all but ingest-quick.",
        epilog="\n".join(f"  {name:<{width}}  {bench.measures}" for name, bench in BENCHES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="one of those below")
    names = parser.parse_args(arguments).names or _ALL
    if unknown := [name for name in names if name not in BENCHES]:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHES)}")
    return max([_run(BENCHES[name]) for name in names])


def _run(bench: Bench) -> int:
    module, *words = bench.words
    command = [sys.executable, "-m", f"tests.bench.{module}", *words]
    print(f"== python {' '.join(command[1:])}: {bench.measures}", flush=True)
    return 1 if subprocess.run(command, check=False).returncode else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
