"""Take in a new quarter's claim edit table: pair edits, unit limits or add-on codes.

Input: a file in this product's shape or as CMS publishes it (comma or tab), and the first day it is in force. Output: a
table in normal form with a sidecar (source, digests, rows) in the data folder. Only codes of the register are kept; a
column that is not known is refused, because licensed descriptions must not come in.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import yaml

from server.billing.codes import register
from server.billing.ncci_tables import ANY_BASE, COLUMNS, Kind

_CODE: Final = re.compile(r"^[0-9A-Z]{5}$")
_DAY: Final = re.compile(r"^(\d{4})-?(\d{2})-?(\d{2})$")
_US_DAY: Final = re.compile(r"^(\d{1,2})/(\d{1,2})/(\d{4})$")
_MOST_PREAMBLE: Final = 12
_MOST_PROBLEMS: Final = 20
# Headings, in small letters and digits alone, as this product and CMS write them; "" is read and dropped.
_HEADINGS: Final[Mapping[Kind, Mapping[str, str]]] = {
    "ptp": {
        "column1": "column1",
        "column2": "column2",
        "effectivefrom": "effective_from",
        "effectivedate": "effective_from",
        "deletedon": "deleted_on",
        "deletiondate": "deleted_on",
        "deletiondatenodata": "deleted_on",
        "modifierindicator": "modifier_indicator",
        "modifier": "modifier_indicator",
        "modifier0notallowed1allowed9notapplicable": "modifier_indicator",
        "inexistencepriorto1996": "",
        "inexistencepriortoto1996": "",
        "ptpeditrationale": "",
    },
    "mue": {
        "code": "code",
        "hcpcscptcode": "code",
        "value": "value",
        "practitionerservicesmuevalues": "value",
        "mai": "mai",
        "mueadjudicationindicator": "mai",
        "muerationale": "",
        "effectivefrom": "",
        "source": "",
    },
    "addon": {
        "addon": "add_on",
        "addoncode": "add_on",
        "base": "base",
        "primarycode": "base",
        "effectivefrom": "effective_from",
        "effectivedate": "effective_from",
        "aocprimaryeffdt": "effective_from",
        "deletedon": "deleted_on",
        "deletiondate": "deleted_on",
        "aocprimarydeldt": "deleted_on",
        "edittype": "",
        "type": "",
    },
}
_NEEDED: Final[Mapping[Kind, frozenset[str]]] = {
    "ptp": frozenset({"column1", "column2", "modifier_indicator"}),
    "mue": frozenset({"code", "value", "mai"}),
    "addon": frozenset({"add_on", "base"}),
}


class TableError(ValueError):
    """The file is no table that can be taken in; `problems` names every row."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of a file."""

    kind: Kind
    path: Path
    read: int
    kept: int
    sha256: str


def load(path: Path, folder: Path, *, first: date, source: str) -> Loaded:
    """Write the table in normal form beside its sidecar. The same file again changes nothing."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is not UTF-8 text; save it as CSV or text first") from error
    kind, body = _headed(text)
    read, rows = _rows(kind, body)
    target = folder / f"ncci_{kind}.{first.isoformat()}.csv"
    normal = _normal(kind, rows)
    digest = hashlib.sha256(normal).hexdigest()
    if target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() != digest:
        raise TableError(f"{target.name} is there with other rows; remove it and its sidecar if this one is right")
    folder.mkdir(parents=True, exist_ok=True)
    sidecar = {
        "kind": kind,
        "source": source,
        "effective_from": first,
        "original_sha256": hashlib.sha256(content).hexdigest(),
        "sha256": digest,
        "rows_read": read,
        "rows_kept": len(rows),
        "licence": "CMS public data; code numbers only, no descriptor",
    }
    # The sidecar first: a table without one stops the next start, a sidecar without a table does nothing.
    target.with_suffix(".yaml").write_text(yaml.safe_dump(sidecar, sort_keys=False), encoding="utf-8")
    target.write_bytes(normal)
    return Loaded(kind=kind, path=target, read=read, kept=len(rows), sha256=digest)


def _plain(heading: str) -> str:
    return re.sub(r"[^a-z0-9]", "", heading.lower())


def _headed(text: str) -> tuple[Kind, Iterator[dict[str, str]]]:
    """The kind of table, and its rows under our own column names. Lines before the headings are a preamble."""
    delimiter = "\t" if text.count("\t") > text.count(",") else ","
    lines = csv.reader(io.StringIO(text), delimiter=delimiter)
    for _, cells in zip(range(_MOST_PREAMBLE), lines, strict=False):
        headings = [_plain(cell) for cell in cells]
        for kind, known in _HEADINGS.items():
            if _NEEDED[kind] <= {known.get(heading, "") for heading in headings}:
                strangers = [cell for cell, plain in zip(cells, headings, strict=True) if plain and plain not in known]
                if strangers:
                    raise TableError(
                        f"column {', '.join(map(repr, strangers))} is not known here: "
                        "remove it (licensed code descriptions must not come in)"
                    )
                return kind, _named([known.get(heading, "") for heading in headings], lines)
    wanted = "; ".join(", ".join(sorted(_NEEDED[kind])) for kind in COLUMNS)
    raise TableError(f"no headings found in the first {_MOST_PREAMBLE} lines; a table has one of: {wanted}")


def _named(names: list[str], lines: Iterable[list[str]]) -> Iterator[dict[str, str]]:
    for cells in lines:
        if any(cell.strip() for cell in cells):
            yield {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name}


def _rows(kind: Kind, body: Iterable[dict[str, str]]) -> tuple[int, list[dict[str, str]]]:
    """Rows of codes this product knows, checked; every wrong row is named."""
    known = register()
    kept: list[dict[str, str]] = []
    problems: list[str] = []
    seen: set[tuple[str, ...]] = set()
    read = 0
    for read, cells in enumerate(body, start=1):
        row = {column: cells.get(column, "") for column in COLUMNS[kind]}
        problem = _mend(kind, row)
        identity = tuple(row[column] for column in COLUMNS[kind] if column not in {"deleted_on", "value", "mai"})
        if problem is None and identity in seen and not row.get("deleted_on"):
            problem = "is there twice"
        if problem is not None:
            problems.append(f"row {read}: {problem}")
            if len(problems) >= _MOST_PROBLEMS:
                break
            continue
        seen.add(identity)
        codes = [row[column] for column in COLUMNS[kind] if column in {"column1", "column2", "code", "add_on", "base"}]
        if all(code in known or code == ANY_BASE for code in codes):
            kept.append(row)
    if problems:
        raise TableError(*problems)
    if not kept:
        raise TableError(f"none of the {read} rows names codes of this product")
    return read, kept


def _mend(kind: Kind, row: dict[str, str]) -> str | None:
    """Dates into one form, indicators to their digit; what is wrong with the row, if anything."""
    for column in ("column1", "column2", "code", "add_on", "base"):
        if column in row and not _CODE.match(row[column]):
            return f"{column} {row[column]!r} is no code of five characters"
    for column in ("effective_from", "deleted_on"):
        if row.get(column):
            day = _day(row[column])
            if day is None:
                return f"{column} {row[column]!r} is no date"
            row[column] = day
    if row.get("deleted_on") and row.get("effective_from") and row["deleted_on"] < row["effective_from"]:
        return "is deleted before it begins"
    if kind == "ptp" and row["modifier_indicator"] not in {"0", "1", "9"}:
        return f"modifier indicator {row['modifier_indicator']!r} is none of 0, 1, 9"
    if kind == "mue":
        row["mai"] = row["mai"][:1]
        if not row["value"].isdigit() or row["mai"] not in {"1", "2", "3"}:
            return f"value {row['value']!r} with adjudication indicator {row['mai']!r} is no unit limit"
    return None


def _day(text: str) -> str | None:
    """ISO date of 2026-10-01, 20261001 or 10/1/2026; nothing for `*`."""
    if text == "*":
        return ""
    found = _DAY.match(text)
    parts = found.groups() if found else ()
    if not parts and (american := _US_DAY.match(text)):
        month, day, year = american.groups()
        parts = (year, month, day)
    try:
        return date(*(int(part) for part in parts)).isoformat() if parts else None
    except ValueError:
        return None


def _normal(kind: Kind, rows: Iterable[Mapping[str, str]]) -> bytes:
    written = io.StringIO()
    table = csv.DictWriter(written, COLUMNS[kind], lineterminator="\n")
    table.writeheader()
    table.writerows(sorted(rows, key=lambda row: tuple(row.values())))
    return written.getvalue().encode()
