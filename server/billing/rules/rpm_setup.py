"""RPM set-up and teaching: 99453, once an episode, when its floor of data days is reached.

Input: one RPM course. Output: a determination for each episode with evidence in the month.
"""

from __future__ import annotations

from collections.abc import Iterator

from server.billing.context import Context, Course
from server.billing.outcome import Determination
from server.billing.supply import setup_line


def decide(ctx: Context, course: Course) -> Iterator[Determination]:
    """Decided in the month in which the floor is met; dated on the day of set-up."""
    for enrollment in course.enrollments:
        found = setup_line(ctx, course, enrollment, code="99453", rules="rpm", self_reported=False)
        if found is not None:
            yield found
