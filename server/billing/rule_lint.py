"""What is wrong with the rule files, all of it at once: the check before a release.

Input: the folders of parameters and tables. Output: one sentence a problem; none when the files may ship. A value needs
title, locator and confidence; keys are known and written once; dates increase; a review is no older than the rule year.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

from server.billing.locked_years import locked_year_of
from server.billing.packs import pack_of
from server.billing.parameter_tree import (
    FOLDER,
    TABLES,
    Parameter,
    ParameterError,
    citation_of,
    parameter_of,
    read_yaml,
)

_PAIR_KEYS: Final = frozenset({"between", "values"})
_VERDICT_KEYS: Final = frozenset({"verdict", "to", "reference"})
_RULE_YEAR: Final = "situation/rule_year"


def problems(folder: Path = FOLDER, tables: Path = TABLES) -> tuple[str, ...]:
    """Every problem of the rule files, in order of path."""
    return tuple(_problems(folder, tables))


def _problems(folder: Path, tables: Path) -> Iterator[str]:
    parameters: dict[str, Parameter] = {}
    root = folder / "medicare"
    for path in sorted(root.rglob("*.yaml")):
        name = path.relative_to(root).with_suffix("").as_posix()
        try:
            parameters[name] = parameter_of(name, read_yaml(path))
        except ParameterError as error:
            yield str(error)
    year = newest_rule_year(parameters.get(_RULE_YEAR))
    if year is None:
        yield f"{_RULE_YEAR}: no year has rules; write true from the first date on which these rules decide"
        return
    for parameter in parameters.values():
        if parameter.last_reviewed.year < year:
            yield _old(parameter.path, parameter.last_reviewed, year)
    yield from _locked(folder / "locked", year)
    yield from _packs(folder / "packs", year)
    yield from _pairs(tables / "concurrency.yaml")
    yield from _sidecars(tables)


def _old(where: str, reviewed: date, year: int) -> str:
    return f"{where}: last reviewed {reviewed}, before the rule year {year}; read it again"


def newest_rule_year(parameter: Parameter | None) -> int | None:
    """The last year whose rules are loaded: the year before the newest lock, or of the newest opening."""
    if parameter is None:
        return None
    opened = [place for place, dated in enumerate(parameter.values) if dated.value is True]
    if not opened:
        return None
    after = parameter.values[opened[-1] + 1 :]
    return after[0].since.year - 1 if after else parameter.values[opened[-1]].since.year


def _locked(folder: Path, year: int) -> Iterator[str]:
    years = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            one = locked_year_of(path.name, read_yaml(path))
        except ParameterError as error:
            yield str(error)
            continue
        years.append(one.year)
        if one.last_reviewed.year < year:
            yield _old(path.name, one.last_reviewed, year)
        if one.year <= year:
            yield f"{path.name}: {one.year} has rules (the rule year is {year}); a year is open or locked, not both"
    if year + 1 not in years:
        yield f"locked/{year + 1}.yaml is not there: the year after the rule year is locked and says what is open"


def _packs(folder: Path, year: int) -> Iterator[str]:
    for path in sorted(folder.glob("*.yaml")):
        try:
            pack = pack_of(path.stem, read_yaml(path))
        except ParameterError as error:
            yield str(error)
            continue
        if pack.last_reviewed.year < year:
            yield _old(f"packs/{path.name}", pack.last_reviewed, year)


def _pairs(path: Path) -> Iterator[str]:
    try:
        rows = read_yaml(path)["pairs"]
    except ParameterError as error:
        yield str(error)
        return
    seen: set[frozenset[str]] = set()
    for row in rows:
        where = f"{path.name}: {' and '.join(row.get('between', ('?',)))}"
        pair = frozenset(row.get("between", ()))
        if row.keys() != _PAIR_KEYS or len(pair) != 2 or pair in seen:
            yield f"{where}: a pair names two groups once, with its values"
            continue
        seen.add(pair)
        before: date | None = None
        for since, body in row["values"].items():
            if before is not None and since <= before:
                yield f"{where}: {since}: dates must increase"
            before = since
            if body.keys() - _VERDICT_KEYS:
                yield f"{where}: {since}: unknown key {', '.join(sorted(body.keys() - _VERDICT_KEYS))}"
            try:
                citation_of(f"{where}: {since}", body.get("reference"))
            except ParameterError as error:
                yield str(error)


def _sidecars(tables: Path) -> Iterator[str]:
    """A table without its sidecar, or other than the one its sidecar names, is no source."""
    for path in sorted(tables.glob("*.csv")):
        sidecar = path.with_suffix(".yaml")
        if not sidecar.is_file():
            yield f"{path.name}: has no {sidecar.name} with source and sha256"
        elif read_yaml(sidecar).get("sha256") != hashlib.sha256(path.read_bytes()).hexdigest():
            yield f"{path.name}: is not the file whose sha256 stands in {sidecar.name}"
