"""Late, corrected and withdrawn facts give a signed difference against the frozen month, with the fact behind it."""

from __future__ import annotations

import copy
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from server.billing.cli import app
from server.billing.determine import adjudicate as decide
from server.billing.difference import changed_facts, difference, is_empty, sentences
from tests.billing_cases.mutations import CASES, later

Json = dict[str, Any]


def facts_of(case_id: str) -> Json:
    return copy.deepcopy(next(case["facts"] for case in CASES if case["id"] == case_id))


def adjudicate(facts: Json) -> Json:
    return decide(facts)


def between(before: Json, after: Json) -> Json:
    return difference(adjudicate(before), before, adjudicate(after), after)


def lines(found: Json, part: str) -> list[tuple[str, str | None]]:
    return [(line["code"], line["amount"]) for line in found[part]]


def test_the_same_facts_differ_in_nothing() -> None:
    facts = facts_of("P14")

    found = between(facts, facts)

    assert is_empty(found)
    assert (found["facts"], found["total"]) == ([], "0.00")


def test_a_late_sixteenth_day_turns_the_short_supply_into_the_long_one() -> None:
    """P31: the sixteenth day reached us after the month was frozen; both supply codes pay 52.11 in 2026."""
    frozen = facts_of("P31a")
    fresh = copy.deepcopy(frozen)
    fresh["as_of"] = later(frozen["as_of"], days=5)
    late = [r["id"] for r in frozen["readings"] if r["received_at"] > frozen["as_of"]]
    frozen["readings"] = [r for r in frozen["readings"] if r["id"] not in late]

    found = between(frozen, fresh)

    assert lines(found, "removed") == [("99445", "-52.11")]
    assert lines(found, "added") == [("99454", "52.11")]
    assert found["added"][0]["caused_by"] == late
    assert [(fact["fact"], fact["change"]) for fact in found["facts"]] == [(name, "added") for name in late]
    assert found["total"] == "0.00"


def test_an_entry_corrected_by_a_second_takes_the_line_back() -> None:
    frozen = facts_of("P02")
    fresh = copy.deepcopy(frozen)
    entry = fresh["time_entries"][-1]
    entry["end"] = later(entry["end"], seconds=-1)

    found = between(frozen, fresh)

    assert lines(found, "removed") == [("99490", "-66.13")]
    assert found["removed"][0]["caused_by"] == [entry["id"]]
    assert any("19:59" in reason for reason in found["removed"][0]["reasons"])
    assert (found["added"], found["changed"], found["total"]) == ([], [], "-66.13")


def test_a_corrected_entry_changes_the_units_and_the_money_of_a_line() -> None:
    """P05h: 80:00 are 99457 and three further units of 41.42; 79:59 are two."""
    frozen = facts_of("P05h")
    fresh = copy.deepcopy(frozen)
    entry = fresh["time_entries"][-1]
    entry["end"] = later(entry["end"], seconds=-1)

    found = between(frozen, fresh)

    assert [(line["code"], line["amount"], line["fields"]["units"]) for line in found["changed"]] == [
        ("99458", "-41.42", [3, 2])
    ]
    assert found["changed"][0]["caused_by"] == [entry["id"]]
    assert found["total"] == "-41.42"


def test_consent_stopped_before_the_work_takes_every_timed_line_back() -> None:
    frozen = facts_of("P02")
    fresh = copy.deepcopy(frozen)
    fresh["consents"][0]["revoked_at"] = f"{fresh['month']}-01T12:00:00Z"

    found = between(frozen, fresh)

    assert lines(found, "removed") == [("99490", "-66.13")]
    assert [fact["change"] for fact in found["facts"]] == ["changed"]
    assert found["removed"][0]["caused_by"] == [found["facts"][0]["fact"]]


def test_a_question_that_arises_later_is_shown_as_asked() -> None:
    frozen = facts_of("P02")
    fresh = copy.deepcopy(frozen)
    fresh["hospice"] = [{"elected_on": f"{fresh['month']}-10", "revoked_on": None}]

    found = between(frozen, fresh)

    assert lines(found, "removed") == [("99490", "-66.13")]
    assert [(line["code"], line["change"]) for line in found["held"]] == [("99490", "asked")]


def test_the_difference_is_told_in_sentences() -> None:
    frozen = facts_of("P05h")
    fresh = copy.deepcopy(frozen)
    fresh["time_entries"][-1]["end"] = later(fresh["time_entries"][-1]["end"], seconds=-1)

    assert sentences(between(frozen, frozen)) == ()
    assert sentences(between(frozen, fresh)) == (
        "99458 (RPM management, each further 20 minutes): 3 become 2 units: -$41.42.",
        "In all -$41.42. Facts since then: 1 changed.",
    )
    fresh["time_entries"][-1]["end"] = later(frozen["time_entries"][-1]["end"], seconds=1)
    assert sentences(between(frozen, fresh)) == (
        "No line and no question changes; the proofs rest on other facts.",
        "In all +$0.00. Facts since then: 1 changed.",
    )
    assert sentences(between(facts_of("P01"), facts_of("P02")))[0] == (
        "99490 (CCM by staff, first 20 minutes) is new: +$66.13."
    )


def test_months_of_two_patients_are_not_compared() -> None:
    other = facts_of("P02")
    other["patient"]["id"] = "p2"

    with pytest.raises(ValueError, match="not of one patient"):
        between(facts_of("P02"), other)


def test_facts_without_an_id_are_told_apart() -> None:
    before, after = facts_of("P14"), facts_of("P14")
    after["consents"][1]["revoked_at"] = "2026-04-20T12:00:00Z"

    assert [fact["fact"].split(":")[0] for fact in changed_facts(before, after)] == ["consents"]


def claimed(answer: Json) -> dict[str, Json]:
    keep = ("code", "units", "amount", "service_from", "service_to", "practitioner", "lane")
    return {f"{line['code']} {line['period']}": {name: line[name] for name in keep} for line in answer["billable"]}


def test_two_hundred_late_batches_end_where_a_fresh_run_ends() -> None:
    """Facts arrive in any order and any batches; the signed differences add up to the fresh decision."""
    chance = random.Random(7)
    arriving = ("readings", "time_entries", "visits", "stays")
    cases = [case for case in CASES if sum(len(case["facts"].get(name) or ()) for name in arriving) > 3]
    batches = 0
    while batches < 200:
        whole = chance.choice(cases)["facts"]
        late = [(name, fact) for name in arriving for fact in whole.get(name) or ()]
        chance.shuffle(late)
        known: Json = copy.deepcopy({**whole, **{name: [] for name, _ in late}})
        answer = adjudicate(known)
        total, codes = Decimal(answer["total"]), set(claimed(answer))
        while late:
            size = chance.randint(1, max(1, len(late) // 2))
            batch, late = late[:size], late[size:]
            fresh: Json = copy.deepcopy(known)
            for name, fact in batch:
                fresh[name].append(fact)
            decided = adjudicate(fresh)
            found = difference(answer, known, decided, fresh)
            gone = {f"{line['code']} {line['period']}" for line in found["removed"]}
            come = {f"{line['code']} {line['period']}" for line in found["added"]}
            assert gone <= codes
            assert not come & codes
            codes = (codes - gone) | come
            total += Decimal(found["total"])
            known, answer, batches = fresh, decided, batches + 1
        expected = adjudicate(whole)
        assert claimed(answer) == claimed(expected)
        assert codes == set(claimed(expected))
        assert total == Decimal(expected["total"])


def test_the_command_prints_the_difference_and_refuses_two_patients(tmp_path: Path) -> None:
    old, new, other = facts_of("P01"), facts_of("P02"), facts_of("P02")
    other["patient"]["id"] = "p2"
    for name, facts in (("old", old), ("new", new), ("other", other)):
        (tmp_path / name).write_text(json.dumps(facts), encoding="utf-8")

    good = CliRunner().invoke(app, ["difference", str(tmp_path / "old"), str(tmp_path / "new")])
    bad = CliRunner().invoke(app, ["difference", str(tmp_path / "old"), str(tmp_path / "other")])

    assert (good.exit_code, json.loads(good.stdout)["total"]) == (0, "66.13")
    assert bad.exit_code == 2
    assert "not of one patient" in json.loads(bad.stderr)["error"]["message"]


def test_the_check_command_exits_one_when_a_line_is_forged(tmp_path: Path) -> None:
    facts = facts_of("P02")
    answer = copy.deepcopy(adjudicate(facts))
    pair = tmp_path / "facts", tmp_path / "answer"
    pair[0].write_text(json.dumps(facts), encoding="utf-8")
    pair[1].write_text(json.dumps(answer), encoding="utf-8")

    good = CliRunner().invoke(app, ["check", *map(str, pair)])
    answer["billable"][0]["units"] = 2
    forged = CliRunner().invoke(app, ["check", "-"], input=json.dumps({"facts": facts, "adjudication": answer}) + "\n")
    wrong = CliRunner().invoke(app, ["check", "-"], input='{"facts": {}}\n')

    assert (good.exit_code, json.loads(good.stdout)["disagree"]) == (0, 0)
    assert (forged.exit_code, json.loads(forged.stdout)["disagree"]) == (1, 1)
    assert (wrong.exit_code, json.loads(wrong.stderr)["error"]["where"]) == (2, "line 1")
