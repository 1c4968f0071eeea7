"""Laws of billing that hold for every month: arithmetic of time and days, against a naive second-by-second count."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.billing.calendar import thirty_day_periods
from server.billing.determine import adjudicate
from server.billing.time_ledger import Piece, tally
from tests.billing_cases.months import entry, month_facts

Json = dict[str, Any]
START = datetime(2026, 6, 9, 14, 0, tzinfo=UTC)
CAPS = {"99458": 3, "99439": 2}
RUNS = settings(max_examples=60, deadline=None)


def work(draws: list[tuple[int, int, int, str]]) -> list[Json]:
    """(offset, length, person, program) → entries within a few hours of one day."""
    made = []
    for place, (offset, length, person, program) in enumerate(draws):
        start = (START + timedelta(seconds=offset)).isoformat()
        live = {"live": True, "with": "patient"} if program == "rpm" else {}
        made.append(entry(f"t{place}", program, start, length, performer=f"rn-{person}", **live))
    return made


def facts_with(entries: list[Json]) -> Json:
    facts = month_facts("2026-06", rpm_time="0:01", ccm_time="0:01")
    facts["staff"] = [
        {"id": f"rn-{n}", "credential": "RN", "employer": "practice", "qualified": True} for n in range(1, 4)
    ]
    return {**facts, "time_entries": entries}


def counted(answer: Json, program: str) -> int:
    return sum(int(row["counted_seconds"]) for row in answer["time"] if row["program"] == program)


def naive(entries: list[Json], program: str) -> int:
    """Second by second: a second counts when someone works for the program and does not work for another at once."""
    total = 0
    spans = [
        (
            int((datetime.fromisoformat(e["start"]) - START).total_seconds()),
            int((datetime.fromisoformat(e["end"]) - START).total_seconds()),
            e["performer"],
            e["program"],
        )
        for e in entries
    ]
    for second in range(min((s[0] for s in spans), default=0), max((s[1] for s in spans), default=0)):
        busy: dict[str, set[str]] = {}
        for low, high, performer, tag in spans:
            if low <= second < high:
                busy.setdefault(performer, set()).add(tag)
        total += any(tags == {program} for tags in busy.values())
    return total


SHIFTS = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(1, 1500), st.integers(1, 3), st.sampled_from(["rpm", "ccm"])),
    min_size=1,
    max_size=7,
)


@RUNS
@given(SHIFTS)
def test_counted_seconds_agree_with_a_count_second_by_second(draws: list[tuple[int, int, int, str]]) -> None:
    entries = work(draws)

    answer: Json = adjudicate(facts_with(entries))

    for program in ("rpm", "ccm"):
        assert counted(answer, program) == naive(entries, program)


@RUNS
@given(SHIFTS, st.randoms(use_true_random=False))
def test_order_of_lists_is_irrelevant(draws: list[tuple[int, int, int, str]], chance: random.Random) -> None:
    facts = facts_with(work(draws))
    shuffled = {**facts}
    for name in ("time_entries", "staff", "enrollments", "readings", "visits"):
        shuffled[name] = chance.sample(facts[name], len(facts[name]))

    one, other = adjudicate(facts), adjudicate(shuffled)

    for part in ("time", "days", "total", "pack"):
        assert one[part] == other[part]
    for part in ("billable", "refused", "held"):
        lines: Any = one[part]
        others: Any = other[part]
        assert [(x["code"], x["units"]) for x in lines] == [(x["code"], x["units"]) for x in others]


@RUNS
@given(SHIFTS, st.data())
def test_splitting_an_entry_changes_nothing(draws: list[tuple[int, int, int, str]], data: st.DataObject) -> None:
    entries = work(draws)
    place = data.draw(st.integers(0, len(entries) - 1))
    whole = entries[place]
    length = int((datetime.fromisoformat(whole["end"]) - datetime.fromisoformat(whole["start"])).total_seconds())
    at = data.draw(st.integers(0, length))
    middle = (datetime.fromisoformat(whole["start"]) + timedelta(seconds=at)).isoformat()
    halves = [{**whole, "end": middle}, {**whole, "id": "half", "start": middle}]
    split = [*entries[:place], *halves, *entries[place + 1 :]]

    one: Json = adjudicate(facts_with(entries))
    other: Json = adjudicate(facts_with(split))

    for program in ("rpm", "ccm"):
        assert counted(one, program) == counted(other, program)
    assert [(x["code"], x["units"]) for x in one["billable"]] == [(x["code"], x["units"]) for x in other["billable"]]


@RUNS
@given(SHIFTS, st.integers(1, 3000))
def test_more_distinct_seconds_never_lose_money_in_a_lane(draws: list[tuple[int, int, int, str]], more: int) -> None:
    """RPM within its program and CCM within the staff lane: another free hour of work only adds."""
    entries = work(draws)
    start = (START + timedelta(hours=5)).isoformat()
    extra = [
        entry("extra-r", "rpm", start, more, performer="rn-1", live=True, **{"with": "patient"}),
        entry("extra-c", "ccm", (START + timedelta(hours=8)).isoformat(), more, performer="rn-1"),
    ]

    before: Json = adjudicate(facts_with(entries))
    after: Json = adjudicate(facts_with([*entries, *extra]))

    assert float(after["total"]) >= float(before["total"])


@RUNS
@given(SHIFTS)
def test_units_stay_under_their_limits_and_no_second_is_in_two_programs(draws: list[tuple[int, int, int, str]]) -> None:
    entries = work(draws)

    answer: Json = adjudicate(facts_with(entries))

    for line in answer["billable"]:
        assert line["units"] <= CAPS.get(line["code"], 1)
    worked = {
        (person, second)
        for e in entries
        for person in [e["performer"]]
        for second in range(
            int((datetime.fromisoformat(e["start"]) - START).total_seconds()),
            int((datetime.fromisoformat(e["end"]) - START).total_seconds()),
        )
    }
    assert sum(int(row["counted_seconds"]) for row in answer["time"]) <= len(worked)


@RUNS
@given(SHIFTS)
def test_counted_and_excluded_add_up_to_the_entry(draws: list[tuple[int, int, int, str]]) -> None:
    entries = {e["id"]: e for e in work(draws)}

    answer: Json = adjudicate(facts_with(list(entries.values())))

    for row in answer["time"]:
        e = entries[row["entry"]]
        length = (datetime.fromisoformat(e["end"]) - datetime.fromisoformat(e["start"])).total_seconds()
        assert int(row["counted_seconds"]) + sum(int(cut["seconds"]) for cut in row["excluded"]) == length


@RUNS
@given(SHIFTS)
def test_counterfactual_is_what_remains_without_the_entry(draws: list[tuple[int, int, int, str]]) -> None:
    entries = [e for e in work(draws) if e["program"] == "ccm"]
    facts = facts_with(entries)

    for line in adjudicate(facts)["billable"]:  # type: ignore[attr-defined]
        for proof in line["because"]:
            for name, left in proof["without"].items() if proof["unit"] == "s" else ():
                remaining = [e for e in entries if e["id"] != name]
                assert int(left) == naive(remaining, "ccm")


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 200)), max_size=12))
def test_union_is_the_number_of_covered_seconds(draws: list[tuple[int, int]]) -> None:
    pieces = [Piece(start=low, end=low + size, entry=f"e{n}", performer="x") for n, (low, size) in enumerate(draws)]

    found = tally(pieces)

    covered = {second for low, size in draws for second in range(low, low + size)}
    assert found.total == len(covered) == sum(found.by_entry.values())
    for n, (low, size) in enumerate(draws):
        others = {second for m, (a, b) in enumerate(draws) if m != n for second in range(a, a + b)}
        assert found.without(f"e{n}") == len(covered) - len(set(range(low, low + size)) - others)


@given(st.dates(date(2019, 1, 1), date(2027, 12, 31)), st.integers(0, 800))
def test_device_periods_tile_the_calendar(anchor: date, days: int) -> None:
    periods = list(thirty_day_periods(anchor, anchor + timedelta(days=days), length=30))

    assert periods[0].first == anchor
    assert periods[-1].first <= anchor + timedelta(days=days) <= periods[-1].last
    for before, after in pairwise(periods):
        assert (after.first - before.last).days == 1
        assert (before.last - before.first).days == 29


@RUNS
@given(st.sets(st.integers(0, 29), max_size=30), st.sets(st.integers(0, 29), max_size=10))
def test_days_are_distinct_dates_of_automatic_readings(automatic: set[int], typed: set[int]) -> None:
    """The anchor day is always there; typed readings never add a day."""
    from tests.billing_cases.months import reading

    facts = month_facts("2026-04", period_from=date(2026, 4, 1), days=1)
    facts["readings"] += [reading(f"a{n}", date(2026, 4, 1) + timedelta(days=n), hour=15) for n in sorted(automatic)]
    facts["readings"] += [
        reading(f"m{n}", date(2026, 4, 1) + timedelta(days=n), hour=16, entry_mode="manual") for n in sorted(typed)
    ]

    answer: Json = adjudicate(facts)

    days = len(automatic | {0})
    expected = [] if days < 2 else ["99445"] if days < 16 else ["99454"]
    assert [line["code"] for line in answer["billable"]] == expected
