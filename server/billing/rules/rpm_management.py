"""RPM treatment management: 99470, 99457, 99458.

Input: one RPM course and the month. Output: a determination for each code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from server.billing.blocks import BlockCodes
from server.billing.context import Context, Course
from server.billing.management import ManagementCodes, management_lines
from server.billing.outcome import Determination

CODES: Final = ManagementCodes(
    blocks=BlockCodes(
        base="99457",
        first="rpm/management/first_block_seconds",
        add_on="99458",
        further="rpm/management/further_block_seconds",
    ),
    short="99470",
    rules="rpm/management",
)


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """99457 and 99458, or 99470."""
    yield from management_lines(ctx, course, CODES)
