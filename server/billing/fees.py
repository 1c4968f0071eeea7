"""What a line is worth: relative values, conversion factor, locality, setting, practitioner share.

Input: a code, its date of service, payer, practice and credential. Output: Decimal dollars, or `None` where no amount
is known (priced by the payer's contractor, or no file for the year): never zero. Half cents round up.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Final

from server.billing.fact_types import Locality
from server.billing.parameter_tree import TABLES, ParameterTree

CENT: Final = Decimal("0.01")
# Places of service paid at the facility amount.
FACILITY_PLACES: Final = frozenset(
    {"19", "21", "22", "23", "24", "26", "31", "34", "41", "42", "51", "52", "53", "56", "61"}
)
_REDUCED: Final = frozenset({"NP", "PA", "CNS"})
# Rates of rural clinics and health centers, not paid under the fee schedule: status X rows carry them.
_CLINIC_CODES: Final = frozenset({"G0511", "G0512"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeValue:
    """One row of a relative value file."""

    first: date
    last: date
    status: str
    work: Decimal
    nonfacility_practice: Decimal
    facility_practice: Decimal
    malpractice: Decimal
    facility_na: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """An amount for one unit, and what a biller should know about it."""

    unit: Decimal | None
    warnings: tuple[tuple[str, str], ...] = ()


def _date(text: str) -> date:
    return date.fromisoformat(text)


@lru_cache(maxsize=1)
def relative_values() -> Mapping[str, tuple[RelativeValue, ...]]:
    found: dict[str, list[RelativeValue]] = {}
    with (TABLES / "rvu.csv").open(encoding="utf-8", newline="") as source:
        for row in csv.DictReader(source):
            found.setdefault(row["code"], []).append(
                RelativeValue(
                    first=_date(row["effective_from"]),
                    last=_date(row["effective_to"]),
                    status=row["status"],
                    work=Decimal(row["work_rvu"]),
                    nonfacility_practice=Decimal(row["nonfacility_pe_rvu"]),
                    facility_practice=Decimal(row["facility_pe_rvu"]),
                    malpractice=Decimal(row["mp_rvu"]),
                    facility_na=row["facility_na"] == "true",
                )
            )
    return {code: tuple(rows) for code, rows in found.items()}


@lru_cache(maxsize=1)
def _conversion_factors() -> tuple[tuple[date, date, str, Decimal], ...]:
    with (TABLES / "conversion_factors.csv").open(encoding="utf-8", newline="") as source:
        return tuple(
            (_date(row["effective_from"]), _date(row["effective_to"]), row["kind"], Decimal(row["value"]))
            for row in csv.DictReader(source)
        )


@lru_cache(maxsize=1)
def _localities() -> Mapping[tuple[int, str, str], tuple[Decimal, Decimal, Decimal]]:
    with (TABLES / "gpci.csv").open(encoding="utf-8", newline="") as source:
        return {
            (int(row["year"]), row["mac"], row["locality_number"]): (
                Decimal(row["work_gpci"]),
                Decimal(row["pe_gpci"]),
                Decimal(row["mp_gpci"]),
            )
            for row in csv.DictReader(source)
        }


def cents(amount: Decimal) -> Decimal:
    """Rounded to the cent, half up."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


def conversion_factor(day: date, *, qualifying: bool) -> Decimal | None:
    """The factor of the date of service; from 2026 a qualifying participant has one of its own."""
    kinds = {"all", "qp" if qualifying else "non-qp"}
    return next((v for first, last, kind, v in _conversion_factors() if first <= day <= last and kind in kinds), None)


@lru_cache(maxsize=4096)
def unit_amount(
    code: str,
    day: date,
    *,
    qualifying: bool,
    locality: Locality | None,
    place_of_service: str,
    rural: bool,
    percent: int,
) -> Amount:
    """The allowed amount of one unit; `percent` is the practitioner's share of it."""
    row = next((row for row in relative_values().get(code, ()) if row.first <= day <= row.last), None)
    factor = conversion_factor(day, qualifying=qualifying)
    payable = row is not None and (row.status == "A" or (row.status == "X" and code in _CLINIC_CODES))
    if row is None or factor is None or not payable:
        text = (
            "priced by the payer's contractor" if row is not None and row.status == "C" else "no fee file for the date"
        )
        return Amount(unit=None, warnings=(("AMOUNT_UNKNOWN", f"{code}: {text}; no amount is known"),))
    warnings: list[tuple[str, str]] = []
    work, practice, malpractice = Decimal(1), Decimal(1), Decimal(1)
    if locality is not None and not rural:
        index = _localities().get((day.year, locality.mac, locality.number))
        if index is None:
            where = f"{locality.mac}/{locality.number}"
            warnings.append(("LOCALITY_UNKNOWN", f"no index for locality {where} in {day.year}: national amount used"))
        else:
            work, practice, malpractice = index
    facility = place_of_service in FACILITY_PLACES and not rural
    if facility and row.facility_na:
        warnings.append(("NOT_IN_FACILITY", f"{code} is not expected at place of service {place_of_service}"))
    expense = row.facility_practice if facility else row.nonfacility_practice
    full = cents((row.work * work + expense * practice + row.malpractice * malpractice) * factor)
    return Amount(unit=full if percent == 100 else cents(full * percent / 100), warnings=tuple(warnings))


def practitioner_percent(tree: ParameterTree, credential: str, day: date) -> int:
    """100, or the reduced share of nurse practitioners, physician assistants and clinical nurse specialists."""
    if credential.upper() in _REDUCED:
        return tree.whole("situation/non_physician_percent", day)
    return 100
