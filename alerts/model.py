"""The words of alerting: what comes in, what an alert is, what the engine says.

Input: facts of one patient (readings, acts of people, gateway changes). Output: frozen values, nothing else.
Times are aware datetimes in UTC; measured numbers are `Decimal`. No names of people anywhere.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec


class Severity(StrEnum):
    """How bad and how soon (IEC 60601-1-8). Sorts with the most severe first."""

    P1 = "P1"  # possible serious harm: page somebody now
    P2 = "P2"  # prompt
    P3 = "P3"  # same working day
    P4 = "P4"  # plan the work; technical


class State(StrEnum):
    """Where an alert is in its life."""

    PENDING = "pending"  # waits for a retake, seen by nobody yet
    OPEN = "open"
    CLAIMED = "claimed"
    SNOOZED = "snoozed"
    RECOVERED = "recovered"  # the values are back; a person must still close it
    CLOSED = "closed"


class Verdict(StrEnum):
    """What the quality gate says of a reading."""

    OK = "ok"
    SUSPECT = "suspect"  # may ask for a retake; never confirms, clears or enters a mean
    QUARANTINED = "quarantined"
    UNASSIGNED = "unassigned"
    DUPLICATE = "duplicate"


# Verdicts that keep a reading out of the rules altogether.
HELD: Final = frozenset({Verdict.QUARANTINED, Verdict.UNASSIGNED, Verdict.DUPLICATE})

# The numbers of a kind of reading, in the order `Reading.values` carries them, and their units.
METRICS: Final[dict[str, tuple[str, ...]]] = {
    "bp": ("sys", "dia", "pulse"),
    "glucose": ("mgdl",),
    "spo2": ("spo2",),
    "weight": ("lb",),
}
# Meter words for "outside what I can measure".
ABOVE_RANGE: Final = Decimal("Infinity")
BELOW_RANGE: Final = Decimal("-Infinity")


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every frozen value of the engine."""


# --- in -----------------------------------------------------------------------------------------------------------


class Reading(Value, frozen=True, kw_only=True):
    """One reading of one patient. `day`: ordinal of the patient-local date; `arrived_at`: the server's clock."""

    id: str
    kind: str
    measured_at: datetime
    arrived_at: datetime
    values: tuple[Decimal | None, ...]
    day: int
    flags: tuple[str, ...] = ()
    user: int | None = None
    device: str = ""
    sequence: int | None = None


class Action(Value, frozen=True, kw_only=True):
    """What a person does to the live alert of a family: claim, contact, snooze, close, escalate."""

    action: str
    family: str
    at: datetime
    actor: str | None = None
    minutes: int | None = None
    reason: str | None = None
    disposition: str | None = None
    note: str | None = None


class GatewayChange(Value, frozen=True, kw_only=True):
    """The home gateway was lost or came back."""

    online: bool
    at: datetime


class ProfileChange(Value, frozen=True, kw_only=True):
    """The patient's overrides do not fit the rule set (`problem` says why), or fit again (empty)."""

    problem: str
    at: datetime


# --- the thing ----------------------------------------------------------------------------------------------------


class Alert(Value, frozen=True, kw_only=True):
    """The life of one condition of one patient, as a projection of its transitions. Numbered per patient from 1."""

    number: int
    family: str
    rule: str
    severity: Severity
    state: State
    reason: str
    opened_at: datetime
    changed_at: datetime
    level: int = 0
    tags: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    standing: tuple[str, ...] = ()  # rules that fired without need of a retake: all of them must clear
    previous: int | None = None
    reopened: int = 0
    severe_at: datetime | None = None  # measured time of the reading a retake would confirm
    asked: str | None = None  # the rule that asked for the retake, and why it did
    asked_reason: str = ""
    confirm_until: datetime | None = None
    unclaimed_since: datetime | None = None
    escalate_at: datetime | None = None
    idle_at: datetime | None = None
    recheck_at: datetime | None = None
    snooze_until: datetime | None = None
    owner: str | None = None
    claimed_at: datetime | None = None
    closed_at: datetime | None = None
    disposition: str | None = None
    note: str | None = None

    def due_at(self) -> datetime | None:
        """The next moment something happens to this alert by itself."""
        due = [
            at
            for at in (self.confirm_until, self.escalate_at, self.idle_at, self.recheck_at, self.snooze_until)
            if at is not None
        ]
        return min(due) if due else None


# --- out ----------------------------------------------------------------------------------------------------------


class Transition(Value, frozen=True, kw_only=True):
    """One named event in the life of an alert, with the alert as it is afterwards."""

    kind: str
    at: datetime
    alert: Alert
    from_state: State | None
    actor: str | None = None
    detail: dict[str, Any] = msgspec.field(default_factory=dict)


class NotificationDue(Value, frozen=True, kw_only=True):
    """Somebody must be told. `level` says who (0 the first on call)."""

    alert: Alert
    level: int
    due_at: datetime


class Judgement(Value, frozen=True, kw_only=True):
    """What the quality gate said of a reading, and why."""

    reading_id: str
    verdict: Verdict
    problems: tuple[str, ...] = ()


class RetakeAsked(Value, frozen=True, kw_only=True):
    """Ask the patient to measure again, not before `ask_at`."""

    alert: Alert
    reading_id: str
    ask_at: datetime
    until: datetime


class Refusal(Value, frozen=True, kw_only=True):
    """An act that may not be done; `reason` is a closed word."""

    action: str
    family: str
    at: datetime
    reason: str
    holder: str | None = None


Event = Reading | Action | GatewayChange | ProfileChange
Output = Transition | NotificationDue | Judgement | RetakeAsked | Refusal
