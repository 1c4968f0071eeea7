"""Conditions and care plans: what care-management programs ask of the patient and of the plan.

Input: the context, a course, the counted time. Output: proofs and reasons.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from server.billing.calendar import microseconds
from server.billing.context import Context, Course
from server.billing.requirements import Check, flag
from server.billing.time_ledger import Piece


def qualifying_conditions(ctx: Context) -> tuple[int, ...]:
    """Places of the chronic conditions that last and carry significant risk."""
    listed = ctx.facts.patient.conditions
    return tuple(place for place, c in enumerate(listed) if c.chronic_12_months and c.significant_risk)


def conditions(ctx: Context, path: str, *, named: frozenset[str] = frozenset()) -> Check:
    """Enough chronic conditions, each lasting and each a significant risk."""
    listed = ctx.facts.patient.conditions
    good = [place for place in qualifying_conditions(ctx) if not named or listed[place].icd10 in named]
    need = ctx.tree.whole(path, ctx.month.last)
    found = flag(
        ctx,
        path,
        met=len(good) >= need,
        reason="CONDITIONS_NOT_MET",
        yes=f"{len(good)} chronic conditions with significant risk",
        no=f"{len(good)} of {len(listed)} conditions last 12 months and carry significant risk; {need} are needed",
        evidence=tuple(f"patient/conditions/{place}" for place in good),
    )
    return msgspec.structs.replace(found, have=str(len(good)), need=str(need))


def care_plan(ctx: Context, course: Course, pieces: Sequence[Piece]) -> Check:
    """A plan version approved by the billing practitioner on or before the last counted second of the month."""
    until = max((piece.end for piece in pieces), default=ctx.span[1])
    good = [
        place
        for place, plan in enumerate(ctx.facts.care_plans)
        if plan.program == course.program
        and plan.approved_at is not None
        and plan.approved_at <= ctx.facts.as_of
        and microseconds(plan.approved_at) <= until
        and ctx.same_group(plan.approved_by, course.practitioner)
    ]
    return flag(
        ctx,
        f"{course.program}/eligibility/care_plan",
        met=bool(good),
        reason="NO_CARE_PLAN",
        yes="care plan approved",
        no="no care plan version approved by the billing practice by the last counted minute of the month",
        evidence=tuple(f"care_plans/{place}" for place in good),
    )
