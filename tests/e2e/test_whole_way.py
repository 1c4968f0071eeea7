"""The spine: one reading through every hand, and a scenario whose ledger must equal the database. Real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("whole-system")

VITALWIRE = (sys.executable, "-m", "server.cli")


def environment() -> dict[str, str]:
    """Without the database of whoever runs the tests: these bring their own."""
    return {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own folder: that is closed to the user the embedded PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="vw-demo-", ignore_cleanup_errors=True) as name:
        yield Path(name) / "demo"


@pytest.mark.timeout(240)
def test_one_reading_gets_all_its_stamps_and_a_second_start_keeps_the_data(folder: Path) -> None:
    command = [*VITALWIRE, "demo", "--check", "--data", str(folder)]

    first = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    second = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)

    assert first.returncode == 0, first.stdout + first.stderr
    assert second.returncode == 0, second.stdout + second.stderr
    for stamp in ("device", "gateway journal", "broker", "database", "receipt", "alert", "page"):
        assert re.search(rf"^  {stamp} +\d{{4}}-\d\d-\d\dT", first.stdout, re.MULTILINE), first.stdout
    assert "MISSING" not in first.stdout
    readings = {re.search(r"reading ([0-9a-f-]{36})", run.stdout) for run in (first, second)}
    assert len({match[1] for match in readings if match}) == 2
    # Nothing of the first run was left behind, nothing of a patient is in a log.
    logs = "".join(path.read_text(errors="replace") for path in (folder / "logs").glob("*.log"))
    for private in ("Anna Berg", "Luis Ortega", "555 0101", "228"):
        assert private not in logs


@pytest.mark.timeout(240)
def test_scenario_ends_with_every_measured_reading_stored_once(folder: Path) -> None:
    command = [*VITALWIRE, "simulate", "scenario", "three-homes", "--data", str(folder)]

    run = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)

    result = json.loads(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    assert result["missing"] == []
    assert result["doubled"] == []
    assert result["measured"] == result["stored"]
    assert result["all_judged"]
    assert all(line["holds"] for line in result["expectations"])


@pytest.mark.timeout(120)
def test_interrupting_the_demo_stops_every_process(folder: Path) -> None:
    demo = subprocess.Popen(
        [*VITALWIRE, "demo", "--data", str(folder)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert demo.stdout is not None
    with demo.stdout as output:
        assert any("Ctrl-C" in line for line in output)
        demo.send_signal(signal.SIGINT)
        output.read()
    demo.wait(60)

    left = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False).stdout.split()
    assert left == []


def test_unknown_scenario_is_one_clear_error(tmp_path: Path) -> None:
    run = subprocess.run(
        [*VITALWIRE, "simulate", "scenario", str(tmp_path / "nowhere.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 2
    assert "no such file" in json.loads(run.stderr)["error"]["message"]
