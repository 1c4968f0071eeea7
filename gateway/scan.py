"""The always-on scan: whatever is on the air becomes a sighting; a scanner that went deaf is replaced.

Input: bleak's detections. Output: `Sighting`s, and the word "radio down" when even a power cycle does not help.
bleak 3.1 does not notice that bluetoothd was restarted under a running scanner: it just never hears anything again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from device_drivers.driver import Advertisement
from gateway.radio import Radio, short_name

log = structlog.get_logger(__name__)

_START_SECONDS: Final = 15.0
_STOP_SECONDS: Final = 5.0
_FIRST_RETRY_SECONDS: Final = 1.0
_LONGEST_RETRY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One advertisement, and the handle a connection needs."""

    advertisement: Advertisement
    device: BLEDevice


class Scan:
    """Scans until cancelled. `trouble` says why nothing is heard, None when the scanner runs and hears."""

    def __init__(
        self,
        radio: Radio,
        *,
        on_sighting: Callable[[Sighting], None],
        silence_seconds: float,
        power_cycle: Callable[[], Awaitable[None]] | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._radio = radio
        self._on_sighting = on_sighting
        self._silence_seconds = silence_seconds
        self._power_cycle = power_cycle
        self._on_change = on_change
        self._restart = asyncio.Event()
        self._heard_at = 0.0
        self._heard_nothing = True
        self.trouble: str | None = None

    def restart(self) -> None:
        """Replace the scanner soon (BlueZ was restarted)."""
        self._restart.set()

    async def run(self) -> None:
        """Until cancelled. Silence is answered step by step: a new scanner, a power cycle of the adapter, an alarm."""
        failures = 0
        silences = 0
        while True:
            self._restart.clear()
            scanner = await self._start()
            if scanner is None:
                failures += 1
                pause = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._restart.wait()
                continue
            failures = 0
            try:
                was_silent = await self._until_silent_or_told()
            finally:
                await _stop(scanner)
            silences = (silences if self._heard_nothing else 0) + 1 if was_silent else 0
            if silences == 2 and self._power_cycle is not None:
                log.warning("adapter_power_cycle")
                with contextlib.suppress(Exception):
                    await self._power_cycle()
            if silences >= 3:
                self._note("radio-silent")

    async def _start(self) -> BleakScanner | None:
        scanner: BleakScanner | None = None
        try:
            scanner = self._radio.make_scanner(self._on_detection)
            async with asyncio.timeout(_START_SECONDS):
                await scanner.start()
        except (BleakError, OSError, EOFError, TimeoutError) as error:
            self._note("radio-unavailable", error=type(error).__name__)
            if scanner is not None:
                await _stop(scanner)
            return None
        if self.trouble == "radio-unavailable":
            self._note(None)
        self._heard_at = asyncio.get_running_loop().time()
        self._heard_nothing = True
        return scanner

    async def _until_silent_or_told(self) -> bool:
        """True after a silence, False when a restart was asked for."""
        loop = asyncio.get_running_loop()
        while True:
            left = self._heard_at + self._silence_seconds - loop.time()
            if left <= 0:
                log.warning("radio_heard_nothing", seconds=self._silence_seconds)
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._restart.wait()
                    return False

    def _on_detection(self, device: BLEDevice, data: AdvertisementData) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self._heard_nothing = False
        if self.trouble is not None:
            self._note(None)
        self._on_sighting(
            Sighting(
                device=device,
                advertisement=Advertisement(
                    address=device.address,
                    name=data.local_name or device.name,
                    service_uuids=tuple(dict.fromkeys(short_name(uuid) for uuid in data.service_uuids)),
                    service_data={short_name(uuid): bytes(raw) for uuid, raw in data.service_data.items()},
                    manufacturer_data={company: bytes(raw) for company, raw in data.manufacturer_data.items()},
                    rssi=data.rssi,
                ),
            )
        )

    def _note(self, trouble: str | None, **fields: object) -> None:
        if self.trouble == trouble:
            return
        if trouble is None:
            log.info("radio_hears_again", after=self.trouble)
        else:
            log.error("radio_trouble", trouble=trouble, **fields)
        self.trouble = trouble
        self._on_change()


async def _stop(scanner: BleakScanner) -> None:
    """A scanner whose daemon died cannot be stopped politely."""
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await scanner.stop()
    except (BleakError, OSError, EOFError, TimeoutError, AttributeError, KeyError) as error:
        log.info("scanner_stop_failed", error=type(error).__name__)
