"""bleak's own, unmodified BlueZ backend on the facade, over a hub.

The gateway's side runs as a program of its own (GATEWAY below), so that nothing of the laboratory is in its process.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulators.devices.blood_pressure_monitor import BloodPressureMonitor
from simulators.devices.glucose_meter import GlucoseMeter, GlucoseReading
from simulators.link import Hub
from tests.integration.virtual_radio_help import (
    CUFF_ADDRESS,
    GATEWAY_ADDRESS,
    LIMIT,
    Home,
    LabProcess,
    eventually,
    open_home,
    pressure,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="BlueZ and its D-Bus exist on Linux only")

GATEWAY = """
import asyncio, json, sys
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

def say(**fields):
    print(json.dumps(fields), flush=True)

async def call(bus, path, interface, member, signature="", body=()):
    reply = await bus.call(Message(destination="org.bluez", path=path, interface=interface, member=member,
                                   signature=signature, body=list(body)))
    return reply.body if reply.message_type is MessageType.METHOD_RETURN else [reply.error_name]

async def agent(bus, passkey):
    asked = []
    def on_message(message):
        if message.message_type is not MessageType.METHOD_CALL or message.interface != "org.bluez.Agent1":
            return None
        asked.append(message.member)
        if message.member == "RequestPasskey" and passkey is not None:
            return Message.new_method_return(message, "u", [passkey])
        if message.member == "RequestPasskey":
            return Message.new_error(message, "org.bluez.Error.Rejected", "no")
        return Message.new_method_return(message)
    bus.add_message_handler(on_message)
    await call(bus, "/org/bluez", "org.bluez.AgentManager1", "RegisterAgent", "os", ["/agent", "KeyboardDisplay"])
    await call(bus, "/org/bluez", "org.bluez.AgentManager1", "RequestDefaultAgent", "o", ["/agent"])
    return asked

async def cuff(count):
    found = {}
    async with BleakScanner(lambda d, a: found.setdefault(d.address, (d, a)),
                            service_uuids=["00001810-0000-1000-8000-00805f9b34fb"]) as scanner:
        while not found:
            await asyncio.sleep(0.01)
    device, data = next(iter(found.values()))
    say(address=device.address, name=data.local_name, rssi=data.rssi, others=len(found) - 1)
    got, gone = [], asyncio.Event()
    async with BleakClient(device, lambda _: gone.set(), timeout=30) as client:
        say(backend=str(client.backend_id), services=sorted(s.uuid[4:8] for s in client.services))
        await client.start_notify("2a35", lambda _, value: got.append(bytes(value).hex()))
        say(model=bytes(await client.read_gatt_char("2a24")).decode())
        async with asyncio.timeout(30):
            await gone.wait()
    say(got=got, connected=client.is_connected)

async def meter(mode, passkey):
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    asked = await agent(bus, None if passkey == "refuse" else int(passkey)) if mode == "agent" else []
    device = await BleakScanner.find_device_by_name("SIM METER", timeout=30)
    records, answers = [], asyncio.Queue()
    try:
        async with BleakClient(device, pair=True, timeout=30) as client:
            await client.start_notify("2a18", lambda _, value: records.append(bytes(value).hex()))
            await client.start_notify("2a52", lambda _, value: answers.put_nowait(bytes(value).hex()))
            await client.write_gatt_char("2a52", bytes.fromhex("0101"), response=True)
            say(answer=await asyncio.wait_for(answers.get(), 30))
            try:
                await client.write_gatt_char("2a08", b"nonsense!", response=True)
            except BleakError as error:
                say(att_error=int(error.args[0]))
    except BleakError as error:
        say(error=str(error))
    say(asked=asked, records=len(records))
    bus.disconnect()

async def die():
    device = await BleakScanner.find_device_by_name("SIM BP", timeout=30)
    async with BleakClient(device, timeout=30) as client:
        gone = asyncio.Event()
        client._backend.set_disconnected_callback(gone.set)
        say(connected=True)
        async with asyncio.timeout(30):
            await gone.wait()
        say(connected=client.is_connected)

async def restart():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    changes = asyncio.Queue()
    def on_message(message):
        if message.member == "NameOwnerChanged" and message.body[0] == "org.bluez":
            changes.put_nowait(bool(message.body[2]))
    bus.add_message_handler(on_message)
    await bus.call(Message(destination="org.freedesktop.DBus", path="/org/freedesktop/DBus", member="AddMatch",
                           interface="org.freedesktop.DBus", signature="s",
                           body=["type='signal',member='NameOwnerChanged',arg0='org.bluez'"]))
    heard = 0
    def count(device, data):
        nonlocal heard
        heard += 1
    old = BleakScanner(count)
    await old.start()
    while not heard:
        await asyncio.sleep(0.01)
    say(before=True)
    say(owners=[await asyncio.wait_for(changes.get(), 30) for _ in range(2)])
    heard = 0
    device = await BleakScanner.find_device_by_name("SIM BP", timeout=30)
    say(found_again=device is not None)
    bus.disconnect()

async def dbus():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    adapter = "/org/bluez/hci0"
    introspected = await bus.introspect("org.bluez", adapter)
    say(interfaces=[i.name for i in introspected.interfaces if i.name.startswith("org.bluez")])
    proxy = bus.get_proxy_object("org.bluez", adapter, introspected)
    properties = proxy.get_interface("org.freedesktop.DBus.Properties")
    everything = await properties.call_get_all("org.bluez.Adapter1")
    say(address=everything["Address"].value, powered=everything["Powered"].value, roles=everything["Roles"].value)
    say(stop=await call(bus, adapter, "org.bluez.Adapter1", "StopDiscovery"))
    say(start=await call(bus, adapter, "org.bluez.Adapter1", "StartDiscovery"))
    say(again=await call(bus, adapter, "org.bluez.Adapter1", "StartDiscovery"))
    from dbus_fast import Variant
    await properties.call_set("org.bluez.Adapter1", "Powered", Variant("b", False))
    say(off=await call(bus, adapter, "org.bluez.Adapter1", "StartDiscovery"))
    await properties.call_set("org.bluez.Adapter1", "Powered", Variant("b", True))
    say(on=await call(bus, adapter, "org.bluez.Adapter1", "StartDiscovery"))
    say(remove=await call(bus, adapter, "org.bluez.Adapter1", "RemoveDevice", "o", [adapter + "/dev_00"]))
    say(unknown=await call(bus, adapter, "org.bluez.Adapter1", "Dance"))
    device = await BleakScanner.find_device_by_name("SIM BP", timeout=30)
    path = device.details["path"]
    say(disconnect=await call(bus, path, "org.bluez.Device1", "Disconnect"))
    say(connect=await call(bus, path, "org.bluez.Device1", "Connect"))
    say(pair=await call(bus, path, "org.bluez.Device1", "Pair"))
    say(pair_again=await call(bus, path, "org.bluez.Device1", "Pair"))
    say(removed=await call(bus, adapter, "org.bluez.Adapter1", "RemoveDevice", "o", [path]))
    bus.disconnect()

words = sys.argv[1:]
acts = {"cuff": lambda: cuff(int(words[1])), "meter": lambda: meter(*words[1:3]), "die": die,
        "dbus": dbus, "restart": restart}
asyncio.run(acts[words[0]]())
"""


@dataclass
class World:
    """A cuff and a meter on a hub in this process; one gateway's org.bluez, a process of its own."""

    home: Home
    cuff: BloodPressureMonitor
    meter: GlucoseMeter
    words: tuple[str, ...]
    bluez: LabProcess

    @property
    def state(self) -> Path:
        return Path(self.words[-1])

    @property
    def socket(self) -> Path:
        return Path(self.bluez.ready["bus_address"].removeprefix("unix:path=").split(",")[0])

    async def gateway(self, *words: str) -> asyncio.subprocess.Process:
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.bluez.ready["bus_address"]}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", GATEWAY, *words, env=environment, stdout=asyncio.subprocess.PIPE
        )

    async def run(self, *words: str) -> dict[str, Any]:
        """What a gateway program said, merged to one dictionary."""
        process = await self.gateway(*words)
        async with asyncio.timeout(90):
            said, _ = await process.communicate()
        assert process.returncode == 0
        merged: dict[str, Any] = {}
        for line in said.splitlines():
            merged |= json.loads(line)
        return merged

    async def restart_bluez(self) -> None:
        await self.bluez.stop()
        self.bluez = await LabProcess.start(*self.words)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_home() as home:
        hub = Hub(home.air)
        address = await hub.listen("tcp://127.0.0.1:0")
        home.closers.append(hub.close)
        words = ("bluez", "--hub", address, "--address", GATEWAY_ADDRESS, "--state", str(tmp_path / "bluez"))
        made = World(home, await home.cuff(), await home.meter(), words, await LabProcess.start(*words))
        try:
            yield made
        finally:
            await made.bluez.stop()


async def test_bleak_scans_bonds_and_reads_a_cuff(world: World) -> None:
    await world.meter.open_window()
    for systolic in (121, 122, 123):
        await world.cuff.measure(pressure(systolic))

    said = await world.run("cuff", "3")

    assert said["backend"] == "BleakBackend.BLUEZ_DBUS"
    assert (said["address"], said["name"], said["rssi"], said["others"]) == (CUFF_ADDRESS, "SIM BP", -55, 0)
    assert said["services"] == ["1805", "180a", "180f", "1810"]
    assert said["model"] == "SIM"
    assert said["got"] == [entry.payload for entry in world.home.ledger.entries]
    assert said["connected"] is False
    assert world.cuff.undelivered == 0
    assert await world.cuff.bonded_with() == [GATEWAY_ADDRESS]


async def test_passkey_no_agent_wrong_right_and_then_the_bond(world: World) -> None:
    for glucose in (101, 102, 103):
        await world.meter.measure(GlucoseReading(glucose=Decimal(glucose)))

    without_agent = await world.run("meter", "none", "-")
    await world.meter.open_window()
    wrong = await world.run("meter", "agent", "111111")
    await world.meter.open_window()
    refused = await world.run("meter", "agent", "refuse")
    await world.meter.open_window()
    right = await world.run("meter", "agent", "123456")

    failure = "[org.bluez.Error.AuthenticationFailed] Authentication Failed"
    assert without_agent == {"error": failure, "asked": [], "records": 0}
    assert wrong == {"error": failure, "asked": ["RequestPasskey"], "records": 0}
    assert refused == wrong
    assert right == {"answer": "06000101", "att_error": 0x80, "asked": ["RequestPasskey"], "records": 3}

    await world.restart_bluez()  # the bond is on disk
    await world.meter.open_window()
    bonded = await world.run("meter", "none", "-")
    assert bonded == {"answer": "06000101", "att_error": 0x80, "asked": [], "records": 3}


async def test_a_killed_device_ends_the_session(world: World) -> None:
    await world.cuff.open_window()
    process = await world.gateway("die")
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline()) == {"connected": True}

    await world.cuff.power_off()

    async with asyncio.timeout(LIMIT):
        assert json.loads(await process.stdout.readline()) == {"connected": False}
        assert await process.wait() == 0


async def test_methods_properties_and_errors_are_those_of_bluez(world: World) -> None:
    await world.cuff.open_window()

    said = await world.run("dbus")

    assert said == {
        "interfaces": ["org.bluez.Adapter1"],
        "address": GATEWAY_ADDRESS,
        "powered": True,
        "roles": ["central"],
        "stop": ["org.bluez.Error.Failed"],
        "start": [],
        "again": ["org.bluez.Error.InProgress"],
        "off": ["org.bluez.Error.NotReady"],
        "on": [],
        "remove": ["org.bluez.Error.DoesNotExist"],
        "unknown": ["org.freedesktop.DBus.Error.UnknownMethod"],
        "disconnect": ["org.bluez.Error.NotConnected"],
        "connect": [],
        "pair": [],
        "pair_again": ["org.bluez.Error.AlreadyExists"],
        "removed": [],
    }
    assert json.loads((world.state / "devices.json").read_text(encoding="utf-8")) == {}
    assert json.loads((world.state / "bonds.json").read_text(encoding="utf-8"))["adapter"] == {}


async def test_bluetoothd_restarts_under_a_running_scan(world: World) -> None:
    """What a gateway must survive: the name vanishes and comes back, a new scan hears again, bonds are kept."""
    await world.cuff.measure(pressure(121))
    first = await world.run("cuff", "1")
    await world.cuff.open_window()
    process = await world.gateway("restart")
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline()) == {"before": True}

    world.bluez.process.send_signal(signal.SIGUSR1)

    async with asyncio.timeout(LIMIT):
        said, _ = await process.communicate()
    assert [json.loads(line) for line in said.splitlines()] == [{"owners": [False, True]}, {"found_again": True}]
    await world.cuff.measure(pressure(122))
    again = await world.run("cuff", "1")
    assert len(first["got"]) == len(again["got"]) == 1
    assert await world.cuff.bonded_with() == [GATEWAY_ADDRESS]


async def test_the_bus_goes_with_its_bluez_even_when_that_is_killed(world: World) -> None:
    socket = world.socket

    world.bluez.process.send_signal(signal.SIGKILL)
    await world.bluez.process.wait()

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(socket)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        writer.close()
        return False

    deadline = asyncio.get_running_loop().time() + LIMIT
    while not await refused():
        assert asyncio.get_running_loop().time() < deadline, "the bus outlives its owner"
        await asyncio.sleep(0.05)
    shutil.rmtree(socket.parent, ignore_errors=True)


async def test_a_stopped_bluez_leaves_nothing_behind(world: World) -> None:
    socket = world.socket

    assert await world.bluez.stop() == 0

    await eventually(lambda: not socket.parent.exists(), "the folder of the bus is gone")
