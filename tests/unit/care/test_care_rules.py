"""Lanes of the worklist, checklists, activities and the seven-day mean, at and beside each threshold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from server.care.activity import ACTIVITIES, BY_CODE, Talk, talk_problem
from server.care.pressure_summary import Pressure, seven_day_mean
from server.care.protocol import checklist_for, compose_note
from server.care.worklist import Lane, by_lane, lane_of

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    id: str = "al-1"
    family: str = "bp.high"
    severity: str = "P2"
    state: str = "open"
    opened_at: datetime = NOW
    due_at: datetime | None = None


@pytest.mark.parametrize(
    ("item", "lane"),
    [
        (Item(), Lane.NOW),
        (Item(state="claimed"), Lane.NOW),
        (Item(state="recovered"), Lane.NOW),
        (Item(severity="P3"), Lane.NOW),
        (Item(state="pending"), Lane.WAITING),
        (Item(state="snoozed"), Lane.SNOOZED),
        (Item(severity="P4"), Lane.TECHNICAL),
        (Item(family="tech.identity", severity="P2"), Lane.TECHNICAL),
        (Item(severity="P1", state="pending"), Lane.NOW),
        (Item(severity="P1", state="snoozed"), Lane.NOW),
        (Item(severity="P1", family="tech.identity"), Lane.NOW),
    ],
)
def test_lane_of_an_alert(item: Item, lane: Lane) -> None:
    assert lane_of(item) is lane


def test_severity_goes_before_the_clock_and_the_clock_before_age() -> None:
    soon, later = NOW + timedelta(minutes=1), NOW + timedelta(hours=1)
    items = [
        Item(id="e", severity="P3", due_at=soon),
        Item(id="d", severity="P2", due_at=None, opened_at=NOW - timedelta(days=1)),
        Item(id="c", severity="P2", due_at=later),
        Item(id="b", severity="P2", due_at=soon, opened_at=NOW),
        Item(id="a", severity="P1", due_at=later),
        Item(id="b0", severity="P2", due_at=soon, opened_at=NOW - timedelta(minutes=9)),
    ]

    assert [item.id for item in by_lane(items)[Lane.NOW]] == ["a", "b0", "b", "c", "d", "e"]


def test_every_alert_is_in_exactly_one_lane() -> None:
    items = [
        Item(id=f"{severity}{state}", severity=severity, state=state)
        for severity in ("P1", "P2", "P3", "P4")
        for state in ("pending", "open", "claimed", "snoozed", "recovered")
    ]

    shown = [item.id for lane in by_lane(items).values() for item in lane]

    assert sorted(shown) == sorted(item.id for item in items)


@dataclass(slots=True)
class Readings:
    """Readings of 120/80 except one of 132/92, spread over days."""

    count: int
    days: int
    extra: list[Pressure] = field(default_factory=list)

    def build(self) -> list[Pressure]:
        made = []
        for number in range(self.count):
            at = NOW - timedelta(days=number % self.days, minutes=number)
            high = number == 0
            made.append(
                Pressure(
                    at=at,
                    day=at.date(),
                    systolic=Decimal(132 if high else 120),
                    diastolic=Decimal(92 if high else 80),
                )
            )
        return made + self.extra


@pytest.mark.parametrize(
    ("count", "days", "systolic", "diastolic"),
    [
        (11, 3, None, None),
        (12, 3, Decimal("121.0"), Decimal("81.0")),
        (13, 3, Decimal("120.9"), Decimal("80.9")),
        (12, 2, None, None),
    ],
)
def test_mean_needs_twelve_readings_on_three_days(
    count: int, days: int, systolic: Decimal | None, diastolic: Decimal | None
) -> None:
    mean = seven_day_mean(Readings(count, days).build(), NOW)

    assert (mean.readings, mean.days, mean.systolic, mean.diastolic) == (count, days, systolic, diastolic)


@pytest.mark.parametrize(
    ("age", "counted"),
    [(timedelta(days=7) - timedelta(seconds=1), 13), (timedelta(days=7), 12), (timedelta(seconds=-1), 12)],
)
def test_mean_looks_back_exactly_seven_days(age: timedelta, counted: int) -> None:
    at = NOW - age
    edge = Pressure(at=at, day=at.date(), systolic=Decimal(120), diastolic=Decimal(80))

    assert seven_day_mean(Readings(12, 3, [edge]).build(), NOW).readings == counted


def test_note_names_what_was_present_and_keeps_the_words() -> None:
    note = compose_note("bp.high", went_through=True, ticked={"vision"}, words="  Sent her in. ")

    assert note == "Asked about symptoms of severe blood pressure: change of vision. Sent her in."


def test_note_says_that_nothing_was_present_only_when_it_was_asked() -> None:
    asked = compose_note("bp.high", went_through=True, ticked=(), words="")
    not_asked = compose_note("bp.high", went_through=False, ticked=(), words="Called.")

    assert asked == "Asked about symptoms of severe blood pressure: none present."
    assert not_asked == "Called."


def test_note_of_a_family_without_checklist_ignores_foreign_boxes() -> None:
    assert checklist_for("weight.gain") is None
    assert compose_note("weight.gain", went_through=True, ticked={"vision"}, words="Weighed twice.") == "Weighed twice."


@pytest.mark.parametrize("family", ["bp.high", "glucose.low", "glucose.high"])
def test_dangerous_families_have_a_checklist_with_an_ambulance_item(family: str) -> None:
    checklist = checklist_for(family)

    assert checklist is not None
    assert any(item.red for item in checklist.items)
    assert "911" in checklist.guidance or "emergency care" in checklist.guidance


def test_activities_are_the_words_of_the_billing_contract() -> None:
    assert {activity.code for activity in ACTIVITIES} == {
        "live-call", "data-review", "coordination", "care-plan", "medication", "oversight", "documentation",
        "voicemail", "text", "scheduling", "setup", "clerical",
    }  # fmt: skip
    assert {activity.code for activity in ACTIVITIES if not activity.can_count} == {
        "voicemail", "text", "scheduling", "setup", "clerical",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "live", "with_whom", "fine"),
    [
        ("live-call", True, "patient", True),
        ("live-call", False, None, False),
        ("live-call", True, None, False),
        ("live-call", True, "neighbour", False),
        ("data-review", True, "patient", False),
        ("data-review", False, None, True),
        ("medication", True, "caregiver", True),
        ("medication", False, None, True),
        ("voicemail", True, "patient", False),
    ],
)
def test_talk_fits_the_activity(code: str, live: bool, with_whom: str | None, fine: bool) -> None:
    assert (talk_problem(BY_CODE[code], live=live, with_whom=with_whom) is None) is fine


def test_every_activity_can_be_logged_somehow() -> None:
    for activity in ACTIVITIES:
        live = activity.talk is Talk.ALWAYS
        assert talk_problem(activity, live=live, with_whom="patient" if live else None) is None
