"""The worked boundary cases that a biller can read and extend: `tests/billing_cases/*.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from server.billing.determine import adjudicate
from tests.billing_cases.months import month_facts

FOLDER = Path(__file__).parents[2] / "billing_cases"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.stem != "wrong_statements"
    for case in yaml.safe_load(path.read_text(encoding="utf-8"))
]
EXPECTED = frozenset({"name", "month", "billable", "refused", "held"})


@pytest.mark.parametrize("case", CASES)
def test_boundary(case: dict[str, Any]) -> None:
    said = {key: value for key, value in case.items() if key not in EXPECTED}

    answer: dict[str, Any] = adjudicate(month_facts(case["month"], **said))

    found = sorted(f"{line['code']} x{line['units']} {line['service_to']}" for line in answer["billable"])
    assert found == sorted(case["billable"])
    for section in ("refused", "held"):
        words = {(line["code"], reason["reason"]) for line in answer[section] for reason in line["reasons"]}
        assert set(case.get(section, {}).items()) <= words
