"""The board of a month, against hand-made adjudications."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from server.billing.outlook import Outlook, outlook
from server.web.views.billing import (
    DaySteps,
    PatientMonth,
    Steps,
    board,
    classify,
    day_meter,
    last_day,
    money,
    month_name,
    outlook_words,
    shift_month,
    time_meter,
)
from tests.billing_cases.months import month_facts

CITED = {"title": "A rule", "locator": "page 1"}
RPM = Steps(program="rpm", steps=((600, "99470"), (1200, "99457"), (2400, "99458")))
DAYS = DaySteps(steps=((2, "99445"), (16, "99454")))


def refused(code: str, *reasons: str) -> dict[str, Any]:
    return {
        "code": code,
        "units": 1,
        "reasons": [{"reason": word, "text": f"{word} text", "citation": CITED, "evidence": []} for word in reasons],
    }


def line(code: str, amount: str = "50.00", units: int = 1) -> dict[str, Any]:
    return {"code": code, "units": units, "amount": amount}


def adjudication(**parts: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "billable": [],
        "refused": [],
        "held": [],
        "time": [],
        "days": [],
        "running": [],
        "total": "0.00",
    }
    return {**empty, **parts}


def counted(program: str, seconds: str) -> dict[str, Any]:
    return {"entry": "t1", "program": program, "counted_seconds": seconds, "excluded": []}


def period(dates: int) -> dict[str, Any]:
    return {
        "period": {"from": "2026-11-01", "to": "2026-11-30"},
        "dates": [f"2026-11-{day:02d}" for day in range(1, dates + 1)],
        "excluded": [],
    }


class TestColumn:
    def test_billable_and_nothing_open_is_ready(self):
        assert classify(adjudication(billable=[line("99457")]), month_runs=True) == ("ready", ())

    def test_missing_time_is_almost_while_the_month_runs(self):
        found = adjudication(refused=[refused("99490", "TIME_BELOW_THRESHOLD")])

        assert classify(found, month_runs=True) == ("almost", ("99490: TIME_BELOW_THRESHOLD text",))

    def test_missing_time_after_the_month_is_final(self):
        found = adjudication(refused=[refused("99490", "TIME_BELOW_THRESHOLD")])

        assert classify(found, month_runs=False)[0] == "blocked"

    def test_missing_time_after_the_month_does_not_spoil_a_ready_line(self):
        found = adjudication(billable=[line("99454")], refused=[refused("99490", "TIME_BELOW_THRESHOLD")])

        assert classify(found, month_runs=False) == ("ready", ())

    def test_next_unit_of_a_billed_family_is_no_shortage(self):
        found = adjudication(billable=[line("99457")], refused=[refused("99458", "TIME_BELOW_THRESHOLD")])

        assert classify(found, month_runs=True) == ("ready", ())

    def test_missing_talk_blocks_and_the_nearest_code_speaks(self):
        found = adjudication(
            refused=[
                refused("99470", "NO_INTERACTIVE_COMM", "EXCLUSIVE_CODE"),
                refused("99457", "NO_INTERACTIVE_COMM"),
                refused("99458", "NO_INTERACTIVE_COMM", "TIME_BELOW_THRESHOLD"),
            ]
        )

        assert classify(found, month_runs=True) == ("blocked", ("99457: NO_INTERACTIVE_COMM text",))

    def test_a_lane_nobody_uses_does_not_block_the_staff_lane(self):
        found = adjudication(
            refused=[refused("99490", "TIME_BELOW_THRESHOLD"), refused("99487", "MDM_NOT_MET", "TIME_BELOW_THRESHOLD")]
        )

        assert classify(found, month_runs=True) == ("almost", ("99490: TIME_BELOW_THRESHOLD text",))

    def test_held_line_asks_its_question(self):
        held = {
            "code": "99454",
            "units": 1,
            "reasons": [{"reason": "HOSPICE_REVIEW", "text": "t", "question": "Related?"}],
        }

        assert classify(adjudication(held=[held]), month_runs=True) == ("blocked", ("99454: Related?",))

    def test_complete_period_that_is_not_over_waits_and_blocks_nothing(self):
        held = {
            "code": "99454",
            "units": 1,
            "reasons": [{"reason": "CONDITIONS_NOT_MET", "text": "day 30 has not passed"}],
        }
        short = refused("99445", "EXCLUSIVE_CODE")

        alone = classify(adjudication(held=[held], refused=[short]), month_runs=True)
        beside = classify(adjudication(held=[held], billable=[line("99457")]), month_runs=True)

        assert alone == ("almost", ("99454: day 30 has not passed",))
        assert beside == ("ready", ("99454: day 30 has not passed",))

    def test_nothing_at_all(self):
        assert classify(adjudication(), month_runs=True) == ("almost", ("Nothing is complete yet this month.",))
        assert classify(adjudication(), month_runs=False) == ("blocked", ("No reading and no time in this month.",))


@pytest.mark.parametrize(
    ("seconds", "text", "note"),
    [
        ("0", "0:00 of 10:00", "10:00 more for 99470"),
        ("599", "9:59 of 10:00", "0:01 more for 99470"),
        ("599.999999", "9:59 of 10:00", "0:01 more for 99470"),
        ("600", "10:00 of 20:00", "10:00 more for 99457"),
        ("1199", "19:59 of 20:00", "0:01 more for 99457"),
        ("1200", "20:00 of 40:00", "20:00 more for 99458"),
        ("2400", "40:00", "every step is reached"),
    ],
)
def test_minutes_toward_the_next_code(seconds, text, note):
    meter = time_meter(adjudication(time=[counted("rpm", seconds), counted("ccm", "5000")]), RPM)

    assert (meter.text, meter.note) == (text, note)
    assert meter.value <= meter.maximum


@pytest.mark.parametrize(
    ("days", "text", "note"),
    [
        (0, "0 of 2 days", "2 more days for 99445; 1 Nov 2026 to 30 Nov 2026"),
        (1, "1 of 2 days", "1 more day for 99445; 1 Nov 2026 to 30 Nov 2026"),
        (2, "2 of 16 days", "14 more days for 99454; 1 Nov 2026 to 30 Nov 2026"),
        (15, "15 of 16 days", "1 more day for 99454; 1 Nov 2026 to 30 Nov 2026"),
        (16, "16 days", "every step is reached; 1 Nov 2026 to 30 Nov 2026"),
        (17, "17 days", "every step is reached; 1 Nov 2026 to 30 Nov 2026"),
    ],
)
def test_days_toward_the_next_code(days, text, note):
    meter = day_meter(period(days), DAYS, runs=True)

    assert (meter.text, meter.note) == (text, note)


def test_a_decided_period_promises_no_more_days():
    assert day_meter(period(9), DAYS, runs=False).note == "1 Nov 2026 to 30 Nov 2026"


def test_a_period_that_has_not_begun_is_not_shown():
    item = PatientMonth(patient_id="p1", name="Ann", programs=("rpm",), adjudication=adjudication(running=[period(0)]))

    before = board("2026-10", [item], today=date(2026, 10, 31), ladders=[RPM], days=DAYS)
    after = board("2026-10", [item], today=date(2026, 11, 1), ladders=[RPM], days=DAYS)

    assert len(before.columns[1].rows[0].meters) == 1  # time alone
    assert len(after.columns[2].rows[0].meters) == 2


def test_board_sums_and_links():
    ready = PatientMonth(
        patient_id="p1",
        name="Ann",
        programs=("ccm", "rpm"),
        adjudication=adjudication(billable=[line("99454", "52.11"), line("99458", "82.42", 2)], total="134.53"),
        frozen=True,
        changed_since_frozen=True,
    )
    other = PatientMonth(patient_id="p2", name="Bo", programs=("ccm",), adjudication=adjudication())

    found = board("2026-11", [ready, other], today=date(2026, 11, 22), ladders=[RPM], days=DAYS)

    assert found.total == "$134.53"
    assert [(column.name, column.count) for column in found.columns] == [
        ("Ready", "1 patient"),
        ("Almost", "1 patient"),
        ("Blocked", "0 patients"),
    ]
    row = found.columns[0].rows[0]
    assert row.path == "/billing/2026-11/p1"
    assert [(chip.code, chip.units, chip.amount) for chip in row.lines] == [
        ("99454", 1, "$52.11"),
        ("99458", 2, "$82.42"),
    ]
    assert row.status == "Changed since it was frozen"
    assert found.next is None  # the month is not over


def test_months():
    assert shift_month("2026-01", -1) == "2025-12"
    assert shift_month("2026-12", 1) == "2027-01"
    assert last_day("2028-02") == date(2028, 2, 29)
    assert month_name("2026-11") == "November 2026"
    assert money("1234.5") == "$1,234.50"


def running_outlook(have: int, today: int) -> tuple[Outlook, ...]:
    facts = month_facts("2026-04", period_from=date(2026, 4, 1), days=have)
    return outlook({**facts, "as_of": f"2026-04-{today:02d}T16:00:00Z"})


def test_board_says_what_the_days_left_can_no_longer_reach() -> None:
    (words,) = outlook_words(running_outlook(14, 30))

    assert words == "99454 can no longer be reached: 2 days of readings missing, 1 day left until 2026-04-30."


def test_board_says_from_which_day_every_day_counts() -> None:
    (words,) = outlook_words(running_outlook(14, 28))

    assert words == (
        "99454 is still possible: 2 days of readings missing, 3 days left until 2026-04-30."
        " From 29 Apr 2026 on every day counts."
    )


def test_meter_no_longer_aims_at_what_is_lost() -> None:
    assert "more" not in day_meter(period(9), DAYS, runs=True, lost=frozenset({"99454"})).note
    assert "more" in day_meter(period(9), DAYS, runs=True).note


def test_unknown_amount_is_said_and_never_zero() -> None:
    assert money(None) == "amount not known"
    assert money("0.00") == "$0.00"
