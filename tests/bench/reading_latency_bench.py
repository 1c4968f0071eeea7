"""How long a cuff's reading takes from its packet to the server's COMMIT, while the cuff still holds the line.

Run: `python -m tests.bench.reading_latency_bench [--readings N]`. Starts Mosquitto and a receiving server; cuff and
gateway are in this process on the virtual radio. The cuff hangs up two seconds after its last word, as many do.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import structlog

from simulators.air import Air
from simulators.device_settings import DeviceSettings
from simulators.devices.blood_pressure_monitor import BloodPressureMonitor, BloodPressureReading
from tests.support.broker import mosquitto
from tests.support.receiving_server import receiving_server, until
from tests.support.virtual_home import CUFF, HomeClock, home_gateway

BUDGET_MS = 1000


async def measure(readings: int, folder: Path) -> list[float]:
    """Milliseconds from hearing the packet to the commit, for each reading, in ascending order."""
    air, clock = Air(), HomeClock()
    settings = DeviceSettings(device_id="bp-1", address=CUFF, name="cuff", window_seconds=20, idle_seconds=2.0)
    cuff = BloodPressureMonitor(settings, air=air, clock=clock)
    found: list[float] = []
    with mosquitto(folder) as broker, receiving_server(broker) as server:
        async with home_gateway(air, broker, folder / "gw", clock) as gateway:
            await cuff.power_on()
            for number in range(readings):
                clock.skip(timedelta(minutes=5))
                await cuff.measure(BloodPressureReading(systolic=Decimal(110 + number % 60), diastolic=Decimal(70)))
                await until(lambda count=number: len(server.committed) > count)  # type: ignore[misc]
                newest = max(reading.received_at for reading in server.committed.values())
                found.append((clock.now() - newest) / timedelta(milliseconds=1))
                await gateway.drained()
            await cuff.power_off()
    return sorted(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=30)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as name:
        found = asyncio.run(measure(parser.parse_args().readings, Path(name)))
    p95 = found[int(0.95 * (len(found) - 1))]
    print(
        f"packet heard to committed: median {statistics.median(found):.0f} ms, p95 {p95:.0f} ms, max {found[-1]:.0f} ms"
    )
    print("within budget" if p95 <= BUDGET_MS else f"OVER BUDGET of {BUDGET_MS} ms")
    return int(p95 > BUDGET_MS)


if __name__ == "__main__":
    sys.exit(main())
