"""The month page of one patient: every line with its proof, every refusal with its reasons. Pure.

Input: an adjudication (vitalwire.adjudication/1), the facts it was made from, names of performers, the viewer's zone.
Output: ready strings. Days and minutes only: no measured value comes through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from server.web.views.billing import begun, money, month_name
from server.web.views.month_ledgers import Calendar, TimeRow, calendar, time_rows, time_totals
from server.web.views.month_lines import EvidenceWords, Line, billable_line, other_line
from server.web.views.month_words import TIMES, program_name, short_digest


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
    known = EvidenceWords(facts, names, zone)
    pack = adjudication["pack"]
    return MonthPage(
        month=adjudication["month"],
        month_name=month_name(adjudication["month"]),
        patient_id=adjudication["patient"],
        patient_name=patient_name,
        billable=tuple(billable_line(line, known) for line in adjudication["billable"]),
        refused=tuple(other_line(line, known) for line in adjudication["refused"]),
        held=tuple(other_line(line, known) for line in adjudication["held"]),
        total=money(adjudication["total"]),
        calendars=tuple(
            calendar(period, today=today) for period in (*adjudication["days"], *begun(adjudication, today))
        ),
        time=tuple(time_rows(adjudication, facts, names, zone)),
        time_totals=tuple(time_totals(adjudication)),
        warnings=tuple(item["text"] for item in adjudication["warnings"]),
        alternatives=tuple(_alternative(item) for item in adjudication["alternatives"]),
        unallocated=tuple(_proposal(item, known) for item in adjudication.get("proposals_for_allocation", ())),
        pack=f"{pack['id']}, rules of {pack['rule_year']}, {short_digest(pack['digest'])}",
        facts_digest=short_digest(adjudication["facts_digest"]),
    )


def _alternative(item: Mapping[str, Any]) -> Alternative:
    name = (
        f"{program_name(item['program'])}, lane {item['lane']}" if item.get("lane") else program_name(item["program"])
    )
    lines = ", ".join(f"{line['code']} {TIMES} {line['units']}" for line in item["lines"])
    return Alternative(name=name, lines=lines or "no line", total=money(item["total"]))


def _proposal(item: Mapping[str, Any], known: EvidenceWords) -> Proposal:
    """One lawful home for time that nobody allocated, in words; a person accepts it, with a reason."""
    gained = ", ".join(
        f"{'adds' if line['units'] > 0 else 'loses'} {abs(line['units'])} {TIMES} {line['code']}"
        for line in item["lines"]
    )
    return Proposal(
        choice=",".join(f"{pair['entry']}={pair['program']}" for pair in item["assign"]),
        entries=tuple(
            f"{known.piece(pair['entry'], {}, None).words} to {program_name(pair['program'])}"
            for pair in item["assign"]
        ),
        outcome=f"{gained}: {money(item['total'])} instead of {money(item['total_before'])}",
        certificate=item["certificate"]["text"],
    )
