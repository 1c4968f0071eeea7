"""Moments in which no second of the patient's time counts, or in which a second is in doubt. Pure.

Input: consent windows, stays, enrolments, work for other patients, the month. Output: closed spans, each with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from server.billing.calendar import ONE_DAY, ServicePeriod, ZoneHistory, microseconds, midnight
from server.billing.fact_types import Elsewhere, Enrollment, Stay, TimeEntry
from server.billing.time_ledger import DISPUTED, ClosedSpan, Span

CONSENT_PROGRAMS: Final = frozenset({"rpm", "rtm", "ccm", "pcm", "apcm", "bhi", "cocm", "data-review"})
_ALWAYS: Final = (-(1 << 62), 1 << 62)
_LONG: Final = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentWindow:
    """From the grant to the moment the stop takes effect."""

    start: datetime
    end: datetime | None
    place: int


def consent_gates(windows: Sequence[ConsentWindow]) -> Iterator[ClosedSpan]:
    """Before, between and after the windows, oldest first."""
    reason = "NO_CONSENT"
    closed_from = _ALWAYS[0]
    for window in windows:
        start = microseconds(window.start)
        if start > closed_from:
            yield ClosedSpan(start=closed_from, end=start, reason=reason, with_=())
        if window.end is None:
            return
        closed_from = max(closed_from, microseconds(window.end))
        reason = "CONSENT_REVOKED"
    yield ClosedSpan(start=closed_from, end=_ALWAYS[1], reason=reason)


def stay_gates(stays: Sequence[Stay], month: ServicePeriod, zones: ZoneHistory) -> Iterator[ClosedSpan]:
    """The days of each stay, whole, in the zone the patient was in."""
    for place, stay in enumerate(stays):
        low = _begin_of(stay.from_, zones.zone_on(stay.from_), month)
        high = _end_of(stay.to, zones.zone_on(stay.to or stay.from_), month)
        yield ClosedSpan(start=low, end=high, reason="INPATIENT_TIME", with_=(f"stays/{place}",))


def enrollment_gates(enrollments: Sequence[Enrollment], month: ServicePeriod, zone: str) -> Iterator[ClosedSpan]:
    """Before, between and after the enrolments of a course, oldest first."""
    closed_from, reason = _ALWAYS[0], "CONDITIONS_NOT_MET"
    for enrollment in enrollments:
        start = _begin_of(enrollment.from_, zone, month)
        if start > closed_from:
            yield ClosedSpan(start=closed_from, end=start, reason=reason)
        if enrollment.to is None:
            return
        closed_from = max(closed_from, _end_of(enrollment.to, zone, month))
        reason = "CONSENT_REVOKED" if enrollment.end_reason == "consent-withdrawn" else "EPISODE_ENDED_EARLY"
    yield ClosedSpan(start=closed_from, end=_ALWAYS[1], reason=reason)


def bookings(elsewhere: Sequence[Elsewhere], patient: str) -> Mapping[str, tuple[ClosedSpan, ...]]:
    """By performer: what the same people did for other patients."""
    found: dict[str, tuple[ClosedSpan, ...]] = {}
    for place, other in enumerate(elsewhere):
        if other.patient != patient:
            span = ClosedSpan(
                start=microseconds(other.start),
                end=microseconds(other.end),
                reason=DISPUTED,
                with_=(f"elsewhere/{place}",),
            )
            found[other.performer] = (*found.get(other.performer, ()), span)
    return found


def cross_program(entries: Mapping[str, tuple[TimeEntry, Span]]) -> Mapping[str, tuple[ClosedSpan, ...]]:
    """By entry: moments at which the same person also logged another program. They count for neither."""
    by_performer: dict[str, list[tuple[TimeEntry, Span]]] = {}
    for entry, span in entries.values():
        if not entry.automated:
            by_performer.setdefault(entry.performer, []).append((entry, span))
    found: dict[str, list[ClosedSpan]] = {}
    for mine in by_performer.values():
        for place, (one, span) in enumerate(mine):
            for other, theirs in mine[place + 1 :]:
                if theirs[0] >= span[1]:
                    break  # entries come in order of their start
                if other.program != one.program:
                    found.setdefault(one.id, []).append(_disputed(theirs, other))
                    found.setdefault(other.id, []).append(_disputed(span, one))
    return {name: tuple(spans) for name, spans in found.items()}


def _disputed(span: Span, by: TimeEntry) -> ClosedSpan:
    return ClosedSpan(start=span[0], end=span[1], reason="OVERLAP_CROSS_PROGRAM", with_=(by.id,))


def _begin_of(day: date, zone_name: str, month: ServicePeriod) -> int:
    """The instant a date begins; one long before the month is as good as always (and may have no instant)."""
    return midnight(day, zone_name) if day > month.first - _LONG else _ALWAYS[0]


def _end_of(day: date | None, zone_name: str, month: ServicePeriod) -> int:
    """The instant after a date; none, or one long after the month such as 9999-12-31, is as good as never."""
    return _ALWAYS[1] if day is None or day > month.last + _LONG else midnight(day + ONE_DAY, zone_name)
