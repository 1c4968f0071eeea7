"""`vitalwire billing rules lint|watch`, `coverage` and `load-ncci`: commands about the rules, not about a patient.

Input: words of the command line. Output: JSON lines on standard output, one JSON object on standard error when the
input is wrong (exit 2); exit 1 when the rule files themselves are wrong.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from server.billing.codes import register
from server.billing.facts import canonical
from server.billing.locked_years import locked_years
from server.billing.parameter_tree import medicare
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
