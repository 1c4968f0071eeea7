"""Scenario files: checked whole, expanded the same way every time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulators.scenario import SCENARIO_FOLDER, Scenario, ScenarioError, expand, planned_readings, read_scenario

SMALL = """
scenario: small
start: 2026-11-01
days: 2
seed: 1
homes:
  - id: home
    zone: America/New_York
    patients: [{id: pat, seed: 5, diabetic: true}]
    devices:
      - {id: cuff, kind: blood-pressure, address: "C1:00:00:00:00:01"}
      - {id: meter, kind: glucose, address: "C1:00:00:00:00:02"}
    measures:
      - {patient: pat, device: cuff, at: ["00:30", "07:30"], jitter_minutes: 0, user: 2}
      - {patient: pat, device: meter, at: ["08:00"], jitter_minutes: 0, days: [mon], meal: fasting}
    breaks:
      - {device: cuff, day: 2, at: "12:00", do: jump-clock, with: {seconds: 3600}}
"""


def scenario_from(tmp_path: Path, text: str) -> Scenario:
    file = tmp_path / "scenario.yaml"
    file.write_text(text, encoding="utf-8")
    return read_scenario(file)


def test_acts_in_time_order_across_the_end_of_summer_time(tmp_path: Path) -> None:
    acts = expand(scenario_from(tmp_path, SMALL))

    # 1 November 2026, a Sunday, has 25 hours in New York: 00:30 is UTC-4, 07:30 is UTC-5.
    assert [(act.at, act.device, act.request["do"]) for act in acts] == [
        (datetime(2026, 11, 1, 4, 30, tzinfo=UTC), "cuff", "measure"),
        (datetime(2026, 11, 1, 12, 30, tzinfo=UTC), "cuff", "measure"),
        (datetime(2026, 11, 2, 5, 30, tzinfo=UTC), "cuff", "measure"),
        (datetime(2026, 11, 2, 12, 30, tzinfo=UTC), "cuff", "measure"),
        (datetime(2026, 11, 2, 13, 0, tzinfo=UTC), "meter", "measure"),
        (datetime(2026, 11, 2, 17, 0, tzinfo=UTC), "cuff", "jump-clock"),
    ]
    assert acts[0].request["user"] == 2
    assert acts[4].request["meal"] == "fasting"
    assert acts[5].request == {"do": "jump-clock", "seconds": 3600}


def test_the_same_file_gives_the_same_acts() -> None:
    scenario = read_scenario(SCENARIO_FOLDER / "month-20-patients.yaml")

    assert expand(scenario) == expand(scenario)


def test_nobody_measures_without_adherence(tmp_path: Path) -> None:
    text = SMALL.replace("jitter_minutes: 0,", "jitter_minutes: 0, adherence: 0,")

    assert planned_readings(expand(scenario_from(tmp_path, text))).total() == 0


def test_jitter_stays_within_its_bounds(tmp_path: Path) -> None:
    text = SMALL.replace("days: 2", "days: 60").replace("jitter_minutes: 0, user", "jitter_minutes: 20, user")
    acts = [act for act in expand(scenario_from(tmp_path, text)) if act.device == "cuff" and "values" in act.request]

    minutes = [(act.at.hour * 60 + act.at.minute) for act in acts if act.at.hour in (11, 12)]

    assert len(minutes) == 60
    assert all(11 * 60 + 10 <= minute <= 12 * 60 + 50 for minute in minutes)
    assert len(set(minutes)) > 10


@pytest.mark.parametrize("name", ["three-homes", "month-20-patients"])
def test_shipped_scenarios_are_right(name: str) -> None:
    scenario = read_scenario(SCENARIO_FOLDER / f"{name}.yaml")

    counts = planned_readings(expand(scenario))

    for line in scenario.expect:
        if line.what == "readings" and line.device is not None:
            if line.exactly is not None:
                assert counts[line.device] == line.exactly
            else:
                assert counts[line.device] >= (line.at_least or 0)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("zone: America/New_York", "zone: Mars/Base", "no time zone 'Mars/Base'"),
        ("device: meter, at", "device: scale, at", "no such patient or device"),
        ("C1:00:00:00:00:02", "C1:00:00:00:00:01", "address twice"),
        ("meal: fasting", "meal: brunch", "no meal 'brunch'"),
        ("days: 2", "days: 0", "days: "),
        ("seed: 1\n", "seed: 1\nsed: 2\n", "sed: "),
        ("do: jump-clock, with: {seconds: 3600}", "do: fault, with: {name: gremlin}", "with.name must be one of"),
        ("scenario: small", "scenario: [small", "no YAML"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in SMALL

    with pytest.raises(ScenarioError, match=r"(?s).") as caught:
        scenario_from(tmp_path, SMALL.replace(old, new))

    assert complaint in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"gone\.yaml: no such file"):
        read_scenario(tmp_path / "gone.yaml")
