"""`org.bluez.Adapter1`: power, discovery sessions with their filters, and the devices the adapter knows.

Input: advertisements from the air, method calls of clients. Output: device objects on the bus.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bumble.pairing import PairingDelegate
from dbus_fast import Variant

from simulators.advertisement import Heard
from simulators.bluez.agents import AgentManager
from simulators.bluez.objects import DBusFailureError, Interface, Method, ObjectTree
from simulators.bluez.remote_device import RemoteDevice, device_path
from simulators.central import Central

ADAPTER: Final = "org.bluez.Adapter1"
# BlueZ's TemporaryTimeout: a device without a bond is forgotten when it was not heard for so long.
TEMPORARY_SECONDS: Final = 30.0


class Adapter:
    """`hci0`. Bonds live in the central's key store, names of bonded devices in `devices.json` beside it."""

    def __init__(self, tree: ObjectTree, agents: AgentManager, path: str, *, names: Path | None = None) -> None:
        self._path = path
        self._tree = tree
        self._agents = agents
        self._names = names
        self._central: Central | None = None
        self._devices: dict[str, RemoteDevice] = {}
        self._filters: dict[str, dict[str, Variant]] = {}
        self._discovering: set[str] = set()
        self._stop_listening: Callable[[], Awaitable[None]] | None = None
        self._pairing_callers: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self._pruning: asyncio.Task[None] | None = None

    @property
    def path(self) -> str:
        return self._path

    @property
    def central(self) -> Central:
        if self._central is None:
            raise DBusFailureError("org.bluez.Error.NotReady", "Resource Not Ready")
        return self._central

    async def start(self, central: Central, alias: str) -> None:
        """Show the adapter and the bonded devices on the bus."""
        self._central = central
        properties = {
            "Address": Variant("s", central.address),
            "AddressType": Variant("s", "random"),
            "Name": Variant("s", alias),
            "Alias": Variant("s", alias),
            "Class": Variant("u", 0),
            "Powered": Variant("b", True),
            "Discoverable": Variant("b", False),
            "DiscoverableTimeout": Variant("u", 180),
            "Pairable": Variant("b", True),
            "PairableTimeout": Variant("u", 0),
            "Discovering": Variant("b", False),
            "UUIDs": Variant("as", []),
            "Modalias": Variant("s", "usb:v1D6Bp0246d0542"),
            "Roles": Variant("as", ["central"]),
        }
        methods = {
            "StartDiscovery": Method(self._start_discovery),
            "StopDiscovery": Method(self._stop_discovery),
            "SetDiscoveryFilter": Method(self._set_filter, "a{sv}"),
            "GetDiscoveryFilters": Method(self._filter_names, "", "as"),
            "RemoveDevice": Method(self._remove_device, "o"),
        }
        self._tree.add(self.path, {ADAPTER: Interface(properties, methods, {"Powered": self._set_power})})
        known = self._read_names()
        for address in await central.bonded_addresses():
            name, uuids = known.get(address, (None, []))
            device = self._new_device(address, is_bonded=True)
            device.show(name, uuids, is_random=True)
        self._pruning = asyncio.get_running_loop().create_task(self._prune_for_ever())

    async def stop(self) -> None:
        if self._pruning is not None:
            self._pruning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pruning
        for device in self._devices.values():
            await device.hang_up()

    def pairing_delegate(self, address: str) -> PairingDelegate:
        return self._agents.delegate(device_path(self.path, address), self._pairing_callers.get(address))

    @contextmanager
    def pairing_for(self, address: str, caller: str | None) -> Iterator[None]:
        if caller is not None:
            self._pairing_callers[address] = caller
        try:
            yield
        finally:
            self._pairing_callers.pop(address, None)

    async def client_gone(self, name: str) -> None:
        """A client left the bus: its agent, discovery and notifications go with it."""
        self._agents.client_gone(name)
        self._filters.pop(name, None)
        if name in self._discovering:
            await self._stop_discovery(name)
        for device in list(self._devices.values()):
            await device.client_gone(name)

    # Power ------------------------------------------------------------------------------------------------------------

    @property
    def is_powered(self) -> bool:
        return bool(self._tree.get(self.path, ADAPTER, "Powered"))

    def require_power(self) -> None:
        if not self.is_powered:
            raise DBusFailureError("org.bluez.Error.NotReady", "Resource Not Ready")

    async def _set_power(self, value: Any) -> None:
        if not value:
            for device in list(self._devices.values()):
                await device.hang_up()
            self._discovering.clear()
            await self._listen_as_needed()
        self._tree.update(self.path, ADAPTER, {"Powered": Variant("b", bool(value))})

    # Discovery --------------------------------------------------------------------------------------------------------

    async def _set_filter(self, sender: str, wanted: dict[str, Variant]) -> None:
        self._filters[sender] = wanted

    async def _filter_names(self, sender: str) -> list[str]:
        del sender
        return ["UUIDs", "RSSI", "Transport", "DuplicateData"]

    async def _start_discovery(self, sender: str) -> None:
        self.require_power()
        if sender in self._discovering:
            raise DBusFailureError("org.bluez.Error.InProgress", "Operation already in progress")
        self._discovering.add(sender)
        await self._listen_as_needed()

    async def _stop_discovery(self, sender: str) -> None:
        if sender not in self._discovering:
            raise DBusFailureError("org.bluez.Error.Failed", "No discovery started")
        self._discovering.discard(sender)
        await self._listen_as_needed()

    async def _listen_as_needed(self) -> None:
        async with self._lock:
            if self._discovering and self._stop_listening is None:
                self._stop_listening = await self.central.listen(self._on_heard)
            elif not self._discovering and self._stop_listening is not None:
                stop, self._stop_listening = self._stop_listening, None
                await stop()
                for device in self._devices.values():
                    device.discovery_over()
            self._tree.update(self.path, ADAPTER, {"Discovering": Variant("b", bool(self._discovering))})

    def _on_heard(self, heard: Heard) -> None:
        device = self._devices.get(heard.address)
        if not any(_passes(self._filters.get(sender, {}), heard) for sender in self._discovering):
            return
        if device is not None:
            device.hear(heard)
            return
        device = self._new_device(heard.address, is_bonded=False)
        device.show(heard.name, list(heard.service_uuids), is_random=heard.is_random, heard=heard)

    # Devices ----------------------------------------------------------------------------------------------------------

    def _new_device(self, address: str, *, is_bonded: bool) -> RemoteDevice:
        device = RemoteDevice(self._tree, self, address, is_bonded=is_bonded, on_bond_change=self._write_names)
        self._devices[address] = device
        return device

    async def _remove_device(self, sender: str, path: str) -> None:
        del sender
        device = next((device for device in self._devices.values() if device.path == path), None)
        if device is None:
            raise DBusFailureError("org.bluez.Error.DoesNotExist", "Does Not Exist")
        del self._devices[device.address]
        await self.central.forget(device.address)
        await device.remove()
        self._write_names()

    async def _prune_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TEMPORARY_SECONDS / 6)
            oldest = asyncio.get_running_loop().time() - TEMPORARY_SECONDS
            for device in list(self._devices.values()):
                if not device.is_bonded and not device.is_busy and device.last_heard < oldest:
                    del self._devices[device.address]
                    await device.remove()

    def _write_names(self) -> None:
        if self._names is not None:
            known = {
                device.address: {"name": device.name, "uuids": device.uuids}
                for device in self._devices.values() if device.is_bonded
            }  # fmt: skip
            self._names.write_text(json.dumps(known), encoding="utf-8")

    def _read_names(self) -> dict[str, tuple[str | None, list[str]]]:
        if self._names is None or not self._names.exists():
            return {}
        known = json.loads(self._names.read_text(encoding="utf-8"))
        return {address: (entry["name"], entry["uuids"]) for address, entry in known.items()}


def _passes(wanted: dict[str, Variant], heard: Heard) -> bool:
    """A client's discovery filter: any of its UUIDs, at least its RSSI; empty lets everything through."""
    uuids = wanted.get("UUIDs")
    if uuids is not None and uuids.value and not {str(uuid).lower() for uuid in uuids.value} & set(heard.service_uuids):
        return False
    floor = wanted.get("RSSI")
    return floor is None or heard.rssi >= floor.value
