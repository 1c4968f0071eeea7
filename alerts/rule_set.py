"""The words of a rule set: frozen values, as rules.py makes them from a checked document.

Input: nothing. Output: types. Conditions are code (evaluate.py); limits, clocks and severities are data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from alerts.model import Severity

# Patients the adult default must not be used for: their limits and clocks differ by more than a number.
REFUSED_KINDS: Final[dict[str, str]] = {
    "pregnancy": "in pregnancy 160/110 is severe and minutes matter",
    "child": "limits depend on age, sex and height",
    "children": "limits depend on age, sex and height",
    "dialysis": "weight and pressure swing with each session",
    "hospice": "comfort goals decide, not limits",
}


class RuleSetError(ValueError):
    """The rule set may not be used; `problems` says each reason and where."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class ProfileError(ValueError):
    """A patient's overrides do not fit the rule set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`metric op limit`; the limit is a number or the name of a profile value."""

    metric: str
    op: str
    limit: Decimal | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """A retake is needed: `confirmed` when it agrees, `timeout` when none comes within `window`."""

    min_gap: timedelta
    ask_after: timedelta
    window: timedelta
    confirmed: Severity
    timeout: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. Its shape (point, mean, count, flag, gain, silence, bad_in_row) says which fields matter."""

    id: str
    family: str
    kind: str | None
    shape: str
    severity: Severity
    conditions: tuple[Condition, ...] = ()
    confirm: Confirm | None = None
    at_once: tuple[Condition, ...] = ()
    at_once_severity: Severity = Severity.P1
    clear: tuple[Condition, ...] = ()
    recheck: timedelta | None = None
    advice: str | None = None
    only: str | None = None
    unless: str | None = None
    window: timedelta = timedelta(0)
    window_from: timedelta = timedelta(0)
    spaced: timedelta = timedelta(0)
    count: int = 0
    of_last: int = 0
    min_n: int = 0
    min_days: int = 0
    amount: Decimal = Decimal(0)
    flag: str = ""
    no_clear: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The quality gate of one kind of reading."""

    ranges: tuple[tuple[Decimal, Decimal], ...]
    min_gap: Decimal | None = None
    suspect_flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """One version of the rules, checked."""

    id: str
    version: int
    effective: date
    approved_by: str | None
    quality: Mapping[str, Quality]
    late_after: timedelta
    future_tolerance: timedelta
    inhibits: Mapping[str, frozenset[str]]
    rules: tuple[Rule, ...]
    profile_defaults: Mapping[str, Any]
    profile_kinds: Mapping[str, Mapping[str, Any]]
    escalate: Mapping[Severity, tuple[timedelta, ...]]
    claim_idle: Mapping[Severity, timedelta]
    snooze_max: Mapping[Severity, int]
    reopen_within: timedelta
    needs_human_close: frozenset[Severity]
    refuses: Mapping[str, str] = field(default_factory=lambda: dict(REFUSED_KINDS))

    @property
    def label(self) -> str:
        return f"{self.id}@{self.version}"
