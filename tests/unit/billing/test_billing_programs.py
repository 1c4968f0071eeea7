"""Programs beside RPM and CCM: thresholds, exclusions by date, and claims of public guides that are wrong."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from server.billing.determine import adjudicate
from tests.billing_cases.months import (
    ccm_part,
    consent,
    entries,
    local,
    month_facts,
    reading,
    rpm_part,
    seconds,
    visit,
)

Json = dict[str, Any]


def decide(facts: Json) -> Json:
    answer: Json = adjudicate(facts)
    return answer


def billed(answer: Json) -> dict[str, int]:
    return {line["code"]: line["units"] for line in answer["billable"]}


def words(answer: Json, section: str, code: str) -> set[str]:
    return {r["reason"] for line in answer[section] if line["code"] == code for r in line["reasons"]}


def program(month: str, name: str, time: str | int = 0, *, own: str | int = 0, **enrollment: Any) -> Json:
    """A month with one program, enrolled and consented six weeks before."""
    facts = month_facts(month)
    first = date.fromisoformat(f"{month}-01")
    seen = first - timedelta(days=45)
    visit(facts, seen, name)
    facts["enrollments"].append(
        {"program": name, "practitioner": "dr-a", "from": str(seen + timedelta(days=1)), **enrollment}
    )
    consent(facts, name, local(seen, 11))
    day = first + timedelta(days=4)
    facts["time_entries"] += entries(name, seconds(time), day, hour=9, prefix="s")
    facts["time_entries"] += entries(name, seconds(own), day, hour=17, prefix="o", performer="dr-a")
    return facts


# --- principal care management ---


def pcm(month: str = "2026-05", time: str = "0:00", **said: Any) -> Json:
    facts = program(month, "pcm", time, diagnosis="I10", **said)
    facts["care_plans"] = [
        {"program": "pcm", "version": 1, "approved_at": "2020-01-02T12:00:00Z", "approved_by": "dr-a"}
    ]
    return facts


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("29:59", {}),
        ("30:00", {"99426": 1}),
        ("30:01", {"99426": 1}),
        ("59:59", {"99426": 1}),
        ("60:00", {"99426": 1, "99427": 1}),
        ("90:00", {"99426": 1, "99427": 2}),
    ],
)
def test_principal_care_by_staff(time: str, expected: dict[str, int]) -> None:
    assert billed(decide(pcm(time=time))) == expected


def test_principal_care_above_its_limit_is_held() -> None:
    answer = decide(pcm(time="120:00"))

    assert billed(answer) == {"99426": 1, "99427": 2}
    assert words(answer, "held", "99427") == {"MUE_EXCESS"}


@pytest.mark.parametrize(
    ("own", "expected"), [("29:59", {}), ("30:00", {"99424": 1}), ("60:00", {"99424": 1, "99425": 1})]
)
def test_principal_care_by_the_practitioner(own: str, expected: dict[str, int]) -> None:
    assert billed(decide(pcm(own=own))) == expected


def test_principal_care_needs_the_enrolled_condition_to_carry_risk() -> None:
    facts = pcm(time="30:00")
    facts["patient"]["conditions"][0]["significant_risk"] = False

    assert "CONDITIONS_NOT_MET" in words(decide(facts), "refused", "99426")


def test_principal_care_did_not_exist_in_2021() -> None:
    assert words(decide(pcm("2021-12", "30:00")), "refused", "99426") == {"CODE_NOT_EFFECTIVE"}


def test_principal_and_chronic_care_by_one_practitioner_are_a_choice() -> None:
    facts = pcm(time="30:00")
    ccm_part(facts, date(2026, 5, 1), {"ccm_time": 0})
    facts["time_entries"] += entries("ccm", 1200, date(2026, 5, 20), hour=9, prefix="x")

    answer = decide(facts)
    chosen = decide({**facts, "designations": [{"program": "pcm", "lane": "staff", "practitioner": "dr-a"}]})

    assert words(answer, "held", "99490") == words(answer, "held", "99426") == {"EXCLUSIVE_PROGRAM"}
    assert billed(chosen) == {"99426": 1}
    assert "EXCLUSIVE_PROGRAM" in words(chosen, "refused", "99490")


# --- transition after discharge ---


def tcm(discharged: str = "2026-05-04", **changes: Any) -> Json:
    facts = month_facts("2026-05")
    facts["enrollments"] = [{"program": "tcm", "practitioner": "dr-a", "from": discharged}]
    facts["discharges"] = [
        {
            "on": discharged,
            "contact_on": "2026-05-06",
            "attempts_on": [],
            "visit_at": local(date(2026, 5, 11), 10),
            "mdm": "high",
            "reconciled_on": "2026-05-11",
            "practitioner": "dr-a",
            **changes,
        }
    ]
    return facts


@pytest.mark.parametrize(
    ("day", "mdm", "expected"),
    [
        (10, "high", {"99496": 1}),
        (11, "high", {"99496": 1}),
        (12, "high", {"99495": 1}),
        (11, "moderate", {"99495": 1}),
        (18, "high", {"99495": 1}),
        (19, "high", {}),
        (11, "low", {}),
        (11, None, {}),
    ],
)
def test_visit_within_seven_or_fourteen_days(day: int, mdm: str | None, expected: dict[str, int]) -> None:
    facts = tcm(visit_at=local(date(2026, 5, day), 10), mdm=mdm, reconciled_on="2026-05-10")

    assert billed(decide(facts)) == expected


@pytest.mark.parametrize(
    ("contact", "attempts", "met"),
    [
        ("2026-05-06", [], True),
        ("2026-05-07", [], False),
        (None, ["2026-05-05", "2026-05-06"], True),
        (None, ["2026-05-05", "2026-05-07"], False),
        (None, ["2026-05-05"], False),
    ],
)
def test_contact_or_two_attempts_in_two_business_days(contact: str | None, attempts: list[str], met: bool) -> None:
    answer = decide(tcm(contact_on=contact, attempts_on=attempts))

    assert billed(answer) == ({"99496": 1} if met else {})
    assert ("CONDITIONS_NOT_MET" in words(answer, "refused", "99496")) is not met


def test_medicines_reconciled_a_day_after_the_visit_are_too_late() -> None:
    assert "CONDITIONS_NOT_MET" in words(decide(tcm(reconciled_on="2026-05-12")), "refused", "99496")


def test_lower_decision_making_is_said_as_such() -> None:
    answer = decide(tcm(mdm="moderate"))

    assert words(answer, "refused", "99496") == {"MDM_NOT_MET"}


# --- advanced primary care and behavioral health ---


def apcm(month: str = "2026-05", *, conditions: int = 2, poor: bool = False) -> Json:
    facts = program(month, "apcm")
    facts["patient"]["conditions"] = facts["patient"]["conditions"][:conditions]
    facts["patient"]["qualified_medicare_beneficiary"] = poor
    return facts


@pytest.mark.parametrize(
    ("conditions", "poor", "code"),
    [(0, False, "G0556"), (1, False, "G0556"), (1, True, "G0556"), (2, False, "G0557"), (2, True, "G0558")],
)
def test_level_of_advanced_primary_care(conditions: int, poor: bool, code: str) -> None:
    assert billed(decide(apcm(conditions=conditions, poor=poor))) == {code: 1}


def test_advanced_primary_care_needs_its_own_consent() -> None:
    facts = apcm()
    facts["consents"][0]["program"] = "ccm"

    assert "NO_CONSENT" in words(decide(facts), "refused", "G0557")


def with_bhi(facts: Json, *, under: str | None, time: str) -> Json:
    enrolled = {"program": "bhi", "practitioner": "dr-a", "from": facts["enrollments"][0]["from"], "under": under}
    facts["enrollments"].append(enrolled)
    consent(facts, "bhi", facts["consents"][0]["granted_at"])
    first = date.fromisoformat(f"{facts['month']}-05")
    facts["time_entries"] += entries("bhi", seconds(time), first, hour=9, prefix="b")
    return facts


def test_behavioral_add_on_without_minutes_from_2026() -> None:
    answer = decide(with_bhi(apcm(), under="apcm", time="25:00"))

    assert billed(answer) == {"G0557": 1, "G0570": 1}
    assert "EXCLUSIVE_CODE" in words(answer, "refused", "99484")


def test_behavioral_minutes_beside_advanced_primary_care_in_2025() -> None:
    answer = decide(with_bhi(apcm("2025-12"), under="apcm", time="20:00"))

    assert billed(answer) == {"G0557": 1, "99484": 1}
    assert "CODE_NOT_EFFECTIVE" in words(answer, "refused", "G0570")


def test_add_on_falls_with_its_base() -> None:
    facts = with_bhi(apcm(), under="apcm", time="0:00")
    facts["services"] = [
        {"code": "G0557", "from": "2026-05-01", "to": "2026-05-31", "practitioner": "dr-x", "status": "paid"}
    ]

    answer = decide(facts)

    assert "ADDON_WITHOUT_BASE" in words(answer, "refused", "G0570")


@pytest.mark.parametrize(
    ("start", "time", "expected"),
    [
        ("2026-05-01", "29:59", {}),
        ("2026-05-01", "30:00", {"G2214": 1}),
        ("2026-05-01", "69:59", {"G2214": 1}),
        ("2026-05-01", "70:00", {"99492": 1}),
        ("2026-05-01", "100:00", {"99492": 1, "99494": 1}),
        ("2026-04-01", "59:59", {"G2214": 1}),
        ("2026-04-01", "60:00", {"99493": 1}),
        ("2026-04-01", "89:59", {"99493": 1}),
        ("2026-04-01", "90:00", {"99493": 1, "99494": 1}),
    ],
)
def test_collaborative_care(start: str, time: str, expected: dict[str, int]) -> None:
    facts = program("2026-05", "cocm", time)
    facts["enrollments"][0]["from"] = start

    assert billed(decide(facts)) == expected


# --- therapeutic monitoring, data review, oversight, extra planning, clinics ---


def rtm(*, system: str, days: int, time: str = "0:00", month: str = "2026-04") -> Json:
    facts = month_facts(month)
    first = date.fromisoformat(f"{month}-01")
    rpm_part(facts, first, {"period_from": first, "days": days, "rpm_time": time})
    for enrolled in facts["enrollments"]:
        enrolled |= {"program": "rtm", "system": system}
    for given in facts["consents"]:
        given["program"] = "rtm"
    for one in facts["readings"]:
        one |= {"system": system, "entry": "manual"}
    for one in facts["time_entries"]:
        one["program"] = "rtm"
    facts["services"][0]["code"] = "98975"
    return facts


@pytest.mark.parametrize(
    ("system", "days", "expected"),
    [
        ("respiratory", 1, {}),
        ("respiratory", 2, {"98984": 1}),
        ("respiratory", 15, {"98984": 1}),
        ("respiratory", 16, {"98976": 1}),
        ("musculoskeletal", 15, {"98985": 1}),
        ("musculoskeletal", 16, {"98977": 1}),
        ("cbt", 2, {"98986": 1}),
        ("cbt", 16, {"98978": 1}),
    ],
)
def test_therapeutic_supply_counts_self_reported_days(system: str, days: int, expected: dict[str, int]) -> None:
    assert billed(decide(rtm(system=system, days=days))) == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("9:59", {}),
        ("10:00", {"98979": 1}),
        ("19:59", {"98979": 1}),
        ("20:00", {"98980": 1}),
        ("40:00", {"98980": 1, "98981": 1}),
    ],
)
def test_therapeutic_management(time: str, expected: dict[str, int]) -> None:
    assert billed(decide(rtm(system="cbt", days=1, time=time))) == expected


def test_therapeutic_monitoring_asks_for_no_established_patient_before_2027() -> None:
    facts = rtm(system="respiratory", days=16)
    facts["patient"]["established_on"] = None

    assert billed(decide(facts)) == {"98976": 1}


def test_two_kinds_of_monitoring_are_a_choice() -> None:
    facts = rtm(system="respiratory", days=16)
    rpm_part(facts, date(2026, 4, 1), {"period_from": date(2026, 4, 1), "days": 0})
    facts["devices"] = facts["devices"][:1]
    facts["readings"] += [reading(f"p{n}", date(2026, 4, 1) + timedelta(days=n), hour=12) for n in range(16)]

    answer = decide(facts)

    assert words(answer, "held", "98976") == words(answer, "held", "99454") == {"EXCLUSIVE_PROGRAM"}


def data_review(own: str, **said: Any) -> Json:
    facts = program("2026-06", "data-review", own=own, **said)
    facts["devices"] = [{"id": "d1", "kind": "blood-pressure", "fda_defined": True}]
    facts["readings"] = [reading(f"r{n}", date(2026, 6, 1) + timedelta(days=n)) for n in range(20)]
    return facts


@pytest.mark.parametrize(("own", "expected"), [("29:59", {}), ("30:00", {"99091": 1}), ("30:01", {"99091": 1})])
def test_review_of_data(own: str, expected: dict[str, int]) -> None:
    assert billed(decide(data_review(own))) == expected


def test_review_of_data_beside_monitoring_is_the_refused_one() -> None:
    facts = data_review("30:00")
    rpm_part(facts, date(2026, 6, 1), {"period_from": date(2026, 6, 1), "days": 0, "rpm_time": "20:00"})
    facts["devices"] = facts["devices"][:1]

    answer = decide(facts)

    assert billed(answer) == {"99454": 1, "99457": 1}
    assert "EXCLUSIVE_CODE" in words(answer, "refused", "99091")


def test_review_time_of_a_period_across_two_months_is_one_sum() -> None:
    facts = data_review("0:00")
    facts["month"], facts["as_of"] = "2026-07", "2026-08-02T12:00:00Z"
    facts["readings"] = [reading(f"r{n}", date(2026, 6, 20) + timedelta(days=n)) for n in range(20)]
    facts["time_entries"] = [
        *entries("data-review", 900, date(2026, 6, 25), hour=17, prefix="a", performer="dr-a"),
        *entries("data-review", 900, date(2026, 7, 6), hour=17, prefix="b", performer="dr-a"),
    ]

    answer = decide(facts)

    assert [(x["code"], x["service_to"]) for x in answer["billable"]] == [("99091", "2026-07-19")]


def test_hospice_oversight_needs_an_election_and_is_not_held_by_it() -> None:
    facts = program("2026-05", "hospice-oversight", own="30:00")

    without = decide(facts)
    elected = decide({**facts, "hospice": [{"elected_on": "2026-05-10", "revoked_on": None}]})

    assert "CONDITIONS_NOT_MET" in words(without, "refused", "G0182")
    assert billed(elected) == {"G0182": 1}


@pytest.mark.parametrize(("on", "reason"), [("2026-06-09", "ADDON_WITHOUT_BASE"), ("2026-06-08", None)])
def test_extra_planning_stands_on_the_initiating_visit(on: str, reason: str | None) -> None:
    facts = program("2026-06", "ccm")
    facts["visits"] = [{"kind": "e-m", "practitioner": "dr-a", "at": local(date(2026, 6, 8), 10), "discussed": ["ccm"]}]
    facts["enrollments"][0]["from"] = "2026-06-08"
    facts["attestations"] = [{"kind": "extra-care-planning", "practitioner": "dr-a", "on": on}]

    answer = decide(facts)

    assert billed(answer) == ({} if reason else {"G0506": 1})
    assert words(answer, "refused", "G0506") == ({reason} if reason else set())


@pytest.mark.parametrize(
    ("month", "offered", "expected"),
    [
        ("2024-06", False, {"G0511": 1}),
        ("2024-12", False, {"G0511": 1}),
        ("2025-01", False, {"99490": 1}),
        ("2025-09", True, {"G0511": 1}),
        ("2025-10", True, {"99490": 1}),
    ],
)
def test_rural_clinic_and_its_bundle(month: str, offered: bool, expected: dict[str, int]) -> None:
    facts = month_facts(month, ccm_time="20:00")
    facts["practice"]["kind"] = "rhc"
    if offered:
        facts["proposals"] = [{"code": "G0511", "units": 1}]

    answer = decide(facts)

    assert billed(answer) == expected
    if month == "2025-10":
        assert words(answer, "refused", "G0511") == {"CODE_TERMINATED"}


# --- what circulates in public guides and is wrong ---


def test_care_management_and_transition_share_a_month_since_2020() -> None:
    facts = tcm()
    ccm_part(facts, date(2026, 5, 1), {"ccm_time": "23:00"})

    assert billed(decide(facts)) == {"99496": 1, "99490": 1}


def test_second_further_block_of_chronic_care_is_paid() -> None:
    assert billed(decide(month_facts("2026-06", ccm_time="60:00"))) == {"99490": 1, "99439": 2}


def test_management_needs_no_sixteen_days() -> None:
    facts = month_facts("2026-04", period_from=date(2026, 4, 1), days=1, rpm_time="20:00")

    assert billed(decide(facts)) == {"99457": 1}


def test_supply_needs_no_management() -> None:
    facts = month_facts("2026-04", period_from=date(2026, 4, 1), days=16)

    assert billed(decide(facts)) == {"99454": 1}


def test_chronic_care_needs_no_live_contact() -> None:
    facts = month_facts("2026-06", ccm_time="20:00")

    assert not any(e["live"] for e in facts["time_entries"])
    assert billed(decide(facts)) == {"99490": 1}


@pytest.mark.parametrize("code", ["GPPP7", "99459", "G2058", "99473", "90960", "12345"])
def test_codes_that_are_never_billed_here(code: str) -> None:
    facts = month_facts("2026-06", ccm_time="20:00")
    facts["proposals"] = [{"code": code, "units": 1}]

    assert words(decide(facts), "refused", code) == {"UNKNOWN_CODE"}


def test_offer_of_more_units_than_reached_is_answered() -> None:
    facts = month_facts("2026-06", ccm_time="40:00")
    facts["proposals"] = [{"code": "99439", "units": 2}, {"code": "99490", "units": 2}]

    answer = decide(facts)

    assert billed(answer) == {"99490": 1, "99439": 1}
    assert words(answer, "refused", "99439") == {"TIME_BELOW_THRESHOLD"}
    assert words(answer, "refused", "99490") == {"UNIT_CAP"}


def test_offer_for_a_program_without_enrollment_names_what_is_missing() -> None:
    facts = month_facts("2026-06", ccm_time="20:00")
    facts["proposals"] = [{"code": "99457", "units": 1}, {"code": "99445", "units": 1, "on": "2025-12-31"}]

    answer = decide(facts)

    assert words(answer, "refused", "99457") == {"NO_CONSENT", "NO_ORDER"}
    assert words(answer, "refused", "99445") == {"CODE_NOT_EFFECTIVE"}
