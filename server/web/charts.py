"""Charts as SVG made on the server: they print, scale, need no script and speak to screen readers. Pure.

Input: points in the viewer's own days and hours, limits, words in the viewer's language. Output: one SVG element.
Styling is by class alone (the content policy forbids inline style); colour is never the only sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from markupsafe import Markup, escape

_WIDTH: Final = 400
_HEIGHT: Final = 240
_LEFT: Final = 48
_RIGHT: Final = 12
_TOP: Final = 14
_BOTTOM: Final = 34


@dataclass(frozen=True, slots=True, kw_only=True)
class PressurePoint:
    """One blood-pressure reading: the patient's date, hour of the day (0 to 24) and mmHg."""

    day: date
    hour: float
    systolic: float
    diastolic: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucosePoint:
    """One glucose reading in mg/dL."""

    day: date
    hour: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartWords:
    """Everything a chart says, in one language. `title` and `description` are read aloud."""

    title: str
    description: str
    first_day: str
    last_day: str
    goal: str
    unit: str


def pressure_chart(
    points: Sequence[PressurePoint], *, first: date, last: date, goal_systolic: float | None, words: ChartWords
) -> Markup:
    """A bar from the lower to the upper value for each reading, with end dots, over the days first to last."""
    scale = _Scale(first=first, last=last, low=40, high=_ceiling([p.systolic for p in points], at_least=200))
    marks: list[Markup] = []
    for point in points:
        x = scale.x(point.day, point.hour)
        upper, lower = scale.y(point.systolic), scale.y(point.diastolic)
        high = goal_systolic is not None and point.systolic > goal_systolic
        name = "pressure above" if high else "pressure"
        marks.append(
            Markup('<g class="{}"><line x1="{}" y1="{}" x2="{}" y2="{}"/>{}<circle cx="{}" cy="{}" r="3"/></g>').format(
                name, x, upper, x, lower, _upper_mark(x, upper, high=high), x, lower
            )
        )
    goal = _goal_line(scale, goal_systolic, words.goal) if goal_systolic is not None else Markup()
    return _svg(words, _axes(scale, (60, 90, 120, 150, 180), words) + goal + Markup().join(marks))


def glucose_chart(
    points: Sequence[GlucosePoint], *, first: date, last: date, low: float, high: float, words: ChartWords
) -> Markup:
    """A dot for each reading over the range low to high (mg/dL)."""
    scale = _Scale(first=first, last=last, low=40, high=_ceiling([p.value for p in points], at_least=260))
    top, bottom = scale.y(high), scale.y(low)
    band = Markup('<rect class="band" x="{}" y="{}" width="{}" height="{}"/>').format(
        _LEFT, top, _WIDTH - _LEFT - _RIGHT, _text(float(bottom) - float(top))
    )
    label = Markup('<text class="goal-label" x="{}" y="{}" text-anchor="end">{}</text>').format(
        _WIDTH - _RIGHT - 4, _text(float(bottom) - 6), words.goal
    )
    marks = Markup().join(
        Markup('<g class="glucose{}">{}</g>').format(
            " outside" if not low <= point.value <= high else "",
            _upper_mark(scale.x(point.day, point.hour), scale.y(point.value), high=not low <= point.value <= high),
        )
        for point in points
    )
    return _svg(words, band + _axes(scale, (70, 120, 180, 240), words) + label + marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """From days and values to places on the drawing, as text with one decimal."""

    first: date
    last: date
    low: float
    high: float

    def x(self, day: date, hour: float) -> str:
        days = max((self.last - self.first).days + 1, 1)
        share = ((day - self.first).days + hour / 24) / days
        return _text(_LEFT + share * (_WIDTH - _LEFT - _RIGHT))

    def y(self, value: float) -> str:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return _text(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM))


def _ceiling(values: Sequence[float], *, at_least: float) -> float:
    """The next twenty above the highest value: a dot never sits on the frame."""
    highest = max(values, default=at_least)
    return max(at_least, (highest // 20 + 1) * 20)


def _upper_mark(x: str, y: str, *, high: bool) -> Markup:
    """A dot; a diamond when the value is outside the goal, so that shape says it as well as colour."""
    if not high:
        return Markup('<circle cx="{}" cy="{}" r="4"/>').format(x, y)
    cx, cy = float(x), float(y)
    corners = ((cx, cy - 6), (cx + 6, cy), (cx, cy + 6), (cx - 6, cy))
    path = "M" + "L".join(f"{_text(px)} {_text(py)}" for px, py in corners) + "Z"
    return Markup('<path d="{}"/>').format(path)


def _axes(scale: _Scale, ticks: Sequence[int], words: ChartWords) -> Markup:
    lines = Markup().join(
        Markup(
            '<line class="tick" x1="{}" y1="{}" x2="{}" y2="{}"/>'
            '<text class="axis" x="{}" y="{}" text-anchor="end">{}</text>'
        ).format(_LEFT, y, _WIDTH - _RIGHT, y, _LEFT - 6, _text(float(y) + 4), tick)
        for tick in ticks
        for y in (scale.y(tick),)
    )
    foot = _HEIGHT - 10
    return (
        lines
        + Markup('<text class="axis" x="{}" y="{}">{}</text>').format(_LEFT, foot, words.first_day)
        + Markup('<text class="axis" x="{}" y="{}" text-anchor="end">{}</text>').format(
            _WIDTH - _RIGHT, foot, words.last_day
        )
        + Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (_WIDTH + _LEFT) // 2, foot, words.unit
        )
    )


def _goal_line(scale: _Scale, goal: float, label: str) -> Markup:
    y = scale.y(goal)
    return Markup(
        '<line class="goal" x1="{}" y1="{}" x2="{}" y2="{}"/>'
        '<text class="goal-label" x="{}" y="{}" text-anchor="end">{}</text>'
    ).format(_LEFT, y, _WIDTH - _RIGHT, y, _WIDTH - _RIGHT - 4, _text(float(y) - 5), label)


def _svg(words: ChartWords, body: Markup) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(_WIDTH, _HEIGHT, f"{words.title}. {words.description}", words.title, words.description, body)


def _text(number: float) -> str:
    """One decimal, as short as it can be."""
    return escape(f"{number:.1f}".rstrip("0").rstrip("."))
