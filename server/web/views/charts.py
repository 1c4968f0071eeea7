"""Readings of the last fortnight as chart data and as a table, the same facts twice. Pure.

Input: observations of one patient, whatever their quality, and changes of medicine. Output: numbers for the drawing
script, rows for people. Quarantined readings are shown and marked, and are in no mean.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from server.care.pressure_summary import Mean, Pressure, seven_day_mean
from server.db.observations import Observation
from server.db.patients import MedicationChange
from server.web.formatting import iso, local_when, plain, unit

WINDOW: Final = timedelta(days=14)
_QUALITY_WORDS: Final = {
    "ok": "",
    "accepted": "not judged yet",
    "suspect": "suspect",
    "quarantined": "not plausible, not counted",
    "unassigned": "perhaps another person, not counted",
    "duplicate": "sent twice, not counted",
    "no-value": "no value",
    "control-solution": "control test, not counted",
}
_FLAG_WORDS: Final = {
    "body-movement": "movement",
    "cuff-too-loose": "cuff loose",
    "irregular-pulse": "irregular pulse",
    "improper-position": "position",
}
_COUNTED: Final = frozenset({"ok", "accepted"})
_ABSENT_WORDS: Final = {"positive-infinity": "HI", "negative-infinity": "LO"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingLine:
    """One row of the table twin. `mark` is the quality in words."""

    when: str
    at: str
    value: str
    extra: str
    mark: str
    counted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One drawing and its table. `data` is JSON for the script."""

    kind: str
    title: str
    label: str
    data: str
    lines: tuple[ReadingLine, ...]
    summary: str
    key: str


def pressure_chart(
    readings: Sequence[Observation], changes: Sequence[MedicationChange], *, zone: ZoneInfo, now: datetime
) -> Chart | None:
    own = [reading for reading in readings if reading.kind == "blood-pressure"]
    if not own:
        return None
    usable = [pressure for reading in own if (pressure := _pressure(reading, zone)) is not None]
    mean = seven_day_mean(usable, now)
    points = [
        {
            "t": int(reading.measured_at.timestamp()),
            "sys": _float(reading, "systolic"),
            "dia": _float(reading, "diastolic"),
            "ok": reading.verdict in _COUNTED,
        }
        for reading in own
    ]
    trend = [
        {"t": int(pressure.at.timestamp()), "sys": float(so_far.systolic), "dia": float(so_far.diastolic or 0)}
        for pressure in usable
        if (so_far := seven_day_mean(usable, pressure.at)).systolic is not None
    ]
    data = {
        "from": int((now - WINDOW).timestamp()),
        "to": int(now.timestamp()),
        "zone": zone.key,
        "points": points,
        "mean": trend,
        "changes": [
            {"t": _midday(change.changed_on, zone), "label": change.description}
            for change in changes
            if change.changed_on >= (now - WINDOW).astimezone(zone).date()
        ],
    }
    return Chart(
        kind="pressure",
        title="Blood pressure, 14 days",
        label=f"Chart of {len(own)} blood pressure readings in 14 days. {mean_words(mean)} The table has each one.",
        data=json.dumps(data),
        lines=tuple(_pressure_line(reading, zone, now) for reading in reversed(own)),
        summary=mean_words(mean),
        key="Bars from diastolic to systolic; crosses are not counted. Blue: 7-day mean. Shaded from 135 and from 180;"
        " dashed lines at 180 and 120.",
    )


def glucose_chart(readings: Sequence[Observation], *, zone: ZoneInfo, now: datetime) -> Chart | None:
    own = [reading for reading in readings if reading.kind == "glucose"]
    if not own:
        return None
    data = {
        "from": int((now - WINDOW).timestamp()),
        "to": int(now.timestamp()),
        "zone": zone.key,
        "points": [
            {
                "t": int(reading.measured_at.timestamp()),
                "v": _float(reading, "glucose"),
                "ok": reading.verdict in _COUNTED,
            }
            for reading in own
        ],
    }
    return Chart(
        kind="glucose",
        title="Glucose, 14 days",
        label=f"Chart of {len(own)} glucose readings in 14 days. The table below has each one.",
        data=json.dumps(data),
        lines=tuple(_glucose_line(reading, zone, now) for reading in reversed(own)),
        summary=_share_words(own),
        key="Dots are finger-stick readings; crosses are not counted. Shaded 70 to 180; dashed lines at 54 and 300.",
    )


def mean_words(mean: Mean) -> str:
    if mean.systolic is None or mean.diastolic is None:
        return f"7-day mean: not enough readings ({mean.readings} on {mean.days} days; 12 on 3 days are needed)."
    return (
        f"7-day mean {plain(mean.systolic)}/{plain(mean.diastolic)} mmHg"
        f" ({mean.readings} readings on {mean.days} days)."
    )


def _share_words(own: Sequence[Observation]) -> str:
    """Share of finger-stick readings in range; never called time in range, which needs a continuous sensor."""
    values = [value for reading in own if reading.verdict in _COUNTED and (value := number(reading, "glucose"))]
    if not values:
        return "No counted readings."
    inside = sum(1 for value in values if Decimal(70) <= value <= Decimal(180))
    low = sum(1 for value in values if value < Decimal(70))
    return f"{inside} of {len(values)} readings in 70 to 180 mg/dL, {low} below 70."


def number(reading: Observation, metric: str) -> Decimal | None:
    component = _component(reading, metric)
    return None if component is None or component.get("value") is None else Decimal(str(component["value"]))


def value_words(reading: Observation) -> str:
    """The reading as a clinician says it: `152/94 mmHg, pulse 71`, `HI mg/dL`."""
    if reading.kind == "blood-pressure":
        pair = f"{_words(reading, 'systolic')}/{_words(reading, 'diastolic')} mmHg"
        pulse = number(reading, "pulse-rate")
        return pair if pulse is None else f"{pair}, pulse {plain(pulse)}"
    component = next(iter(reading.components), None)
    if component is None:
        return "no value"
    return f"{_words(reading, str(component['metric']))} {unit(str(component['unit']))}"


def _words(reading: Observation, metric: str) -> str:
    value = number(reading, metric)
    if value is not None:
        return plain(value)
    component = _component(reading, metric) or {}
    return _ABSENT_WORDS.get(str(component.get("absent_reason")), "-")


def _component(reading: Observation, metric: str) -> dict[str, Any] | None:
    return next((component for component in reading.components if component["metric"] == metric), None)


def _float(reading: Observation, metric: str) -> float | None:
    value = number(reading, metric)
    return None if value is None else float(value)


def _pressure(reading: Observation, zone: ZoneInfo) -> Pressure | None:
    systolic, diastolic = number(reading, "systolic"), number(reading, "diastolic")
    if reading.verdict not in _COUNTED or systolic is None or diastolic is None:
        return None
    day = reading.local_date or reading.measured_at.astimezone(zone).date()
    return Pressure(at=reading.measured_at, day=day, systolic=systolic, diastolic=diastolic)


def _pressure_line(reading: Observation, zone: ZoneInfo, now: datetime) -> ReadingLine:
    pulse = number(reading, "pulse-rate")
    return _line(
        reading,
        zone,
        now,
        value=f"{_words(reading, 'systolic')}/{_words(reading, 'diastolic')}",
        extra="-" if pulse is None else plain(pulse),
    )


def _glucose_line(reading: Observation, zone: ZoneInfo, now: datetime) -> ReadingLine:
    meal = reading.context.get("meal")
    return _line(reading, zone, now, value=_words(reading, "glucose"), extra=str(meal) if meal else "-")


def _line(reading: Observation, zone: ZoneInfo, now: datetime, *, value: str, extra: str) -> ReadingLine:
    words = [_QUALITY_WORDS.get(reading.verdict, reading.verdict)]
    words += [_FLAG_WORDS.get(flag, flag.replace("-", " ")) for flag in reading.flags]
    if reading.time_quality == "received-at":
        words.append("time of receipt")
    return ReadingLine(
        when=local_when(reading.measured_at, zone, now),
        at=iso(reading.measured_at),
        value=value,
        extra=extra,
        mark=", ".join(word for word in words if word),
        counted=reading.verdict in _COUNTED,
    )


def _midday(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(12), zone).timestamp())
