"""Time on the home box: the only reader of the wall clock, and the only place where a device's local time becomes UTC.

Input: a device's naive clock time, the home's zone, the coincident clock pair of the same session, the receive time.
Output: `EffectiveTime`. Device and receive time are never overwritten, they travel beside the result.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final, Literal, Protocol

from device_drivers.measurement import TimeQuality

SYNCHRONISED_WITHIN: Final = timedelta(seconds=5)
"""A device shows whole seconds and the pair is read over a radio: less than this cannot be told from agreement."""

HOME_TIME_WITHIN: Final = timedelta(minutes=30)
"""A clock this near to home time follows the home's clock changes (somebody sets it); one farther off runs by itself.
Half of the smallest daylight-saving step, so that a clock nobody changed in spring counts as running by itself."""

FUTURE_TOLERANCE: Final = timedelta(minutes=2)
"""A reading may not lie after it was received, but for drift and for time stamps rounded up to the next minute."""

OLDEST_STORED: Final = timedelta(days=730)
"""Older than any memory of a monitored home device is likely to be: such a time comes from a clock that was reset."""

LIVE_WITHIN: Final = timedelta(minutes=10)
"""A cuff connects within a minute of its measurement; what is older came out of memory."""

CLOCK_TRUSTED_FROM: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""Before this (older than this software) the gateway's own clock has not been set yet: no network time since boot."""


class Clock(Protocol):
    """The time, as everything in this package gets it."""

    def now(self) -> datetime:
        """Wall time, aware, UTC. May step."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """Device clock and gateway clock, seen together. `device_time` is None when the device did not know its time."""

    gateway_at: datetime
    device_time: datetime | None
    characteristic: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveTime:
    """When a measurement took place, and how we know. `clock_offset_seconds` = home time minus device time."""

    measured_at: datetime
    clock_offset_seconds: Decimal | None
    quality: TimeQuality
    memory: Literal["live", "stored"]


def resolve_effective_time(
    device_time: datetime | None,
    *,
    received_at: datetime,
    home: tzinfo,
    clock_readings: Sequence[ClockReading] = (),
    newest: bool = True,
) -> EffectiveTime:
    """When the measurement took place.

    `clock_readings` are those of the same session in the order taken; the first counts, because it was read before
    anybody set the clock. `newest`: the last measurement of its session; only that one can be live when its own time
    is lost.
    """
    pair = next((reading for reading in clock_readings if reading.device_time is not None), None)
    offset = None if pair is None else clock_offset(pair, home)
    offset_seconds = None if offset is None else _seconds(offset)
    measured_at, quality = _choose(device_time, received_at=received_at, home=home, pair=pair, offset=offset)
    live = newest if quality is TimeQuality.RECEIVED_AT else received_at - measured_at <= LIVE_WITHIN
    return EffectiveTime(
        measured_at=measured_at,
        clock_offset_seconds=offset_seconds,
        quality=quality,
        memory="live" if live else "stored",
    )


def clock_offset(pair: ClockReading, home: tzinfo) -> timedelta:
    """Home wall time minus device wall time at one moment: what must be added to the device's clock."""
    if pair.device_time is None:
        raise ValueError("a clock reading without a device time has no offset")
    return pair.gateway_at.astimezone(home).replace(tzinfo=None) - pair.device_time


def _choose(
    device_time: datetime | None,
    *,
    received_at: datetime,
    home: tzinfo,
    pair: ClockReading | None,
    offset: timedelta | None,
) -> tuple[datetime, TimeQuality]:
    """The best candidate that is possible, from the best known to the least."""
    if device_time is None:
        return received_at, TimeQuality.RECEIVED_AT
    if pair is not None and offset is not None and pair.device_time is not None:
        elapsed = _shift(pair.gateway_at, device_time - pair.device_time)
        if abs(offset) < SYNCHRONISED_WITHIN:
            known = home_to_utc(device_time, home, near=elapsed or received_at), TimeQuality.SYNCHRONISED
        elif abs(offset) < HOME_TIME_WITHIN:
            corrected = _shift(device_time, offset)
            known = (
                None if corrected is None else home_to_utc(corrected, home, near=elapsed or received_at),
                TimeQuality.CORRECTED,
            )
        else:
            known = elapsed, TimeQuality.CORRECTED
        if known[0] is not None and _is_possible(known[0], received_at):
            return known[0], known[1]
    # The pair is missing, or contradicts this record: the clock was set between measurement and contact.
    as_shown = home_to_utc(device_time, home, near=received_at)
    if as_shown is not None and _is_possible(as_shown, received_at):
        return as_shown, TimeQuality.UNKNOWN
    return received_at, TimeQuality.RECEIVED_AT


def home_to_utc(local: datetime, home: tzinfo, *, near: datetime) -> datetime | None:
    """UTC of a naive home time. None outside the calendar.

    In the hour that comes twice in autumn, the one nearer to `near` counts; in the hour that spring leaves out, the
    clock has not been changed yet (the offset before the change is used).
    """
    try:
        first = local.replace(tzinfo=home, fold=0).astimezone(UTC)
        second = local.replace(tzinfo=home, fold=1).astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    if second <= first:  # no fold; in a gap fold=1 is the earlier instant, and fold=0 the unchanged clock
        return first
    return first if abs(near - first) <= abs(near - second) else second


def _shift(moment: datetime, by: timedelta) -> datetime | None:
    try:
        return moment + by
    except OverflowError:
        return None


def _is_possible(measured_at: datetime, received_at: datetime) -> bool:
    return received_at - OLDEST_STORED <= measured_at <= received_at + FUTURE_TOLERANCE


def _seconds(offset: timedelta) -> Decimal:
    """Whole seconds: a device clock shows no more."""
    return Decimal(round(offset.total_seconds()))


def is_trusted(now: datetime) -> bool:
    """Whether the gateway's own clock can be believed; a box without a battery-backed clock wakes up in the past."""
    return now >= CLOCK_TRUSTED_FROM
