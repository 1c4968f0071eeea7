"""Who needs attention now: the lanes of the worklist and the order in them. Pure.

Input: alerts (anything with a severity, a state, a due time). Output: lanes, most urgent first. Nothing is hidden:
every alert is in exactly one lane.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol, TypeVar


class Ranked(Protocol):
    """What ranking needs to know of an alert."""

    @property
    def id(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def opened_at(self) -> datetime: ...
    @property
    def due_at(self) -> datetime | None: ...


_R = TypeVar("_R", bound=Ranked)


class Lane(StrEnum):
    """Where an alert stands on the page."""

    NOW = "now"  # somebody must act
    WAITING = "waiting"  # a retake was asked for; comes by itself
    SNOOZED = "snoozed"
    TECHNICAL = "technical"  # devices, missed readings, planned work: kept apart from patients in danger


LANES: Final = (Lane.NOW, Lane.WAITING, Lane.SNOOZED, Lane.TECHNICAL)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


def lane_of(alert: Ranked) -> Lane:
    """A critical alert is never put aside, whatever its state says."""
    if alert.severity == "P1":
        return Lane.NOW
    if alert.state == "pending":
        return Lane.WAITING
    if alert.state == "snoozed":
        return Lane.SNOOZED
    if alert.severity == "P4" or alert.family.startswith("tech."):
        return Lane.TECHNICAL
    return Lane.NOW


def urgency(alert: Ranked) -> tuple[str, datetime, datetime, str]:
    """Severity, then the clock that ends first, then the oldest; the id makes the order the same for everybody."""
    return (alert.severity, alert.due_at or _NEVER, alert.opened_at, alert.id)


def by_lane(alerts: Iterable[_R]) -> dict[Lane, tuple[_R, ...]]:
    ordered = sorted(alerts, key=urgency)
    return {lane: tuple(alert for alert in ordered if lane_of(alert) is lane) for lane in LANES}
