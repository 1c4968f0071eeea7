"""`kill -9` of gateway, broker, ingest and PostgreSQL at random in one run of 2,000 readings, from the meters on.

Everything is the production process: `gateway run` on BlueZ's path, Mosquitto with its default persistence, `server
ingest`, PostgreSQL. Only the meters and the air are simulated; their ledgers are the truth. The gateway learns from the
server alone which devices it may read. Pass: the stored set equals the ledgers, nothing is twice, every reading was
handed to the alert engine once, and the gateway has nothing left.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from server.provision import ProvisionedDevice, ProvisionedGateway
from simulators.air import Air
from simulators.bluez.facade import BluezFacade
from simulators.clock import SystemClock
from simulators.device_settings import DeviceSettings
from simulators.devices.glucose_meter import GlucoseMeter, GlucoseReading
from simulators.memory import DeviceMemory
from tests.support.broker import Broker, mosquitto
from tests.support.ingest import IngestProcess, ingest, provisioned, rows
from tests.support.postgres import Postgres, postgres
from tests.support.receiving_server import until
from tests.support.virtual_home import PASSKEY

pytestmark = pytest.mark.xdist_group("kill-everything")

READINGS = 2_000
KILLS_OF_EACH = 3
METERS = 4  # a meter that was just read is left alone for 20 s; the others are not
PARTS = ("gateway", "broker", "ingest", "postgresql")


class GatewayProcess:
    """The product's own process, started as a home box starts it."""

    def __init__(self, folder: Path, gateway_id: str, broker: Broker, bus: str) -> None:
        self.data = folder / "gw"
        self.log = folder / "gateway.log"
        self.environment = {
            **os.environ,
            "DBUS_SYSTEM_BUS_ADDRESS": bus,
            "VITALWIRE_GATEWAY_ID": gateway_id,
            "VITALWIRE_GATEWAY_DATA": str(self.data),
            "VITALWIRE_MQTT_URL": broker.url,
        }
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", "gateway", "run"], env=self.environment, stderr=log
            )

    def restart_after_kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.start()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because PostgreSQL's socket lives in it."""
    made = Path(tempfile.mkdtemp(prefix="vw-all-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def provision_home(dsn: str) -> ProvisionedGateway:
    """A home whose meters are known to the server with address and passkey."""
    [home] = provisioned(dsn, devices=2 * METERS)
    with psycopg.connect(dsn) as conn:
        for number, device in enumerate(meters_of(home)):
            conn.execute(
                "UPDATE device SET address = %s, passkey = %s WHERE id = %s", (address(number), PASSKEY, device.id)
            )
    return home


def meters_of(home: ProvisionedGateway) -> list[ProvisionedDevice]:
    return [device for device in home.devices if device.kind == "glucose"]


def address(number: int) -> str:
    return f"C0:00:00:00:01:{number:02X}"


async def power_on(air: Air, home: ProvisionedGateway) -> list[GlucoseMeter]:
    meters = [
        GlucoseMeter(
            DeviceSettings(
                device_id=device.id,
                address=address(number),
                name=f"meter+{number}",
                passkey=PASSKEY,
                window_seconds=240,
                patience_seconds=10,
            ),
            air=air,
            clock=SystemClock(),
            memory=DeviceMemory(capacity=READINGS),
        )
        for number, device in enumerate(meters_of(home))
    ]
    for meter in meters:
        await meter.power_on()
    return meters


def killers(
    gateway: GatewayProcess, broker: Broker, process: IngestProcess, database: Postgres
) -> dict[str, Callable[[], None]]:
    def kill_ingest() -> None:
        process.kill()
        process.start(wait=False)

    def kill_database() -> None:
        database.kill()
        database.start()

    return dict(zip(PARTS, (gateway.restart_after_kill, broker.restart, kill_ingest, kill_database), strict=True))


async def measure_while_killing(
    meters: list[GlucoseMeter], kills: list[Callable[[], None]], chance: random.Random
) -> None:
    """Before each kill one meter, in turn, takes its share of the readings; the kill falls into their transfer."""
    share, rest = divmod(READINGS, len(kills))
    for number, kill in enumerate(kills):
        meter = meters[number % len(meters)]
        for _ in range(share + (number < rest) - 1):
            meter.store(GlucoseReading(glucose=Decimal(70 + chance.randrange(200))))
        await meter.measure(GlucoseReading(glucose=Decimal(100)))
        await until(_under_way(meter, chance.randrange(1, share)), seconds=120, what="a transfer in progress")
        await asyncio.to_thread(kill)


def _under_way(meter: GlucoseMeter, limit: int) -> Callable[[], bool]:
    """A session begun from now on has sent so much, or all there was."""
    since = meter.sessions
    return lambda: (meter.sessions > since and meter._sent_in_session >= limit) or meter.undelivered == 0


def depth_of(gateway: GatewayProcess) -> int:
    """How many readings the gateway still keeps for the server: read from its journal without disturbing it."""
    with closing(sqlite3.connect(f"file:{gateway.data / 'journal.sqlite'}?mode=ro", uri=True)) as reader:
        [depth] = reader.execute("SELECT count(*) FROM entry WHERE state IN ('pending', 'sent')").fetchone()
    return int(depth)


@pytest.mark.timeout(400)
async def test_nothing_is_lost_or_doubled_when_all_four_processes_are_killed_in_one_run(folder: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    air = Air()
    facade = await BluezFacade.open(air, "F0:00:00:00:00:01", authorise_just_works=True)
    with postgres(folder / "pg") as database, mosquitto(folder, persistence=True) as broker:
        home = provision_home(database.dsn)
        meters = await power_on(air, home)
        with ingest(database.dsn, broker, folder) as process:
            gateway = GatewayProcess(folder, home.gateway, broker, facade.bus_address)
            try:
                await until(
                    lambda: meters_of(home)[-1].id in _text(gateway.data / "registry.json"),
                    seconds=60,
                    what="the configuration",
                )
                kill_of = killers(gateway, broker, process, database)
                order = list(PARTS) * KILLS_OF_EACH
                chance.shuffle(order)
                print("killed:", *order)
                await measure_while_killing(meters, [kill_of[part] for part in order], chance)
                for meter in meters:
                    await meter.open_window(200)
                await until(lambda: _count(database) == READINGS, seconds=120, what=f"{READINGS} rows")
                await until(lambda: depth_of(gateway) == 0, seconds=60, what="the last receipts")
            finally:
                code = gateway.stop()
                print(_text(gateway.log))
        stored = rows(
            database.dsn,
            "SELECT device_id, patient_id, sequence_number, (components -> 0 ->> 'value')::numeric::integer::text"
            " FROM observation",
        )
        judged = Counter(name for (name,) in rows(database.dsn, "SELECT message_id FROM alert_work"))
        letters = rows(database.dsn, "SELECT reason FROM dead_letter")
    for meter in meters:
        await meter.power_off()
    await facade.close()

    measured = [
        (device.id, device.patient, entry.sequence, entry.values["glucose"])
        for device, meter in zip(meters_of(home), meters, strict=True)
        for entry in meter.ledger.entries
    ]
    assert code == 0
    assert len(measured) == READINGS
    assert sorted(stored) == sorted(measured)
    assert len(judged) == READINGS
    assert set(judged.values()) == {1}
    assert letters == []
    logs = "".join(_text(folder / name) for name in ("gateway.log", "ingest.log"))
    assert "Traceback" not in logs


def _count(database: Postgres) -> int:
    return int(rows(database.dsn, "SELECT count(*) FROM observation")[0][0])


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
