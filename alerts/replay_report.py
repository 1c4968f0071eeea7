"""The report of a replay: counts a week and what only one rule set raised. Pure.

Input: what two rule sets raised for each patient, and what was raised in truth. Output: the JSON object of
`vitalwire alerts replay`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from alerts.model import Severity
from alerts.replay import Raised, compare
from alerts.rule_set import RuleSet

WEEK: Final = timedelta(days=7)
ASSUMES: Final = (
    "nobody acts in the replay: an alert that only a person may close stands or is recovered until the end",
    "patients' own limits and devices are those of today",
    "raised: what people saw in truth, with their acts and the rules of that day",
)


class Report:
    """Takes patients one after the other; keeps counts and differences only."""

    def __init__(self, *, current: RuleSet, changed: RuleSet, since: datetime, until: datetime) -> None:
        self._labels = {"current": current.label, "changed": changed.label}
        self._since, self._until = since, until
        self._weeks = math.ceil((until - since) / WEEK)
        self._counts: dict[str, Counter[tuple[str, Severity, int]]] = {
            "current": Counter(),
            "changed": Counter(),
            "raised": Counter(),
        }
        self._lists: dict[str, list[dict[str, Any]]] = {
            "only_current": [],
            "only_changed": [],
            "less_severe": [],
            "more_severe": [],
        }
        self._patients = self._readings = 0

    def add(
        self, *, current: Sequence[Raised], changed: Sequence[Raised], raised: Sequence[Raised], readings: int
    ) -> None:
        """One patient, every sequence in the order of raising."""
        self._patients += 1
        self._readings += readings
        for side, alerts in (("current", current), ("changed", changed), ("raised", raised)):
            self._counts[side].update((a.family, a.severity, self._week(a)) for a in alerts)
        found = compare(current, changed)
        self._lists["only_current"].extend(map(_row, found.only_current))
        self._lists["only_changed"].extend(map(_row, found.only_changed))
        self._lists["less_severe"].extend(_row(a) | {"changed_severity": s.value} for a, s in found.less_severe)
        self._lists["more_severe"].extend(_row(a) | {"current_severity": s.value} for a, s in found.more_severe)

    def document(self) -> dict[str, Any]:
        """The whole report."""
        a_week = {side: self._a_week(counts) for side, counts in self._counts.items()}
        return {
            "summary": self._summary(a_week),
            "since": self._since.isoformat(),
            "until": self._until.isoformat(),
            "rules": self._labels,
            "patients": self._patients,
            "readings": self._readings,
            "a_week": a_week,
            "weeks": [(self._since + WEEK * week).isoformat() for week in range(self._weeks)],
            "counts": [self._count_row(*key) for key in self._keys()],
            **self._lists,
            "assumes": list(ASSUMES),
        }

    def _summary(self, a_week: dict[str, float]) -> str:
        missed, milder = len(self._lists["only_current"]), len(self._lists["less_severe"])
        words = f"From {a_week['current']:g} to {a_week['changed']:g} a week; would have missed {missed}"
        words += " (listed)" if missed else ""
        return words + (f" and made {milder} milder (listed)." if milder else ".")

    def _a_week(self, counts: Counter[tuple[str, Severity, int]]) -> float:
        return round(counts.total() * (WEEK / (self._until - self._since)), 1)

    def _keys(self) -> Iterable[tuple[str, Severity]]:
        return sorted({(family, severity) for counts in self._counts.values() for family, severity, _ in counts})

    def _count_row(self, family: str, severity: Severity) -> dict[str, Any]:
        return {
            "family": family,
            "severity": severity.value,
            **{
                side: [counts[family, severity, week] for week in range(self._weeks)]
                for side, counts in self._counts.items()
            },
        }

    def _week(self, raised: Raised) -> int:
        return (raised.raised_at - self._since) // WEEK


def _row(raised: Raised) -> dict[str, Any]:
    return {
        "patient": raised.patient_id,
        "family": raised.family,
        "rule": raised.rule,
        "severity": raised.severity.value,
        "evidence": raised.evidence,
        "raised_at": raised.raised_at.isoformat(),
    }
