"""The lines of the month page: every code with its proof, or its reasons, and the evidence behind them. Pure.

Input: lines of an adjudication (vitalwire.adjudication/1), the facts they were made from. Output: ready strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from server.web import formatting
from server.web.views.billing import money
from server.web.views.month_words import TIMES, arithmetic, instant, program_name, quantity

_KINDS: Final = {
    "consents": "consent",
    "visits": "visit",
    "enrollments": "enrolment",
    "care_plans": "care plan",
    "attestations": "attestation",
    "stays": "stay",
    "services": "known service",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One piece of evidence: its id, what it is, where it is on this page, and what would be without it."""

    id: str
    words: str
    anchor: str | None
    without: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One requirement: the sentence, the arithmetic, the rule's source and the evidence."""

    text: str
    arithmetic: str
    rule: str
    citation: str
    href: str | None
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One code: billable, refused or held, with everything behind it."""

    code: str
    units: int
    amount: str
    service: str
    details: str
    proofs: tuple[Proof, ...]


class EvidenceWords:
    """Words for evidence ids, looked up in the facts they came from."""

    def __init__(self, facts: Mapping[str, Any], names: Mapping[str, str], zone: ZoneInfo) -> None:
        self._facts = facts
        self._names = names
        self._zone = zone
        self._entries = {item["id"]: item for item in facts.get("time_entries", ())}
        self._readings = {item["id"]: item for item in facts.get("readings", ())}

    def name(self, person: str) -> str:
        return self._names.get(person, person)

    def piece(self, key: str, without: Mapping[str, str], unit: str | None) -> Evidence:
        words, anchor = self._words(key)
        left = without.get(key)
        return Evidence(
            id=key,
            words=words,
            anchor=anchor,
            without=f"without it: {quantity(str(left), unit)}" if left is not None else "",
        )

    def _words(self, key: str) -> tuple[str, str | None]:
        if key in self._entries:
            entry = self._entries[key]
            start, end = instant(entry["start"]), instant(entry["end"])
            who = self._names.get(entry["performer"], entry["performer"])
            length = formatting.stopwatch(int((end - start).total_seconds()))
            return f"{formatting.local_date(start, self._zone)}, {length}, {who}", f"entry-{key}"
        if key in self._readings:
            reading = self._readings[key]
            return f"reading of {formatting.local_date(instant(reading['measured_at']), self._zone)}", None
        kind, _, place = key.partition("/")
        if kind in _KINDS and place.isdigit() and int(place) < len(self._facts.get(kind, ())):
            return self._fact(kind, self._facts[kind][int(place)]), None
        return key, None

    def _fact(self, kind: str, fact: Mapping[str, Any]) -> str:
        when = next((fact[name] for name in ("granted_at", "approved_at", "at", "on", "from") if fact.get(name)), None)
        program = f" for {program_name(fact['program'])}" if fact.get("program") else ""
        return f"{_KINDS[kind]}{program}" + (f", {self._date(when)}" if when else "")

    def _date(self, value: str) -> str:
        if len(value) == len("2026-01-01"):
            return formatting.day(date.fromisoformat(value))
        return formatting.local_date(instant(value), self._zone)


def billable_line(line: Mapping[str, Any], known: EvidenceWords) -> Line:
    """A line that may be claimed: its money, its details and the proof of each requirement."""
    details = [known.name(line["practitioner"]), f"place of service {line['place_of_service']}"]
    if line.get("lane"):
        details.append(f"lane {line['lane']}")
    if line.get("modifiers"):
        details.append("modifiers " + ", ".join(line["modifiers"]))
    if line.get("diagnoses"):
        details.append("diagnoses " + ", ".join(line["diagnoses"]))
    if line["units"] > 1 and line.get("unit_amount"):
        details.append(f"{line['units']} {TIMES} {money(line['unit_amount'])}")
    return Line(
        code=line["code"],
        units=line["units"],
        amount=money(line["amount"]),
        service=_service(line),
        details=", ".join(details),
        proofs=tuple(_proof(item, known) for item in line["because"]),
    )


def other_line(line: Mapping[str, Any], known: EvidenceWords) -> Line:
    """A refused or held line: the reasons, and no money."""
    return Line(
        code=line["code"],
        units=line.get("units", 1),
        amount="",
        service="",
        details="",
        proofs=tuple(_proof(item, known) for item in line["reasons"]),
    )


def _proof(item: Mapping[str, Any], known: EvidenceWords) -> Proof:
    citation = item["citation"]
    unit = item.get("unit") or _unit_of_reason(item.get("reason"))
    text = item["text"] if not item.get("question") else f"{item['text']} {item['question']}"
    return Proof(
        text=text,
        arithmetic=arithmetic(item.get("have"), item.get("need"), unit),
        rule=item.get("rule") or item.get("reason", ""),
        citation=f"{citation['title']}: {citation['locator']}",
        href=citation.get("href"),
        evidence=tuple(known.piece(key, item.get("without") or {}, unit) for key in item.get("evidence", ())),
    )


def _unit_of_reason(reason: str | None) -> str | None:
    return {"TIME_BELOW_THRESHOLD": "s", "DAYS_BELOW_THRESHOLD": "day"}.get(reason or "")


def _service(line: Mapping[str, Any]) -> str:
    first, last = date.fromisoformat(line["service_from"]), date.fromisoformat(line["service_to"])
    return formatting.day(last) if first == last else f"{formatting.day(first)} to {formatting.day(last)}"
