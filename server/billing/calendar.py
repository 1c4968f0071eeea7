"""Service periods and the only conversion from instants to the local dates that billing counts.

Input: UTC instants, IANA zone names, "YYYY-MM". Output: local dates, month and thirty-day `ServicePeriod`s.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

MICROSECONDS: Final = 1_000_000
ONE_DAY: Final = timedelta(days=1)

PeriodKind = Literal["month", "thirty-day", "day"]


class UnknownZoneError(ValueError):
    """The zone is not an IANA name."""


@lru_cache(maxsize=512)
def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name; `UnknownZoneError` for anything else."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UnknownZoneError(f"{name!r} is no IANA time zone; write one such as America/New_York") from error


class ServicePeriod(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Local dates, both ends included, over which one code is decided."""

    first: date
    last: date
    kind: PeriodKind = "month"

    def covers(self, day: date) -> bool:
        return self.first <= day <= self.last

    def meets(self, first: date, last: date | None) -> bool:
        """Whether the period shares a date with first..last; `None` is an open end."""
        return first <= self.last and (last is None or last >= self.first)

    def as_facts(self) -> dict[str, str]:
        return {"from": self.first.isoformat(), "to": self.last.isoformat()}


@lru_cache(maxsize=1024)
def month_period(month: str) -> ServicePeriod:
    """ "2026-03" → 2026-03-01..2026-03-31."""
    first = date.fromisoformat(f"{month}-01")
    return ServicePeriod(first=first, last=(first.replace(day=28) + timedelta(days=4)).replace(day=1) - ONE_DAY)


def month_of(day: date) -> str:
    return f"{day.year:04d}-{day.month:02d}"


def thirty_day_periods(anchor: date, until: date, *, length: int) -> Iterator[ServicePeriod]:
    """Back-to-back periods from the anchor, none beginning after `until`. They tile: no gap, no overlap."""
    first = anchor
    while first <= until:
        last = first + timedelta(days=length - 1)
        yield ServicePeriod(first=first, last=last, kind="thirty-day")
        first = last + ONE_DAY


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970. Exact for every year a claim can have: they fit in a double."""
    return round(instant.timestamp() * MICROSECONDS)


@lru_cache(maxsize=4096)
def midnight(day: date, zone_name: str) -> int:
    """The instant a local date begins, in microseconds; days have 23, 24 or 25 hours."""
    return microseconds(datetime.combine(day, time(), tzinfo=zone(zone_name)).astimezone(UTC))


def bounds(period: ServicePeriod, zone_name: str) -> tuple[int, int]:
    """The half-open span of instants of a period in a zone, in microseconds."""
    return midnight(period.first, zone_name), midnight(period.last + ONE_DAY, zone_name)


def seconds_text(microseconds_counted: int) -> str:
    """Seconds as text, exact to the microsecond, never rounded."""
    whole, rest = divmod(microseconds_counted, MICROSECONDS)
    return str(whole) if not rest else f"{whole}.{rest:06d}".rstrip("0")


def clock_text(microseconds_counted: int) -> str:
    """Minutes and full seconds the way a biller reads them; a part of a second is dropped, never rounded up."""
    minutes, rest = divmod(microseconds_counted // MICROSECONDS, 60)
    return f"{minutes}:{rest:02d}"


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    """The nth (from 1; -1 is the last) given weekday (Monday is 0) of a month."""
    if nth > 0:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))
    last = month_period(f"{year:04d}-{month:02d}").last
    return last - timedelta(days=(last.weekday() - weekday) % 7)


@lru_cache(maxsize=64)
def federal_holidays(year: int) -> frozenset[date]:
    """Legal public holidays as observed, 5 U.S.C. 6103: a Saturday's moves to Friday, a Sunday's to Monday."""
    fixed = [date(year, 1, 1), date(year, 7, 4), date(year, 11, 11), date(year, 12, 25)]
    if year >= 2021:
        fixed.append(date(year, 6, 19))
    shift = {5: -ONE_DAY, 6: ONE_DAY}
    observed = [day + shift.get(day.weekday(), timedelta()) for day in fixed]
    moving = [(1, 0, 3), (2, 0, 3), (5, 0, -1), (9, 0, 1), (10, 0, 2), (11, 3, 4)]
    return frozenset([*observed, *(_nth_weekday(year, *rule) for rule in moving)])


def business_days_after(day: date, count: int) -> date:
    """The date that is `count` business days (Monday to Friday, no federal holiday) after the day."""
    left = count
    while left:
        day += ONE_DAY
        # New Year's Day on a Saturday is observed on 31 December of the year before.
        holidays = federal_holidays(day.year) | federal_holidays(day.year + 1)
        if day.weekday() < 5 and day not in holidays:
            left -= 1
    return day


class ZoneHistory:
    """The zones a patient lived in; a date belongs to the zone that was in force on it."""

    __slots__ = ("_only", "_starts", "_zones")

    def __init__(self, zones: Sequence[tuple[date, str]], default: str) -> None:
        ordered = sorted(zones) or [(date.min, default)]
        self._starts = [start for start, _ in ordered]
        self._zones = [name for _, name in ordered]
        self._only = zone(self._zones[0]) if len(ordered) == 1 else None

    def zone_on(self, day: date) -> str:
        """The zone in force; before the first known date the first zone is taken."""
        return self._zones[max(bisect_right(self._starts, day) - 1, 0)]

    def local_date(self, instant: datetime) -> date:
        """The calendar date the patient's clock showed."""
        if self._only is not None:
            return instant.astimezone(self._only).date()
        # A move takes effect at the midnight of the new zone's first date: the newest zone whose own date has come.
        for start, name in zip(reversed(self._starts), reversed(self._zones), strict=True):
            day = instant.astimezone(zone(name)).date()
            if day >= start:
                return day
        return instant.astimezone(zone(self._zones[0])).date()
