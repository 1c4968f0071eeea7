"""The collector's half of Bluetooth on a bumble host: scan, connect, bond, read, write, subscribe.

Input: an air (or hub address, or real controller) and a key store. Output: advertisements and links.
Both ways to run bleak here (`bleak_backend`, `bluez`) stand on this and only translate its errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from bumble import att, hci
from bumble.core import BaseBumbleError, PhysicalTransport, ProtocolError
from bumble.core import TimeoutError as BumbleTimeoutError
from bumble.device import Advertisement, Connection, Device, DeviceConfiguration
from bumble.gatt_client import CharacteristicProxy, ServiceProxy
from bumble.keys import KeyStore, MemoryKeyStore
from bumble.pairing import PairingConfig, PairingDelegate

from simulators.advertisement import Heard, read_advertisement
from simulators.air import Air
from simulators.link import Radio, flush_host

logger = logging.getLogger(__name__)

T = TypeVar("T")
_PREFERRED_MTU: Final = 517
_NEEDS_SECURITY: Final = (att.ErrorCode.INSUFFICIENT_AUTHENTICATION, att.ErrorCode.INSUFFICIENT_ENCRYPTION)


class CentralError(Exception):
    """Something went wrong on the air."""


class LinkLostError(CentralError):
    """The link is gone."""


class AttributeFailureError(CentralError):
    """The device refused an attribute request; `code` is the ATT error code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"attribute error 0x{code:02X}")
        self.code = code


class PairingFailedError(CentralError):
    """Pairing failed; the text is the protocol's reason, such as CONFIRM_VALUE_FAILED for a wrong passkey."""


class KeyMissingError(PairingFailedError):
    """The device does not know our bond any more: forget it and pair again."""


DelegateFactory = Callable[[str], PairingDelegate]


class Central:
    """One collector's radio. One connection attempt at a time, any number of links, scans shared by reference count."""

    def __init__(self, radio: Radio, device: Device, key_store: KeyStore, delegate: DelegateFactory) -> None:
        self._radio = radio
        self._key_store = key_store
        self._device = device
        self._delegate = delegate
        self._connecting = asyncio.Lock()
        self._scanning = asyncio.Lock()
        self._listeners: dict[object, Callable[[Heard], None]] = {}
        self._links: set[Link] = set()
        self._is_open = True
        device.pairing_config_factory = self._pairing_config
        device.on(Device.EVENT_ADVERTISEMENT, self._on_advertisement)

    @classmethod
    async def open(
        cls,
        air_or_address: Air | str,
        address: str,
        *,
        delegate: DelegateFactory,
        key_store: KeyStore | None = None,
        name: str = "gateway",
    ) -> Central:
        """Power a collector on. `air_or_address` also takes bumble names of real controllers (`usb:0`)."""
        radio = await Radio.open(air_or_address, name=name)
        config = DeviceConfiguration(
            name=name,
            address=hci.Address(address),
            irk=bytes(hci.Address(address)).ljust(16, b"\x5a"),
            address_resolution_offload=True,
        )
        device = Device.from_config_with_hci(config, radio.source, radio.sink)
        device.keystore = store = key_store or MemoryKeyStore()
        central = cls(radio, device, store, delegate)
        await device.power_on()
        return central

    @property
    def address(self) -> str:
        return self._device.random_address.to_string(with_type_qualifier=False)

    @property
    def radio_lost(self) -> asyncio.Future[None] | None:
        """Done when the hub or controller has gone away; None for an air in this process."""
        return self._radio.lost

    async def close(self) -> None:
        self._is_open = False
        for link in list(self._links):
            with contextlib.suppress(CentralError):
                await link.disconnect()
        await self._radio.close()
        flush_host(self._device.host)

    def drop_links(self) -> None:
        """Lose every link now, as when the collector is carried away."""
        self._radio.drop_links()

    # Bonds ------------------------------------------------------------------------------------------------------------

    @property
    def key_store(self) -> KeyStore:
        return self._key_store

    async def is_bonded(self, address: str) -> bool:
        return await self.key_store.get(str(hci.Address(address))) is not None

    async def bonded_addresses(self) -> list[str]:
        return [hci.Address(name).to_string(with_type_qualifier=False) for name, _ in await self.key_store.get_all()]

    async def forget(self, address: str) -> None:
        """Delete our side of a bond; nothing happens if there is none."""
        with contextlib.suppress(KeyError):
            await self.key_store.delete(str(hci.Address(address)))
        await self._device.refresh_resolving_list()

    def _pairing_config(self, connection: Connection) -> PairingConfig:
        delegate = self._delegate(connection.peer_address.to_string(with_type_qualifier=False))
        # With neither display nor keys there is no protection to ask for, and asking makes Just Works fail.
        mitm = delegate.io_capability != PairingDelegate.IoCapability.NO_OUTPUT_NO_INPUT
        return PairingConfig(sc=True, mitm=mitm, bonding=True, delegate=delegate)

    # Scanning ---------------------------------------------------------------------------------------------------------

    async def listen(self, on_heard: Callable[[Heard], None]) -> Callable[[], Awaitable[None]]:
        """Hear advertisements until the returned function is awaited."""
        token = object()
        self._require_open()
        async with self._scanning:
            if not self._listeners:
                await self._device.start_scanning()
            self._listeners[token] = on_heard

        async def stop() -> None:
            async with self._scanning:
                self._listeners.pop(token, None)
                if self._is_open and not self._listeners and self._device.scanning:
                    await self._device.stop_scanning()

        return stop

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        heard = read_advertisement(advertisement)
        for listener in list(self._listeners.values()):
            listener(heard)

    # Connecting -------------------------------------------------------------------------------------------------------

    async def connect(self, address: str, *, timeout_seconds: float) -> Link:
        """Connect, encrypt if there is a bond, read the attribute table.

        Raises TimeoutError where nobody answers in time, KeyMissingError where the device forgot the bond.
        """
        peer = hci.Address(address)
        async with self._connecting:
            self._require_open()
            connection = await self._connect(peer, timeout_seconds)
        link = Link(self, connection)
        self._links.add(link)
        try:
            async with asyncio.timeout(timeout_seconds):
                await link.prepare()
        except BaseException:
            with contextlib.suppress(CentralError):
                await link.disconnect()
            raise
        return link

    async def _connect(self, peer: hci.Address, timeout_seconds: float) -> Connection:
        try:
            return await self._device.connect(peer, transport=PhysicalTransport.LE, timeout=timeout_seconds)
        except BumbleTimeoutError as error:
            raise TimeoutError(f"no answer from {peer.to_string(with_type_qualifier=False)}") from error
        except asyncio.CancelledError:
            await self._abandon(peer)
            raise
        except BaseBumbleError as error:
            raise CentralError(f"connection failed: {error}") from error

    async def _abandon(self, peer: hci.Address) -> None:
        """The caller gave up: take the request back from the controller, hang up if it came through meanwhile."""
        with contextlib.suppress(hci.HCI_Error, BaseBumbleError):
            await self._device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
        late = self._device.find_connection_by_bd_addr(peer, transport=PhysicalTransport.LE)
        if late is not None and all(link.connection is not late for link in self._links):
            with contextlib.suppress(ProtocolError):
                await late.disconnect()

    def _require_open(self) -> None:
        if not self._is_open:
            raise CentralError("the radio is closed")

    def _closed(self, link: Link) -> None:
        self._links.discard(link)


class Link:
    """One connection. Operations raise LinkLostError, AttributeFailureError, PairingFailedError or TimeoutError."""

    def __init__(self, central: Central, connection: Connection) -> None:
        self.connection = connection
        self.address = connection.peer_address.to_string(with_type_qualifier=False)
        self._central = central
        self._pairing = asyncio.Lock()
        self._lost: list[Callable[[], None]] = []
        self._bonded: list[Callable[[], None]] = []
        self._gone = asyncio.Event()
        connection.on(Connection.EVENT_DISCONNECTION, self._on_disconnection)
        connection.on(Connection.EVENT_PAIRING, self._on_pairing)
        self._drop_late_answers()

    @property
    def is_connected(self) -> bool:
        return not self._gone.is_set()

    @property
    def mtu(self) -> int:
        return self.connection.att_mtu

    @property
    def services(self) -> list[ServiceProxy]:
        return self.connection.gatt_client.services

    def on_lost(self, callback: Callable[[], None]) -> None:
        self._lost.append(callback)

    def on_bonded(self, callback: Callable[[], None]) -> None:
        """Called whenever a bond was made on this link, asked for or not."""
        self._bonded.append(callback)

    def _on_pairing(self, _keys: object) -> None:
        for callback in self._bonded:
            callback()

    def _on_disconnection(self, reason: int) -> None:
        logger.debug("link to %s ended, reason 0x%02X", self.address, reason)
        self._gone.set()
        self._central._closed(self)  # noqa: SLF001 - the link's owner
        for callback in self._lost:
            callback()

    def _drop_late_answers(self) -> None:
        """An answer to a request that was given up meanwhile makes bumble fail; here it is dropped."""
        client = self.connection.gatt_client
        handle = client.on_gatt_pdu

        def on_gatt_pdu(att_pdu: att.ATT_PDU) -> None:
            waiting = client.pending_response
            if att_pdu.op_code not in att.ATT_RESPONSES or (waiting is not None and not waiting.done()):
                handle(att_pdu)

        client.on_gatt_pdu = on_gatt_pdu  # type: ignore[method-assign]

    async def prepare(self) -> None:
        if await self._central.is_bonded(self.address):
            await self.encrypt()
        client = self.connection.gatt_client
        await self._guard(client.request_mtu(_PREFERRED_MTU))
        for service in await self._guard(client.discover_services()):
            for characteristic in await self._guard(service.discover_characteristics()):
                if characteristic.end_group_handle > characteristic.handle:
                    await self._guard(characteristic.discover_descriptors())
                characteristic.descriptors_discovered = True

    async def read(self, handle: int) -> bytes:
        return await self._secured(lambda: self.connection.gatt_client.read_value(handle))

    async def write(self, handle: int, value: bytes, *, response: bool) -> None:
        await self._secured(lambda: self.connection.gatt_client.write_value(handle, value, response))

    async def subscribe(self, characteristic: CharacteristicProxy[bytes], callback: Callable[[bytes], None]) -> None:
        await self._secured(lambda: self.connection.gatt_client.subscribe(characteristic, callback))

    async def unsubscribe(self, characteristic: CharacteristicProxy[bytes], callback: Callable[[bytes], None]) -> None:
        await self._secured(lambda: self.connection.gatt_client.unsubscribe(characteristic, callback))

    async def pair(self) -> None:
        """Bond with the device; nothing happens if the link is already encrypted."""
        async with self._pairing:
            if self.connection.is_encrypted:
                return
            if await self._central.is_bonded(self.address):
                await self.encrypt()
                return
            try:
                await self._guard(self.connection.pair())
            except ProtocolError as error:
                raise PairingFailedError(error.error_name or str(error)) from error

    async def encrypt(self) -> None:
        try:
            await self._guard(self.connection.encrypt())
        except hci.HCI_Error as error:
            if error.error_code == hci.HCI_ErrorCode.PIN_OR_KEY_MISSING_ERROR:
                raise KeyMissingError("PIN or Key Missing") from error
            raise PairingFailedError(str(error)) from error

    async def disconnect(self) -> None:
        if not self._gone.is_set():
            with contextlib.suppress(ProtocolError, asyncio.CancelledError):
                await self.connection.disconnect()
            self._gone.set()

    async def _secured(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it; where the device asks for security, pair and do it once more, as every phone and BlueZ do."""
        try:
            return await self._guard(work())
        except AttributeFailureError as error:
            if error.code not in _NEEDS_SECURITY or self.connection.is_encrypted:
                raise
        await self.pair()
        return await self._guard(work())

    async def _guard(self, work: Awaitable[T]) -> T:
        if self._gone.is_set():
            if asyncio.iscoroutine(work):
                work.close()
            raise LinkLostError("not connected")
        try:
            return await work
        except att.ATT_Error as error:
            raise AttributeFailureError(error.error_code) from error
        except BumbleTimeoutError as error:
            raise TimeoutError(str(error)) from error
        except asyncio.CancelledError:
            # bumble cancels what waits on a lost link; only a real cancellation of our caller may pass as one.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise LinkLostError("disconnected") from None
