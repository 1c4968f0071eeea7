"""Forms keep what was typed and name each wrong field; the record says what is still missing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from server.db.devices import Device
from server.db.enrollments import CarePlan, Consent, Enrollment
from server.db.patients import Condition
from server.web.form_state import FieldReader
from server.web.views.registry import missing

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
EASTERN = ZoneInfo("America/New_York")


def test_every_error_is_collected_and_nothing_typed_is_lost():
    reader = FieldReader({"name": "  ", "birth_on": "22/11/1950", "zone": "Mars/Base", "code": "I1"})

    reader.text("name", "Name")
    reader.day("birth_on", "Birth date")
    reader.zone("zone", "Time zone")
    reader.diagnosis("code", "Diagnosis")

    assert set(reader.errors) == {"name", "birth_on", "zone", "code"}
    assert reader.state.values["birth_on"] == "22/11/1950"
    assert reader.errors["birth_on"] == "Birth date: write the date as YYYY-MM-DD."


@pytest.mark.parametrize(
    ("text", "wrong"), [("2026-11-22", False), ("2026-11-23", True), ("2020-01-01", False), ("2019-12-31", True)]
)
def test_days_have_limits(text, wrong):
    reader = FieldReader({"d": text})

    reader.day("d", "Day", earliest=date(2020, 1, 1), latest=date(2026, 11, 22))

    assert bool(reader.errors) is wrong


def test_moment_is_the_viewers_wall_clock():
    reader = FieldReader({"at": "2026-11-22T10:00"})

    assert reader.moment("at", "At", EASTERN, latest=NOW) == NOW  # 10:00 in New York is 15:00 UTC
    assert not reader.errors


@pytest.mark.parametrize(("text", "wrong"), [("2026-11-22T10:01", False), ("2026-11-22T10:02", True), ("soon", True)])
def test_moment_is_not_in_the_future(text, wrong):
    reader = FieldReader({"at": text})

    reader.moment("at", "At", EASTERN, latest=NOW)

    assert bool(reader.errors) is wrong


@pytest.mark.parametrize(
    ("text", "wrong"), [("i10", False), ("E11.9", False), ("E11.65", False), ("11.9", True), ("E1", True)]
)
def test_diagnosis_codes(text, wrong):
    reader = FieldReader({"code": text})

    found = reader.diagnosis("code", "Diagnosis")

    assert bool(reader.errors) is wrong
    assert found == text.upper()


def test_control_characters_are_refused():
    reader = FieldReader({"name": "Ann\x00"})

    reader.text("name", "Name")

    assert "control characters" in reader.errors["name"]


def enrollment(program: str, *, setup_on: date | None = date(2026, 11, 1)) -> Enrollment:
    return Enrollment(
        id="e1",
        program=program,
        practitioner_id="dr",
        practitioner_name="Dr",
        from_on=date(2026, 11, 1),
        to_on=None,
        end_reason=None,
        ordered_on=None,
        diagnosis=None,
        setup_on=setup_on,
    )


def consent(program: str, *, revoked: bool = False) -> Consent:
    return Consent(
        id="c1",
        program=program,
        practitioner_id="dr",
        granted_at=NOW,
        revoked_at=NOW if revoked else None,
        form="verbal",
        statements=[],
        language="en",
    )


CHRONIC = Condition(icd10="I10", chronic_12_months=True, significant_risk=True)
PLAN = CarePlan(id="p", program="ccm", version=1, content={}, approved_at=NOW, approved_by="dr")
DRAFT = CarePlan(id="p", program="ccm", version=1, content={}, approved_at=None, approved_by=None)
DEVICE = Device(
    id="bp-1",
    kind="blood-pressure",
    model=None,
    address=None,
    local_name=None,
    gateway_id=None,
    fda_defined=True,
    patient_id="p",
    patient_name="Ann",
    assigned_from=NOW,
    assignment_id="a",
)


def test_nobody_is_enrolled_yet():
    assert missing([], [], [], [], []) == ("Enrol the patient in a program.",)


def test_everything_is_in_place():
    programs = [enrollment("rpm"), enrollment("ccm")]

    assert missing([CHRONIC, CHRONIC], programs, [consent("rpm"), consent("ccm")], [PLAN], [DEVICE]) == ()


def test_what_is_missing_is_listed_in_order():
    programs = [enrollment("rpm", setup_on=None), enrollment("ccm")]

    assert missing([CHRONIC], programs, [consent("rpm", revoked=True)], [DRAFT], []) == (
        "Record consent to RPM.",
        "Record consent to CCM.",
        "Attest two chronic conditions for CCM.",
        "Have the CCM care plan approved.",
        "Assign a device.",
        "Set the device up and note the day.",
    )
