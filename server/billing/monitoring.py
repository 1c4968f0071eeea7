"""What every remote-monitoring code asks: an order, consent, an established patient.

Input: one RPM (or RTM) course and a period. Output: proofs and reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from server.billing.calendar import ServicePeriod
from server.billing.context import Context, Course
from server.billing.requirements import Check, consent, flag


def eligibility(ctx: Context, course: Course, period: ServicePeriod) -> Iterator[Check]:
    """Order, consent and an established patient, for the period."""
    ordered = [e for e in course.enrollments if e.ordered_on is not None and e.ordered_on <= period.last]
    yield flag(
        ctx,
        f"{course.program}/eligibility/order",
        met=bool(ordered),
        reason="NO_ORDER",
        yes="monitoring ordered",
        no="no order for monitoring on record",
        evidence=tuple(ctx.place_of(e) for e in ordered),
    )
    yield consent(ctx, course, f"{course.program}/eligibility/consent", period)
    yield established(ctx, course, period.first if period.kind == "thirty-day" else period.last)


def established_required(ctx: Context, course: Course, day: date) -> bool:
    """Whether the patient must be established on the day; a course begun under the waiver is grandfathered."""
    path = f"{course.program}/eligibility/established_patient"
    began = max(course.first_on, date(2019, 1, 1))
    return ctx.tree.at(path, day).value is True and ctx.tree.at(path, began).value is True


def established(ctx: Context, course: Course, day: date) -> Check:
    """An established patient on the day, where that is required."""
    since = ctx.facts.patient.established_on
    return flag(
        ctx,
        f"{course.program}/eligibility/established_patient",
        met=not established_required(ctx, course, day) or (since is not None and since <= day),
        reason="NOT_ESTABLISHED",
        yes="established patient",
        no="no visit with the practice on record: the patient is not established",
        evidence=("patient",),
        day=day,
    )
