"""What the worklist shows: one row an alert, in lanes. Pure.

Input: alert rows, the user, `now`. Output: texts and flags; templates add nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from server.care.worklist import LANES, Lane, by_lane
from server.db.alerts import WORKLIST_LIMIT, AlertRow
from server.security.identity import CurrentUser
from server.web.formatting import iso, local_when, span

Show: TypeAlias = Literal["all", "mine", "free"]

# Word, shape and colour say the same; nobody needs the colour (WCAG 1.4.1).
SEVERITY_WORDS: Final = {"P1": "Critical", "P2": "High", "P3": "Medium", "P4": "Low"}
STATE_WORDS: Final = {
    "pending": "Waiting for a repeat reading",
    "open": "Open",
    "claimed": "Claimed",
    "snoozed": "Snoozed",
    "recovered": "Recovered, close it",
    "closed": "Closed",
}
_DUE_WORDS: Final = {
    "pending": "repeat due",
    "open": "escalates",
    "claimed": "reopens",
    "snoozed": "comes back",
    "recovered": "due",
}
LANE_TITLES: Final = {
    Lane.NOW: "Needs a person",
    Lane.WAITING: "Waiting for a repeat reading",
    Lane.SNOOZED: "Snoozed",
    Lane.TECHNICAL: "Technical and planned",
}
FILTERS: Final[tuple[tuple[Show, str], ...]] = (("all", "All"), ("mine", "Mine"), ("free", "Unclaimed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLine:
    """One row."""

    id: str
    patient_id: str
    patient: str
    severity: str
    severity_word: str
    why: str
    state: str
    state_word: str
    age: str
    opened: str
    opened_at: str
    due: str
    overdue: bool
    owner: str
    mine: bool
    can_claim: bool
    selected: bool
    announcement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneView:
    """One titled group of rows."""

    name: str
    title: str
    lines: tuple[AlertLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterLink:
    """One choice of what to show."""

    show: str
    label: str
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklistView:
    """The whole list. `title` begins with the counts, so that a browser tab in the background tells them."""

    title: str
    summary: str
    lanes: tuple[LaneView, ...]
    filters: tuple[FilterLink, ...]
    show: str
    selected_id: str | None
    empty: bool
    as_of: str
    cut: int


def worklist_view(
    alerts: Sequence[AlertRow], *, user: CurrentUser, now: datetime, show: Show, selected_id: str | None
) -> WorklistView:
    shown = [alert for alert in alerts if _shown(alert, user, show)]
    lanes = by_lane(shown)
    urgent = by_lane(alerts)[Lane.NOW]  # the filter never hides how many wait
    return WorklistView(
        title=_title(urgent),
        summary=_summary(urgent),
        lanes=tuple(
            LaneView(
                name=lane.value,
                title=LANE_TITLES[lane],
                lines=tuple(alert_line(alert, user=user, now=now, selected_id=selected_id) for alert in lanes[lane]),
            )
            for lane in LANES
            if lanes[lane]
        ),
        filters=tuple(FilterLink(show=key, label=label, current=key == show) for key, label in FILTERS),
        show=show,
        selected_id=selected_id,
        empty=not shown,
        as_of=local_when(now, user.zone, now),
        cut=len(alerts) if len(alerts) >= WORKLIST_LIMIT else 0,
    )


def alert_line(alert: AlertRow, *, user: CurrentUser, now: datetime, selected_id: str | None = None) -> AlertLine:
    word = severity_word(alert)
    mine = alert.owner_id == user.id
    return AlertLine(
        id=alert.id,
        patient_id=alert.patient_id,
        patient=alert.patient_name,
        severity=alert.severity,
        severity_word=word,
        why=alert.text,
        state=alert.state,
        state_word=STATE_WORDS[alert.state],
        age=span(max(int((now - alert.opened_at).total_seconds()), 0)),
        opened=local_when(alert.opened_at, user.zone, now),
        opened_at=iso(alert.opened_at),
        due=_due(alert, now),
        overdue=alert.due_at is not None and alert.due_at < now,
        owner="You" if mine else alert.owner_name or "",
        mine=mine,
        can_claim=alert.state in {"open", "snoozed"} or (alert.state == "recovered" and alert.owner_id is None),
        selected=alert.id == selected_id,
        announcement=f"{word} alert: {alert.patient_name}. {alert.text}",
    )


def severity_word(alert: AlertRow) -> str:
    return "Technical" if alert.family.startswith("tech.") else SEVERITY_WORDS[alert.severity]


def _shown(alert: AlertRow, user: CurrentUser, show: Show) -> bool:
    match show:
        case "all":
            return True
        case "mine":
            return alert.owner_id == user.id
        case "free":
            return alert.owner_id is None


def _due(alert: AlertRow, now: datetime) -> str:
    if alert.due_at is None or alert.state == "closed":
        return ""
    seconds = int((alert.due_at - now).total_seconds())
    words = _DUE_WORDS[alert.state]
    return f"{words} in {span(seconds)}" if seconds >= 0 else f"{span(-seconds)} overdue"


def _counts(urgent: Sequence[AlertRow]) -> list[str]:
    return [
        f"{count} {SEVERITY_WORDS[severity].lower()}"
        for severity in ("P1", "P2", "P3")
        if (count := sum(1 for alert in urgent if alert.severity == severity))
    ]


def _title(urgent: Sequence[AlertRow]) -> str:
    counts = _counts(urgent)
    return f"({', '.join(counts)}) Worklist · vitalwire" if counts else "Worklist · vitalwire"


def _summary(urgent: Sequence[AlertRow]) -> str:
    counts = _counts(urgent)
    return ", ".join(counts) if counts else "Nobody needs you right now"
