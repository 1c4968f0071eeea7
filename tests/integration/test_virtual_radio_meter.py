"""A glucose meter on the virtual air: passkey, record access over the link, resumption, clock offsets, a whole lab."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable
from datetime import timedelta
from decimal import Decimal

import pytest
from bleak import BleakScanner
from bleak.exc import BleakError, BleakGATTProtocolError

from simulators.bleak_backend import BumbleScanner, VirtualRadio
from simulators.devices.glucose_meter import GlucoseMeter, GlucoseReading
from simulators.encoding import Meal
from simulators.faults import set_fault
from simulators.laboratory import Laboratory
from simulators.scenario import SCENARIO_FOLDER, expand, planned_readings, read_scenario
from tests.integration.virtual_radio_help import (
    LIMIT,
    NOON,
    RecordAccess,
    client,
    eventually,
    find,
    open_home,
    settings,
)


def fill(meter: GlucoseMeter, count: int) -> None:
    for number in range(count):
        meter.store(GlucoseReading(glucose=Decimal(100 + number % 200)))


def sequence_of(record: bytes) -> int:
    value: int = struct.unpack_from("<H", record, 1)[0]
    return value


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "AUTHENTICATION_REQUIREMENTS"),  # a gateway without a keyboard
        (111111, "CONFIRM_VALUE_FAILED"),
        ("refuse", "PASSKEY_ENTRY_FAILED"),
    ],
)
async def test_no_record_without_the_right_passkey(answer: object, reason: str) -> None:
    async with open_home() as home:
        meter = await home.meter()
        fill(meter, 3)
        await meter.open_window()
        number = answer if isinstance(answer, int) else None
        radio = await home.radio(passkey=None if answer is None else lambda _: number)

        async with client(await find(radio, "SIM METER"), radio) as link:
            with pytest.raises(BleakError, match=reason):
                await RecordAccess(link).subscribe()

        assert meter.undelivered == 3
        assert await meter.bonded_with() == []


async def test_passkey_on_the_display_opens_the_records_and_the_bond_is_kept() -> None:
    async with open_home() as home:
        meter = await home.meter(passkey=None)  # new digits at each pairing
        fill(meter, 3)
        asked: list[str] = []

        async def read_display(address: str) -> int:
            asked.append(address)
            await eventually(lambda: meter.displayed_passkey is not None, "the meter shows a passkey")
            return int(meter.displayed_passkey or "")

        def provide(address: str) -> Awaitable[int | None]:
            return read_display(address)

        radio = await home.radio(passkey=provide)
        for _ in range(2):
            await meter.open_window()
            async with client(await find(radio, "SIM METER"), radio) as link:
                access = RecordAccess(link)
                await access.subscribe()
                assert await access.ask("0101") == "06000101"
                assert [sequence_of(record) for record in access.records] == [1, 2, 3]

        assert asked == [meter.settings.address]
        assert meter.displayed_passkey is not None
        assert len(meter.displayed_passkey) == 6


async def test_record_access_over_the_link() -> None:
    async with open_home() as home:
        meter = await home.meter()
        fill(meter, 10)
        await meter.open_window()
        radio = await home.radio(passkey=lambda _: 123456)

        async with client(await find(radio, "SIM METER"), radio) as link:
            access = RecordAccess(link)
            await access.subscribe()
            answers: dict[str, tuple[str, int]] = {}
            for request in ("0401", "0101", "0103010800", "0106", "010301ff00", "0109", "0901", "0202010300", "0401"):
                access.records.clear()
                answers[request] = (await access.ask(request), len(access.records))

        assert answers == {
            "0401": ("05000700", 0),  # the second count, after the deletion of three
            "0101": ("06000101", 10),
            "0103010800": ("06000101", 3),
            "0106": ("06000101", 1),
            "010301ff00": ("06000106", 0),
            "0109": ("06000104", 0),
            "0901": ("06000902", 0),
            "0202010300": ("06000201", 0),
        }


async def test_context_follows_its_measurement() -> None:
    async with open_home() as home:
        meter = await home.meter()
        meter.store(GlucoseReading(glucose=Decimal(105), meal=Meal.FASTING))
        await meter.open_window()
        radio = await home.radio(passkey=lambda _: 123456)

        async with client(await find(radio, "SIM METER"), radio) as link:
            access = RecordAccess(link)
            await access.subscribe()
            await access.ask("0101")

        assert access.records[0].hex() == "130100ea070a010c0000000069b012"
        assert access.contexts[0].hex() == "02010003"


async def test_the_order_of_a_procedure_is_enforced() -> None:
    async with open_home() as home:
        meter = await home.meter()
        fill(meter, 200)
        await meter.open_window()
        radio = await home.radio(passkey=lambda _: 123456)

        async with client(await find(radio, "SIM METER"), radio) as link:
            await link.pair()
            with pytest.raises(BleakGATTProtocolError) as unconfigured:
                await link.write_gatt_char("2a52", b"\x01\x01", response=True)
            access = RecordAccess(link)
            await access.subscribe()
            await link.write_gatt_char("2a52", b"\x01\x01", response=True)
            with pytest.raises(BleakGATTProtocolError) as busy:
                await link.write_gatt_char("2a52", b"\x04\x01", response=True)
            aborted = await access.ask("0300")

        assert unconfigured.value.args[0] == 0xFD
        assert busy.value.args[0] == 0xFE
        assert aborted == "06000301"
        assert len(access.records) < 200


async def test_a_transfer_cut_after_123_of_500_records_goes_on_at_124() -> None:
    async with open_home() as home:
        meter = await home.meter()
        fill(meter, 500)
        await meter.open_window()
        radio = await home.radio(passkey=lambda _: 123456)
        set_fault(meter.faults, "drop-at-notification", 123)
        gone = asyncio.Event()

        async with client(await find(radio, "SIM METER"), radio, lambda _: gone.set()) as link:
            cut = RecordAccess(link)
            await cut.subscribe()
            await link.write_gatt_char("2a52", b"\x01\x01", response=True)
            async with asyncio.timeout(LIMIT):
                await gone.wait()
        assert [sequence_of(record) for record in cut.records] == list(range(1, 124))
        assert meter.undelivered == 500

        async with client(await find(radio, "SIM METER"), radio) as link:
            rest = RecordAccess(link)
            await rest.subscribe()
            assert await rest.ask("010301" + struct.pack("<H", 124).hex()) == "06000101"

        assert [sequence_of(record) for record in rest.records] == list(range(124, 501))
        await eventually(lambda: meter.undelivered == 0, "the meter has seen the last confirmation")
        payloads = [record.hex() for record in cut.records + rest.records]
        assert payloads == [entry.payload for entry in home.ledger.entries]


async def test_setting_the_clock_moves_only_the_offset_of_later_records() -> None:
    async with open_home() as home:
        meter = await home.meter(clock_offset_seconds=-3600)
        meter.store(GlucoseReading(glucose=Decimal(100)))
        await meter.open_window()
        radio = await home.radio(passkey=lambda _: 123456)

        async with client(await find(radio, "SIM METER"), radio) as link:
            await link.write_gatt_char("2a08", struct.pack("<HBBBBB", 2026, 10, 1, 12, 0, 0), response=True)
            home.clock.advance_to(NOON + timedelta(minutes=5))
            meter.store(GlucoseReading(glucose=Decimal(101)))
            access = RecordAccess(link)
            await access.subscribe()
            await access.ask("0101")

        base_and_offset = [record[3:12].hex() for record in access.records]
        assert base_and_offset == ["ea070a010b00000000", "ea070a010b05003c00"]  # 11:00 + 0, 11:05 + 60 min
        assert [entry.device_time and entry.device_time.hour for entry in home.ledger.entries] == [11, 12]


async def serve(radio: VirtualRadio, got: list[bytes]) -> None:
    """A gateway in small: whatever advertises is connected and read."""
    heard: asyncio.Queue[tuple[object, str]] = asyncio.Queue()
    busy: set[str] = set()

    def on_heard(device: object, data: object) -> None:
        address = device.address  # type: ignore[attr-defined]
        if address not in busy:
            busy.add(address)
            heard.put_nowait((device, data.service_uuids[0][4:8]))  # type: ignore[attr-defined]

    async with BleakScanner(on_heard, backend=BumbleScanner, radio=radio):
        while True:
            device, service = await heard.get()
            try:
                async with client(device, radio) as link:  # type: ignore[arg-type]
                    if service == "1810":
                        await link.start_notify("2a35", lambda _, value: got.append(bytes(value)))
                        await link.read_gatt_char("2a08")
                    else:
                        access = RecordAccess(link)
                        await access.subscribe()
                        await access.ask("0106")
                        got.extend(access.records)
            except (BleakError, TimeoutError):
                pass  # a link lost on purpose: the device comes again
            busy.discard(device.address)  # type: ignore[attr-defined]


async def test_three_homes_for_a_week_in_seconds() -> None:
    """The demonstration scenario, faults included: every measurement of the ledger arrives."""
    scenario = read_scenario(SCENARIO_FOLDER / "three-homes.yaml")
    acts = expand(scenario)
    passkeys = {device.address: device.passkey for home in scenario.homes for device in home.devices}
    got: list[bytes] = []

    async with Laboratory(scenario.begins_at) as lab:
        await lab.add_scenario(scenario)
        gateways = []
        for number, home in enumerate(scenario.homes):
            radio = await lab.open_radio(f"C0:00:00:00:00:{number:02X}", home=home.id, passkey=passkeys.get)
            gateways.append(asyncio.ensure_future(serve(radio, got)))
        await lab.play(acts)
        async with asyncio.timeout(LIMIT):
            await lab.delivered()
        for gateway in gateways:
            gateway.cancel()
        await asyncio.gather(*gateways, return_exceptions=True)

        assert len(lab.ledger.entries) == planned_readings(acts).total()
        assert {entry.payload for entry in lab.ledger.entries} <= {value.hex() for value in got}
        assert lab.clock.now() == acts[-1].at


async def test_a_laboratory_keeps_devices_over_its_own_end(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    one = settings("C1:00:00:00:00:02", device_id="meter")
    async with Laboratory(NOON, folder=folder, ledger=folder / "ledger.jsonl") as lab:
        await lab.add_device("glucose", one)
        await lab.measure("meter", NOON + timedelta(hours=1), values={"glucose": "104"}, meal="fasting")

    async with Laboratory(NOON + timedelta(days=1), folder=folder) as lab:
        meter = await lab.add_device("glucose", one)
        assert meter.undelivered == 1
    assert '"glucose": "104"' in (folder / "ledger.jsonl").read_text(encoding="utf-8")
