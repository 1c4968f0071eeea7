"""The second opinion agrees with the engine, and would notice if it did not.

The whole run of 1,000 changed facts is in tests/integration/test_billing_second_opinion_whole.py.
"""

from __future__ import annotations

import ast
import copy
import sys
from pathlib import Path
from typing import Any

import pytest

from server.billing import proof_check, proof_ledger
from server.billing.determine import adjudicate
from server.billing.facts import FactsError
from server.billing.proof_check import check
from tests.billing_cases.mutations import CASES, mutated

Json = dict[str, Any]
OWN = {"server.billing.proof_ledger"}


@pytest.mark.parametrize("module", [proof_check, proof_ledger])
def test_the_second_opinion_imports_nothing_of_the_engine(module: Any) -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    names = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    foreign = {name for name in names - OWN if name.split(".")[0] not in sys.stdlib_module_names | {"yaml"}}

    assert foreign == set()


def test_the_second_opinion_stays_short_enough_to_read() -> None:
    assert len(Path(proof_check.__file__).read_text(encoding="utf-8").splitlines()) <= 300


def findings(facts: Json, answer: Json, verdict: str) -> list[str]:
    return [f"{f['section']} {f['code']}: {f['reason']}" for f in check(facts, answer) if f["verdict"] == verdict]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_both_agree_on_every_worked_case(case: Json) -> None:
    answer = adjudicate(case["facts"])

    assert findings(case["facts"], answer, "disagree") == []


def test_both_agree_when_one_fact_changes() -> None:
    decided = differing = 0
    for said, facts in mutated(200, seed=20261122):
        try:
            answer = adjudicate(facts)
        except FactsError:
            continue
        decided += 1
        wrong = findings(facts, answer, "disagree")
        differing += bool(wrong)
        assert wrong == [], said
    assert decided > 150
    assert differing == 0


BOTH = next(case for case in CASES if case["id"] == "P14")


def _line(answer: Json, code: str) -> Json:
    return next(line for line in answer["billable"] if line["code"] == code)


def _more_units(answer: Json) -> None:
    _line(answer, "99458")["units"] = 2


def _more_money(answer: Json) -> None:
    _line(answer, "99457")["amount"] = "51.78"


def _another_day(answer: Json) -> None:
    _line(answer, "99454")["service_to"] = "2026-04-29"


def _more_seconds(answer: Json) -> None:
    _line(answer, "99490")["because"][0]["have"] = "2641"


def _wrong_counterfactual(answer: Json) -> None:
    proof = _line(answer, "99457")["because"][0]
    proof["without"]["t1"] = "1661"


def _billed_though_refused(answer: Json) -> None:
    line = copy.deepcopy(_line(answer, "99457"))
    answer["billable"].append(line | {"code": "99470", "amount": "26.05"})


def _refused_though_billable(answer: Json) -> None:
    line = _line(answer, "99490")
    answer["billable"].remove(line)
    answer["refused"].append({**line, "reasons": [{"reason": "NO_CONSENT"}]})


def _left_out(answer: Json) -> None:
    answer["billable"].remove(_line(answer, "99454"))


@pytest.mark.parametrize(
    "forge",
    [
        *(_more_units, _more_money, _another_day, _more_seconds, _wrong_counterfactual),
        *(_billed_though_refused, _refused_though_billable, _left_out),
    ],
)
def test_a_forged_line_is_noticed(forge: Any) -> None:
    answer = copy.deepcopy(adjudicate(BOTH["facts"]))
    assert findings(BOTH["facts"], answer, "disagree") == []

    forge(answer)

    assert findings(BOTH["facts"], answer, "disagree") != []


def test_what_is_not_derived_is_never_agreed_to() -> None:
    case = next(case for case in CASES if case["id"] == "P02")
    facts = copy.deepcopy(case["facts"])
    facts["practice"]["kind"] = "fqhc"

    answer = adjudicate(facts)

    assert {f["verdict"] for f in check(facts, answer)} == {"unchecked"}


def test_unallocated_time_of_a_year_without_the_further_block_is_no_error() -> None:
    """Found by a changed fact: the further block of staff care begins in 2021, the month is of May 2019."""
    facts = copy.deepcopy(next(case["facts"] for case in CASES if case["id"] == "P16b"))
    facts["time_entries"][0].update(program=None, candidates=["ccm", "tcm"])

    answer = adjudicate(facts)

    assert [line["code"] for line in answer["billable"]] == ["99495"]
