"""Many months by one process or several: the same bytes, errors in their place, a clean end when a person stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.billing.stream import BLOCK, SHORT, Document, answers
from tests.billing_cases.months import month_facts

ROOT = Path(__file__).parents[3]


def documents(count: int, *, wrong: tuple[int, ...] = ()) -> list[Document]:
    """Months of different patients; the wrong ones are no JSON."""
    facts = month_facts("2026-06", ccm_time="20:00")
    made: list[Document] = []
    for number in range(1, count + 1):
        facts["patient"]["id"] = f"p{number}"
        made.append((number, "{" if number in wrong else json.dumps(facts)))
    return made


@pytest.mark.parametrize("jobs", [2, 3])
@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 1])
def test_any_number_of_processes_gives_the_same_bytes(jobs: int, count: int) -> None:
    given = documents(count, wrong=(1, BLOCK, count))

    alone = list(answers(given, "json", 1))
    shared = list(answers(given, "json", jobs))

    assert b"".join(one.output for one in shared) == b"".join(one.output for one in alone)
    assert [n for one in shared for n in one.wrong] == sorted({1, count} | ({BLOCK} if count >= BLOCK else set()))


@pytest.mark.parametrize(("count", "blocks"), [(SHORT, SHORT), (SHORT + 1, SHORT // BLOCK + 1)])
def test_short_input_is_answered_without_a_second_process(
    count: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.billing.stream.cores", lambda: 2)

    found = list(answers(documents(count), "json"))

    assert len(found) == blocks
    patients = [json.loads(line)["patient"] for one in found for line in one.output.splitlines()]
    assert patients == [f"p{number}" for number in range(1, count + 1)]


def test_reads_no_further_than_the_blocks_under_way() -> None:
    read = 0

    def endless() -> Iterator[Document]:
        nonlocal read
        while True:
            read += 1
            yield read, "{"

    found = answers(endless(), "json", 2)
    next(found)
    found.close()  # type: ignore[attr-defined]

    assert read <= 8 * BLOCK


def test_interrupt_ends_every_process_without_a_traceback(tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_text("".join(f"{text}\n" for _, text in documents(12 * BLOCK)), encoding="utf-8")
    command = [sys.executable, "-m", "server.billing", "adjudicate", "--jobs", "2", str(facts)]
    # Nobody reads on: the answers fill the pipe, so that the run is under way until it is interrupted.
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.read(1) == b"{"
        os.killpg(run.pid, signal.SIGINT)
        _, said = run.communicate(timeout=60)

    assert run.returncode not in (0, 2)
    assert b"Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)
