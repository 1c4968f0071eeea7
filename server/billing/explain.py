"""An adjudication in the words a biller would say.

Input: an adjudication of the billing contract. Output: sentences, one a line of thought; table rows start with the code
and are aligned by the reader's own means. No rule is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]


def explain(adjudication: Json) -> tuple[str, ...]:
    """What is billed and why, what is not and what is missing, what a person must answer."""
    return tuple(_sentences(adjudication))


def _sentences(answer: Json) -> Iterator[str]:
    yield f"Patient {answer['patient']}, {answer['month']}, Medicare Part B rules of {answer['pack']['rule_year']}."
    if answer["billable"]:
        yield f"To claim: {_count(answer['billable'], 'line')}, {_dollars(answer['total'])} in all."
    else:
        yield "Nothing can be claimed."
    for line in answer["billable"]:
        yield from _billed(line)
    for line in answer["held"]:
        yield from _held(line)
    for line in answer["refused"]:
        yield from _refused(line)
    yield from _minutes(answer)
    for choice in answer["alternatives"]:
        lines = " + ".join(f"{line['units']} x {line['code']}" for line in choice["lines"])
        yield (
            f"Also lawful, if {choice['practitioner']} designates the {choice['lane']} lane: {lines}, "
            f"{_dollars(choice['total'])}. The lane is the practitioner's choice, never the price's."
        )
    for warning in answer["warnings"]:
        yield f"Note: {warning['text']}."


def _count(items: list[Any], word: str) -> str:
    return f"{len(items)} {word}{'' if len(items) == 1 else 's'}"


def _dollars(amount: str | None) -> str:
    return f"${amount}" if amount is not None else "amount not known"


def _cited(citation: Json) -> str:
    return f"{citation['title']}, {citation['locator']}"


def _billed(line: Json) -> Iterator[str]:
    units = f" x {line['units']}" if line["units"] > 1 else ""
    yield (
        f"{line['code']}{units} ({line['label']}), date of service {line['service_to']}, by {line['practitioner']}: "
        f"{_dollars(line['amount'])}."
    )
    for proof in line["because"]:
        yield f"  {line['code']} because {proof['text']}. Rule: {_cited(proof['citation'])}."


def _held(line: Json) -> Iterator[str]:
    yield f"{line['code']} ({line['label']}) is held until a person answers:"
    for reason in line["reasons"]:
        question = reason.get("question") or "Is this line right?"
        yield f"  {reason['text']}. {question} Rule: {_cited(reason['citation'])}."


def _refused(line: Json) -> Iterator[str]:
    name = f"{line['code']} ({line['label']})" if line["label"] else line["code"]
    units = f", {line['units']} units," if line["units"] > 1 else ""
    yield f"{name}{units} cannot be claimed:"
    for reason in line["reasons"]:
        yield f"  {reason['text']}. Rule: {_cited(reason['citation'])}."


def _minutes(answer: Json) -> Iterator[str]:
    counted: dict[str, float] = {}
    lost: dict[str, float] = {}
    for row in answer["time"]:
        counted[row["program"] or "no program"] = counted.get(row["program"] or "no program", 0) + float(
            row["counted_seconds"]
        )
        for cut in row["excluded"]:
            lost[cut["reason"]] = lost.get(cut["reason"], 0) + float(cut["seconds"])
    for program, seconds in sorted(counted.items()):
        yield f"Time counted for {program}: {_clock(seconds)}."
    for reason, seconds in sorted(lost.items()):
        yield f"Time not counted, {reason}: {_clock(seconds)}."
    for period in answer["days"]:
        span = period["period"]
        yield f"Days with readings {span['from']} to {span['to']}: {len(period['dates'])}."
    for period in answer.get("running", ()):
        span = period["period"]
        yield f"Days so far in the running period {span['from']} to {span['to']}: {len(period['dates'])}."


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
