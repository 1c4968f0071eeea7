"""Codes earned by days of data: set-up of an episode and device supply in 30-day periods.

Input: an enrolment's day ledger, the codes and their parameters. Output: determinations for the periods decided in the
month: those whose 30th day falls in it, and a period cut short in it by the end of the episode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec

from server.billing.calendar import ServicePeriod
from server.billing.context import Context, Course
from server.billing.day_ledger import DayLedger
from server.billing.fact_types import Enrollment
from server.billing.monitoring import eligibility
from server.billing.outcome import Determination, Proof, Reason
from server.billing.requirements import EXCLUSION_WORDS, Check, flag, rule_id, split


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyCodes:
    """The long code, its short twin and the folder of their parameters."""

    many: str
    few: str
    rules: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedPeriod:
    """A device period decided in the month: `ended` says when and why it was cut short."""

    period: ServicePeriod
    ended: tuple[date, str] | None
    days: DayLedger
    enrollment: Enrollment

    @property
    def judged_on(self) -> date:
        return self.ended[0] if self.ended else self.period.last


def alone(course: Course, enrollment: Enrollment) -> Course:
    """The course as this one enrolment has it."""
    return course if len(course.enrollments) == 1 else msgspec.structs.replace(course, enrollments=(enrollment,))


def period_length(ctx: Context) -> int:
    return ctx.tree.whole("rpm/device_supply/period_days", ctx.month.last)


def decided_periods(ctx: Context, enrollment: Enrollment, *, self_reported: bool) -> tuple[DecidedPeriod, ...]:
    """Periods of the episode to be decided in this month."""
    days = ctx.day_ledger(enrollment, self_reported=self_reported)
    end = ctx.ends_on(enrollment)
    found = []
    for period in days.periods(ctx.month.last, length=period_length(ctx)):
        if end is not None and end[0] < period.first:
            break
        ended = end if end is not None and end[0] < period.last else None
        if ctx.month.covers(ended[0] if ended else period.last):
            found.append(DecidedPeriod(period=period, ended=ended, days=days, enrollment=enrollment))
    return tuple(found)


def running_periods(ctx: Context, enrollment: Enrollment, *, self_reported: bool) -> tuple[DecidedPeriod, ...]:
    """Periods that touch the month and are decided in a later one."""
    days = ctx.day_ledger(enrollment, self_reported=self_reported)
    end = ctx.ends_on(enrollment)
    return tuple(
        DecidedPeriod(period=period, ended=None, days=days, enrollment=enrollment)
        for period in days.periods(ctx.month.last, length=period_length(ctx))
        if period.last > ctx.month.last and (end is None or end[0] > ctx.month.last)
    )


def supply_lines(
    ctx: Context, course: Course, enrollment: Enrollment, codes: SupplyCodes, *, self_reported: bool
) -> Iterator[Determination]:
    """The long or the short code for every decided period; without any qualifying reading, the month is answered."""
    decided = decided_periods(ctx, enrollment, self_reported=self_reported)
    for one in decided:
        yield from _period_lines(ctx, course, codes, one)
    days = ctx.day_ledger(enrollment, self_reported=self_reported)
    if not decided and days.anchor is None and ctx.month.meets(enrollment.from_, enrollment.to):
        empty = DecidedPeriod(period=ctx.month, ended=None, days=days, enrollment=enrollment)
        yield from _period_lines(ctx, course, codes, empty)


def _period_lines(ctx: Context, course: Course, codes: SupplyCodes, one: DecidedPeriod) -> Iterator[Determination]:
    day = one.judged_on
    if not ctx.codes[codes.many].in_force(day):
        return
    judged = one.period if day == one.period.last else msgspec.structs.replace(one.period, last=day)
    dates = one.days.dates(judged)
    many = ctx.tree.whole(f"{codes.rules}/many_days", day)
    few_path = f"{codes.rules}/few_days"
    few = ctx.tree.whole(few_path, day) if ctx.tree.has(few_path, day) else None
    single = alone(course, one.enrollment)
    common: tuple[Check, ...] = (*eligibility(ctx, single, judged), setup_done(ctx, course, one.enrollment))
    holds = (*_holds(ctx, codes, one, dates, many), *_day_thirty(ctx, one))
    yield _line(
        course,
        one,
        codes.many,
        units=int(len(dates) >= many),
        checks=(*day_checks(ctx, one.days, judged, dates, many, f"{codes.rules}/many_days", codes.many), *common),
        holds=(*holds, *_stay_hold(ctx, dates, many, None)),
    )
    checks: tuple[Check, ...] = ()
    earned = few is not None and few <= len(dates) < many
    if few is not None:
        checks = day_checks(ctx, one.days, judged, dates, few, few_path, codes.few)
        if len(dates) >= many:
            checks = (_twin(ctx, codes, dates, one.days),)
    straddles = tuple(_straddle(ctx, one)) if earned else ()
    yield _line(
        course,
        one,
        codes.few,
        units=int(earned),
        checks=(*checks, *common),
        holds=(*holds, *straddles, *(_stay_hold(ctx, dates, few, many) if few is not None else ())),
    )


def _line(
    course: Course,
    one: DecidedPeriod,
    code: str,
    *,
    units: int,
    checks: Sequence[Check],
    holds: tuple[Reason, ...],
) -> Determination:
    because, unmet = split(checks)
    excluded = any(True for _ in one.days.excluded_in(one.period))
    return Determination(
        code=code,
        program=course.program,
        practitioner=course.practitioner,
        period=one.period,
        service_from=one.judged_on,
        service_to=one.judged_on,
        units=units,
        diagnoses=(one.enrollment.diagnosis,) if one.enrollment.diagnosis else (),
        episode=one.enrollment.episode,
        evident=excluded or bool(one.days.dates(one.period)),
        because=because,
        unmet=unmet,
        holds=holds if units else (),
    )


def day_checks(
    ctx: Context, days: DayLedger, period: ServicePeriod, dates: tuple[date, ...], need: int, path: str, what: str
) -> tuple[Check, ...]:
    """Days counted against days needed, and which excluded readings would have closed the gap."""
    have = len(dates)
    text = f"{what} needs {need} days of readings in {period.first}..{period.last}; {have} counted"
    read = [days.days[day] for day in dates]
    evidence = tuple([ids[0] for ids in read])
    if have >= need:
        same, less = str(have), str(have - 1)
        without = {ids[0]: less if len(ids) == 1 else same for ids in read}
        return (
            Proof(
                rule=rule_id(path),
                text=text,
                citation=ctx.cite(path, period.last),
                evidence=evidence,
                have=str(have),
                need=str(need),
                unit="day",
                without=without,
            ),
        )
    below = Reason(
        reason="DAYS_BELOW_THRESHOLD",
        text=f"{text}, {need - have} short",
        citation=ctx.cite(path, period.last),
        have=str(have),
        need=str(need),
        evidence=evidence,
    )
    return (below, *_lost_days(ctx, days, period, dates, need))


def _lost_days(
    ctx: Context, days: DayLedger, period: ServicePeriod, dates: tuple[date, ...], need: int
) -> Iterator[Reason]:
    paths = {
        "MANUAL_DATA": "rpm/device_supply/automatic_reading",
        "DEVICE_NOT_QUALIFIED": "rpm/device_supply/qualified_device",
    }
    counted = set(dates)
    for reason, path in paths.items():
        lost = [one for one in days.excluded_in(period) if one.reason == reason and one.day not in counted]
        further = {one.day for one in lost}
        if further and len(counted) + len(further) >= need:
            yield Reason(
                reason=reason,
                text=f"{len(further)} further days do not count: {EXCLUSION_WORDS[reason]}",
                citation=ctx.cite(path),
                have=str(len(further)),
                evidence=tuple(one.reading for one in lost),
            )


def setup_done(ctx: Context, course: Course, enrollment: Enrollment) -> Check:
    """Set-up on record, in the enrolment or as a service already known for the episode."""
    return flag(
        ctx,
        f"{course.program}/setup/setup_done",
        met=enrollment.setup_on is not None,
        reason="CONDITIONS_NOT_MET",
        yes="device set up and patient taught",
        no="no date of set-up and teaching on record: the first device period cannot begin",
        evidence=(ctx.place_of(enrollment),),
    )


def _twin(ctx: Context, codes: SupplyCodes, dates: tuple[date, ...], days: DayLedger) -> Reason:
    return Reason(
        reason="EXCLUSIVE_CODE",
        text=f"the period has {len(dates)} days, so it belongs to {codes.many}; the two never share a period",
        citation=ctx.cite("rpm/device_supply/twin_codes"),
        evidence=tuple(days.days[day][0] for day in dates),
    )


def _holds(
    ctx: Context, codes: SupplyCodes, one: DecidedPeriod, dates: tuple[date, ...], many: int
) -> Iterator[Reason]:
    if one.ended is not None:
        code = codes.many if len(dates) >= many else codes.few
        yield Reason(
            reason="EPISODE_ENDED_EARLY",
            text=f"the episode ended on {one.ended[0]} ({one.ended[1]}), before day 30 ({one.period.last})",
            citation=ctx.cite("rpm/device_supply/ended_early"),
            question=f"Was the device supplied for the period, so that {code} may be claimed with {len(dates)} days?",
            evidence=(ctx.place_of(one.enrollment),),
        )


def _day_thirty(ctx: Context, one: DecidedPeriod) -> Iterator[Reason]:
    """A running period may still gain days: nothing is claimed before its day 30 has passed."""
    if one.ended is None and ctx.today <= one.period.last:
        yield Reason(
            reason="CONDITIONS_NOT_MET",
            text=f"day 30 of the period ({one.period.last}) has not passed",
            citation=ctx.cite("rpm/device_supply/day_thirty", one.period.last),
            question=f"Decide again after {one.period.last}: further days may change the code.",
            evidence=(ctx.place_of(one.enrollment),),
        )


def _straddle(ctx: Context, one: DecidedPeriod) -> Iterator[Reason]:
    path = "rpm/device_supply/straddle"
    since = ctx.tree.at(path, one.judged_on).since
    if one.period.first < since <= one.judged_on:
        yield Reason(
            reason="STRADDLES_RULE_CHANGE",
            text=f"the period began on {one.period.first}, before the short supply code existed ({since})",
            citation=ctx.cite(path, one.judged_on),
            question="May the short supply code be claimed for a period that began under the older rules?",
            evidence=(ctx.place_of(one.enrollment),),
        )


def _stay_hold(ctx: Context, dates: tuple[date, ...], need: int, below: int | None) -> Iterator[Reason]:
    """Readings on inpatient days are put to a person where the threshold depends on them."""
    inside = ctx.inpatient_on(dates)
    if need <= len(dates) and (below is None or len(dates) < below) and len(dates) - len(inside) < need:
        yield Reason(
            reason="INPATIENT_TIME",
            text=f"{len(inside)} of {len(dates)} days fall into an inpatient stay; without them {need} are not reached",
            citation=ctx.cite("rpm/device_supply/inpatient_days"),
            question="Do readings taken on days of the stay count? No rule was found.",
            evidence=tuple(f"stays/{place}" for place in range(len(ctx.facts.stays))),
        )


def setup_line(
    ctx: Context, course: Course, enrollment: Enrollment, *, code: str, rules: str, self_reported: bool
) -> Determination | None:
    """Set-up and teaching: decided when the floor of data days is met inside one device period."""
    service_on = enrollment.setup_on or ctx.month.last
    path = f"{rules}/setup/data_days"
    if not ctx.tree.has(path, service_on):
        return None
    floor = ctx.tree.whole(path, service_on)
    days = ctx.day_ledger(enrollment, self_reported=self_reported)
    period, reached = _floor_reached(ctx, days, floor)
    if reached is not None and not ctx.month.covers(reached):
        return _decided_elsewhere(ctx, course, enrollment, code, period, reached, service_on)
    judged = period or ctx.month
    dates = tuple(day for day in days.dates(judged) if day <= ctx.month.last)
    if reached is not None:
        dates = tuple(day for day in dates if day <= reached)
    single = alone(course, enrollment)
    checks = (
        *day_checks(ctx, days, judged, dates, floor, path, code),
        *eligibility(ctx, single, judged),
        setup_done(ctx, course, enrollment),
    )
    because, unmet = split(checks)
    return Determination(
        code=code,
        program=course.program,
        practitioner=course.practitioner,
        # Set-up is furnished by the day its floor is met: what happens later in the device period does not touch it.
        period=judged if reached is None else msgspec.structs.replace(judged, last=reached),
        service_from=service_on,
        service_to=service_on,
        units=int(reached is not None),
        diagnoses=(enrollment.diagnosis,) if enrollment.diagnosis else (),
        episode=enrollment.episode,
        evident=bool(dates) and any(ctx.month.covers(day) for day in (*days.dates(judged), judged.last)),
        because=because,
        unmet=unmet,
    )


def _floor_reached(ctx: Context, days: DayLedger, floor: int) -> tuple[ServicePeriod | None, date | None]:
    """The first period with enough days and the date on which they were enough; else the last period with any."""
    last: ServicePeriod | None = None
    for period in days.periods(ctx.month.last, length=period_length(ctx)):
        dates = days.dates(period)
        last = period if dates else last
        if len(dates) >= floor and dates[floor - 1] <= ctx.month.last:
            return period, dates[floor - 1]
    return last, None


def _decided_elsewhere(
    ctx: Context,
    course: Course,
    enrollment: Enrollment,
    code: str,
    period: ServicePeriod | None,
    reached: date,
    service_on: date,
) -> Determination:
    """The floor was met in an earlier month: that month's run decides the code."""
    reason = Reason(
        reason="ALREADY_ONCE",
        text=f"decided in the month of {reached}, when the data floor was met; once an episode",
        citation=ctx.cite(f"{course.program}/setup/once_per_episode"),
        evidence=(ctx.place_of(enrollment),),
    )
    return Determination(
        code=code,
        program=course.program,
        practitioner=course.practitioner,
        period=period or ctx.month,
        service_from=service_on,
        service_to=service_on,
        units=0,
        episode=enrollment.episode,
        evident=False,
        unmet=(reason,),
    )
