"""Facts are strict: every field in error is named, nothing is guessed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from server.billing.determine import adjudicate
from server.billing.facts import FactsError, facts_digest, parse_facts
from tests.billing_cases.months import month_facts


def facts() -> dict[str, Any]:
    return month_facts("2026-04", rpm_time="25:00", ccm_time="25:00")


def where(broken: dict[str, Any]) -> list[str]:
    with pytest.raises(FactsError) as raised:
        parse_facts(broken)
    return [problem.where for problem in raised.value.problems]


@pytest.mark.parametrize("field", ["schema", "as_of", "month", "payer", "practice", "patient"])
def test_missing_field(field: str) -> None:
    broken = facts()
    del broken[field]

    assert where(broken) == [field]


def test_lists_may_be_absent_and_help_no_claim() -> None:
    few = {key: value for key, value in facts().items() if not isinstance(value, list)}

    answer = adjudicate(few)

    assert answer["billable"] == []
    assert answer["total"] == "0.00"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("month",), "2026-13", "month"),
        (("schema",), "vitalwire.billing-facts/2", "schema"),
        (("as_of",), "2026-05-02T12:00:00", "as_of"),
        (("practice", "kind"), "hospital", "practice.kind"),
        (("practice", "time_zone"), "Mars/Base", "practice.time_zone"),
        (("payer", "pack"), "aetna", "payer.pack"),
        (("time_entries", 0, "program"), "rmp", "time_entries[0].program"),
        (("time_entries", 1, "performer"), "rn-9", "time_entries[1].performer"),
        (("time_entries", 0, "end"), "2020-01-01T00:00:00Z", "time_entries[0].end"),
        (("time_entries", 0, "start"), "yesterday", "time_entries[0].start"),
        (("readings", 0, "device"), "d9", "readings[0].device"),
        (("readings", 0, "entry"), "typed", "readings[0].entry"),
        (("enrollments", 0, "practitioner"), "dr-z", "enrollments[0].practitioner"),
        (("enrollments", 0, "to"), "2020-01-01", "enrollments[0].to"),
        (("consents", 0, "statements"), ["anything"], "consents[0].statements[0]"),
        (("patient", "time_zones", 0, "zone"), "EST5", "patient.time_zones[0].zone"),
    ],
)
def test_wrong_value_is_named(path: tuple[Any, ...], value: Any, said: str) -> None:
    broken = facts()
    target: Any = broken
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value

    assert where(broken) == [said]


def test_unknown_field_is_refused_at_every_depth() -> None:
    broken = facts()
    broken["notes"] = []
    broken["time_entries"][0]["minutes"] = 20

    assert where(broken) == ["notes", "time_entries[0]"]


def test_all_problems_at_once() -> None:
    broken = facts()
    broken["month"] = "April"
    broken["time_entries"][0]["activity"] = "golf"
    broken["readings"][0]["entry"] = "typed"

    assert where(broken) == ["month", "readings[0].entry", "time_entries[0].activity"]


def test_doubled_id_and_overlapping_enrollment() -> None:
    broken = facts()
    broken["time_entries"][1]["id"] = broken["time_entries"][0]["id"]
    broken["enrollments"].append(dict(broken["enrollments"][0]))

    assert where(broken) == ["time_entries[1].id", "enrollments[2].from"]


def test_digest_is_of_the_content_not_of_the_order_of_keys() -> None:
    one = facts()
    other = dict(reversed(one.items()))

    assert facts_digest(one) == facts_digest(other)
    plain = json.dumps(one, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert facts_digest(one) == "sha256:" + hashlib.sha256(plain.encode()).hexdigest()
    other["month"] = "2026-05"
    assert facts_digest(one) != facts_digest(other)
