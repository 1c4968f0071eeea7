"""Behavioral integration (99484, G0570) and collaborative care (99492-99494, G2214, G0568, G0569).

Input: one BHI or CoCM course and the month. Output: a determination for each code. Beside advanced primary care the
add-ons without minutes take the place of the timed codes from 2026 on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from server.billing.blocks import BlockCodes, Counted, block_checks, block_lines, counted, month_line
from server.billing.calendar import MICROSECONDS
from server.billing.context import Context, Course
from server.billing.outcome import Determination, Proof, Reason, with_holds, with_unmet
from server.billing.requirements import Check, consent, initiating_visit, rule_id, split

BHI: Final = BlockCodes(base="99484", first="bhi/clinical_staff/first_block_seconds")
FIRST_MONTH: Final = BlockCodes(
    base="99492", first="cocm/first_month/first_block_seconds", add_on="99494", further="cocm/further_block_seconds"
)
LATER_MONTH: Final = BlockCodes(
    base="99493", first="cocm/later_month/first_block_seconds", add_on="99494", further="cocm/further_block_seconds"
)
_SHORT: Final = "cocm/short_month/first_block_seconds"


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """The timed codes, and the add-on where the course runs under advanced primary care."""
    path = f"{course.program}/eligibility/initiating_visit_days"
    if not ctx.running(course) or not ctx.tree.has(path, ctx.month.last):
        return
    visit, gate = initiating_visit(ctx, course, path, days=ctx.tree.whole(path, ctx.month.last))
    time = counted(ctx.ledger(course, (gate,) if gate else ()))
    common: tuple[Check, ...] = (consent(ctx, course, f"{course.program}/eligibility/consent", ctx.month), visit)
    first_month = _first_month(ctx, course)
    timed = list(_timed(ctx, course, time, common, first_month=first_month))
    add_on = _add_on(ctx, course, common, first_month=first_month)
    if add_on is None:
        beside = _beside_primary_care(ctx, course)
        yield from (with_holds(line, beside) if beside and line.earned else line for line in timed)
        return
    yield add_on
    yield from (with_unmet(line, _replaced(ctx, course, add_on.code)) for line in timed)


def _first_month(ctx: Context, course: Course) -> bool:
    """The month in which the episode began, unless an earlier first month is known."""
    begun = max(e.from_ for e in course.enrollments if ctx.month.meets(e.from_, e.to))
    known = any(
        s.code in {"99492", "G0568"} and s.status != "denied" and s.to < ctx.month.first for s in ctx.facts.services
    )
    return ctx.month.covers(begun) and not known


def _timed(
    ctx: Context, course: Course, time: Counted, common: tuple[Check, ...], *, first_month: bool
) -> Iterator[Determination]:
    if course.program == "bhi":
        yield from block_lines(ctx, course, time, BHI, common)
        return
    lines = list(block_lines(ctx, course, time, FIRST_MONTH if first_month else LATER_MONTH, common))
    yield from lines
    if ctx.tree.has(_SHORT, ctx.month.last):
        yield _short_month(ctx, course, time, common, full=any(line.units for line in lines), base=lines[0].code)


def _short_month(
    ctx: Context, course: Course, time: Counted, common: tuple[Check, ...], *, full: bool, base: str
) -> Determination:
    need = ctx.tree.whole(_SHORT, ctx.month.last)
    checks: tuple[Check, ...] = block_checks(ctx, time, "G2214", _SHORT, need)
    if full:
        reason = Reason(
            reason="EXCLUSIVE_CODE",
            text=f"the month reached {base}; one code of collaborative care a month",
            citation=ctx.cite("cocm/short_month/exclusive"),
        )
        checks = (reason,)
    reached = time.clean.total >= need * MICROSECONDS and not full
    return month_line(ctx, course, "G2214", units=int(reached), checks=(*checks, *common), time=time, need=need)


def _add_on(ctx: Context, course: Course, common: tuple[Check, ...], *, first_month: bool) -> Determination | None:
    """The add-on to advanced primary care, where the enrolment says so and the date has come."""
    path = f"{course.program}/apcm/add_on"
    under = any(e.under == "apcm" and ctx.month.meets(e.from_, e.to) for e in course.enrollments)
    if not under or not ctx.tree.has(path, ctx.month.last) or ctx.tree.at(path, ctx.month.last).value is not True:
        return None
    code = "G0570" if course.program == "bhi" else "G0568" if first_month else "G0569"
    service = Proof(
        rule=rule_id(path),
        text="furnished beside advanced primary care, without a count of minutes",
        citation=ctx.cite(path),
        evidence=tuple(ctx.place_of(e) for e in course.enrollments if e.under == "apcm"),
    )
    because, unmet = split((service, *common))
    return Determination(
        code=code,
        program=course.program,
        practitioner=course.practitioner,
        period=ctx.month,
        service_from=ctx.month.last,
        service_to=ctx.month.last,
        units=1,
        diagnoses=course.diagnosis,
        because=because,
        unmet=unmet,
    )


def _replaced(ctx: Context, course: Course, add_on: str) -> Reason:
    return Reason(
        reason="EXCLUSIVE_CODE",
        text=f"beside advanced primary care the month goes to {add_on}; never both",
        citation=ctx.cite(f"{course.program}/apcm/add_on"),
    )


def _beside_primary_care(ctx: Context, course: Course) -> Reason | None:
    """Timed codes beside the same practitioner's advanced primary care, although the add-on exists."""
    path = f"{course.program}/apcm/add_on"
    if not ctx.tree.has(path, ctx.month.last) or ctx.tree.at(path, ctx.month.last).value is not True:
        return None
    beside = any(
        other.program == "apcm" and ctx.running(other) and ctx.same_group(other.practitioner, course.practitioner)
        for other in ctx.courses
    )
    if not beside:
        return None
    return Reason(
        reason="EXCLUSIVE_CODE",
        text="the patient has advanced primary care with the same practice: an add-on without minutes exists for it",
        citation=ctx.cite(path),
        question="Is the service furnished under advanced primary care? Then enrol it so.",
    )
