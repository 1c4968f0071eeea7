"""The attribute table of a connected device as `org.bluez.GattService1`, `GattCharacteristic1`, `GattDescriptor1`.

Input: a link with its discovered services. Output: objects under the device's path, reads, writes and notifications.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from bumble import att
from bumble.gatt_client import CharacteristicProxy, ServiceProxy
from dbus_fast import Variant

from simulators.advertisement import full_uuid
from simulators.bluez.objects import DBusFailureError, Interface, Method, ObjectTree
from simulators.central import AttributeFailureError, CentralError, Link, PairingFailedError

SERVICE: Final = "org.bluez.GattService1"
CHARACTERISTIC: Final = "org.bluez.GattCharacteristic1"
DESCRIPTOR: Final = "org.bluez.GattDescriptor1"
# BlueZ keeps GAP and GATT to itself.
_HIDDEN: Final = ("00001800-", "00001801-")
_FLAGS: Final = {
    0x01: "broadcast",
    0x02: "read",
    0x04: "write-without-response",
    0x08: "write",
    0x10: "notify",
    0x20: "indicate",
    0x40: "authenticated-signed-writes",
    0x80: "extended-properties",
}


def dbus_failure(error: Exception) -> DBusFailureError:
    """The error name and text with which BlueZ reports an attribute error or a lost link."""
    if isinstance(error, AttributeFailureError):
        known = {
            att.ErrorCode.READ_NOT_PERMITTED: ("NotPermitted", "Read not permitted"),
            att.ErrorCode.WRITE_NOT_PERMITTED: ("NotPermitted", "Write not permitted"),
            att.ErrorCode.INSUFFICIENT_AUTHENTICATION: ("NotPermitted", "Not paired"),
            att.ErrorCode.INSUFFICIENT_ENCRYPTION: ("NotPermitted", "Not paired"),
            att.ErrorCode.INSUFFICIENT_AUTHORIZATION: ("NotAuthorized", "Operation Not Authorized"),
            att.ErrorCode.REQUEST_NOT_SUPPORTED: ("NotSupported", "Operation is not supported"),
            att.ErrorCode.INVALID_OFFSET: ("InvalidArguments", "Invalid offset"),
            att.ErrorCode.INVALID_ATTRIBUTE_LENGTH: ("InvalidArguments", "Invalid Length"),
        }.get(att.ErrorCode(error.code))
        name, text = known or ("Failed", f"Operation failed with ATT error: 0x{error.code:02x}")
        return DBusFailureError(f"org.bluez.Error.{name}", text)
    if isinstance(error, PairingFailedError):
        return DBusFailureError("org.bluez.Error.NotPermitted", "Not paired")
    if isinstance(error, TimeoutError):
        return DBusFailureError("org.bluez.Error.Failed", "Operation failed with ATT error: 0x0e")
    return DBusFailureError("org.bluez.Error.Failed", "Not connected")


class GattObjects:
    """The attribute objects of one device. They stay for a bonded device while it is away, as in BlueZ."""

    def __init__(self, tree: ObjectTree, device_path: str) -> None:
        self._tree = tree
        self._device_path = device_path
        self._link: Link | None = None
        self._paths: list[str] = []
        self._proxies: dict[str, CharacteristicProxy[bytes]] = {}
        self._notifying: dict[str, set[str]] = {}
        self._delivery: dict[str, Callable[[bytes], None]] = {}
        self._lock = asyncio.Lock()

    # Life of the objects ----------------------------------------------------------------------------------------------

    async def attach(self, link: Link) -> None:
        """Show the services of a fresh link, and renew the subscriptions that clients still hold."""
        self._link = link
        self._delivery.clear()
        shown = [service for service in link.services if not full_uuid(service.uuid.to_bytes()).startswith(_HIDDEN)]
        wanted = {self._service_path(service) for service in shown}
        for path in [path for path in self._paths if not any(path.startswith(known) for known in wanted)]:
            self._drop(path)
        for service in shown:
            self._show_service(service)
        for path in [path for path, clients in self._notifying.items() if clients]:
            await self._subscribe(path)

    def detach(self, *, keep: bool) -> None:
        self._link = None
        self._delivery.clear()
        for path in self._proxies:
            self._tree.update(path, CHARACTERISTIC, {"Notifying": Variant("b", False)})
        if not keep:
            self.remove()

    def remove(self) -> None:
        for path in reversed(self._paths):
            self._tree.remove(path)
        self._paths.clear()
        self._proxies.clear()
        self._notifying.clear()

    async def client_gone(self, name: str) -> None:
        for path, clients in list(self._notifying.items()):
            if name in clients:
                with contextlib.suppress(DBusFailureError):  # nobody is left to be told
                    await self._stop_notify(path, name)

    def _drop(self, path: str) -> None:
        self._tree.remove(path)
        self._paths.remove(path)
        self._proxies.pop(path, None)
        self._notifying.pop(path, None)

    def _service_path(self, service: ServiceProxy) -> str:
        return f"{self._device_path}/service{service.handle:04x}"

    def _show(self, path: str, name: str, interface: Interface) -> None:
        if path not in self._tree:
            self._paths.append(path)
            self._tree.add(path, {name: interface})

    def _show_service(self, service: ServiceProxy) -> None:
        path = self._service_path(service)
        properties = {
            "UUID": Variant("s", full_uuid(service.uuid.to_bytes())),
            "Device": Variant("o", self._device_path),
            "Primary": Variant("b", True),
            "Includes": Variant("ao", []),
        }
        self._show(path, SERVICE, Interface(properties))
        for characteristic in service.characteristics:
            self._show_characteristic(path, characteristic)

    def _show_characteristic(self, service_path: str, characteristic: CharacteristicProxy[bytes]) -> None:
        # BlueZ names a characteristic by its declaration, one below the value.
        path = f"{service_path}/char{characteristic.handle - 1:04x}"
        self._proxies[path] = characteristic
        flags = [name for bit, name in _FLAGS.items() if characteristic.properties & bit]
        properties = {
            "UUID": Variant("s", full_uuid(characteristic.uuid.to_bytes())),
            "Service": Variant("o", service_path),
            "Value": Variant("ay", b""),
            "Flags": Variant("as", flags),
            "MTU": Variant("q", self._link.mtu if self._link is not None else 23),
        }
        if "notify" in flags or "indicate" in flags:
            properties["Notifying"] = Variant("b", False)
        methods = {
            "ReadValue": Method(lambda _sender, _options: self._read(path, CHARACTERISTIC, characteristic.handle),
                                "a{sv}", "ay"),
            "WriteValue": Method(
                lambda _sender, value, options: self._write(characteristic.handle, value, options), "aya{sv}"
            ),
            "StartNotify": Method(lambda sender: self._start_notify(path, sender)),
            "StopNotify": Method(lambda sender: self._stop_notify(path, sender)),
        }  # fmt: skip
        self._show(path, CHARACTERISTIC, Interface(properties, methods))
        for descriptor in characteristic.descriptors:
            self._show_descriptor(path, descriptor.handle, full_uuid(descriptor.type.to_bytes()))

    def _show_descriptor(self, characteristic_path: str, handle: int, uuid: str) -> None:
        path = f"{characteristic_path}/desc{handle:04x}"
        properties = {
            "UUID": Variant("s", uuid),
            "Characteristic": Variant("o", characteristic_path),
            "Value": Variant("ay", b""),
        }
        methods = {
            "ReadValue": Method(lambda _sender, _options: self._read(path, DESCRIPTOR, handle), "a{sv}", "ay"),
            "WriteValue": Method(lambda _sender, value, _options: self._write(handle, value, {}), "aya{sv}"),
        }
        self._show(path, DESCRIPTOR, Interface(properties, methods))

    # Operations -------------------------------------------------------------------------------------------------------

    def _connected(self) -> Link:
        if self._link is None:
            raise DBusFailureError("org.bluez.Error.Failed", "Not connected")
        return self._link

    async def _read(self, path: str, interface: str, handle: int) -> bytes:
        try:
            value = await self._connected().read(handle)
        except (CentralError, TimeoutError) as error:
            raise dbus_failure(error) from error
        self._tree.update(path, interface, {"Value": Variant("ay", value)})
        return value

    async def _write(self, handle: int, value: bytes, options: dict[str, Any]) -> None:
        kind = options.get("type")
        response = kind is None or kind.value == "request"
        try:
            await self._connected().write(handle, bytes(value), response=response)
        except (CentralError, TimeoutError) as error:
            raise dbus_failure(error) from error

    async def _start_notify(self, path: str, sender: str) -> None:
        characteristic = self._proxies[path]
        if not characteristic.properties & 0x30:
            raise DBusFailureError("org.bluez.Error.NotSupported", "Operation is not supported")
        clients = self._notifying.setdefault(path, set())
        if sender in clients:
            raise DBusFailureError("org.bluez.Error.InProgress", "In Progress")
        self._connected()
        clients.add(sender)
        try:
            await self._subscribe(path)
        except (CentralError, TimeoutError) as error:
            clients.discard(sender)
            raise dbus_failure(error) from error

    async def _subscribe(self, path: str) -> None:
        async with self._lock:
            if path in self._delivery or self._link is None:
                return

            def deliver(value: bytes) -> None:
                self._tree.update(path, CHARACTERISTIC, {"Value": Variant("ay", value)})

            await self._link.subscribe(self._proxies[path], deliver)
            self._delivery[path] = deliver
            self._tree.update(path, CHARACTERISTIC, {"Notifying": Variant("b", True)})

    async def _stop_notify(self, path: str, sender: str) -> None:
        clients = self._notifying.get(path, set())
        if sender not in clients:
            raise DBusFailureError("org.bluez.Error.Failed", "No notify session started")
        clients.discard(sender)
        async with self._lock:
            deliver = self._delivery.pop(path, None) if not clients else None
            if deliver is None:
                return
            self._tree.update(path, CHARACTERISTIC, {"Notifying": Variant("b", False)})
            if self._link is not None:
                try:
                    await self._link.unsubscribe(self._proxies[path], deliver)
                except (CentralError, TimeoutError) as error:
                    raise dbus_failure(error) from error
