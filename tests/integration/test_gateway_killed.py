"""`kill -9` of the gateway process, again and again, in a transfer: the ledger is in the database, once.

The process is the real one (`python -m gateway run`) on BlueZ's path. Reliability rows 1 and 3.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from gateway import contract
from gateway.registry import Registry
from simulators.air import Air
from simulators.bluez.facade import BluezFacade
from simulators.clock import SystemClock
from simulators.device_settings import DeviceSettings
from simulators.devices.glucose_meter import GlucoseMeter, GlucoseReading
from tests.support.broker import mosquitto
from tests.support.receiving_server import receiving_server, until
from tests.support.virtual_home import GATEWAY, METER, PASSKEY

ROUNDS = 6
RECORDS = 600


def start_gateway(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "gateway", "run"], env=environment, stderr=file, cwd=Path(__file__).parents[2]
        )


@pytest.mark.timeout(240)
async def test_nothing_is_lost_or_doubled_when_the_gateway_is_killed_in_its_transfers(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    data = tmp_path / "gw"
    log = tmp_path / "gateway.log"
    Registry(data / "registry.json").enrol(
        contract.DeviceConfig(id="gl-1", kind="glucose", address=METER, passkey=PASSKEY)
    )
    air = Air()
    facade = await BluezFacade.open(air, "F0:00:00:00:00:01", authorise_just_works=True)
    settings = DeviceSettings(
        device_id="gl-1", address=METER, name="meter+1", passkey=PASSKEY, window_seconds=240, idle_seconds=0.3
    )
    meter = GlucoseMeter(settings, air=air, clock=SystemClock())
    for number in range(RECORDS):
        meter.store(GlucoseReading(glucose=Decimal(70 + number % 200)))
    await meter.power_on()
    with mosquitto(tmp_path) as broker, receiving_server(broker) as server:
        environment = {
            **os.environ,
            "DBUS_SYSTEM_BUS_ADDRESS": facade.bus_address,
            "VITALWIRE_GATEWAY_ID": GATEWAY,
            "VITALWIRE_GATEWAY_DATA": str(data),
            "VITALWIRE_MQTT_URL": broker.url,
        }
        gateway = start_gateway(environment, log)
        try:
            for _ in range(ROUNDS):
                # Counted before the measurement: the gateway may connect while it is still being taken.
                sessions, sent = meter.sessions, chance.randrange(5, RECORDS // 2)
                await meter.measure(GlucoseReading(glucose=Decimal(100)))
                await until(
                    lambda since=sessions, limit=sent: (  # type: ignore[misc]
                        meter.sessions > since and (meter._sent_in_session >= limit or meter.undelivered == 0)
                    ),
                    seconds=60,
                    what="a transfer in progress",
                )
                gateway.send_signal(signal.SIGKILL)
                gateway.wait()
                gateway = start_gateway(environment, log)
            await meter.open_window(120)
            await until(lambda: len(server.committed) == RECORDS + ROUNDS, seconds=60, what="every reading committed")
        finally:
            gateway.terminate()
            # The bus and the meter live in this loop: a gateway that says goodbye to a loop that waits for it would
            # run into every time limit it has.
            code = await asyncio.to_thread(gateway.wait, 60)
    await meter.power_off()
    await facade.close()

    assert code == 0
    numbers = [reading.sequence_number for reading in server.committed.values()]
    assert sorted(number for number in numbers if number is not None) == list(range(1, RECORDS + ROUNDS + 1))
    assert "Traceback" not in log.read_text(encoding="utf-8")
