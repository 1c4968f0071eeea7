"""A stored reading as the engine takes it. Pure.

Input: the row's kind, components and flags (words of the decode contract). Output: a `Reading`, or None for kinds that
no rule knows (temperature): those are judged ok and fire nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from alerts.model import ABOVE_RANGE, BELOW_RANGE, Reading

KINDS: Final = {
    "blood-pressure": "bp",
    "glucose": "glucose",
    "weight": "weight",
    "spot-oximetry": "spo2",
}
_METRICS: Final = {
    "bp": ("systolic", "diastolic", "pulse-rate"),
    "glucose": ("glucose",),
    "weight": ("body-weight",),
    "spo2": ("spo2",),
}
_FLAGS: Final = {
    "body-movement": "movement",
    "cuff-loose": "cuff_loose",
    "improper-position": "position",
    "irregular-pulse": "irregular",
    "poor-signal": "poor_signal",
}
_KILOGRAMS_PER_POUND: Final = Decimal("0.45359237")  # exact, international pound of 1959
_HIGH: Final = "result-too-high"
_LOW: Final = "result-too-low"


def to_reading(
    *,
    message_id: str,
    kind: str,
    device_id: str,
    measured_at: datetime,
    arrived_at: datetime,
    local_date: date | None,
    sequence_number: int | None,
    user_id: int | None,
    components: Sequence[Mapping[str, Any]],
    flags: Iterable[str],
) -> Reading | None:
    """The engine's reading. A number that is absent stays absent; a meter's "too high" is HI, "too low" is LO."""
    short = KINDS.get(kind)
    if short is None:
        return None
    flags = tuple(flags)
    by_metric = {str(c.get("metric")): c for c in components}
    values = tuple(_value(by_metric.get(metric), short) for metric in _METRICS[short])
    if short == "glucose" and values[0] is None:
        values = (ABOVE_RANGE if _HIGH in flags else BELOW_RANGE if _LOW in flags else None,)
    return Reading(
        id=message_id,
        kind=short,
        measured_at=measured_at,
        arrived_at=arrived_at,
        values=values,
        day=(local_date or measured_at.date()).toordinal(),
        flags=tuple(_FLAGS[flag] for flag in flags if flag in _FLAGS),
        user=user_id,
        device=device_id,
        sequence=sequence_number,
    )


def _value(component: Mapping[str, Any] | None, kind: str) -> Decimal | None:
    if component is None:
        return None
    raw = component.get("value")
    if raw is None:
        if kind == "glucose":
            return {"positive-infinity": ABOVE_RANGE, "negative-infinity": BELOW_RANGE}.get(
                str(component.get("absent_reason"))
            )
        return None
    try:
        value = Decimal(str(raw))
    except InvalidOperation:
        return None
    if not value.is_finite():
        return None
    if kind == "weight":
        # Rounded to the hundredth of a pound: a scale's step is coarser, and 3 lb sent as kilograms is 3 lb again.
        return (value / _KILOGRAMS_PER_POUND).quantize(Decimal("0.01"))
    return value
