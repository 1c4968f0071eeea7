"""The coverage page: each code in words, and what a locked year waits for."""

from __future__ import annotations

from server.billing.coverage import coverage
from server.billing.locked_years import locked_years
from server.web.views.coverage import coverage_page


def test_every_code_has_a_line_and_decided_ones_their_numbers() -> None:
    page = coverage_page(coverage(), locked_years().values())
    lines = {line.code: line for line in page.lines}

    assert len(page.lines) == len(coverage())
    assert page.summary == "45 codes are decided here, 22 are known because they exclude others."
    assert lines["99445"].billable == "1 Jan 2026"
    assert lines["G0511"].billable == "1 Jan 2018 to 30 Sep 2025"
    assert any("20:00 since" in words for words in lines["99457"].thresholds)
    assert lines["90960"].status == "known because it excludes others"
    assert lines["90960"].verified == "not decided here"


def test_locked_year_shows_its_points_with_their_source() -> None:
    page = coverage_page(coverage(), locked_years().values())

    assert {line.year for line in page.locked} == {2027}
    assert len(page.locked) == 8
    assert all("," in line.source for line in page.locked)
