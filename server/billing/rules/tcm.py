"""Transitional care after a discharge: 99496 (high decision making, 7 days), 99495 (moderate, 14 days).

Input: one TCM course. Output: determinations for each discharge whose visit, or last day for one, is in the month.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from server.billing.calendar import ServicePeriod, ZoneHistory, business_days_after
from server.billing.context import Context, Course
from server.billing.fact_types import Discharge
from server.billing.outcome import Determination, Proof, Reason
from server.billing.requirements import Check, flag, rule_id, split

_DAYS: Final = {"99495": "tcm/visit/days_moderate", "99496": "tcm/visit/days_high"}


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """Each discharge under this practitioner."""
    for place, discharge in enumerate(ctx.facts.discharges):
        if discharge.practitioner != course.practitioner:
            continue
        seen = _visit_on(ctx, discharge)
        deadline = discharge.on + timedelta(days=ctx.tree.whole(_DAYS["99495"], ctx.month.last))
        if ctx.month.covers(seen or deadline):
            yield from _lines(ctx, course, discharge, f"discharges/{place}", seen)


def _visit_on(ctx: Context, discharge: Discharge) -> date | None:
    if discharge.visit_at is None or discharge.visit_at > ctx.facts.as_of:
        return None
    return ZoneHistory([], ctx.zone).local_date(discharge.visit_at)


def _lines(
    ctx: Context, course: Course, discharge: Discharge, place: str, seen: date | None
) -> Iterator[Determination]:
    length = ctx.tree.whole("tcm/visit/period_days", ctx.month.last)
    period = ServicePeriod(first=discharge.on, last=discharge.on + timedelta(days=length - 1), kind="thirty-day")
    common = (_contact(ctx, discharge, place), _reconciled(ctx, discharge, place, seen))
    high = (_timely(ctx, "99496", discharge, place, seen), _level(ctx, discharge, place, ("high",)))
    moderate: tuple[Check, ...] = (
        _timely(ctx, "99495", discharge, place, seen),
        _level(ctx, discharge, place, ctx.tree.words("tcm/visit/decision_making", ctx.month.last)),
    )
    high_met = not split((*high, *common))[1]
    if high_met:
        moderate = (*moderate, _other_code(ctx))
    for code, checks in (("99495", moderate), ("99496", high)):
        because, unmet = split((*checks, *common))
        day = seen or ctx.month.last
        yield Determination(
            code=code,
            program=course.program,
            practitioner=course.practitioner,
            period=period,
            service_from=day,
            service_to=day,
            units=int(not unmet),
            because=because,
            unmet=unmet,
        )


def _other_code(ctx: Context) -> Reason:
    return Reason(
        reason="EXCLUSIVE_CODE",
        text="high decision making with a visit in 7 days gives 99496; one code a discharge",
        citation=ctx.cite("tcm/visit/one_code"),
    )


def _contact(ctx: Context, discharge: Discharge, place: str) -> Check:
    """Contact within two business days, or two attempts in that time."""
    path = "tcm/contact/business_days"
    known = ctx.zones.local_date(ctx.facts.as_of)
    deadline = business_days_after(discharge.on, ctx.tree.whole(path, discharge.on))
    made = discharge.contact_on is not None and discharge.on <= discharge.contact_on <= min(deadline, known)
    tries = [day for day in discharge.attempts_on if discharge.on <= day <= min(deadline, known)]
    enough = len(tries) >= ctx.tree.whole("tcm/contact/attempts", discharge.on)
    return flag(
        ctx,
        path,
        met=made or enough,
        reason="CONDITIONS_NOT_MET",
        yes=f"contact by {deadline}" if made else f"{len(tries)} attempts at contact by {deadline}",
        no=f"no contact, and fewer than two attempts, by {deadline} (two business days after {discharge.on})",
        evidence=(place,),
    )


def _reconciled(ctx: Context, discharge: Discharge, place: str, seen: date | None) -> Check:
    """Medicines reconciled by the date of the visit."""
    done = discharge.reconciled_on
    return flag(
        ctx,
        "tcm/visit/reconciliation",
        met=done is not None and seen is not None and done <= seen,
        reason="CONDITIONS_NOT_MET",
        yes="medicines reconciled by the visit",
        no="medicines were not reconciled by the date of the visit",
        evidence=(place,),
    )


def _timely(ctx: Context, code: str, discharge: Discharge, place: str, seen: date | None) -> Check:
    """The visit within the days of the code, counted from the day after discharge."""
    path = _DAYS[code]
    need = ctx.tree.whole(path, discharge.on)
    have = None if seen is None else (seen - discharge.on).days
    text = f"{code} needs the visit by {discharge.on + timedelta(days=need)}"
    if have is not None and 0 <= have <= need:
        return Proof(
            rule=rule_id(path),
            text=f"{text}; it was on {seen}",
            citation=ctx.cite(path),
            evidence=(place,),
            have=str(have),
            need=str(need),
            unit="day",
        )
    return Reason(
        reason="CONDITIONS_NOT_MET",
        text=f"{text}; {'no visit is on record' if seen is None else f'it was on {seen}'}",
        citation=ctx.cite(path),
        have=None if have is None else str(have),
        need=str(need),
        evidence=(place,),
    )


def _level(ctx: Context, discharge: Discharge, place: str, levels: tuple[str, ...]) -> Check:
    return flag(
        ctx,
        "tcm/visit/decision_making",
        met=discharge.mdm in levels,
        reason="MDM_NOT_MET",
        yes=f"{discharge.mdm} decision making",
        no=f"decision making is {discharge.mdm or 'not recorded'}; {' or '.join(levels)} is needed",
        evidence=(place,),
    )
