"""The month page of one patient: every line with its proof, every refusal with its reasons. Pure.

Input: an adjudication (vitalwire.adjudication/1), the facts it was made from, names of performers, the viewer's zone.
Output: ready strings. Days and minutes only: no measured value comes through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from server.web import formatting
from server.web.views.billing import begun, money, month_name

_TIMES: Final = "\u00d7"
_KINDS: Final = {
    "consents": "consent",
    "visits": "visit",
    "enrollments": "enrolment",
    "care_plans": "care plan",
    "attestations": "attestation",
    "stays": "stay",
    "services": "known service",
}
_REASONS: Final = {
    "OVERLAP_SAME_PROGRAM": "two people at the same moment count once",
    "OVERLAP_CROSS_PROGRAM": "the same seconds are tagged to two programs",
    "STAFF_DOUBLE_BOOKED": "the same person is in two places",
    "MANUAL_DATA": "typed in by hand, not sent by the device",
    "DEVICE_NOT_QUALIFIED": "the device is not a defined medical device",
    "CONDITIONS_NOT_MET": "this kind of work does not count",
    "NO_CONSENT": "before consent",
    "CONSENT_REVOKED": "after consent was withdrawn",
    "INPATIENT_TIME": "during a stay",
    "WRONG_PERFORMER": "not by a person who may perform it, or not work that counts",
    "NO_INITIATING_VISIT": "before the initiating visit",
    "NO_CARE_PLAN": "before the care plan was approved",
    "NO_ORDER": "before the order",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarDay:
    """One day of a device period: `state` is `reading`, `excluded`, `none` or `ahead`; words say it aloud."""

    number: str
    words: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The days of one device period in order."""

    name: str
    count: str
    days: tuple[CalendarDay, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRow:
    """One time entry: what counted and what did not, and why."""

    id: str
    anchor: str
    when: str
    who: str
    program: str
    what: str
    length: str
    counted: str
    excluded: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A lane that could have been billed instead, and what it would pay."""

    name: str
    lines: str
    total: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A lawful allocation of untagged time; `choice` is what the form sends back."""

    choice: str
    entries: tuple[str, ...]
    outcome: str
    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthPage:
    """The whole page."""

    month: str
    month_name: str
    patient_id: str
    patient_name: str
    billable: tuple[Line, ...]
    refused: tuple[Line, ...]
    held: tuple[Line, ...]
    total: str
    calendars: tuple[Calendar, ...]
    time: tuple[TimeRow, ...]
    time_totals: tuple[str, ...]
    warnings: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    unallocated: tuple[Proposal, ...]
    pack: str
    facts_digest: str


def month_page(
    *,
    patient_name: str,
    adjudication: Mapping[str, Any],
    facts: Mapping[str, Any],
    names: Mapping[str, str],
    zone: ZoneInfo,
    today: date,
) -> MonthPage:
    """Device periods that run today and are decided in a later month are shown beside those of the month."""
    known = _Evidence(facts, names, zone)
    pack = adjudication["pack"]
    return MonthPage(
        month=adjudication["month"],
        month_name=month_name(adjudication["month"]),
        patient_id=adjudication["patient"],
        patient_name=patient_name,
        billable=tuple(_billable(line, known) for line in adjudication["billable"]),
        refused=tuple(_other(line, known) for line in adjudication["refused"]),
        held=tuple(_other(line, known) for line in adjudication["held"]),
        total=money(adjudication["total"]),
        calendars=tuple(
            calendar(period, today=today) for period in (*adjudication["days"], *begun(adjudication, today))
        ),
        time=tuple(time_rows(adjudication, facts, names, zone)),
        time_totals=tuple(_totals(adjudication)),
        warnings=tuple(item["text"] for item in adjudication["warnings"]),
        alternatives=tuple(_alternative(item) for item in adjudication["alternatives"]),
        unallocated=tuple(_proposal(item, known) for item in adjudication.get("proposals_for_allocation", ())),
        pack=f"{pack['id']}, rules of {pack['rule_year']}, {short_digest(pack['digest'])}",
        facts_digest=short_digest(adjudication["facts_digest"]),
    )


def quantity(value: str | None, unit: str | None) -> str:
    """`1310` s is `21:50`; `16` days is `16 days`; other units stay as they are."""
    if value is None:
        return ""
    if unit in {"s", "seconds"}:
        return formatting.stopwatch(int(Decimal(value)))
    if unit in {"d", "day", "days"}:
        return f"{value} day" if value == "1" else f"{value} days"
    return f"{value} {unit}" if unit and unit not in {"1", "flag", "word"} else value


def arithmetic(have: str | None, need: str | None, unit: str | None) -> str:
    """What there is beside what is needed: `21:50 counted, 20:00 needed`."""
    if have is None and need is None:
        return ""
    if need is None:
        return f"{quantity(have, unit)} counted"
    return f"{quantity(have, unit) or 'none'} counted, {quantity(need, unit)} needed"


def calendar(period: Mapping[str, Any], *, today: date) -> Calendar:
    """Every day of a device period in words."""
    first = date.fromisoformat(period["period"]["from"])
    last = date.fromisoformat(period["period"]["to"])
    reading_days = {date.fromisoformat(day) for day in period["dates"]}
    excluded: dict[date, str] = {}
    for item in period.get("excluded", ()):
        excluded.setdefault(date.fromisoformat(item["date"]), reason_words(item["reason"]))
    days = tuple(
        _calendar_day(first + timedelta(days=offset), reading_days, excluded, today)
        for offset in range((last - first).days + 1)
    )
    count = len(reading_days)
    return Calendar(
        name=f"{formatting.day(first)} to {formatting.day(last)}",
        count="1 reading day" if count == 1 else f"{count} reading days",
        days=days,
    )


def _calendar_day(day: date, reading_days: set[date], excluded: Mapping[date, str], today: date) -> CalendarDay:
    if day in reading_days:
        state, words = "reading", "reading"
    elif day in excluded:
        state, words = "excluded", f"not counted: {excluded[day]}"
    elif day > today:
        state, words = "ahead", "still to come"
    else:
        state, words = "none", "no reading"
    return CalendarDay(number=str(day.day), words=f"{formatting.day(day)}: {words}", state=state)


def time_rows(
    adjudication: Mapping[str, Any], facts: Mapping[str, Any], names: Mapping[str, str], zone: ZoneInfo
) -> list[TimeRow]:
    """Every entry of the month in order of its start."""
    verdicts = {item["entry"]: item for item in adjudication["time"]}
    rows: list[TimeRow] = []
    for entry in sorted(facts.get("time_entries", ()), key=lambda item: (instant(item["start"]), str(item["id"]))):
        verdict = verdicts.get(entry["id"])
        if verdict is None:
            continue
        start, end = instant(entry["start"]), instant(entry["end"])
        activity = str(entry["activity"]).replace("-", " ")
        with_whom = (
            f", live with {str(entry['with']).replace('-', ' ')}" if entry.get("live") and entry.get("with") else ""
        )
        rows.append(
            TimeRow(
                id=entry["id"],
                anchor=f"entry-{entry['id']}",
                when=f"{formatting.local_date(start, zone)}, {formatting.local_time(start, zone)}",
                who=names.get(entry["performer"], entry["performer"]),
                program=_program(verdict["program"]),
                what=f"{activity}{with_whom}",
                length=formatting.stopwatch(int((end - start).total_seconds())),
                counted=_length(verdict["counted_seconds"]),
                excluded=tuple(
                    f"{_length(item['seconds'])} not counted: {reason_words(item['reason'])}"
                    for item in verdict["excluded"]
                ),
            )
        )
    return rows


def _length(seconds: str) -> str:
    return formatting.stopwatch(int(Decimal(str(seconds))))


def reason_words(reason: str) -> str:
    """A reason of the fixed vocabulary in plain words."""
    return _REASONS.get(reason, reason.replace("_", " ").lower())


def instant(text: str | datetime) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)


def short_digest(digest: str) -> str:
    """`sha256:0123456789abcdef…` as far as a person compares it."""
    kind, _, value = digest.partition(":")
    return f"{kind}:{value[:12]}"


class _Evidence:
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
        program = f" for {_program(fact['program'])}" if fact.get("program") else ""
        return f"{_KINDS[kind]}{program}" + (f", {self._date(when)}" if when else "")

    def _date(self, value: str) -> str:
        if len(value) == len("2026-01-01"):
            return formatting.day(date.fromisoformat(value))
        return formatting.local_date(instant(value), self._zone)


def _billable(line: Mapping[str, Any], known: _Evidence) -> Line:
    details = [known.name(line["practitioner"]), f"place of service {line['place_of_service']}"]
    if line.get("lane"):
        details.append(f"lane {line['lane']}")
    if line.get("modifiers"):
        details.append("modifiers " + ", ".join(line["modifiers"]))
    if line.get("diagnoses"):
        details.append("diagnoses " + ", ".join(line["diagnoses"]))
    if line["units"] > 1 and line.get("unit_amount"):
        details.append(f"{line['units']} {_TIMES} {money(line['unit_amount'])}")
    return Line(
        code=line["code"],
        units=line["units"],
        amount=money(line["amount"]),
        service=_service(line),
        details=", ".join(details),
        proofs=tuple(_proof(item, known) for item in line["because"]),
    )


def _other(line: Mapping[str, Any], known: _Evidence) -> Line:
    return Line(
        code=line["code"],
        units=line.get("units", 1),
        amount="",
        service="",
        details="",
        proofs=tuple(_proof(item, known) for item in line["reasons"]),
    )


def _proof(item: Mapping[str, Any], known: _Evidence) -> Proof:
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


def _totals(adjudication: Mapping[str, Any]) -> list[str]:
    sums: dict[str, Decimal] = {}
    for item in adjudication["time"]:
        name = _program(item["program"])
        sums[name] = sums.get(name, Decimal(0)) + Decimal(str(item["counted_seconds"]))
    return [f"{name}: {formatting.stopwatch(int(seconds))} counted" for name, seconds in sorted(sums.items())]


def _program(program: str | None) -> str:
    return program.upper() if program else "not allocated"


def _alternative(item: Mapping[str, Any]) -> Alternative:
    name = f"{_program(item['program'])}, lane {item['lane']}" if item.get("lane") else _program(item["program"])
    lines = ", ".join(f"{line['code']} {_TIMES} {line['units']}" for line in item["lines"])
    return Alternative(name=name, lines=lines or "no line", total=money(item["total"]))


def _proposal(item: Mapping[str, Any], known: _Evidence) -> Proposal:
    """One lawful home for time that nobody allocated, in words; a person accepts it, with a reason."""
    gained = ", ".join(
        f"{'adds' if line['units'] > 0 else 'loses'} {abs(line['units'])} {_TIMES} {line['code']}"
        for line in item["lines"]
    )
    return Proposal(
        choice=",".join(f"{pair['entry']}={pair['program']}" for pair in item["assign"]),
        entries=tuple(
            f"{known.piece(pair['entry'], {}, None).words} to {_program(pair['program'])}" for pair in item["assign"]
        ),
        outcome=f"{gained}: {money(item['total'])} instead of {money(item['total_before'])}",
        certificate=item["certificate"]["text"],
    )
