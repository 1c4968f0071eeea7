"""Management of monitored data (RPM and RTM): a first block, further blocks, or a short month; with a live talk.

Input: a monitoring course and the codes of its program. Output: a determination for each code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from server.billing.blocks import BlockCodes, Counted, block_checks, block_lines, counted, doubt, month_line
from server.billing.calendar import MICROSECONDS, microseconds, midnight
from server.billing.context import Context, Course
from server.billing.monitoring import eligibility, established_required
from server.billing.outcome import Determination, Proof, Reason, with_holds
from server.billing.requirements import Check, live_contacts, rule_id
from server.billing.time_ledger import ClosedSpan, Piece, TimeLedger


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementCodes:
    """The codes of a program's management and the folder of their parameters."""

    blocks: BlockCodes
    short: str
    rules: str


def management_lines(ctx: Context, course: Course, codes: ManagementCodes) -> Iterator[Determination]:
    """The base and its add-on, or the short month; the two bases never share a month."""
    if not ctx.tree.has(codes.blocks.first, ctx.month.last):
        return
    ledger = ctx.ledger(course, tuple(_gates(ctx, course)))
    time = counted(ledger)
    talk = _interactive(ctx, codes, ledger, (*ledger.clean, *ledger.disputed))
    common = (*eligibility(ctx, course, ctx.month), talk)
    holds = tuple(_holds(ctx, course, codes, ledger)) if ledger.rows else ()
    for found in (*block_lines(ctx, course, time, codes.blocks, common), *_short(ctx, course, codes, time, common)):
        yield with_holds(found, *holds) if holds else found


def _holds(ctx: Context, course: Course, codes: ManagementCodes, ledger: TimeLedger) -> Iterator[Reason]:
    """Questions that stand over the whole month: no data to manage, or the only talk is in dispute."""
    unmonitored = _monitored(ctx, course, codes)
    if unmonitored is not None:
        yield unmonitored
    disputed = live_contacts(ledger, ledger.disputed)
    if disputed and not live_contacts(ledger, ledger.clean):
        yield Reason(
            reason="STAFF_DOUBLE_BOOKED",
            text="the only live talk of the month was logged while the same person is booked on another patient",
            citation=ctx.cite("time/double_booked"),
            question="With which patient did this person talk? Correct one of the two entries.",
            evidence=disputed,
        )


def _short(
    ctx: Context, course: Course, codes: ManagementCodes, time: Counted, common: tuple[Check, ...]
) -> Iterator[Determination]:
    """The short month: at least its block, and less than the first block of the base."""
    path = f"{codes.rules}/short_block_seconds"
    if not ctx.tree.has(path, ctx.month.last):
        return
    need = ctx.tree.whole(path, ctx.month.last)
    short = need * MICROSECONDS
    first = ctx.tree.whole(codes.blocks.first, ctx.month.last) * MICROSECONDS
    checks: tuple[Check, ...] = block_checks(ctx, time, codes.short, path, need)
    if time.clean.total >= first:
        checks = (_twin(ctx, codes, time),)
    earned = short <= time.clean.total < first
    doubtful = time.clean.total < short <= time.everything.total < first
    yield month_line(
        ctx,
        course,
        codes.short,
        units=int(earned),
        checks=(*checks, *common),
        time=time,
        need=need,
        surplus=doubt(ctx, time, int(doubtful)),
    )


def _gates(ctx: Context, course: Course) -> Iterator[ClosedSpan]:
    """Minutes before the order and before the patient was established do not count."""
    ordered = [e.ordered_on for e in course.enrollments if e.ordered_on is not None]
    if ordered:
        yield ClosedSpan(start=-(1 << 62), end=midnight(min(ordered), ctx.zone), reason="NO_ORDER")
    since = ctx.facts.patient.established_on
    if since is not None and since > ctx.month.first and established_required(ctx, course, ctx.month.last):
        yield ClosedSpan(start=-(1 << 62), end=midnight(since, ctx.zone), reason="NOT_ESTABLISHED")


def _interactive(ctx: Context, codes: ManagementCodes, ledger: TimeLedger, pieces: tuple[Piece, ...]) -> Check:
    """At least one live talk in the month, of which a second counts."""
    path = f"{codes.rules}/interactive_contacts"
    live = live_contacts(ledger, pieces)
    need = ctx.tree.whole(path, ctx.month.last)
    if len(live) >= need:
        return Proof(
            rule=rule_id(path),
            text="live talk with patient or caregiver in the month",
            citation=ctx.cite(path),
            evidence=live,
            have=str(len(live)),
            need=str(need),
            unit="contact",
            without={entry: str(len(live) - 1) for entry in live},
        )
    return Reason(
        reason="NO_INTERACTIVE_COMM",
        text="no live two-way talk with patient or caregiver in the month; voicemail and texts do not count",
        citation=ctx.cite(path),
        have=str(len(live)),
        need=str(need),
    )


def _monitored(ctx: Context, course: Course, codes: ManagementCodes) -> Reason | None:
    """Management without any reading in the month or in a running device period is put to a person."""
    low, high = ctx.span
    if any(low <= microseconds(reading.measured_at) < high for reading, _ in ctx.readings):
        return None
    length = ctx.tree.whole("rpm/device_supply/period_days", ctx.month.last)
    for enrollment in course.enrollments:
        days = ctx.day_ledger(enrollment, self_reported=course.program == "rtm")
        for period in days.periods(ctx.month.last, length=length):
            if period.meets(ctx.month.first, ctx.month.last) and days.dates(period):
                return None
    return Reason(
        reason="NO_MONITORED_DATA",
        text="management time, but no reading in the month nor in a device period touching it",
        citation=ctx.cite(f"{codes.rules}/monitored_data"),
        question="Which monitored data did this work rest on? Release only if readings exist elsewhere in the record.",
    )


def _twin(ctx: Context, codes: ManagementCodes, time: Counted) -> Reason:
    return Reason(
        reason="EXCLUSIVE_CODE",
        text=f"the month reached the first block, so it belongs to {codes.blocks.base}; the two never share a month",
        citation=ctx.cite(f"{codes.rules}/twin_codes"),
        evidence=tuple(sorted(time.clean.by_entry)),
    )
