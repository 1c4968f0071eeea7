"""The production radio path: bleak's own BlueZ backend, our pairing agent and our watch, over a private D-Bus.

`org.bluez` is the laboratory's facade. bleak notices neither the death nor the return of bluetoothd; the gateway must.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gateway import contract
from gateway.config import load_settings
from gateway.enrol import listen, pair_device
from gateway.errors import PairingError
from gateway.outbox import Outbox
from gateway.pairing import BluezBus
from gateway.radio import BleakRadio
from gateway.registry import Bond, Registry
from gateway.runtime import Gateway
from gateway.scan import Scan, Sighting
from simulators.air import Air
from simulators.bluez.facade import BluezFacade
from simulators.device_settings import DeviceSettings
from simulators.devices.blood_pressure_monitor import BloodPressureMonitor, BloodPressureReading
from simulators.devices.glucose_meter import GlucoseMeter, GlucoseReading
from simulators.peripheral import Peripheral
from tests.support.broker import Broker, mosquitto
from tests.support.receiving_server import ReceivingServer, receiving_server, until
from tests.support.virtual_home import CUFF, GATEWAY, METER, PASSKEY, HomeClock, devices


@dataclass
class Lab:
    """An air, and on a private bus a bluetoothd that can be stopped and started."""

    air: Air
    facade: BluezFacade

    async def start_bluetooth(self) -> None:
        await self.facade.start_bluetoothd()

    async def stop_bluetooth(self) -> None:
        await self.facade.stop_bluetoothd()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def server(broker: Broker) -> Iterator[ReceivingServer]:
    with receiving_server(broker) as running:
        yield running


@pytest.fixture
async def lab(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    state = tmp_path_factory.mktemp("bluez")
    air = Air()
    facade = await BluezFacade.open(air, "F0:00:00:00:00:01", state=state, authorise_just_works=True)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", facade.bus_address)
    yield Lab(air, facade)
    await facade.close()


@asynccontextmanager
async def running_gateway(
    broker: Broker, folder: Path, clock: HomeClock, *, enrolled: tuple[contract.DeviceConfig, ...] | None = None
) -> AsyncIterator[Gateway]:
    settings = load_settings(
        {"gateway_id": GATEWAY, "gateway_data": folder, "mqtt_url": broker.url, "time_zone": "America/New_York"}
    )
    gateway = Gateway(settings, clock=clock)
    for config in devices() if enrolled is None else enrolled:
        gateway.registry.enrol(config)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


@asynccontextmanager
async def powered(device: Peripheral) -> AsyncIterator[None]:
    await device.power_on()
    try:
        yield
    finally:
        await device.power_off()


def cuff(lab: Lab, clock: HomeClock) -> BloodPressureMonitor:
    settings = DeviceSettings(
        device_id="bp-1", address=CUFF, name="UA-651BLE", zone="America/New_York", window_seconds=30, idle_seconds=0.3
    )
    return BloodPressureMonitor(settings, air=lab.air, clock=clock)


def meter(lab: Lab, clock: HomeClock, *, shown: int = PASSKEY) -> GlucoseMeter:
    settings = DeviceSettings(
        device_id="gl-1",
        address=METER,
        name="meter+1",
        zone="America/New_York",
        passkey=shown,
        window_seconds=60,
        idle_seconds=0.3,
    )
    return GlucoseMeter(settings, air=lab.air, clock=clock)


def pressure(systolic: int) -> BloodPressureReading:
    return BloodPressureReading(systolic=Decimal(systolic), diastolic=Decimal(78))


async def test_cuff_and_meter_are_read_by_the_unmodified_backend(
    tmp_path: Path, lab: Lab, broker: Broker, server: ReceivingServer
) -> None:
    clock = HomeClock()
    pressure_cuff, glucose_meter = cuff(lab, clock), meter(lab, clock)
    async with (
        running_gateway(broker, tmp_path / "gw", clock) as gateway,
        powered(pressure_cuff),
        powered(glucose_meter),
    ):
        await pressure_cuff.measure(pressure(128))
        await glucose_meter.measure(GlucoseReading(glucose=Decimal(98)))
        await until(lambda: len(server.committed) == 2, seconds=40)
        async with asyncio.timeout(40):
            await gateway.drained()  # bonds are written down when their session has ended

        assert {reading.kind for reading in server.committed.values()} == {"blood-pressure", "glucose"}
        assert [device.bond for device in gateway.registry.view().devices] == [Bond.BONDED.value] * 2
        assert gateway._agent.view(METER) == (
            "a number was entered; if pairing failed, it was not the one the device shows"
        )


async def test_restart_of_the_bluetooth_daemon_between_two_readings_is_survived(
    tmp_path: Path, lab: Lab, broker: Broker, server: ReceivingServer
) -> None:
    clock = HomeClock()
    device = cuff(lab, clock)
    async with running_gateway(broker, tmp_path / "gw", clock) as gateway, powered(device):
        await device.measure(pressure(128))
        await until(lambda: len(server.committed) == 1)
        await until(lambda: gateway._busy_with is None)

        await lab.stop_bluetooth()
        await until(lambda: "bluetooth-daemon-missing" in gateway.warnings(None))
        await lab.start_bluetooth()
        clock.skip(timedelta(hours=1))
        await device.measure(pressure(131))

        await until(lambda: len(server.committed) == 2, seconds=40)
        assert gateway.warnings(None) == ()


async def test_bluetooth_daemon_that_dies_in_a_transfer_ends_the_session(
    tmp_path: Path, lab: Lab, broker: Broker, server: ReceivingServer
) -> None:
    clock = HomeClock()
    device = meter(lab, clock)
    for number in range(400):
        device.store(GlucoseReading(glucose=Decimal(70 + number % 100)))
        clock.skip(timedelta(minutes=30))
    async with running_gateway(broker, tmp_path / "gw", clock) as gateway, powered(device):
        await device.measure(GlucoseReading(glucose=Decimal(120)))
        await until(lambda: gateway._runner._link is not None and gateway._runner._link.packets_heard >= 20, seconds=40)

        await lab.stop_bluetooth()
        await until(lambda: gateway._busy_with is None, seconds=20)
        await lab.start_bluetooth()
        clock.skip(timedelta(minutes=5))
        await device.open_window()

        await until(lambda: len(server.committed) == 401, seconds=60)


async def test_radio_that_hears_nothing_gets_a_power_cycle_and_an_alarm_and_then_works(lab: Lab) -> None:
    clock = HomeClock()
    device = cuff(lab, clock)
    bus = await BluezBus.connect()
    heard: list[Sighting] = []
    cycles = 0

    async def power_cycle() -> None:
        nonlocal cycles
        await bus.power_cycle("hci0", pause_seconds=0.05)
        cycles += 1

    scan = Scan(BleakRadio(), on_sighting=heard.append, silence_seconds=0.3, power_cycle=power_cycle)
    scanning = asyncio.create_task(scan.run())
    try:
        await until(lambda: scan.trouble == "radio-silent")
        assert (cycles, heard) == (1, [])
        async with powered(device):
            await device.measure(pressure(128))
            await until(lambda: heard != [])
            assert heard[0].advertisement.address == CUFF
            assert scan.trouble is None
    finally:
        scanning.cancel()
        await asyncio.gather(scanning, return_exceptions=True)
        bus.close()


async def test_wrong_passkey_is_told_by_the_agent_and_nothing_is_read(
    tmp_path: Path, lab: Lab, broker: Broker, server: ReceivingServer
) -> None:
    clock = HomeClock()
    device = meter(lab, clock, shown=654321)
    async with running_gateway(broker, tmp_path / "gw", clock), powered(device):
        await device.measure(GlucoseReading(glucose=Decimal(98)))
        await until(
            lambda: any(d.warning == "pairing-failed" for status in server.statuses for d in status.devices), seconds=40
        )
        assert server.committed == {}


async def test_device_is_enrolled_at_the_box_with_the_number_it_shows(tmp_path: Path, lab: Lab) -> None:
    clock = HomeClock()
    device = meter(lab, clock)
    asked: list[str] = []

    async def read_display(address: str) -> int | None:
        asked.append(address)
        await until(lambda: device.displayed_passkey is not None, what="a number on the display")
        return int(device.displayed_passkey or "")

    async with powered(device):
        await device.measure(GlucoseReading(glucose=Decimal(98)))
        result = await pair_device(
            data=tmp_path,
            zone=load_settings({"gateway_id": GATEWAY, "mqtt_url": "mqtt://localhost"}).zone,
            radio=BleakRadio(),
            clock=clock,
            wanted="meter+1",
            device_id="gl-77",
            ask_passkey=read_display,
            seconds=20,
        )

    assert (result.problem, result.readings, asked) == (None, 1, [METER])
    known = Registry(tmp_path / "registry.json").device("gl-77")
    assert known is not None
    assert (known.bond, known.config.kind) == (Bond.BONDED.value, "glucose")
    outbox = Outbox(tmp_path / "journal.sqlite", clock=clock)
    outbox.open()
    assert (await outbox.counts()).depth == 1
    await outbox.close()


async def test_pairing_tells_when_the_device_is_not_on_the_air(tmp_path: Path, lab: Lab) -> None:
    async def nobody(_address: str) -> int | None:
        return None

    with pytest.raises(PairingError, match="was not heard in 2 s"):
        await pair_device(
            data=tmp_path,
            zone=load_settings({"gateway_id": GATEWAY, "mqtt_url": "mqtt://localhost"}).zone,
            radio=BleakRadio(),
            clock=HomeClock(),
            wanted="nobody",
            device_id="bp-9",
            ask_passkey=nobody,
            seconds=2,
        )


async def test_scan_lists_what_is_on_the_air_and_reads_nothing(lab: Lab) -> None:
    clock = HomeClock()
    device = cuff(lab, clock)
    heard: list[Sighting] = []
    async with powered(device):
        await device.measure(pressure(128))
        listening = asyncio.create_task(listen(BleakRadio(), seconds=3, on_sighting=heard.append))
        assert await listening is None

        assert {sighting.advertisement.address for sighting in heard} == {CUFF}
        assert heard[-1].advertisement.service_uuids == ("1810",)
        assert device.sessions == 0


async def test_radio_without_bluetooth_is_told_and_recovers(
    tmp_path: Path, lab: Lab, broker: Broker, server: ReceivingServer
) -> None:
    clock = HomeClock()
    device = cuff(lab, clock)
    await lab.stop_bluetooth()
    async with running_gateway(broker, tmp_path / "gw", clock) as gateway, powered(device):
        await until(lambda: "radio-unavailable" in gateway.warnings(None), seconds=40)
        await lab.start_bluetooth()
        await device.measure(pressure(128))
        await until(lambda: len(server.committed) == 1, seconds=40)
        await until(lambda: gateway.warnings(None) == ())
