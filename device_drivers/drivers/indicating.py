"""Devices that hand over every unsent measurement as soon as somebody listens: cuffs, scales, thermometers, oximeters.

Input: an open link. Output: packets in the journal. There is no "done": the device hangs up, or falls silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from device_drivers.driver import (
    Advertisement,
    Context,
    DriverInfo,
    Link,
    Packet,
    Pairing,
    SessionPolicy,
    SessionReadings,
    SessionWarning,
    StreamEnd,
    Subscription,
    Urgency,
)
from device_drivers.drivers import chores
from device_drivers.errors import AttError, LinkClosedError, UnsupportedFeature
from device_drivers.measurement import Kind
from device_drivers.readings import readings_of

GENERIC_SCORE: Final = 50
"""A generic driver fits every device with the standard service; a vendor's driver scores above it."""

_QUIET_SECONDS: Final = 1.0
"""Silence after which the clock may be set: shorter could fall between two indications and change their time stamps,
longer would miss cuffs that hang up two seconds after the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndicatingDriver:
    """One kind of device. `service` is what it advertises, `characteristic` what it indicates."""

    info: DriverInfo
    policy: SessionPolicy
    service: str
    characteristic: str

    def match(self, advertisement: Advertisement) -> int | None:
        return GENERIC_SCORE if self.service in advertisement.service_uuids else None

    async def collect(self, link: Link, ctx: Context) -> None:
        """Subscribe before anything else, because a bonded cuff may indicate as soon as the link is encrypted."""
        if not link.has(self.characteristic):
            raise UnsupportedFeature(f"{self.info.id}: the device does not offer {self.characteristic}")
        try:
            async with link.subscribe(self.characteristic) as subscription:
                await _transport(link, ctx, subscription)
        except AttError as error:
            if error.code in chores.NEEDS_PAIRING:
                ctx.note_warning(SessionWarning.PAIRING_NEEDED)
            raise

    def decode(self, packets: Sequence[Packet], *, model: str | None = None, ended: bool = True) -> SessionReadings:
        return readings_of(packets, model=model, ended=ended)


async def _transport(link: Link, ctx: Context, subscription: Subscription) -> None:
    """Journal what arrives, while the chores run beside it; end on hang-up or silence."""
    beside = asyncio.create_task(_chores(link, ctx), name="device-chores")
    try:
        await _journal_until_silent(link, ctx, subscription, beside)
    finally:
        if not beside.done():
            beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
    if not beside.cancelled() and (failure := beside.exception()) is not None:
        raise failure


async def _journal_until_silent(
    link: Link, ctx: Context, subscription: Subscription, beside: asyncio.Task[bool]
) -> None:
    idle_timeout = ctx.policy.idle_timeout_seconds
    step = min(_QUIET_SECONDS, idle_timeout)
    silent_seconds = 0.0
    clock_judged = False
    while silent_seconds < idle_timeout or not beside.done():
        heard = await subscription.receive(timeout_seconds=step)
        if isinstance(heard, Packet):
            await ctx.emit(heard)
            silent_seconds = 0.0
        elif heard is StreamEnd.DISCONNECTED:
            return
        else:
            silent_seconds += step
            if beside.done() and not clock_judged:
                clock_judged = True
                await _set_clock_if_asked(link, ctx, beside)


async def _set_clock_if_asked(link: Link, ctx: Context, beside: asyncio.Task[bool]) -> None:
    if beside.exception() is not None or not beside.result():
        return
    # A link that drops here ends the session by its stream, behind the packets heard before.
    with suppress(LinkClosedError):
        await chores.set_clock(link, ctx)


async def _chores(link: Link, ctx: Context) -> bool:
    """Everything but the readings; returns whether the clock is to be set once the device is quiet."""
    try:
        seen = await chores.read_clock(link, ctx)
        await chores.read_identity(link, ctx)
        ctx.basis_known()
        await chores.read_battery(link, ctx)
        await chores.read_information(link, ctx)
    except LinkClosedError:
        return False
    return chores.clock_is_due(ctx, seen)


BLOOD_PRESSURE: Final = IndicatingDriver(
    info=DriverInfo(
        id="std.blood_pressure",
        version="1",
        kinds=(Kind.BLOOD_PRESSURE,),
        services=("1810",),
        title="Blood-pressure cuff with the Bluetooth Blood Pressure Service",
    ),
    policy=SessionPolicy(pairing=Pairing.JUST_WORKS, urgency=Urgency.CUFF, idle_timeout_seconds=5.0),
    service="1810",
    characteristic="2A35",
)

WEIGHT: Final = IndicatingDriver(
    info=DriverInfo(
        id="std.weight",
        version="1",
        kinds=(Kind.WEIGHT,),
        services=("181D",),
        title="Scale with the Bluetooth Weight Scale Service",
    ),
    policy=SessionPolicy(pairing=Pairing.JUST_WORKS, urgency=Urgency.CUFF, idle_timeout_seconds=5.0),
    service="181D",
    characteristic="2A9D",
)

THERMOMETER: Final = IndicatingDriver(
    info=DriverInfo(
        id="std.thermometer",
        version="1",
        kinds=(Kind.TEMPERATURE,),
        services=("1809",),
        title="Thermometer with the Bluetooth Health Thermometer Service",
    ),
    policy=SessionPolicy(pairing=Pairing.JUST_WORKS, urgency=Urgency.CUFF, idle_timeout_seconds=5.0),
    service="1809",
    characteristic="2A1C",
)

PULSE_OXIMETER: Final = IndicatingDriver(
    info=DriverInfo(
        id="std.pulse_oximeter",
        version="1",
        kinds=(Kind.SPOT_OXIMETRY,),
        services=("1822",),
        title="Oximeter with the Bluetooth Pulse Oximeter Service (spot check)",
    ),
    # A spot check takes up to half a minute on the finger before it is indicated.
    policy=SessionPolicy(pairing=Pairing.JUST_WORKS, urgency=Urgency.CUFF, idle_timeout_seconds=45.0),
    service="1822",
    characteristic="2A5E",
)
