"""What a nurse does with one alert: open its panel, claim, log a contact, snooze, escalate, close.

The engine decides every act in one transaction; whoever loses a race is told who won.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from server.care import protocol
from server.db import alerts as alert_rows
from server.db import time_entries
from server.db.audit import append_audit
from server.db.pool import async_transaction
from server.security.identity import CurrentUser
from server.security.phi import NotVisibleError
from server.web import forms
from server.web.alert_actions import Outcome, act
from server.web.deps import Now, State, Tenant, User
from server.web.htmx import is_fragment, redirect
from server.web.pages import render
from server.web.patient_panel import gather_panel
from server.web.problems import Conflict
from server.web.state import WebState
from server.web.views.worklist import Show, worklist_view

router = APIRouter()
Ticked = Annotated[list[str], Form()]


@router.get("/alerts/{alert_id}/panel")
async def panel(
    request: Request, alert_id: str, conn: Tenant, user: User, now: Now, show: Annotated[Show, Query()] = "all"
) -> Response:
    if not is_fragment(request):
        return redirect(request, f"/worklist?alert={alert_id}&show={show}")
    alert = await _visible(await alert_rows.alert(conn, alert_id), alert_id)
    view = await gather_panel(conn, user, patient_id=alert.patient_id, alert=alert, now=now, purpose="alert")
    return render(request, "alerts/_panel.html", panel=view, show=show)


@router.post("/alerts/{alert_id}/claim")
async def claim(
    request: Request, alert_id: str, state: State, user: User, now: Now, show: Annotated[Show, Form()] = "all"
) -> Response:
    outcome = await _act(state, user, alert_id, action="claim", now=now)
    return await _answer(request, state, user, alert_id, now=now, show=show, outcome=outcome, done="Claimed.")


@router.post("/alerts/{alert_id}/contact")
async def contact(
    request: Request,
    alert_id: str,
    state: State,
    user: User,
    now: Now,
    family: Annotated[str, Form()] = "",
    outcome: Annotated[str, Form()] = "",
    went_through: Annotated[bool, Form()] = False,
    ticked: Ticked = [],  # noqa: B006 - FastAPI copies it
    note: Annotated[str, Form()] = "",
    show: Annotated[Show, Form()] = "all",
) -> Response:
    forms.choice(outcome, protocol.CONTACT_OUTCOMES, "Outcome")
    words = protocol.compose_note(family, went_through=went_through, ticked=ticked, words=forms.note(note))
    text = f"{protocol.CONTACT_OUTCOMES[outcome]}. {words}".strip()
    result = await _act(state, user, alert_id, action="contact", now=now, note=text)
    return await _answer(request, state, user, alert_id, now=now, show=show, outcome=result, done="Contact logged.")


@router.post("/alerts/{alert_id}/snooze")
async def snooze(
    request: Request,
    alert_id: str,
    state: State,
    user: User,
    now: Now,
    minutes: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
    show: Annotated[Show, Form()] = "all",
) -> Response:
    result = await _act(
        state,
        user,
        alert_id,
        action="snooze",
        now=now,
        minutes=forms.whole_number(minutes, low=1, high=43_200, field="Minutes"),
        reason=forms.choice(reason, protocol.SNOOZE_REASONS, "Reason"),
    )
    return await _answer(request, state, user, alert_id, now=now, show=show, outcome=result, done="Snoozed.")


@router.post("/alerts/{alert_id}/escalate")
async def escalate(
    request: Request,
    alert_id: str,
    state: State,
    user: User,
    now: Now,
    note: Annotated[str, Form()] = "",
    show: Annotated[Show, Form()] = "all",
) -> Response:
    text = forms.note(note, field="What the next person must know", required=True)
    result = await _act(state, user, alert_id, action="escalate", now=now, note=text, reason=text)
    return await _answer(request, state, user, alert_id, now=now, show=show, outcome=result, done="Escalated.")


@router.post("/alerts/{alert_id}/close")
async def close(
    request: Request,
    alert_id: str,
    state: State,
    user: User,
    now: Now,
    family: Annotated[str, Form()] = "",
    disposition: Annotated[str, Form()] = "",
    went_through: Annotated[bool, Form()] = False,
    ticked: Ticked = [],  # noqa: B006 - FastAPI copies it
    note: Annotated[str, Form()] = "",
    show: Annotated[Show, Form()] = "all",
) -> Response:
    forms.choice(disposition, protocol.DISPOSITIONS, "Disposition")
    words = protocol.compose_note(family, went_through=went_through, ticked=ticked, words=forms.note(note))
    result = await _act(state, user, alert_id, action="close", now=now, disposition=disposition, note=words)
    return await _answer(request, state, user, alert_id, now=now, show=show, outcome=result, done="Closed.")


async def _act(
    state: WebState,
    user: CurrentUser,
    alert_id: str,
    *,
    action: str,
    now: datetime,
    reason: str | None = None,
    minutes: int | None = None,
    disposition: str | None = None,
    note: str | None = None,
) -> Outcome:
    """Check that the alert is this practice's, let the engine decide, audit what was done."""
    async with async_transaction(state.pool, user.practice_id) as conn:
        alert = await _visible(await alert_rows.alert(conn, alert_id), alert_id)
    outcome = await act(
        state,
        practice_id=user.practice_id,
        alert_id=alert_id,
        actor_id=user.id,
        action=action,
        at=now,
        reason=reason,
        minutes=minutes,
        disposition=disposition,
        note=note,
    )
    async with async_transaction(state.pool, user.practice_id) as conn:
        await append_audit(
            conn,
            practice_id=user.practice_id,
            actor=user.id,
            action=f"alert-{action}" if outcome.refused is None else f"alert-{action}-refused",
            entity="alert",
            entity_id=alert_id,
        )
        if note and outcome.refused is None:
            await time_entries.draft_was_sent(conn, user_id=user.id, patient_id=alert.patient_id, note=note)
    return outcome


async def _answer(
    request: Request,
    state: WebState,
    user: CurrentUser,
    alert_id: str,
    *,
    now: datetime,
    show: Show,
    outcome: Outcome,
    done: str,
) -> Response:
    """Rows, panel and message in one answer; a browser without script is sent back to the page."""
    if not is_fragment(request):
        if outcome.refused is not None:
            raise Conflict(outcome.refused)
        return redirect(request, f"/worklist?alert={alert_id}&show={show}")
    async with async_transaction(state.pool, user.practice_id) as conn:
        alert = await _visible(await alert_rows.alert(conn, alert_id), alert_id)
        panel = await gather_panel(conn, user, patient_id=alert.patient_id, alert=alert, now=now, purpose="alert")
        view = worklist_view(await alert_rows.live_alerts(conn), user=user, now=now, show=show, selected_id=alert_id)
    return render(request, "alerts/_acted.html", view=view, panel=panel, show=show, done=done, refused=outcome.refused)


async def _visible(alert: alert_rows.AlertRow | None, alert_id: str) -> alert_rows.AlertRow:
    """Row-level security has already hidden another practice's alert."""
    if alert is None:
        raise NotVisibleError("alert", alert_id)
    return alert
