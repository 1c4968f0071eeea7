"""The billing board of a month: who is ready, who is almost there, who is blocked and by what. Pure.

Input: adjudications in the shape of vitalwire.adjudication/1 and the steps of each program. Output: rows of ready
strings. Days and minutes only: no measured value comes through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from server.billing.outlook import Lack, Outlook
from server.web import formatting

Column = Literal["ready", "almost", "blocked"]
COLUMN_NAMES: Final[Mapping[Column, str]] = {"ready": "Ready", "almost": "Almost", "blocked": "Blocked"}

# More time or more days would mend these while the period runs.
_SHORT: Final = frozenset({"TIME_BELOW_THRESHOLD", "DAYS_BELOW_THRESHOLD"})
# These say that another line of the same work stands instead; nobody has to act on them.
_SETTLED: Final = frozenset({"EXCLUSIVE_CODE", "ADDON_WITHOUT_BASE", "UNIT_CAP", "ALREADY_ONCE", "CODE_NOT_EFFECTIVE",
                             "CODE_TERMINATED"})  # fmt: skip
# A held line for which nobody has to do anything: its period is complete but not over.
_TIME_WILL_TELL: Final = frozenset({"CONDITIONS_NOT_MET"})
_FAMILIES: Final = {
    "99453": "set-up",
    "99445": "device days",
    "99454": "device days",
    "99470": "RPM time",
    "99457": "RPM time",
    "99458": "RPM time",
    "99490": "CCM time",
    "99439": "CCM time",
    "99487": "CCM time",
    "99489": "CCM time",
    "99491": "CCM time",
    "99437": "CCM time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The seconds at which each next code of a program is reached, ascending: (seconds, code)."""

    program: str
    steps: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySteps:
    """The reading days at which each supply code is reached, ascending: (days, code)."""

    steps: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientMonth:
    """One patient's month as the engine decided it."""

    patient_id: str
    name: str
    programs: tuple[str, ...]
    adjudication: Mapping[str, Any]
    outlook: Sequence[Outlook] = ()
    frozen: bool = False
    changed_since_frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A progress bar with its words; `value` never exceeds `maximum`."""

    label: str
    value: int
    maximum: int
    text: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChip:
    """A billable line in short."""

    code: str
    units: int
    amount: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRow:
    """One patient on the board."""

    patient_id: str
    name: str
    programs: str
    path: str
    meters: tuple[Meter, ...]
    lines: tuple[LineChip, ...]
    total: str
    reasons: tuple[str, ...]
    outlook: tuple[str, ...]
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardColumn:
    """One of the three columns."""

    key: Column
    name: str
    count: str
    rows: tuple[BoardRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The whole page."""

    month: str
    month_name: str
    previous: str
    next: str | None
    columns: tuple[BoardColumn, ...]
    total: str
    empty: bool


def board(
    month: str, patients: Sequence[PatientMonth], *, today: date, ladders: Sequence[Steps], days: DaySteps
) -> Board:
    """The board of a month as seen on `today` (the practice's date)."""
    running = today <= last_day(month)
    placed: dict[Column, list[BoardRow]] = {"ready": [], "almost": [], "blocked": []}
    total = Decimal(0)
    for item in patients:
        column, reasons = classify(item.adjudication, month_runs=running)
        placed[column].append(_row(month, item, reasons, today, ladders, days))
        total += Decimal(str(item.adjudication["total"] or 0))  # unknown amounts add nothing
    columns = tuple(
        BoardColumn(key=key, name=COLUMN_NAMES[key], count=_people(len(rows)), rows=tuple(rows))
        for key, rows in placed.items()
    )
    return Board(
        month=month,
        month_name=month_name(month),
        previous=shift_month(month, -1),
        next=shift_month(month, 1) if not running else None,
        columns=columns,
        total=money(total),
        empty=not patients,
    )


def classify(adjudication: Mapping[str, Any], *, month_runs: bool) -> tuple[Column, tuple[str, ...]]:
    """The column of a month and why. A missing quantity is "almost" only while the month can still bring it.

    Codes of one family stand for the same work: the one that lacks least speaks for all of them.
    """
    billable = {_family(line["code"]) for line in adjudication["billable"]}
    blocked: list[str] = []
    waiting: list[str] = []
    for line in adjudication["held"]:
        if all(reason["reason"] in _TIME_WILL_TELL for reason in line["reasons"]):
            waiting += [_named(line["code"], reason["text"]) for reason in line["reasons"]]
            billable.add(_family(line["code"]))
        else:
            blocked += [_named(line["code"], reason.get("question") or reason["text"]) for reason in line["reasons"]]
    almost: list[str] = []
    nearest: dict[str, _Refusal] = {}
    for line in adjudication["refused"]:
        found = _Refusal.of(line)
        family = _family(found.code)
        if family not in billable and (family not in nearest or found.distance < nearest[family].distance):
            nearest[family] = found
    for found in nearest.values():
        blocked += [_named(found.code, text) for text in found.hard]
        if not found.hard:
            almost += [_named(found.code, text) for text in found.short]
    if blocked:
        return "blocked", _unique(blocked)
    if (almost and month_runs) or (waiting and not adjudication["billable"]):
        return "almost", _unique([*almost, *waiting])
    if billable:
        return "ready", _unique(waiting)
    if month_runs:
        return "almost", ("Nothing is complete yet this month.",)
    return "blocked", _unique(almost) or ("No reading and no time in this month.",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """What a refused code lacks: quantities that more work brings, and what work alone does not mend."""

    code: str
    hard: tuple[str, ...]
    short: tuple[str, ...]
    settled: int

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> _Refusal:
        reasons = line["reasons"]
        open_reasons = [reason for reason in reasons if reason["reason"] not in _SETTLED]
        return cls(
            code=line["code"],
            hard=tuple(reason["text"] for reason in open_reasons if reason["reason"] not in _SHORT),
            short=tuple(reason["text"] for reason in open_reasons if reason["reason"] in _SHORT),
            settled=len(reasons) - len(open_reasons),
        )

    @property
    def distance(self) -> tuple[int, int, int]:
        return len(self.hard), self.settled, len(self.short)


def time_meter(adjudication: Mapping[str, Any], ladder: Steps) -> Meter:
    """Counted time of a program toward its next code."""
    counted = counted_seconds(adjudication, ladder.program)
    name = ladder.program.upper()
    for seconds, code in ladder.steps:
        if counted < seconds:
            text = f"{formatting.stopwatch(counted)} of {formatting.stopwatch(seconds)}"
            note = f"{formatting.stopwatch(seconds - counted)} more for {code}"
            return Meter(label=f"{name} time", value=counted, maximum=seconds, text=text, note=note)
    top = ladder.steps[-1][0]
    return Meter(
        label=f"{name} time", value=top, maximum=top, text=formatting.stopwatch(counted), note="every step is reached"
    )


def day_meter(period: Mapping[str, Any], days: DaySteps, *, runs: bool, lost: frozenset[str] = frozenset()) -> Meter:
    """Reading days of a device period toward the next supply code that the days left can still reach."""
    count = len(period["dates"])
    span = (
        f"{formatting.day(date.fromisoformat(period['period']['from']))} to "
        f"{formatting.day(date.fromisoformat(period['period']['to']))}"
    )
    words = "1 day" if count == 1 else f"{count} days"
    for needed, code in days.steps:
        if runs and count < needed and code not in lost:
            more = needed - count
            note = f"{more} more {'day' if more == 1 else 'days'} for {code}; {span}"
            return Meter(label="Reading days", value=count, maximum=needed, text=f"{count} of {needed} days", note=note)
    top = days.steps[-1][0]
    note = f"{'no further' if lost else 'every'} step is {'possible' if lost else 'reached'}; {span}" if runs else span
    return Meter(label="Reading days", value=min(count, top), maximum=top, text=words, note=note)


def outlook_words(outlook: Iterable[Outlook]) -> Iterator[str]:
    """What the days and the seconds left decide: facts, no advice."""
    for one in outlook:
        for lack in one.lacks:
            if one.state == "impossible" and not lack.possible and lack.unit in {"day", "s"}:
                yield f"{one.code} can no longer be reached: {_left(lack)}."
        if one.every_day_from is not None and one.lacks:
            day = formatting.day(one.every_day_from)
            yield f"{one.code} is still possible: {one.lacks[0].text}. From {day} on every day counts."


def _left(lack: Lack) -> str:
    if lack.unit == "s" and lack.missing is not None:
        return f"{formatting.stopwatch(lack.missing)} missing, less than that is left of the month"
    return lack.text


def begun(adjudication: Mapping[str, Any], today: date) -> list[Mapping[str, Any]]:
    """Device periods that run today; the next one is not shown before its first day."""
    return [
        period for period in adjudication.get("running", ()) if date.fromisoformat(period["period"]["from"]) <= today
    ]


def counted_seconds(adjudication: Mapping[str, Any], program: str) -> int:
    """Seconds that count for a program; a part of a second is dropped, never rounded up."""
    return int(sum(Decimal(str(e["counted_seconds"])) for e in adjudication["time"] if e["program"] == program))


def money(amount: Decimal | str | None) -> str:
    """As `$66.13`; an unknown amount is said, never shown as zero."""
    return "amount not known" if amount is None else f"${Decimal(amount):,.2f}"


def last_day(month: str) -> date:
    return date.fromisoformat(f"{shift_month(month, 1)}-01") - timedelta(days=1)


def shift_month(month: str, by: int) -> str:
    """`2026-01` shifted by -1 is `2025-12`."""
    year, number = int(month[:4]), int(month[5:])
    count = year * 12 + number - 1 + by
    return f"{count // 12:04d}-{count % 12 + 1:02d}"


def month_name(month: str) -> str:
    """As `November 2026`."""
    return f"{date.fromisoformat(f'{month}-01'):%B %Y}"


def _row(
    month: str,
    item: PatientMonth,
    reasons: tuple[str, ...],
    today: date,
    ladders: Sequence[Steps],
    days: DaySteps,
) -> BoardRow:
    adjudication = item.adjudication
    meters = [day_meter(period, days, runs=False) for period in adjudication["days"]]
    lost = frozenset(one.code for one in item.outlook if one.state == "impossible")
    meters += [day_meter(period, days, runs=True, lost=lost) for period in begun(adjudication, today)]
    meters += [time_meter(adjudication, ladder) for ladder in ladders if ladder.program in item.programs]
    status = ""
    if item.frozen:
        status = "Changed since it was frozen" if item.changed_since_frozen else "Frozen"
    return BoardRow(
        patient_id=item.patient_id,
        name=item.name,
        programs=", ".join(program.upper() for program in item.programs),
        path=f"/billing/{month}/{item.patient_id}",
        meters=tuple(meters),
        lines=tuple(
            LineChip(code=line["code"], units=line["units"], amount=money(line["amount"]))
            for line in adjudication["billable"]
        ),
        total=money(adjudication["total"]),
        reasons=reasons,
        outlook=tuple(outlook_words(item.outlook)),
        status=status,
    )


def _family(code: str) -> str:
    return _FAMILIES.get(code, code)


def _named(code: str, text: str) -> str:
    return text if text.startswith(code) else f"{code}: {text}"


def _people(count: int) -> str:
    return "1 patient" if count == 1 else f"{count} patients"


def _unique(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))
