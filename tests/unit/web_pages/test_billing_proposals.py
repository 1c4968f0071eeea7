"""A proposal for untagged time on the month page: the engine's own proposal in words."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

from server.billing.determine import adjudicate
from server.web.views.month import month_page
from tests.billing_cases.months import entry, local, month_facts


def test_proposal_names_the_work_its_home_and_what_follows() -> None:
    facts = month_facts("2026-04", ccm_time="15:00")
    facts["time_entries"].append(
        entry("u1", None, local(date(2026, 4, 20), 11), 300, candidates=["rpm", "ccm"], activity="coordination")
    )
    page = month_page(
        patient_name="Anna Berg",
        adjudication=adjudicate(facts),
        facts=facts,
        names={"rn-1": "Nora Field, RN"},
        zone=ZoneInfo("America/New_York"),
        today=date(2026, 5, 2),
    )

    (one,) = page.unallocated
    assert one.choice == "u1=ccm"
    assert "5:00, Nora Field, RN to CCM" in one.entries[0]
    assert one.outcome == "adds 1 \u00d7 99490: $66.13 instead of $0.00"
    assert "no lawful allocation of at most 1" in one.certificate
