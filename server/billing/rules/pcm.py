"""Principal care management in its two lanes: staff 99426/99427, practitioner 99424/99425.

Input: one PCM course and the month. Output: a determination for each code.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from server.billing.blocks import BlockCodes, block_lines, counted
from server.billing.context import Context, Course
from server.billing.eligibility import care_plan, conditions
from server.billing.lanes import Lanes, not_staff, one_lane
from server.billing.outcome import Determination, Reason
from server.billing.requirements import Check, consent, initiating_visit

STAFF: Final = BlockCodes(
    lane="staff",
    base="99426",
    first="pcm/clinical_staff/first_block_seconds",
    add_on="99427",
    further="pcm/clinical_staff/further_block_seconds",
)
PRACTITIONER: Final = BlockCodes(
    lane="practitioner",
    base="99424",
    first="pcm/practitioner/first_block_seconds",
    add_on="99425",
    further="pcm/practitioner/further_block_seconds",
)
LANES: Final = Lanes(program="pcm", staff=STAFF, practitioner=PRACTITIONER)
_VISIT: Final = "pcm/eligibility/initiating_visit_days"


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """Both lanes on their own merits, then the choice of one."""
    if not ctx.tree.has(STAFF.first, ctx.month.last):
        return
    visit, gate = initiating_visit(ctx, course, _VISIT, days=ctx.tree.whole(_VISIT, ctx.month.last))
    ledger = ctx.ledger(course, (gate,) if gate else ())
    everyone = counted(ledger)
    personal = counted(ledger, frozenset({course.practitioner}))
    common: tuple[Check, ...] = (
        consent(ctx, course, "pcm/eligibility/consent", ctx.month),
        conditions(ctx, "pcm/eligibility/chronic_conditions", named=frozenset(course.diagnosis)),
        visit,
        *_visit_of_the_year(ctx, course),
        care_plan(ctx, course, everyone.pieces),
    )
    lines = [
        *block_lines(ctx, course, everyone, STAFF, common),
        *block_lines(
            ctx, course, personal, PRACTITIONER, (*common, *not_staff(ctx, course, PRACTITIONER, everyone, personal))
        ),
    ]
    yield from one_lane(ctx, course, LANES, lines, everyone)


def _visit_of_the_year(ctx: Context, course: Course) -> Iterator[Reason]:
    """A course older than a year needs the patient to have been seen again."""
    days = timedelta(days=ctx.tree.whole(_VISIT, ctx.month.last))
    if course.first_on > ctx.month.first - days:
        return
    if not any(ctx.month.first - days <= on <= ctx.month.last for _, _, on in ctx.visits_by(course.practitioner)):
        yield Reason(
            reason="NO_INITIATING_VISIT",
            text=f"no visit with {course.practitioner} within {days.days} days before the month",
            citation=ctx.cite(_VISIT),
        )
