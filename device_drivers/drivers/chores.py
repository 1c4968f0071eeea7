"""What every session does beside its readings: look at the clock, set it by policy, battery, device information.

Input: an open link and the context. Output: notes in the context. A refused or broken answer costs that note alone;
only a link that is gone (`LinkClosedError`) reaches the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from device_drivers.driver import ClockPolicy, Context, Link, SessionWarning
from device_drivers.errors import AttError, DecodeError
from device_drivers.gatt import battery, current_time, device_information

# ATT error codes that ask for pairing: insufficient authentication, authorisation, key size, encryption.
NEEDS_PAIRING: Final = frozenset({0x05, 0x08, 0x0C, 0x0F})
# The order in which a clock is looked for: the service of its own first, then where many cuffs and meters keep it.
_CLOCKS: Final = (current_time.CURRENT_TIME, current_time.DATE_TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenClock:
    """A clock that was read; `device_time` None when the device does not know its time.

    `due` was judged at once, against the gateway's time of the reading: a transfer may take a minute.
    """

    characteristic: str
    device_time: datetime | None
    due: bool


async def read_clock(link: Link, ctx: Context) -> SeenClock | None:
    """Read the device's clock and note it with the gateway's time of the same moment. None: it has none to read."""
    for characteristic in _CLOCKS:
        if not link.has(characteristic):
            continue
        try:
            octets = await link.read(characteristic)
        except AttError:
            continue
        try:
            device_time = current_time.decode_clock(characteristic, octets).device_time
        except DecodeError:
            device_time = None
        ctx.note_clock(device_time, raw=octets, characteristic=characteristic)
        due = current_time.clock_is_due(ctx.policy, device_time=device_time, desired=ctx.desired_clock())
        return SeenClock(characteristic=characteristic, device_time=device_time, due=due)
    return None


def clock_is_due(ctx: Context, seen: SeenClock | None) -> bool:
    """Whether this session is to write the time. A clock that cannot be read is written under "always" alone."""
    return seen.due if seen is not None else ctx.policy.clock is ClockPolicy.ALWAYS


async def set_clock(link: Link, ctx: Context) -> None:
    """Write the desired time; a device that has a clock and takes it nowhere is noted.

    Call it after the data: on some cuffs a new time changes the time stamps of stored readings.
    """
    refused = False
    for characteristic in _CLOCKS:
        desired = ctx.desired_clock()
        if desired is None or not link.has(characteristic):
            continue
        try:
            await link.write(characteristic, current_time.encode_clock(characteristic, desired))
        except AttError:
            refused = True
            continue
        ctx.note_clock_set(desired, characteristic=characteristic)
        return
    if refused:
        ctx.note_warning(SessionWarning.CLOCK_REFUSED)


async def read_battery(link: Link, ctx: Context) -> None:
    octets = await _read_if_offered(link, battery.BATTERY_LEVEL)
    if octets is None:
        return
    try:
        percent = battery.decode_level(octets)
    except DecodeError:
        return
    if percent is not None:
        ctx.note_battery(percent)


async def read_identity(link: Link, ctx: Context) -> str | None:
    """Model and firmware, noted; returns the model. With the clock, all that readings are judged by."""
    return (await _read_strings(link, ctx, device_information.IDENTITY)).get("model")


async def read_information(link: Link, ctx: Context) -> None:
    """The rest of the device information, as far as the device tells."""
    rest = {c: name for c, name in device_information.STRINGS.items() if c not in device_information.IDENTITY}
    await _read_strings(link, ctx, rest)


async def _read_strings(link: Link, ctx: Context, wanted: Mapping[str, str]) -> dict[str, str]:
    strings: dict[str, str] = {}
    for characteristic, name in wanted.items():
        octets = await _read_if_offered(link, characteristic)
        if octets and (text := device_information.decode_text(octets)):
            strings[name] = text
    if strings:
        ctx.note_information(**strings)
    return strings


async def _read_if_offered(link: Link, characteristic: str) -> bytes | None:
    if not link.has(characteristic):
        return None
    try:
        return await link.read(characteristic)
    except AttError:
        return None
