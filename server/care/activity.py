"""The closed list of what care time is spent on. Values only.

The codes are the words of the billing contract; labels are ours. `can_count` is false for work that never counts
toward a code: it is logged all the same, because it happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Talk(StrEnum):
    """Whether an activity is live two-way talk."""

    ALWAYS = "always"
    MAYBE = "maybe"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One kind of work."""

    code: str
    label: str
    talk: Talk
    can_count: bool = True


ACTIVITIES: Final[tuple[Activity, ...]] = (
    Activity(code="live-call", label="Live call", talk=Talk.ALWAYS),
    Activity(code="data-review", label="Review of readings", talk=Talk.NEVER),
    Activity(code="coordination", label="Coordination of care", talk=Talk.MAYBE),
    Activity(code="care-plan", label="Care plan", talk=Talk.MAYBE),
    Activity(code="medication", label="Medicines", talk=Talk.MAYBE),
    Activity(code="oversight", label="Oversight", talk=Talk.NEVER),
    Activity(code="documentation", label="Documentation", talk=Talk.NEVER),
    Activity(code="voicemail", label="Voicemail left", talk=Talk.NEVER, can_count=False),
    Activity(code="text", label="Text message", talk=Talk.NEVER, can_count=False),
    Activity(code="scheduling", label="Scheduling", talk=Talk.MAYBE, can_count=False),
    Activity(code="setup", label="Set-up of a device", talk=Talk.MAYBE, can_count=False),
    Activity(code="clerical", label="Clerical work", talk=Talk.NEVER, can_count=False),
)
BY_CODE: Final = {activity.code: activity for activity in ACTIVITIES}

COUNTERPARTS: Final[dict[str, str]] = {
    "patient": "the patient",
    "caregiver": "a caregiver",
    "other-clinician": "another clinician",
}
PROGRAMS: Final[dict[str, str]] = {"rpm": "Remote monitoring (RPM)", "ccm": "Chronic care (CCM)"}


def talk_problem(activity: Activity, *, live: bool, with_whom: str | None) -> str | None:
    """Why this combination cannot be logged, or None."""
    if activity.talk is Talk.ALWAYS and not live:
        return f"{activity.label} is live two-way talk; choose another activity if nobody answered."
    if activity.talk is Talk.NEVER and live:
        return f"{activity.label} is not live talk; choose Live call if you spoke with somebody."
    if live and with_whom not in COUNTERPARTS:
        return "Say with whom you spoke."
    return None
