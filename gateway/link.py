"""One open Bluetooth connection as drivers see it, over a bleak client.

Input: notifications of the stack. Output: packets, handed to the journal in the callback itself and to the driver
after. The callback does nothing else: decoding late is cheap, hearing late loses readings. Every wait has an end,
because bleak 3.1 does not tell when bluetoothd dies under a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import structlog
from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.exc import BleakCharacteristicNotFoundError, BleakDBusError, BleakError, BleakGATTProtocolError

from device_drivers.driver import Packet, StreamEnd, Subscription
from device_drivers.errors import AttError, LinkClosedError, LinkError
from gateway.clock import Clock
from gateway.radio import full_uuid, short_name

T = TypeVar("T")
log = structlog.get_logger(__name__)

_OPERATION_SECONDS: Final = 30.0  # the ATT transaction timeout (Bluetooth Core, Vol 3 Part F 3.3.3)
_UNSUBSCRIBE_SECONDS: Final = 2.0

# ATT error codes, Bluetooth Core, Vol 3 Part F 3.4.1.1
_READ_NOT_PERMITTED: Final = 0x02
_INSUFFICIENT_AUTHENTICATION: Final = 0x05
_ATTRIBUTE_NOT_FOUND: Final = 0x0A
_UNLIKELY_ERROR: Final = 0x0E
PAIRING_CODES: Final = frozenset({0x05, 0x08, 0x0C, 0x0F})

_ATT_CODE: Final = re.compile(r"ATT error: 0x([0-9a-fA-F]{1,2})")
_DBUS_CODES: Final = {
    "org.bluez.Error.NotPermitted": _READ_NOT_PERMITTED,
    "org.bluez.Error.NotAuthorized": _INSUFFICIENT_AUTHENTICATION,
    "org.bluez.Error.NotPaired": _INSUFFICIENT_AUTHENTICATION,
    "org.bluez.Error.NotSupported": _ATTRIBUTE_NOT_FOUND,
    "org.bluez.Error.InvalidOffset": 0x07,
    "org.bluez.Error.InvalidValueLength": 0x0D,
}


class BleakLink:
    """See the module. `journal` must not block; it is called in the radio's callback, packet by packet, in order."""

    def __init__(
        self, client: BleakClient, *, address: str, bonded: bool, clock: Clock, journal: Callable[[Packet], None]
    ) -> None:
        self._client = client
        self._address = address
        self._clock = clock
        self._journal = journal
        self._closed = asyncio.Event()
        self._stream: _Stream | None = None
        self.bonded = bonded
        self.packets_heard = 0

    @property
    def address(self) -> str:
        return self._address

    def mark_closed(self) -> None:
        """The connection is gone: told by bleak, or by whoever saw the Bluetooth daemon die."""
        if not self._closed.is_set():
            self._closed.set()
            if self._stream is not None:
                self._stream.close()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def has(self, characteristic: str) -> bool:
        return self._find(characteristic) is not None

    async def read(self, characteristic: str) -> bytes:
        target = self._require(characteristic)
        return bytes(await self._guarded(characteristic, self._client.read_gatt_char(target)))

    async def write(self, characteristic: str, payload: bytes, *, response: bool = True) -> None:
        target = self._require(characteristic)
        await self._guarded(characteristic, self._client.write_gatt_char(target, payload, response=response))

    @asynccontextmanager
    async def subscribe(self, *characteristics: str) -> AsyncIterator[Subscription]:
        stream = self._stream = _Stream()
        if self._closed.is_set():
            stream.close()
        started: list[BleakGATTCharacteristic] = []
        try:
            for characteristic in characteristics:
                target = self._require(characteristic)
                await self._guarded(characteristic, self._client.start_notify(target, self._on_notification))
                started.append(target)
            yield stream
        finally:
            self._stream = None
            await self._unsubscribe(started)

    async def _unsubscribe(self, started: list[BleakGATTCharacteristic]) -> None:
        if self._closed.is_set() or not self._client.is_connected:
            return
        with contextlib.suppress(BleakError, EOFError, OSError, TimeoutError, KeyError, AttributeError):
            async with asyncio.timeout(_UNSUBSCRIBE_SECONDS):
                for target in started:
                    await self._client.stop_notify(target)

    async def wait_disconnected(self) -> None:
        await self._closed.wait()

    def _on_notification(self, sender: BleakGATTCharacteristic, payload: bytearray) -> None:
        packet = Packet(
            characteristic=short_name(sender.uuid),
            payload=bytes(payload),
            received_at=self._clock.now(),
            monotonic=self._clock.monotonic(),
        )
        self.packets_heard += 1
        self._journal(packet)
        if self._stream is not None:
            self._stream.put(packet)

    def _find(self, characteristic: str) -> BleakGATTCharacteristic | None:
        try:
            return self._client.services.get_characteristic(full_uuid(characteristic))
        except BleakError:  # the table is gone with the connection, or the device offers the characteristic twice
            return None

    def _require(self, characteristic: str) -> BleakGATTCharacteristic:
        if self._closed.is_set():
            raise LinkClosedError("the device is gone")
        found = self._find(characteristic)
        if found is None:
            if not self._client.is_connected:
                raise LinkClosedError("the device is gone")
            raise AttError(
                f"the device has no {characteristic}", characteristic=characteristic, code=_ATTRIBUTE_NOT_FOUND
            )
        return found

    async def _guarded(self, characteristic: str, operation: Awaitable[T]) -> T:
        """Run one operation until it ends, the link closes, or the ATT transaction time is over."""
        task = asyncio.ensure_future(operation)
        task.add_done_callback(_take_note)
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({task, closed}, timeout=_OPERATION_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise LinkClosedError("the device is gone" if self._closed.is_set() else "the device does not answer")
            try:
                return task.result()
            except (BleakError, OSError, EOFError, TimeoutError) as error:
                raise as_link_error(error, characteristic) from error
        finally:
            closed.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=1.0)


def _take_note(task: asyncio.Future[Any]) -> None:
    """Retrieve the outcome of an operation nobody waits for any more: one that is cancelled, or left because the link
    closed, may still end with an error of the stack, and asyncio would print it as never retrieved."""
    if not task.cancelled():
        task.exception()


class _Stream:
    """Packets for the driver, in the order heard. Unbounded: the bound is the device's own memory."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Packet | None] = asyncio.Queue()
        self._ended = False

    def put(self, packet: Packet) -> None:
        self._queue.put_nowait(packet)

    def close(self) -> None:
        self._queue.put_nowait(None)

    async def receive(self, *, timeout_seconds: float) -> Packet | StreamEnd:
        if self._ended:
            return StreamEnd.DISCONNECTED
        try:
            async with asyncio.timeout(timeout_seconds):
                packet = await self._queue.get()
        except TimeoutError:
            return StreamEnd.IDLE
        if packet is None:
            self._ended = True
            return StreamEnd.DISCONNECTED
        return packet


def as_link_error(error: BaseException, characteristic: str) -> LinkError:
    """What a driver may know of a failed operation."""
    code = att_code(error)
    if code is None:
        return LinkClosedError(f"{type(error).__name__}")
    return AttError(f"ATT error 0x{code:02x}", characteristic=characteristic, code=code)


def att_code(error: BaseException) -> int | None:
    """The ATT error a bleak exception stands for; None when it is the link that failed."""
    if isinstance(error, BleakGATTProtocolError):
        return int(error.code)
    if isinstance(error, BleakCharacteristicNotFoundError):
        return _ATTRIBUTE_NOT_FOUND
    if isinstance(error, BleakDBusError):
        found = _ATT_CODE.search(error.dbus_error_details or "")
        if found is not None:
            return int(found[1], 16)
        if error.dbus_error == "org.bluez.Error.Failed" and "onnect" not in (error.dbus_error_details or ""):
            return _UNLIKELY_ERROR
        return _DBUS_CODES.get(error.dbus_error)
    return None
