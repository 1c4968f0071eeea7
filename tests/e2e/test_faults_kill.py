"""`kill -9` of broker, ingest and PostgreSQL, at random, while the production gateway publishes 2,000 readings.

The ledger is what was filed in the gateway's journal. Pass: the stored set equals the ledger, nothing is there twice,
each accepted reading was handed to the alert engine exactly once, and the gateway has nothing left to send. Mosquitto
runs with its default persistence: it forgets everything since its last save when it is killed.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gateway import contract
from gateway.config import load_settings
from gateway.journal_rows import NewEntry
from gateway.outbox import Outbox
from gateway.publisher import Publisher
from server.provision import ProvisionedGateway
from tests.support.broker import Broker, mosquitto
from tests.support.clocks import HeldClock
from tests.support.ingest import IngestProcess, ingest, provisioned, rows
from tests.support.postgres import Postgres, postgres
from tests.support.receiving_server import eventually

READINGS = 2_000
KILLS = 9


def entry(number: int, device: str) -> NewEntry:
    message_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{device}/{number}")
    measured_at = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(seconds=number)
    envelope = contract.encode(
        contract.Reading(
            message_id=message_id,
            device=contract.DeviceRef(id=device),
            kind="blood-pressure",
            measured_at=measured_at,
            received_at=measured_at + timedelta(seconds=2),
            components=(contract.WireComponent(metric="systolic", value=Decimal(128), unit="mm[Hg]"),),
            sequence_number=number,
        )
    )
    return NewEntry(message_id=str(message_id), device_id=device, memory="live", envelope=envelope)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because PostgreSQL's socket lives in it."""
    made = Path(tempfile.mkdtemp(prefix="vw-fault-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def publish_while_killing(
    gateway: ProvisionedGateway, broker: Broker, folder: Path, kills: list[Callable[[], None]]
) -> list[str]:
    """File the readings in small steps, with a kill after each step; returns the ledger once all are receipted."""
    settings = load_settings({"gateway_id": gateway.gateway, "gateway_data": folder / "gw", "mqtt_url": broker.url})
    outbox = Outbox(settings.journal_path, clock=HeldClock())
    outbox.open()
    offline = contract.encode(contract.Status(state="offline", at=datetime(2026, 3, 2, tzinfo=UTC)))
    publisher = Publisher(settings, outbox, will=lambda: offline, on_config=lambda _: None)
    running = asyncio.create_task(publisher.run())
    device = gateway.devices[0].id
    ledger: list[str] = []
    try:
        session = await outbox.begin_session(device_id=device, driver="test", home_zone="UTC")
        step = READINGS // (len(kills) + 1)
        for number in range(len(kills) + 1):
            entries = [entry(number * step + item, device) for item in range(step)]
            await outbox.file_readings(session, entries, [])
            ledger += [one.message_id for one in entries]
            if number < len(kills):
                await asyncio.to_thread(kills[number])
        await eventually(outbox.counts, lambda counts: counts.depth == 0, seconds=60)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await outbox.close()
    return ledger


def killers(seed: int, database: Postgres, broker: Broker, process: IngestProcess) -> list[Callable[[], None]]:
    """Each part three times, in an order of the seed."""

    def kill_ingest() -> None:
        process.kill()
        process.start(wait=False)

    def kill_database() -> None:
        database.kill()
        database.start()

    order = [broker.restart, kill_ingest, kill_database] * (KILLS // 3)
    random.Random(seed).shuffle(order)
    return order


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_nothing_is_lost_or_doubled_when_any_part_is_killed(seed: int, folder: Path) -> None:
    with postgres(folder / "pg") as database, mosquitto(folder, persistence=True) as broker:
        [gateway] = provisioned(database.dsn)
        with ingest(database.dsn, broker, folder) as process:
            ledger = await publish_while_killing(gateway, broker, folder, killers(seed, database, broker, process))

        stored = [name for (name,) in rows(database.dsn, "SELECT message_id::text FROM observation")]
        judged = [name for (name,) in rows(database.dsn, "SELECT message_id::text FROM alert_work")]

    assert sorted(stored) == sorted(ledger)
    assert sorted(judged) == sorted(ledger)
    assert len(ledger) == READINGS
