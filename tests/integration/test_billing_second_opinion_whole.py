"""A thousand worked months with one fact changed: engine and second opinion give one verdict on every line."""

from __future__ import annotations

from server.billing.determine import adjudicate
from server.billing.facts import FactsError
from server.billing.proof_check import check
from tests.billing_cases.mutations import mutated


def test_a_thousand_changed_facts() -> None:
    lines = months = 0
    differing: list[str] = []
    for said, facts in mutated(1_000, seed=1):
        try:
            answer = adjudicate(facts)
        except FactsError:
            continue
        months += 1
        for finding in check(facts, answer):
            lines += 1
            if finding["verdict"] != "agree":
                differing.append(f"{said}: {finding['section']} {finding['code']} {finding['reason']}")

    assert differing == []
    assert months > 900
    assert lines > 4_000
