"""Counts, means, flags, gains and silence against a second, naive reading of the rules that shares no code.

The naive side works on plain minutes and fractions over the whole history; the engine keeps a bounded window.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.engine import step, tick
from alerts.model import Alert, Output, Reading, Transition
from alerts.profile import rules_for
from alerts.rules import load_rule_set
from alerts.state import new_state

START = datetime(2026, 1, 5, tzinfo=UTC)
RULES = rules_for(load_rule_set(), {"kinds": ["hf"], "expects": ["bp"]})
GAPS = [1, 30, 59, 60, 61, 300, 719, 720, 721, 1440, 1441, 2160, 2161, 4319, 4320, 4321]

BloodPressure = tuple[int, int, int, bool]  # minute, systolic, diastolic, irregular


@st.composite
def pressures(draw: st.DrawFn) -> list[BloodPressure]:
    """Readings that no point rule of the set fires on: 90-180 over 55-100, pulse not taken."""
    minute, found = 0, []
    for _ in range(draw(st.integers(1, 30))):
        minute += draw(st.sampled_from(GAPS[:11]))
        sys = draw(st.sampled_from([120, 128, 129, 130, 134, 135, 136, 159, 160, 170]))
        found.append((minute, sys, draw(st.sampled_from([70, 79, 80, 84, 85, 99, 100])), draw(st.booleans())))
    return found


def first_fired(said: list[Output], rule: str) -> int | None:
    """The minute at which a rule first raised or worsened an alert."""
    for output in said:
        if isinstance(output, Transition) and output.alert.rule == rule:
            return int((output.at - START).total_seconds()) // 60
    return None


def run_pressures(readings: list[BloodPressure]) -> list[Output]:
    state, said = new_state(START), list[Output]()
    for number, (minute, sys, dia, irregular) in enumerate(readings):
        at = START + timedelta(minutes=minute)
        reading = Reading(
            id=f"r{number}", kind="bp", measured_at=at, arrived_at=at, values=(Decimal(sys), Decimal(dia), None),
            day=at.toordinal(), flags=("irregular",) if irregular else (),
        )  # fmt: skip
        state, out = step(state, reading, RULES)
        said.extend(out)
    return said


def naive_mean(readings: list[BloodPressure], sys_limit: int, dia_limit: int) -> int | None:
    for index, (now, *_) in enumerate(readings):
        week = [r for r in readings[: index + 1] if now - r[0] <= 7 * 24 * 60]
        if len(week) < 12 or len({r[0] // 1440 for r in week}) < 3:
            continue
        mean_sys = Fraction(sum(r[1] for r in week), len(week))
        mean_dia = Fraction(sum(r[2] for r in week), len(week))
        if mean_sys >= sys_limit or mean_dia >= dia_limit:
            return now
    return None


def naive_repeat(readings: list[BloodPressure]) -> int | None:
    """Three readings at or above 160/100 within 72 h, each at least an hour from the next, ending with this one."""
    for index, reading in enumerate(readings):
        if not (reading[1] >= 160 or reading[2] >= 100):
            continue
        chain = [reading[0]]
        for earlier in reversed(readings[:index]):
            high = earlier[1] >= 160 or earlier[2] >= 100
            if high and chain[-1] - earlier[0] >= 60 and reading[0] - earlier[0] <= 72 * 60:
                chain.append(earlier[0])
        if len(chain) >= 3:
            return reading[0]
    return None


def naive_rhythm(readings: list[BloodPressure]) -> int | None:
    for index, reading in enumerate(readings):
        last = [r for r in readings[: index + 1][-3:] if reading[0] - r[0] <= 24 * 60]
        if reading[3] and sum(r[3] for r in last) >= 2:
            return reading[0]
    return None


@settings(max_examples=80, deadline=None)
@given(pressures())
def test_week_mean_agrees_with_fractions(readings: list[BloodPressure]) -> None:
    assert first_fired(run_pressures(readings), "bp.trend.stage2") == naive_mean(readings, 135, 85)


@settings(max_examples=80, deadline=None)
@given(pressures())
def test_repeated_high_pressure_agrees(readings: list[BloodPressure]) -> None:
    assert first_fired(run_pressures(readings), "bp.high.repeat") == naive_repeat(readings)


@settings(max_examples=80, deadline=None)
@given(pressures())
def test_irregular_pulse_agrees(readings: list[BloodPressure]) -> None:
    assert first_fired(run_pressures(readings), "rhythm.irregular") == naive_rhythm(readings)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(GAPS), st.integers(1800, 1860)), min_size=1, max_size=20))
def test_weight_gain_agrees(steps: list[tuple[int, int]]) -> None:
    """Tenths of a pound: 3 lb over 12-36 h, 5 lb over 36 h to 8 days."""
    minute, weights = 0, []
    for gap, tenths in steps:
        minute += gap
        weights.append((minute, tenths))
    expected: dict[str, int | None] = {"weight.day": None, "weight.week": None}
    for index, (now, tenths) in enumerate(weights):
        for rule, gain, low, high in (("weight.day", 30, 12, 36), ("weight.week", 50, 36, 192)):
            if any(low * 60 <= now - t <= high * 60 and tenths - w >= gain for t, w in weights[:index]):
                expected[rule] = expected[rule] or now

    state, said = new_state(START), list[Output]()
    for number, (now, tenths) in enumerate(weights):
        at = START + timedelta(minutes=now)
        reading = Reading(
            id=f"w{number}", kind="weight", measured_at=at, arrived_at=at, values=(Decimal(tenths) / 10,),
            day=at.toordinal(),
        )  # fmt: skip
        state, out = step(state, reading, RULES)
        said.extend(out)

    fired = [m for m in expected.values() if m is not None]
    alerts = [o for o in said if isinstance(o, Transition) and o.alert.family == "weight.gain"]
    assert (int((alerts[0].at - START).total_seconds()) // 60 if alerts else None) == min(fired, default=None)
    assert first_fired(said, "weight.week") == expected["weight.week"]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(GAPS), max_size=8), st.integers(0, 20_000))
def test_silence_agrees(gaps: list[int], until: int) -> None:
    """72 h after the last reading (or the start) a missed alert stands, and the next reading ends it."""
    minutes = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    seen = [m for m in minutes if m <= until]
    silent = until - max([0, *seen]) >= 72 * 60

    state = new_state(START)
    for number, minute in enumerate(seen):
        at = START + timedelta(minutes=minute)
        reading = Reading(
            id=f"r{number}", kind="bp", measured_at=at, arrived_at=at, values=(Decimal(120), Decimal(70), None),
            day=at.toordinal(),
        )  # fmt: skip
        state, _ = step(state, reading, RULES)
    state, _ = tick(state, START + timedelta(minutes=until), RULES)

    missed: Alert | None = state.live.get("tech.missed")
    assert (missed is not None) is silent
