"""bleak on the virtual air, in one process: scanner and client backends on a bumble host.

Input: `BleakScanner(..., backend=BumbleScanner, radio=radio)`, `BleakClient(..., backend=BumbleClient, radio=radio)`.
Output: bleak's own behaviour and errors: ATT errors as BleakGATTProtocolError, a lost link as BleakError.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from bleak.args import SizedBuffer
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bumble.keys import KeyStore
from bumble.pairing import PairingDelegate

from simulators.advertisement import Heard, full_uuid
from simulators.air import Air
from simulators.central import AttributeFailureError, Central, CentralError, Link

PasskeyProvider = Callable[[str], "int | Awaitable[int | None] | None"]


class _KeyPad(PairingDelegate):
    """Our side of pairing: types the passkey that the provider gives for this device's address."""

    def __init__(self, address: str, provider: PasskeyProvider) -> None:
        super().__init__(PairingDelegate.IoCapability.DISPLAY_OUTPUT_AND_KEYBOARD_INPUT)
        self._address = address
        self._provider = provider

    async def get_number(self) -> int | None:
        answer = self._provider(self._address)
        return await answer if inspect.isawaitable(answer) else answer


class VirtualRadio:
    """The Bluetooth adapter of a gateway in the laboratory. Close it when done."""

    def __init__(self, central: Central) -> None:
        self.central = central

    @classmethod
    async def open(
        cls,
        air_or_transport: Air | str,
        address: str,
        *,
        key_store: KeyStore | None = None,
        passkey: PasskeyProvider | None = None,
        name: str = "gateway",
    ) -> VirtualRadio:
        """Join an air (in this process, `tcp://…`, `unix:…`) or open a real controller (`usb:0`).

        `passkey(address)` answers a meter's six digits (or None to refuse); without it only Just Works is possible.
        """

        def delegate(peer: str) -> PairingDelegate:
            return PairingDelegate() if passkey is None else _KeyPad(peer, passkey)

        central = await Central.open(air_or_transport, address, delegate=delegate, key_store=key_store, name=name)
        return cls(central)

    async def close(self) -> None:
        await self.central.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class BumbleScanner(BaseBleakScanner):
    """Scanner backend; takes `radio=`."""

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: str = "active",
        *,
        radio: VirtualRadio,
        **_: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._mode = scanning_mode
        self._radio = radio
        self._stop: Callable[[], Awaitable[None]] | None = None

    async def start(self) -> None:
        if self._stop is not None:
            raise BleakError("the scanner is already running")
        self.seen_devices = {}
        self._stop = await self._radio.central.listen(self._on_heard)

    async def stop(self) -> None:
        stop, self._stop = self._stop, None
        if stop is not None:
            await stop()

    def _on_heard(self, heard: Heard) -> None:
        if not self.is_allowed_uuid(list(heard.service_uuids)):
            return
        data = AdvertisementData(
            local_name=heard.name,
            manufacturer_data=dict(heard.manufacturer_data),
            service_data=dict(heard.service_data),
            service_uuids=list(heard.service_uuids),
            tx_power=heard.tx_power,
            rssi=heard.rssi,
            platform_data=(heard,),
        )
        device = self.create_or_update_device(heard.address, heard.address, heard.name, heard, data)
        self.call_detection_callbacks(device, data)


class BumbleClient(BaseBleakClient):
    """Client backend; takes `radio=`. A plain address is looked for on the air first, as bleak does elsewhere."""

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None,
        timeout: float,
        radio: VirtualRadio,
        services: set[str] | None = None,
        **_: Any,
    ) -> None:
        super().__init__(address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout)
        self._radio = radio
        self._wanted_services = services
        self._is_known = isinstance(address_or_ble_device, BLEDevice)
        self._name = address_or_ble_device.name if isinstance(address_or_ble_device, BLEDevice) else None
        self._link: Link | None = None
        self._callbacks: dict[int, Callable[[bytes], None]] = {}

    @property
    def name(self) -> str:
        return self._name or self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        return self._connected().mtu

    @property
    def is_connected(self) -> bool:
        return self._link is not None and self._link.is_connected

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        if self.is_connected:
            raise BleakError("Client is already connected")
        timeout = float(kwargs.get("timeout", self._timeout))
        if not self._is_known:
            await self._find(timeout)
        with _as_bleak_errors():
            link = await self._radio.central.connect(self.address, timeout_seconds=timeout)
        link.on_lost(self._on_lost)
        self._link = link
        self.services = self._collect_services(link)
        if pair:
            await self.pair()
        if not link.is_connected:
            raise BleakError("disconnected")

    async def _find(self, timeout_seconds: float) -> None:
        found: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()

        def on_heard(heard: Heard) -> None:
            if heard.address.lower() == self.address.lower() and not found.done():
                found.set_result(heard)

        stop = await self._radio.central.listen(on_heard)
        try:
            async with asyncio.timeout(timeout_seconds):
                self._name = (await found).name
        except TimeoutError as error:
            raise BleakDeviceNotFoundError(
                self.address, f"Device with address {self.address} was not found."
            ) from error
        finally:
            await stop()
        self._is_known = True

    async def disconnect(self) -> None:
        if self._link is not None:
            with _as_bleak_errors():
                await self._link.disconnect()

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        with _as_bleak_errors():
            await self._connected().pair()

    async def unpair(self) -> None:
        await self.disconnect()
        await self._radio.central.forget(self.address)

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        del use_cached, kwargs
        with _as_bleak_errors():
            return bytearray(await self._connected().read(characteristic.handle))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        del use_cached, kwargs
        with _as_bleak_errors():
            return bytearray(await self._connected().read(descriptor.handle))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool) -> None:
        with _as_bleak_errors():
            await self._connected().write(characteristic.handle, bytes(data), response=response)

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        with _as_bleak_errors():
            await self._connected().write(descriptor.handle, bytes(data), response=True)

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        del kwargs

        def deliver(value: bytes) -> None:
            callback(bytearray(value))

        with _as_bleak_errors():
            await self._connected().subscribe(characteristic.obj, deliver)
        self._callbacks[characteristic.handle] = deliver

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        deliver = self._callbacks.pop(characteristic.handle, None)
        if deliver is not None:
            with _as_bleak_errors():
                await self._connected().unsubscribe(characteristic.obj, deliver)

    def _connected(self) -> Link:
        if self._link is None or not self._link.is_connected:
            raise BleakError("Not connected")
        return self._link

    def _on_lost(self) -> None:
        self._link = None
        self.services = None
        self._callbacks.clear()
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    def _collect_services(self, link: Link) -> BleakGATTServiceCollection:
        collection = BleakGATTServiceCollection()
        for service in link.services:
            uuid = full_uuid(service.uuid.to_bytes())
            if self._wanted_services is not None and uuid not in self._wanted_services:
                continue
            described = BleakGATTService(service, service.handle, uuid)
            collection.add_service(described)
            for characteristic in service.characteristics:
                made = BleakGATTCharacteristic(
                    characteristic,
                    characteristic.handle,
                    full_uuid(characteristic.uuid.to_bytes()),
                    sorted(gatt_char_props_to_strs(characteristic.properties)),
                    lambda: link.mtu - 3,
                    described,
                )
                collection.add_characteristic(made)
                for descriptor in characteristic.descriptors:
                    collection.add_descriptor(
                        BleakGATTDescriptor(descriptor, descriptor.handle, full_uuid(descriptor.type.to_bytes()), made)
                    )
        return collection


@contextmanager
def _as_bleak_errors() -> Iterator[None]:
    try:
        yield
    except AttributeFailureError as error:
        raise BleakGATTProtocolError(error.code) from error
    except CentralError as error:
        raise BleakError(str(error)) from error
