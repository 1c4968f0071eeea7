"""`vitalwire billing …`: adjudicate and explain facts files, read facts from the database, compare rules.

Input: JSON on a file or standard input. Output: JSON lines on standard output, messages on standard error.
Exit 0 done, 2 the input is wrong (one JSON object on standard error), 1 anything else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from server.billing.codes import register
from server.billing.determine import adjudicate as adjudicate_facts
from server.billing.explain import explain as explain_adjudication
from server.billing.facts import FactsError
from server.billing.facts import canonical as canonical_bytes
from server.billing.parameter_tree import DatedValue, medicare

app = typer.Typer(no_args_is_help=True, help="Decide what a patient-month may bill, and say why.")
rules_app = typer.Typer(no_args_is_help=True, help="The dated rules behind the decisions.")
app.add_typer(rules_app, name="rules")

FactsFile = Annotated[
    str, typer.Argument(help="A file of facts (one JSON object, or one a line); - reads standard input.")
]


def canonical(value: object) -> str:
    """One line of canonical JSON, as text."""
    return canonical_bytes(value).decode()


def fail(kind: str, message: str, where: str, *, problems: list[dict[str, str]] | None = None) -> NoReturn:
    """One JSON object on standard error, exit 2."""
    error: dict[str, object] = {"kind": kind, "message": message, "where": where}
    if problems is not None:
        error["problems"] = problems
    typer.echo(canonical({"error": error}), err=True)
    raise typer.Exit(2)


def _open_lines(source: str) -> Iterator[tuple[int, str]]:
    """Lines of the input that hold a JSON object each; a file with one spread-out object is one line."""
    if source == "-":
        yield from enumerate(sys.stdin, start=1)
        return
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail("input", f"{source} cannot be read as UTF-8 text: {type(error).__name__}", source)
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        yield from enumerate(text.splitlines(), start=1)
    else:
        yield 1, text


def _documents(source: str) -> Iterator[tuple[int, object]]:
    pending = ""
    first = 1
    seen = False
    for number, line in _open_lines(source):
        if not pending and not line.strip():
            continue
        first = first if pending else number
        try:
            document = msgspec.json.decode(pending + line)
        except msgspec.DecodeError as error:
            # A pretty-printed object on standard input spans lines; nothing was printed yet, so keep reading.
            if not seen and source == "-":
                pending += line
                continue
            fail("json", f"line {number} is not JSON: {error}", f"line {number}")
        pending = ""
        seen = True
        yield first, document
    if pending.strip():
        fail("json", "the input is not JSON", f"line {first}")


def _each(source: str, show: Callable[[dict[str, object]], str]) -> None:
    for number, document in _documents(source):
        if not isinstance(document, dict):
            fail("facts", "one JSON object of facts is expected", f"line {number}")
        try:
            answer = adjudicate_facts(document)
        except FactsError as error:
            listed = [{"where": p.where, "message": p.message} for p in error.problems]
            fail("facts", error.problems[0].message, error.problems[0].where, problems=listed)
        sys.stdout.write(show(answer) + "\n")


@app.command()
def adjudicate(facts: FactsFile) -> None:
    """Print one adjudication a line, in the order of the input."""
    _each(facts, canonical)


@app.command()
def explain(facts: FactsFile) -> None:
    """Say in plain sentences what is billed, what is not and what a person must answer."""
    _each(facts, lambda answer: "\n".join(explain_adjudication(answer)) + "\n")


@app.command()
def facts(
    patient: Annotated[str, typer.Option(help="The patient's id.")],
    month: Annotated[str, typer.Option(help="The calendar month, YYYY-MM.")],
    as_of: Annotated[
        str | None, typer.Option(help="What was known at this instant (RFC 3339); now when left out.")
    ] = None,
    practice: Annotated[
        str | None, typer.Option(help="The practice to read as; the patient's own when left out.")
    ] = None,
) -> None:
    """Print the facts of a patient-month from the database that DATABASE_URL names."""
    from server.billing import run
    from server.clock import now

    dsn = os.environ.get("DATABASE_URL")
    if not dsn:
        fail("settings", "DATABASE_URL names no database", "DATABASE_URL")
    instant = now() if as_of is None else _instant(as_of)
    try:
        found = run.read_facts(dsn, patient_id=patient, month=month, as_of=instant, practice_id=practice)
    except run.UnknownPatientError as error:
        fail("facts", str(error), "patient")
    except ValueError as error:
        fail("facts", str(error), "month")
    sys.stdout.write(canonical(found) + "\n")


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        fail("facts", f"{text!r} is no instant; write 2026-04-02T12:00:00Z", "as_of")
    if instant.tzinfo is None:
        fail("facts", f"{text!r} has no offset; write 2026-04-02T12:00:00Z", "as_of")
    return instant


def _day(text: str, where: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail("input", f"{text!r} is no date; write YYYY-MM-DD", where)


def _value(dated: DatedValue | None) -> dict[str, Any] | None:
    if dated is None:
        return None
    value = list(dated.value) if isinstance(dated.value, tuple) else dated.value
    return {"since": dated.since.isoformat(), "value": value, "citation": dated.citation.as_json()}


@rules_app.command("diff")
def rules_diff(
    before: Annotated[str, typer.Argument(help="The earlier day, YYYY-MM-DD.")],
    after: Annotated[str, typer.Argument(help="The later day, YYYY-MM-DD.")],
) -> None:
    """Print what changed between two days, one JSON object a change, with citations."""
    first, last = _day(before, "before"), _day(after, "after")
    for parameter, old, new in medicare().changes(first, last):
        sys.stdout.write(
            canonical({"rule": parameter.path, "label": parameter.label, "before": _value(old), "after": _value(new)})
            + "\n"
        )
    for code in register().values():
        if code.in_force(first) != code.in_force(last):
            state = {"code": code.number, "label": code.label, "billable": code.in_force(last)}
            sys.stdout.write(canonical(state) + "\n")


@app.command()
def coverage() -> None:
    """Print every code of the register: since when it is billable, verified from when, and its status."""
    for code in register().values():
        sys.stdout.write(
            canonical(
                {
                    "code": code.number,
                    "label": code.label,
                    "program": code.program,
                    "billable_from": code.first.isoformat(),
                    "billable_to": code.last.isoformat() if code.last else None,
                    "verified_from": code.verified_from.isoformat() if code.verified_from else None,
                    "rule": code.rule,
                    "status": code.status,
                }
            )
            + "\n"
        )
