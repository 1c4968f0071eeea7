"""One lane of care management a month: staff, complex or the practitioner's own time.

Input: the determinations of all lanes, each on its own merits, and what was designated. Output: the same with the lanes
that give way refused, or with the question of which lane it is. No amount is looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from server.billing.blocks import BlockCodes, Counted, counted
from server.billing.calendar import MICROSECONDS
from server.billing.context import Context, Course
from server.billing.outcome import Determination, Reason, with_holds, with_unmet


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """The lanes of a program."""

    program: str
    staff: BlockCodes
    practitioner: BlockCodes
    complex: BlockCodes | None = None


def designated(ctx: Context, course: Course) -> str | None:
    """The lane that this practitioner designated; two different ones are none."""
    lanes = {
        d.lane
        for d in ctx.facts.designations
        if d.program == course.program and d.practitioner == course.practitioner and d.lane is not None
    }
    return next(iter(lanes)) if len(lanes) == 1 else None


def not_staff(ctx: Context, course: Course, own: BlockCodes, everyone: Counted, personal: Counted) -> Iterator[Reason]:
    """Staff minutes that would have reached the practitioner's block never feed it."""
    if not ctx.tree.has(own.first, ctx.month.last):
        return
    first = ctx.tree.whole(own.first, ctx.month.last) * MICROSECONDS
    if personal.clean.total < first <= everyone.clean.total:
        yield Reason(
            reason="WRONG_PERFORMER",
            text="staff minutes never feed the practitioner's own codes",
            citation=ctx.cite("time/practitioner_only"),
            evidence=tuple(sorted({p.entry for p in everyone.pieces if p.performer != course.practitioner})),
        )


def one_lane(
    ctx: Context, course: Course, lanes: Lanes, lines: Sequence[Determination], everyone: Counted
) -> Iterator[Determination]:
    """What was designated stands if it is met; complex falls back to the staff lane; a tie is a question."""
    met = {line.lane for line in lines if line.earned and not ctx.codes[line.code].bases}
    wanted = designated(ctx, course)
    chosen = _choice(ctx, course, lanes, met, wanted, everyone)
    for line in lines:
        if chosen is None:
            yield with_holds(line, _undecided(ctx, course, wanted)) if line.earned else line
        elif line.lane != chosen and chosen in met:
            yield with_unmet(line, _other_lane(ctx, course, chosen))
        else:
            yield line


def _choice(
    ctx: Context, course: Course, lanes: Lanes, met: set[str | None], wanted: str | None, everyone: Counted
) -> str | None:
    if wanted in met:
        return wanted
    if wanted == "practitioner":
        return None
    if wanted is not None:
        return "staff"
    if "complex" in met:
        return "complex"
    if "practitioner" in met:
        return None if _staff_reached(ctx, course, lanes, everyone) else "practitioner"
    return "staff"


def _staff_reached(ctx: Context, course: Course, lanes: Lanes, everyone: Counted) -> bool:
    """Whether staff alone, without the practitioner's minutes, reach the staff lane."""
    staff = counted(everyone.ledger, frozenset(p.performer for p in everyone.pieces) - {course.practitioner})
    return staff.clean.total >= ctx.tree.whole(lanes.staff.first, ctx.month.last) * MICROSECONDS


def _other_lane(ctx: Context, course: Course, chosen: str) -> Reason:
    return Reason(
        reason="EXCLUSIVE_CODE",
        text=f"the month goes to the {chosen} lane; one lane of {course.program} a month",
        citation=ctx.cite(f"{course.program}/lanes/exclusive"),
    )


def _undecided(ctx: Context, course: Course, wanted: str | None) -> Reason:
    said = f"the {wanted} lane was designated and is not met" if wanted else "two lanes are met and none is designated"
    return Reason(
        reason="LANE_NOT_DESIGNATED",
        text=said,
        citation=ctx.cite(f"{course.program}/lanes/designation"),
        question=f"Which lane does {course.practitioner} designate for the month: staff or practitioner?",
    )
