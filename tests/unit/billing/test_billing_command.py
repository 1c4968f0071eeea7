"""The commands: JSON lines in and out, one error object, and the same bytes on any machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from server.billing.cli import app
from server.billing.determine import adjudicate
from server.billing.explain import explain
from tests.billing_cases.months import month_facts

CASES = Path(__file__).parents[2] / "billing_cases" / "public.jsonl"
ROOT = Path(__file__).parents[3]


def run(*arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, list(arguments), input=stdin)
    return found.exit_code, found.stdout, found.stderr


def lines_of_facts() -> str:
    cases = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    return "".join(json.dumps(case["facts"]) + "\n" for case in cases)


def test_one_adjudication_a_line_in_order() -> None:
    code, out, err = run("adjudicate", "-", stdin=lines_of_facts())

    answers = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    months = [json.loads(line)["month"] for line in lines_of_facts().splitlines()]
    assert [answer["month"] for answer in answers] == months


def test_file_with_one_spread_out_object(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(month_facts("2026-06", ccm_time="20:00"), indent=2), encoding="utf-8")

    code, out, _ = run("adjudicate", str(path))
    piped, same, _ = run("adjudicate", "-", stdin=path.read_text(encoding="utf-8"))

    assert code == piped == 0
    assert out == same
    assert json.loads(out)["total"] == "66.13"


@pytest.mark.parametrize(
    ("text", "kind", "where"),
    [
        ("{", "json", "line 1"),
        ("[]", "facts", "line 1"),
        ('{"schema": 1}', "facts", "schema"),
        (json.dumps({**month_facts("2026-06"), "month": "June"}), "facts", "month"),
    ],
)
def test_wrong_input_is_one_error_object_and_exit_two(text: str, kind: str, where: str) -> None:
    code, out, err = run("adjudicate", "-", stdin=text)

    error: dict[str, Any] = json.loads(err)["error"]
    assert (code, out) == (2, "")
    assert (error["kind"], error["where"]) == (kind, where)
    assert error["message"]


def test_wrong_line_of_several_leaves_its_error_in_its_place() -> None:
    good = json.dumps(month_facts("2026-06", ccm_time="20:00"))
    bad = json.dumps({**month_facts("2026-06"), "month": "June", "notes": 1})

    code, out, err = run("adjudicate", "-", stdin=f"{good}\n{bad}\n{{\n\n{good}\n")

    first, second, third, fourth = map(json.loads, out.splitlines())
    assert code == 2
    assert first["total"] == fourth["total"] == "66.13"
    assert [problem["where"] for problem in second["error"]["problems"]] == ["notes", "month"]
    assert third["error"]["kind"] == "json"
    assert json.loads(err)["error"]["where"] == "line 2"


def test_missing_file_is_said() -> None:
    code, _, err = run("adjudicate", "no-such-file.json")

    assert code == 2
    assert "no-such-file.json" in json.loads(err)["error"]["message"]


def test_rules_diff_shows_what_a_year_changed() -> None:
    code, out, _ = run("rules", "diff", "2025-12-31", "2026-01-01")

    changes = {line.get("rule", line.get("code")): line for line in map(json.loads, out.splitlines())}
    assert code == 0
    assert changes["rpm/setup/data_days"]["before"]["value"] == 16
    assert changes["rpm/setup/data_days"]["after"]["value"] == 2
    assert changes["rpm/setup/data_days"]["after"]["citation"]["title"]
    assert changes["99470"]["billable"] is True
    assert changes["G0512"]["billable"] is False


def test_coverage_lists_every_code_with_its_status() -> None:
    code, out, _ = run("coverage")

    rows = {row["code"]: row for row in map(json.loads, out.splitlines())}
    assert code == 0
    assert rows["99457"]["status"] == "supported"
    assert rows["90962"]["status"] == "excluding"


def test_explain_speaks_in_sentences() -> None:
    facts = month_facts("2026-04", rpm_time="19:59", ccm_time="20:00")

    said = "\n".join(explain(adjudicate(facts)))

    assert "99490 (CCM by staff, first 20 minutes), date of service 2026-04-30, by dr-a: $66.13." in said
    assert "Proven: 99490 needs 20:00 in the month; 20:00 counted." in said
    assert "99457 (RPM management, first 20 minutes) cannot be claimed:" in said
    assert "99457 needs 20:00 in the month; 19:59 counted, 0:01 short." in said
    assert "Rule: CY 2021 Physician Fee Schedule final rule" in said


def test_explain_asks_the_question_of_a_hold() -> None:
    facts = month_facts("2026-06", own_time="30:00", ccm_time="20:00")

    said = "\n".join(explain(adjudicate(facts)))

    # The practitioner's 30 minutes may top up the nurse's 20: 50:00 reach 99490 and one further block.
    held = "99490 (CCM by staff, first 20 minutes), 99439 (CCM by staff, each further 20 minutes), "
    assert f"{held}99491 (CCM by the practitioner, first 30 minutes) are held until a person answers:" in said
    assert "Which lane does dr-a designate for the month: staff or practitioner?" in said


def test_explain_says_what_to_do_and_speaks_no_reason_words() -> None:
    facts = month_facts("2026-04", rpm_time="19:59", ccm_time="84:00", days=15)

    said = "\n".join(explain(adjudicate(facts)))

    assert "What to do: record work that was done and is not recorded yet" in said
    assert "3 units of 99439 reached, 2 are the limit a period." in said
    assert "Time counted for chronic care management: 84:00." in said
    assert not re.search(r"[A-Z]{3,}_[A-Z]", said)


@pytest.mark.parametrize("case", [json.loads(line)["facts"] for line in CASES.read_text(encoding="utf-8").splitlines()])
def test_explain_answers_every_line_without_jargon(case: dict[str, Any]) -> None:
    answer: dict[str, Any] = adjudicate(case)

    said = "\n".join(explain(answer))

    assert not re.search(r"[A-Z]{3,}_[A-Z]", said)
    for line in (*answer["billable"], *answer["held"], *answer["refused"]):
        assert line["code"] in said
    assert said.count("What to do:") <= len(answer["refused"])


def test_same_bytes_under_other_hash_seeds_and_host_zones() -> None:
    facts = lines_of_facts()

    def answer(seed: str, zone: str) -> bytes:
        return subprocess.run(
            [sys.executable, "-m", "server.billing", "adjudicate", "-"],
            input=facts.encode(),
            capture_output=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
        ).stdout

    first = answer("1", "America/Los_Angeles")

    assert first == answer("2", "Asia/Kathmandu")
    assert len(first.splitlines()) == len(facts.splitlines())
