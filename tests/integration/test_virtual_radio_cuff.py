"""A cuff on the virtual air, read by bleak: windows, bonds, indications, and what happens when they fail."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError

from simulators.bleak_backend import BumbleClient, BumbleScanner, VirtualRadio
from simulators.central import KeyMissingError
from simulators.devices.blood_pressure_monitor import FAILED_READING
from simulators.faults import set_fault
from simulators.memory import DeviceMemory
from tests.integration.virtual_radio_help import (
    BLOOD_PRESSURE_SERVICE,
    CUFF_ADDRESS,
    LIMIT,
    NOON,
    client,
    eventually,
    find,
    open_home,
    pressure,
    systolic_of,
)


async def collect(radio: VirtualRadio, count: int) -> list[bytes]:
    """One contact: subscribe, take what comes until the cuff hangs up (or the link is lost)."""
    got: list[bytes] = []
    gone = asyncio.Event()
    async with client(await find(radio, "SIM BP"), radio, lambda _: gone.set()) as cuff:
        await cuff.start_notify("2a35", lambda _, value: got.append(bytes(value)))
        async with asyncio.timeout(LIMIT):
            await gone.wait()
    assert len(got) >= count
    return got


async def test_stored_records_arrive_oldest_first_and_are_erased_and_the_cuff_hangs_up() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        for systolic in (121, 122, 123):
            await cuff.measure(pressure(systolic))

        got = await collect(radio, 3)

        assert [systolic_of(value) for value in got] == [121, 122, 123]
        assert [value.hex() for value in got] == [entry.payload for entry in home.ledger.entries]
        assert cuff.memory.records == []
        assert cuff.undelivered == 0
        assert len(await cuff.bonded_with()) == 1


async def test_scanner_filters_by_service_and_sees_name_and_strength() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        meter = await home.meter()
        radio = await home.radio()
        await cuff.measure(pressure(120))
        await meter.open_window()
        seen: dict[str, tuple[str | None, int]] = {}

        async with BleakScanner(
            lambda device, data: seen.update({device.address: (data.local_name, data.rssi)}),
            service_uuids=[BLOOD_PRESSURE_SERVICE],
            backend=BumbleScanner,
            radio=radio,
        ):
            await eventually(lambda: CUFF_ADDRESS in seen, "the cuff is heard")

        assert seen == {CUFF_ADDRESS: ("SIM BP", -55)}


async def test_a_cuff_is_on_the_air_only_for_its_window_after_a_measurement() -> None:
    async with open_home() as home:
        cuff = await home.cuff(window_seconds=1.0)
        radio = await home.radio()
        assert not cuff.is_advertising

        await cuff.measure(pressure(120))
        await find(radio, "SIM BP")
        assert cuff.is_advertising
        await eventually(lambda: not cuff.is_advertising, "the window closes")

        assert cuff.undelivered == 1  # nobody came: the record stays
        await cuff.measure(pressure(121))
        got = await collect(radio, 2)
        assert [systolic_of(value) for value in got] == [120, 121]


async def test_after_delivery_the_window_is_over() -> None:
    async with open_home() as home:
        cuff = await home.cuff(window_seconds=30)
        radio = await home.radio()
        await cuff.measure(pressure(120))

        await collect(radio, 1)
        await eventually(lambda: not cuff.is_connected, "the session ends")

        assert not cuff.is_advertising


async def test_a_measurement_during_the_session_is_sent_in_it() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        await cuff.measure(pressure(120))
        got: list[bytes] = []

        async with client(await find(radio, "SIM BP"), radio) as link:
            await link.start_notify("2a35", lambda _, value: got.append(bytes(value)))
            await eventually(lambda: len(got) == 1, "the first record")
            await cuff.measure(pressure(121))
            await eventually(lambda: len(got) == 2, "the second record")

        assert [systolic_of(value) for value in got] == [120, 121]


async def test_attributes_of_a_cuff() -> None:
    async with open_home() as home:
        cuff = await home.cuff(manufacturer="Maker", model="M-1", serial="S-9", firmware="2.0", clock_offset_seconds=90)
        cuff.memory.battery_percent = 37
        radio = await home.radio()
        await cuff.open_window()

        async with client(await find(radio, "SIM BP"), radio) as link:
            read = {uuid: bytes(await link.read_gatt_char(uuid)) for uuid in ("2a29", "2a24", "2a25", "2a26")}
            assert read == {"2a29": b"Maker", "2a24": b"M-1", "2a25": b"S-9", "2a26": b"2.0"}
            assert bytes(await link.read_gatt_char("2a19")) == b"\x25"
            assert bytes(await link.read_gatt_char("2a49")).hex() == "1700"
            assert bytes(await link.read_gatt_char("2a08")).hex() == "ea070a010c011e"  # 12:01:30
            assert bytes(await link.read_gatt_char("2a2b")).hex() == "ea070a010c011e040000"  # a Thursday


async def test_setting_the_clock_changes_later_records_only() -> None:
    async with open_home() as home:
        cuff = await home.cuff(clock_offset_seconds=-7200)
        radio = await home.radio()
        before = await cuff.measure(pressure(120))

        async with client(await find(radio, "SIM BP"), radio) as link:
            await link.write_gatt_char("2a08", struct.pack("<HBBBBB", 2026, 10, 1, 12, 0, 0), response=True)
            with pytest.raises(BleakGATTProtocolError) as refused:
                await link.write_gatt_char("2a08", bytes.fromhex("ea070d01000000"), response=True)
            assert refused.value.args[0] == 0x80
        home.clock.advance_to(NOON + timedelta(minutes=10))
        after = await cuff.measure(pressure(121))

        assert before.device_time == datetime(2026, 10, 1, 10, 0)  # noqa: DTZ001
        assert after.device_time == datetime(2026, 10, 1, 12, 10)  # noqa: DTZ001
        assert after.true_time == datetime(2026, 10, 1, 12, 10, tzinfo=UTC)
        assert cuff.memory.records[0].payload[7:14].hex() == "ea070a010a0000"


async def test_link_lost_at_the_third_indication_sends_it_again() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        for systolic in range(121, 126):
            await cuff.measure(pressure(systolic))
        set_fault(cuff.faults, "drop-at-notification", 3)

        first = await collect(radio, 3)
        second = await collect(radio, 3)

        assert [systolic_of(value) for value in first] == [121, 122, 123]
        assert [systolic_of(value) for value in second] == [123, 124, 125]  # raw 6, distinct 5
        assert cuff.undelivered == 0


async def test_link_lost_at_an_octet() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        for systolic in (121, 122, 123):
            await cuff.measure(pressure(systolic))
        set_fault(cuff.faults, "drop-at-byte", 40)  # a record has 16 octets: the third does not fit

        first = await collect(radio, 2)
        second = await collect(radio, 1)

        assert [systolic_of(value) for value in first + second] == [121, 122, 123]


async def test_indication_sent_twice() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        for systolic in (121, 122):
            await cuff.measure(pressure(systolic))
        set_fault(cuff.faults, "duplicate-indication", 1)

        assert [systolic_of(value) for value in await collect(radio, 3)] == [121, 121, 122]


async def test_early_indications_are_confirmed_to_nobody() -> None:
    """The silent loss every gateway must know of: the second contact brings nothing and the cuff erases all."""
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        set_fault(cuff.faults, "early-indication")
        await cuff.measure(pressure(121))
        assert len(await collect(radio, 1)) == 1
        for systolic in (122, 123, 124):
            await cuff.measure(pressure(systolic))

        assert await collect(radio, 0) == []

        assert cuff.undelivered == 0
        assert len(home.ledger.entries) == 4


async def test_bond_lost_by_the_device_is_told_and_mended_by_pairing_anew() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        await cuff.measure(pressure(121))
        await collect(radio, 1)
        await cuff.measure(pressure(122))
        await cuff.lose_bonds()
        device = await find(radio, "SIM BP")

        with pytest.raises(BleakError, match="PIN or Key Missing") as caught:
            await client(device, radio).connect()
        assert isinstance(caught.value.__cause__, KeyMissingError)
        await client(device, radio).unpair()

        assert [systolic_of(value) for value in await collect(radio, 1)] == [122]


async def test_bond_lost_by_the_gateway_is_mended_silently() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        await cuff.measure(pressure(121))
        await collect(radio, 1)
        await radio.central.forget(CUFF_ADDRESS)
        await cuff.measure(pressure(122))

        assert [systolic_of(value) for value in await collect(radio, 1)] == [122]


async def test_the_newest_gateway_takes_the_only_bond() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        for number, systolic in ((1, 121), (2, 122)):
            radio = await home.radio(address=f"C0:00:00:00:00:0{number}")
            await cuff.measure(pressure(systolic))
            await collect(radio, 1)
            await radio.close()

        bonds = await cuff.bonded_with()

        assert [bond.split("/")[0] for bond in bonds] == ["C0:00:00:00:00:02"]


async def test_pairing_only_in_pairing_mode() -> None:
    async with open_home() as home:
        cuff = await home.cuff(pairs_any_time=False)
        radio = await home.radio()
        await cuff.measure(pressure(121))
        async with client(await find(radio, "SIM BP"), radio) as link:
            with pytest.raises(BleakError, match="PAIRING_NOT_SUPPORTED"):
                await link.pair()

        await cuff.open_window(pairing=True)

        assert [systolic_of(value) for value in await collect(radio, 1)] == [121]


async def test_a_device_that_answers_no_request_times_out_and_the_next_one_is_served() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        meter = await home.meter()
        radio = await home.radio()
        set_fault(cuff.faults, "ignore-connections")
        cuff.apply_faults()
        await cuff.measure(pressure(121))
        await meter.open_window()
        device = await find(radio, "SIM BP")

        with pytest.raises(TimeoutError):
            await BleakClient(device, backend=BumbleClient, radio=radio, timeout=0.3).connect()

        async with client(await find(radio, "SIM METER"), radio) as link:
            assert link.is_connected


async def test_a_device_that_answers_no_attribute_request_times_out() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        set_fault(cuff.faults, "silent-gatt")
        await cuff.measure(pressure(121))
        device = await find(radio, "SIM BP")

        with pytest.raises(TimeoutError):
            await BleakClient(device, backend=BumbleClient, radio=radio, timeout=0.3).connect()

        cuff.faults.silent_gatt = False
        assert [systolic_of(value) for value in await collect(radio, 1)] == [121]


async def test_link_lost_during_a_read_is_a_bleak_error() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        await cuff.measure(pressure(121))

        async with client(await find(radio, "SIM BP"), radio) as link:
            cuff.faults.silent_gatt = True
            reading = asyncio.ensure_future(link.read_gatt_char("2a19"))
            await asyncio.sleep(0)
            cuff.drop_link()
            with pytest.raises(BleakError, match="disconnected"):
                await reading
            assert not link.is_connected


async def test_a_cancelled_read_stays_cancelled() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        await cuff.measure(pressure(121))

        async with client(await find(radio, "SIM BP"), radio) as link:
            cuff.faults.silent_gatt = True
            reading = asyncio.ensure_future(link.read_gatt_char("2a19"))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading


async def test_small_packets_cut_long_indications() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        set_fault(cuff.faults, "mtu", 23)
        cuff.apply_faults()
        await cuff.measure(pressure(121))

        async with client(await find(radio, "SIM BP"), radio) as link:
            assert link.mtu_size == 23
            assert bytes(await link.read_gatt_char("2a24")) == b"SIM"


async def test_a_slow_radio_delivers_all_in_order() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        set_fault(cuff.faults, "slow-radio", 5)
        cuff.apply_faults()
        for systolic in (121, 122, 123):
            await cuff.measure(pressure(systolic))
        began = asyncio.get_running_loop().time()

        got = await collect(radio, 3)

        assert [systolic_of(value) for value in got] == [121, 122, 123]
        assert asyncio.get_running_loop().time() - began > 6 * 0.005  # at least: three indications, three confirmations


async def test_a_failed_measurement_is_sent_as_nan() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        entry = await cuff.measure(FAILED_READING)

        got = await collect(radio, 1)

        assert got[0].hex().startswith("12ff07ff07ff07")
        assert entry.values == {"systolic": "NaN", "diastolic": "NaN", "mean": "NaN", "pulse": None}


async def test_an_address_that_nobody_has() -> None:
    async with open_home() as home:
        radio = await home.radio()

        with pytest.raises(BleakDeviceNotFoundError):
            await BleakClient("C1:00:00:00:00:77", backend=BumbleClient, radio=radio, timeout=0.2).connect()


async def test_a_plain_address_is_looked_for_first() -> None:
    async with open_home() as home:
        cuff = await home.cuff()
        radio = await home.radio()
        await cuff.measure(pressure(121))

        async with BleakClient(CUFF_ADDRESS, backend=BumbleClient, radio=radio, timeout=15.0) as link:
            assert link.name == "SIM BP"
            assert link.backend_id == "BumbleClient"


async def test_memory_and_bond_survive_a_power_cut(tmp_path: Path) -> None:
    async with open_home() as home:
        cuff = await home.cuff(DeviceMemory(tmp_path))
        radio = await home.radio()
        await cuff.measure(pressure(121))
        await collect(radio, 1)
        await cuff.measure(pressure(122))
        await cuff.power_off()

        again = await home.cuff(DeviceMemory(tmp_path))
        assert again.undelivered == 1
        await again.open_window()

        assert [systolic_of(value) for value in await collect(radio, 1)] == [122]
        assert await again.bonded_with() == await cuff.bonded_with()
        counted = Counter(entry.sequence for entry in home.ledger.entries)
        assert counted == {1: 1, 2: 1}
        assert Decimal(home.ledger.entries[1].values["systolic"] or 0) == 122
