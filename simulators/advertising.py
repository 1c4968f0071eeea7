"""The advertising window of a device: on the air for a while after a measurement, then silent.

Input: "open for so many seconds". Output: advertisements until the time is over or a collector connects.
"""

from __future__ import annotations

import asyncio
import contextlib

from bumble.core import AdvertisingData
from bumble.device import Device
from bumble.hci import HCI_Error


def advertising_data(name: str, service_uuid: int) -> bytes:
    """Flags (LE only, general discoverable), the service, the name: 31 octets at most."""
    structures = [
        (AdvertisingData.FLAGS, bytes((0x06,))),
        (AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, service_uuid.to_bytes(2, "little")),
        (AdvertisingData.COMPLETE_LOCAL_NAME, name.encode()[:22]),
    ]
    return bytes(AdvertisingData(structures))


class AdvertisingWindow:
    """Owns the advertising of one powered device. Times are radio time in seconds, never simulated time."""

    def __init__(self, device: Device, payload: bytes) -> None:
        self._device = device
        self._payload = payload
        self._until = 0.0
        self._lock = asyncio.Lock()  # bumble's start and stop are several commands each and must not mix
        self._timer: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return asyncio.get_running_loop().time() < self._until

    @property
    def is_advertising(self) -> bool:
        return bool(self._device.is_advertising)

    async def open(self, seconds: float) -> None:
        self._until = asyncio.get_running_loop().time() + seconds
        await self.resume()

    async def resume(self) -> None:
        """Advertise for the rest of the window, unless a collector is connected."""
        async with self._lock:
            if self.is_open and not self._device.connections and not self._device.is_advertising:
                await self._device.start_advertising(advertising_data=self._payload)
        if self._timer is None or self._timer.done():
            self._timer = asyncio.get_running_loop().create_task(self._close_in_time())

    async def close(self) -> None:
        self._until = 0.0
        if self._timer is not None:
            self._timer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._timer

    async def _close_in_time(self) -> None:
        loop = asyncio.get_running_loop()
        while (remaining := self._until - loop.time()) > 0:  # noqa: ASYNC110 - a deadline that may be moved
            await asyncio.sleep(remaining)
        async with self._lock:
            if self._device.is_advertising:
                with contextlib.suppress(HCI_Error):  # a collector connected in this very moment
                    await self._device.stop_advertising()
