"""The month page of a patient: lines, arithmetic, evidence, calendar and time, against a hand-made adjudication."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from server.web.views.month import month_page
from server.web.views.month_ledgers import calendar
from server.web.views.month_words import arithmetic, quantity

EASTERN = ZoneInfo("America/New_York")
CITED = {"title": "CY 2026 final rule", "locator": "first 20 minutes", "href": "https://example.org/rule"}
FACTS = {
    "consents": [{"program": "rpm", "granted_at": "2026-03-01T10:00:00-05:00"}],
    "readings": [{"id": "r1", "measured_at": "2026-03-02T12:00:00Z", "device": "d1"}],
    "time_entries": [
        {
            "id": "t2",
            "program": "rpm",
            "performer": "rn-1",
            "start": "2026-03-05T15:08:00Z",
            "end": "2026-03-05T15:20:00Z",
            "activity": "data-review",
            "live": False,
            "with": None,
        },
        {
            "id": "t1",
            "program": "rpm",
            "performer": "rn-1",
            "start": "2026-03-05T15:00:00Z",
            "end": "2026-03-05T15:12:30Z",
            "activity": "live-call",
            "live": True,
            "with": "patient",
        },
    ],
}
ADJUDICATION = {
    "schema": "vitalwire.adjudication/1",
    "patient": "p1",
    "month": "2026-03",
    "pack": {"id": "medicare-b", "rule_year": "2026", "digest": "sha256:0123456789abcdef0123"},
    "facts_digest": "sha256:fedcba9876543210",
    "billable": [
        {
            "code": "99457",
            "units": 1,
            "program": "rpm",
            "lane": None,
            "practitioner": "dr-a",
            "service_from": "2026-03-31",
            "service_to": "2026-03-31",
            "period": {"from": "2026-03-01", "to": "2026-03-31"},
            "amount": "51.77",
            "unit_amount": "51.77",
            "place_of_service": "11",
            "modifiers": [],
            "diagnoses": ["I10"],
            "because": [
                {
                    "rule": "rpm.management.first_block_seconds",
                    "have": "1230",
                    "need": "1200",
                    "unit": "s",
                    "text": "20 minutes in the month",
                    "citation": CITED,
                    "evidence": ["t1", "r1", "consents/0", "x9"],
                    "without": {"t1": "480"},
                }
            ],
        },
    ],
    "refused": [
        {
            "code": "99454",
            "units": 1,
            "reasons": [
                {
                    "reason": "DAYS_BELOW_THRESHOLD",
                    "text": "too few days",
                    "have": "1",
                    "need": "16",
                    "citation": CITED,
                    "evidence": [],
                }
            ],
        },
    ],
    "held": [
        {
            "code": "99458",
            "units": 4,
            "reasons": [
                {
                    "reason": "MUE_EXCESS",
                    "text": "More than three.",
                    "question": "Is it in the record?",
                    "citation": CITED,
                    "evidence": [],
                }
            ],
        },
    ],
    "time": [
        {"entry": "t1", "program": "rpm", "counted_seconds": "750", "excluded": []},
        {
            "entry": "t2",
            "program": "rpm",
            "counted_seconds": "480",
            "excluded": [{"seconds": "240", "reason": "OVERLAP_SAME_PROGRAM", "with": ["t1"]}],
        },
    ],
    "days": [],
    "running": [],
    "alternatives": [{"program": "ccm", "lane": "staff", "lines": [{"code": "99490", "units": 1}], "total": "66.13"}],
    "warnings": [{"reason": "SAME_DAY_EM", "text": "A visit on the same day.", "evidence": ["t1"]}],
    "total": "51.77",
}


@pytest.fixture
def page():
    return month_page(
        patient_name="Ann Example",
        adjudication=ADJUDICATION,
        facts=FACTS,
        names={"rn-1": "Nora Field, RN", "dr-a": "Dr. Wynn, MD"},
        zone=EASTERN,
        today=date(2026, 4, 2),
    )


def test_a_billable_line_shows_its_arithmetic_and_source(page):
    line = page.billable[0]

    assert (line.code, line.amount, line.service) == ("99457", "$51.77", "31 Mar 2026")
    assert line.details == "Dr. Wynn, MD, place of service 11, diagnoses I10"
    proof = line.proofs[0]
    assert proof.arithmetic == "20:30 counted, 20:00 needed"
    assert proof.citation == "CY 2026 final rule: first 20 minutes"
    assert proof.href == "https://example.org/rule"


def test_evidence_is_named_in_words_and_carries_its_counterfactual(page):
    entry, reading, consent, unknown = page.billable[0].proofs[0].evidence

    assert (entry.words, entry.anchor) == ("5 Mar 2026, 12:30, Nora Field, RN", "entry-t1")
    assert entry.without == "without it: 8:00"
    assert (reading.words, reading.anchor) == ("reading of 2 Mar 2026", None)
    assert consent.words == "consent for RPM, 1 Mar 2026"
    assert (unknown.words, unknown.without) == ("x9", "")


def test_refused_and_held_say_what_is_missing(page):
    assert page.refused[0].proofs[0].arithmetic == "1 day counted, 16 days needed"
    assert page.held[0].proofs[0].text == "More than three. Is it in the record?"


def test_time_is_in_order_with_what_did_not_count(page):
    first, second = page.time

    assert (first.id, first.when, first.what, first.length, first.counted) == (
        "t1",
        "5 Mar 2026, 10:00",
        "live call, live with patient",
        "12:30",
        "12:30",
    )
    assert (second.counted, second.excluded) == (
        "8:00",
        ("4:00 not counted: two people at the same moment count once",),
    )
    assert page.time_totals == ("RPM: 20:30 counted",)


def test_the_rest_of_the_page(page):
    assert page.warnings == ("A visit on the same day.",)
    assert (page.alternatives[0].name, page.alternatives[0].total) == ("CCM, lane staff", "$66.13")
    assert page.pack == "medicare-b, rules of 2026, sha256:0123456789ab"
    assert page.facts_digest == "sha256:fedcba987654"


def test_calendar_says_every_day_aloud():
    found = calendar(
        {
            "period": {"from": "2026-02-27", "to": "2026-03-03"},
            "dates": ["2026-02-27"],
            "excluded": [{"reading": "r9", "date": "2026-02-28", "reason": "MANUAL_DATA"}],
        },
        today=date(2026, 3, 1),
    )

    assert found.count == "1 reading day"
    assert [(day.number, day.state) for day in found.days] == [
        ("27", "reading"),
        ("28", "excluded"),
        ("1", "none"),
        ("2", "ahead"),
        ("3", "ahead"),
    ]
    assert found.days[1].words == "28 Feb 2026: not counted: typed in by hand, not sent by the device"


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        ("1310", "s", "21:50"),
        ("3600", "s", "1:00:00"),
        ("16", "day", "16 days"),
        ("1", "day", "1 day"),
        ("2", None, "2"),
        (None, "s", ""),
    ],
)
def test_quantities(value, unit, words):
    assert quantity(value, unit) == words


def test_arithmetic_of_what_is_missing_altogether():
    assert arithmetic(None, "1200", "s") == "none counted, 20:00 needed"
    assert arithmetic("3", None, "day") == "3 days counted"
    assert arithmetic(None, None, "s") == ""
