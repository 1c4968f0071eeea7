"""`vitalwire gateway …` as an installer meets it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from gateway import contract
from gateway.cli import app
from gateway.clock import SystemClock
from gateway.health import LocalStatus
from gateway.journal_rows import NewEntry, PacketState
from gateway.outbox import Outbox
from tests.unit.gateway.test_derive_readings import CUFF_128, HEARD

runner = CliRunner()
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("VITALWIRE_"):
            monkeypatch.delenv(name)


def local_status(**changes: object) -> LocalStatus:
    said = contract.Status(
        state="online",
        at=datetime.now(UTC),
        outbox_depth=2,
        oldest_pending_at=datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
        software="vitalwire/0.1.0",
        devices=(contract.DeviceStatus(id="bp-1", battery_percent=80, bond="bonded", warning="bond-lost"),),
        warnings=("nobody-listens",),
    )
    return LocalStatus(status=msgspec.structs.replace(said, **changes), broker="connected")


def journal(folder: Path) -> None:
    from device_drivers.driver import Packet

    async def fill() -> None:
        outbox = Outbox(folder / "journal.sqlite", clock=SystemClock())
        outbox.open()
        session = await outbox.begin_session(device_id="bp-1", driver="std.blood_pressure", home_zone="UTC")
        packet = Packet(characteristic="2A35", payload=CUFF_128, received_at=HEARD, monotonic=1.0)
        packet_id = await asyncio.wrap_future(outbox.append(session, packet))
        entries = [NewEntry(message_id=f"m{n}", device_id="bp-1", memory="live", envelope=b"{}") for n in range(3)]
        await outbox.file_readings(
            session, entries, [PacketState(packet_id=packet_id, state="quarantined", reason="an old driver")]
        )
        await outbox.settle(["m0"], [("m1", "unknown-device")])
        await outbox.close()

    asyncio.run(fill())


def test_run_without_settings_names_them_and_ends_with_two() -> None:
    done = runner.invoke(app, ["run"])

    assert done.exit_code == 2
    assert "VITALWIRE_GATEWAY_ID" in done.stderr
    assert "VITALWIRE_MQTT_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_in_words(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_bytes(msgspec.json.encode(local_status()))

    done = runner.invoke(app, ["status", "--data", str(tmp_path)])

    assert done.exit_code == 0
    assert "Gateway: running" in done.stdout
    assert "2 readings wait for the server, the oldest since 2026-03-02 12:00 UTC" in done.stdout
    assert "server is not listening" in done.stdout
    assert "Device bp-1: never heard, bond: bonded, battery 80 %" in done.stdout
    assert "forgot this box" in done.stdout


def test_status_of_a_dead_gateway_says_so(tmp_path: Path) -> None:
    old = local_status(at=datetime(2026, 3, 2, 12, 0, tzinfo=UTC))
    (tmp_path / "status.json").write_bytes(msgspec.json.encode(old))

    assert "NOT RUNNING" in runner.invoke(app, ["status", "--data", str(tmp_path)]).stdout


def test_status_as_json_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_bytes(msgspec.json.encode(local_status()))

    done = runner.invoke(app, ["status", "--data", str(tmp_path), "--json"])

    assert json.loads(done.stdout)["status"]["outbox_depth"] == 2


@pytest.mark.parametrize("command", [["status"], ["outbox", "show"], ["outbox", "redecode"]])
def test_wrong_folder_is_one_json_error(tmp_path: Path, command: list[str]) -> None:
    done = runner.invoke(app, [*command, "--data", str(tmp_path / "none"), "--json"])

    assert done.exit_code == 1
    assert set(json.loads(done.stderr)["error"]) == {"kind", "message", "where"}
    assert done.stdout == ""


def test_outbox_shows_what_waits_and_what_was_refused(tmp_path: Path) -> None:
    journal(tmp_path)

    words = runner.invoke(app, ["outbox", "show", "--data", str(tmp_path)]).stdout
    found = json.loads(runner.invoke(app, ["outbox", "show", "--data", str(tmp_path), "--json"]).stdout)

    assert "Waiting for the server: 1" in words
    assert "unknown-device" in words
    assert (found["depth"], found["stored"], found["rejected"], found["quarantined"]) == (1, 1, 1, 1)
    assert found["unreadable_packets"][0]["reason"] == "an old driver"
    assert "128" not in words


def test_redecode_reads_quarantined_packets_with_the_drivers_of_today(tmp_path: Path) -> None:
    journal(tmp_path)

    first = runner.invoke(app, ["outbox", "redecode", "--data", str(tmp_path), "--json"])
    second = runner.invoke(app, ["outbox", "redecode", "--data", str(tmp_path), "--json"])

    assert (json.loads(first.stdout), json.loads(second.stdout)) == ({"new": 1}, {"new": 0})


def test_send_again_after_a_restored_backup(tmp_path: Path) -> None:
    journal(tmp_path)

    done = runner.invoke(app, ["outbox", "send-again", "--since", "2020-01-01", "--data", str(tmp_path), "--json"])

    assert json.loads(done.stdout) == {"pending": 1}


def test_module_can_be_run_and_teaches() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--help"], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )

    assert "First time?" in done.stdout


def test_home_box_needs_none_of_the_servers_or_the_laboratorys_packages() -> None:
    code = (
        "import sys, gateway.cli, gateway.runtime, gateway.enrol, gateway.watch\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'bumble', 'psycopg', 'fastapi', 'numpy', 'server'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )

    assert done.stdout.strip() == "[]"
