"""The operator's page and the audited look at a dead letter's payload."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from server.db import devices, observations, operations
from server.db.audit import append_audit
from server.db.pool import async_transaction
from server.web.deps import Now, State, Tenant, User
from server.web.pages import render
from server.web.problems import NotFound
from server.web.views.operator import operator_page

router = APIRouter()
_SHOWN_BYTES = 4096


@router.get("/operator")
async def operator(request: Request, state: State, conn: Tenant, user: User, now: Now) -> Response:
    async with async_transaction(state.alerts_pool, user.practice_id) as alerts:
        backlog = await operations.backlog(alerts, user.practice_id)
    page = operator_page(
        gateways=await devices.gateways(conn),
        devices=await devices.devices(conn),
        held=await observations.held(conn),
        letters=await operations.dead_letters(conn),
        flow=await observations.flow(conn, start=now - timedelta(hours=1)),
        backlog=backlog,
        zone=user.zone,
        now=now,
    )
    return render(request, "operator/page.html", page=page)


@router.post("/operator/dead-letters/{letter_id}/payload")
async def look_at_payload(request: Request, conn: Tenant, user: User, letter_id: int) -> Response:
    """Health data: every look is a row in the audit log, hence a POST."""
    payload = await operations.dead_letter_payload(conn, letter_id)
    if payload is None:
        raise NotFound("This dead letter")
    await append_audit(
        conn,
        practice_id=user.practice_id,
        actor=user.id,
        action="look-at-payload",
        entity="dead_letter",
        entity_id=str(letter_id),
    )
    shown = payload[:_SHOWN_BYTES].decode("utf-8", errors="backslashreplace")
    return render(
        request,
        "operator/payload.html",
        status=HTTPStatus.OK,
        letter_id=letter_id,
        text=shown,
        cut=len(payload) > _SHOWN_BYTES,
        size=len(payload),
    )
