"""Remote therapeutic monitoring: set-up 98975, supply by body system, management 98979, 98980, 98981.

Input: one RTM course and the month. Output: a determination for each code of the enrolled systems.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from server.billing.blocks import BlockCodes
from server.billing.context import Context, Course
from server.billing.management import ManagementCodes, management_lines
from server.billing.outcome import Determination
from server.billing.supply import SupplyCodes, setup_line, supply_lines

SUPPLY: Final = {
    "respiratory": SupplyCodes(many="98976", few="98984", rules="rtm/device_supply"),
    "musculoskeletal": SupplyCodes(many="98977", few="98985", rules="rtm/device_supply"),
    "cbt": SupplyCodes(many="98978", few="98986", rules="rtm/device_supply"),
}
MANAGEMENT: Final = ManagementCodes(
    blocks=BlockCodes(
        base="98980",
        first="rtm/management/first_block_seconds",
        add_on="98981",
        further="rtm/management/further_block_seconds",
    ),
    short="98979",
    rules="rtm/management",
)


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """Self-reported data count here, unlike in physiologic monitoring."""
    for enrollment in course.enrollments:
        setup = setup_line(ctx, course, enrollment, code="98975", rules="rtm", self_reported=True)
        if setup is not None:
            yield setup
        if enrollment.system is not None:
            yield from supply_lines(ctx, course, enrollment, SUPPLY[enrollment.system], self_reported=True)
    yield from management_lines(ctx, course, MANAGEMENT)
