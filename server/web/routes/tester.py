"""The tester's pages: only in a simulated practice, where devices are processes that can be asked to measure."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from server.db import devices, observations
from server.db.audit import append_audit
from server.db.devices import Device
from server.demo.device_control import DeviceControlError, ask, read_registry
from server.security.identity import CurrentUser
from server.web.deps import Now, State, Tenant, User
from server.web.htmx import redirect
from server.web.pages import render
from server.web.problems import Conflict, Forbidden, NotFound
from server.web.state import WebState
from server.web.views.tester import act_of, devices_view, trace_page

router = APIRouter()


@router.get("/tester")
async def devices_page(request: Request, state: State, conn: Tenant, user: User, now: Now, done: str = "") -> Response:
    _only_simulated(user)
    found = await devices.devices(conn)
    page = devices_view(
        devices=found,
        answers=await _answers(state, found),
        recent=await observations.recent(conn),
        zone=user.zone,
        now=now,
    )
    device, _, key = done.partition(":")
    known = next((item for item in found if item.id == device), None)
    act = act_of(known.kind, key) if known is not None else None
    message = f"{device}: {act.label.lower()}, done." if act is not None else ""
    return render(request, "tester/page.html", page=page, message=message)


@router.post("/tester/devices/{device_id}/{act}")
async def perform(request: Request, state: State, conn: Tenant, user: User, device_id: str, act: str) -> Response:
    _only_simulated(user)
    device = await devices.device(conn, device_id)
    chosen = act_of(device.kind, act) if device is not None else None
    if device is None or chosen is None:
        raise NotFound("This device or act")
    try:
        address = read_registry(state.settings.sim_control).get(device_id)
        if address is None:
            raise Conflict(f"{device_id} is not simulated here. Start the demo, then try again.")
        await ask(address, chosen.request)
    except DeviceControlError as error:
        raise Conflict(f"{device_id}: {error}.") from error
    await append_audit(
        conn,
        practice_id=user.practice_id,
        actor=user.id,
        action=f"simulate-{act}",
        entity="device",
        entity_id=device_id,
    )
    return redirect(request, f"/tester?done={device_id}:{act}")


@router.get("/tester/readings/{message_id}")
async def follow(request: Request, conn: Tenant, user: User, message_id: str) -> Response:
    _only_simulated(user)
    try:
        key = str(UUID(message_id))
    except ValueError:
        raise NotFound("This reading") from None
    trace = await observations.trace(conn, key)
    if trace is None:
        raise NotFound("This reading")
    gateway = next((item for item in await devices.gateways(conn) if item.id == trace.gateway_id), None)
    page = trace_page(trace, gateway, zone=user.zone)
    return render(request, "tester/trace.html", status=HTTPStatus.OK, page=page)


def _only_simulated(user: CurrentUser) -> None:
    if not user.is_simulated:
        raise Forbidden("Tester pages exist only in a simulated practice.", audit=("refused", "page", "tester"))


async def _answers(state: WebState, found: list[Device]) -> dict[str, Mapping[str, Any] | str]:
    try:
        registry = read_registry(state.settings.sim_control)
    except DeviceControlError as error:
        return {device.id: str(error) for device in found}
    known = [device.id for device in found if device.id in registry]
    answers = await asyncio.gather(*(_status(registry[device_id]) for device_id in known))
    return dict(zip(known, answers, strict=True))


async def _status(address: str) -> Mapping[str, Any] | str:
    try:
        return await ask(address, {"do": "status"}, timeout=1.0)
    except DeviceControlError as error:
        return str(error)
