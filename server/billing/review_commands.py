"""Two commands that look at an adjudication again: the second opinion on it, and what late facts change.

Input: JSON on files or standard input. Output: JSON lines on standard output. Exit 0 done, 1 a line is disagreed with,
2 the input is wrong (one JSON object on standard error).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from server.billing.determine import adjudicate
from server.billing.difference import difference as difference_of
from server.billing.facts import FactsError, canonical
from server.billing.proof_check import check as second_opinion

Json = dict[str, Any]
_SHAPE = "an adjudication of the billing contract is expected"


def fail(message: str, where: str, problems: tuple[Json, ...] = ()) -> NoReturn:
    """One JSON object on standard error, exit 2."""
    said: Json = {"kind": "input", "message": message, "where": where}
    typer.echo(canonical({"error": {**said, "problems": list(problems)} if problems else said}).decode(), err=True)
    raise typer.Exit(2)


def _object(text: str, where: str) -> Json:
    try:
        found = json.loads(text)
    except ValueError as error:
        fail(f"{where} is not JSON: {error}", where)
    if not isinstance(found, dict):
        fail("one JSON object is expected", where)
    return found


def _file(name: str) -> Json:
    try:
        return _object(Path(name).read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{name} cannot be read as UTF-8 text: {type(error).__name__}", name)


def _decided(facts: Json, where: str) -> Json:
    try:
        return adjudicate(facts)
    except FactsError as error:
        found = tuple({"where": f"{where}: {one.where}", "message": one.message} for one in error.problems)
        fail(str(found[0]["message"]), str(found[0]["where"]), found)


def _pairs(facts: str, adjudication: str | None) -> Iterator[tuple[str, Json, Json]]:
    """(place, facts, adjudication): two files, or pairs {"facts", "adjudication"} one a line."""
    if adjudication is not None:
        yield facts, _file(facts), _file(adjudication)
        return
    if facts != "-":
        fail("name the adjudication too, or write - for pairs on standard input", "ADJUDICATION")
    for number, line in enumerate(sys.stdin, start=1):
        if line.strip():
            pair = _object(line, f"line {number}")
            if not isinstance(pair.get("facts"), dict) or not isinstance(pair.get("adjudication"), dict):
                fail('a pair is {"facts": {…}, "adjudication": {…}}', f"line {number}")
            yield f"line {number}", pair["facts"], pair["adjudication"]


def check(
    facts: Annotated[str, typer.Argument(metavar="FACTS", help="A file of facts; - reads pairs, one a line.")],
    adjudication: Annotated[str | None, typer.Argument(help="The adjudication of those facts.")] = None,
) -> None:
    """Derive every line anew, by other arithmetic than the engine's: agree, disagree or unchecked, with the reason.

    Pairs on standard input are objects {"facts": …, "adjudication": …}. Exit 1 when a line is disagreed with.

    Example: vitalwire billing check facts.json adjudication.json
    """
    differs = False
    for place, known, decided in _pairs(facts, adjudication):
        _decided(known, place)  # facts that contradict themselves are an error of the input, not a disagreement
        try:
            findings = second_opinion(known, decided)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            fail(f"{_SHAPE}: {type(error).__name__} {error}", place)
        count = Counter(finding["verdict"] for finding in findings)
        differs = differs or bool(count["disagree"])
        answer = {"patient": decided.get("patient"), "month": decided.get("month"), "lines": findings}
        verdicts = {verdict: count[verdict] for verdict in ("agree", "disagree", "unchecked")}
        sys.stdout.write(canonical({**answer, **verdicts}).decode() + "\n")
    if differs:
        raise typer.Exit(1)


def difference(
    old_facts: Annotated[str, typer.Argument(metavar="OLD_FACTS", help="The facts that were decided and frozen.")],
    new_facts: Annotated[str, typer.Argument(metavar="NEW_FACTS", help="The facts of the same month as known now.")],
) -> None:
    """Say what late or corrected facts change: lines added, removed, changed, the money, and the facts behind it.

    Example: vitalwire billing difference march.frozen.json march.now.json
    """
    old, new = _file(old_facts), _file(new_facts)
    before, after = _decided(old, old_facts), _decided(new, new_facts)
    try:
        found = difference_of(before, old, after, new)
    except ValueError as error:
        fail(str(error), "NEW_FACTS")
    sys.stdout.write(canonical(found).decode() + "\n")
