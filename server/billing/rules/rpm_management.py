"""RPM treatment management: 99470, 99457, 99458.

Input: one RPM course and the month. Output: a determination for each code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from server.billing.blocks import BlockCodes, Counted, block_checks, block_lines, counted, doubt, month_line
from server.billing.calendar import MICROSECONDS, microseconds, midnight
from server.billing.context import Context, Course
from server.billing.monitoring import eligibility
from server.billing.outcome import Determination, Proof, Reason, with_holds
from server.billing.requirements import Check, live_contacts
from server.billing.time_ledger import ClosedSpan, Piece, Tally, TimeLedger

SHORT: Final = "rpm/management/short_block_seconds"
CODES: Final = BlockCodes(
    base="99457",
    first="rpm/management/first_block_seconds",
    add_on="99458",
    further="rpm/management/further_block_seconds",
)


def gates(ctx: Context, course: Course) -> tuple[ClosedSpan, ...]:
    """Minutes before the order and before the patient was established do not count."""
    closed = []
    ordered = [e.ordered_on for e in course.enrollments if e.ordered_on is not None]
    if ordered:
        closed.append(ClosedSpan(start=-(1 << 62), end=midnight(min(ordered), ctx.zone), reason="NO_ORDER"))
    since = ctx.facts.patient.established_on
    if since is not None and since > ctx.month.first:
        closed.append(ClosedSpan(start=-(1 << 62), end=midnight(since, ctx.zone), reason="NOT_ESTABLISHED"))
    return tuple(closed)


def interactive(ctx: Context, ledger: TimeLedger, pieces: tuple[Piece, ...]) -> Check:
    """At least one live talk in the month, of which a second counts."""
    path = "rpm/management/interactive_contacts"
    live = live_contacts(ledger, pieces)
    need = ctx.tree.whole(path, ctx.month.last)
    if len(live) >= need:
        without = {entry: str(len(live) - 1) for entry in live}
        return Proof(
            rule="rpm.management.interactive_contacts",
            text="live talk with patient or caregiver in the month",
            citation=ctx.cite(path),
            evidence=live,
            have=str(len(live)),
            need=str(need),
            unit="contact",
            without=without,
        )
    return Reason(
        reason="NO_INTERACTIVE_COMM",
        text="no live two-way talk with patient or caregiver in the month; voicemail and texts do not count",
        citation=ctx.cite(path),
        have=str(len(live)),
        need=str(need),
    )


def monitored(ctx: Context, course: Course) -> Reason | None:
    """Management without any reading in the month or in a running device period is put to a person."""
    low, high = ctx.span
    if any(low <= microseconds(reading.measured_at) < high for reading, _ in ctx.readings):
        return None
    length = ctx.tree.whole("rpm/device_supply/period_days", ctx.month.last)
    for enrollment in course.enrollments:
        days = ctx.day_ledger(enrollment)
        for period in days.periods(ctx.month.last, length=length):
            if period.meets(ctx.month.first, ctx.month.last) and days.dates(period):
                return None
    return Reason(
        reason="NO_MONITORED_DATA",
        text="management time, but no reading in the month nor in a device period touching it",
        citation=ctx.cite("rpm/management/monitored_data"),
        question="Which monitored data did this work rest on? Release only if readings exist elsewhere in the record.",
    )


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """99457 and 99458, or 99470; the two bases never share a month."""
    if not any(ctx.codes[code].in_force(ctx.month.last) for code in ("99457", "99470")):
        return
    ledger = ctx.ledger(course, gates(ctx, course))
    time = counted(ledger)
    common = (*eligibility(ctx, course, ctx.month), interactive(ctx, ledger, (*ledger.clean, *ledger.disputed)))
    hold = monitored(ctx, course) if ledger.rows else None
    for found in (*block_lines(ctx, course, time, CODES, common), *_short_month(ctx, course, time, common)):
        yield with_holds(found, hold) if hold else found


def _short_month(ctx: Context, course: Course, time: Counted, common: tuple[Check, ...]) -> Iterator[Determination]:
    """99470: at least its block, and less than the first block of 99457."""
    if not ctx.tree.has(SHORT, ctx.month.last):
        return
    short = ctx.tree.whole(SHORT, ctx.month.last) * MICROSECONDS
    first = ctx.tree.whole(CODES.first, ctx.month.last) * MICROSECONDS
    checks: tuple[Check, ...] = block_checks(ctx, time, "99470", SHORT, short // MICROSECONDS)
    if time.clean.total >= first:
        checks = (_twin(ctx, time.clean),)
    earned = short <= time.clean.total < first
    doubtful = time.clean.total < short <= time.everything.total < first
    yield msgspec.structs.replace(
        month_line(
            ctx, course, "99470", units=int(earned), checks=(*checks, *common), time=time, need=short // MICROSECONDS
        ),
        surplus=doubt(ctx, time, int(doubtful)),
    )


def _twin(ctx: Context, reached: Tally) -> Reason:
    return Reason(
        reason="EXCLUSIVE_CODE",
        text="the month reached the first 20 minutes, so it belongs to 99457; the two never share a month",
        citation=ctx.cite("rpm/management/twin_codes"),
        evidence=tuple(sorted(reached.by_entry)),
    )
