"""The practitioner's own review of device data: 99091, 30 minutes in 30 days.

Input: one data-review course. Output: the determination for each device period decided in the month, or for the month
where the patient has no device period.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from server.billing.blocks import Counted, block_checks, counted, doubt, month_line
from server.billing.calendar import MICROSECONDS, ServicePeriod
from server.billing.context import Context, Course
from server.billing.outcome import Determination, Reason, with_holds
from server.billing.requirements import Check, consent, initiating_visit
from server.billing.supply import DecidedPeriod, decided_periods
from server.billing.time_ledger import ClosedSpan

FIRST: Final = "data-review/practitioner/first_block_seconds"
_VISIT: Final = "data-review/eligibility/initiating_visit_days"


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """The patient's device period decides where there is one."""
    if not ctx.tree.has(FIRST, ctx.month.last):
        return
    visit, gate = initiating_visit(ctx, course, _VISIT, days=ctx.tree.whole(_VISIT, ctx.month.last))
    for period, early in _periods(ctx, course):
        line = _line(ctx, course, period, visit, (gate,) if gate else ())
        yield with_holds(line, early) if early and line.units else line


def _periods(ctx: Context, course: Course) -> tuple[tuple[ServicePeriod, Reason | None], ...]:
    monitored = [e for other in ctx.courses if other.program == "rpm" for e in other.enrollments]
    for enrollments in (monitored, list(course.enrollments)):
        anchored = [e for e in enrollments if ctx.day_ledger(e).anchor is not None]
        if anchored:
            decided = (one for e in anchored for one in decided_periods(ctx, e, self_reported=False))
            return tuple((one.period, _ended_early(ctx, one)) for one in decided)
    return ((ctx.month, None),)


def _ended_early(ctx: Context, one: DecidedPeriod) -> Reason | None:
    if one.ended is None:
        return None
    return Reason(
        reason="EPISODE_ENDED_EARLY",
        text=f"the episode ended on {one.ended[0]} ({one.ended[1]}), before day 30 ({one.period.last})",
        citation=ctx.cite("rpm/device_supply/ended_early"),
        question="May the review be claimed for the shortened period?",
        evidence=(ctx.place_of(one.enrollment),),
    )


def _line(
    ctx: Context, course: Course, period: ServicePeriod, visit: Check, gates: tuple[ClosedSpan, ...]
) -> Determination:
    need = ctx.tree.whole(FIRST, period.last)
    ledger = ctx.ledger(course, gates, period)
    time = counted(ledger, frozenset({course.practitioner}))
    checks = (
        *block_checks(ctx, time, "99091", FIRST, need),
        *_not_staff(ctx, course, time, need),
        consent(ctx, course, "data-review/eligibility/consent", period),
        visit,
    )
    reached = time.clean.total >= need * MICROSECONDS
    line = msgspec.structs.replace(
        month_line(ctx, course, "99091", units=int(reached), checks=checks, time=time, need=need),
        period=period,
        surplus=doubt(ctx, time, int(time.everything.total >= need * MICROSECONDS) - int(reached)),
    )
    if period.kind == "thirty-day":
        line = msgspec.structs.replace(line, service_from=period.last, service_to=period.last)
    if reached and not any(period.covers(day) for _, day in ctx.readings):
        return with_holds(line, _no_data(ctx))
    return line


def _not_staff(ctx: Context, course: Course, time: Counted, need: int) -> Iterator[Reason]:
    """Other people's minutes that would have reached the block."""
    others = counted(time.ledger)
    if time.clean.total < need * MICROSECONDS <= others.clean.total:
        yield Reason(
            reason="WRONG_PERFORMER",
            text="only the billing practitioner's own minutes feed 99091",
            citation=ctx.cite("time/practitioner_only"),
            evidence=tuple(sorted({p.entry for p in others.pieces if p.performer != course.practitioner})),
        )


def _no_data(ctx: Context) -> Reason:
    return Reason(
        reason="NO_MONITORED_DATA",
        text="time of review, but no reading in the period",
        citation=ctx.cite("data-review/eligibility/digital_data"),
        question="Which device data were reviewed?",
    )
