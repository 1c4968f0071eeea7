"""`vitalwire billing rules lint|watch`, `coverage` and `load-ncci`: commands about the rules, not about a patient.

Input: words of the command line. Output: JSON lines on standard output, one JSON object on standard error when the
input is wrong (exit 2); exit 1 when the rule files themselves are wrong.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from server.billing.codes import register
from server.billing.coverage import coverage as covered
from server.billing.facts import canonical
from server.billing.locked_years import locked_years
from server.billing.ncci_load import TableError, load
from server.billing.parameter_tree import LOADED_VARIABLE, medicare
from server.billing.rule_lint import problems


def _say(value: object) -> None:
    sys.stdout.write(canonical(value).decode() + "\n")


def refuse(kind: str, message: str, where: str) -> typer.Exit:
    """One JSON object on standard error; raise what comes back."""
    typer.echo(canonical({"error": {"kind": kind, "message": message, "where": where}}).decode(), err=True)
    return typer.Exit(2)


def lint() -> None:
    """Read every rule file strictly; one JSON object a finding and exit 1 when something is amiss.

    Keys are known and written once, dates increase, every value has title, locator and confidence, and no review is
    older than the rule year.

    Example: vitalwire billing rules lint
    """
    found = problems()
    for finding in found:
        _say({"finding": finding})
    typer.echo(f"{len(list(medicare()))} parameters and {len(register())} codes read, {len(found)} findings", err=True)
    if found:
        raise typer.Exit(1)


def coverage() -> None:
    """Print every code of the register: since when it is billable, verified from when, how sure, and where tested.

    Example: vitalwire billing coverage
    """
    for row in covered():
        _say(row.as_json())


def load_ncci(
    file: Annotated[Path, typer.Argument(help="A pair edit, unit limit or add-on table: CSV, or text as CMS has it.")],
    first: Annotated[str, typer.Option("--from", help="The first day the table is in force, YYYY-MM-DD.")],
    source: Annotated[str, typer.Option(help="What the table is called, for citations.")] = "",
    folder: Annotated[
        Path | None,
        typer.Option(envvar=LOADED_VARIABLE, help="Where loaded tables are kept; billing reads them there."),
    ] = None,
) -> None:
    """Take in a new quarter's claim edit table. It decides dates of service from its first day on.

    Only codes of this product are kept. A column that is not known is refused: licensed descriptions must not come in.
    Programs that run already read it at their next start.

    Example: vitalwire billing load-ncci ccipra-v323r0-f1.txt --from 2026-10-01 --folder /var/lib/vitalwire/ncci
    """
    if folder is None:
        raise refuse("settings", f"name a folder: --folder, or {LOADED_VARIABLE}", "folder")
    try:
        day = date.fromisoformat(first)
    except ValueError:
        raise refuse("input", f"{first!r} is no date; write YYYY-MM-DD", "--from") from None
    try:
        loaded = load(file, folder, first=day, source=source or f"NCCI table {file.name}, effective {day}")
    except TableError as error:
        raise refuse("table", str(error), str(file)) from error
    except OSError as error:
        raise refuse("input", f"{folder} cannot be written: {error.strerror}", "folder") from error
    _say(
        {
            "kind": loaded.kind,
            "file": str(loaded.path),
            "effective_from": first,
            "rows_read": loaded.read,
            "rows_kept": loaded.kept,
            "sha256": loaded.sha256,
        }
    )


def watch(year: Annotated[int, typer.Argument(help="A rule year that is locked, such as 2027.")]) -> None:
    """Print what stands open before a locked rule year may be decided, one JSON object a point, with citations.

    Example: vitalwire billing rules watch 2027
    """
    known = locked_years().get(year)
    if known is None:
        locked = ", ".join(str(one) for one in locked_years())
        raise refuse("input", f"{year} is not locked; locked years are: {locked}", "YEAR")
    for point in known.points:
        _say(
            {
                "year": year,
                "label": point.label,
                "says": point.says,
                "programs": list(point.programs),
                "citation": point.citation.as_json(),
            }
        )
