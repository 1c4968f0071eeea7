"""One device as BlueZ knows it: `org.bluez.Device1` with its properties, connection, bond and attribute objects.

Input: advertisements, method calls of clients. Output: property changes and the device's GATT objects.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from dbus_fast import Variant

from simulators.advertisement import Heard, full_uuid
from simulators.bluez.gatt_objects import GattObjects
from simulators.bluez.objects import DBusFailureError, Interface, Method, ObjectTree
from simulators.central import Central, CentralError, KeyMissingError, Link, PairingFailedError

DEVICE: Final = "org.bluez.Device1"
# The kernel gives up a connection attempt after 20 s (HCI_LE_CONN_TIMEOUT).
CONNECT_SECONDS: Final = 20.0


class AdapterSide(Protocol):
    """What a device needs of its adapter."""

    @property
    def path(self) -> str: ...

    @property
    def central(self) -> Central: ...

    def require_power(self) -> None:
        """Raise NotReady while the adapter is off."""

    def pairing_for(self, address: str, caller: str | None) -> contextlib.AbstractContextManager[None]:
        """While pairing on behalf of `caller`."""


def device_path(adapter_path: str, address: str) -> str:
    return f"{adapter_path}/dev_{address.replace(':', '_')}"


class RemoteDevice:
    """See the module. `on_bond_change` tells the owner to write down what it knows of this device."""

    def __init__(
        self,
        tree: ObjectTree,
        adapter: AdapterSide,
        address: str,
        *,
        is_bonded: bool,
        on_bond_change: Callable[[], None],
    ) -> None:
        self.address = address
        self.path = device_path(adapter.path, address)
        self.is_bonded = is_bonded
        self.last_heard = asyncio.get_running_loop().time()
        self._tree = tree
        self._adapter = adapter
        self._on_bond_change = on_bond_change
        self._gatt = GattObjects(tree, self.path)
        self._link: Link | None = None
        self._connecting: asyncio.Task[Link] | None = None

    # Life -------------------------------------------------------------------------------------------------------------

    def show(self, name: str | None, uuids: list[str], *, is_random: bool, heard: Heard | None = None) -> None:
        """Put the device on the bus."""
        properties = {
            "Address": Variant("s", self.address),
            "AddressType": Variant("s", "random" if is_random else "public"),
            "Alias": Variant("s", name or self.address.replace(":", "-")),
            "Adapter": Variant("o", self._adapter.path),
            "UUIDs": Variant("as", uuids),
            "Paired": Variant("b", self.is_bonded),
            "Bonded": Variant("b", self.is_bonded),
            "Trusted": Variant("b", False),
            "Blocked": Variant("b", False),
            "LegacyPairing": Variant("b", False),
            "Connected": Variant("b", False),
            "ServicesResolved": Variant("b", False),
        }
        if name is not None:
            properties["Name"] = Variant("s", name)
        if heard is not None:
            properties |= _advertised(heard)
        methods = {
            "Connect": Method(self._connect),
            "Disconnect": Method(self._disconnect),
            "Pair": Method(self._pair),
            "CancelPairing": Method(self._cancel_pairing),
        }
        setters = {"Trusted": self._set_flag("Trusted"), "Blocked": self._set_flag("Blocked"), "Alias": self._set_alias}
        self._tree.add(self.path, {DEVICE: Interface(properties, methods, setters)})

    async def remove(self) -> None:
        await self.hang_up()
        self._gatt.remove()
        self._tree.remove(self.path)

    async def hang_up(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if self._link is not None:
            with contextlib.suppress(CentralError):
                await self._link.disconnect()

    @property
    def is_connected(self) -> bool:
        return self._link is not None

    @property
    def is_busy(self) -> bool:
        return self._link is not None or self._connecting is not None

    @property
    def name(self) -> str | None:
        value = self._tree.get(self.path, DEVICE, "Name")
        return value if isinstance(value, str) else None

    @property
    def uuids(self) -> list[str]:
        return list(self._tree.get(self.path, DEVICE, "UUIDs") or [])

    def hear(self, heard: Heard) -> None:
        """An advertisement while a discovery runs. RSSI is told each time: that is how clients see a fresh window."""
        self.last_heard = asyncio.get_running_loop().time()
        changed = _advertised(heard)
        changed["UUIDs"] = Variant("as", list(dict.fromkeys([*self.uuids, *heard.service_uuids])))
        if heard.name is not None:
            changed["Name"] = changed["Alias"] = Variant("s", heard.name)
        fresh = {
            name: value for name, value in changed.items()
            if name == "RSSI" or value.value != self._tree.get(self.path, DEVICE, name)
        }  # fmt: skip
        self._tree.update(self.path, DEVICE, fresh)

    def discovery_over(self) -> None:
        self._tree.update(self.path, DEVICE, {}, removed=("RSSI", "TxPower"))

    async def client_gone(self, name: str) -> None:
        await self._gatt.client_gone(name)

    # Connection -------------------------------------------------------------------------------------------------------

    async def _connect(self, sender: str) -> None:
        del sender
        self._adapter.require_power()
        if self._link is None:
            await self._establish()

    async def _establish(self) -> Link:
        if self._connecting is not None:
            raise DBusFailureError("org.bluez.Error.InProgress", "In Progress")
        self._connecting = asyncio.ensure_future(
            self._adapter.central.connect(self.address, timeout_seconds=CONNECT_SECONDS)
        )
        try:
            link = await asyncio.shield(self._connecting)
        except asyncio.CancelledError:
            if self._connecting.cancelled():
                raise DBusFailureError("org.bluez.Error.Failed", "le-connection-canceled") from None
            self._connecting.cancel()
            raise
        except KeyMissingError as error:
            raise DBusFailureError("org.bluez.Error.AuthenticationFailed", "PIN or Key Missing") from error
        except TimeoutError as error:
            raise DBusFailureError("org.bluez.Error.Failed", "le-connection-timeout") from error
        except CentralError as error:
            raise DBusFailureError("org.bluez.Error.Failed", "le-connection-abort-by-remote") from error
        finally:
            self._connecting = None
        await self._on_link(link)
        return link

    async def _on_link(self, link: Link) -> None:
        self._link = link
        link.on_lost(self._on_lost)
        link.on_bonded(self._on_bonded)
        self._tree.update(self.path, DEVICE, {"Connected": Variant("b", True)})
        if not link.is_connected:
            self._on_lost()
            raise DBusFailureError("org.bluez.Error.Failed", "le-connection-abort-by-remote")
        found = [full_uuid(service.uuid.to_bytes()) for service in link.services]
        self._tree.update(self.path, DEVICE, {"UUIDs": Variant("as", list(dict.fromkeys([*self.uuids, *found])))})
        with contextlib.suppress(CentralError, TimeoutError):  # a link lost meanwhile is told by _on_lost
            await self._gatt.attach(link)
        if link.is_connected:
            self._tree.update(self.path, DEVICE, {"ServicesResolved": Variant("b", True)})

    def _on_lost(self) -> None:
        if self._link is None:
            return
        self._link = None
        self.last_heard = asyncio.get_running_loop().time()
        self._gatt.detach(keep=self.is_bonded)
        self._tree.update(
            self.path, DEVICE, {"ServicesResolved": Variant("b", False), "Connected": Variant("b", False)}
        )

    async def _disconnect(self, sender: str) -> None:
        del sender
        if not self.is_busy:
            raise DBusFailureError("org.bluez.Error.NotConnected", "Not Connected")
        await self.hang_up()

    # Bond -------------------------------------------------------------------------------------------------------------

    async def _pair(self, sender: str) -> None:
        self._adapter.require_power()
        if self.is_bonded:
            raise DBusFailureError("org.bluez.Error.AlreadyExists", "Already Exists")
        with self._adapter.pairing_for(self.address, sender):
            link = self._link or await self._establish()
            try:
                await link.pair()
            except PairingFailedError as error:
                await self.hang_up()
                raise DBusFailureError("org.bluez.Error.AuthenticationFailed", "Authentication Failed") from error
            except CentralError as error:
                raise DBusFailureError("org.bluez.Error.AuthenticationCanceled", "Authentication Canceled") from error

    async def _cancel_pairing(self, sender: str) -> None:
        del sender
        if not self.is_busy:
            raise DBusFailureError("org.bluez.Error.DoesNotExist", "Does Not Exist")
        await self.hang_up()

    def _on_bonded(self) -> None:
        self.is_bonded = True
        self._tree.update(self.path, DEVICE, {"Paired": Variant("b", True), "Bonded": Variant("b", True)})
        self._on_bond_change()

    # Written by clients -----------------------------------------------------------------------------------------------

    def _set_flag(self, name: str) -> Callable[[Any], Any]:
        async def set_flag(value: Any) -> None:
            self._tree.update(self.path, DEVICE, {name: Variant("b", bool(value))})

        return set_flag

    async def _set_alias(self, value: Any) -> None:
        self._tree.update(self.path, DEVICE, {"Alias": Variant("s", str(value))})


def _advertised(heard: Heard) -> dict[str, Variant]:
    properties = {"RSSI": Variant("n", heard.rssi)}
    if heard.tx_power is not None:
        properties["TxPower"] = Variant("n", heard.tx_power)
    if heard.manufacturer_data:
        entries = {company: Variant("ay", value) for company, value in heard.manufacturer_data.items()}
        properties["ManufacturerData"] = Variant("a{qv}", entries)
    if heard.service_data:
        services = {uuid: Variant("ay", value) for uuid, value in heard.service_data.items()}
        properties["ServiceData"] = Variant("a{sv}", services)
    return properties
