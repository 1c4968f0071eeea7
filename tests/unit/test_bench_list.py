"""Every benchmark script is on the list that `make bench` runs, and is told in the README."""

from __future__ import annotations

from pathlib import Path

from tests.bench.__main__ import BENCHES

BENCH = Path(__file__).parents[1] / "bench"


def test_every_script_is_listed() -> None:
    assert {path.stem for path in BENCH.glob("*_bench.py")} == {bench.words[0] for bench in BENCHES.values()}


def test_every_benchmark_has_its_line_of_figures() -> None:
    told = (BENCH / "README.md").read_text(encoding="utf-8")

    assert [name for name in BENCHES if name != "ingest-quick" and f"| `{name}` |" not in told] == []
