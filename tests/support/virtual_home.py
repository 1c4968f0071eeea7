"""A home on the virtual radio: simulated devices, the production gateway in this process, a real broker outside.

The gateway runs its own code from bleak's API upward; only the adapter is virtual (`simulators.bleak_backend`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bumble.keys import JsonKeyStore

from gateway import contract
from gateway.config import load_settings
from gateway.radio import BleakRadio
from gateway.runtime import Gateway
from simulators.air import Air
from simulators.bleak_backend import BumbleClient, BumbleScanner, VirtualRadio
from tests.support.broker import Broker

GATEWAY = "gw-0123456789"
CUFF = "C0:00:00:00:00:01"
METER = "C0:00:00:00:00:02"
STRANGER = "C0:00:00:00:00:03"
PASSKEY = 123456


class HomeClock:
    """The true time of a simulated home: real seconds plus what the test skips. For devices and gateway alike."""

    def __init__(self, start: datetime = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._began = time.monotonic()
        self._skipped = timedelta()

    def monotonic(self) -> float:
        return time.monotonic() - self._began + self._skipped.total_seconds()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def skip(self, by: timedelta) -> None:
        self._skipped += by


def devices() -> tuple[contract.DeviceConfig, ...]:
    return (
        contract.DeviceConfig(id="bp-1", kind="blood-pressure", address=CUFF),
        contract.DeviceConfig(id="gl-1", kind="glucose", address=METER, passkey=PASSKEY),
    )


@asynccontextmanager
async def home_gateway(
    air: Air,
    broker: Broker,
    folder: Path,
    clock: HomeClock,
    *,
    enrolled: tuple[contract.DeviceConfig, ...] | None = None,
) -> AsyncIterator[Gateway]:
    """A running gateway. Its bonds and journal live in `folder` and survive the context."""
    settings = load_settings(
        {
            "gateway_id": GATEWAY,
            "gateway_data": folder,
            "mqtt_url": broker.url,
            "time_zone": "America/New_York",
        }
    )
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240

    async def passkey(address: str) -> int | None:
        return await gateway.passkey_of(address)

    radio = await VirtualRadio.open(
        air, "F0:00:00:00:00:01", key_store=JsonKeyStore("gateway", str(folder / "bonds.json")), passkey=passkey
    )
    gateway = Gateway(
        settings,
        clock=clock,
        radio=BleakRadio(
            scanner_options={"backend": BumbleScanner, "radio": radio},
            client_options={"backend": BumbleClient, "radio": radio},
        ),
    )
    for config in devices() if enrolled is None else enrolled:
        gateway.registry.enrol(config)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
        await radio.close()
