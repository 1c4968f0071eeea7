"""The patient's page: limits at their edges, words in one language, charts that speak."""

from __future__ import annotations

import dataclasses
import json
import string
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from server.db.observations import Observation, ReadingDay
from server.web.charts import ChartWords, GlucosePoint, PressurePoint, glucose_chart, pressure_chart
from server.web.views.me import MePage, advice_for, goal_of, me_page
from server.web.views.me_words import CATALOGUE, ENGLISH, load, other_languages, words_for

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
CHICAGO = ZoneInfo("America/Chicago")
SPANISH = CATALOGUE["es"]


def pressure(upper, lower, *, at=NOW - timedelta(hours=1), verdict="ok"):
    return _reading("blood-pressure", at, verdict, systolic=upper, diastolic=lower)


def sugar(value, *, at=NOW - timedelta(hours=1), verdict="ok"):
    return _reading("glucose", at, verdict, glucose=value)


def _reading(kind, at, verdict, **values):
    return Observation(
        message_id="m1",
        device_id="d1",
        kind=kind,
        measured_at=at,
        received_at=at,
        local_date=at.date(),
        time_quality="synchronised",
        components=[
            {"metric": metric, "value": None if value is None else str(value)} for metric, value in values.items()
        ],
        context={},
        flags=[],
        verdict=verdict,
    )


def page(readings=(), *, pressures=(), sugars=(), days=(), words=ENGLISH, now=NOW, phone="+1 555 0199") -> MePage:
    return me_page(
        name="Ann",
        goal="Walk",
        alert_profile={},
        practice_name="Practice A",
        practice_phone=phone,
        readings=readings,
        pressure=pressures,
        glucose=sugars,
        days=days,
        seen_by=[("Nora", NOW - timedelta(days=1))],
        words=words,
        zone=CHICAGO,
        now=now,
    )


@pytest.mark.parametrize(
    ("upper", "lower", "meaning", "urgent"),
    [
        (129, 79, "in_range", False),
        (130, 79, "above_goal", False),
        (129, 80, "above_goal", False),
        (180, 120, "above_goal", False),
        (181, 80, "very_high", True),
        (150, 121, "very_high", True),
        (90, 50, "in_range", False),
        (89, 60, "low", False),
        (100, 49, "low", False),
        (80, 50, "low", False),
        (79, 50, "very_low", True),
    ],
)
def test_pressure_limits_are_those_of_the_alert_rules(upper, lower, meaning, urgent):
    advice = advice_for(pressure(upper, lower), (130, 80), ENGLISH)

    assert (advice.meaning, advice.urgent) == (getattr(ENGLISH, meaning), urgent)


@pytest.mark.parametrize(
    ("value", "meaning", "urgent"),
    [
        (53, "glucose_very_low", True),
        (54, "glucose_low", True),
        (69, "glucose_low", True),
        (70, "glucose_in_range", False),
        (180, "glucose_in_range", False),
        (181, "glucose_above", False),
        (300, "glucose_above", False),
        (301, "glucose_very_high", True),
    ],
)
def test_glucose_limits(value, meaning, urgent):
    advice = advice_for(sugar(value), (130, 80), ENGLISH)

    assert (advice.meaning, advice.urgent) == (getattr(ENGLISH, meaning), urgent)


def test_own_goal_wins_over_the_default():
    assert goal_of({}) == (130, 80)
    assert goal_of({"goal_sys": 140, "kinds": ["bp"]}) == (140, 80)


def test_unusable_reading_gives_no_value_advice():
    assert advice_for(pressure(250, 120, verdict="quarantined"), (130, 80), ENGLISH).meaning == ENGLISH.unusable
    assert advice_for(pressure(None, None), (130, 80), ENGLISH).action == ENGLISH.do_measure_again


def test_an_old_severe_reading_no_longer_shouts():
    old = pressure(200, 110, at=NOW - timedelta(hours=13))

    found = page([old], days=[ReadingDay(day=date(2026, 11, 21), readings=1)])

    assert not found.urgent
    assert found.action == ENGLISH.do_measure_today


def test_advice_holds_for_twelve_hours():
    assert page([pressure(200, 110, at=NOW - timedelta(hours=12))]).urgent


def test_empty_page_invites():
    found = page()

    assert (found.last, found.action) == (None, ENGLISH.no_reading_do)
    assert found.charts == ()
    assert len(found.days) == 30
    assert found.days[-1].words == "Nov 22: not measured"


def test_last_reading_in_plain_words():
    last = page([pressure(128, 78)]).last

    assert last is not None
    assert (last.value, last.kind, last.meaning) == ("128 over 78", "Blood pressure in mmHg", ENGLISH.in_range)
    assert last.when.startswith("today, 8:00")


def test_the_calendar_day_is_the_patients_own():
    # 02:00 UTC on the 23rd is still the evening of the 22nd in Chicago.
    found = page(now=datetime(2026, 11, 23, 2, 0, tzinfo=UTC), days=[ReadingDay(day=date(2026, 11, 22), readings=2)])

    assert found.days[-1].measured
    assert found.days_count == "1 of the last 30 days has a reading."


def test_spanish_page_is_spanish_throughout():
    found = page(
        [sugar(156)], sugars=[sugar(156)], days=[ReadingDay(day=date(2026, 11, 22), readings=1)], words=SPANISH
    )

    assert found.hello == "Hola, Ann"
    assert found.last is not None
    assert found.last.meaning == SPANISH.glucose_in_range
    assert found.days[-1].words == "22 nov: con medición"
    assert "rango habitual" in found.charts[0].svg


def test_both_languages_say_everything_with_the_same_places():
    for name in (item.name for item in dataclasses.fields(ENGLISH) if item.name != "reviewed"):
        english, spanish = getattr(ENGLISH, name), getattr(SPANISH, name)
        assert english, name
        assert spanish, name
        assert _places(english) == _places(spanish), name


def test_unreviewed_language_is_not_offered_to_real_patients():
    assert not SPANISH.reviewed
    assert words_for("es", is_simulated=False) is ENGLISH
    assert words_for("es", is_simulated=True) is SPANISH
    assert other_languages(ENGLISH, is_simulated=False) == ()


def test_a_language_with_a_missing_sentence_is_refused(tmp_path):
    whole = dataclasses.asdict(ENGLISH)
    del whole["emergency"]
    (tmp_path / "patient.xx.json").write_text(json.dumps(whole), encoding="utf-8")

    with pytest.raises(TypeError, match="emergency"):
        load("xx", tmp_path)


def _places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


WORDS = ChartWords(title="T <b>", description="D", first_day="Nov 1", last_day="Nov 30", goal="goal 130", unit="mmHg")


def test_pressure_chart_places_and_escapes():
    points = [
        PressurePoint(day=date(2026, 11, 1), hour=0, systolic=120, diastolic=80),
        PressurePoint(day=date(2026, 11, 30), hour=24, systolic=150, diastolic=90),
    ]

    svg = pressure_chart(points, first=date(2026, 11, 1), last=date(2026, 11, 30), goal_systolic=130, words=WORDS)

    # 400 wide with 48 and 12 of margin; 240 high with 14 and 34: 40 mmHg at 206, 200 mmHg at 14, 1.2 units a mmHg.
    assert '<line x1="48" y1="110" x2="48" y2="158"/>' in svg
    assert 'class="pressure above"><line x1="388" y1="74" x2="388" y2="146"/>' in svg
    assert "T &lt;b&gt;. D" in svg
    assert "style=" not in svg


def test_glucose_chart_marks_values_outside_by_shape():
    days = {"first": date(2026, 11, 1), "last": date(2026, 11, 1)}

    inside = glucose_chart(
        [GlucosePoint(day=date(2026, 11, 1), hour=12, value=180)], low=70, high=180, words=WORDS, **days
    )
    outside = glucose_chart(
        [GlucosePoint(day=date(2026, 11, 1), hour=12, value=181)], low=70, high=180, words=WORDS, **days
    )

    assert inside.count("<circle") == 1
    assert "<path" not in inside
    assert outside.count("<circle") == 0
    assert '<g class="glucose outside"><path' in outside


def test_a_value_beyond_the_frame_raises_the_frame():
    svg = pressure_chart(
        [PressurePoint(day=date(2026, 11, 1), hour=12, systolic=239, diastolic=120)],
        first=date(2026, 11, 1),
        last=date(2026, 11, 1),
        goal_systolic=None,
        words=WORDS,
    )

    # The frame goes from 40 (at 206) to 240 (at 14), 0.96 units a mmHg: 239 lies at 14.96, 120 at 129.2.
    assert '<line x1="218" y1="15" x2="218" y2="129.2"/>' in svg
