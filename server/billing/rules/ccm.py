"""Chronic care management in its three lanes: staff 99490/99439, complex 99487/99489, practitioner 99491/99437.

Input: one CCM course and the month. Output: a determination for each code. The billing practitioner chooses the lane;
this module checks it, falls back where the reference says so, and never looks at an amount.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from server.billing.blocks import BlockCodes, block_lines, counted
from server.billing.context import Context, Course
from server.billing.eligibility import care_plan, conditions, qualifying_conditions
from server.billing.lanes import Lanes, not_staff, one_lane
from server.billing.outcome import Determination
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
LANES: Final = Lanes(program="ccm", staff=STAFF, complex=COMPLEX, practitioner=PRACTITIONER)


def decision_making(ctx: Context, course: Course) -> Iterator[Check]:
    """The billing practitioner attested moderate or high decision making for the month."""
    path = "ccm/complex/decision_making"
    if not ctx.tree.has(path, ctx.month.last):
        return
    levels = ctx.tree.words(path, ctx.month.last)
    good = [
        place
        for place, a in enumerate(ctx.facts.attestations)
        if a.kind == "complex-mdm"
        and a.level in levels
        and a.practitioner == course.practitioner
        and ctx.month.covers(a.on)
        and a.on <= ctx.today
    ]
    yield flag(
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
        conditions(ctx, "ccm/eligibility/chronic_conditions"),
        visit,
    )
    plan = care_plan(ctx, course, everyone.pieces)
    lines = [
        *block_lines(ctx, course, everyone, STAFF, (*common, plan)),
        *block_lines(ctx, course, everyone, COMPLEX, (*common, plan, *decision_making(ctx, course))),
        *block_lines(
            ctx,
            course,
            personal,
            PRACTITIONER,
            (*common, plan, *not_staff(ctx, course, PRACTITIONER, everyone, personal)),
        ),
    ]
    diagnoses = tuple(ctx.facts.patient.conditions[place].icd10 for place in qualifying_conditions(ctx))
    lines = [msgspec.structs.replace(line, diagnoses=diagnoses) for line in lines]
    yield from one_lane(ctx, course, LANES, lines, everyone)
