"""Payer packs: an overlay switches codes, dates of service, authorisations and values, and Medicare stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.billing.determine import adjudicate
from server.billing.explain import explain
from server.billing.facts import FactsError
from server.billing.packs import FOLDER_VARIABLE, MEDICARE, installed, pack_for, pack_of
from server.billing.parameter_tree import ParameterError, medicare
from tests.billing_cases.months import Json, month_facts

FOLDER = Path(__file__).parent / "packs"
NAME = "example-commercial"
REFERENCE = {"title": "Policy", "locator": "1", "confidence": "V2"}


@pytest.fixture(autouse=True)
def _installation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(FOLDER_VARIABLE, str(FOLDER))
    installed.cache_clear()
    yield
    installed.cache_clear()


def facts(month: str = "2026-04", pack: str = NAME, **said: Any) -> Json:
    made = month_facts(month, **{"period_from": date.fromisoformat(f"{month}-01"), "days": 16, **said})
    made["payer"]["pack"] = pack
    return made


def billed(answer: Json) -> dict[str, int]:
    return {line["code"]: line["units"] for line in answer["billable"]}


def words(answer: Json, section: str, code: str) -> set[str]:
    return {r["reason"] for line in answer[section] if line["code"] == code for r in line["reasons"]}


def test_code_the_payer_never_took_is_not_effective_and_cites_the_payer() -> None:
    answer: Json = adjudicate(facts(days=15))
    line = next(line for line in answer["refused"] if line["code"] == "99445")
    reason = next(r for r in line["reasons"] if r["reason"] == "CODE_NOT_EFFECTIVE")

    assert "99445" not in billed(answer)
    assert reason["text"] == "Example Health does not take 99445 on 2026-04-30"
    assert reason["citation"]["title"] == "Example Health remote monitoring policy RM-1"
    assert billed(adjudicate(facts(days=15, pack="medicare-b"))) == {"99445": 1}


@pytest.mark.parametrize(("month", "stands"), [("2026-06", True), ("2026-07", False)])
def test_code_the_payer_took_until_a_date_is_terminated_from_it_on(month: str, stands: bool) -> None:
    answer: Json = adjudicate(facts(month, rpm_time="12:00", changes={}))

    assert ("99470" in billed(answer)) is stands
    assert ("CODE_TERMINATED" in words(answer, "refused", "99470")) is not stands


def test_authorisation_is_awaited_and_then_lets_the_line_stand() -> None:
    waiting: Json = adjudicate(facts())
    reason = next(r for line in waiting["held"] if line["code"] == "99454" for r in line["reasons"])
    granted = {"code": "99454", "from": "2026-04-01", "to": "2026-04-30", "granted_at": "2026-03-30T12:00:00Z"}

    assert reason["reason"] == "CONDITIONS_NOT_MET"
    assert reason["question"].startswith("Has Example Health authorised 99454 for 2026-04-30?")
    assert billed(adjudicate({**facts(), "authorizations": [granted]})) == {"99454": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"to": "2026-04-29"},
        {"from": "2026-05-01", "to": None},
        {"code": "99457"},
        {"granted_at": "2026-06-01T00:00:00Z"},
    ],
    ids=["ends a day early", "begins a day late", "another code", "granted after as_of"],
)
def test_authorisation_that_does_not_cover_the_date_helps_nothing(change: Json) -> None:
    granted = {"code": "99454", "from": "2026-04-01", "to": "2026-04-30", "granted_at": "2026-03-30T12:00:00Z"}
    answer: Json = adjudicate({**facts(), "authorizations": [{**granted, **change}]})

    assert words(answer, "held", "99454") == {"CONDITIONS_NOT_MET"}


def test_style_of_the_date_of_service_is_the_payers() -> None:
    answer: Json = adjudicate(facts(days=1, rpm_time="25:00"))
    line = next(line for line in answer["billable"] if line["code"] == "99457")

    # 14 minutes on the 5th, 11 on the 6th: the twentieth minute is worked on the 6th.
    assert line["service_to"] == "2026-04-06"
    medicare_answer: Json = adjudicate(facts(days=1, rpm_time="25:00", pack="medicare-b"))
    medicare_line = next(line for line in medicare_answer["billable"] if line["code"] == "99457")
    assert medicare_line["service_to"] == "2026-04-30"


def test_value_of_the_payer_replaces_medicares_from_its_date_on() -> None:
    answer: Json = adjudicate(facts(days=1, rpm_time="80:00"))

    assert billed(answer) == {"99457": 1, "99458": 1}
    assert words(answer, "held", "99458") == {"MUE_EXCESS"}
    _, tree = pack_for(NAME)
    assert tree.whole("units/99458", date(2025, 12, 31)) == medicare().whole("units/99458", date(2025, 12, 31)) == 3
    assert tree.digest != medicare().digest


def test_payer_with_own_fees_has_no_amount_and_never_zero() -> None:
    answer: Json = adjudicate(facts(days=1, rpm_time="25:00"))

    assert [line["amount"] for line in answer["billable"]] == [None]
    assert answer["total"] is None
    assert answer["pack"]["id"] == NAME


def test_unknown_pack_is_an_input_error_beside_all_others() -> None:
    wrong = facts(pack="medicare-c")
    wrong["practice"]["time_zone"] = "Mars/Olympus"
    with pytest.raises(FactsError) as caught:
        adjudicate(wrong)

    found = {problem.where: problem.message for problem in caught.value.problems}
    assert found["payer.pack"] == (
        "no payer pack 'medicare-c' is installed; installed are example-commercial, medicare-b"
    )
    assert "practice.time_zone" in found
    wrong["month"] = "June"
    with pytest.raises(FactsError) as again:
        adjudicate(wrong)
    assert {"payer.pack", "month"} <= {problem.where for problem in again.value.problems}


def test_medicare_facts_never_feel_an_installed_pack() -> None:
    made = facts(pack="medicare-b", rpm_time="25:00")
    before = json.dumps(adjudicate(made), sort_keys=True)
    installed.cache_clear()

    assert pack_for("medicare-b") == (MEDICARE, medicare())
    assert json.dumps(adjudicate(made), sort_keys=True) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"discount": 3}, "unknown key discount"),
        ({"base": "medicaid"}, "is not medicare-b"),
        ({"id": "other"}, "id is the name of the file"),
        ({"amounts": "guess"}, "amounts is"),
        ({"last_reviewed": "soon"}, "is no date"),
        ({"codes": {"12345": {date(2026, 1, 1): {"value": False, "reference": REFERENCE}}}}, "no code of the register"),
        ({"codes": {"99445": {date(2026, 1, 1): {"value": "no", "reference": REFERENCE}}}}, "true or false"),
        ({"codes": {"99445": {date(2026, 1, 1): {"value": False}}}}, "has no reference"),
        ({"parameters": {"rpm/nothing": {date(2026, 1, 1): {"value": 1, "reference": REFERENCE}}}}, "is no parameter"),
        ({"date_of_service": {date(2026, 1, 1): {"value": "never", "reference": REFERENCE}}}, "is one of last-day"),
    ],
)
def test_wrong_pack_is_refused_with_what_to_do(change: Json, message: str) -> None:
    good = yaml.safe_load((FOLDER / f"{NAME}.yaml").read_text(encoding="utf-8"))
    pack_of(NAME, good)

    with pytest.raises(ParameterError, match=message):
        pack_of(NAME, {**good, **change})


def test_explain_names_the_payers_pack() -> None:
    assert "rules of the pack example-commercial over Medicare's of 2026" in explain(adjudicate(facts()))[0]
    assert "Medicare Part B rules of 2026" in explain(adjudicate(facts(pack="medicare-b")))[0]
