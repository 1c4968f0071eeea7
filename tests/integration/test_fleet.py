"""Fifty gateways against a real broker, the real ingest process and a real database: what is stored is the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from server import cli
from server.db.pool import connect
from server.demo.fleet_command import compare_ledger
from server.provision import ProvisionedGateway
from simulators.fleet import Bounds, Fleet, FleetBroker, FleetResult
from simulators.fleet_pattern import FleetError, FleetHome, Pattern, read_homes
from tests.support.broker import Broker, mosquitto
from tests.support.ingest import IngestProcess, ingest, provisioned, rows

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
PATTERN = Pattern(seed=7, begin=BEGIN, power_back=BEGIN + timedelta(hours=18), offline_share=0.2)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def read(provisioned_homes: list[ProvisionedGateway]) -> tuple[FleetHome, ...]:
    return read_homes([asdict(home) for home in provisioned_homes])


def live(
    broker: Broker,
    homes: tuple[FleetHome, ...],
    ledger: Path,
    *,
    readings: int,
    speed: float = 60_000,
    progress: Callable[[FleetResult], None] | None = None,
) -> FleetResult:
    bounds = Bounds(speed=speed, readings=readings)
    with ledger.open("w", encoding="utf-8") as lines:
        return Fleet(FleetBroker(host=broker.host, port=broker.port), homes, PATTERN, bounds, lines, progress).run()


class Restarts:
    """Kills ingest at the first sign of receipts, and starts it again when readings wait for theirs."""

    def __init__(self, process: IngestProcess, broker: Broker) -> None:
        self.process = process
        self.broker = broker
        self.killed_at = self.done_at = 0

    def __call__(self, result: FleetResult) -> None:
        if not self.killed_at and result.receipted:
            self.process.kill()
            self.killed_at = result.made
        elif self.killed_at and not self.done_at and result.unreceipted > 20:
            # The broker forgets everything it held for ingest: only the gateways still have these readings.
            self.broker.restart()
            self.process.start()
            self.done_at = result.made


def test_power_back_burst_and_restarts_of_ingest_and_broker_lose_and_double_nothing(
    database: str, tmp_path: Path
) -> None:
    identities = provisioned(database, 50, 2)
    ledger = tmp_path / "ledger.jsonl"
    with mosquitto(tmp_path) as broker, ingest(database, broker, tmp_path) as process:
        restarts = Restarts(process, broker)
        result = live(broker, read(identities), ledger, readings=900, speed=30_000, progress=restarts)

    assert restarts.done_at > restarts.killed_at > 0
    assert (result.made, result.receipted, result.rejected) == (900, 900, 0)
    # Identities are new each time, and with them who had no power and what was on its way at the restarts.
    assert 0 < result.connected <= 50
    assert result.refused == 0
    assert result.lost_connections > 0
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    stored = rows(database, "SELECT message_id::text, gateway_id, device_id, measured_at FROM observation")
    assert sorted(stored) == sorted(
        (entry["message_id"], entry["gateway"], entry["device"], datetime.fromisoformat(entry["measured_at"]))
        for entry in entries
    )
    [(burst,)] = rows(database, "SELECT count(*) FROM observation WHERE memory = 'stored'")
    assert burst > 0
    with connect(database) as conn:
        comparison = compare_ledger(conn, ledger, [home.gateway for home in identities], since=LONG_AGO)
    assert comparison.holds
    assert comparison.stored == 900


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM observation WHERE message_id = '{}'", "missing"),
        (
            "UPDATE observation SET components=jsonb_set(components, '{{0,unit}}', '\"kPa\"') WHERE message_id = '{}'",
            "changed",
        ),
        (
            "UPDATE observation SET measured_at = measured_at + interval '1 second' WHERE message_id = '{}'",
            "changed",
        ),
        ("UPDATE observation SET message_id = gen_random_uuid() WHERE message_id = '{}'", "unexpected"),
        (
            """
            CREATE TEMP TABLE twin AS SELECT * FROM observation WHERE message_id = '{}';
            UPDATE twin SET measured_at = measured_at + interval '1 hour';
            INSERT INTO observation SELECT * FROM twin
            """,
            "doubled",
        ),
    ],
)
def test_the_comparison_finds_what_differs(database: str, tmp_path: Path, statement: str, kind: str) -> None:
    """The same ledger, held against a database in which one row was touched behind its back."""
    identities = provisioned(database, 3, 2)
    ledger = tmp_path / "ledger.jsonl"
    with mosquitto(tmp_path) as broker, ingest(database, broker, tmp_path):
        live(broker, read(identities), ledger, readings=20)
    victim = json.loads(ledger.read_text().splitlines()[3])["message_id"]
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(statement.format(victim).encode())

    with connect(database) as conn:
        comparison = compare_ledger(conn, ledger, [home.gateway for home in identities], since=LONG_AGO)

    assert not comparison.holds
    assert getattr(comparison, kind) == 1
    assert any(example.startswith(kind) for example in comparison.examples)


def test_the_command_verifies_and_says_what_it_did(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    identities = tmp_path / "identities.json"
    identities.write_text(json.dumps([asdict(home) for home in provisioned(database, 5, 2)]))
    with mosquitto(tmp_path) as broker, ingest(database, broker, tmp_path):
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.setenv("VITALWIRE_MQTT_URL", broker.url)
        monkeypatch.setenv("VITALWIRE_DATA", str(tmp_path))
        words = ["simulate", "fleet", "--identities", str(identities), "--readings", "40", "--speed", "40000"]
        code = cli.main([*words, "--ledger", str(tmp_path / "ledger.jsonl"), "--verify", "--start", "2026-03-02"])

    said = json.loads(capsys.readouterr().out)
    assert code == 0
    assert said["holds"] is True
    assert (said["made"], said["receipted"], said["unreceipted"]) == (40, 40, 0)
    assert (said["database"]["stored"], said["database"]["missing"], said["database"]["doubled"]) == (40, 0, 0)
    assert 0 < said["receipt_ms"]["p50"] <= said["receipt_ms"]["p99"]
    assert rows(database, "SELECT count(*) FROM observation") == [(40,)]


def test_without_ingest_the_readings_are_lost_and_the_run_says_so(database: str, tmp_path: Path) -> None:
    """Nobody gives receipts: the broker's acknowledgements alone deliver nothing."""
    with mosquitto(tmp_path) as broker, (tmp_path / "ledger.jsonl").open("w", encoding="utf-8") as lines:
        bounds = Bounds(speed=40_000, readings=10, patience=0.5)
        homes = read(provisioned(database, 2, 2))
        result = Fleet(FleetBroker(host=broker.host, port=broker.port), homes, PATTERN, bounds, lines).run()

    assert (result.made, result.receipted, result.unreceipted) == (10, 0, 10)
    assert result.delay_ms(0.5) is None


def test_gateways_the_broker_does_not_know_are_a_clear_failure(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulators.fleet._CONNECT_SECONDS", 1.0)
    with (
        mosquitto(tmp_path, passwords={"somebody": "else"}) as broker,
        (tmp_path / "ledger.jsonl").open("w", encoding="utf-8") as lines,
    ):
        fleet = Fleet(
            FleetBroker(host=broker.host, port=broker.port),
            read(provisioned(database, 2, 2)),
            replace(PATTERN, offline_share=0.0),  # a home without power asks for nothing
            Bounds(speed=1000, readings=10),
            lines,
        )
        with pytest.raises(FleetError, match="takes no gateway in"):
            fleet.run()

    assert fleet.result.refused > 0
