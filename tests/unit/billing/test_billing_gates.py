"""Gates around the codes: consent, order, visits, stays, hospice, surgery, models, other practitioners, places."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from server.billing.determine import adjudicate
from tests.billing_cases.months import ZONE, consent, entry, local, month_facts, reading

Json = dict[str, Any]


def decide(facts: Json) -> Json:
    answer: Json = adjudicate(facts)
    return answer


def billed(answer: Json) -> dict[str, int]:
    return {line["code"]: line["units"] for line in answer["billable"]}


def words(answer: Json, section: str, code: str) -> set[str]:
    return {r["reason"] for line in answer[section] if line["code"] == code for r in line["reasons"]}


def excluded(answer: Json, reason: str) -> int:
    return sum(int(cut["seconds"]) for row in answer["time"] for cut in row["excluded"] if cut["reason"] == reason)


def rpm(**said: Any) -> Json:
    return month_facts("2026-04", **{"period_from": date(2026, 4, 1), "days": 16, "rpm_time": "25:00", **said})


def ccm(**said: Any) -> Json:
    return month_facts("2026-06", **{"ccm_time": "25:00", **said})


def test_month_with_everything_in_place_bills_both_programs() -> None:
    facts = month_facts("2026-04", period_from=date(2026, 4, 1), days=16, rpm_time="25:00", ccm_time="25:00")

    assert billed(decide(facts)) == {"99454": 1, "99457": 1, "99490": 1}


@pytest.mark.parametrize(("field", "reason"), [("ordered_on", "NO_ORDER"), ("setup_on", "CONDITIONS_NOT_MET")])
def test_missing_order_or_setup_refuses_the_supply(field: str, reason: str) -> None:
    facts = rpm()
    facts["enrollments"][0][field] = None

    assert reason in words(decide(facts), "refused", "99454")


def test_all_unmet_requirements_are_named() -> None:
    facts = rpm(days=1)
    facts["enrollments"][0]["ordered_on"] = None
    facts["consents"] = []
    facts["patient"]["established_on"] = None

    found = words(decide(facts), "refused", "99454")

    assert {"NO_ORDER", "NO_CONSENT", "NOT_ESTABLISHED", "DAYS_BELOW_THRESHOLD"} <= found


def test_patient_established_after_the_period_began_is_refused() -> None:
    facts = rpm()
    facts["patient"]["established_on"] = "2026-04-02"

    assert "NOT_ESTABLISHED" in words(decide(facts), "refused", "99454")


def test_patient_of_the_emergency_is_grandfathered() -> None:
    facts = rpm(period_from=date(2023, 5, 1))
    facts["month"], facts["as_of"] = "2023-05", "2023-06-02T12:00:00Z"
    facts["patient"]["established_on"] = None

    assert billed(decide(facts)) == {"99454": 1}


def test_consent_to_another_practitioner_is_no_consent() -> None:
    facts = ccm()
    facts["consents"][0]["practitioner"] = "dr-b"

    assert "NO_CONSENT" in words(decide(facts), "refused", "99490")


def test_consent_without_one_statement_unlocks_nothing() -> None:
    facts = ccm()
    facts["consents"][0]["statements"] = ["availability", "cost-sharing", "one-practitioner"]

    assert "NO_CONSENT" in words(decide(facts), "refused", "99490")


def test_written_consent_is_not_needed_and_does_not_expire() -> None:
    facts = ccm()
    facts["consents"][0]["granted_at"] = "2021-01-05T10:00:00-05:00"
    facts["enrollments"][0]["from"] = "2021-01-06"
    facts["visits"].append(
        {"kind": "e-m", "practitioner": "dr-a", "at": "2020-12-01T10:00:00-05:00", "discussed": ["ccm"]}
    )

    assert billed(decide(facts)) == {"99490": 1}


def test_minutes_before_consent_do_not_count() -> None:
    facts = ccm()
    facts["consents"][0]["granted_at"] = local(date(2026, 6, 6), 8)

    answer = decide(facts)

    assert excluded(answer, "NO_CONSENT") == 14 * 60
    assert {"TIME_BELOW_THRESHOLD", "NO_CONSENT"} <= words(answer, "refused", "99490")


@pytest.mark.parametrize(("setting", "bills"), [("moment", {}), ("month_end", {"99490": 1})])
def test_revocation_counts_at_the_moment_or_at_month_end(setting: str, bills: dict[str, int]) -> None:
    facts = ccm()
    facts["practice"]["revocation_effective"] = setting
    facts["consents"][0]["revoked_at"] = local(date(2026, 6, 6), 8)

    assert billed(decide(facts)) == bills


def test_revocation_at_the_very_second_the_entry_ends_changes_nothing() -> None:
    facts = ccm(ccm_time="20:00")
    facts["consents"][0]["revoked_at"] = facts["time_entries"][-1]["end"]

    assert billed(decide(facts)) == {"99490": 1}


def test_revocation_a_second_earlier_loses_the_code() -> None:
    facts = ccm(ccm_time="20:00")
    end = facts["time_entries"][-1]["end"]
    assert end == "2026-06-06T13:06:00Z"
    facts["consents"][0]["revoked_at"] = "2026-06-06T13:05:59Z"

    assert {"TIME_BELOW_THRESHOLD", "CONSENT_REVOKED"} <= words(decide(facts), "refused", "99490")


def test_patient_not_seen_for_a_year_needs_an_initiating_visit() -> None:
    facts = ccm()
    facts["visits"][0]["at"] = "2025-04-10T10:00:00-04:00"

    assert "NO_INITIATING_VISIT" in words(decide(facts), "refused", "99490")


@pytest.mark.parametrize(("seen_on", "bills"), [("2025-04-18", {"99490": 1}), ("2025-04-17", {})])
def test_year_before_the_start_is_counted_in_days(seen_on: str, bills: dict[str, int]) -> None:
    facts = ccm()  # the course starts on 2026-04-18
    facts["visits"][0]["at"] = f"{seen_on}T10:00:00-04:00"

    assert billed(decide(facts)) == bills


def test_initiating_visit_in_the_month_opens_the_rest_of_it() -> None:
    facts = ccm()
    facts["visits"][0]["at"] = local(date(2026, 6, 6), 8)

    assert excluded(decide(facts), "NO_INITIATING_VISIT") == 14 * 60


def test_new_patients_first_visit_must_have_discussed_the_service() -> None:
    facts = ccm()
    facts["visits"][0]["discussed"] = []
    facts["patient"]["established_on"] = "2026-04-17"

    assert "NO_INITIATING_VISIT" in words(decide(facts), "refused", "99490")


def test_plan_approved_after_the_last_counted_minute_is_too_late() -> None:
    facts = ccm()
    facts["care_plans"][0]["approved_at"] = local(date(2026, 6, 20), 9)

    assert "NO_CARE_PLAN" in words(decide(facts), "refused", "99490")


@pytest.mark.parametrize("flag", ["chronic_12_months", "significant_risk"])
def test_both_conditions_must_last_and_carry_risk(flag: str) -> None:
    facts = ccm()
    facts["patient"]["conditions"][1][flag] = False

    assert "CONDITIONS_NOT_MET" in words(decide(facts), "refused", "99490")


def test_hospice_holds_lines_of_periods_it_touches_only() -> None:
    facts = month_facts("2026-04", period_from=date(2026, 3, 10), days=16, ccm_time="25:00")
    facts["hospice"] = [{"elected_on": "2026-04-20", "revoked_on": None}]

    answer = decide(facts)

    assert billed(answer) == {"99454": 1}  # its period ended on 8 April
    assert words(answer, "held", "99490") == {"HOSPICE_REVIEW"}


@pytest.mark.parametrize(("surgeon", "held"), [("dr-a", True), ("dr-g", True), ("dr-s", False)])
def test_only_the_surgeons_own_group_is_asked_about_the_global_period(surgeon: str, held: bool) -> None:
    facts = rpm(rpm_time="0:00")
    facts["practitioners"] += [
        {"id": "dr-g", "group": "pr1", "credential": "MD"},
        {"id": "dr-s", "group": "pr3", "credential": "MD"},
    ]
    facts["global_surgery"] = [{"from": "2026-04-20", "to": "2026-07-20", "practitioner": surgeon}]

    answer = decide(facts)

    assert (words(answer, "held", "99454") == {"GLOBAL_SURGERY_REVIEW"}) is held
    assert ("99454" in billed(answer)) is not held


@pytest.mark.parametrize(("starts", "refused"), [("2026-07-05", True), ("2026-08-01", False)])
def test_alignment_with_us_refuses_every_line(starts: str, refused: bool) -> None:
    facts = month_facts("2026-07", ccm_time="25:00")
    facts["models"] = [{"name": "access", "aligned_with_us": True, "from": starts, "to": None}]

    assert ("MODEL_EXCLUSION" in words(decide(facts), "refused", "99490")) is refused


def test_inpatient_minutes_are_excluded_and_the_discharge_day_too() -> None:
    facts = ccm()
    facts["stays"] = [{"kind": "inpatient", "from": "2026-06-04", "to": "2026-06-05"}]

    answer = decide(facts)

    assert excluded(answer, "INPATIENT_TIME") == 14 * 60
    assert billed(answer) == {}


def test_threshold_that_rests_on_inpatient_readings_is_a_question() -> None:
    facts = rpm(rpm_time="0:00")
    facts["stays"] = [{"kind": "inpatient", "from": "2026-04-10", "to": "2026-04-10"}]

    assert words(decide(facts), "held", "99454") == {"INPATIENT_TIME"}


def test_inpatient_readings_beyond_the_threshold_ask_nothing() -> None:
    facts = rpm(rpm_time="0:00", days=17)
    facts["stays"] = [{"kind": "inpatient", "from": "2026-04-10", "to": "2026-04-10"}]

    assert billed(decide(facts)) == {"99454": 1}


def test_management_without_any_reading_is_a_question() -> None:
    facts = rpm(days=0)

    assert words(decide(facts), "held", "99457") == {"NO_MONITORED_DATA"}


def test_consent_withdrawn_inside_a_period_holds_the_supply() -> None:
    facts = rpm(rpm_time="0:00")
    facts["consents"][0]["revoked_at"] = local(date(2026, 4, 25), 9)

    assert words(decide(facts), "held", "99454") == {"EPISODE_ENDED_EARLY"}


def test_episode_that_ends_on_day_thirty_is_whole() -> None:
    facts = rpm(rpm_time="0:00")
    facts["enrollments"][0] |= {"to": "2026-04-30", "end_reason": "goals-met"}

    assert billed(decide(facts)) == {"99454": 1}


def test_episode_that_ends_on_day_twenty_nine_is_held() -> None:
    facts = rpm(rpm_time="0:00")
    facts["enrollments"][0] |= {"to": "2026-04-29", "end_reason": "device-returned"}

    assert words(decide(facts), "held", "99454") == {"EPISODE_ENDED_EARLY"}


def test_period_is_not_claimed_before_day_thirty_has_passed() -> None:
    facts = rpm(rpm_time="0:00")
    facts["as_of"] = "2026-04-30T12:00:00Z"

    answer = decide(facts)

    assert billed(answer) == {}
    assert words(answer, "held", "99454") == {"CONDITIONS_NOT_MET"}


@pytest.mark.parametrize(
    ("code", "practitioner", "reason"),
    [
        ("99490", "dr-a", "ALREADY_ONCE"),
        ("99490", "dr-x", "OTHER_PRACTITIONER"),
        ("99487", "dr-a", "EXCLUSIVE_CODE"),
        ("99491", "dr-x", "OTHER_PRACTITIONER"),
        ("G0557", "dr-a", "EXCLUSIVE_PROGRAM"),
        ("99426", "dr-a", "EXCLUSIVE_PROGRAM"),
        ("90962", "dr-a", "EXCLUSIVE_PROGRAM"),
        ("G0182", "dr-a", "EXCLUSIVE_PROGRAM"),
    ],
)
def test_known_service_refuses_care_management(code: str, practitioner: str, reason: str) -> None:
    facts = ccm()
    facts["practitioners"].append({"id": "dr-x", "group": "pr9", "credential": "MD"})
    facts["services"] = [
        {"code": code, "from": "2026-06-01", "to": "2026-06-30", "practitioner": practitioner, "status": "paid"}
    ]

    answer = decide(facts)

    assert reason in words(answer, "refused", "99490")
    assert billed(answer) == {}


@pytest.mark.parametrize(
    ("code", "practitioner"), [("99426", "dr-x"), ("90962", "dr-x"), ("99454", "dr-a"), ("99484", "dr-a")]
)
def test_known_service_that_may_stand_beside(code: str, practitioner: str) -> None:
    facts = ccm()
    facts["practitioners"].append({"id": "dr-x", "group": "pr9", "credential": "MD"})
    facts["services"] = [
        {"code": code, "from": "2026-06-01", "to": "2026-06-30", "practitioner": practitioner, "status": "paid"}
    ]

    assert billed(decide(facts)) == {"99490": 1}


def test_denied_service_excludes_nothing() -> None:
    facts = ccm()
    facts["services"] = [
        {"code": "99490", "from": "2026-06-01", "to": "2026-06-30", "practitioner": "dr-x", "status": "denied"}
    ]

    assert billed(decide(facts)) == {"99490": 1}


def test_therapeutic_monitoring_by_anyone_excludes_physiologic() -> None:
    facts = rpm()
    facts["services"].append(
        {"code": "98980", "from": "2026-04-01", "to": "2026-04-30", "practitioner": "dr-x", "status": "paid"}
    )

    assert "EXCLUSIVE_PROGRAM" in words(decide(facts), "refused", "99457")


@pytest.mark.parametrize("credential", ["RN", "LPN", "MA", "PharmD"])
def test_staff_cannot_bill(credential: str) -> None:
    facts = ccm()
    facts["practitioners"][0]["credential"] = credential

    assert "WRONG_PERFORMER" in words(decide(facts), "refused", "99490")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"automated": True}, "WRONG_PERFORMER"),
        ({"activity": "voicemail"}, "CONDITIONS_NOT_MET"),
        ({"activity": "scheduling"}, "CONDITIONS_NOT_MET"),
        ({"activity": "clerical"}, "CONDITIONS_NOT_MET"),
        ({"activity": "setup"}, "CONDITIONS_NOT_MET"),
        ({"in_person": True}, "CONDITIONS_NOT_MET"),
        ({"part_of_visit": True}, "OVERLAP_CROSS_PROGRAM"),
    ],
)
def test_time_that_never_counts(changes: Json, reason: str) -> None:
    facts = ccm()
    facts["time_entries"][0] |= changes

    answer = decide(facts)

    assert excluded(answer, reason) == 14 * 60
    assert billed(answer) == {}


def test_live_talk_in_dispute_holds_the_month() -> None:
    facts = rpm(days=2)
    talk = facts["time_entries"][0]
    facts["time_entries"].append(entry("m9", "rpm", local(date(2026, 4, 20), 13), 1200, activity="data-review"))
    facts["elsewhere"] = [{"performer": "rn-1", "patient": "p2", "start": talk["start"], "end": talk["end"]}]

    assert "STAFF_DOUBLE_BOOKED" in words(decide(facts), "held", "99457")


def test_talk_with_another_clinician_is_no_interactive_communication() -> None:
    facts = rpm()
    facts["time_entries"][0]["with"] = "other-clinician"

    assert "NO_INTERACTIVE_COMM" in words(decide(facts), "refused", "99457")


def test_readings_follow_the_zone_the_patient_lives_in() -> None:
    """Moved to Honolulu on 10 April: 05:00Z on the 11th is the evening of the 10th there."""
    facts = rpm(rpm_time="0:00", days=1)
    facts["patient"]["time_zones"] = [
        {"from": "2010-01-01", "zone": ZONE},
        {"from": "2026-04-10", "zone": "Pacific/Honolulu"},
    ]
    moved = reading("late", date(2026, 4, 11))
    moved |= {"measured_at": "2026-04-11T05:00:00Z", "received_at": "2026-04-11T05:00:05Z"}
    facts["readings"].append(moved)

    answer = decide(facts)

    assert answer["days"][0]["dates"] == ["2026-04-01", "2026-04-10"]


def test_date_of_service_styles() -> None:
    facts = ccm()
    facts["payer"]["date_of_service"] = "threshold-date"
    other = ccm()
    other["payer"]["date_of_service"] = "from-through"

    assert decide(facts)["billable"][0]["service_to"] == "2026-06-06"
    line = decide(other)["billable"][0]
    assert (line["service_from"], line["service_to"]) == ("2026-06-01", "2026-06-30")


def test_two_practitioners_of_one_run_are_a_question() -> None:
    facts = ccm()
    facts["practitioners"].append({"id": "dr-b", "group": "pr1", "credential": "MD"})
    facts["enrollments"].append({**facts["enrollments"][0], "practitioner": "dr-b"})
    consent(facts, "ccm", facts["consents"][0]["granted_at"])
    facts["consents"][1]["practitioner"] = "dr-b"
    facts["visits"].append({**facts["visits"][0], "practitioner": "dr-b"})

    answer = decide(facts)

    assert billed(answer) == {}
    assert "OTHER_PRACTITIONER" in words(answer, "held", "99490")


def test_monitoring_twelve_days_and_a_paid_nurse_never_reach_for_price() -> None:
    """60 staff minutes with decision making attested and complex designated: 144.29, although 167.01 was there."""
    facts = month_facts("2026-07", ccm_time="60:00", lane="complex", decision_making="moderate")

    answer = decide(facts)

    assert answer["total"] == "144.29"
    assert answer["alternatives"][0]["total"] == "167.01"
    assert answer["alternatives"][0]["lines"] == [{"code": "99490", "units": 1}, {"code": "99439", "units": 2}]


def test_management_beside_another_practitioners_supply_is_a_question() -> None:
    facts = rpm(days=2)
    facts["services"].append(
        {"code": "99454", "from": "2026-04-15", "to": "2026-04-15", "practitioner": "dr-x", "status": "paid"}
    )

    answer = decide(facts)

    assert words(answer, "held", "99457") == {"OTHER_PRACTITIONER"}
    assert "OTHER_PRACTITIONER" in words(answer, "refused", "99445")


def test_open_end_written_as_a_far_date_is_an_open_end() -> None:
    facts = ccm()
    facts["enrollments"][0]["to"] = "9999-12-31"
    facts["stays"] = [{"kind": "inpatient", "from": "1999-01-01", "to": "1999-01-05"}]

    assert billed(decide(facts)) == {"99490": 1}


def test_offer_on_a_date_before_the_code_is_answered_for_that_date() -> None:
    facts = rpm(days=2)
    facts["proposals"] = [{"code": "99445", "units": 1, "on": "2025-12-31"}]

    answer = decide(facts)

    assert billed(answer)["99445"] == 1
    assert words(answer, "refused", "99445") == {"CODE_NOT_EFFECTIVE"}


def test_warnings_say_what_a_reviewer_would_ask() -> None:
    facts = month_facts("2026-07", ccm_time="60:00", lane="complex", decision_making="moderate", rpm_time="10:00")
    facts["visits"].append({"kind": "e-m", "practitioner": "dr-a", "at": local(date(2026, 7, 5), 15), "discussed": []})
    facts["staff"].append({"id": "rn-2", "credential": "RN", "employer": "practice", "qualified": True})
    talk = next(e for e in facts["time_entries"] if e["program"] == "rpm")
    care = next(e for e in facts["time_entries"] if e["program"] == "ccm")
    talk |= {"performer": "rn-2", "start": care["start"], "end": care["end"]}

    warned = {warning["reason"]: warning for warning in decide(facts)["warnings"]}

    assert warned.keys() == {"SAME_DAY_EM", "CONCURRENT_EFFORT", "PLAN_NOT_CHANGED"}
    assert all(warning["citation"]["locator"] for warning in warned.values())


@pytest.mark.parametrize(("as_of", "early"), [("2026-06-29T12:00:00Z", True), ("2026-06-30T12:00:00Z", False)])
def test_line_of_a_running_month_is_said_to_be_early(as_of: str, early: bool) -> None:
    facts = ccm()
    facts["as_of"] = as_of

    answer = decide(facts)

    assert billed(answer) == {"99490": 1}
    assert [warning["reason"] for warning in answer["warnings"]] == (["NOT_YET_DUE"] if early else [])
