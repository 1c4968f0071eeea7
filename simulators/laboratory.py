"""Many devices in one process under one clock: the laboratory for tests and for accelerated months.

Input: devices and acts with true times. Output: peripherals on an air for each home, and the ledger of what they made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from simulators.air import Air
from simulators.bleak_backend import PasskeyProvider, VirtualRadio
from simulators.clock import SimulatedClock
from simulators.control import DeviceControl
from simulators.device_settings import DeviceSettings
from simulators.ledger import Ledger, LedgerEntry
from simulators.memory import DeviceMemory
from simulators.peripheral import Peripheral
from simulators.scenario import Scenario, TimedAct
from simulators.service import DEVICE_KINDS

# Radio times of accelerated life: on the air until served, and gone as soon as the gateway is silent.
FAST_SETTINGS: Final[dict[str, Any]] = {
    "advertising_interval_ms": 25.0,
    "window_seconds": 3600.0,
    "idle_seconds": 0.25,
    "patience_seconds": 5.0,
}


class Laboratory:
    """Use it as a context manager. Each home has an air of its own, so homes do not hear each other."""

    def __init__(self, start: datetime, *, folder: Path | None = None, ledger: Path | None = None) -> None:
        """`folder`: where devices keep memory and bonds; without one they live as long as the laboratory."""
        self.clock = SimulatedClock(start)
        self.ledger = Ledger(ledger)
        self.devices: dict[str, Peripheral] = {}
        self._folder = folder
        self._airs: dict[str, Air] = {}
        self._controls: dict[str, DeviceControl] = {}
        self._radios: list[VirtualRadio] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for radio in self._radios:
            await radio.close()
        for device in self.devices.values():
            await device.power_off()
        self.ledger.close()

    def air(self, home: str = "home") -> Air:
        """The air of a home."""
        return self._airs.setdefault(home, Air())

    async def open_radio(
        self, address: str, *, home: str = "home", passkey: PasskeyProvider | None = None
    ) -> VirtualRadio:
        """A gateway's Bluetooth adapter in a home, for `bleak_backend`; closed with the laboratory."""
        radio = await VirtualRadio.open(self.air(home), address, passkey=passkey)
        self._radios.append(radio)
        return radio

    async def add_device(self, kind: str, settings: DeviceSettings, *, home: str = "home") -> Peripheral:
        """Put a device into a home and switch it on. Its radio times become those of accelerated life."""
        folder = None if self._folder is None else self._folder / settings.device_id
        device = DEVICE_KINDS[kind](
            replace(settings, **FAST_SETTINGS),
            air=self.air(home),
            clock=self.clock,
            memory=DeviceMemory(folder),
            ledger=self.ledger,
        )
        self.devices[settings.device_id] = device
        self._controls[settings.device_id] = DeviceControl(device)
        await device.power_on()
        return device

    async def add_scenario(self, scenario: Scenario) -> None:
        """All devices of a scenario, each in its home."""
        for home in scenario.homes:
            for plan in home.devices:
                settings = DeviceSettings(
                    device_id=plan.id,
                    address=plan.address,
                    name="SIM BP" if plan.kind == "blood-pressure" else "SIM METER",
                    serial=plan.id,
                    zone=home.zone,
                    clock_offset_seconds=plan.clock_offset_seconds,
                    drift_ppm=plan.drift_ppm,
                    passkey=plan.passkey,
                )
                await self.add_device(plan.kind, settings, home=home.id)

    async def measure(self, device_id: str, at: datetime, **request: Any) -> LedgerEntry:
        """Go on to the true time `at` and measure (`values=…` and the other words of `control`)."""
        self.clock.advance_to(at)
        return await self._controls[device_id].measure(request)

    async def perform(self, act: TimedAct) -> None:
        """Go on to an act's true time and do it."""
        self.clock.advance_to(act.at)
        await self._controls[act.device].perform(act.request)

    async def play(
        self,
        acts: Iterable[TimedAct],
        *,
        settle_seconds: float = 10.0,
        after_act: Callable[[TimedAct], Awaitable[None]] | None = None,
    ) -> None:
        """Do acts in time order; after each measurement wait until a gateway has taken the records over.

        `settle_seconds` of real time at most: a device that is broken on purpose keeps its records for later.
        """
        for act in acts:
            await self.perform(act)
            if act.request["do"] == "measure":
                try:
                    async with asyncio.timeout(settle_seconds):
                        await self.devices[act.device].delivered()
                except TimeoutError:
                    pass
            if after_act is not None:
                await after_act(act)

    async def delivered(self) -> None:
        """Wait until gateways have taken over every record of every device. The caller sets the time limit."""
        for device in self.devices.values():
            await device.delivered()
