"""`vitalwire billing …`: adjudicate and explain facts files, read facts from the database, compare rules.

Input: JSON on a file or standard input. Output: JSON lines on standard output, messages on standard error.
Exit 0 done, 2 the input is wrong (one JSON object on standard error), 1 anything else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import msgspec
import typer

from server.billing import rule_commands
from server.billing.codes import register
from server.billing.determine import adjudicate as adjudicate_facts
from server.billing.explain import explain as explain_adjudication
from server.billing.facts import FactsError, Problem
from server.billing.facts import canonical as canonical_bytes
from server.billing.parameter_tree import DatedValue, medicare

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Decide what a patient-month may bill, and say why.\n\n"
    "facts writes what is known of a month, adjudicate decides it, explain says it in sentences.",
)
rules_app = typer.Typer(no_args_is_help=True, help="The dated rules behind the decisions.")
app.add_typer(rules_app, name="rules")
rules_app.command("lint")(rule_commands.lint)
rules_app.command("watch")(rule_commands.watch)
app.command("coverage")(rule_commands.coverage)
app.command("load-ncci")(rule_commands.load_ncci)

FactsFile = Annotated[
    str,
    typer.Argument(metavar="FACTS", help="A file of facts (one JSON object, or one a line); - reads standard input."),
]


def canonical(value: object) -> str:
    """One line of canonical JSON, as text."""
    return canonical_bytes(value).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one document of the input."""

    kind: str
    message: str
    where: str
    problems: tuple[Problem, ...] = ()

    def as_json(self) -> dict[str, object]:
        listed = [{"where": problem.where, "message": problem.message} for problem in self.problems]
        found: dict[str, object] = {"kind": self.kind, "message": self.message, "where": self.where}
        return {"error": {**found, "problems": listed} if listed else found}


def fail(fault: Fault) -> NoReturn:
    """One JSON object on standard error, exit 2."""
    typer.echo(canonical(fault.as_json()), err=True)
    raise typer.Exit(2)


def _lines(source: str) -> Iterator[str]:
    """Lines of a file or of standard input, as they come: a long stream is never held."""
    name = "standard input" if source == "-" else source
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as octets:
            for line in octets:
                yield line.decode()
    except OSError as error:
        fail(Fault(kind="input", message=f"{name} cannot be read: {error.strerror}", where=name))
    except UnicodeDecodeError:
        fail(Fault(kind="input", message=f"{name} is not UTF-8 text", where=name))


def _documents(source: str) -> Iterator[tuple[int, object]]:
    """(line, JSON value or `Fault`): one object a line, or one object spread over all lines."""
    lines: Iterator[tuple[int, str]] = enumerate(_lines(source), start=1)
    for number, line in lines:
        if not line.strip():
            continue
        value = _parse(line, number)
        if isinstance(value, Fault):
            rest = list(lines)
            whole = _parse(line + "".join(text for _, text in rest), number)
            if not isinstance(whole, Fault):
                yield number, whole
                return
            lines = iter(rest)
        yield number, value
        break
    for number, line in lines:
        if line.strip():
            yield number, _parse(line, number)


def _parse(text: str, number: int) -> object:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return Fault(kind="json", message=f"line {number} is not JSON: {error}", where=f"line {number}")
    if not isinstance(value, dict):
        return Fault(kind="facts", message="one JSON object of facts is expected", where=f"line {number}")
    return value


def _decide(document: object) -> dict[str, object] | Fault:
    if isinstance(document, Fault):
        return document
    try:
        return adjudicate_facts(cast("dict[str, object]", document))
    except FactsError as error:
        first = error.problems[0]
        return Fault(kind="facts", message=first.message, where=first.where, problems=error.problems)


def _each(source: str, show: Callable[[dict[str, object]], str]) -> None:
    """Answer every document. Of several, the wrong ones leave their error in their place and the run goes on."""
    documents = _documents(source)
    first = next(documents, None)
    if first is None:
        fail(Fault(kind="input", message="the input is empty: one JSON object of facts is expected", where=source))
    second = next(documents, None)
    answer = _decide(first[1])
    if second is None and isinstance(answer, Fault):
        fail(answer)
    wrong = [number for number, failed in _answered(first, second, documents, answer, show) if failed]
    if wrong:
        said = f"{len(wrong)} lines of the input are wrong; each error stands in its line of the output"
        fail(Fault(kind="facts", message=said, where=f"line {wrong[0]}"))


def _answered(
    first: tuple[int, object],
    second: tuple[int, object] | None,
    rest: Iterator[tuple[int, object]],
    answer: dict[str, object] | Fault,
    show: Callable[[dict[str, object]], str],
) -> Iterator[tuple[int, bool]]:
    """Print each answer; yields (line, whether it is wrong)."""
    yield first[0], _print(answer, show)
    for number, document in chain([second] if second else [], rest):
        yield number, _print(_decide(document), show)


def _print(answer: dict[str, object] | Fault, show: Callable[[dict[str, object]], str]) -> bool:
    wrong = isinstance(answer, Fault)
    sys.stdout.write((canonical(answer.as_json()) if isinstance(answer, Fault) else show(answer)) + "\n")
    return wrong


@app.command()
def adjudicate(facts: FactsFile) -> None:
    """Print one adjudication a line, in the order of the input.

    Example: vitalwire billing adjudicate march.jsonl > march.adjudicated.jsonl
    """
    _each(facts, canonical)


@app.command()
def explain(facts: FactsFile) -> None:
    """Say in plain sentences what is billed, what is not and what a person must answer.

    Example: vitalwire billing facts --patient pt-1 --month 2026-03 | vitalwire billing explain -
    """
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
    """Print the facts of a patient-month from the database that DATABASE_URL names.

    Example: vitalwire billing facts --patient pt-1 --month 2026-03 > facts.json
    """
    from server.billing import run
    from server.clock import now

    dsn = _database_url()
    instant = now() if as_of is None else _instant(as_of)
    try:
        found = run.read_facts(dsn, patient_id=patient, month=month, as_of=instant, practice_id=practice)
    except run.UnknownPatientError as error:
        fail(Fault(kind="facts", message=str(error), where="patient"))
    except ValueError as error:
        fail(Fault(kind="facts", message=str(error), where="month"))
    sys.stdout.write(canonical(found) + "\n")


def _database_url() -> str:
    path = os.environ.get("DATABASE_URL_FILE")
    try:
        dsn = Path(path).read_text(encoding="utf-8").strip() if path else os.environ.get("DATABASE_URL", "")
    except (OSError, UnicodeDecodeError):
        fail(Fault(kind="settings", message=f"DATABASE_URL_FILE: {path} cannot be read", where="DATABASE_URL_FILE"))
    if not dsn:
        message = "DATABASE_URL names no database; set it, or DATABASE_URL_FILE"
        fail(Fault(kind="settings", message=message, where="DATABASE_URL"))
    return dsn


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        fail(Fault(kind="facts", message=f"{text!r} is no instant; write 2026-04-02T12:00:00Z", where="as_of"))
    if instant.tzinfo is None:
        fail(Fault(kind="facts", message=f"{text!r} has no offset; write 2026-04-02T12:00:00Z", where="as_of"))
    return instant


def _day(text: str, where: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(Fault(kind="input", message=f"{text!r} is no date; write YYYY-MM-DD", where=where))


def _value(dated: DatedValue | None) -> dict[str, Any] | None:
    if dated is None:
        return None
    value = list(dated.value) if isinstance(dated.value, tuple) else dated.value
    return {"since": dated.since.isoformat(), "value": value, "citation": dated.citation.as_json()}


@rules_app.command("diff")
def rules_diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="The earlier day, YYYY-MM-DD.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The later day, YYYY-MM-DD.")],
) -> None:
    """Print what changed between two days, one JSON object a change, with citations.

    Example: vitalwire billing rules diff 2025-12-31 2026-01-01
    """
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
