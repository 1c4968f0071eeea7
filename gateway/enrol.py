"""Putting one device on this home's list, at the box: wait for it, bond, read what it has.

Input: how to recognise the device, a passkey or somebody to ask for it. Output: the result of its first session. The
readings are in the journal; the running gateway sends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from device_drivers.catalog import DRIVERS, best_driver
from device_drivers.driver import Driver
from gateway import contract
from gateway.clock import Clock
from gateway.errors import PairingError
from gateway.outbox import Outbox
from gateway.radio import Radio
from gateway.registry import Registry
from gateway.scan import Scan, Sighting
from gateway.schedule import Remedy
from gateway.session import SessionResult, SessionRunner

AskPasskey = Callable[[str], Awaitable[int | None]]

_ATTEMPTS: Final = 3
_SILENCE_SECONDS: Final = 3600.0  # a person is watching: no radio watchdog needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One device on the air, as `vitalwire gateway scan` shows it."""

    address: str
    name: str | None
    rssi: int | None
    driver: str | None
    title: str | None
    kind: str | None


def describe(sighting: Sighting, drivers: Sequence[Driver] = DRIVERS) -> Heard:
    """What can be said of a device before anybody connects."""
    heard = sighting.advertisement
    driver = best_driver(heard, drivers)
    return Heard(
        address=heard.address,
        name=heard.name,
        rssi=heard.rssi,
        driver=None if driver is None else driver.info.id,
        title=None if driver is None else driver.info.title,
        kind=None if driver is None else driver.info.kinds[0].value,
    )


async def listen(radio: Radio, *, seconds: float, on_sighting: Callable[[Sighting], None]) -> str | None:
    """Scan for a while. Returns why nothing could be heard, or None."""
    scan = Scan(radio, on_sighting=on_sighting, silence_seconds=_SILENCE_SECONDS)
    task = asyncio.create_task(scan.run(), name="scan")
    await asyncio.wait({task}, timeout=seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return scan.trouble


async def pair_device(
    *,
    data: Path,
    zone: ZoneInfo,
    radio: Radio,
    clock: Clock,
    wanted: str,
    device_id: str,
    ask_passkey: AskPasskey,
    seconds: float,
    drivers: Sequence[Driver] = DRIVERS,
    tell: Callable[[str], None] = lambda _words: None,
) -> SessionResult:
    """Wait for the device whose address or name is `wanted`, put it on the list, bond and read it.

    Raises `PairingError` when it is not heard, or is nothing we know.
    """
    outbox = Outbox(data / "journal.sqlite", clock=clock)
    outbox.open()
    registry = Registry(data / "registry.json")
    found: asyncio.Queue[Sighting] = asyncio.Queue(64)

    def on_sighting(sighting: Sighting) -> None:
        heard = sighting.advertisement
        if wanted.upper() in {heard.address.upper(), (heard.name or "").upper()} and not found.full():
            found.put_nowait(sighting)

    tasks: list[asyncio.Task[None]] = []
    view: Callable[[str], str | None] = lambda _address: None  # noqa: E731 -- replaced when there is an agent
    scan = Scan(radio, on_sighting=on_sighting, silence_seconds=_SILENCE_SECONDS)
    try:
        if radio.uses_bluez:
            view = await _with_agent(registry, ask_passkey, tasks)
        tasks.append(asyncio.create_task(scan.run(), name="scan"))
        runner = SessionRunner(radio=radio, outbox=outbox, clock=clock, home=zone, agent_view=view)
        result: SessionResult | None = None
        for _ in range(_ATTEMPTS):
            sighting = await _heard_within(found, seconds, wanted, scan)
            driver = best_driver(sighting.advertisement, drivers)
            if driver is None:
                raise PairingError(
                    f"{wanted} is on the air, but it is no blood-pressure, glucose or other known device"
                )
            device = registry.enrol(
                contract.DeviceConfig(
                    id=device_id,
                    kind=driver.info.kinds[0].value,
                    address=sighting.device.address,
                    driver=driver.info.id,
                )
            )
            tell(f"{sighting.advertisement.name or wanted} found ({driver.info.title}); pairing and reading …")
            result = await runner.run(sighting, device, driver)
            registry.learn(device_id, bond=result.bond)
            if result.remedy in {None, Remedy.GIVE_UP}:
                break
            while not found.empty():
                found.get_nowait()
        if result is None:
            raise AssertionError("the loop ran at least once")
        return result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await outbox.close()


async def _with_agent(
    registry: Registry, ask_passkey: AskPasskey, tasks: list[asyncio.Task[None]]
) -> Callable[[str], str | None]:
    from gateway.pairing import Agent
    from gateway.watch import DaemonWatch

    agent = Agent(is_allowed=lambda address: registry.device_at(address) is not None, passkey_of=ask_passkey)
    watch = DaemonWatch(agent, on_gone=lambda: None, on_back=lambda: None)
    tasks.append(asyncio.create_task(watch.run(), name="bluetooth-daemon"))
    try:
        async with asyncio.timeout(10):
            await watch.registered.wait()
    except TimeoutError as error:
        raise PairingError("the Bluetooth service does not answer: sudo systemctl start bluetooth") from error
    return agent.view


async def _heard_within(found: asyncio.Queue[Sighting], seconds: float, wanted: str, scan: Scan) -> Sighting:
    try:
        async with asyncio.timeout(seconds):
            return await found.get()
    except TimeoutError as error:
        if scan.trouble is not None:
            raise PairingError(
                "Bluetooth cannot be used: is an adapter plugged in, and is bluetoothd running?"
            ) from error
        raise PairingError(
            f"{wanted} was not heard in {seconds:.0f} s; put it in pairing mode (or take a measurement) beside the box"
        ) from error
