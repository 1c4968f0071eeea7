"""Codes earned by blocks of time: a first block, then whole further blocks.

Input: a time ledger, the codes and the parameters of their blocks. Output: one determination a code. The arithmetic is
the same in every program; what else a program asks is handed in as checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from server.billing.calendar import MICROSECONDS
from server.billing.context import Context, Course
from server.billing.outcome import Determination, Reason, Surplus
from server.billing.requirements import Check, lost_time, month_service_dates, split, time_block
from server.billing.time_ledger import DISPUTED, Piece, Tally, TimeLedger, tally


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCodes:
    """A base code and its add-on with the parameters that say how long their blocks are."""

    base: str
    first: str
    add_on: str | None = None
    further: str | None = None
    lane: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The seconds a set of codes may use: what stands, and what would stand if no booking were in dispute."""

    ledger: TimeLedger
    pieces: tuple[Piece, ...]
    clean: Tally
    everything: Tally


def counted(ledger: TimeLedger, performers: frozenset[str] | None = None) -> Counted:
    """All seconds of the ledger, or those of some performers alone."""
    clean, disputed = ledger.clean, ledger.disputed
    if performers is None:
        union = ledger.union
    else:
        clean = tuple(piece for piece in clean if piece.performer in performers)
        disputed = tuple(piece for piece in disputed if piece.performer in performers)
        union = tally(clean)
    return Counted(
        ledger=ledger, pieces=clean, clean=union, everything=tally((*clean, *disputed)) if disputed else union
    )


def month_line(
    ctx: Context,
    course: Course,
    code: str,
    *,
    units: int,
    checks: tuple[Check, ...],
    time: Counted,
    need: int,
    lane: str | None = None,
    surplus: tuple[Surplus, ...] = (),
) -> Determination:
    """A determination of a calendar-month code."""
    because, unmet = split(checks)
    start, end = month_service_dates(ctx, time.pieces, need)
    return Determination(
        code=code,
        program=course.program,
        practitioner=course.practitioner,
        period=ctx.month,
        service_from=start,
        service_to=end,
        units=units,
        lane=lane,
        diagnoses=course.diagnosis,
        evident=bool(time.ledger.rows),
        because=because,
        unmet=unmet,
        surplus=surplus,
    )


def block_checks(ctx: Context, time: Counted, what: str, path: str, need: int) -> tuple[Check, ...]:
    """Time against need, and which excluded seconds would have closed the gap."""
    return (
        time_block(ctx, path, need=need, counted=time.clean, what=what),
        *lost_time(ctx, time.ledger, need=need, have=time.clean.total),
    )


def doubt(ctx: Context, time: Counted, units: int) -> tuple[Surplus, ...]:
    """Units that only disputed seconds would earn are held."""
    if units <= 0:
        return ()
    reason = Reason(
        reason=DISPUTED,
        text="rests on seconds for which the same person is booked on another patient",
        citation=ctx.cite("time/double_booked"),
        question="For which patient did this person work at that moment? Correct one of the two entries.",
        evidence=time.ledger.evidence(DISPUTED),
    )
    return (Surplus(units=units, held=True, reason=reason),)


def block_lines(
    ctx: Context, course: Course, time: Counted, codes: BlockCodes, common: tuple[Check, ...]
) -> Iterator[Determination]:
    """The base code and its add-on. Codes not in force in the month come back bare; the caller's gate refuses them."""
    day = ctx.month.last
    if not ctx.tree.has(codes.first, day):
        return
    first = ctx.tree.whole(codes.first, day)
    reached = int(time.clean.total >= first * MICROSECONDS)
    yield month_line(
        ctx,
        course,
        codes.base,
        units=reached,
        checks=(*block_checks(ctx, time, codes.base, codes.first, first), *common),
        time=time,
        need=first,
        lane=codes.lane,
        surplus=doubt(ctx, time, int(time.everything.total >= first * MICROSECONDS) - reached),
    )
    if codes.add_on is None or codes.further is None or not ctx.tree.has(codes.further, day):
        return
    further = ctx.tree.whole(codes.further, day)
    units = further_units(time.clean, first, further)
    checks = block_checks(
        ctx, time, f"{codes.add_on} x {max(units, 1)}", codes.further, first + further * max(units, 1)
    )
    if not reached:
        checks = (*checks, no_base(ctx, codes.add_on, codes.base))
    yield month_line(
        ctx,
        course,
        codes.add_on,
        units=units,
        checks=(*checks, *common),
        time=time,
        need=first,
        lane=codes.lane,
        surplus=doubt(ctx, time, further_units(time.everything, first, further) - units),
    )


def further_units(total: Tally, first: int, further: int) -> int:
    """Whole further blocks beyond the first; a part of a block is lost."""
    return max((total.total - first * MICROSECONDS) // (further * MICROSECONDS), 0)


def no_base(ctx: Context, add_on: str, base: str) -> Reason:
    return Reason(
        reason="ADDON_WITHOUT_BASE",
        text=f"{add_on} stands on {base}, which is not reached",
        citation=ctx.cite("units/add_on_base"),
    )
