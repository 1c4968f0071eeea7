"""`vitalwire billing …`: adjudicate and explain facts files, read facts from the database, compare rules.

Input: JSON on a file or standard input. Output: JSON lines on standard output, messages on standard error.
Exit 0 done, 2 the input is wrong (one JSON object on standard error), 1 anything else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from server.billing import review_commands, rule_commands, run_commands
from server.billing.codes import register
from server.billing.facts import canonical as canonical_bytes
from server.billing.parameter_tree import DatedValue, medicare
from server.billing.stream import Document, Fault, Show, answers, decide, parse

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
app.command("check")(review_commands.check)
app.command("difference")(review_commands.difference)
app.command("run")(run_commands.run)

FactsFile = Annotated[
    str,
    typer.Argument(metavar="FACTS", help="A file of facts (one JSON object, or one a line); - reads standard input."),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that share the work; every core when left out, one for a short input."),
]


def canonical(value: object) -> str:
    """One line of canonical JSON, as text."""
    return canonical_bytes(value).decode()


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


def _documents(source: str) -> Iterator[Document]:
    """(line, text): one object a line, or one object spread over all lines."""
    lines: Iterator[Document] = enumerate(_lines(source), start=1)
    for number, line in lines:
        if not line.strip():
            continue
        if not isinstance(parse(line, number), Fault):
            yield number, line
            break
        rest = list(lines)
        whole = line + "".join(text for _, text in rest)
        if not isinstance(parse(whole, number), Fault):
            yield number, whole
            return
        lines = iter(rest)
        yield number, line
        break
    for number, line in lines:
        if line.strip():
            yield number, line


def _each(source: str, show: Show, jobs: int | None) -> None:
    """Answer every document. Of several, the wrong ones leave their error in their place and the run goes on."""
    documents = _documents(source)
    begun = list(islice(documents, 2))
    if not begun:
        fail(Fault(kind="input", message="the input is empty: one JSON object of facts is expected", where=source))
    if len(begun) == 1:
        only = decide(*begun[0])
        if isinstance(only, Fault):
            fail(only)
    first, count = 0, 0
    for found in answers(chain(begun, documents), show, jobs):
        sys.stdout.buffer.write(found.output)
        if found.wrong:
            first, count = first or found.wrong[0], count + len(found.wrong)
    sys.stdout.buffer.flush()
    if count:
        said = f"{count} lines of the input are wrong; each error stands in its line of the output"
        fail(Fault(kind="facts", message=said, where=f"line {first}"))


@app.command()
def adjudicate(facts: FactsFile, jobs: Jobs = None) -> None:
    """Print one adjudication a line, in the order of the input.

    Example: vitalwire billing adjudicate march.jsonl > march.adjudicated.jsonl
    """
    _each(facts, "json", jobs)


@app.command()
def explain(facts: FactsFile, jobs: Jobs = None) -> None:
    """Say in plain sentences what is billed, what is not and what a person must answer.

    Example: vitalwire billing facts --patient pt-1 --month 2026-03 | vitalwire billing explain -
    """
    _each(facts, "sentences", jobs)


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
