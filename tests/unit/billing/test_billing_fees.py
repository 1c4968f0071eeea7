"""Amounts: relative values x conversion factor, by date, locality, setting and practitioner. Expected values are the
published national amounts, or worked by hand from the relative value files named beside them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from server.billing.determine import adjudicate
from server.billing.fact_types import Locality
from server.billing.fees import relative_values, unit_amount
from tests.billing_cases.months import month_facts


def amount(code: str, day: str, **changes: Any) -> Decimal | None:
    said = {"qualifying": False, "locality": None, "place_of_service": "11", "rural": False, "percent": 100, **changes}
    return unit_amount(code, date.fromisoformat(day), **said).unit


@pytest.mark.parametrize(
    ("code", "day", "expected"),
    [
        ("99453", "2026-06-30", "21.71"),
        ("99454", "2026-06-30", "52.11"),
        ("99445", "2026-06-30", "52.11"),
        ("99457", "2026-06-30", "51.77"),
        ("99458", "2026-06-30", "41.42"),
        ("99470", "2026-06-30", "26.05"),
        ("99490", "2026-06-30", "66.13"),
        ("99439", "2026-06-30", "50.44"),
        ("99487", "2026-06-30", "144.29"),
        ("99490", "2025-06-30", "60.49"),
        ("99439", "2025-06-30", "45.93"),
        ("99454", "2025-06-30", "43.02"),
        # The factor rose on 2024-03-09: 1.88 x 32.7442 and x 33.2875.
        ("99490", "2024-03-08", "61.56"),
        ("99490", "2024-03-09", "62.58"),
        # 1.20 x 33.2875 = 39.945: half a cent goes up.
        ("98981", "2024-03-09", "39.95"),
        ("G0557", "2026-06-30", "53.78"),
    ],
)
def test_national_amount(code: str, day: str, expected: str) -> None:
    assert amount(code, day) == Decimal(expected)


def test_locality_amount_of_alabama() -> None:
    """(1.00 x 1 + 0.81 x 0.869 + 0.06 x 0.575) x 32.3465 = 56.23."""
    assert amount("99490", "2025-06-30", locality=Locality(mac="10112", number="00")) == Decimal("56.23")


def test_unknown_locality_is_national_and_said() -> None:
    found = unit_amount(
        "99490",
        date(2025, 6, 30),
        qualifying=False,
        locality=Locality(mac="99999", number="99"),
        place_of_service="11",
        rural=False,
        percent=100,
    )

    assert found.unit == Decimal("60.49")
    assert found.warnings[0][0] == "LOCALITY_UNKNOWN"


@pytest.mark.parametrize(("place", "expected"), [("11", "51.77"), ("12", "51.77"), ("19", "26.39"), ("22", "26.39")])
def test_place_of_service_decides_the_setting(place: str, expected: str) -> None:
    assert amount("99457", "2026-06-30", place_of_service=place) == Decimal(expected)


def test_supply_in_a_facility_is_warned_of() -> None:
    facts = month_facts("2026-04", period_from=date(2026, 4, 1), days=16)
    facts["practice"]["place_of_service"] = "22"

    answer: dict[str, Any] = adjudicate(facts)

    assert answer["total"] == "52.11"
    assert [warning["reason"] for warning in answer["warnings"]] == ["NOT_IN_FACILITY"]


def test_qualifying_participant_has_a_factor_of_its_own_from_2026() -> None:
    """1.55 x 33.5675 = 52.03; in 2025 there was one factor."""
    assert amount("99457", "2026-06-30", qualifying=True) == Decimal("52.03")
    assert amount("99457", "2025-06-30", qualifying=True) == amount("99457", "2025-06-30")


@pytest.mark.parametrize(
    ("credential", "expected"), [("MD", "66.13"), ("NP", "56.21"), ("PA", "56.21"), ("CNS", "56.21"), ("CNM", "66.13")]
)
def test_share_of_the_practitioner(credential: str, expected: str) -> None:
    """85 % of 66.13 is 56.2105."""
    facts = month_facts("2026-06", ccm_time="20:00")
    facts["practitioners"][0]["credential"] = credential

    answer: dict[str, Any] = adjudicate(facts)

    assert answer["total"] == expected


def test_rural_clinic_takes_the_national_nonfacility_amount() -> None:
    facts = month_facts("2026-06", ccm_time="20:00")
    facts["practice"] |= {"kind": "rhc", "place_of_service": "22"}
    facts["payer"]["locality"] = {"mac": "10112", "number": "00"}

    answer: dict[str, Any] = adjudicate(facts)

    assert answer["total"] == "66.13"


@pytest.mark.parametrize(("code", "day"), [("98978", "2026-06-30"), ("98986", "2026-06-30"), ("99490", "2023-06-30")])
def test_what_has_no_price_is_unknown_and_never_zero(code: str, day: str) -> None:
    assert amount(code, day) is None


def test_unknown_amount_is_said_and_left_out_of_the_total() -> None:
    answer: dict[str, Any] = adjudicate(month_facts("2022-06", ccm_time="20:00"))

    assert answer["billable"][0]["amount"] is None
    assert answer["total"] is None
    assert [warning["reason"] for warning in answer["warnings"]] == ["AMOUNT_UNKNOWN"]


def test_every_row_of_the_file_adds_up_to_its_printed_total() -> None:
    assert sum(len(rows) for rows in relative_values().values()) == 611


def test_add_on_is_never_worth_more_than_its_base() -> None:
    """A vendor's page of 2025 printed an add-on above its base: such a table would be refused here."""
    pairs = [("99439", "99490"), ("99489", "99487"), ("99437", "99491"), ("99458", "99457"), ("98981", "98980")]
    for year in (2024, 2025, 2026):
        for add_on, base in pairs:
            more, less = amount(base, f"{year}-12-31"), amount(add_on, f"{year}-12-31")
            assert more is not None
            assert less is not None
            assert less <= more
