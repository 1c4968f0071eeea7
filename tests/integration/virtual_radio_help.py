"""What the virtual radio tests share: devices, a bleak client on the air, processes of the laboratory."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from simulators.air import Air
from simulators.bleak_backend import BumbleClient, BumbleScanner, PasskeyProvider, VirtualRadio
from simulators.clock import SimulatedClock
from simulators.device_settings import DeviceSettings
from simulators.devices.blood_pressure_monitor import BloodPressureMonitor, BloodPressureReading
from simulators.devices.glucose_meter import GlucoseMeter
from simulators.ledger import Ledger
from simulators.memory import DeviceMemory

NOON = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)
CUFF_ADDRESS = "C1:00:00:00:00:01"
METER_ADDRESS = "C1:00:00:00:00:02"
GATEWAY_ADDRESS = "C0:00:00:00:00:99"
BLOOD_PRESSURE_SERVICE = "00001810-0000-1000-8000-00805f9b34fb"
LIMIT = 30.0


async def eventually(condition: Callable[[], bool], what: str, seconds: float = LIMIT) -> None:
    """Wait for a condition; fail with its name."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not in {seconds} s: {what}"
        await asyncio.sleep(0.005)


def settings(address: str, **changes: Any) -> DeviceSettings:
    values: dict[str, Any] = {
        "device_id": "device",
        "address": address,
        "name": "SIM BP" if address == CUFF_ADDRESS else "SIM METER",
        "advertising_interval_ms": 20.0,
        "idle_seconds": 0.2,
        "passkey": 123456,
    }
    return DeviceSettings(**(values | changes))


@dataclass
class Home:
    """One air with devices and radios that are closed at the end of the test."""

    air: Air = field(default_factory=Air)
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(NOON))
    ledger: Ledger = field(default_factory=Ledger)
    closers: list[Callable[[], Any]] = field(default_factory=list)

    async def cuff(self, memory: DeviceMemory | None = None, **changes: Any) -> BloodPressureMonitor:
        device = BloodPressureMonitor(
            settings(CUFF_ADDRESS, **changes), air=self.air, clock=self.clock, memory=memory, ledger=self.ledger
        )
        await device.power_on()
        self.closers.append(device.power_off)
        return device

    async def meter(self, memory: DeviceMemory | None = None, **changes: Any) -> GlucoseMeter:
        device = GlucoseMeter(
            settings(METER_ADDRESS, **changes), air=self.air, clock=self.clock, memory=memory, ledger=self.ledger
        )
        await device.power_on()
        self.closers.append(device.power_off)
        return device

    async def radio(self, passkey: PasskeyProvider | None = None, address: str = GATEWAY_ADDRESS) -> VirtualRadio:
        radio = await VirtualRadio.open(self.air, address, passkey=passkey)
        self.closers.append(radio.close)
        return radio


@asynccontextmanager
async def open_home() -> AsyncIterator[Home]:
    home = Home()
    try:
        yield home
    finally:
        for close in reversed(home.closers):
            await close()


async def find(radio: VirtualRadio, name: str) -> BLEDevice:
    device = await BleakScanner.find_device_by_name(name, timeout=LIMIT, backend=BumbleScanner, radio=radio)
    assert device is not None, f"{name} is not on the air"
    return device


def client(device: BLEDevice, radio: VirtualRadio, on_lost: Callable[[BleakClient], None] | None = None) -> BleakClient:
    return BleakClient(device, on_lost, backend=BumbleClient, radio=radio, timeout=15.0)


def pressure(systolic: int) -> BloodPressureReading:
    return BloodPressureReading(systolic=Decimal(systolic), diastolic=Decimal(80), pulse=Decimal(70))


def systolic_of(payload: bytes) -> int:
    return int.from_bytes(payload[1:3], "little")


class RecordAccess:
    """The collector's end of 2A52 over an open client."""

    def __init__(self, open_client: BleakClient) -> None:
        self._client = open_client
        self.records: list[bytes] = []
        self.contexts: list[bytes] = []
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def subscribe(self) -> None:
        await self._client.start_notify("2a18", lambda _, value: self.records.append(bytes(value)))
        await self._client.start_notify("2a34", lambda _, value: self.contexts.append(bytes(value)))
        await self._client.start_notify("2a52", lambda _, value: self._answers.put_nowait(bytes(value)))

    async def ask(self, request: str) -> str:
        await self._client.write_gatt_char("2a52", bytes.fromhex(request), response=True)
        await eventually(lambda: not self._answers.empty() or not self._client.is_connected, f"an answer to {request}")
        if self._answers.empty():
            raise BleakError("disconnected before the answer")
        return self._answers.get_nowait().hex()


class LabProcess:
    """A process of the laboratory, `python -m simulators …`, after its ready line."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self.process = process
        self.ready = ready

    @classmethod
    async def start(cls, *words: str) -> LabProcess:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulators", *words, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        assert line, f"{words[0]} ended with {await process.wait()}"
        return cls(process, json.loads(line))

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(LIMIT):
            return await self.process.wait()


@asynccontextmanager
async def laboratory() -> AsyncIterator[Callable[..., Any]]:
    """Starts processes; all are stopped at the end, in the opposite order."""
    running: list[LabProcess] = []

    async def start(*words: str) -> LabProcess:
        process = await LabProcess.start(*words)
        running.append(process)
        return process

    try:
        yield start
    finally:
        for process in reversed(running):
            await process.stop()


def read_ledger(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
