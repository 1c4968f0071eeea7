"""The golden cases and the rule set's own cases, through the engine and through the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from alerts.cases import CaseError, differences, run_case
from alerts.cli import app
from alerts.rules import DEFAULT_POLICY, load_rule_set

HERE = Path(__file__).parent
GOLDEN: list[dict[str, Any]] = yaml.safe_load((HERE / "alerts_golden.yaml").read_text())
OWN: list[dict[str, Any]] = yaml.safe_load(DEFAULT_POLICY.with_name("adult_default_v3.cases.yaml").read_text())
GIVEN_RULES = HERE / "alert_rules_given.yaml"


@pytest.mark.parametrize("case", GOLDEN, ids=lambda c: str(c["id"]))
@pytest.mark.parametrize("rules", [GIVEN_RULES, DEFAULT_POLICY], ids=["given", "shipped"])
def test_golden_case(case: dict[str, Any], rules: Path) -> None:
    row = run_case(case, load_rule_set(rules))

    assert differences(case, row) == []
    assert all(alert["text"] and alert["rule"] for alert in row["alerts"])


@pytest.mark.parametrize("case", OWN, ids=lambda c: str(c["id"]))
def test_own_case_of_the_shipped_rule_set(case: dict[str, Any]) -> None:
    assert differences(case, run_case(case, load_rule_set())) == []


def test_a_wrong_expectation_is_seen() -> None:
    case = {"id": "x", "events": ["0 glucose 48"], "at": 0, "alerts": ["glucose.low P2 open L0 n=1"]}

    assert differences(case, run_case(case, load_rule_set()))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("0 bp 120", "is not a value of bp"),
        ("0 bp 120/80 shaken", "unknown word 'shaken'"),
        ("x bp 120/80", "is not a minute"),
        ("0 sneeze", "unknown event 'sneeze'"),
        ("0 claim", "which family"),
        ("0..9/0 bp 120/80", "step of 0"),
    ],
)
def test_unreadable_event_is_refused_with_its_text(event: str, message: str) -> None:
    with pytest.raises(CaseError, match=message):
        run_case({"id": "c1", "events": [event], "at": 1}, load_rule_set())


def test_evaluate_prints_one_object_a_case() -> None:
    result = CliRunner().invoke(
        app, ["evaluate", "--cases", str(HERE / "alerts_golden.yaml"), "--rules", str(GIVEN_RULES)]
    )

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [row["id"] for row in rows] == [case["id"] for case in GOLDEN]
    assert set(rows[0]) == {"id", "alerts", "notified", "held", "refused"}
    assert rows[0]["alerts"][0] == {
        "family": "bp.high",
        "severity": "P1",
        "state": "open",
        "level": 0,
        "evidence": 2,
        "tags": ["confirmed"],
        "rule": "bp.severe",
        "text": "Blood pressure 188/122 mmHg, pulse 76: systolic above 180 and diastolic above 120;"
        " confirmed by a second reading.",
    }


def test_wrong_rules_exit_2_with_one_object_on_stderr(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(DEFAULT_POLICY.read_text().replace("severity: P4", "severity: P9"))

    result = CliRunner().invoke(app, ["evaluate", "--cases", str(HERE / "alerts_golden.yaml"), "--rules", str(bad)])

    assert result.exit_code == 2
    assert json.loads(result.stderr)["error"]["kind"] == "RuleSetError"
    assert "expected P1, P2, P3 or P4, not 'P9'" in result.stderr


def test_rule_set_is_tested_with_its_own_cases() -> None:
    result = CliRunner().invoke(app, ["test", str(DEFAULT_POLICY)])

    assert result.exit_code == 0
    assert f"{len(OWN)}/{len(OWN)} cases of adult-default@3" in result.stderr


def test_rule_set_without_cases_is_not_passed(tmp_path: Path) -> None:
    alone = tmp_path / "alone.yaml"
    alone.write_text(DEFAULT_POLICY.read_text())

    result = CliRunner().invoke(app, ["test", str(alone)])

    assert result.exit_code == 2
    assert "MissingCases" in result.stderr
