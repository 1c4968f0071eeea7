"""A scenario lived through in accelerated time, by the production gateway, broker and ingest.

Input: a scenario, a started server, a folder. Output: readings in the database that came the whole way (device memory,
Bluetooth, gateway journal, MQTT, ingest), and whether the scenario's expectations hold. Each home has a clock of its
own, shared by its devices and its gateway, so that homes live side by side at their own pace. No row is inserted here
but identities.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

from gateway.config import load_settings
from gateway.radio import BleakRadio
from gateway.runtime import Gateway
from server.demo.homes import DeviceSpec, HomeSpec
from simulators.bleak_backend import BumbleClient, BumbleScanner
from simulators.clock import SimulatedClock
from simulators.laboratory import Laboratory
from simulators.ledger import LedgerEntry
from simulators.scenario import Home, Scenario, TimedAct, expand

# A device that is broken on purpose keeps its records for the next contact; everything else is served far sooner.
_SETTLE_SECONDS: Final = 20.0
_DRAIN_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAccess:
    """What one gateway needs to reach the broker."""

    url: str
    username: str
    password_file: Path
    version: str = "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """What came out of a run: the ledger of everything measured, and how long it took for real."""

    ledger: tuple[LedgerEntry, ...]
    seconds: float


class HomeClock:
    """The simulated time of one home, as a gateway sees a clock."""

    def __init__(self, simulated: SimulatedClock) -> None:
        self._simulated = simulated
        self._start = simulated.now()

    def now(self) -> datetime:
        return self._simulated.now()

    def monotonic(self) -> float:
        """Simulated seconds, and the real ones that radio traffic takes beside them."""
        return (self._simulated.now() - self._start).total_seconds() + time.monotonic()


def gateway_id_of(scenario: str, home: str) -> str:
    """A stable identity for a home of a scenario."""
    return f"gw-{hashlib.sha256(f'{scenario}/{home}'.encode()).hexdigest()[:16]}"


def patient_id_of(patient: str) -> str:
    return f"pt-{patient}"


def household(scenario: Scenario, home: Home) -> tuple[HomeSpec, ...]:
    """A home as specifications of patients; the first one also carries the gateway and its devices."""
    devices = tuple(
        DeviceSpec(
            id=plan.id,
            kind=plan.kind,
            model="SIM-BP-1" if plan.kind == "blood-pressure" else "SIM-GL-1",
            address=plan.address,
            local_name="SIM BP" if plan.kind == "blood-pressure" else "SIM METER",
            passkey=plan.passkey,
        )
        for plan in home.devices
    )
    return tuple(
        HomeSpec(
            patient_id=patient_id_of(patient.id),
            name=f"{patient.id.replace('-', ' ').title()} (scenario)",
            born=date(1950, 1, 1) + timedelta(days=patient.seed % 6000),
            sex="female" if patient.seed % 2 else "male",
            phone="+1 555 0199",
            zone=home.zone,
            goal="Feel well enough for a daily walk",
            conditions=("E11.9", "I10") if patient.diabetic else ("I10", "E78.5"),
            gateway_id=gateway_id_of(scenario.scenario, home.id),
            devices=devices if number == 0 else (),
        )
        for number, patient in enumerate(home.patients)
    )


def assignments(home: Home) -> dict[tuple[str, int | None], str]:
    """(device, user slot) → patient, from who is said to use it. Without slots the first user is the owner."""
    found: dict[tuple[str, int | None], str] = {}
    for plan in home.measures:
        found.setdefault((plan.device, plan.user), plan.patient)
    return found


async def live(
    scenario: Scenario,
    access: Callable[[str], GatewayAccess],
    folder: Path,
    *,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Lived:
    """Live the whole scenario. Returns when every reading that reached a gateway has the server's receipt."""
    began = time.monotonic()
    acts = expand(scenario)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, len(acts))

    homes = [_live_home(scenario, home, _acts_of(acts, home), access, folder, step) for home in scenario.homes]
    ledgers = await asyncio.gather(*homes)
    ledger = tuple(entry for entries in ledgers for entry in entries)
    return Lived(ledger=ledger, seconds=time.monotonic() - began)


def _acts_of(acts: Iterable[TimedAct], home: Home) -> tuple[TimedAct, ...]:
    return tuple(act for act in acts if act.home == home.id)


async def _live_home(
    scenario: Scenario,
    home: Home,
    acts: tuple[TimedAct, ...],
    access: Callable[[str], GatewayAccess],
    folder: Path,
    step: Callable[[], None],
) -> tuple[LedgerEntry, ...]:
    """One home from its first morning to its last evening."""
    gateway_id = gateway_id_of(scenario.scenario, home.id)
    number = scenario.homes.index(home)
    passkeys = {plan.address: plan.passkey for plan in home.devices}
    alone = scenario.model_copy(update={"homes": (home,), "expect": ()})
    async with Laboratory(alone.begins_at, folder=folder / home.id / "devices") as laboratory:
        await laboratory.add_scenario(alone)
        radio = await laboratory.open_radio(
            f"C4:57:1E:01:{number >> 8:02X}:{number & 255:02X}", home=home.id, passkey=passkeys.get
        )
        gateway = _gateway(gateway_id, home, access(gateway_id), folder / home.id / "gateway", laboratory, radio)
        await gateway.start()
        try:
            await _configured(gateway, len(home.devices))
            for act in acts:
                await laboratory.perform(act)
                if act.request["do"] == "measure":
                    await _taken_over(laboratory, act.device)
                # Time may not jump on inside a session: the device clock is compared with the gateway's there.
                await _settled(gateway)
                step()
            async with asyncio.timeout(_DRAIN_SECONDS):
                await gateway.drained()
        finally:
            await gateway.stop()
        return tuple(laboratory.ledger.entries)


def _gateway(
    gateway_id: str, home: Home, access: GatewayAccess, folder: Path, laboratory: Laboratory, radio: object
) -> Gateway:
    settings = load_settings(
        {
            "gateway_id": gateway_id,
            "gateway_data": folder,
            "time_zone": home.zone,
            "mqtt_url": access.url,
            "mqtt_username": access.username,
            "mqtt_password_file": access.password_file,
            "mqtt_version": access.version,
        }
    )
    options = {"radio": radio}
    return Gateway(
        settings,
        radio=BleakRadio(
            scanner_options={"backend": BumbleScanner, **options}, client_options={"backend": BumbleClient, **options}
        ),
        clock=HomeClock(laboratory.clock),
    )


async def _configured(gateway: Gateway, devices: int) -> None:
    """A gateway reads only devices it was told of: wait for its retained configuration."""
    async with asyncio.timeout(_DRAIN_SECONDS):
        while len(gateway.registry.view().devices) < devices:  # noqa: ASYNC110 - the registry tells nobody
            await asyncio.sleep(0.05)


async def _settled(gateway: Gateway) -> None:
    """No session runs and every reading has its receipt; a broken device may keep a gateway busy for longer."""
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            await gateway.drained()
    except TimeoutError:
        return


async def _taken_over(laboratory: Laboratory, device: str) -> None:
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            await laboratory.devices[device].delivered()
    except TimeoutError:
        return
