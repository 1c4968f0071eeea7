"""Rule years that are known to come and are locked: what stands on the watch list until a person has read the rule.

Input: `parameters/locked/<year>.yaml`. Output: `LockedYear` with its open points, each cited. A locked year is
never decided by the year before; its points are what the hold tells the biller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final

from server.billing.fact_types import PROGRAMS
from server.billing.parameter_tree import FOLDER, Citation, ParameterError, citation_of, read_yaml

LOCKED_FOLDER: Final = FOLDER / "locked"
_KEYS: Final = frozenset({"year", "state", "last_reviewed", "watch"})
_POINT_KEYS: Final = frozenset({"label", "programs", "says", "reference"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPoint:
    """One thing that may change; no programs named means all of them."""

    label: str
    says: str
    programs: tuple[str, ...]
    citation: Citation

    def touches(self, program: str | None) -> bool:
        return not self.programs or program in self.programs


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedYear:
    """A year without rules, and why."""

    year: int
    last_reviewed: date
    points: tuple[OpenPoint, ...]

    def about(self, program: str | None) -> tuple[OpenPoint, ...]:
        """The points that touch a program, its own before those of all programs."""
        mine = [point for point in self.points if point.touches(program)]
        return tuple(sorted(mine, key=lambda point: not point.programs))


def locked_year_of(where: str, document: object) -> LockedYear:
    """One file's document, complete or refused."""
    if not isinstance(document, dict):
        raise ParameterError(f"{where}: one mapping expected")
    _only(where, document, _KEYS)
    if document["state"] != "locked" or not isinstance(document["year"], int):
        raise ParameterError(
            f"{where}: state is `locked` and year a number; a year with rules is no file of this folder"
        )
    if not isinstance(document["last_reviewed"], date):
        raise ParameterError(f"{where}: last_reviewed is no date; write YYYY-MM-DD")
    points = []
    for place, body in enumerate(document["watch"] or ()):
        here = f"{where}: watch[{place}]"
        if not isinstance(body, dict):
            raise ParameterError(f"{here}: one mapping expected")
        _only(here, body, _POINT_KEYS)
        strangers = sorted(set(body["programs"]) - set(PROGRAMS))
        if strangers:
            raise ParameterError(f"{here}: unknown program {', '.join(strangers)}")
        points.append(
            OpenPoint(
                label=str(body["label"]),
                says=str(body["says"]),
                programs=tuple(body["programs"]),
                citation=citation_of(here, body["reference"]),
            )
        )
    if not points:
        raise ParameterError(f"{where}: a locked year says what is open")
    return LockedYear(year=document["year"], last_reviewed=document["last_reviewed"], points=tuple(points))


def _only(where: str, found: Mapping[object, object], known: frozenset[str]) -> None:
    unknown = sorted(str(key) for key in found.keys() - known)
    missing = sorted(known - {str(key) for key in found})
    if unknown:
        raise ParameterError(f"{where}: unknown key {', '.join(unknown)}")
    if missing:
        raise ParameterError(f"{where}: lacks {', '.join(missing)}")


@lru_cache(maxsize=8)
def locked_years(folder: Path = LOCKED_FOLDER) -> Mapping[int, LockedYear]:
    """Every locked year of the folder."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        one = locked_year_of(path.name, read_yaml(path))
        found[one.year] = one
    return found


def question(year: int, program: str | None) -> str:
    """What a person is asked before a date of that year may be decided."""
    asked = f"Has the final rule for {year} been read and its pack released?"
    known = locked_years().get(year)
    if known is None:
        return asked
    points = "; ".join(point.says for point in known.about(program))
    return f"{asked} Open: {points}."
