"""The coverage register: every code stands in it, and every supported code has its edge tested to each side."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta

import pytest
from typer.testing import CliRunner

from server.billing.cli import app
from server.billing.codes import register
from server.billing.coverage import coverage
from server.billing.determine import adjudicate
from tests.billing_cases.months import Json, local, month_facts
from tests.unit.billing.test_billing_programs import apcm, data_review, pcm, program, rtm, tcm, with_bhi

Month = Callable[[int], Json]


def clock(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02d}"


def rpm_days(edge: int, *, month: str = "2026-04", new: bool = False) -> Month:
    first = date.fromisoformat(f"{month}-01")
    return lambda step: month_facts(month, period_from=first, days=edge + step, new_episode=new)


def rpm_time(minutes: int) -> Month:
    return lambda step: month_facts("2026-03", rpm_time=clock(minutes * 60 + step))


def ccm_time(minutes: int, **said: str) -> Month:
    return lambda step: month_facts("2026-05", ccm_time=clock(minutes * 60 + step), **said)


def own_time(minutes: int) -> Month:
    return lambda step: month_facts("2026-05", own_time=clock(minutes * 60 + step), lane="practitioner")


def pcm_time(minutes: int) -> Month:
    return lambda step: pcm(time=clock(minutes * 60 + step))


def pcm_own(minutes: int) -> Month:
    return lambda step: pcm(own=clock(minutes * 60 + step))


def visit_by(last: int, decisions: str) -> Month:
    """A step below is a day too late: the edge is the last day on which the visit counts."""

    def month(step: int) -> Json:
        on = date(2026, 5, last) - timedelta(days=step)
        return tcm(visit_at=local(on, 10), reconciled_on=str(on), mdm=decisions)

    return month


def level(conditions: int, *, poor: bool = False) -> Month:
    """Steps are conditions; above the edge the level stays."""

    def month(step: int) -> Json:
        facts = apcm(conditions=min(conditions + step, 2), poor=poor)
        if conditions + step > 2:
            facts["patient"]["conditions"].append(
                {"icd10": "J44.9", "chronic_12_months": True, "significant_risk": True}
            )
        return facts

    return month


def own_consent(step: int) -> Json:
    """The lowest level asks for no condition: its edge is the day of consent, the month's last."""
    facts = apcm(conditions=0)
    facts["consents"][0]["granted_at"] = local(date(2026, 5, 31) - timedelta(days=step), 10)
    return facts


def cocm_time(start: str, minutes: int) -> Month:
    def month(step: int) -> Json:
        facts = program("2026-05", "cocm", clock(minutes * 60 + step))
        facts["enrollments"][0]["from"] = start
        return facts

    return month


def bhi_time(step: int) -> Json:
    return program("2026-05", "bhi", clock(20 * 60 + step))


def bhi_add_on(step: int) -> Json:
    """No minutes are asked for; the edge is the month in which the add-on began to exist."""
    month = {-1: "2025-12", 0: "2026-01", 1: "2026-02"}[step]
    return with_bhi(apcm(month), under="apcm", time="25:00")


def cocm_add_on(*, later: bool) -> Month:
    def month(step: int) -> Json:
        name = {-1: "2025-12", 0: "2026-01", 1: "2026-02"}[step]
        facts = with_bhi(apcm(name), under="apcm", time="25:00")
        for listed in (facts["enrollments"], facts["consents"], facts["time_entries"]):
            for one in listed:
                if one["program"] == "bhi":
                    one["program"] = "cocm"
        if not later:
            facts["enrollments"][-1]["from"] = f"{name}-01"
        return facts

    return month


def rtm_days(system: str, edge: int) -> Month:
    return lambda step: rtm(system=system, days=edge + step)


def rtm_setup(step: int) -> Json:
    facts = rtm(system="respiratory", days=2 + step)
    facts["services"] = []
    return facts


def rtm_time(minutes: int) -> Month:
    return lambda step: rtm(system="cbt", days=1, time=clock(minutes * 60 + step))


def oversight(name: str, **changes: object) -> Month:
    return lambda step: {**program("2026-05", name, own=clock(30 * 60 + step)), **changes}


def extra_planning(step: int) -> Json:
    """On the day of the initiating visit: the day after is none, and the edge has no further side."""
    facts = program("2026-06", "ccm")
    facts["visits"] = [{"kind": "e-m", "practitioner": "dr-a", "at": local(date(2026, 6, 8), 10), "discussed": ["ccm"]}]
    facts["enrollments"][0]["from"] = "2026-06-08"
    on = "2026-06-09" if step < 0 else "2026-06-08"
    facts["attestations"] = [{"kind": "extra-care-planning", "practitioner": "dr-a", "on": on}]
    return facts


def clinic_time(step: int) -> Json:
    facts = month_facts("2024-06", ccm_time=clock(20 * 60 + step))
    facts["practice"]["kind"] = "rhc"
    return facts


def clinic_cocm(step: int) -> Json:
    facts = program("2024-06", "cocm", clock(60 * 60 + step))
    facts["practice"]["kind"] = "rhc"
    return facts


# Code → the month one step below, at and one step above its edge.
BOUNDARIES: dict[str, Month] = {
    "99453": rpm_days(2, new=True),
    "99454": rpm_days(16),
    "99445": rpm_days(2),
    "99470": rpm_time(10),
    "99457": rpm_time(20),
    "99458": rpm_time(40),
    "99091": lambda step: data_review(clock(30 * 60 + step)),
    "99490": ccm_time(20),
    "99439": ccm_time(40),
    "99487": ccm_time(60, lane="complex", decision_making="moderate"),
    "99489": ccm_time(90, lane="complex", decision_making="moderate"),
    "99491": own_time(30),
    "99437": own_time(60),
    "G0506": extra_planning,
    "99424": pcm_own(30),
    "99425": pcm_own(60),
    "99426": pcm_time(30),
    "99427": pcm_time(60),
    "99495": visit_by(18, "moderate"),
    "99496": visit_by(11, "high"),
    "G0556": own_consent,
    "G0557": level(2),
    "G0558": level(2, poor=True),
    "G0568": cocm_add_on(later=False),
    "G0569": cocm_add_on(later=True),
    "G0570": bhi_add_on,
    "99484": bhi_time,
    "99492": cocm_time("2026-05-01", 70),
    "99493": cocm_time("2026-04-01", 60),
    "99494": cocm_time("2026-05-01", 100),
    "G2214": cocm_time("2026-05-01", 30),
    "98975": rtm_setup,
    "98976": rtm_days("respiratory", 16),
    "98977": rtm_days("musculoskeletal", 16),
    "98978": rtm_days("cbt", 16),
    "98984": rtm_days("respiratory", 2),
    "98985": rtm_days("musculoskeletal", 2),
    "98986": rtm_days("cbt", 2),
    "98979": rtm_time(10),
    "98980": rtm_time(20),
    "98981": rtm_time(40),
    "G0181": oversight("home-health-oversight"),
    "G0182": oversight("hospice-oversight", hospice=[{"elected_on": "2026-05-10", "revoked_on": None}]),
    "G0511": clinic_time,
    "G0512": clinic_cocm,
}


def test_every_supported_code_has_a_boundary() -> None:
    assert BOUNDARIES.keys() == {code.number for code in register().values() if code.status == "supported"}


@pytest.mark.parametrize("code", BOUNDARIES)
def test_boundary(code: str) -> None:
    """Not billable one step below the edge; one unit at it and one step above."""
    for step, units in ((-1, 0), (0, 1), (1, 1)):
        answer: Json = adjudicate(BOUNDARIES[code](step))
        found = sum(line["units"] for line in answer["billable"] if line["code"] == code)
        assert found == units, (step, answer["billable"], answer["refused"], answer["held"])


def test_register_names_a_test_that_is_there() -> None:
    for row in coverage():
        name = row.tested_by.partition("[")[2].rstrip("]")
        assert (name in BOUNDARIES) is (row.code.rule is not None)


def test_supported_code_says_how_sure_and_on_which_numbers() -> None:
    rows = {row.code.number: row for row in coverage()}

    assert set(rows) == set(register())
    assert [(one.since.isoformat(), one.value) for one in rows["99453"].thresholds if "data_days" in one.rule] == [
        ("2019-01-01", 16),
        ("2026-01-01", 2),
    ]
    for row in rows.values():
        if row.code.status == "supported":
            assert row.confidence
            assert row.code.verified_from is not None
            assert row.code.verified_from >= row.code.first
            assert row.code.rule
        else:
            assert row.code.rule is None


def test_command_prints_every_code_once() -> None:
    shown = CliRunner().invoke(app, ["coverage"])
    rows = [json.loads(line) for line in shown.stdout.splitlines()]

    assert [row["code"] for row in rows] == list(register())
    assert rows[0]["tested_by"].endswith("test_boundary[99453]")
