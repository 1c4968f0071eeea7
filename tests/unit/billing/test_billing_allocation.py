"""Proposals for time that nobody allocated, against a brute force that knows nothing of the search."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from server.billing import allocation
from server.billing.determine import adjudicate
from tests.billing_cases.months import Json, entry, local, month_facts

Choice = dict[str, str]


def month(*loose: Json, rpm: str = "0:00", ccm: str = "0:00", **said: Any) -> Json:
    facts = month_facts("2026-04", period_from=date(2026, 4, 1), days=16, rpm_time=rpm, ccm_time=ccm, **said)
    facts["time_entries"] += loose
    return facts


def loose(name: str, minutes: float, day: int, *candidates: str, **changes: Any) -> Json:
    start = local(date(2026, 4, day), 11)
    return entry(
        name, None, start, round(minutes * 60), **{"candidates": list(candidates or ("rpm", "ccm")), **changes}
    )


def proposals(facts: Json) -> list[Json]:
    found: list[Json] = adjudicate(facts)["proposals_for_allocation"]  # type: ignore[assignment]
    return found


def assigned(one: Json) -> Choice:
    return {pair["entry"]: pair["program"] for pair in one["assign"]}


# --- the oracle ---


def tagged(facts: Json, choice: Choice) -> Json:
    entries = [
        {**e, "program": choice[e["id"]], "candidates": []} if e["id"] in choice else e for e in facts["time_entries"]
    ]
    return {**facts, "time_entries": entries}


def worth(answer: Json) -> Decimal:
    return sum((Decimal(line["amount"]) for line in answer["billable"] if line["amount"]), Decimal(0))


def questions(answer: Json) -> set[tuple[str, str]]:
    return {(line["code"], reason["reason"]) for line in answer["held"] for reason in line["reasons"]}


def lawful(facts: Json, choice: Choice, before: Json) -> Decimal | None:
    answer: Json = adjudicate(tagged(facts, choice))
    rows = {row["entry"]: row for row in answer["time"]}
    for name in choice:
        if any(cut["reason"] == "OVERLAP_CROSS_PROGRAM" for cut in rows[name]["excluded"]):
            return None
    return worth(answer) if questions(answer) <= questions(before) else None


def brute_force(facts: Json) -> dict[int, Decimal]:
    """Number of changes → most that any lawful allocation of so many entries, or fewer, is worth."""
    waiting = [e for e in facts["time_entries"] if e["program"] is None]
    before: Json = adjudicate(facts)
    best = {0: worth(before)}
    for choices in product(*[[None, *e["candidates"]] for e in waiting]):
        choice = {e["id"]: program for e, program in zip(waiting, choices, strict=True) if program}
        value = lawful(facts, choice, before)
        if value is not None:
            best[len(choice)] = max(best.get(len(choice), value), value)
    steps, most = {}, best[0]
    for count in sorted(best):
        if best[count] > most:
            steps[count] = most = best[count]
    return steps


def test_month_with_every_minute_tagged_has_no_proposal() -> None:
    assert proposals(month(rpm="25:00", ccm="25:00")) == []


def test_entry_goes_where_it_completes_a_block() -> None:
    (one,) = proposals(month(loose("u1", 5, 20), rpm="25:00", ccm="15:00"))

    assert assigned(one) == {"u1": "ccm"}
    assert one["lines"] == [{"code": "99490", "units": 1}]
    assert (one["total_before"], one["total"]) == ("103.88", "170.01")  # 52.11 + 51.77, and 66.13 more
    assert one["certificate"]["complete"] is True
    assert one["certificate"]["bound"] == one["total"]


@pytest.mark.parametrize(("seconds", "found"), [(299, 0), (300, 1), (301, 1)])
def test_boundary_of_the_block(seconds: int, found: int) -> None:
    assert len(proposals(month(loose("u1", seconds / 60, 20), rpm="25:00", ccm="15:00"))) == found


def test_fewest_changes_come_first_then_value() -> None:
    facts = month(loose("u1", 5, 20), loose("u2", 15, 21), rpm="25:00", ccm="15:00")
    found = proposals(facts)

    # One entry: 99490 by either, or 99458 by u2. Two: u1 completes 99490 and u2 99458.
    assert [(one["changes"], one["lines"]) for one in found] == [
        (1, [{"code": "99490", "units": 1}]),
        (2, [{"code": "99458", "units": 1}, {"code": "99490", "units": 1}]),
    ]
    assert assigned(found[1]) == {"u1": "ccm", "u2": "rpm"}
    assert [one["rank"] for one in found] == [1, 2]


def test_tagged_minutes_never_move_and_the_verdicts_do_not_change() -> None:
    facts = month(loose("u1", 5, 20), rpm="41:00", ccm="15:00")
    answer: Json = adjudicate(facts)

    assert {line["code"] for line in answer["billable"]} == {"99454", "99457", "99458"}
    assert all(set(assigned(one)) <= {"u1"} for one in answer["proposals_for_allocation"])
    row = next(row for row in answer["time"] if row["entry"] == "u1")
    assert row["counted_seconds"] == "0"


@pytest.mark.parametrize(
    ("change", "candidates", "reason"),
    [
        ({}, ("rpm", "pcm"), "NO_CONSENT"),
        ({"activity": "voicemail"}, ("ccm",), "CONDITIONS_NOT_MET"),
        ({"automated": True}, ("ccm",), "WRONG_PERFORMER"),
        ({"in_person": True}, ("ccm",), "CONDITIONS_NOT_MET"),
        ({"part_of_visit": True}, ("ccm",), "OVERLAP_CROSS_PROGRAM"),
    ],
    ids=["not enrolled", "activity", "automated", "in person", "inside a visit"],
)
def test_entry_is_barred_from_what_its_rules_do_not_allow(
    change: Json, candidates: tuple[str, ...], reason: str
) -> None:
    facts = month(loose("u1", 20, 20, *candidates, **change), loose("u2", 5, 21, "ccm"), rpm="25:00", ccm="15:00")
    one = proposals(facts)[0]

    assert {"entry": "u1", "program": candidates[-1], "reason": reason} in one["barred"]
    assert assigned(one).get("u1") != candidates[-1]


def test_overlap_with_a_tagged_entry_of_the_same_person_is_barred() -> None:
    clash = {**loose("u1", 20, 20, "ccm"), "start": local(date(2026, 4, 5), 13), "end": local(date(2026, 4, 5), 13, 20)}
    facts = month(clash, loose("u2", 5, 21, "ccm"), rpm="25:00", ccm="15:00")

    for one in proposals(facts):
        assert "u1" not in assigned(one)
        assert {"entry": "u1", "program": "ccm", "reason": "OVERLAP_CROSS_PROGRAM"} in one["barred"]


def test_allocation_that_would_raise_a_question_is_not_proposed() -> None:
    # The practitioner's own half hour would tie with the staff lane and make a person choose.
    facts = month(loose("u1", 31, 20, "ccm", performer="dr-a"), ccm="25:00")

    assert all(assigned(one) != {"u1": "ccm"} for one in proposals(facts))
    assert [one["total"] for one in proposals(facts)] == [f"{v:.2f}" for v in brute_force(facts).values()]


def test_live_talk_that_a_month_lacks_is_found() -> None:
    facts = month(loose("u1", 1, 20, live=True, activity="live-call", **{"with": "patient"}), rpm="25:00", live=False)
    (one,) = proposals(facts)

    assert assigned(one) == {"u1": "rpm"}
    assert one["lines"] == [{"code": "99457", "units": 1}]


@pytest.mark.parametrize("seed", range(24))
def test_search_equals_brute_force(seed: int) -> None:
    chance = random.Random(seed)
    candidates: list[tuple[str, ...]] = [("rpm", "ccm"), ("ccm",), ("rpm",), ("ccm", "pcm")]
    changes: list[Json] = [
        {},
        {"performer": "dr-a"},
        {"live": True, "with": "patient"},
        {"activity": "text"},
        {"automated": True},
    ]
    waiting = [
        loose(
            f"u{n}",
            chance.choice([1, 4.5, 5, 9, 10, 15, 20, 30]),
            12 + n,
            *chance.choice(candidates),
            **chance.choice(changes),
        )
        for n in range(chance.randint(1, 4))
    ]
    said: Json = chance.choice([{}, {"lane": "practitioner"}, {"lane": "complex", "decision_making": "moderate"}])
    facts = month(
        *waiting,
        rpm=f"{chance.randint(0, 42)}:00",
        ccm=f"{chance.randint(0, 62)}:00",
        live=chance.random() < 0.7,
        **said,
    )
    found = proposals(facts)

    assert {one["changes"]: Decimal(one["total"]) for one in found} == brute_force(facts)
    for one in found:
        assert lawful(facts, assigned(one), adjudicate(facts)) == Decimal(one["total"])
        assert one["certificate"] == one["certificate"] | {"complete": True, "bound": one["total"]}


def test_stopped_search_says_so_and_bounds_what_it_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "MOST_DECISIONS", 1)
    facts = month(*[loose(f"u{n}", 10, 10 + n) for n in range(5)], rpm="15:00", ccm="15:00")
    said = proposals(facts)[-1]["certificate"]["any_changes"]

    assert said["complete"] is False
    assert Decimal(said["bound"]) >= max(brute_force(facts).values())


def test_same_proposals_in_any_order_of_the_facts() -> None:
    facts = month(loose("u1", 5, 20), loose("u2", 15, 21), loose("u3", 5, 22), rpm="25:00", ccm="15:00")
    turned = {**facts, "time_entries": list(reversed(facts["time_entries"]))}

    assert proposals(facts) == proposals(turned)


def test_locked_year_proposes_nothing() -> None:
    facts = month_facts("2027-01", ccm_time="15:00")
    facts["time_entries"].append(entry("u1", None, local(date(2027, 1, 20), 11), 600, candidates=["ccm"]))

    assert proposals(facts) == []


@pytest.mark.parametrize("name", ["2019-12", "2021-06", "2024-03", "2025-12"])
def test_months_before_a_block_existed_are_searched_too(name: str) -> None:
    """No further block of RPM before 2020, no further block of the practitioner's own CCM before 2022."""
    first = date.fromisoformat(f"{name}-01")
    facts = month_facts(name, period_from=first, days=16, rpm_time="15:00", ccm_time="15:00")
    start = local(first.replace(day=20), 11)
    facts["time_entries"].append(entry("u1", None, start, 300, candidates=["rpm", "ccm"]))

    assert {one["changes"]: Decimal(one["total"]) for one in proposals(facts)} == brute_force(facts)
