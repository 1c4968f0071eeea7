"""RPM device supply: 99454 (16 or more days) and 99445 (2 to 15 days) in a 30-day period.

Input: one RPM course. Output: determinations for every period decided in the month.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from server.billing.context import Context, Course
from server.billing.outcome import Determination
from server.billing.supply import SupplyCodes, supply_lines

CODES: Final = SupplyCodes(many="99454", few="99445", rules="rpm/device_supply")


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """The periods of each episode, back to back from its first qualifying reading."""
    for enrollment in course.enrollments:
        yield from supply_lines(ctx, course, enrollment, CODES, self_reported=False)
