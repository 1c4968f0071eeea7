"""`rules lint` and the locked year: the shipped files pass; a copy broken in one place is refused for that place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from server.billing import rule_commands
from server.billing.cli import app
from server.billing.determine import adjudicate
from server.billing.explain import explain
from server.billing.locked_years import locked_years
from server.billing.parameter_tree import FOLDER, TABLES, medicare
from server.billing.rule_lint import newest_rule_year, problems
from tests.billing_cases.months import Json, month_facts

ONE = "medicare/rpm/setup/data_days.yaml"


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Path, Path]:
    folder, tables = tmp_path / "parameters", tmp_path / "tables"
    shutil.copytree(FOLDER, folder)
    shutil.copytree(TABLES, tables)
    return folder, tables


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.chmod(0o644)
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before, "the test breaks nothing"
    path.write_text(after, encoding="utf-8")


def test_shipped_rules_have_no_problem(copy: tuple[Path, Path]) -> None:
    assert problems() == ()
    assert problems(*copy) == ()


def _swap(text: str, old: str, new: str) -> str:
    return text.replace(old, new, 1)


BROKEN: list[Any] = [
    ("old review", ONE, lambda t: _swap(t, "last_reviewed: 2026", "last_reviewed: 2025"), "before the rule year 2026"),
    ("no title", ONE, lambda t: _swap(t, "      title:", "      href:"), "lacks title"),
    ("no locator", ONE, lambda t: _swap(t, "      locator:", "      href:"), "lacks locator"),
    ("no confidence", ONE, lambda t: _swap(t, "      confidence:", "      published:"), "lacks confidence"),
    ("unknown key", ONE, lambda t: _swap(t, "  label:", "  colour: red\n  label:"), "unknown key colour"),
    ("doubled key", ONE, lambda t: _swap(t, "  label:", "  label: twice\n  label:"), "there twice"),
    ("dates fall", ONE, lambda t: _swap(t, "2026-01-01:", "2018-01-01:"), "dates must increase"),
    ("no review date", ONE, lambda t: _swap(t, "last_reviewed: 2026-11-22", "last_reviewed: soon"), "is no date"),
    ("no value", ONE, lambda t: _swap(t, "    value:", "    amount:"), "has no value"),
    ("locked key", "locked/2027.yaml", lambda t: _swap(t, "state:", "mood: x\nstate:"), "unknown key mood"),
    ("locked review", "locked/2027.yaml", lambda t: _swap(t, ": 2026-11-22", ": 2025-11-22"), "before the rule year"),
    ("locked past", "locked/2027.yaml", lambda t: _swap(t, "year: 2027", "year: 2026"), "open or locked, not both"),
    (
        "locked none",
        "locked/2027.yaml",
        lambda t: _swap(t, "year: 2027", "year: 2028"),
        "locked/2027.yaml is not there",
    ),
    ("locked source", "locked/2027.yaml", lambda t: _swap(t, "      title:", "      href:"), "lacks title"),
]


@pytest.mark.parametrize(("path", "change", "message"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_broken_copy_is_refused(copy: tuple[Path, Path], path: str, change: Callable[[str], str], message: str) -> None:
    edit(copy[0] / path, change)

    assert any(message in problem for problem in problems(*copy))


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("concurrency.yaml", lambda t: _swap(t, "2020-01-01:", "2012-01-01:"), "dates must increase"),
        ("concurrency.yaml", lambda t: _swap(t, "verdict: nobody,", "verdict: nobody, why: x,"), "unknown key why"),
        ("concurrency.yaml", lambda t: _swap(t, ", confidence: V1", ""), "lacks confidence"),
        ("concurrency.yaml", lambda t: _swap(t, "[ccm-staff, ccm-complex]", "[ccm-staff]"), "names two groups"),
        ("ncci_ptp.csv", lambda t: t + "99490,99457,,,0\n", "is not the file"),
    ],
)
def test_broken_table_is_refused(
    copy: tuple[Path, Path], path: str, change: Callable[[str], str], message: str
) -> None:
    edit(copy[1] / path, change)

    assert any(message in problem for problem in problems(*copy))


def test_all_problems_come_at_once(copy: tuple[Path, Path]) -> None:
    edit(copy[0] / ONE, lambda t: _swap(t, "last_reviewed: 2026", "last_reviewed: 2025"))
    edit(copy[0] / "medicare/units/single.yaml", lambda t: _swap(t, "  label:", "  colour: red\n  label:"))

    assert len(problems(*copy)) == 2


def test_command_says_the_problems_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(app, ["rules", "lint"]).exit_code == 0
    monkeypatch.setattr(rule_commands, "problems", lambda: ("a: dates must increase",))
    failed = CliRunner().invoke(app, ["rules", "lint"])

    assert failed.exit_code == 1
    assert "a: dates must increase" in failed.output


def test_newest_rule_year_is_the_one_before_the_lock() -> None:
    parameter = next(p for p in medicare() if p.path == "situation/rule_year")

    assert newest_rule_year(parameter) == 2026
    assert newest_rule_year(None) is None


def held_2027() -> Json:
    facts = month_facts("2027-01", rpm_time="25:00", days=20, ccm_time="25:00")
    answer: Json = adjudicate(facts)
    return answer


def test_2027_is_held_with_the_watch_list_as_its_question() -> None:
    answer = held_2027()
    questions = {line["code"]: line["reasons"][0]["question"] for line in answer["held"]}

    assert answer["billable"] == []
    assert "initiating visit" in questions["99457"]
    assert "employs the person" in questions["99457"]
    assert "supervision" in questions["99490"]
    assert "initiating visit" not in questions["99490"]
    assert all("named person reads it" in question for question in questions.values())


def test_explain_tells_the_watch_list() -> None:
    said = "\n".join(explain(held_2027()))

    assert "bundled G codes" in said
    assert "CMS-1848-P" in said


def test_every_open_point_has_a_source() -> None:
    known = locked_years()[2027]

    assert known.last_reviewed == date(2026, 11, 22)
    assert len(known.points) == 8
    assert all(point.citation.title and point.citation.locator for point in known.points)


def test_watch_prints_the_points_and_refuses_an_open_year() -> None:
    shown = CliRunner().invoke(app, ["rules", "watch", "2027"])
    refused = CliRunner().invoke(app, ["rules", "watch", "2026"])

    assert shown.stdout.count('"year":2027') == 8
    assert refused.exit_code == 2
    assert '"where":"YEAR"' in refused.output
