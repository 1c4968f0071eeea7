"""A person's act on an alert, decided by the engine on the locked patient.

Input: a connection of the role `vw_alerts` inside a transaction, who does what to which alert and when. Output:
`Acted`, or `Refused` with a closed reason. Of two claims at one moment the database decides which is first; the second
is told who holds the alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alerts import journal, tables
from alerts.actions import ACTIONS
from alerts.batch import Rulebook
from alerts.engine import due_at, step
from alerts.model import Action, Alert, NotificationDue, Refusal, State
from alerts.rules import load_rule_set

NO_ALERT: Final = "no_alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """It is done; the alert as it is now."""

    alert_id: str
    state: State
    owner_id: str | None
    notifications: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """It may not be done. `reason`: no_alert (not this practice's, or closed), already_claimed, not_allowed,
    reason_required, note_required.

    `holder_id` is who holds the alert, where somebody does.
    """

    reason: str
    holder_id: str | None = None


_book: list[Rulebook] = []


def _rulebook() -> Rulebook:
    """The shipped rule set, read once a process."""
    if not _book:
        _book.append(Rulebook(load_rule_set()))
    return _book[0]


async def act(
    conn: tables.AsyncConnection,
    *,
    practice_id: str,
    alert_id: str,
    actor_id: str,
    action: str,
    at: datetime,
    reason: str | None = None,
    minutes: int | None = None,
    disposition: str | None = None,
    note: str | None = None,
) -> Acted | Refused:
    """Do it in the caller's transaction, which must then commit. Waits for the patient's lock (a batch is short)."""
    if action not in ACTIONS:
        raise ValueError(f"unknown action {action!r}; known are {', '.join(ACTIONS)}")
    found = await tables.alert_family(conn, alert=alert_id, practice_id=practice_id)
    if found is None:
        return Refused(reason=NO_ALERT)
    patient_id, family = found
    patient = await tables.lock_patient(conn, patient_id=patient_id, practice_id=practice_id, now=at)
    if patient is None or patient.state is None:
        return Refused(reason=NO_ALERT)
    live = patient.state.live.get(family)
    if live is None or tables.alert_id(patient_id, live.number) != alert_id:
        return Refused(reason=NO_ALERT)
    book = _rulebook()
    rules = book.of(patient)
    event = Action(
        action=action,
        family=family,
        at=at,
        actor=actor_id,
        minutes=minutes,
        reason=reason,
        disposition=disposition,
        note=note,
    )
    state, outputs = step(patient.state, event, rules)
    result = journal.Result(
        patient=patient, state=state, due_at=due_at(state, rules), outputs=outputs, ruleset=book.rule_set.label
    )
    await journal.write(conn, [result], done=(), now=at)
    for output in outputs:
        if isinstance(output, Refusal):
            return Refused(reason=output.reason, holder_id=output.holder)
    alert = _after(state.live.get(family), state.closed.get(family), live.number)
    return Acted(
        alert_id=alert_id,
        state=alert.state,
        owner_id=alert.owner,
        notifications=sum(isinstance(o, NotificationDue) for o in outputs),
    )


def _after(live: Alert | None, closed: Alert | None, number: int) -> Alert:
    for alert in (live, closed):
        if alert is not None and alert.number == number:
            return alert
    raise AssertionError("an alert that was acted upon is live or the last closed of its family")
