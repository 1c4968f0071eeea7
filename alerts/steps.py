"""The mechanics of an alert's life: open, close, claim, escalate, hide, tell. Which of them happens is lifecycle.py's.

Input: one patient's state. Output: the alerts afterwards and the outputs on the way. Clocks are due times on the alert:
"minutes unclaimed" counts from the moment the alert last began to stand unclaimed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from alerts.model import Alert, NotificationDue, Output, Severity, State, Transition
from alerts.profile import PatientRules
from alerts.state import PatientState

MAX_LEVEL: Final = 3  # second nurse, practitioner, practice lead: there is nobody above
# A severity that somebody is told of; P3 and P4 wait in the queue.
NOTIFIED: Final = frozenset({Severity.P1, Severity.P2})
NO_CLOCKS: Final[dict[str, Any]] = {
    "confirm_until": None,
    "escalate_at": None,
    "idle_at": None,
    "recheck_at": None,
    "snooze_until": None,
}


class Steps:
    """The working copy of one patient while one event is handled at `now`; thrown away when it is done."""

    __slots__ = ("closed", "live", "next_number", "now", "out", "rules")

    def __init__(self, state: PatientState, rules: PatientRules, now: datetime) -> None:
        self.rules = rules
        self.now = now
        self.live = dict(state.live)
        self.closed = dict(state.closed)
        self.next_number = state.next_number
        self.out: list[Output] = []

    def close(self, alert: Alert, kind: str, tag: str, actor: str | None = None, **fields: Any) -> None:
        """The end; the row stays and may be opened again within the rule set's time."""
        alert = replace(alert, tags=tuple(t for t in alert.tags if t != "inhibited"))
        ended = replace(
            tagged(alert, tag), state=State.CLOSED, closed_at=self.now, changed_at=self.now, **NO_CLOCKS, **fields
        )
        del self.live[alert.family]
        self.closed[alert.family] = ended
        self.say(ended, kind, alert.state, actor, **{key: value for key, value in fields.items() if value is not None})

    def settle_inhibition(self) -> None:
        """Alerts hidden by another carry the tag `inhibited` and rest; when the other ends their clock starts anew."""
        for family in list(self.live):
            alert = self.live[family]
            hide = self._hidden(alert)
            if hide and "inhibited" not in alert.tags:
                self.put(replace(tagged(alert, "inhibited"), escalate_at=None), "inhibited")
            elif not hide and "inhibited" in alert.tags:
                shown = replace(alert, tags=tuple(t for t in alert.tags if t != "inhibited"))
                if shown.state is State.OPEN:
                    shown = self.unclaimed(shown)
                self.put(shown, "released")
                if shown.state is State.OPEN:
                    self.notify(shown)

    def claim(self, alert: Alert, actor: str | None) -> None:
        """Somebody answers for it; escalation rests until they stay idle too long."""
        held = replace(
            alert,
            state=State.CLAIMED,
            owner=actor,
            claimed_at=self.now,
            escalate_at=None,
            snooze_until=None,
            idle_at=self._after(alert.severity, self.now, self.rules.rule_set.claim_idle[alert.severity]),
        )
        self.put(held, "claimed", actor=actor, came_from=alert.state)

    def escalate(self, alert: Alert, actor: str | None, **detail: Any) -> None:
        """One level up; whoever is there is told."""
        level = min(alert.level + 1, MAX_LEVEL)
        raised = replace(alert, level=level)
        # At the top there is nobody left: the clock ends, or it would come due for ever.
        raised = replace(raised, escalate_at=self.next_step(raised) if level > alert.level else None)
        self.put(raised, "escalated", actor=actor, **detail)
        self.notify(raised)

    def to_open(
        self,
        alert: Alert,
        kind: str,
        *,
        severity: Severity | None = None,
        rule: str | None = None,
        reason: str | None = None,
    ) -> Alert:
        opened = replace(
            alert,
            state=State.OPEN,
            severity=severity or alert.severity,
            rule=rule or alert.rule,
            reason=reason or alert.reason,
            owner=None,
            claimed_at=None,
            confirm_until=None,
            idle_at=None,
            snooze_until=None,
        )
        opened = self.unclaimed(opened)
        self.put(opened, kind, came_from=alert.state)
        self.notify(opened)
        return opened

    def open_new(
        self,
        family: str,
        rule: str,
        severity: Severity,
        reason: str,
        evidence: tuple[str, ...],
        *,
        kind: str,
        tags: tuple[str, ...] = (),
        standing: tuple[str, ...] = (),
    ) -> None:
        before = self.closed_recently(family)
        if before is None:
            alert = self.begin(family, rule, severity, State.OPEN, reason, evidence, tags, standing)
        else:
            del self.closed[family]
            alert = replace(
                tagged(before, *tags, "reopened"),
                state=State.OPEN,
                severity=severity,
                rule=rule,
                reason=reason,
                level=0,
                evidence=union(before.evidence, evidence),
                standing=standing,
                reopened=before.reopened + 1,
                changed_at=self.now,
                owner=None,
                claimed_at=None,
                closed_at=None,
                disposition=None,
                note=None,
                severe_at=None,
            )
            kind = "reopened"
        alert = self.unclaimed(alert)
        self.live[family] = alert
        self.say(alert, kind, None if before is None else State.CLOSED)
        self.notify(alert)

    def begin(
        self,
        family: str,
        rule: str,
        severity: Severity,
        state: State,
        reason: str,
        evidence: tuple[str, ...],
        tags: tuple[str, ...],
        standing: tuple[str, ...],
    ) -> Alert:
        before = self.closed.get(family)
        number, self.next_number = self.next_number, self.next_number + 1
        return Alert(
            number=number,
            family=family,
            rule=rule,
            severity=severity,
            state=state,
            reason=reason,
            opened_at=self.now,
            changed_at=self.now,
            tags=tags,
            evidence=evidence,
            standing=standing,
            previous=before.number if before else None,
        )

    def worsen(self, alert: Alert, *, severity: Severity, rule: str, reason: str) -> Alert:
        """Worse than known: told again, clocks start anew, a snooze ends. Whoever has claimed it keeps it."""
        if alert.state is not State.CLAIMED:
            return self.to_open(alert, "worsened", severity=severity, rule=rule, reason=reason)
        idle = self._after(severity, self.now, self.rules.rule_set.claim_idle[severity])
        worse = replace(alert, severity=severity, rule=rule, reason=reason, idle_at=idle, confirm_until=None)
        self.put(worse, "worsened")
        self.notify(worse)
        return worse

    def closed_recently(self, family: str) -> Alert | None:
        before = self.closed.get(family)
        if (
            before is None
            or before.closed_at is None
            or self.now - before.closed_at > self.rules.rule_set.reopen_within
        ):
            return None
        return before

    def _hidden(self, alert: Alert) -> bool:
        """Whether a live alert of another family inhibits this one. A critical alert is never hidden."""
        if alert.severity is Severity.P1:
            return False
        inhibits = self.rules.rule_set.inhibits
        return any(alert.family in inhibits.get(family, ()) for family in self.live)

    def unclaimed(self, alert: Alert) -> Alert:
        """The alert stands unclaimed from now on; the minutes to the next level count from here."""
        alert = replace(alert, unclaimed_since=self.now)
        return replace(alert, escalate_at=self.next_step(alert))

    def next_step(self, alert: Alert) -> datetime | None:
        """When the next level is due; None while somebody holds the alert, it is hidden, or nobody is above."""
        steps = self.rules.rule_set.escalate[alert.severity]
        if alert.state is not State.OPEN or alert.unclaimed_since is None:
            return None
        if alert.level >= len(steps) or self._hidden(alert):
            return None
        return self._after(alert.severity, alert.unclaimed_since, steps[alert.level])

    def _after(self, severity: Severity, start: datetime, span: timedelta) -> datetime:
        """P1 and P2 run by the wall clock, the others by the practice's hours."""
        return start + span if severity in NOTIFIED else self.rules.after(start, span)

    def notify(self, alert: Alert) -> None:
        if alert.severity in NOTIFIED and not self._hidden(alert):
            self.out.append(NotificationDue(alert=alert, level=alert.level, due_at=self.now))

    def put(
        self, alert: Alert, kind: str, *, actor: str | None = None, came_from: State | None = None, **detail: Any
    ) -> None:
        """The alert as it is now, and the named event that made it so."""
        alert = replace(alert, changed_at=self.now)
        self.live[alert.family] = alert
        self.say(alert, kind, came_from or alert.state, actor, **detail)

    def say(self, alert: Alert, kind: str, from_state: State | None, actor: str | None = None, **detail: Any) -> None:
        self.out.append(
            Transition(kind=kind, at=self.now, alert=alert, from_state=from_state, actor=actor, detail=detail)
        )


def tagged(alert: Alert, *tags: str) -> Alert:
    return replace(alert, tags=union(alert.tags, tags))


def union(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[str, ...]:
    new = tuple(item for item in right if item not in left)
    return left + new if new else left
