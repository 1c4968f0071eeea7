"""The watchdog over the scanner, in skipped time: new scanner, power cycle, alarm, and the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from gateway.radio import Detection
from gateway.scan import Scan, Sighting
from tests.support.skipping_loop import run_skipping

SILENCE = 180.0
CUFF = BLEDevice("C0:00:00:00:00:01", "UA-651BLE", None)
HEARD = AdvertisementData(
    local_name="UA-651BLE",
    manufacturer_data={},
    service_data={},
    service_uuids=["00001810-0000-1000-8000-00805f9b34fb"],
    tx_power=None,
    rssi=-60,
    platform_data=(),
)


class Bench:
    """A scan over a scripted adapter. `events` tells what was done to the adapter, and when."""

    uses_bluez = True
    adapter = "hci0"

    def __init__(self, *, fails: int = 0, power_cycle_fails: bool = False) -> None:
        self.events: list[tuple[float, str]] = []
        self.sightings: list[Sighting] = []
        self.troubles: list[tuple[float, str | None]] = []
        self.scan = Scan(
            self,
            on_sighting=self.sightings.append,
            silence_seconds=SILENCE,
            power_cycle=self._power_cycle,
            on_change=lambda: self.troubles.append((self.now, self.scan.trouble)),
        )
        self._fails = fails
        self._power_cycle_fails = power_cycle_fails
        self._detection: Detection | None = None

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def note(self, what: str) -> None:
        self.events.append((self.now, what))

    def make_scanner(self, on_detection: Detection) -> BleakScanner:
        self._detection = on_detection
        return cast("BleakScanner", self)

    def make_client(
        self, device: BLEDevice, *, on_disconnect: Callable[[BleakClient], None], timeout_seconds: float
    ) -> BleakClient:
        raise NotImplementedError

    async def start(self) -> None:
        self.note("start")
        if self._fails:
            self._fails -= 1
            raise BleakError("No powered Bluetooth adapters found.")

    async def stop(self) -> None:
        self.note("stop")

    async def _power_cycle(self) -> None:
        self.note("power cycle")
        if self._power_cycle_fails:
            raise RuntimeError

    def advertise(self) -> None:
        assert self._detection is not None
        self._detection(CUFF, HEARD)

    def live(self, script: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def both() -> None:
            scanning = asyncio.create_task(self.scan.run())
            await script()
            scanning.cancel()
            await asyncio.gather(scanning, return_exceptions=True)

        run_skipping(both)


@pytest.mark.parametrize("power_cycle_fails", [False, True])
def test_silence_is_answered_by_a_new_scanner_then_a_power_cycle_then_an_alarm(power_cycle_fails: bool) -> None:
    bench = Bench(power_cycle_fails=power_cycle_fails)

    async def script() -> None:
        await asyncio.sleep(3 * SILENCE + 1)
        assert bench.scan.trouble == "radio-silent"

    bench.live(script)

    assert bench.events[:-1] == [
        (0, "start"),
        (180, "stop"),
        (180, "start"),
        (360, "stop"),
        (360, "power cycle"),
        (360, "start"),
        (540, "stop"),
        (540, "start"),
    ]
    assert bench.troubles == [(540, "radio-silent")]


@pytest.mark.parametrize(("heard_at", "replaced_at"), [(179.0, 359.0), (1.0, 181.0)])
def test_silence_counts_from_the_last_advertisement(heard_at: float, replaced_at: float) -> None:
    bench = Bench()

    async def script() -> None:
        await asyncio.sleep(heard_at)
        bench.advertise()
        await asyncio.sleep(replaced_at - heard_at - 1)
        assert bench.events == [(0, "start")]
        await asyncio.sleep(2)

    bench.live(script)

    assert bench.events[1:3] == [(replaced_at, "stop"), (replaced_at, "start")]
    assert [sighting.advertisement.service_uuids for sighting in bench.sightings] == [("1810",)]


def test_adapter_that_hears_again_lifts_the_alarm_and_the_next_silence_starts_anew() -> None:
    bench = Bench()

    async def script() -> None:
        await asyncio.sleep(3 * SILENCE + 10)
        bench.advertise()
        assert bench.scan.trouble is None
        bench.events.clear()
        await asyncio.sleep(2 * SILENCE + 1)

    bench.live(script)

    assert bench.troubles == [(540, "radio-silent"), (550, None)]
    assert bench.events[:-1] == [
        (730, "stop"),
        (730, "start"),
        (910, "stop"),
        (910, "power cycle"),
        (910, "start"),
    ]


def test_adapter_that_is_missing_is_tried_again_later_and_later() -> None:
    bench = Bench(fails=4)

    async def script() -> None:
        await asyncio.sleep(20)
        assert bench.scan.trouble is None

    bench.live(script)

    assert [at for at, what in bench.events if what == "start"] == [0, 1, 3, 7, 15]
    assert bench.troubles == [(0, "radio-unavailable"), (15, None)]


def test_scanner_is_replaced_at_once_when_the_daemon_came_back_and_that_is_no_silence() -> None:
    bench = Bench()

    async def script() -> None:
        await asyncio.sleep(SILENCE + 10)  # one silence behind us
        bench.scan.restart()
        await asyncio.sleep(SILENCE + 1)

    bench.live(script)

    assert bench.events[:-1] == [
        (0, "start"),
        (180, "stop"),
        (180, "start"),
        (190, "stop"),
        (190, "start"),
        (370, "stop"),
        (370, "start"),
    ]
