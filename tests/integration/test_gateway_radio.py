"""Cuff and meter on the virtual radio → session → journal → Mosquitto → receipts. The simulator's ledger judges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gateway import contract
from gateway.health import READING_MAY_BE_LOST
from gateway.registry import Bond
from simulators.air import Air
from simulators.device_settings import DeviceSettings
from simulators.devices.blood_pressure_monitor import BloodPressureMonitor, BloodPressureReading
from simulators.devices.glucose_meter import GlucoseMeter, GlucoseReading
from simulators.faults import set_fault
from simulators.peripheral import Peripheral
from tests.support.broker import Broker, mosquitto
from tests.support.receiving_server import ReceivingServer, eventually, receiving_server, until
from tests.support.virtual_home import CUFF, GATEWAY, METER, PASSKEY, STRANGER, HomeClock, home_gateway


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def server(broker: Broker) -> Iterator[ReceivingServer]:
    with receiving_server(broker) as running:
        yield running


@pytest.fixture
def clock() -> HomeClock:
    return HomeClock()


@asynccontextmanager
async def powered(device: Peripheral) -> AsyncIterator[None]:
    await device.power_on()
    try:
        yield
    finally:
        await device.power_off()


def cuff(
    air: Air, clock: HomeClock, *, address: str = CUFF, offset: float = 0.0, idle: float = 0.3
) -> BloodPressureMonitor:
    settings = DeviceSettings(
        device_id="bp-1",
        address=address,
        name="UA-651BLE",
        zone="America/New_York",
        clock_offset_seconds=offset,
        window_seconds=20,
        idle_seconds=idle,
    )
    return BloodPressureMonitor(settings, air=air, clock=clock)


def meter(air: Air, clock: HomeClock) -> GlucoseMeter:
    settings = DeviceSettings(
        device_id="gl-1",
        address=METER,
        name="meter+1",
        zone="America/New_York",
        passkey=PASSKEY,
        window_seconds=30,
        idle_seconds=0.3,
    )
    return GlucoseMeter(settings, air=air, clock=clock)


def pressure(systolic: int) -> BloodPressureReading:
    return BloodPressureReading(systolic=Decimal(systolic), diastolic=Decimal(78), pulse=Decimal(64))


def values(server: ReceivingServer, metric: str) -> list[Decimal | None]:
    """Of everything committed, in order of measurement."""
    readings = sorted(
        server.committed.values(), key=lambda reading: (reading.measured_at, reading.sequence_number or 0)
    )
    return [c.value for reading in readings for c in reading.components if c.metric == metric]


async def drained(gateway: object, *, seconds: float = 40.0) -> None:
    async with asyncio.timeout(seconds):
        await gateway.drained()  # type: ignore[attr-defined]


async def test_cuff_with_three_stored_readings_reaches_the_server(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    device = cuff(air, clock)
    async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway, powered(device):
        for systolic in (128, 131, 125):
            clock.skip(timedelta(hours=8))
            await device.measure(pressure(systolic))
        await until(lambda: len(server.committed) == 3)
        await drained(gateway)

        assert values(server, "systolic") == [128, 131, 125]
        assert device.undelivered == 0
        assert len(server.heard) == 3
        newest = max(server.committed.values(), key=lambda reading: reading.measured_at)
        oldest = min(server.committed.values(), key=lambda reading: reading.measured_at)
        assert (newest.memory, newest.time_quality, newest.kind) == ("live", "synchronised", "blood-pressure")
        assert abs(newest.measured_at - device.ledger.entries[-1].true_time) < timedelta(seconds=2)
        assert (oldest.memory, oldest.device.id) == ("stored", "bp-1")
        assert abs(oldest.measured_at - device.ledger.entries[0].true_time) < timedelta(seconds=2)
        known = gateway.registry.device("bp-1")
        assert known is not None
        assert known.bond == Bond.BONDED.value


async def test_reading_reaches_the_server_while_the_cuff_still_holds_the_line(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    device = cuff(air, clock, offset=-600.0, idle=60.0)
    async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway, powered(device):
        await device.measure(pressure(128))
        await until(lambda: len(server.committed) == 1)
        (reading,) = server.committed.values()
        assert (reading.time_quality, reading.device.model) == ("corrected", "SIM")
        assert abs(reading.measured_at - device.ledger.entries[0].true_time) < timedelta(seconds=3)

        await drained(gateway)  # our idle time ends the session, and its end adds nothing
        assert server.heard == [str(reading.message_id)]
        filed_at, ended_at = await gateway.outbox._do(
            lambda connection: connection.execute(
                "SELECT entry.created_at, session.ended_at FROM entry JOIN session ON session.id = entry.session_id"
            ).fetchone()
        )
        assert filed_at < ended_at


async def test_gateway_that_dies_after_an_early_reading_sends_nothing_twice(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    device = cuff(air, clock, idle=60.0)
    async with powered(device):
        async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway:
            await device.measure(pressure(128))
            await until(lambda: len(server.committed) == 1)
            await eventually(gateway.outbox.counts, lambda counts: counts.stored == 1)
            assert not (await gateway.outbox.load_session(1)).ended
        async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway:
            await drained(gateway)
            counts = await gateway.outbox.counts()
            assert (await gateway.outbox.load_session(1)).ended
    assert (counts.undecoded, counts.stored) == (0, 1)
    assert len(server.heard) == 1


async def test_wrong_clock_is_corrected_and_the_device_set_right_afterwards(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    device = cuff(air, clock, offset=-3 * 86400.0)
    async with home_gateway(air, broker, tmp_path / "gw", clock), powered(device):
        await device.measure(pressure(128))
        await until(lambda: len(server.committed) == 1)
        (reading,) = server.committed.values()
        assert reading.time_quality == "corrected"
        assert abs(reading.measured_at - device.ledger.entries[0].true_time) < timedelta(seconds=3)
        assert reading.clock_offset_seconds is not None
        assert abs(reading.clock_offset_seconds - 3 * 86400) <= 2
        assert device.ledger.entries[0].device_time is not None
        assert reading.device_time == device.ledger.entries[0].device_time.isoformat()


async def test_meter_is_paired_by_passkey_and_gives_only_what_is_new(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    device = meter(air, clock)
    async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway, powered(device):
        for value in (98, 105, 140):
            device.store(GlucoseReading(glucose=Decimal(value)))
            clock.skip(timedelta(hours=4))
        await device.measure(GlucoseReading(glucose=Decimal(111)))
        await until(lambda: len(server.committed) == 4)
        await drained(gateway)
        clock.skip(timedelta(hours=4))
        await device.measure(GlucoseReading(glucose=Decimal(120)))
        await until(lambda: len(server.committed) == 5)

        assert values(server, "glucose") == [98, 105, 140, 111, 120]
        assert len(server.heard) == 5
        counts = await gateway.outbox.counts()
        assert counts.quarantined == 0


async def test_transfer_cut_in_the_middle_is_resumed(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    device = meter(air, clock)
    async with home_gateway(air, broker, tmp_path / "gw", clock), powered(device):
        for number in range(60):
            device.store(GlucoseReading(glucose=Decimal(80 + number)))
            clock.skip(timedelta(minutes=30))
        set_fault(device.faults, "drop-at-notification", 40)
        await device.measure(GlucoseReading(glucose=Decimal(140)))
        await until(lambda: len(server.committed) == 61, seconds=40)

        assert values(server, "glucose") == [Decimal(80 + number) for number in range(61)]


async def test_indication_sent_twice_is_one_reading(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    device = cuff(air, clock)
    async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway, powered(device):
        set_fault(device.faults, "duplicate-indication", 1)
        await device.measure(pressure(128))
        await until(lambda: len(server.committed) == 1)
        await drained(gateway)

        assert server.heard == [str(next(iter(server.committed.values())).message_id)]


async def test_device_that_is_not_on_the_list_is_never_connected_to(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    stranger, ours = cuff(air, clock, address=STRANGER), cuff(air, clock)
    async with home_gateway(air, broker, tmp_path / "gw", clock), powered(stranger), powered(ours):
        await stranger.measure(pressure(200))
        await ours.measure(pressure(128))
        await until(lambda: len(server.committed) == 1)

        assert stranger.sessions == 0
        assert stranger.undelivered == 1


async def test_device_that_only_the_server_names_is_read_after_the_configuration_came(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    device = cuff(air, clock)
    async with home_gateway(air, broker, tmp_path / "gw", clock, enrolled=()) as gateway, powered(device):
        await device.measure(pressure(128))
        config = contract.Config(
            version=7,
            at=datetime.fromisoformat("2026-03-02T00:00:00Z"),
            devices=(contract.DeviceConfig(id="bp-1", kind="blood-pressure", name="UA-651BLE"),),
        )
        server.configure(GATEWAY, config)
        await until(lambda: len(server.committed) == 1)
        await until(lambda: any(status.config_version == 7 for status in server.statuses))
        await drained(gateway)  # the address is learnt when the session has ended well

        known = gateway.registry.device("bp-1")
        assert known is not None
        assert known.address == CUFF


async def test_silent_device_does_not_keep_others_from_being_read(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    silent, working = cuff(air, clock), meter(air, clock)
    async with home_gateway(air, broker, tmp_path / "gw", clock), powered(silent), powered(working):
        set_fault(silent.faults, "ignore-connections")
        silent.apply_faults()
        await silent.measure(pressure(128))
        await working.measure(GlucoseReading(glucose=Decimal(101)))
        await until(lambda: len(server.committed) == 1, seconds=60)

        assert values(server, "glucose") == [101]


async def test_early_indication_is_told_as_a_reading_that_may_be_lost(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    device = cuff(air, clock)
    async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway, powered(device):
        await device.measure(pressure(128))
        await until(lambda: len(server.committed) == 1)
        await drained(gateway)
        set_fault(device.faults, "early-indication")
        clock.skip(timedelta(hours=8))
        await device.measure(pressure(150))
        await until(
            lambda: (
                len(server.committed) == 2
                or any(d.warning == READING_MAY_BE_LOST for status in server.statuses for d in status.devices)
            )
        )


async def test_gateway_killed_between_journal_and_server_sends_after_its_restart(
    tmp_path: Path, broker: Broker, clock: HomeClock
) -> None:
    air = Air()
    device = cuff(air, clock)
    broker.kill()
    async with powered(device):
        async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway:
            await device.measure(pressure(128))
            async with asyncio.timeout(20):
                await device.delivered()
                await eventually(gateway.outbox.counts, lambda counts: counts.pending == 1)
        broker.restart()
        with receiving_server(broker) as server:
            async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway:
                await until(lambda: len(server.committed) == 1)
                await drained(gateway)
            await until(lambda: server.statuses[-1].state == "offline")
            assert values(server, "systolic") == [128]


async def test_bond_that_the_device_lost_is_renewed(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    device = cuff(air, clock)
    async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway, powered(device):
        await device.measure(pressure(128))
        await until(lambda: len(server.committed) == 1)
        await drained(gateway)
        await device.lose_bonds()
        clock.skip(timedelta(hours=8))
        await device.measure(pressure(131))
        await until(lambda: len(server.committed) == 2)

        assert values(server, "systolic") == [128, 131]


async def test_box_that_does_not_know_the_time_leaves_the_readings_in_the_cuff(
    tmp_path: Path, broker: Broker, server: ReceivingServer
) -> None:
    clock = HomeClock(datetime.fromisoformat("2023-12-31T23:00:00Z"))
    air = Air()
    device = cuff(air, clock)
    async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway, powered(device):
        await device.measure(pressure(128))
        await until(lambda: any("gateway-clock-not-set" in status.warnings for status in server.statuses))
        await until(lambda: "bp-1" in gateway._windows)
        assert device.sessions == 0

        clock.skip(timedelta(days=800))
        await device.open_window()
        await until(lambda: len(server.committed) == 1)


async def test_full_journal_leaves_the_readings_in_the_cuff(
    tmp_path: Path, broker: Broker, server: ReceivingServer, clock: HomeClock
) -> None:
    air = Air()
    device = cuff(air, clock)
    async with home_gateway(air, broker, tmp_path / "gw", clock) as gateway, powered(device):
        await gateway.outbox._do(
            lambda connection: connection.execute(
                "PRAGMA max_page_count = " + str(connection.execute("PRAGMA page_count").fetchone()[0])
            ).fetchall()
        )
        await device.measure(pressure(128))
        await until(lambda: any(d.warning == "journal-full" for status in server.statuses for d in status.devices))
        assert device.sessions == 0
        assert device.undelivered == 1

        await gateway.outbox._do(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchall())
        clock.skip(timedelta(minutes=2))
        await device.open_window()
        await until(lambda: len(server.committed) == 1)
