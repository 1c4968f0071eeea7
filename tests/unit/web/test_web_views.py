"""What the nurse's pages say, from values alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from server.db.alerts import AlertRow
from server.db.enrollments import Enrollment
from server.db.observations import Observation
from server.db.patients import MedicationChange
from server.security.identity import CurrentUser, Role
from server.web import formatting
from server.web.navigation import HOME, items_for
from server.web.views.charts import glucose_chart, pressure_chart
from server.web.views.panel import program_of_work, running_programs
from server.web.views.worklist import worklist_view

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
NURSE = CurrentUser(
    id="us-nurse", practice_id="pr-a", practice_name="A", zone=NEW_YORK, is_simulated=False, role=Role.NURSE,
    display_name="Nora", language="en", staff_id="st-1", practitioner_id=None, patient_id=None, csrf_token="t",
    session_hash=b"", session_ends_at=NOW,
)  # fmt: skip
ALERT = AlertRow(
    id="al-1", patient_id="pt-1", patient_name="Anna", family="bp.high", rule="bp.severe", severity="P2", state="open",
    level=0, text="186/112", tags=[], evidence=[], opened_at=NOW - timedelta(minutes=41), due_at=None, owner_id=None,
    owner_name=None, closed_at=None, disposition=None, note=None,
)  # fmt: skip


def line(alert: AlertRow):  # type: ignore[no-untyped-def]
    view = worklist_view([alert], user=NURSE, now=NOW, show="all", selected_id=None)
    return view.lanes[0].lines[0]


@pytest.mark.parametrize(
    ("seconds", "words", "overdue"),
    [(61, "escalates in 1 min", False), (0, "escalates in 0 s", False), (-1, "1 s overdue", True)],
)
def test_time_left_turns_into_time_overdue(seconds: int, words: str, overdue: bool) -> None:
    shown = line(replace(ALERT, due_at=NOW + timedelta(seconds=seconds)))

    assert (shown.due, shown.overdue) == (words, overdue)


@pytest.mark.parametrize(
    ("state", "owner", "can_claim"),
    [
        ("open", None, True),
        ("snoozed", "us-milo", True),
        ("claimed", "us-milo", False),
        ("pending", None, False),
        ("recovered", None, True),
        ("recovered", "us-milo", False),
    ],
)
def test_claim_is_offered_where_the_engine_would_take_it(state: str, owner: str | None, can_claim: bool) -> None:
    assert line(replace(ALERT, state=state, owner_id=owner, owner_name=owner)).can_claim is can_claim


def test_title_counts_everybody_even_under_a_filter() -> None:
    alerts = [
        replace(ALERT, id="a", severity="P1"),
        replace(ALERT, id="b"),
        replace(ALERT, id="c"),
        replace(ALERT, id="d", severity="P4", family="tech.missed"),
        replace(ALERT, id="e", state="snoozed"),
    ]

    view = worklist_view(alerts, user=NURSE, now=NOW, show="mine", selected_id=None)

    assert view.title == "(1 critical, 2 high) Worklist · vitalwire"
    assert view.empty


def test_nothing_to_do_is_said_calmly() -> None:
    view = worklist_view([], user=NURSE, now=NOW, show="all", selected_id=None)

    assert (view.title, view.summary) == ("Worklist · vitalwire", "Nobody needs you right now")


def reading(
    values: dict[str, str | None], *, kind: str = "blood-pressure", verdict: str = "ok", absent: str | None = None,
    days_ago: float = 1, flags: tuple[str, ...] = (),
) -> Observation:  # fmt: skip
    components: list[dict[str, Any]] = [
        {"metric": metric, "value": value, "unit": "mm[Hg]", "absent_reason": absent}
        for metric, value in values.items()
    ]
    at = NOW - timedelta(days=days_ago)
    return Observation(
        message_id="m", device_id="d", kind=kind, measured_at=at, received_at=at, local_date=at.date(),
        time_quality="synchronised", components=components, context={}, flags=list(flags), verdict=verdict,
    )  # fmt: skip


def test_quarantined_reading_is_shown_marked_and_in_no_mean() -> None:
    readings = [reading({"systolic": "120", "diastolic": "80"}, days_ago=n % 6 + n / 100) for n in range(12)]
    odd = reading({"systolic": "70", "diastolic": "140"}, verdict="quarantined", days_ago=0.5)

    chart = pressure_chart([*readings, odd], [], zone=NEW_YORK, now=NOW)

    assert chart is not None
    assert chart.summary == "7-day mean 120.0/80.0 mmHg (12 readings on 6 days)."
    assert chart.lines[0].mark == "not plausible, not counted"
    assert not chart.lines[0].counted
    assert [point["ok"] for point in json.loads(chart.data)["points"]][-1] is False


def test_few_readings_give_no_number() -> None:
    chart = pressure_chart([reading({"systolic": "120", "diastolic": "80"})], [], zone=NEW_YORK, now=NOW)

    assert chart is not None
    assert chart.summary == "7-day mean: not enough readings (1 on 1 days; 12 on 3 days are needed)."


def test_meter_words_and_flags_reach_the_table() -> None:
    high = reading({"glucose": None}, kind="glucose", absent="positive-infinity")
    moved = reading({"systolic": "150", "diastolic": "90"}, verdict="suspect", flags=("body-movement",))

    glucose = glucose_chart([high], zone=NEW_YORK, now=NOW)
    pressure = pressure_chart([moved], [], zone=NEW_YORK, now=NOW)

    assert glucose is not None
    assert pressure is not None
    assert glucose.lines[0].value == "HI"
    assert pressure.lines[0].mark == "suspect, movement"


@pytest.mark.parametrize(
    ("value", "low", "inside"),
    [("69", 1, 0), ("70", 0, 1), ("180", 0, 1), ("181", 0, 0)],
)
def test_share_in_range_has_closed_limits(value: str, low: int, inside: int) -> None:
    chart = glucose_chart([reading({"glucose": value}, kind="glucose")], zone=NEW_YORK, now=NOW)

    assert chart is not None
    assert chart.summary == f"{inside} of 1 readings in 70 to 180 mg/dL, {low} below 70."


def test_only_changes_of_the_fortnight_are_drawn() -> None:
    changes = [
        MedicationChange(changed_on=date(2026, 11, 8), description="new"),
        MedicationChange(changed_on=date(2026, 11, 7), description="old"),
    ]

    chart = pressure_chart([reading({"systolic": "120", "diastolic": "80"})], changes, zone=NEW_YORK, now=NOW)

    assert chart is not None
    assert [change["label"] for change in json.loads(chart.data)["changes"]] == ["new"]


def enrolled(program: str, from_on: date, to_on: date | None = None) -> Enrollment:
    return Enrollment(
        id="e", program=program, practitioner_id="dr-1", practitioner_name="x", from_on=from_on, to_on=to_on,
        end_reason=None, ordered_on=None, diagnosis=None, setup_on=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("today", "programs"),
    [
        (date(2026, 1, 4), ()),
        (date(2026, 1, 5), ("rpm",)),
        (date(2026, 3, 1), ("rpm", "ccm")),
        (date(2026, 6, 30), ("rpm", "ccm")),
        (date(2026, 7, 1), ("ccm",)),
    ],
)
def test_time_is_for_programs_that_run_today(today: date, programs: tuple[str, ...]) -> None:
    enrollments = [
        enrolled("ccm", date(2026, 3, 1)),
        enrolled("rpm", date(2026, 1, 5), date(2026, 6, 30)),
        enrolled("hospice-oversight", date(2026, 1, 1)),
    ]

    assert running_programs(enrollments, today) == programs


@pytest.mark.parametrize(
    ("programs", "from_alert", "program"),
    [
        (("rpm", "ccm"), True, "rpm"),
        (("rpm", "ccm"), False, "ccm"),
        (("ccm",), True, "ccm"),
        (("rpm",), False, "rpm"),
        ((), True, ""),
    ],
)
def test_the_work_chooses_the_program(programs: tuple[str, ...], from_alert: bool, program: str) -> None:
    assert program_of_work(programs, from_alert=from_alert) == program


@pytest.mark.parametrize(
    ("seconds", "short", "clock", "words"),
    [
        (0, "0 s", "0:00", "0 s"),
        (59, "59 s", "0:59", "59 s"),
        (60, "1 min", "1:00", "1 min 00 s"),
        (3599, "59 min", "59:59", "59 min 59 s"),
        (3600, "1 h 00", "1:00:00", "1 h 00 min 00 s"),
        (86399, "23 h 59", "23:59:59", "23 h 59 min 59 s"),
        (90000, "1 d 1 h", "25:00:00", "25 h 00 min 00 s"),
    ],
)
def test_lengths_are_never_rounded_up(seconds: int, short: str, clock: str, words: str) -> None:
    assert (formatting.span(seconds), formatting.stopwatch(seconds), formatting.exact(seconds)) == (short, clock, words)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (datetime(2026, 11, 22, 5, 0, tzinfo=UTC), "00:00"),
        (datetime(2026, 11, 22, 4, 59, tzinfo=UTC), "Yesterday 23:59"),
        (datetime(2026, 11, 21, 4, 59, tzinfo=UTC), "20 Nov 23:59"),
        (datetime(2025, 11, 21, 15, 0, tzinfo=UTC), "21 Nov 2025 10:00"),
    ],
)
def test_days_change_at_the_viewers_midnight(at: datetime, words: str) -> None:
    assert formatting.local_when(at, NEW_YORK, NOW) == words


def test_numbers_keep_the_digits_they_have() -> None:
    assert [formatting.plain(Decimal(text)) for text in ("120", "98.60", "1E+2")] == ["120", "98.60", "100"]


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
def test_every_role_starts_on_a_page_of_its_own_bar(role: Role) -> None:
    paths = frozenset(HOME.values())

    assert HOME[role] in [item.path for item in items_for(role, paths)]
