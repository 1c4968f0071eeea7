"""What a person may do to an alert, decided by the engine: claim, contact, snooze, close, escalate.

Input: the working copy and an `Action`. Output: a step in the alert's life, or a `Refusal` with a closed reason:
no_alert, already_claimed, not_allowed, reason_required, note_required.
"""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from alerts.lifecycle import Turn
from alerts.model import Action, Alert, Refusal, State
from alerts.steps import MAX_LEVEL

ACTIONS = ("claim", "contact", "snooze", "close", "escalate")


def decide(turn: Turn, action: Action) -> None:
    """Do it or refuse it. The first of two claims wins; who holds the alert is told to the second."""
    alert = turn.live.get(action.family)
    if alert is None:
        turn.out.append(_refusal(turn, action, "no_alert"))
        return
    refused = {
        "claim": _claim,
        "contact": _contact,
        "snooze": _snooze,
        "close": _close,
        "escalate": _escalate,
    }[action.action](turn, alert, action)
    if refused is not None:
        turn.out.append(_refusal(turn, action, refused, alert.owner))


def _refusal(turn: Turn, action: Action, reason: str, holder: str | None = None) -> Refusal:
    return Refusal(action=action.action, family=action.family, at=turn.now, reason=reason, holder=holder)


def _claim(turn: Turn, alert: Alert, action: Action) -> str | None:
    if alert.state is State.CLAIMED:
        return "already_claimed"
    if alert.state is State.PENDING:
        return "not_allowed"
    if alert.state is State.RECOVERED:
        # The value is back and only the closing is left: it gets an owner but stays recovered, with no clock.
        if alert.owner is not None and alert.owner != action.actor:
            return "already_claimed"
        turn.put(replace(alert, owner=action.actor, claimed_at=turn.now), "claimed", actor=action.actor)
        return None
    turn.claim(alert, action.actor)
    return None


def _contact(turn: Turn, alert: Alert, action: Action) -> str | None:
    """Talking to the patient stops the idle clock. Who calls without claiming first has claimed by calling."""
    if alert.state is State.PENDING:
        return "not_allowed"
    if alert.state in (State.OPEN, State.SNOOZED):
        turn.claim(alert, action.actor)
    turn.put(replace(turn.live[alert.family], idle_at=None), "contact", actor=action.actor, note=action.note)
    return None


def _snooze(turn: Turn, alert: Alert, action: Action) -> str | None:
    if not action.reason:
        return "reason_required"
    most = turn.rules.rule_set.snooze_max[alert.severity]
    if alert.state not in (State.OPEN, State.CLAIMED) or not action.minutes or not 0 < action.minutes <= most:
        return "not_allowed"
    until = turn.now + timedelta(minutes=action.minutes)
    asleep = replace(alert, state=State.SNOOZED, snooze_until=until, escalate_at=None, idle_at=None)
    turn.put(asleep, "snoozed", actor=action.actor, came_from=alert.state, reason=action.reason, minutes=action.minutes)
    return None


def _close(turn: Turn, alert: Alert, action: Action) -> str | None:
    if alert.state is State.PENDING:
        return "not_allowed"
    if alert.severity in turn.rules.rule_set.needs_human_close and not (action.note or "").strip():
        return "note_required"
    turn.close(alert, "closed", "handled", action.actor, disposition=action.disposition, note=action.note)
    return None


def _escalate(turn: Turn, alert: Alert, action: Action) -> str | None:
    if alert.state not in (State.OPEN, State.CLAIMED) or alert.level >= MAX_LEVEL:
        return "not_allowed"
    turn.escalate(alert, actor=action.actor, reason=action.reason or action.note)
    return None
