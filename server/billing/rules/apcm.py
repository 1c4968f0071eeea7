"""Advanced primary care management: G0556, G0557, G0558, one level a month, without minutes.

Input: one APCM course and the month. Output: a determination for each level.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from server.billing.context import Context, Course
from server.billing.eligibility import qualifying_conditions
from server.billing.outcome import Determination, Proof, Reason
from server.billing.requirements import Check, consent, flag, rule_id, split

LEVELS: Final = ("G0556", "G0557", "G0558")


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """The level that conditions and beneficiary status give; the other levels are answered when offered."""
    if not ctx.running(course) or not ctx.codes["G0556"].in_force(ctx.month.last):
        return
    good = qualifying_conditions(ctx)
    need = ctx.tree.whole("apcm/level/chronic_conditions", ctx.month.last)
    poor = ctx.facts.patient.qualified_medicare_beneficiary
    level = LEVELS[0] if len(good) < need else LEVELS[2] if poor else LEVELS[1]
    common = (
        consent(ctx, course, "apcm/eligibility/consent", ctx.month),
        _known_to_group(ctx, course),
        flag(
            ctx,
            "apcm/level/chronic_conditions",
            met=True,
            reason="CONDITIONS_NOT_MET",
            yes=f"{len(good)} chronic conditions with significant risk, {'' if poor else 'not '}a QMB",
            no="",
            evidence=(
                *(f"enrollments/{ctx.facts.enrollments.index(e)}" for e in course.enrollments),
                *(f"patient/conditions/{p}" for p in good),
            ),
        ),
    )
    for code in LEVELS:
        checks: tuple[Check, ...] = common if code == level else (*common, _other_level(ctx, level))
        because, unmet = split(checks)
        yield Determination(
            code=code,
            program=course.program,
            practitioner=course.practitioner,
            period=ctx.month,
            service_from=ctx.month.last,
            service_to=ctx.month.last,
            units=int(code == level),
            diagnoses=tuple(ctx.facts.patient.conditions[place].icd10 for place in good),
            evident=code == level,
            because=because,
            unmet=unmet,
        )


def _other_level(ctx: Context, level: str) -> Reason:
    return Reason(
        reason="EXCLUSIVE_CODE",
        text=f"conditions and beneficiary status give {level}; one level a month",
        citation=ctx.cite("apcm/level/exclusive"),
    )


def _known_to_group(ctx: Context, course: Course) -> Check:
    """An initiating visit is needed only for a patient new to the group."""
    path = "apcm/eligibility/initiating_visit_days"
    start = course.first_on
    since = start - timedelta(days=ctx.tree.whole(path, ctx.month.last))
    visits = [
        (place, visit, on)
        for practitioner in ctx.practitioners
        if ctx.same_group(practitioner, course.practitioner)
        for place, visit, on in ctx.visits_by(practitioner)
    ]
    seen = tuple(f"visits/{place}" for place, _, on in visits if since <= on <= start)
    begun = ctx.facts.patient.established_on
    if begun is not None and since <= begun <= start:
        seen = (*seen, "patient")
    held = tuple(
        f"visits/{place}" for place, visit, on in visits if "apcm" in visit.discussed and start < on <= ctx.month.last
    )
    if seen or held:
        text = "known to the group" if seen else "initiating visit held"
        return Proof(rule=rule_id(path), text=text, citation=ctx.cite(path), evidence=seen or held)
    return Reason(
        reason="NO_INITIATING_VISIT",
        text="the patient is new to the group and no initiating visit is on record",
        citation=ctx.cite(path),
    )
