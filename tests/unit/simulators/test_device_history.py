"""A new device that remembers days before it met a gateway."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from simulators.air import Air
from simulators.control import DeviceControl
from simulators.device_settings import DeviceSettings
from simulators.devices.blood_pressure_monitor import BloodPressureMonitor
from simulators.history import BackdatedClock, recall
from simulators.ledger import Ledger
from simulators.memory import DeviceMemory


def cuff(clock: BackdatedClock, folder: Path) -> BloodPressureMonitor:
    settings = DeviceSettings(device_id="bp-1", address="C1:00:00:00:00:01", name="BP", zone="America/New_York", seed=5)
    return BloodPressureMonitor(settings, air=Air(), clock=clock, memory=DeviceMemory(folder), ledger=Ledger())


async def test_days_before_today_are_remembered_in_order(tmp_path: Path) -> None:
    clock = BackdatedClock()
    device = cuff(clock, tmp_path)

    made = await recall(DeviceControl(device), clock, kind="blood-pressure", days=20, zone="America/New_York", seed=5)

    times = [entry.true_time for entry in device.ledger.entries]
    assert made == len(times) == device.undelivered
    assert 10 <= len({moment.date() for moment in times}) <= 20
    assert times == sorted(times)
    assert clock.now() - times[0] <= timedelta(days=21)
    assert times[-1] < clock.now() - timedelta(hours=3)
    assert clock.remembered is None


async def test_the_same_seed_remembers_the_same(tmp_path: Path) -> None:
    payloads = []
    for name in ("a", "b"):
        clock = BackdatedClock()
        device = cuff(clock, tmp_path / name)
        await recall(DeviceControl(device), clock, kind="blood-pressure", days=5, zone="America/New_York", seed=7)
        payloads.append([entry.payload for entry in device.ledger.entries])

    assert payloads[0] == payloads[1] != []
