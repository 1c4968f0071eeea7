"""Worked cases of care-management billing, run in the process; each is marked by its id.

The file is data: facts and what an expert expects. Codes of programs that the engine does not decide yet stand in
`PENDING` with the program they need; a pending case that passes fails the suite until it is taken off the list.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.billing.determine import adjudicate
from server.billing.outcome import REASONS

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "billing_cases" / "public.jsonl").read_text(encoding="utf-8").splitlines()
]
PENDING: dict[str, str] = {}
Json = dict[str, Any]


def problems(case: Json, answer: Json) -> Iterator[str]:
    """Everything in the answer that is not as expected."""
    expect = case["expect"]
    given = Counter((line["code"], line["units"], line["service_to"]) for line in answer["billable"])
    wanted = Counter((line["code"], line["units"], line["service_to"]) for line in expect["billable"])
    if given != wanted:
        yield f"billable {dict(given)}, expected {dict(wanted)}"
    amounts = {(line["code"], line["service_to"]): line["amount"] for line in answer["billable"]}
    for line in expect["billable"]:
        if "amount" in line and amounts.get((line["code"], line["service_to"])) != line["amount"]:
            yield f"{line['code']}: amount {amounts.get((line['code'], line['service_to']))}, expected {line['amount']}"
    if "total" in expect and answer["total"] != expect["total"]:
        yield f"total {answer['total']}, expected {expect['total']}"
    yield from _verdicts(expect, answer)
    yield from _exclusions(expect, answer)
    answered = {line["code"] for part in ("billable", "refused", "held") for line in answer[part]}
    for proposal in case["facts"].get("proposals", ()):
        if proposal["code"] not in answered:
            yield f"proposal {proposal['code']} is not answered"


def _words(answer: Json, sections: tuple[str, ...], code: str) -> list[set[str]]:
    return [
        {reason["reason"] for reason in line["reasons"]}
        for section in sections
        for line in answer[section]
        if line["code"] == code
    ]


def _verdicts(expect: Json, answer: Json) -> Iterator[str]:
    places = {"refused": ("refused",), "held": ("held",), "not_billable": ("refused", "held")}
    for section, sections in places.items():
        for wanted in expect.get(section, ()):
            found = _words(answer, sections, wanted["code"])
            reason = wanted.get("reason")
            accepted = {reason} if isinstance(reason, str) else set(reason or ())
            if not found or (accepted and not any(accepted & words for words in found)):
                yield f"{wanted['code']}: {section} for {found}, expected {accepted or 'any word'}"
    for code in expect.get("not_held", ()):
        if _words(answer, ("held",), code):
            yield f"{code} must not be held"


def _exclusions(expect: Json, answer: Json) -> Iterator[str]:
    seconds: Counter[str] = Counter()
    for entry in answer["time"]:
        for part in entry["excluded"]:
            seconds[part["reason"]] += int(part["seconds"])
    for reason, wanted in expect.get("excluded_time", {}).items():
        if seconds[reason] != wanted:
            yield f"{reason}: {seconds[reason]} s excluded, expected {wanted}"
    for reason, wanted in expect.get("excluded_days", {}).items():
        days = {part["date"] for period in answer["days"] for part in period["excluded"] if part["reason"] == reason}
        if len(days) != wanted:
            yield f"{reason}: {len(days)} days excluded, expected {wanted}"
    warned = {warning["reason"] for warning in answer["warnings"]}
    for wanted in expect.get("warnings", ()):
        if not (warned if wanted == "*" else wanted in warned):
            yield f"warning {wanted} is missing"


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_worked_case(case: Json) -> None:
    found = list(problems(case, adjudicate(case["facts"])))

    if case["id"] in PENDING:
        assert found, f"{case['id']} passes now: take it off PENDING ({PENDING[case['id']]})"
    else:
        assert found == []


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_every_line_carries_its_proof(case: Json) -> None:
    answer: Json = adjudicate(case["facts"])

    for line in answer["billable"]:
        assert any(proof["evidence"] for proof in line["because"])
        assert all(proof["citation"]["title"] and proof["citation"]["locator"] for proof in line["because"])
    for section in ("refused", "held"):
        for line in answer[section]:
            assert line["reasons"]
            for reason in line["reasons"]:
                assert reason["reason"] in REASONS
                assert reason["citation"]["title"]
                assert reason["citation"]["locator"]
    assert all(reason["question"] for line in answer["held"] for reason in line["reasons"])
