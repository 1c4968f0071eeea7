"""The ledgers of the month page: the calendar of each device period, and the time entries with what counted. Pure.

Input: an adjudication (vitalwire.adjudication/1), its facts, names of performers, the viewer's zone. Output: rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from server.web import formatting
from server.web.views.month_words import instant, length_of, program_name, reason_words


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarDay:
    """One day of a device period: `state` is `reading`, `excluded`, `none` or `ahead`; words say it aloud."""

    number: str
    words: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The days of one device period in order."""

    name: str
    count: str
    days: tuple[CalendarDay, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRow:
    """One time entry: what counted and what did not, and why."""

    id: str
    anchor: str
    when: str
    who: str
    program: str
    what: str
    length: str
    counted: str
    excluded: tuple[str, ...]


def calendar(period: Mapping[str, Any], *, today: date) -> Calendar:
    """Every day of a device period in words."""
    first = date.fromisoformat(period["period"]["from"])
    last = date.fromisoformat(period["period"]["to"])
    reading_days = {date.fromisoformat(day) for day in period["dates"]}
    excluded: dict[date, str] = {}
    for item in period.get("excluded", ()):
        excluded.setdefault(date.fromisoformat(item["date"]), reason_words(item["reason"]))
    days = tuple(
        _calendar_day(first + timedelta(days=offset), reading_days, excluded, today)
        for offset in range((last - first).days + 1)
    )
    count = len(reading_days)
    return Calendar(
        name=f"{formatting.day(first)} to {formatting.day(last)}",
        count="1 reading day" if count == 1 else f"{count} reading days",
        days=days,
    )


def _calendar_day(day: date, reading_days: set[date], excluded: Mapping[date, str], today: date) -> CalendarDay:
    if day in reading_days:
        state, words = "reading", "reading"
    elif day in excluded:
        state, words = "excluded", f"not counted: {excluded[day]}"
    elif day > today:
        state, words = "ahead", "still to come"
    else:
        state, words = "none", "no reading"
    return CalendarDay(number=str(day.day), words=f"{formatting.day(day)}: {words}", state=state)


def time_rows(
    adjudication: Mapping[str, Any], facts: Mapping[str, Any], names: Mapping[str, str], zone: ZoneInfo
) -> list[TimeRow]:
    """Every entry of the month in order of its start."""
    verdicts = {item["entry"]: item for item in adjudication["time"]}
    rows: list[TimeRow] = []
    for entry in sorted(facts.get("time_entries", ()), key=lambda item: (instant(item["start"]), str(item["id"]))):
        verdict = verdicts.get(entry["id"])
        if verdict is None:
            continue
        start, end = instant(entry["start"]), instant(entry["end"])
        activity = str(entry["activity"]).replace("-", " ")
        with_whom = (
            f", live with {str(entry['with']).replace('-', ' ')}" if entry.get("live") and entry.get("with") else ""
        )
        rows.append(
            TimeRow(
                id=entry["id"],
                anchor=f"entry-{entry['id']}",
                when=f"{formatting.local_date(start, zone)}, {formatting.local_time(start, zone)}",
                who=names.get(entry["performer"], entry["performer"]),
                program=program_name(verdict["program"]),
                what=f"{activity}{with_whom}",
                length=formatting.stopwatch(int((end - start).total_seconds())),
                counted=length_of(verdict["counted_seconds"]),
                excluded=tuple(
                    f"{length_of(item['seconds'])} not counted: {reason_words(item['reason'])}"
                    for item in verdict["excluded"]
                ),
            )
        )
    return rows


def time_totals(adjudication: Mapping[str, Any]) -> list[str]:
    """What counted of each program in the month."""
    sums: dict[str, Decimal] = {}
    for item in adjudication["time"]:
        name = program_name(item["program"])
        sums[name] = sums.get(name, Decimal(0)) + Decimal(str(item["counted_seconds"]))
    return [f"{name}: {formatting.stopwatch(int(seconds))} counted" for name, seconds in sorted(sums.items())]
