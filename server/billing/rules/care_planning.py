"""Extra assessment and care planning at the start of chronic care management: G0506.

Input: one CCM course and the month. Output: a determination for each attested day, and for an offered line.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from server.billing.calendar import ServicePeriod
from server.billing.context import Context, Course
from server.billing.outcome import Determination
from server.billing.requirements import Check, flag, split

CODE = "G0506"


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """Added to the initiating visit, on its date, by the billing practitioner."""
    attested = {
        a.on
        for a in ctx.facts.attestations
        if a.kind == "extra-care-planning"
        and a.practitioner == course.practitioner
        and a.on <= ctx.zones.local_date(ctx.facts.as_of)
    }
    offered = {p.on for p in ctx.facts.proposals if p.code == CODE and p.on is not None}
    for day in sorted(day for day in attested | offered if ctx.month.covers(day)):
        if ctx.codes[CODE].in_force(day):
            yield _line(ctx, course, day, attested=day in attested)


def _line(ctx: Context, course: Course, day: date, *, attested: bool) -> Determination:
    checks: tuple[Check, ...] = (
        flag(
            ctx,
            "care-planning/eligibility/attestation",
            met=attested,
            reason="CONDITIONS_NOT_MET",
            yes="extra assessment and planning attested",
            no=f"no attestation of extra planning by {course.practitioner} on {day}",
            evidence=tuple(
                f"attestations/{place}"
                for place, a in enumerate(ctx.facts.attestations)
                if a.kind == "extra-care-planning" and a.on == day and a.practitioner == course.practitioner
            ),
        ),
        _visit(ctx, course, day),
    )
    because, unmet = split(checks)
    return Determination(
        code=CODE,
        program=course.program,
        practitioner=course.practitioner,
        period=ServicePeriod(first=day, last=day, kind="day"),
        service_from=day,
        service_to=day,
        units=1,
        because=because,
        unmet=unmet,
    )


def _visit(ctx: Context, course: Course, day: date) -> Check:
    """A visit of the billing practitioner that day, at which care management began."""
    visits = ctx.visits_by(course.practitioner)
    year = timedelta(days=ctx.tree.whole("ccm/eligibility/initiating_visit_days", day))
    begins = course.first_on
    seen_before = any(begins - year <= on <= begins and on != day for _, _, on in visits)
    initiating = day <= begins or not seen_before
    that_day = tuple(f"visits/{place}" for place, visit, on in visits if on == day and "ccm" in visit.discussed)
    return flag(
        ctx,
        "care-planning/eligibility/visit",
        met=bool(that_day) and initiating,
        reason="ADDON_WITHOUT_BASE",
        yes="added to the initiating visit",
        no=f"no initiating visit of {course.practitioner} on {day} at which care management was discussed",
        evidence=that_day,
    )
