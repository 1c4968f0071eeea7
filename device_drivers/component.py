"""From a number on the wire to one component of a measurement, with the judgement whether it can be true.

Input: metric, number, unit sent. Output: `Judged`: the component in the unit we keep, and whether the metric can mean
it. Components are immutable, so equal ones are made once: a cuff says "80 mmHg" all day.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from device_drivers.ieee11073 import Number, decode_sfloat
from device_drivers.measurement import Component, Metric
from device_drivers.terminology import TERMS, is_reportable
from device_drivers.units import convert

_CACHE_SIZE: Final = 8192  # a few hundred octets each: at most some megabytes, and bounded


class Judged(NamedTuple):
    """A component and whether its value lies within the reportable range. An absent value is no lie."""

    component: Component
    reportable: bool


def judge(metric: Metric, number: Number, reported_unit: str) -> Judged:
    """The component in the unit we keep. Conversion is exact decimal arithmetic."""
    unit = TERMS[metric].unit
    value = None if number.value is None else convert(number.value, reported_unit, unit)
    component = Component(
        metric=metric,
        value=value,
        unit=unit,
        reported_value=number.value,
        reported_unit=reported_unit,
        absent_reason=number.absent_reason,
    )
    return Judged(component, value is None or is_reportable(metric, value))


@lru_cache(maxsize=_CACHE_SIZE)
def judge_sfloat(metric: Metric, raw: int, reported_unit: str) -> Judged:
    """The component of a raw SFLOAT that is sent in a unit people read."""
    return judge(metric, decode_sfloat(raw), reported_unit)
