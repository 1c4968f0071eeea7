"""A nurse's act on an alert: the engine decides it, in a transaction of its own role.

Input: an act. Output: done, or one sentence that says why not and, where it matters, who was first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alerts.store import Refused
from alerts.store import act as engine_act
from server.db.pool import async_transaction
from server.db.users import display_name
from server.web.state import WebState

_SENTENCES: Final = {
    "not_allowed": "This cannot be done with the alert as it is now.",
    "reason_required": "Choose a reason first.",
    "note_required": "Write a note before closing: what was found and what was done.",
    "no_alert": "This alert was closed in the meantime.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`refused` is None when the act was done."""

    refused: str | None = None


async def act(
    state: WebState,
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
) -> Outcome:
    """One act. Two nurses at once: the first transaction wins, the second learns who it was."""
    async with async_transaction(state.alerts_pool, practice_id) as conn:
        result = await engine_act(
            conn,
            practice_id=practice_id,
            alert_id=alert_id,
            actor_id=actor_id,
            action=action,
            at=at,
            reason=reason,
            minutes=minutes,
            disposition=disposition,
            note=note,
        )
    if not isinstance(result, Refused):
        return Outcome()
    if result.reason == "already_claimed":
        holder = await _holder(state, result.holder_id, practice_id=practice_id, actor_id=actor_id)
        return Outcome(refused=f"{holder} claimed this alert first.")
    return Outcome(refused=_SENTENCES.get(result.reason, _SENTENCES["not_allowed"]))


async def _holder(state: WebState, holder_id: str | None, *, practice_id: str, actor_id: str) -> str:
    if holder_id is None:
        return "Somebody else has"
    if holder_id == actor_id:
        return "You have"
    async with async_transaction(state.pool, practice_id) as conn:
        name = await display_name(conn, holder_id, practice_id=practice_id)
    return f"{name or 'Somebody else'} has"
