"""Care plan oversight by the practitioner: G0181 (home health), G0182 (hospice).

Input: one oversight course and the month. Output: the determination of its code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from server.billing.blocks import BlockCodes, block_lines, counted
from server.billing.context import Context, Course
from server.billing.outcome import Determination
from server.billing.requirements import Check, flag

CODES: Final = {
    "home-health-oversight": BlockCodes(base="G0181", first="home-health-oversight/practitioner/first_block_seconds"),
    "hospice-oversight": BlockCodes(base="G0182", first="hospice-oversight/practitioner/first_block_seconds"),
}


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """The practitioner's own time alone."""
    time = counted(ctx.ledger(course), frozenset({course.practitioner}))
    yield from block_lines(ctx, course, time, CODES[course.program], tuple(_election(ctx, course)))


def _election(ctx: Context, course: Course) -> Iterator[Check]:
    if course.program != "hospice-oversight":
        return
    live = tuple(
        f"hospice/{place}"
        for place, election in enumerate(ctx.facts.hospice)
        if ctx.month.meets(election.elected_on, election.revoked_on)
    )
    yield flag(
        ctx,
        "hospice-oversight/eligibility/election",
        met=bool(live),
        reason="CONDITIONS_NOT_MET",
        yes="hospice elected",
        no="no hospice election in the month",
        evidence=live,
    )
