"""The life of an alert: every legal step, and nothing else.

Input: one patient's state and what just became true or due. Output: the state afterwards and the outputs on the way.
A `Turn` is the working copy of one event; it is thrown away when the event is done. Clocks are due times on the alert.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from msgspec.structs import replace

from alerts.evaluate import Firing, all_true
from alerts.model import Alert, NotificationDue, Output, RetakeAsked, Severity, State, Transition, Verdict
from alerts.profile import PatientRules
from alerts.quality import Gated
from alerts.rule_set import Confirm
from alerts.state import PatientState

MAX_LEVEL: Final = 3  # second nurse, practitioner, practice lead: there is nobody above
# A severity that somebody is told of; P3 and P4 wait in the queue.
NOTIFIED: Final = frozenset({Severity.P1, Severity.P2})
_ACTIVE: Final = frozenset({State.OPEN, State.CLAIMED, State.SNOOZED})
_NO_CLOCKS: Final[dict[str, Any]] = {
    "confirm_until": None,
    "escalate_at": None,
    "idle_at": None,
    "recheck_at": None,
    "snooze_until": None,
}


class Turn:
    """The working copy of one patient while one event is handled at `now`."""

    __slots__ = ("closed", "live", "next_number", "now", "out", "rules")

    def __init__(self, state: PatientState, rules: PatientRules, now: datetime) -> None:
        self.rules = rules
        self.now = now
        self.live = dict(state.live)
        self.closed = dict(state.closed)
        self.next_number = state.next_number
        self.out: list[Output] = []

    # --- readings

    def fire(self, family: str, fired: list[Firing], gated: Gated) -> None:
        """Rules of one family fired on the newest reading of their kind."""
        best = min(fired, key=lambda f: f.severity)
        evidence = tuple(dict.fromkeys(e for f in fired for e in f.evidence))
        standing = tuple(f.compiled.rule.id for f in fired if not f.tentative)
        alert = self.live.get(family)
        if alert is None:
            alert = self._begin(family, best, evidence, standing, gated)
        else:
            alert = replace(
                alert,
                evidence=_union(alert.evidence, evidence),
                standing=_union(alert.standing, standing),
                changed_at=self.now,
            )
            alert = (
                self._pending_again(alert, best, gated)
                if alert.state is State.PENDING
                else self._again(alert, best, gated)
            )
        if alert.state is not State.PENDING and not gated.late:
            minutes = [f.compiled.rule.recheck for f in fired if f.compiled.rule.recheck is not None]
            if minutes:
                self.live[family] = replace(alert, recheck_at=self.now + min(minutes))
        self._advise(family, fired)

    def not_fired(self, family: str, gated: Gated) -> None:
        """A usable reading of the alert's kind fired nothing in its family: it may end the alert."""
        alert = self.live[family]
        rules = [c for name in (alert.rule, *alert.standing) if (c := self.rules.by_id.get(name)) is not None]
        clearing = [c for c in rules if c.clear]
        if not clearing or gated.verdict is not Verdict.OK:
            return
        values = gated.reading.values
        if alert.state is State.PENDING:
            rule = self.rules.by_id.get(alert.rule)
            confirm = rule.rule.confirm if rule is not None else None
            if (
                rule is None
                or confirm is None
                or not all_true(rule.clear, values)
                or not self._apart(alert, confirm, gated)
            ):
                return
            self._not_confirmed(alert, [c.rule.id for c in rules[1:] if not all_true(c.clear, values)])
        elif all(all_true(c.clear, values) for c in clearing):
            self._recover(alert)
        elif (
            alert.recheck_at is not None
            and (rule := self.rules.by_id.get(alert.rule)) is not None
            and rule.rule.recheck is not None
        ):
            # Measured again as asked, but not back yet: the next look is due after the same time.
            self.live[family] = replace(alert, recheck_at=self.now + rule.rule.recheck)

    def raise_technical(
        self, family: str, rule: str, severity: Severity, reason: str, evidence: tuple[str, ...] = ()
    ) -> None:
        """An alert that no clinical rule raised: device clock, identity, quality, silence, gateway."""
        if family not in self.rules.rule_set.inhibits:
            return
        alert = self.live.get(family)
        if alert is None:
            self._open_new(family, rule, severity, reason, evidence, kind="opened")
            return
        self.put(replace(alert, evidence=_union(alert.evidence, evidence)), "evidence")
        if severity < alert.severity:
            self._worsen(self.live[family], severity=severity, rule=rule, reason=reason)

    # --- what becomes due

    def next_due(self) -> tuple[datetime, str] | None:
        """The earliest clock that runs, and whose it is."""
        due = [(at, family) for family, alert in self.live.items() if (at := alert.due_at()) is not None]
        return min(due) if due else None

    def fire_due(self, family: str) -> None:
        """The alert's earliest clock has run out at `now`."""
        alert, now = self.live[family], self.now
        if alert.confirm_until is not None and alert.confirm_until <= now:
            self._window_ended(alert)
        elif alert.recheck_at is not None and alert.recheck_at <= now:
            self._recheck_overdue(alert)
        elif alert.idle_at is not None and alert.idle_at <= now:
            self._reopen_unheld(_tagged(alert, "claim_timeout"), "claim_timeout")
        elif alert.snooze_until is not None and alert.snooze_until <= now:
            self._to_open(alert, "snooze_ended")
        elif alert.escalate_at is not None and alert.escalate_at <= now:
            self.escalate(alert, actor=None)

    def claim(self, alert: Alert, actor: str | None) -> None:
        """Somebody answers for it; escalation rests until they stay idle too long."""
        held = replace(
            alert,
            state=State.CLAIMED,
            owner=actor,
            claimed_at=self.now,
            escalate_at=None,
            snooze_until=None,
            idle_at=self.now + self.rules.rule_set.claim_idle[alert.severity],
        )
        self.put(held, "claimed", actor=actor, came_from=alert.state)

    def escalate(self, alert: Alert, actor: str | None, **detail: Any) -> None:
        """One level up; whoever is there is told."""
        level = min(alert.level + 1, MAX_LEVEL)
        raised = replace(alert, level=level)
        # Steps count from the moment the alert stood unclaimed: the last step's due time minus its minutes.
        raised = replace(raised, escalate_at=self._following_step(alert, raised))
        self.put(raised, "escalated", actor=actor, **detail)
        self._notify(raised)

    # --- ends

    def close(self, alert: Alert, kind: str, tag: str, actor: str | None = None, **fields: Any) -> None:
        """The end; the row stays and may be opened again within the rule set's time."""
        alert = replace(alert, tags=tuple(t for t in alert.tags if t != "inhibited"))
        ended = replace(
            _tagged(alert, tag), state=State.CLOSED, closed_at=self.now, changed_at=self.now, **_NO_CLOCKS, **fields
        )
        del self.live[alert.family]
        self.closed[alert.family] = ended
        self._say(ended, kind, alert.state, actor, **{key: value for key, value in fields.items() if value is not None})

    def settle_inhibition(self) -> None:
        """Alerts hidden by another carry the tag `inhibited` and rest; when the other ends their clock starts anew."""
        for family in list(self.live):
            alert = self.live[family]
            hide = self._hidden(alert)
            if hide and "inhibited" not in alert.tags:
                self.put(replace(_tagged(alert, "inhibited"), escalate_at=None), "inhibited")
            elif not hide and "inhibited" in alert.tags:
                shown = replace(alert, tags=tuple(t for t in alert.tags if t != "inhibited"))
                if shown.state is State.OPEN:
                    shown = replace(shown, escalate_at=self._first_step(shown))
                self.put(shown, "released")
                if shown.state is State.OPEN:
                    self._notify(shown)

    # --- steps

    def _begin(
        self, family: str, best: Firing, evidence: tuple[str, ...], standing: tuple[str, ...], gated: Gated
    ) -> Alert:
        rule, tags = best.compiled.rule, _tags_of(best, gated)
        waits = best.tentative and (gated.verdict is not Verdict.OK or self._closed_recently(family) is None)
        if not waits:
            self._open_new(
                family, rule.id, best.severity, best.reason, evidence, kind="opened", tags=tags, standing=standing
            )
            alert = self.live[family]
            return (
                self._ask_retake(alert, rule.confirm, gated) if best.tentative and rule.confirm is not None else alert
            )
        alert = self._new(family, rule.id, best.severity, State.PENDING, best.reason, evidence, tags, standing)
        alert = self._with_window(alert, rule.confirm, gated)
        self.live[family] = alert
        self._say(alert, "pending", None)
        self._say_retake(alert, rule.confirm, gated)
        return alert

    def _pending_again(self, alert: Alert, best: Firing, gated: Gated) -> Alert:
        if not best.tentative and best.severity <= alert.severity:
            return self._to_open(
                _tagged(alert, *_tags_of(best, gated)),
                "opened",
                severity=best.severity,
                rule=best.compiled.rule.id,
                reason=best.reason,
            )
        confirm = best.compiled.rule.confirm
        if best.tentative and confirm is not None and self._confirms(alert, confirm, gated):
            return self._to_open(
                _tagged(alert, "confirmed"),
                "confirmed",
                severity=min(confirm.confirmed, alert.severity),
                reason=best.reason,
                rule=best.compiled.rule.id,
            )
        self.put(alert, "evidence")
        return alert

    def _again(self, alert: Alert, best: Firing, gated: Gated) -> Alert:
        """A rule fires on an alert that people already see."""
        severity, tags = best.severity, _tags_of(best, gated)
        rule = best.compiled.rule
        if best.tentative and rule.confirm is not None:
            if self._confirms(alert, rule.confirm, gated) and rule.confirm.confirmed < alert.severity:
                severity, tags = rule.confirm.confirmed, ("confirmed",)
            elif gated.verdict is not Verdict.OK:
                severity = alert.severity
        if severity < alert.severity:
            alert = self._worsen(_tagged(alert, *tags), severity=severity, rule=rule.id, reason=best.reason)
        elif alert.state is State.RECOVERED and severity in NOTIFIED:
            alert = self._to_open(_tagged(alert, *tags), "came_back", reason=best.reason)
        else:
            self.put(alert, "evidence")
        if best.tentative and rule.confirm is not None:
            alert = self._ask_retake(alert, rule.confirm, gated)
        return alert

    def _ask_retake(self, alert: Alert, confirm: Confirm, gated: Gated) -> Alert:
        """An alert in people's hands still wants a second reading; it opened already, so no window ends it."""
        if gated.verdict is Verdict.OK:
            alert = replace(alert, severe_at=gated.at)
            self.live[alert.family] = alert
        self._say_retake(alert, confirm, gated)
        return alert

    def _with_window(self, alert: Alert, confirm: Confirm | None, gated: Gated) -> Alert:
        window = None if confirm is None else self.now + confirm.window
        return replace(alert, severe_at=gated.at, confirm_until=window)

    def _say_retake(self, alert: Alert, confirm: Confirm | None, gated: Gated) -> None:
        if confirm is not None:
            reading = gated.reading
            self.out.append(
                RetakeAsked(
                    alert=alert,
                    reading_id=reading.id,
                    ask_at=self.now + confirm.ask_after,
                    until=self.now + confirm.window,
                )
            )

    def _confirms(self, alert: Alert, confirm: Confirm, gated: Gated) -> bool:
        if gated.verdict is not Verdict.OK or gated.late or alert.severe_at is None:
            return False
        return confirm.min_gap <= gated.at - alert.severe_at <= confirm.window

    def _apart(self, alert: Alert, confirm: Confirm, gated: Gated) -> bool:
        return alert.severe_at is None or gated.at - alert.severe_at >= confirm.min_gap

    def _not_confirmed(self, alert: Alert, still: list[str]) -> None:
        """The retake is back in range; what another rule of the family found on the way may still stand."""
        left = [c for name in still if (c := self.rules.by_id.get(name)) is not None]
        if not left:
            self.close(alert, "not_confirmed", "not_confirmed")
            return
        strongest = min(left, key=lambda c: c.rule.severity).rule
        self._to_open(_tagged(alert, "not_confirmed"), "not_confirmed", severity=strongest.severity, rule=strongest.id)

    def _window_ended(self, alert: Alert) -> None:
        rule = self.rules.by_id.get(alert.rule)
        confirm = rule.rule.confirm if rule is not None else None
        severity = alert.severity if confirm is None else confirm.timeout
        self._to_open(_tagged(alert, "no_retake"), "no_retake", severity=severity)

    def _recheck_overdue(self, alert: Alert) -> None:
        late = replace(_tagged(alert, "recheck_overdue"), recheck_at=None, level=min(alert.level + 1, MAX_LEVEL))
        if late.state is State.SNOOZED:
            self._to_open(late, "recheck_overdue")
            return
        late = replace(late, escalate_at=self._first_step(late) if late.state is State.OPEN else None)
        self.put(late, "recheck_overdue")
        self._notify(late)

    def _recover(self, alert: Alert) -> None:
        if alert.severity not in self.rules.rule_set.needs_human_close:
            self.close(alert, "recovered", "recovered")
        elif alert.state in _ACTIVE:
            self.put(replace(alert, state=State.RECOVERED, **_NO_CLOCKS), "recovered", came_from=alert.state)

    def _worsen(self, alert: Alert, *, severity: Severity, rule: str, reason: str) -> Alert:
        """Worse than known: told again, clocks start anew, a snooze ends. Whoever has claimed it keeps it."""
        if alert.state is not State.CLAIMED:
            return self._to_open(alert, "worsened", severity=severity, rule=rule, reason=reason)
        idle = self.now + self.rules.rule_set.claim_idle[severity]
        worse = replace(alert, severity=severity, rule=rule, reason=reason, idle_at=idle)
        self.put(worse, "worsened")
        self._notify(worse)
        return worse

    def _reopen_unheld(self, alert: Alert, kind: str) -> None:
        self._to_open(replace(alert, level=min(alert.level + 1, MAX_LEVEL)), kind)

    def _to_open(
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
        opened = replace(opened, escalate_at=self._first_step(opened))
        self.put(opened, kind, came_from=alert.state)
        self._notify(opened)
        return opened

    def _open_new(
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
        before = self._closed_recently(family)
        if before is None:
            alert = self._new(family, rule, severity, State.OPEN, reason, evidence, tags, standing)
        else:
            del self.closed[family]
            alert = replace(
                _tagged(before, *tags, "reopened"),
                state=State.OPEN,
                severity=severity,
                rule=rule,
                reason=reason,
                level=0,
                evidence=_union(before.evidence, evidence),
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
        alert = replace(alert, escalate_at=self._first_step(alert))
        self.live[family] = alert
        self._say(alert, kind, None if before is None else State.CLOSED)
        self._notify(alert)

    def _new(
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

    def _advise(self, family: str, fired: list[Firing]) -> None:
        if self.rules.ketones and any(f.compiled.rule.advice == "ketones" for f in fired):
            alert = self.live[family]
            if "ketone_advice" not in alert.tags:
                self.put(_tagged(alert, "ketone_advice"), "advised")

    # --- small ones

    def _closed_recently(self, family: str) -> Alert | None:
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

    def _first_step(self, alert: Alert) -> datetime | None:
        """When the next level is due for an alert that stands unclaimed from now on."""
        steps = self.rules.rule_set.escalate[alert.severity]
        if alert.level >= len(steps) or self._hidden(alert):
            return None
        return self.now + steps[alert.level]

    def _following_step(self, before: Alert, raised: Alert) -> datetime | None:
        steps = self.rules.rule_set.escalate[raised.severity]
        if raised.state is not State.OPEN or raised.level >= len(steps) or raised.level == before.level:
            return None
        since = (before.escalate_at or self.now) - steps[before.level]
        return since + steps[raised.level]

    def _notify(self, alert: Alert) -> None:
        if alert.severity in NOTIFIED and not self._hidden(alert):
            self.out.append(NotificationDue(alert=alert, level=alert.level, due_at=self.now))

    def put(
        self, alert: Alert, kind: str, *, actor: str | None = None, came_from: State | None = None, **detail: Any
    ) -> None:
        """The alert as it is now, and the named event that made it so."""
        alert = replace(alert, changed_at=self.now)
        self.live[alert.family] = alert
        self._say(alert, kind, came_from or alert.state, actor, **detail)

    def _say(self, alert: Alert, kind: str, from_state: State | None, actor: str | None = None, **detail: Any) -> None:
        self.out.append(
            Transition(kind=kind, at=self.now, alert=alert, from_state=from_state, actor=actor, detail=detail)
        )


def _tags_of(firing: Firing, gated: Gated) -> tuple[str, ...]:
    return (*(("at_once",) if firing.at_once else ()), *(("late",) if gated.late else ()))


def _tagged(alert: Alert, *tags: str) -> Alert:
    return replace(alert, tags=_union(alert.tags, tags))


def _union(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[str, ...]:
    new = tuple(item for item in right if item not in left)
    return left + new if new else left
