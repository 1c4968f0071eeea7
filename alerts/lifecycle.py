"""The life of an alert: which step follows when a rule fires, a value is back, or a clock runs out.

Input: one patient's working copy and what just became true or due. Output: steps taken on it. The diagram of the
states is in model.py's `State`; what a person may do is in actions.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from alerts.evaluate import Firing, all_true
from alerts.model import Alert, RetakeAsked, Severity, State, Verdict
from alerts.quality import Gated
from alerts.rule_set import Confirm
from alerts.steps import MAX_LEVEL, NO_CLOCKS, NOTIFIED, Steps, tagged, union

_ACTIVE: Final = frozenset({State.OPEN, State.CLAIMED, State.SNOOZED})


class Turn(Steps):
    """One event of one patient."""

    __slots__ = ()

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
                evidence=union(alert.evidence, evidence),
                standing=union(alert.standing, standing),
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
        asked = self.rules.by_id.get(alert.asked or "")
        awaited = alert.state is not State.PENDING and alert.confirm_until is not None
        if awaited and (asked is None or all_true(asked.clear, values)):
            alert = replace(alert, confirm_until=None)
            self.put(alert, "retaken")
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
            self.put(replace(alert, recheck_at=self.now + rule.rule.recheck), "rechecked")

    def raise_technical(
        self, family: str, rule: str, severity: Severity, reason: str, evidence: tuple[str, ...] = ()
    ) -> None:
        """An alert that no clinical rule raised: device clock, identity, quality, silence, gateway."""
        if family not in self.rules.rule_set.inhibits:
            return
        alert = self.live.get(family)
        if alert is None:
            self.open_new(family, rule, severity, reason, evidence, kind="opened")
            return
        self.put(replace(alert, evidence=union(alert.evidence, evidence)), "evidence")
        if severity < alert.severity:
            self.worsen(self.live[family], severity=severity, rule=rule, reason=reason)

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
            self._reopen_unheld(tagged(alert, "claim_timeout"), "claim_timeout")
        elif alert.snooze_until is not None and alert.snooze_until <= now:
            self.to_open(alert, "snooze_ended")
        elif alert.escalate_at is not None and alert.escalate_at <= now:
            self.escalate(alert, actor=None)

    # --- how it goes on

    def _begin(
        self, family: str, best: Firing, evidence: tuple[str, ...], standing: tuple[str, ...], gated: Gated
    ) -> Alert:
        rule, tags = best.compiled.rule, tags_of(best, gated)
        waits = best.tentative and (gated.verdict is not Verdict.OK or self.closed_recently(family) is None)
        if not waits:
            self.open_new(
                family, rule.id, best.severity, best.reason, evidence, kind="opened", tags=tags, standing=standing
            )
            alert = self.live[family]
            return (
                self._ask_retake(alert, best, rule.confirm, gated)
                if best.tentative and rule.confirm is not None
                else alert
            )
        alert = self.begin(family, rule.id, best.severity, State.PENDING, best.reason, evidence, tags, standing)
        alert = self._with_window(replace(alert, asked=rule.id), rule.confirm, gated)
        self.live[family] = alert
        self.say(alert, "pending", None)
        self._say_retake(alert, rule.confirm, gated)
        return alert

    def _pending_again(self, alert: Alert, best: Firing, gated: Gated) -> Alert:
        if not best.tentative and best.severity <= alert.severity:
            return self.to_open(
                tagged(alert, *tags_of(best, gated)),
                "opened",
                severity=best.severity,
                rule=best.compiled.rule.id,
                reason=best.reason,
            )
        confirm = best.compiled.rule.confirm
        if best.tentative and confirm is not None and self._usable(gated) and self._apart(alert, confirm, gated):
            return self.to_open(
                tagged(alert, "confirmed"),
                "confirmed",
                severity=min(confirm.confirmed, alert.severity),
                reason=best.reason,
                rule=best.compiled.rule.id,
            )
        self.put(alert, "evidence")
        return alert

    def _again(self, alert: Alert, best: Firing, gated: Gated) -> Alert:
        """A rule fires on an alert that people already see."""
        severity, tags = best.severity, tags_of(best, gated)
        confirm = best.compiled.rule.confirm if best.tentative else None
        if confirm is None:
            return self._weigh(alert, best, severity, tags)
        if self._confirms(alert, confirm, gated):
            raises = confirm.confirmed < alert.severity or alert.state is State.RECOVERED
            severity, tags = min(severity, confirm.confirmed), ("confirmed",) if raises else ()
        if gated.verdict is Verdict.OK:
            alert = self._weigh(alert, best, severity, tags)
        else:
            self.put(alert, "evidence")
        return self._ask_retake(alert, best, confirm, gated)

    def _weigh(self, alert: Alert, best: Firing, severity: Severity, tags: tuple[str, ...]) -> Alert:
        if severity < alert.severity:
            return self.worsen(tagged(alert, *tags), severity=severity, rule=best.compiled.rule.id, reason=best.reason)
        if alert.state is State.RECOVERED and severity in NOTIFIED:
            return self.to_open(tagged(alert, *tags), "came_back", reason=best.reason)
        self.put(alert, "evidence")
        return alert

    def _ask_retake(self, alert: Alert, best: Firing, confirm: Confirm, gated: Gated) -> Alert:
        """An alert in people's hands wants a second reading too.

        Where the first one was not enough to change the alert, but no retake at all would be (a suspect value, a value
        after recovery), the end of the window decides.
        """
        if gated.verdict is Verdict.OK:
            alert = replace(alert, severe_at=gated.at)
        if alert.state is State.RECOVERED or confirm.timeout < alert.severity:
            until = alert.confirm_until or self.now + confirm.window
            alert = replace(alert, asked=best.compiled.rule.id, asked_reason=best.reason, confirm_until=until)
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

    def _usable(self, gated: Gated) -> bool:
        return gated.verdict is Verdict.OK and not gated.late

    def _confirms(self, alert: Alert, confirm: Confirm, gated: Gated) -> bool:
        """Whether this reading confirms one that an open alert already holds: measured within the window after it."""
        if not self._usable(gated) or alert.severe_at is None:
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
        self.to_open(tagged(alert, "not_confirmed"), "not_confirmed", severity=strongest.severity, rule=strongest.id)

    def _window_ended(self, alert: Alert) -> None:
        asked = self.rules.by_id.get(alert.asked or alert.rule)
        confirm = asked.rule.confirm if asked is not None else None
        alert = replace(tagged(alert, "no_retake"), confirm_until=None)
        if alert.state is State.PENDING:
            self.to_open(alert, "no_retake", severity=confirm.timeout if confirm is not None else alert.severity)
            return
        severity = alert.severity if confirm is None else min(confirm.timeout, alert.severity)
        if alert.state is State.CLAIMED:
            self.worsen(alert, severity=severity, rule=alert.asked or alert.rule, reason=alert.asked_reason)
        else:
            self.to_open(
                alert, "no_retake", severity=severity, rule=alert.asked or alert.rule, reason=alert.asked_reason
            )

    def _recheck_overdue(self, alert: Alert) -> None:
        late = replace(tagged(alert, "recheck_overdue"), recheck_at=None, level=min(alert.level + 1, MAX_LEVEL))
        if late.state is State.SNOOZED:
            self.to_open(late, "recheck_overdue")
            return
        late = replace(late, escalate_at=self.next_step(late))
        self.put(late, "recheck_overdue")
        self.notify(late)

    def _recover(self, alert: Alert) -> None:
        if alert.severity not in self.rules.rule_set.needs_human_close:
            self.close(alert, "recovered", "recovered")
        elif alert.state in _ACTIVE:
            self.put(replace(alert, state=State.RECOVERED, **NO_CLOCKS), "recovered", came_from=alert.state)

    def _reopen_unheld(self, alert: Alert, kind: str) -> None:
        self.to_open(replace(alert, level=min(alert.level + 1, MAX_LEVEL)), kind)

    def _advise(self, family: str, fired: list[Firing]) -> None:
        if self.rules.ketones and any(f.compiled.rule.advice == "ketones" for f in fired):
            alert = self.live[family]
            if "ketone_advice" not in alert.tags:
                self.put(tagged(alert, "ketone_advice"), "advised")


def tags_of(firing: Firing, gated: Gated) -> tuple[str, ...]:
    return (*(("at_once",) if firing.at_once else ()), *(("late",) if gated.late else ()))
