"""Seven-day mean of home blood pressure, as the alert reference defines it. Pure.

Input: readings the quality gate called `ok`, with their patient-local day. Output: a mean to one decimal, or the reason
why there is none: under 12 readings or under 3 days a number would look surer than it is (home protocol, JCH 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

WINDOW: Final = timedelta(days=7)
MIN_READINGS: Final = 12
MIN_DAYS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """One usable reading, mmHg."""

    at: datetime
    day: date
    systolic: Decimal
    diastolic: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """`systolic` and `diastolic` are None when there are not enough readings."""

    readings: int
    days: int
    systolic: Decimal | None
    diastolic: Decimal | None


def seven_day_mean(readings: Sequence[Pressure], now: datetime) -> Mean:
    """Readings of (now - 7 days, now]."""
    recent = [reading for reading in readings if now - WINDOW < reading.at <= now]
    days = len({reading.day for reading in recent})
    if len(recent) < MIN_READINGS or days < MIN_DAYS:
        return Mean(readings=len(recent), days=days, systolic=None, diastolic=None)
    return Mean(
        readings=len(recent),
        days=days,
        systolic=_mean([reading.systolic for reading in recent]),
        diastolic=_mean([reading.diastolic for reading in recent]),
    )


def _mean(values: Sequence[Decimal]) -> Decimal:
    return (sum(values, Decimal(0)) / len(values)).quantize(Decimal("0.1"), ROUND_HALF_UP)
