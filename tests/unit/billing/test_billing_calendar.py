"""Months, device periods, local dates and business days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from server.billing.calendar import (
    MICROSECONDS,
    UnknownZoneError,
    ZoneHistory,
    bounds,
    business_days_after,
    clock_text,
    federal_holidays,
    month_period,
    seconds_text,
    thirty_day_periods,
    zone,
)


@pytest.mark.parametrize(("month", "last"), [("2024-02", 29), ("2025-02", 28), ("2026-12", 31), ("2026-04", 30)])
def test_month_ends_on_its_last_day(month: str, last: int) -> None:
    assert month_period(month).last.day == last


@pytest.mark.parametrize(("month", "hours"), [("2026-03", 743), ("2026-11", 721), ("2026-06", 720)])
def test_month_in_new_york_has_the_hours_of_its_clock_changes(month: str, hours: int) -> None:
    low, high = bounds(month_period(month), "America/New_York")

    assert (high - low) // MICROSECONDS == hours * 3600


def test_thirty_day_periods_across_february() -> None:
    found = list(thirty_day_periods(date(2026, 1, 15), date(2026, 3, 31), length=30))

    assert [(p.first.isoformat(), p.last.isoformat()) for p in found] == [
        ("2026-01-15", "2026-02-13"),
        ("2026-02-14", "2026-03-15"),
        ("2026-03-16", "2026-04-14"),
    ]


def test_both_sides_of_the_repeated_hour_are_one_date() -> None:
    zones = ZoneHistory([], "America/New_York")
    before = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)

    assert zones.local_date(before) == zones.local_date(before + timedelta(hours=1)) == date(2026, 11, 1)


def test_last_second_of_a_day_belongs_to_it() -> None:
    zones = ZoneHistory([], "America/New_York")

    assert zones.local_date(datetime(2026, 11, 2, 4, 59, 59, tzinfo=UTC)) == date(2026, 11, 1)
    assert zones.local_date(datetime(2026, 11, 2, 5, 0, 0, tzinfo=UTC)) == date(2026, 11, 2)


def test_before_the_first_known_zone_the_first_is_taken() -> None:
    zones = ZoneHistory([(date(2026, 5, 1), "Pacific/Honolulu"), (date(2026, 1, 1), "UTC")], "UTC")

    assert zones.zone_on(date(2020, 1, 1)) == "UTC"
    assert zones.zone_on(date(2026, 5, 1)) == "Pacific/Honolulu"


@pytest.mark.parametrize("name", ["EST5", "Mars/Base", "../etc", "", "america/nowhere"])
def test_unknown_zone_is_said(name: str) -> None:
    with pytest.raises(UnknownZoneError, match="IANA"):
        zone(name)


def test_seconds_are_never_rounded() -> None:
    assert seconds_text(1_199_999_000) == "1199.999"
    assert clock_text(1_199_999_000) == "19:59"
    assert seconds_text(1_200_000_000) == "1200"


@pytest.mark.parametrize(
    ("discharged", "deadline"),
    [
        ("2026-05-04", "2026-05-06"),  # Monday → Wednesday
        ("2026-05-08", "2026-05-12"),  # Friday → Tuesday
        ("2026-05-22", "2026-05-27"),  # Friday before Memorial Day (25 May) → Wednesday
        ("2026-07-01", "2026-07-06"),  # 4 July 2026 is a Saturday, observed on Friday 3 July
        ("2026-12-23", "2026-12-28"),  # Thursday, Christmas on Friday → Monday
    ],
)
def test_two_business_days(discharged: str, deadline: str) -> None:
    assert business_days_after(date.fromisoformat(discharged), 2) == date.fromisoformat(deadline)


def test_federal_holidays_of_2026() -> None:
    """As published by the Office of Personnel Management."""
    assert sorted(day.isoformat() for day in federal_holidays(2026)) == [
        "2026-01-01",
        "2026-01-19",
        "2026-02-16",
        "2026-05-25",
        "2026-06-19",
        "2026-07-03",
        "2026-09-07",
        "2026-10-12",
        "2026-11-11",
        "2026-11-26",
        "2026-12-25",
    ]
