"""Statements that circulate in public guides and are wrong: the engine holds against each, with the right reason.

The list a biller can read is tests/billing_cases/wrong_statements.yaml; this file only builds its months.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.billing.determine import adjudicate
from tests.billing_cases.months import month_facts

Json = dict[str, Any]
CASES = yaml.safe_load(
    (Path(__file__).parents[2] / "billing_cases" / "wrong_statements.yaml").read_text(encoding="utf-8")
)
PLAIN = {"ccm_time", "own_time", "rpm_time", "lane", "decision_making", "live", "days", "period_from"}
SAID = {"name", "claims", "holds", "month", "billable", "billable_has", "refused", "held", "amount", "answered"}


def _transition(facts: Json, _: object) -> None:
    month = facts["month"]
    facts["enrollments"].append(
        {"program": "tcm", "practitioner": "dr-a", "from": f"{month}-04", "to": None, "end_reason": None}
    )
    facts["discharges"] = [
        {
            "on": f"{month}-04",
            "contact_on": f"{month}-06",
            "attempts_on": [],
            "visit_at": f"{month}-13T14:00:00Z",
            "mdm": "moderate",
            "reconciled_on": f"{month}-13",
            "practitioner": "dr-a",
        }
    ]


def _served(facts: Json, code: str) -> None:
    days = {"from": f"{facts['month']}-01", "to": f"{facts['month']}-28"}
    facts["services"].append({"code": code, **days, "practitioner": "dr-a", "status": "paid"})


def _served_by(facts: Json, who: str) -> None:
    facts["practitioners"].append({"id": who, "group": "pr1", "credential": "MD"})
    facts["services"][-1]["practitioner"] = who


def _each(name: str, field: str) -> Callable[[Json, Any], None]:
    def put(facts: Json, value: Any) -> None:
        for fact in facts[name]:
            fact[field] = value

    return put


def _consent_to(facts: Json, who: str) -> None:
    facts["practitioners"].append({"id": who, "group": "pr9", "credential": "MD"})
    facts["consents"][0]["practitioner"] = who


def _without_risk(facts: Json, _: object) -> None:
    for condition in facts["patient"]["conditions"]:
        condition["significant_risk"] = False


CHANGES: dict[str, Callable[[Json, Any], None]] = {
    "consent_given": lambda facts, at: _each("consents", "granted_at")(facts, at.isoformat().replace("+00:00", "Z")),
    "enrolled_from": lambda facts, day: _each("enrollments", "from")(facts, str(day)),
    "consent_form": _each("consents", "form"),
    "consent_to": _consent_to,
    "transition": _transition,
    "served": _served,
    "served_by": _served_by,
    "automated": _each("time_entries", "automated"),
    "inside_visit": _each("time_entries", "part_of_visit"),
    "in_person": _each("time_entries", "in_person"),
    "credential": _each("practitioners", "credential"),
    "without_risk": _without_risk,
    "clinic": lambda facts, kind: facts["practice"].update(kind=kind),
    "offer": lambda facts, code: facts.update(proposals=[{"code": code, "units": 1, "on": None}]),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_what_holds_against_a_wrong_statement(case: Json) -> None:
    assert case["claims"] != case["holds"]
    assert set(case) <= PLAIN | SAID | set(CHANGES)
    facts = month_facts(case["month"], **{key: case[key] for key in PLAIN & set(case)})
    for name, change in CHANGES.items():
        if name in case:
            change(facts, case[name])

    answer: Json = adjudicate(facts)

    found = sorted(f"{line['code']} x{line['units']} {line['service_to']}" for line in answer["billable"])
    if "billable" in case:
        assert found == sorted(case["billable"])
    if "billable_has" in case:
        assert case["billable_has"] in {line["code"] for line in answer["billable"]}
    for section in ("refused", "held"):
        words = {(line["code"], reason["reason"]) for line in answer[section] for reason in line["reasons"]}
        assert set(case.get(section, {}).items()) <= words
    amounts = {line["code"]: line["unit_amount"] for line in answer["billable"]}
    assert {code: amounts.get(code) for code in case.get("amount", {})} == case.get("amount", {})
    answered = {line["code"] for part in ("refused", "held") for line in answer[part]}
    assert set(case.get("answered", ())) <= answered
