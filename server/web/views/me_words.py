"""What the patient's page says: one message file a language, whole or refused.

Input: `server/web/messages/patient.<language>.json`. Output: `Words` by language. A page is in one language from top to
bottom. `reviewed` in the file says that a qualified person checked the translation; until then real practices are not
offered it (45 CFR 92.201(c)(3)).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Every sentence of the page. `{…}` are places for values."""

    language: str
    name: str
    reviewed: bool
    title: str
    skip: str
    log_out: str
    simulated: str
    session_warning: str
    stay: str
    hello: str
    last_reading: str
    no_reading: str
    no_reading_do: str
    pressure: str
    pressure_words: str
    pulse: str
    glucose: str
    glucose_words: str
    unusable: str
    what_to_do: str
    emergency: str
    in_range: str
    above_goal: str
    very_high: str
    low: str
    very_low: str
    glucose_in_range: str
    glucose_above: str
    glucose_very_high: str
    glucose_low: str
    glucose_very_low: str
    do_nothing: str
    do_above: str
    do_very_high: str
    do_low: str
    do_very_low: str
    do_glucose_above: str
    do_glucose_very_high: str
    do_glucose_low: str
    do_glucose_very_low: str
    do_measure_again: str
    do_measure_today: str
    goal: str
    goal_pressure: str
    days: str
    days_count: str
    one_day_count: str
    day_with: str
    day_without: str
    chart_pressure: str
    chart_pressure_words: str
    chart_glucose: str
    chart_glucose_words: str
    chart_goal: str
    chart_range: str
    table: str
    when: str
    value: str
    who_to_call: str
    call_team: str
    call_team_phone: str
    call_911: str
    language_label: str
    change_language: str
    seen_by: str
    seen_nobody: str
    today: str
    yesterday: str


_FOLDER: Final = Path(__file__).parent.parent / "messages"


def load(language: str, folder: Path = _FOLDER) -> Words:
    """One language. A missing or unknown sentence stops the process: half a page is never shown in two languages."""
    return Words(**json.loads((folder / f"patient.{language}.json").read_text(encoding="utf-8")))


CATALOGUE: Final[Mapping[str, Words]] = {language: load(language) for language in ("en", "es")}
ENGLISH: Final = CATALOGUE["en"]


def words_for(language: str, *, is_simulated: bool) -> Words:
    """The patient's language where it may be shown, else English."""
    found = CATALOGUE.get(language, ENGLISH)
    return found if found.reviewed or is_simulated else ENGLISH


def other_languages(words: Words, *, is_simulated: bool) -> tuple[Words, ...]:
    """What the patient may switch to."""
    return tuple(w for w in CATALOGUE.values() if w is not words and (w.reviewed or is_simulated))
