"""Seeded, plausible days of life: blood pressure, pulse and glucose of a virtual patient at any instant.

Input: a seed and a local time. Output: the same numbers for the same seed and time, in whatever order they are asked.
Shapes (not patients): diurnal rhythm with a night dip and a morning surge, meals as gamma-shaped glucose excursions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np

_MEAL_HOURS: Final = (7.5, 12.5, 18.5)
_MEAL_PEAK_HOURS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BloodPressureValues:
    """mmHg and beats a minute, whole numbers as devices show them."""

    systolic: Decimal
    diastolic: Decimal
    mean: Decimal
    pulse: Decimal


class VirtualPatient:
    """One person. All personal constants come from the seed; `hypertensive` and `diabetic` shift them."""

    def __init__(self, seed: int, *, hypertensive: bool = True, diabetic: bool = True) -> None:
        self._seed = seed
        person = np.random.default_rng([seed, 1])
        self._systolic = person.normal(138.0 if hypertensive else 118.0, 9.0)
        self._diastolic = 0.46 * self._systolic + person.normal(20.0, 4.0)
        self._pulse = person.normal(72.0, 7.0)
        self._fasting = person.normal(125.0, 18.0) if diabetic else person.normal(88.0, 5.0)
        self._meal_rise = person.uniform(40.0, 90.0) if diabetic else person.uniform(15.0, 35.0)

    def blood_pressure(self, at: datetime) -> BloodPressureValues:
        """Values at the person's local time `at`."""
        noise = self._noise(at, 2)
        rhythm = _diurnal(_hour(at))
        swing = noise.normal(0.0, 7.0)
        systolic = float(np.clip(self._systolic + 8.0 * rhythm + swing, 70.0, 240.0))
        diastolic = float(np.clip(self._diastolic + 4.5 * rhythm + 0.5 * swing + noise.normal(0.0, 3.0), 40.0, 140.0))
        diastolic = min(diastolic, systolic - 15.0)
        pulse = float(np.clip(self._pulse + 5.0 * rhythm + noise.normal(0.0, 4.0), 40.0, 160.0))
        mean = diastolic + (systolic - diastolic) / 3.0
        return BloodPressureValues(
            systolic=_whole(systolic), diastolic=_whole(diastolic), mean=_whole(mean), pulse=_whole(pulse)
        )

    def glucose(self, at: datetime) -> Decimal:
        """Capillary glucose in mg/dL, a whole number."""
        noise = self._noise(at, 3)
        hour = _hour(at)
        today = np.random.default_rng([self._seed, 4, at.toordinal()])
        rises = self._meal_rise * today.uniform(0.6, 1.4, size=len(_MEAL_HOURS))
        level = self._fasting + sum(
            rise * _excursion(hour - meal) for rise, meal in zip(rises, _MEAL_HOURS, strict=True)
        )
        return _whole(float(np.clip(level * noise.normal(1.0, 0.05), 25.0, 550.0)))

    def _noise(self, at: datetime, stream: int) -> np.random.Generator:
        minute = at.toordinal() * 1440 + at.hour * 60 + at.minute
        return np.random.default_rng([self._seed, stream, minute])


def _hour(at: datetime) -> float:
    return at.hour + at.minute / 60.0


def _diurnal(hour: float) -> float:
    """About -1.4 at night, about +1 in the late morning."""
    return math.cos((hour - 11.0) / 24.0 * 2.0 * math.pi) + 0.4 * math.cos((hour - 8.0) / 12.0 * 2.0 * math.pi)


def _excursion(hours_since_meal: float) -> float:
    """0 before the meal, 1 at its peak, back to a tenth after about five hours."""
    if hours_since_meal <= 0.0:
        return 0.0
    ratio = hours_since_meal / _MEAL_PEAK_HOURS
    return ratio * math.exp(1.0 - ratio)


def _whole(value: float) -> Decimal:
    return Decimal(round(value))
