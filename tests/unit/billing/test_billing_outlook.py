"""What a running month lacks, by when, and whether it can still come: each edge a day or a second to both sides."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from server.billing.outlook import Outlook, outlook
from tests.billing_cases.months import Json, local, month_facts, reading


def at(facts: Json, on: date, hour: int = 12) -> Json:
    """The facts as they stand on a date: readings after it have not come."""
    moment = local(on, hour)
    kept = [one for one in facts["readings"] if one["received_at"] <= moment]
    return {**facts, "as_of": moment, "readings": kept}


def supply(have: int, today: int, *, measured_today: bool = False) -> Json:
    """Days of readings in the period 2026-04-01 to 2026-04-30, seen at noon of a day of April."""
    facts = month_facts("2026-04", period_from=date(2026, 4, 1), days=1)
    days = [date(2026, 4, 1) + timedelta(days=n) for n in range(have - int(measured_today))]
    if measured_today:
        days.append(date(2026, 4, today))
    facts["readings"] = [reading(f"r{n}", day) for n, day in enumerate(days)]
    return at(facts, date(2026, 4, today))


def codes(facts: Json) -> dict[str, Outlook]:
    return {one.code: one for one in outlook(facts)}


@pytest.mark.parametrize(
    ("have", "today", "many", "few"),
    [
        (14, 28, "open", "met"),  # 28, 29 and 30 are left
        (14, 29, "open", "met"),  # two left, two missing: every day is needed
        (14, 30, "impossible", "met"),  # one left, two missing
        (13, 28, "open", "met"),
        (12, 28, "impossible", "met"),
        (15, 30, "open", "met"),
        (16, 30, "met", "settled"),
        (1, 30, "impossible", "open"),
        (1, 16, "open", "open"),  # fifteen left, fifteen missing
        (1, 17, "impossible", "open"),
    ],
)
def test_days_missing_against_days_left(have: int, today: int, many: str, few: str) -> None:
    found = codes(supply(have, today))

    assert (found["99454"].state, found["99445"].state) == (many, few)
    assert found["99454"].left == 30 - today + 1


def test_today_is_no_day_left_once_it_is_measured() -> None:
    before, after = codes(supply(14, 29)), codes(supply(15, 29, measured_today=True))

    assert (before["99454"].have, before["99454"].left) == (14, 2)
    assert (after["99454"].have, after["99454"].left) == (15, 1)


def test_date_from_which_every_day_is_needed() -> None:
    found = codes(supply(10, 20))["99454"]

    # Six missing, eleven left: from the 25th on each of the six days counts.
    assert found.every_day_from == date(2026, 4, 25)
    assert found.lacks[0].as_json() == {
        "reason": "DAYS_BELOW_THRESHOLD",
        "text": "6 days of readings missing, 11 days left until 2026-04-30",
        "missing": 6,
        "unit": "day",
        "by": "2026-04-30",
        "possible": True,
    }


def test_episode_that_is_known_to_end_leaves_fewer_days() -> None:
    facts = supply(10, 20)
    facts["enrollments"][0] |= {"to": "2026-04-24", "end_reason": "goals-met"}
    found = codes(facts)["99454"]

    assert (found.left, found.state) == (5, "impossible")
    facts["enrollments"][0]["to"] = "2026-04-19"
    assert "99454" not in codes(facts)


def test_period_that_runs_into_the_next_month_is_looked_at_to_its_end() -> None:
    facts = at(month_facts("2026-04", period_from=date(2026, 4, 20), days=5), date(2026, 4, 24))
    found = codes(facts)["99454"]

    assert found.period.as_facts() == {"from": "2026-04-20", "to": "2026-05-19"}
    assert (found.have, found.left, found.state) == (5, 25, "open")


def test_short_code_did_not_exist_in_2025() -> None:
    facts = at(month_facts("2025-11", period_from=date(2025, 11, 1), days=14), date(2025, 11, 30))

    assert codes(facts)["99454"].state == "impossible"
    assert "99445" not in codes(facts)


def timed(seconds: int, as_of: str, **said: object) -> Json:
    facts = month_facts("2026-04", rpm_time=f"{seconds // 60}:{seconds % 60:02d}", **said)
    return {**facts, "as_of": as_of}


@pytest.mark.parametrize(
    ("before_midnight", "state"), [(601, "open"), (600, "open"), (599, "impossible")], ids=["+1", "0", "-1"]
)
def test_seconds_missing_against_seconds_left_in_the_month(before_midnight: int, state: str) -> None:
    # Local midnight after 30 April 2026 in New York is 04:00 UTC of 1 May.
    moment = datetime(2026, 5, 1, 4, tzinfo=UTC) - timedelta(seconds=before_midnight)
    found = codes(timed(600, moment.isoformat()))["99457"]

    assert found.state == state
    assert found.lacks[0].missing == 600
    assert found.lacks[0].by == date(2026, 4, 30)


def test_month_codes_say_what_they_lack() -> None:
    found = codes(timed(1500, "2026-04-20T16:00:00Z", live=False))

    assert [(lack.reason, lack.missing, lack.unit) for lack in found["99457"].lacks] == [
        ("NO_INTERACTIVE_COMM", 1, "contact")
    ]
    assert found["99457"].state == "open"
    assert found["99470"].state == "settled"


def test_met_and_next_block() -> None:
    found = codes(timed(1500, "2026-04-20T16:00:00Z"))

    assert found["99457"].state == "met"
    assert found["99457"].lacks == ()
    assert [(lack.missing, lack.unit) for lack in found["99458"].lacks] == [(900, "s")]


def test_missing_consent_is_open_and_a_revoked_one_is_not() -> None:
    facts = timed(1500, "2026-04-20T16:00:00Z")
    assert codes({**facts, "consents": []})["99457"].state == "open"

    revoked = [{**one, "revoked_at": "2026-03-01T12:00:00Z"} for one in facts["consents"]]
    granted = [{**one, "granted_at": "2026-02-01T12:00:00Z"} for one in revoked]
    assert codes({**facts, "consents": granted})["99457"].state == "impossible"


def test_another_practitioners_month_is_impossible() -> None:
    facts = month_facts("2026-05", ccm_time="10:00")
    facts["as_of"] = "2026-05-20T16:00:00Z"
    facts["services"] = [
        {"code": "99490", "from": "2026-05-31", "to": "2026-05-31", "practitioner": "dr-z", "status": "paid"}
    ]

    assert codes(facts)["99490"].state == "impossible"


def test_month_that_is_over_or_locked_has_no_outlook() -> None:
    assert outlook(month_facts("2026-04", rpm_time="10:00")) == ()
    assert outlook({**month_facts("2027-01", rpm_time="10:00"), "as_of": "2027-01-20T12:00:00Z"}) == ()


def test_nothing_suggests_an_act() -> None:
    """Facts only: no word that tells somebody to do something to the patient."""
    for facts in (supply(10, 20), timed(600, "2026-04-20T16:00:00Z", live=False)):
        said = json.dumps([one.as_json() for one in outlook(facts)]).lower()
        assert not any(word in said for word in ("call the", "please", "remind", "should", "contact the patient"))
