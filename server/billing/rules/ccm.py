"""Chronic care management in its three lanes: staff 99490/99439, complex 99487/99489, practitioner 99491/99437.

Input: one CCM course and the month. Output: a determination for each code. The billing practitioner chooses the lane;
this module checks it, falls back where the reference says so, and never looks at an amount.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from server.billing.blocks import BlockCodes, Counted, block_lines, counted
from server.billing.calendar import MICROSECONDS, microseconds
from server.billing.context import Context, Course
from server.billing.outcome import Determination, Reason, with_holds, with_unmet
from server.billing.requirements import Check, consent, flag, initiating_visit

STAFF: Final = BlockCodes(
    lane="staff",
    base="99490",
    first="ccm/clinical_staff/first_block_seconds",
    add_on="99439",
    further="ccm/clinical_staff/further_block_seconds",
)
COMPLEX: Final = BlockCodes(
    lane="complex",
    base="99487",
    first="ccm/complex/first_block_seconds",
    add_on="99489",
    further="ccm/complex/further_block_seconds",
)
PRACTITIONER: Final = BlockCodes(
    lane="practitioner",
    base="99491",
    first="ccm/practitioner/first_block_seconds",
    add_on="99437",
    further="ccm/practitioner/further_block_seconds",
)
LANES: Final = (STAFF, COMPLEX, PRACTITIONER)


def conditions(ctx: Context) -> Check:
    """Enough chronic conditions, each lasting and each a significant risk."""
    path = "ccm/eligibility/chronic_conditions"
    listed = ctx.facts.patient.conditions
    good = [place for place, c in enumerate(listed) if c.chronic_12_months and c.significant_risk]
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


def care_plan(ctx: Context, course: Course, time: Counted) -> Check:
    """A plan version approved by the billing practitioner on or before the last counted second of the month."""
    until = max((piece.end for piece in time.pieces), default=ctx.span[1])
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
        "ccm/eligibility/care_plan",
        met=bool(good),
        reason="NO_CARE_PLAN",
        yes="care plan approved",
        no="no care plan version approved by the billing practice by the last counted minute of the month",
        evidence=tuple(f"care_plans/{place}" for place in good),
    )


def decision_making(ctx: Context, course: Course) -> Check:
    """The billing practitioner attested moderate or high decision making for the month."""
    path = "ccm/complex/decision_making"
    levels = ctx.tree.words(path, ctx.month.last)
    good = [
        place
        for place, a in enumerate(ctx.facts.attestations)
        if a.kind == "complex-mdm"
        and a.level in levels
        and a.practitioner == course.practitioner
        and ctx.month.covers(a.on)
        and a.on <= ctx.zones.local_date(ctx.facts.as_of)
    ]
    return flag(
        ctx,
        path,
        met=bool(good),
        reason="MDM_NOT_MET",
        yes="moderate or high decision making attested",
        no="moderate or high decision making not attested by the billing practitioner for the month",
        evidence=tuple(f"attestations/{place}" for place in good),
    )


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """Every lane on its own merits, then the choice of one."""
    days = ctx.tree.whole("ccm/eligibility/initiating_visit_days", ctx.month.last)
    visit, gate = initiating_visit(ctx, course, "ccm/eligibility/initiating_visit_days", days=days)
    ledger = ctx.ledger(course, (gate,) if gate else ())
    everyone = counted(ledger)
    personal = counted(ledger, frozenset({course.practitioner}))
    common: tuple[Check, ...] = (
        consent(ctx, course, "ccm/eligibility/consent", ctx.month),
        conditions(ctx),
        visit,
    )
    plan = care_plan(ctx, course, everyone)
    lines = [
        *block_lines(ctx, course, everyone, STAFF, (*common, plan)),
        *block_lines(ctx, course, everyone, COMPLEX, (*common, plan, decision_making(ctx, course))),
        *block_lines(
            ctx, course, personal, PRACTITIONER, (*common, plan, *_not_staff(ctx, course, everyone, personal))
        ),
    ]
    diagnoses = tuple(c.icd10 for c in ctx.facts.patient.conditions if c.chronic_12_months and c.significant_risk)
    lines = [msgspec.structs.replace(line, diagnoses=diagnoses) for line in lines]
    yield from _one_lane(ctx, course, lines, everyone)


def _not_staff(ctx: Context, course: Course, everyone: Counted, personal: Counted) -> Iterator[Reason]:
    """Staff minutes that would have reached the practitioner's block never feed it."""
    first = (
        ctx.tree.whole(PRACTITIONER.first, ctx.month.last) if ctx.tree.has(PRACTITIONER.first, ctx.month.last) else None
    )
    if first is not None and personal.clean.total < first * MICROSECONDS <= everyone.clean.total:
        yield Reason(
            reason="WRONG_PERFORMER",
            text="staff minutes never feed the practitioner's own codes",
            citation=ctx.cite("time/practitioner_only"),
            evidence=tuple(sorted({p.entry for p in everyone.pieces if p.performer != course.practitioner})),
        )


def _designated(ctx: Context, course: Course) -> str | None:
    lanes = {d.lane for d in ctx.facts.designations if d.program == "ccm" and d.practitioner == course.practitioner}
    lanes.discard(None)
    return next(iter(lanes)) if len(lanes) == 1 else None


def _one_lane(ctx: Context, course: Course, lines: list[Determination], everyone: Counted) -> Iterator[Determination]:
    """One lane a month. What was designated stands if it is met; complex falls back to the staff lane."""
    met = {line.lane for line in lines if line.earned and not ctx.codes[line.code].bases}
    wanted = _designated(ctx, course)
    chosen: str | None
    if wanted in met:
        chosen = wanted
    elif wanted == "practitioner":
        chosen = None
    elif wanted is not None:
        chosen = "staff"
    elif "complex" in met:
        chosen = "complex"
    elif "practitioner" in met and _staff_reached(ctx, course, everyone):
        chosen = None
    else:
        chosen = "practitioner" if "practitioner" in met else "staff"
    for line in lines:
        if chosen is None:
            yield with_holds(line, _undecided(ctx, course, wanted)) if line.earned else line
        elif line.lane != chosen and chosen in met:
            yield with_unmet(line, _other_lane(ctx, chosen))
        else:
            yield line


def _staff_reached(ctx: Context, course: Course, everyone: Counted) -> bool:
    """Whether staff alone, without the practitioner's minutes, reach the staff lane."""
    staff = counted(everyone.ledger, frozenset(p.performer for p in everyone.pieces) - {course.practitioner})
    return staff.clean.total >= ctx.tree.whole(STAFF.first, ctx.month.last) * MICROSECONDS


def _other_lane(ctx: Context, chosen: str) -> Reason:
    return Reason(
        reason="EXCLUSIVE_CODE",
        text=f"the month goes to the {chosen} lane; one lane of chronic care management a month",
        citation=ctx.cite("ccm/lanes/exclusive"),
    )


def _undecided(ctx: Context, course: Course, wanted: str | None) -> Reason:
    said = (
        f"the {wanted} lane was designated and is not met"
        if wanted
        else "more than one lane is met and none designated"
    )
    return Reason(
        reason="LANE_NOT_DESIGNATED",
        text=said,
        citation=ctx.cite("ccm/lanes/designation"),
        question=f"Which lane does {course.practitioner} designate for the month: staff or practitioner?",
    )
