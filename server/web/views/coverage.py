"""The coverage register as a page: what the product knows of each code and how sure it is. Pure.

Input: rows of the register and the open points of locked years. Output: ready strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from server.billing.coverage import Coverage, Threshold
from server.billing.locked_years import LockedYear
from server.web import formatting

_WORDS: Final = {
    "V1": "official file",
    "V2": "page that names it",
    "M-hi": "from memory",
    "M-lo": "from memory, unsure",
    "D": "disputed, our default",
}
_STATUS: Final = {"supported": "decided here", "excluding": "known because it excludes others"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageLine:
    """One code."""

    code: str
    label: str
    program: str
    billable: str
    verified: str
    status: str
    sure: str
    thresholds: tuple[str, ...]
    tested_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedLine:
    """One open point of a year that is not decided yet."""

    year: int
    label: str
    says: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveragePage:
    """The whole page."""

    summary: str
    lines: tuple[CoverageLine, ...]
    locked: tuple[LockedLine, ...]


def coverage_page(rows: Sequence[Coverage], years: Iterable[LockedYear]) -> CoveragePage:
    """Every code, decided ones as the register orders them."""
    decided = sum(row.code.rule is not None for row in rows)
    return CoveragePage(
        summary=f"{decided} codes are decided here, {len(rows) - decided} are known because they exclude others.",
        lines=tuple(_line(row) for row in rows),
        locked=tuple(
            LockedLine(
                year=year.year,
                label=point.label,
                says=point.says,
                source=f"{point.citation.title}, {point.citation.locator}",
            )
            for year in years
            for point in year.points
        ),
    )


def _line(row: Coverage) -> CoverageLine:
    code = row.code
    until = f" to {formatting.day(code.last)}" if code.last else ""
    return CoverageLine(
        code=code.number,
        label=code.label,
        program=code.program.upper() if code.program else "none",
        billable=f"{formatting.day(code.first)}{until}",
        verified=formatting.day(code.verified_from) if code.verified_from else "not decided here",
        status=_STATUS[code.status],
        sure=", ".join(_WORDS[mark] for mark in row.confidence),
        thresholds=tuple(_threshold(one) for one in row.thresholds),
        tested_by=row.tested_by,
    )


def _threshold(one: Threshold) -> str:
    amount = formatting.stopwatch(one.value) if one.unit == "seconds" else f"{one.value} {one.unit}"
    return f"{one.label}: {amount} since {formatting.day(one.since)}"
