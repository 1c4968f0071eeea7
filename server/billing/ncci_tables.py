"""Claim edit tables of a quarter that an installation loaded, laid over the shipped ones by date of service.

Input: `<folder>/ncci_<kind>.<first day>.csv` with a sidecar each, written by `ncci_load.py`. Output: the edit, the unit
limit and the bases in force on a day, or nothing where no loaded table speaks for it.
"""

from __future__ import annotations

import csv
import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, TypeAlias

from server.billing.parameter_tree import Citation, ParameterError, loaded_folder, read_yaml

Kind: TypeAlias = Literal["ptp", "mue", "addon"]
COLUMNS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "ptp": ("column1", "column2", "effective_from", "deleted_on", "modifier_indicator"),
    "mue": ("code", "value", "mai"),
    "addon": ("add_on", "base", "effective_from", "deleted_on"),
}
# A base that the payer's contractor decides: the register's own bases stay.
ANY_BASE: Final = "CCCCC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: its codes, its dates, and what it says (indicator, or value and adjudication indicator)."""

    key: tuple[str, ...]
    first: date | None
    deleted: date | None
    says: tuple[str, ...]

    def in_force(self, day: date) -> bool:
        return (self.first is None or self.first <= day) and (self.deleted is None or day < self.deleted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One quarter's table from its first day on."""

    first: date
    source: str
    rows: Mapping[tuple[str, ...], tuple[Row, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLimit:
    """Most units a day; `absolute` is never to be appealed."""

    most: int
    absolute: bool
    citation: Citation


def row_of(kind: Kind, cells: Mapping[str, str]) -> Row:
    """A row of the normal form."""
    first, deleted = (date.fromisoformat(t) if t else None for t in _dates(cells))
    key: tuple[str, ...]
    says: tuple[str, ...]
    if kind == "ptp":
        key, says = (cells["column1"], cells["column2"]), (cells["modifier_indicator"],)
    elif kind == "mue":
        key, says = (cells["code"],), (cells["value"], cells["mai"])
    else:
        key, says = (cells["add_on"],), (cells["base"],)
    return Row(key=key, first=first, deleted=deleted, says=says)


def _dates(cells: Mapping[str, str]) -> tuple[str, str]:
    return cells.get("effective_from", ""), cells.get("deleted_on", "")


@lru_cache(maxsize=8)
def tables(folder: Path | None) -> Mapping[str, tuple[Table, ...]]:
    """Every loaded table by kind, oldest first. One that is not what its sidecar names stops the process."""
    found: dict[str, list[Table]] = {kind: [] for kind in COLUMNS}
    for path in sorted(folder.glob("ncci_*.csv")) if folder else ():
        sidecar = read_yaml(path.with_suffix(".yaml"))
        if sidecar["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest():
            raise ParameterError(f"{path.name} is not the file its sidecar names; load the table again")
        rows: dict[tuple[str, ...], list[Row]] = {}
        with path.open(encoding="utf-8", newline="") as source:
            for cells in csv.DictReader(source):
                row = row_of(sidecar["kind"], cells)
                rows.setdefault(row.key, []).append(row)
        found[sidecar["kind"]].append(
            Table(
                first=sidecar["effective_from"],
                source=sidecar["source"],
                rows={key: tuple(listed) for key, listed in rows.items()},
            )
        )
    return {kind: tuple(sorted(listed, key=lambda table: table.first)) for kind, listed in found.items()}


def _table(kind: Kind, day: date) -> Table | None:
    loaded = tables(loaded_folder())[kind]
    place = bisect_right([table.first for table in loaded], day)
    return loaded[place - 1] if place else None


def speaks_for(kind: Kind, day: date) -> bool:
    """Whether a loaded table is in force on the day; it then replaces the shipped one, whatever it says."""
    return _table(kind, day) is not None


def edit_on(one: str, two: str, day: date) -> str | None:
    """The modifier indicator of a pair in force on the day, of the loaded table."""
    table = _table("ptp", day)
    rows = table.rows.get((one, two), ()) if table else ()
    return next((row.says[0] for row in rows if row.in_force(day)), None)


def unit_limit(code: str, day: date) -> UnitLimit | None:
    """The loaded limit of units of a code on the day."""
    table = _table("mue", day)
    rows = table.rows.get((code,), ()) if table else ()
    if table is None or not rows:
        return None
    value, indicator = rows[0].says
    return UnitLimit(
        most=int(value),
        absolute=indicator == "2",
        citation=Citation(
            title=table.source, locator=f"{code}: {value}, adjudication indicator {indicator}", confidence="V1"
        ),
    )


def bases_on(code: str, day: date, known: tuple[str, ...]) -> tuple[str, ...]:
    """The codes an add-on may stand on: the loaded table's, else those of the register."""
    table = _table("addon", day)
    rows = table.rows.get((code,), ()) if table else ()
    bases = tuple(sorted({row.says[0] for row in rows if row.in_force(day)}))
    return known if not bases or ANY_BASE in bases else bases
