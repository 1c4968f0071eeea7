"""What a home box costs while nothing happens: memory and CPU of the real gateway process, on BlueZ's own path.

Run: `python -m tests.bench.gateway_idle_bench [--seconds N]`. Starts Mosquitto, a private bus with the laboratory's
`org.bluez`, a cuff of this home and a stranger that advertises all the time; the gateway runs as its own process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import psutil

from gateway import contract
from gateway.registry import Registry
from simulators.air import Air
from simulators.bluez.facade import BluezFacade
from simulators.clock import SystemClock
from simulators.device_settings import DeviceSettings
from simulators.devices.blood_pressure_monitor import BloodPressureMonitor, BloodPressureReading
from tests.support.broker import mosquitto
from tests.support.receiving_server import receiving_server, until
from tests.support.virtual_home import CUFF, GATEWAY, STRANGER

MEMORY_BUDGET_MIB = 100
IDLE_BUDGET_PERCENT = 2.0


def device(air: Air, address: str, name: str, *, interval_ms: float) -> BloodPressureMonitor:
    settings = DeviceSettings(
        device_id=name,
        address=address,
        name=name,
        window_seconds=3600,
        idle_seconds=0.3,
        advertising_interval_ms=interval_ms,
    )
    return BloodPressureMonitor(settings, air=air, clock=SystemClock())


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Registry(folder / "registry.json").enrol(contract.DeviceConfig(id="bp-1", kind="blood-pressure", address=CUFF))
        air = Air()
        facade = await BluezFacade.open(air, "F0:00:00:00:00:01", authorise_just_works=True)
        cuff, stranger = device(air, CUFF, "cuff", interval_ms=100), device(air, STRANGER, "stranger", interval_ms=1000)
        await cuff.power_on()
        await stranger.power_on()
        await stranger.open_window()
        with mosquitto(folder) as broker, receiving_server(broker) as server:
            environment = {
                **os.environ,
                "DBUS_SYSTEM_BUS_ADDRESS": facade.bus_address,
                "VITALWIRE_GATEWAY_ID": GATEWAY,
                "VITALWIRE_GATEWAY_DATA": name,
                "VITALWIRE_MQTT_URL": broker.url,
            }
            gateway = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-m", "gateway", "run"], env=environment, stderr=subprocess.DEVNULL
            )
            process = psutil.Process(gateway.pid)
            try:
                await cuff.measure(BloodPressureReading(systolic=Decimal(128), diastolic=Decimal(78)))
                began = time.perf_counter()
                await until(lambda: len(server.committed) == 1, seconds=30)
                first = time.perf_counter() - began
                await asyncio.sleep(5)
                before = process.cpu_times()
                began = time.perf_counter()
                await asyncio.sleep(seconds)
                after = process.cpu_times()
                share = (after.user + after.system - before.user - before.system) / (time.perf_counter() - began) * 100
                memory = process.memory_info().rss / 2**20
            finally:
                gateway.terminate()
                code = gateway.wait(timeout=20)
        await cuff.power_off()
        await stranger.power_off()
        await facade.close()
    print("| figure | measured | budget |")
    print("|---|---|---|")
    print(f"| memory of the gateway process after a session | {memory:.0f} MiB | {MEMORY_BUDGET_MIB} MiB |")
    print(f"| idle CPU over {seconds:.0f} s, one stranger on the air | {share:.2f} % | {IDLE_BUDGET_PERCENT:g} % |")
    print(f"| measurement at the cuff → server, box just started | {first:.2f} s | |")
    print(f"\nthe gateway ended with {code}")


if __name__ == "__main__":
    asyncio.run(main())
