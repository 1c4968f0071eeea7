"""A running month looked at forward: per code what it lacks, by when, and whether that is still possible.

Input: the facts of a patient-month whose end has not come at `as_of`. Output: one `Outlook` a code and period. Facts
alone: what to do about them is for the people who care for the patient, and nothing here suggests an act.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal, TypeAlias

from server.billing.calendar import MICROSECONDS, ONE_DAY, ServicePeriod, ZoneHistory, microseconds
from server.billing.context import Context, Course
from server.billing.determine import determine
from server.billing.fact_types import Enrollment
from server.billing.facts import parse_facts
from server.billing.outcome import Determination, Reason
from server.billing.packs import pack_for
from server.billing.payer_rules import refusal
from server.billing.rules import rpm_device_supply, rtm
from server.billing.supply import SupplyCodes, period_length

# met: nothing is missing · open: something is, and time is left for it · impossible: too little is left ·
# settled: another line stands for the same work, or it was billed before · question: a person must answer first.
State: TypeAlias = Literal["met", "open", "impossible", "settled", "question"]

_SETTLED: Final = frozenset({"EXCLUSIVE_CODE", "ALREADY_ONCE", "UNIT_CAP"})
_FINAL: Final = frozenset(
    {
        "CODE_NOT_EFFECTIVE",
        "CODE_TERMINATED",
        "CONSENT_REVOKED",
        "EXCLUSIVE_PROGRAM",
        "MODEL_EXCLUSION",
        "OTHER_PRACTITIONER",
    }
)
_UNITS: Final[Mapping[str, str]] = {
    "TIME_BELOW_THRESHOLD": "s",
    "DAYS_BELOW_THRESHOLD": "day",
    "NO_INTERACTIVE_COMM": "contact",
}
_FOLLOWS: Final = "ADDON_WITHOUT_BASE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """One thing a code lacks: how much of it, by which date, and whether that much can still come."""

    reason: str
    text: str
    missing: int | None
    unit: str | None
    by: date
    possible: bool

    def as_json(self) -> dict[str, object]:
        return {
            "reason": self.reason,
            "text": self.text,
            "missing": self.missing,
            "unit": self.unit,
            "by": self.by.isoformat(),
            "possible": self.possible,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """One code in one period that runs. `every_day_from`: from that date on, each day left is needed."""

    code: str
    program: str
    period: ServicePeriod
    state: State
    lacks: tuple[Lack, ...] = ()
    have: int | None = None
    left: int | None = None
    every_day_from: date | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "code": self.code,
            "program": self.program,
            "period": self.period.as_facts(),
            "state": self.state,
            "lacks": [lack.as_json() for lack in self.lacks],
            "have": self.have,
            "left": self.left,
            "every_day_from": self.every_day_from.isoformat() if self.every_day_from else None,
        }


def outlook(facts: Mapping[str, object]) -> tuple[Outlook, ...]:
    """Every code of the patient's programs in the month of `as_of`; nothing for a month that is over or to come."""
    parsed = parse_facts(facts)
    pack, tree = pack_for(parsed.payer.pack)
    ctx = Context(parsed, tree, pack)
    today = ZoneHistory([], ctx.zone).local_date(parsed.as_of)
    if not ctx.month.covers(today) or not ctx.rules_loaded(ctx.month.last):
        return ()
    found = [*_days(ctx), *_time(ctx, determine(ctx))]
    return tuple(sorted(found, key=lambda one: (ctx.rank.get(one.code, len(ctx.rank)), one.period.first)))


# --- days ---


def _days(ctx: Context) -> Iterator[Outlook]:
    for course in ctx.courses:
        for enrollment in course.enrollments:
            codes = _supply_codes(enrollment)
            if codes is not None:
                yield from _running_period(ctx, course, enrollment, codes)


def _supply_codes(enrollment: Enrollment) -> SupplyCodes | None:
    if enrollment.program == "rpm":
        return rpm_device_supply.CODES
    return rtm.SUPPLY.get(enrollment.system or "") if enrollment.program == "rtm" else None


def _running_period(ctx: Context, course: Course, enrollment: Enrollment, codes: SupplyCodes) -> Iterator[Outlook]:
    """The device period that today falls into; before a first reading none runs."""
    days = ctx.day_ledger(enrollment, self_reported=enrollment.program == "rtm")
    today = ctx.zones.local_date(ctx.facts.as_of)
    ended = ctx.ends_on(enrollment)
    if ended is not None and ended[0] < today:
        return
    for period in days.periods(today, length=period_length(ctx)):
        if not period.covers(today):
            continue
        if not ctx.rules_loaded(period.last):
            return
        dates = days.dates(period)
        last = min(period.last, ended[0]) if ended else period.last
        begun = today if today not in dates else today + ONE_DAY
        left = max((last - begun).days + 1, 0)
        many = _reach(ctx, codes.many, f"{codes.rules}/many_days", course, period, last, len(dates), left)
        few = _reach(ctx, codes.few, f"{codes.rules}/few_days", course, period, last, len(dates), left)
        if many is not None:
            yield many
        if few is not None:
            yield _beside(few, many)


def _beside(few: Outlook, many: Outlook | None) -> Outlook:
    """The short code gives way once the long one is reached."""
    if many is None or many.state != "met":
        return few
    return Outlook(code=few.code, program=few.program, period=few.period, state="settled", have=few.have, left=few.left)


def _reach(
    ctx: Context, code: str, path: str, course: Course, period: ServicePeriod, last: date, have: int, left: int
) -> Outlook | None:
    """Days of data against days needed and days left."""
    if not ctx.codes[code].in_force(period.last) or not ctx.tree.has(path, period.last):
        return None
    if refusal(ctx, code, period.last) is not None:
        return None
    need = ctx.tree.whole(path, period.last)
    missing = max(need - have, 0)
    possible = missing <= left
    lack = Lack(
        reason="DAYS_BELOW_THRESHOLD",
        text=f"{_count(missing, 'day')} of readings missing, {_count(left, 'day')} left until {last}",
        missing=missing,
        unit="day",
        by=last,
        possible=possible,
    )
    return Outlook(
        code=code,
        program=course.program,
        period=period,
        state="met" if not missing else "open" if possible else "impossible",
        lacks=(lack,) if missing else (),
        have=have,
        left=left,
        every_day_from=last - timedelta(days=missing - 1) if missing and possible else None,
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


# --- calendar month ---


def _time(ctx: Context, lines: list[Determination]) -> Iterator[Outlook]:
    # Seconds of the month that are still to come: nobody can work more than those.
    rest = (ctx.span[1] - microseconds(ctx.facts.as_of)) // MICROSECONDS
    for line in lines:
        code = ctx.codes.get(line.code)
        if code is None or code.period != "month" or line.period != ctx.month or not line.program:
            continue
        lacks = tuple(_lack(ctx, reason, rest) for reason in line.unmet if reason.reason != _FOLLOWS)
        yield Outlook(code=line.code, program=line.program, period=line.period, state=_state(line, lacks), lacks=lacks)


def _state(line: Determination, lacks: tuple[Lack, ...]) -> State:
    words = {reason.reason for reason in line.unmet}
    if words & _SETTLED:
        return "settled"
    if any(not lack.possible for lack in lacks):
        return "impossible"
    if words:
        return "open"
    return "question" if line.holds else "met"


def _lack(ctx: Context, reason: Reason, rest: int) -> Lack:
    missing = _missing(reason)
    possible = reason.reason not in _FINAL
    if reason.reason == "TIME_BELOW_THRESHOLD" and missing is not None:
        possible = missing <= rest
    return Lack(
        reason=reason.reason,
        text=reason.text,
        missing=missing,
        unit=_UNITS.get(reason.reason),
        by=ctx.month.last,
        possible=possible,
    )


def _missing(reason: Reason) -> int | None:
    """Whole units missing; a started second that is missing counts whole."""
    if reason.reason not in _UNITS or reason.have is None or reason.need is None:
        return None
    return int(reason.need) - int(reason.have.partition(".")[0])
