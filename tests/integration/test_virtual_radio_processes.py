"""The air between processes: hub, devices and a gateway, over TCP and unix sockets; what a killed process means."""

from __future__ import annotations

import asyncio
import signal
import sys
from decimal import Decimal
from pathlib import Path

import psutil
import pytest
from bleak.exc import BleakError
from bumble.keys import JsonKeyStore

from simulators.bleak_backend import VirtualRadio
from simulators.clock import SystemClock
from simulators.control import DeviceControl, control_request
from simulators.devices.glucose_meter import GlucoseMeter, GlucoseReading
from simulators.faults import FAULTY_ACTS
from simulators.link import Hub
from simulators.memory import DeviceMemory
from tests.integration.virtual_radio_help import (
    CUFF_ADDRESS,
    GATEWAY_ADDRESS,
    LIMIT,
    METER_ADDRESS,
    LabProcess,
    RecordAccess,
    client,
    eventually,
    find,
    laboratory,
    open_home,
    read_ledger,
    settings,
    systolic_of,
)


def cuff_words(hub: str, folder: Path) -> tuple[str, ...]:
    words = ("device", "blood-pressure", "--id", "cuff", "--address", CUFF_ADDRESS, "--hub", hub, "--seed", "4")
    return (*words, "--state", str(folder / "cuff"), "--ledger", str(folder / "ledger.jsonl"), "--idle", "0.2")


async def collect(radio: VirtualRadio, count: int) -> list[bytes]:
    got: list[bytes] = []
    async with client(await find(radio, "SIM BP"), radio) as link:
        await link.start_notify("2a35", lambda _, value: got.append(bytes(value)))
        await eventually(lambda: len(got) >= count, f"{count} records")
    return got


async def test_hub_cuff_and_gateway_in_three_processes(tmp_path: Path) -> None:
    async with laboratory() as start:
        hub = await start("hub")
        cuff = await start(*cuff_words(hub.ready["address"], tmp_path))
        control = cuff.ready["control"]
        bonds = JsonKeyStore("gateway", str(tmp_path / "bonds.json"))
        radio = await VirtualRadio.open(hub.ready["address"], GATEWAY_ADDRESS, key_store=bonds)
        try:
            explicit = {"do": "measure", "values": {"systolic": 142, "diastolic": 91, "pulse": 72}, "user": 1}
            assert (await control_request(control, explicit))["ok"]
            assert (await control_request(control, {"do": "measure", "flags": ["body-movement"]}))["ok"]

            got = await collect(radio, 2)

            ledger = read_ledger(tmp_path / "ledger.jsonl")
            assert [value.hex() for value in got] == [entry["payload"] for entry in ledger]
            assert systolic_of(got[0]) == 142
            assert ledger[1]["flags"] == ["body_movement"]

            # The device is killed with a record in its memory; nothing a real one keeps is lost.
            await control_request(control, {"do": "measure", "values": {"systolic": 150, "diastolic": 90}})
            cuff.process.kill()
            await cuff.process.wait()
            again = await start(*cuff_words(hub.ready["address"], tmp_path))
            status = await control_request(again.ready["control"], {"do": "advertise"})
            assert status["undelivered"] == 1
            assert status["bonds"] == [f"{GATEWAY_ADDRESS}"]
            assert [systolic_of(value) for value in await collect(radio, 1)] == [150]
        finally:
            await radio.close()


async def test_kill_of_a_device_in_a_transfer_ends_the_session_at_the_gateway(tmp_path: Path) -> None:
    memory = DeviceMemory(tmp_path / "meter", capacity=25_000)
    filler = GlucoseMeter(settings(METER_ADDRESS), air="tcp://127.0.0.1:1", clock=SystemClock(), memory=DeviceMemory())
    for number in range(2_000):
        filler.store(GlucoseReading(glucose=Decimal(100 + number % 100)))
    memory.records, memory.next_sequence, memory.clock = filler.memory.records, 2_001, filler.clock
    memory.save()
    async with laboratory() as start:
        hub = await start("hub", "--listen", f"unix:{tmp_path}/air")
        words = ("device", "glucose", "--id", "meter", "--address", METER_ADDRESS, "--hub", hub.ready["address"])
        meter: LabProcess = await start(*words, "--state", str(tmp_path / "meter"), "--passkey", "123456")
        await control_request(meter.ready["control"], {"do": "advertise"})
        radio = await VirtualRadio.open(hub.ready["address"], GATEWAY_ADDRESS, passkey=lambda _: 123456)
        gone = asyncio.Event()
        try:
            async with client(await find(radio, "SIM METER"), radio, lambda _: gone.set()) as link:
                access = RecordAccess(link)
                await access.subscribe()
                await link.write_gatt_char("2a52", b"\x01\x01", response=True)
                await eventually(lambda: len(access.records) >= 10, "the transfer runs")
                meter.process.kill()
                async with asyncio.timeout(LIMIT):
                    await gone.wait()
                assert not link.is_connected
                with pytest.raises(BleakError):
                    await link.read_gatt_char("2a51")
            assert 10 <= len(access.records) < 2_000
        finally:
            await radio.close()
            await meter.process.wait()


async def test_everything_on_a_hub_ends_when_the_hub_dies(tmp_path: Path) -> None:
    async with laboratory() as start:
        hub = await start("hub")
        address = hub.ready["address"]
        cuff, bluez = await asyncio.gather(
            start(*cuff_words(address, tmp_path)),
            start("bluez", "--hub", address, "--address", GATEWAY_ADDRESS, "--state", str(tmp_path / "bluez")),
        )

        hub.process.send_signal(signal.SIGKILL)

        async with asyncio.timeout(LIMIT):
            assert await cuff.process.wait() == 1
            assert await bluez.process.wait() == 1


async def test_control_line_answers_every_request(tmp_path: Path) -> None:
    async with laboratory() as start:
        hub = await start("hub")
        cuff = await start(*cuff_words(hub.ready["address"], tmp_path), "--control", f"unix:{tmp_path}/control")
        control = cuff.ready["control"]

        for request, expected in (
            ({"do": "jump-clock", "seconds": 93600}, True),
            ({"do": "reset-clock"}, True),
            ({"do": "change-batteries"}, True),
            ({"do": "set-battery", "percent": 15}, True),
            ({"do": "fault", "name": "drop-at-notification", "number": 2}, True),
            ({"do": "clear-faults"}, True),
            ({"do": "lose-bond"}, True),
            ({"do": "drop-link"}, True),
            ({"do": "power-off"}, True),
            ({"do": "power-on"}, True),
            ({"do": "pairing-mode", "seconds": 1}, True),
            ({"do": "dance"}, False),
            ({"do": "set-clock"}, False),
            ({"do": "set-clock", "time": "noon"}, False),
            ({"do": "measure", "values": {"systolic": "high", "diastolic": 1}}, False),
            ({"do": "measure", "values": {"systolic": 12345, "diastolic": 1}}, False),
            ({"do": "measure", "flags": ["gremlin"]}, False),
        ):
            answer = await control_request(control, request)
            assert answer["ok"] is expected, answer
        status = await control_request(control, {"do": "status"})

        assert status["battery_percent"] == 15
        assert status["shown_time"].startswith("2000-01-01")
        assert status["records"] == 0


async def test_a_hub_outlives_nonsense_and_serves_the_next_radio() -> None:
    hub = Hub()
    address = await hub.listen("tcp://127.0.0.1:0")
    host, _, port = address.removeprefix("tcp://").partition(":")
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)), b"\x01\x03\x0c\x05", b"\x01\x51\xfc\x00"):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(nonsense)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    meter = GlucoseMeter(settings(METER_ADDRESS), air=address, clock=SystemClock())
    radio = await VirtualRadio.open(address, GATEWAY_ADDRESS)
    try:
        await meter.power_on()
        await meter.open_window()
        assert (await find(radio, "SIM METER")).address == METER_ADDRESS
    finally:
        await meter.power_off()
        await radio.close()
        await hub.close()


async def test_every_faulty_act_can_be_performed() -> None:
    async with open_home() as home:
        cuff, meter = DeviceControl(await home.cuff()), DeviceControl(await home.meter())
        for name, act in FAULTY_ACTS.items():
            for request in act.requests:
                control = meter if name in {"control-solution", "above-range"} else cuff
                await control.perform(request)

    payloads = [entry.payload for entry in home.ledger.entries]
    assert payloads[0].startswith("12ff07ff07ff07")  # NaN in all three pressures
    assert len(payloads) == 5


async def test_an_orphan_ends(tmp_path: Path) -> None:
    """A laboratory whose starter was killed does not stay behind."""
    parent = (
        "import os, subprocess, sys\n"
        "hub = subprocess.Popen([sys.executable, '-m', 'simulators', 'hub'], stdout=subprocess.PIPE)\n"
        "hub.stdout.readline()\n"
        "print(hub.pid, flush=True)\n"
        "os._exit(1)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        pid = int(await process.stdout.readline())
    await process.wait()

    def is_gone() -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    await eventually(is_gone, "the orphaned hub ends")


async def test_ten_radios_on_one_hub_hear_each_other() -> None:
    hub = Hub()
    address = await hub.listen("tcp://127.0.0.1:0")
    meters = [
        GlucoseMeter(
            settings(f"C1:00:00:00:01:{n:02X}", device_id=f"m{n}", name=f"M{n}"), air=address, clock=SystemClock()
        )
        for n in range(9)
    ]
    radio = await VirtualRadio.open(address, GATEWAY_ADDRESS)
    try:
        for meter in meters:
            await meter.power_on()
            await meter.open_window()

        found = await asyncio.gather(*(find(radio, f"M{n}") for n in range(9)))

        assert [device.address for device in found] == [meter.settings.address for meter in meters]
    finally:
        for meter in meters:
            await meter.power_off()
        await radio.close()
        await hub.close()
