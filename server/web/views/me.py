"""The patient's own page: the last reading in plain words and what to do now. Pure.

Input: the patient's rows, the language's words, the patient's zone, `now`. Output: ready strings and charts. Alerts and
the care team's notes are not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from server.db.observations import USABLE, Observation, ReadingDay
from server.web import formatting
from server.web.charts import ChartWords, GlucosePoint, PressurePoint, glucose_chart, pressure_chart
from server.web.views.me_words import Words

CALENDAR_DAYS: Final = 30
_NO_VALUE: Final = "\u2013"
# Advice on a reading older than this would be about another moment.
_FRESH: Final = timedelta(hours=12)
# The adult default limits, the same numbers as alerts/policies/adult_default_v3.yaml.
_GOAL: Final = (130, 80)
_SEVERE: Final = (180, 120)
_LOW: Final = (90, 50)
_VERY_LOW_SYSTOLIC: Final = 80
_GLUCOSE_RANGE: Final = (70, 180)  # ATTD/ADA time-in-range limits, mg/dL
_GLUCOSE_VERY_LOW: Final = 54
_GLUCOSE_VERY_HIGH: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a value means and what to do; `urgent` draws a frame around it, words say it too."""

    meaning: str
    action: str
    urgent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReading:
    """The newest reading in big letters."""

    value: str
    kind: str
    detail: str
    when: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientDay:
    """One day of the calendar."""

    number: str
    words: str
    measured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing and the same as a table."""

    svg: Markup
    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MePage:
    """The whole page."""

    hello: str
    last: LastReading | None
    action: str
    urgent: bool
    goal: str | None
    goal_limits: str | None
    days: tuple[PatientDay, ...]
    days_count: str
    charts: tuple[Chart, ...]
    call: str
    phone: str | None
    seen_by: tuple[str, ...]


def me_page(
    *,
    name: str,
    goal: str | None,
    alert_profile: Mapping[str, Any],
    practice_name: str,
    practice_phone: str | None,
    readings: Sequence[Observation],
    pressure: Sequence[Observation],
    glucose: Sequence[Observation],
    days: Sequence[ReadingDay],
    seen_by: Sequence[tuple[str, datetime]],
    words: Words,
    zone: ZoneInfo,
    now: datetime,
) -> MePage:
    """`readings` newest first; `pressure` and `glucose` oldest first, of the days the calendar shows."""
    limits = goal_of(alert_profile)
    today = now.astimezone(zone).date()
    newest = readings[0] if readings else None
    advice = advice_for(newest, limits, words) if newest is not None else None
    return MePage(
        hello=words.hello.format(name=name),
        last=_last(newest, advice, words, zone, now) if newest is not None and advice is not None else None,
        action=_action(newest, advice, days, words, now=now, today=today),
        urgent=bool(advice and advice.urgent and newest and now - newest.measured_at <= _FRESH),
        goal=goal,
        goal_limits=words.goal_pressure.format(systolic=limits[0], diastolic=limits[1]) if pressure else None,
        days=calendar(days, today=today, words=words),
        days_count=words.one_day_count if len(days) == 1 else words.days_count.format(count=len(days)),
        charts=_charts(pressure, glucose, limits, words, zone, now, today),
        call=(words.call_team_phone if practice_phone else words.call_team).format(practice=practice_name),
        phone=practice_phone,
        seen_by=tuple(f"{who}, {_when(at, zone, words, now)}" for who, at in seen_by),
    )


def goal_of(alert_profile: Mapping[str, Any]) -> tuple[int, int]:
    """The patient's own goal (systolic, diastolic) in mmHg, else the adult default."""
    return int(alert_profile.get("goal_sys", _GOAL[0])), int(alert_profile.get("goal_dia", _GOAL[1]))


def advice_for(reading: Observation, goal: tuple[int, int], words: Words) -> Advice:
    """What a reading means for the patient. The limits are those the alert rules use."""
    if reading.verdict not in USABLE:
        return Advice(meaning=words.unusable, action=words.do_measure_again, urgent=False)
    if reading.kind == "blood-pressure":
        upper, lower = number(reading, "systolic"), number(reading, "diastolic")
        if upper is None or lower is None:
            return Advice(meaning=words.unusable, action=words.do_measure_again, urgent=False)
        return _pressure_advice(upper, lower, goal, words)
    if reading.kind == "glucose":
        value = number(reading, "glucose")
        if value is None:
            return Advice(meaning=words.unusable, action=words.do_measure_again, urgent=False)
        return _glucose_advice(value, words)
    return Advice(meaning="", action=words.do_nothing, urgent=False)


def _pressure_advice(upper: Decimal, lower: Decimal, goal: tuple[int, int], words: Words) -> Advice:
    if upper > _SEVERE[0] or lower > _SEVERE[1]:
        return Advice(meaning=words.very_high, action=words.do_very_high, urgent=True)
    if upper < _VERY_LOW_SYSTOLIC:
        return Advice(meaning=words.very_low, action=words.do_very_low, urgent=True)
    if upper < _LOW[0] or lower < _LOW[1]:
        return Advice(meaning=words.low, action=words.do_low, urgent=False)
    if upper >= goal[0] or lower >= goal[1]:
        return Advice(meaning=words.above_goal, action=words.do_above, urgent=False)
    return Advice(meaning=words.in_range, action=words.do_nothing, urgent=False)


def _glucose_advice(value: Decimal, words: Words) -> Advice:
    if value < _GLUCOSE_VERY_LOW:
        return Advice(meaning=words.glucose_very_low, action=words.do_glucose_very_low, urgent=True)
    if value < _GLUCOSE_RANGE[0]:
        return Advice(meaning=words.glucose_low, action=words.do_glucose_low, urgent=True)
    if value > _GLUCOSE_VERY_HIGH:
        return Advice(meaning=words.glucose_very_high, action=words.do_glucose_very_high, urgent=True)
    if value > _GLUCOSE_RANGE[1]:
        return Advice(meaning=words.glucose_above, action=words.do_glucose_above, urgent=False)
    return Advice(meaning=words.glucose_in_range, action=words.do_nothing, urgent=False)


def calendar(days: Sequence[ReadingDay], *, today: date, words: Words) -> tuple[PatientDay, ...]:
    """The last thirty days in order, today last."""
    measured = {item.day for item in days}
    shown = [today - timedelta(days=back) for back in range(CALENDAR_DAYS - 1, -1, -1)]
    return tuple(
        PatientDay(
            number=str(day.day),
            words=(words.day_with if day in measured else words.day_without).format(
                day=formatting.spoken_day(day, words.language)
            ),
            measured=day in measured,
        )
        for day in shown
    )


def number(reading: Observation, metric: str) -> Decimal | None:
    """The value of one component; None when it is absent."""
    for component in reading.components:
        if component["metric"] == metric and component.get("value") is not None:
            return Decimal(str(component["value"]))
    return None


def _action(
    newest: Observation | None,
    advice: Advice | None,
    days: Sequence[ReadingDay],
    words: Words,
    *,
    now: datetime,
    today: date,
) -> str:
    if newest is None or advice is None:
        return words.no_reading_do
    if now - newest.measured_at <= _FRESH:
        return advice.action
    return words.do_nothing if any(item.day == today for item in days) else words.do_measure_today


def _last(reading: Observation, advice: Advice, words: Words, zone: ZoneInfo, now: datetime) -> LastReading:
    detail = ""
    if reading.kind == "blood-pressure":
        pulse = number(reading, "pulse-rate")
        detail = words.pulse.format(pulse=_whole(pulse)) if pulse is not None else ""
    return LastReading(
        value=_value(reading, words),
        kind=words.glucose_words if reading.kind == "glucose" else words.pressure_words,
        detail=detail,
        when=_when(reading.measured_at, zone, words, now),
        meaning=advice.meaning,
    )


def _value(reading: Observation, words: Words) -> str:
    if reading.kind == "glucose":
        value = number(reading, "glucose")
        return words.glucose.format(value=_whole(value)) if value is not None else _NO_VALUE
    upper, lower = number(reading, "systolic"), number(reading, "diastolic")
    if upper is None or lower is None:
        return _NO_VALUE
    return words.pressure.format(systolic=_whole(upper), diastolic=_whole(lower))


def _whole(value: Decimal) -> str:
    """As meters show it: no decimals."""
    return formatting.plain(value.quantize(Decimal(1)))


def _when(at: datetime, zone: ZoneInfo, words: Words, now: datetime) -> str:
    return formatting.spoken_when(at, zone, words.language, now=now, today=words.today, yesterday=words.yesterday)


def _charts(
    pressure: Sequence[Observation],
    glucose: Sequence[Observation],
    goal: tuple[int, int],
    words: Words,
    zone: ZoneInfo,
    now: datetime,
    today: date,
) -> tuple[Chart, ...]:
    first = today - timedelta(days=CALENDAR_DAYS - 1)
    found: list[Chart] = []
    pressures = [
        (reading, upper, lower)
        for reading in pressure
        if (upper := number(reading, "systolic")) is not None and (lower := number(reading, "diastolic")) is not None
    ]
    if pressures:
        uppers, lowers = [item[1] for item in pressures], [item[2] for item in pressures]
        description = words.chart_pressure_words.format(
            count=len(pressures),
            low=_whole(min(uppers)),
            high=_whole(max(uppers)),
            low2=_whole(min(lowers)),
            high2=_whole(max(lowers)),
        )
        found.append(
            Chart(
                svg=pressure_chart(
                    [_pressure_point(reading, upper, lower, zone) for reading, upper, lower in pressures],
                    first=first,
                    last=today,
                    goal_systolic=float(goal[0]),
                    words=_chart_words(
                        words.chart_pressure, description, words, first, today, goal=goal[0], unit="mmHg"
                    ),
                ),
                title=words.chart_pressure,
                rows=tuple(
                    (_when(r.measured_at, zone, words, now), _value(r, words)) for r, _, _ in reversed(pressures)
                ),
            )
        )
    sugars = [(reading, value) for reading in glucose if (value := number(reading, "glucose")) is not None]
    if sugars:
        values = [item[1] for item in sugars]
        description = words.chart_glucose_words.format(
            count=len(sugars), low=_whole(min(values)), high=_whole(max(values))
        )
        found.append(
            Chart(
                svg=glucose_chart(
                    [_glucose_point(reading, value, zone) for reading, value in sugars],
                    first=first,
                    last=today,
                    low=float(_GLUCOSE_RANGE[0]),
                    high=float(_GLUCOSE_RANGE[1]),
                    words=_chart_words(words.chart_glucose, description, words, first, today, goal=None, unit="mg/dL"),
                ),
                title=words.chart_glucose,
                rows=tuple((_when(r.measured_at, zone, words, now), _value(r, words)) for r, _ in reversed(sugars)),
            )
        )
    return tuple(found)


def _chart_words(
    title: str, description: str, words: Words, first: date, last: date, *, goal: int | None, unit: str
) -> ChartWords:
    return ChartWords(
        title=title,
        description=description,
        first_day=formatting.spoken_day(first, words.language),
        last_day=formatting.spoken_day(last, words.language),
        goal=words.chart_range if goal is None else words.chart_goal.format(value=goal),
        unit=unit,
    )


def _hour(local: datetime) -> float:
    return local.hour + local.minute / 60


def _pressure_point(reading: Observation, upper: Decimal, lower: Decimal, zone: ZoneInfo) -> PressurePoint:
    local = reading.measured_at.astimezone(zone)
    return PressurePoint(day=local.date(), hour=_hour(local), systolic=float(upper), diastolic=float(lower))


def _glucose_point(reading: Observation, value: Decimal, zone: ZoneInfo) -> GlucosePoint:
    local = reading.measured_at.astimezone(zone)
    return GlucosePoint(day=local.date(), hour=_hour(local), value=float(value))
