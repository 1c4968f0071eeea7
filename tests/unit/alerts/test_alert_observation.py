"""Stored readings as the engine takes them: units, absent numbers, meter codes, flags."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from alerts.model import ABOVE_RANGE, BELOW_RANGE, Reading
from alerts.observation import to_reading

AT = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)


def reading(kind: str, *components: tuple[str, str | None, str | None], flags: tuple[str, ...] = ()) -> Reading | None:
    rows: list[dict[str, Any]] = [{"metric": m, "value": v, "absent_reason": r, "unit": "x"} for m, v, r in components]
    return to_reading(
        message_id="m1",
        kind=kind,
        device_id="d1",
        measured_at=AT,
        arrived_at=AT,
        local_date=date(2026, 3, 3),
        sequence_number=7,
        user_id=2,
        components=rows,
        flags=flags,
    )


def test_blood_pressure_with_flags_and_the_patients_own_day() -> None:
    found = reading(
        "blood-pressure",
        ("diastolic", "78", None),
        ("systolic", "128.5", None),
        ("mean-arterial", "95", None),
        flags=("body-movement", "cuff-loose", "improper-position", "irregular-pulse", "battery-low"),
    )

    assert found == Reading(
        id="m1",
        kind="bp",
        measured_at=AT,
        arrived_at=AT,
        values=(Decimal("128.5"), Decimal(78), None),
        day=date(2026, 3, 3).toordinal(),
        flags=("movement", "cuff_loose", "position", "irregular"),
        user=2,
        device="d1",
        sequence=7,
    )


@pytest.mark.parametrize(
    ("component", "flags", "value"),
    [
        (("glucose", "54", None), (), Decimal(54)),
        (("glucose", None, None), ("result-too-high",), ABOVE_RANGE),
        (("glucose", None, None), ("result-too-low",), BELOW_RANGE),
        (("glucose", None, "positive-infinity"), (), ABOVE_RANGE),
        (("glucose", None, "negative-infinity"), (), BELOW_RANGE),
        (("glucose", None, "not-a-number"), (), None),
        (("glucose", "54", None), ("result-too-low",), Decimal(54)),
        (("glucose", "nonsense", None), (), None),
        (("glucose", "NaN", None), (), None),
    ],
)
def test_glucose_and_its_codes(
    component: tuple[str, str | None, str | None], flags: tuple[str, ...], value: Decimal | None
) -> None:
    found = reading("glucose", component, flags=flags)

    assert found is not None
    assert found.values == (value,)


@pytest.mark.parametrize(
    ("kilograms", "pounds"),
    [("81.6466266", "180.00"), ("1.36077711", "3.00"), ("2.26796185", "5.00"), ("70", "154.32")],
)
def test_weight_is_judged_in_pounds(kilograms: str, pounds: str) -> None:
    found = reading("weight", ("body-weight", kilograms, None))

    assert found is not None
    assert found.values == (Decimal(pounds),)


def test_infinity_is_a_meters_code_only_for_glucose() -> None:
    found = reading("blood-pressure", ("systolic", None, "positive-infinity"), ("diastolic", "80", None))

    assert found is not None
    assert found.values == (None, Decimal(80), None)


def test_kinds_without_rules_are_left_alone() -> None:
    assert reading("temperature", ("body-temperature", "37", None)) is None
