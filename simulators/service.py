"""The processes of the laboratory: hub and device, from command line words to a clean end.

Input: settings of the command line. Output: one JSON line `{"ready": true, …}` on stdout, then work until signalled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from simulators.air import Air
from simulators.control import ControlServer, DeviceControl
from simulators.device_settings import DeviceSettings
from simulators.devices.blood_pressure_monitor import BloodPressureMonitor
from simulators.devices.glucose_meter import GlucoseMeter
from simulators.history import BackdatedClock, recall
from simulators.ledger import Ledger
from simulators.link import Hub
from simulators.memory import DeviceMemory
from simulators.peripheral import Peripheral

DEVICE_KINDS: dict[str, type[Peripheral]] = {
    BloodPressureMonitor.kind: BloodPressureMonitor,
    GlucoseMeter.kind: GlucoseMeter,
}


PARENT_CHECK_SECONDS: Final = 0.5  # how long an orphan lives on; shorter only costs wake-ups


class RadioGoneError(RuntimeError):
    """The hub or the controller went away while the process still needed it."""


def announce(**fields: Any) -> None:
    """The ready line. Whoever started the process may now use it."""
    sys.stdout.write(json.dumps({"ready": True, **fields}) + "\n")
    sys.stdout.flush()


@asynccontextmanager
async def until_signalled() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set, and the end of the process that started this one."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    orphaned = loop.create_task(_watch_parent(stop))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        orphaned.cancel()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _watch_parent(stop: asyncio.Event) -> None:
    """A laboratory whose starter was killed must not stay behind."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody tells a process that its parent died
        await asyncio.sleep(PARENT_CHECK_SECONDS)
    stop.set()


async def woken(*causes: asyncio.Event | asyncio.Future[None] | None, seconds: float | None = None) -> None:
    """Return as soon as an event is set or a future done, or after `seconds`."""
    events = [asyncio.ensure_future(cause.wait()) for cause in causes if isinstance(cause, asyncio.Event)]
    waiting: set[asyncio.Future[Any]] = {*events, *(cause for cause in causes if isinstance(cause, asyncio.Future))}
    await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for event in events:
        event.cancel()


async def run_hub(listen: str, *, fast_connect: bool) -> None:
    """The air for other processes."""
    hub = Hub(Air(fast_connect=fast_connect))
    async with until_signalled() as stop:
        address = await hub.listen(listen)
        announce(address=address)
        await stop.wait()
        await hub.close()


async def run_device(
    kind: str,
    settings: DeviceSettings,
    *,
    radio: str,
    state: Path,
    ledger_path: Path | None,
    every_seconds: float | None,
    control_address: str,
    history_days: int = 0,
) -> None:
    """One device with its control socket; measures by itself every `every_seconds` if given.

    A device that never measured before remembers the `history_days` before today, and is carried to the gateway now.
    """
    ledger = Ledger(ledger_path)
    clock = BackdatedClock()
    memory = DeviceMemory(state)
    device = DEVICE_KINDS[kind](settings, air=radio, clock=clock, memory=memory, ledger=ledger)
    control = DeviceControl(device)
    server = ControlServer(control)
    async with until_signalled() as stop:
        if history_days and memory.next_sequence == 1:
            await recall(control, clock, kind=kind, days=history_days, zone=settings.zone, seed=settings.seed)
        await device.power_on()
        if device.undelivered:
            await device.go_on_air()
        address = await server.listen(control_address)
        measuring = asyncio.ensure_future(_measure_for_ever(control, every_seconds)) if every_seconds else None
        announce(id=settings.device_id, kind=kind, address=settings.address, control=address)
        try:
            await _while_on(device, stop)
        finally:
            if measuring is not None:
                measuring.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await measuring
            await server.close()
            await device.power_off()
            ledger.close()


async def run_bluez(radio: str, address: str, *, state: Path, authorise_just_works: bool) -> None:
    """An `org.bluez` of its own, for one gateway. SIGUSR1 restarts its bluetoothd while the bus lives on."""
    from simulators.bluez.facade import BluezFacade

    facade = await BluezFacade.open(radio, address, state=state, authorise_just_works=authorise_just_works)
    restart = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, restart.set)
    async with until_signalled() as stop:
        try:
            announce(bus_address=facade.bus_address, address=address)
            while not stop.is_set():
                await woken(stop, restart, facade.radio_lost)
                if restart.is_set():
                    restart.clear()
                    await facade.stop_bluetoothd()
                    await facade.start_bluetoothd()
                elif not stop.is_set():
                    raise RadioGoneError("the hub or controller is gone")
        finally:
            await facade.close()


async def _while_on(device: Peripheral, stop: asyncio.Event) -> None:
    """Until signalled. The radio of a device that a tester switched off may well be gone."""
    while not stop.is_set():
        lost = device.radio_lost
        await woken(stop, lost, seconds=1.0)
        if lost is not None and lost.done() and device.radio_lost is lost:
            raise RadioGoneError("the hub or controller is gone")


async def _measure_for_ever(control: DeviceControl, every_seconds: float) -> None:
    while True:
        await control.measure({})
        await asyncio.sleep(every_seconds)
