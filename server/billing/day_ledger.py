"""Reading days of one enrolment: which local dates have a qualifying reading, and why other readings do not count.

Input: readings that reached us by `as_of`, the gates of the enrolment. Output: `DayLedger`, and the device periods.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter
from typing import Final

import msgspec

from server.billing.calendar import ServicePeriod, ZoneHistory, thirty_day_periods
from server.billing.fact_types import Device, Reading
from server.billing.lazily import lazily

_IN_TIME: Final = attrgetter("measured_at", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class DayGates:
    """When readings begin and cease to count. `None` means that this gate does not close anything."""

    first_on: date | None
    last_on: date | None
    consent_from: datetime | None
    consent_until: datetime | None
    ordered_on: date | None
    setup_on: date | None
    self_reported: bool
    system: str | None


class ExcludedReading(msgspec.Struct, frozen=True, kw_only=True):
    """A reading that does not count."""

    reading: str
    day: date
    reason: str


class DayLedger(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Qualifying readings by date in order of date (ids in order of time), and the others."""

    days: Mapping[date, tuple[str, ...]]
    excluded: tuple[ExcludedReading, ...]

    @lazily
    def _dates(self) -> tuple[date, ...]:
        return tuple(self.days)

    def dates(self, period: ServicePeriod) -> tuple[date, ...]:
        listed = self._dates
        return listed[bisect_left(listed, period.first) : bisect_right(listed, period.last)]

    def excluded_in(self, period: ServicePeriod) -> tuple[ExcludedReading, ...]:
        return tuple(reading for reading in self.excluded if period.covers(reading.day))

    @property
    def anchor(self) -> date | None:
        """The first date with a qualifying reading."""
        return next(iter(self.days), None)

    def periods(self, until: date, *, length: int) -> tuple[ServicePeriod, ...]:
        """Back-to-back device periods from the anchor; never moved to find more days."""
        return tuple(thirty_day_periods(self.anchor, until, length=length)) if self.anchor else ()


def _refusal(reading: Reading, day: date, device: Device | None, gates: DayGates) -> str | None:
    """Why a reading does not count; the first cause found is shown."""
    if reading.entry != "automatic" and not gates.self_reported:
        return "MANUAL_DATA"
    if device is None or not device.fda_defined or (gates.system is not None and reading.system != gates.system):
        return "DEVICE_NOT_QUALIFIED"
    if gates.ordered_on is not None and day < gates.ordered_on:
        return "NO_ORDER"
    if gates.consent_from is not None and reading.measured_at < gates.consent_from:
        return "NO_CONSENT"
    if gates.consent_until is not None and reading.measured_at >= gates.consent_until:
        return "CONSENT_REVOKED"
    if gates.setup_on is not None and day < gates.setup_on:
        return "CONDITIONS_NOT_MET"
    if gates.last_on is not None and day > gates.last_on:
        return "EPISODE_ENDED_EARLY"
    return None


def read_days(readings: Iterable[tuple[Reading, date]], devices: Mapping[str, Device], gates: DayGates) -> DayLedger:
    """The ledger of one enrolment. Readings come with their local date; earlier dates are no part of it."""
    days: dict[date, list[str]] = {}
    excluded: list[ExcludedReading] = []
    first_on = gates.first_on
    for reading, day in readings:
        if first_on is not None and day < first_on:
            continue
        reason = _refusal(reading, day, devices.get(reading.device), gates)
        if reason is None:
            days.setdefault(day, []).append(reading.id)
        else:
            excluded.append(ExcludedReading(reading=reading.id, day=day, reason=reason))
    return DayLedger(days={day: tuple(days[day]) for day in sorted(days)}, excluded=tuple(excluded))


def dated(readings: Iterable[Reading], zones: ZoneHistory, as_of: datetime) -> tuple[tuple[Reading, date], ...]:
    """Readings that had reached us by `as_of`, in order of time, each with the patient's local date."""
    known = sorted([reading for reading in readings if reading.received_at <= as_of], key=_IN_TIME)
    local_date = zones.local_date
    return tuple([(reading, local_date(reading.measured_at)) for reading in known])
