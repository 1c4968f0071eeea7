"""Claim-level edits: two codes of one practitioner on one date of service that the edit tables keep apart.

Input: determinations after every rule. Output: the column-two line held where no modifier lifts the edit, and a notice
where one may. A backstop behind the period rules of `concurrency.py`; the shipped table is that of mid-2024, and a
newer one that was loaded speaks from its first day on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from itertools import permutations
from typing import Final

from server.billing import ncci_tables
from server.billing.context import Context
from server.billing.outcome import Determination, Notice, Reason, with_holds
from server.billing.parameter_tree import TABLES

# The copies of the table dropped the first dates of the edits: it speaks for no earlier date of service.
_SPEAKS_FROM: Final = date(2024, 1, 1)


@lru_cache(maxsize=1)
def edits() -> Mapping[tuple[str, str], tuple[tuple[date | None, str], ...]]:
    """(column one, column two) → deletion date and modifier indicator of each row."""
    found: dict[tuple[str, str], list[tuple[date | None, str]]] = {}
    with (TABLES / "ncci_ptp.csv").open(encoding="utf-8", newline="") as source:
        for row in csv.DictReader(source):
            deleted = date.fromisoformat(row["deleted_on"]) if row["deleted_on"] else None
            found.setdefault((row["column1"], row["column2"]), []).append((deleted, row["modifier_indicator"]))
    return {pair: tuple(rows) for pair, rows in found.items()}


@lru_cache(maxsize=8192)
def indicator(first: str, second: str, day: date) -> str | None:
    """The modifier indicator of an edit in force on the day."""
    if ncci_tables.speaks_for("ptp", day):
        return ncci_tables.edit_on(first, second, day)
    if day < _SPEAKS_FROM:
        return None
    rows = edits().get((first, second), ())
    return next((mark for deleted, mark in rows if deleted is None or day < deleted), None)


def _pairs(lines: Sequence[Determination]) -> Iterator[tuple[int, Determination, Determination, str]]:
    standing = [(place, line) for place, line in enumerate(lines) if line.billable]
    for (_, one), (place, two) in permutations(standing, 2):
        if one.practitioner == two.practitioner and one.service_to == two.service_to:
            mark = indicator(one.code, two.code, two.service_to)
            if mark is not None:
                yield place, one, two, mark


def hold_edited(ctx: Context, lines: Sequence[Determination]) -> list[Determination]:
    """Column-two lines held where the edit allows no modifier."""
    kept = list(lines)
    for place, one, two, mark in _pairs(lines):
        if mark == "0":
            reason = Reason(
                reason="EXCLUSIVE_CODE",
                text=f"a claim edit keeps {two.code} off a claim with {one.code} on {two.service_to}",
                citation=ctx.cite("situation/claim_edit", two.service_to),
                question=f"Is {two.code} to be claimed on another date of service, or not at all?",
            )
            kept[place] = with_holds(kept[place], reason)
    return kept


def notices(ctx: Context, lines: Sequence[Determination]) -> Iterator[Notice]:
    """Edits that a modifier may lift."""
    for _, one, two, mark in _pairs(lines):
        if mark == "1":
            yield Notice(
                reason="MODIFIER_MAY_BE_NEEDED",
                text=f"a claim edit pairs {one.code} with {two.code}: only truly separate work, with a modifier",
                citation=ctx.cite("situation/claim_edit", two.service_to),
                evidence=(one.code, two.code),
            )
