"""Devices and whose they are: add, assign with two identifiers, end an assignment."""

from __future__ import annotations

import re
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final

import psycopg
from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from server.db import devices, patients
from server.db.audit import append_audit
from server.db.devices import Device
from server.db.pool import AsyncConnection
from server.security.identity import CurrentUser
from server.web.deps import Now, Tenant, User
from server.web.form_state import FieldReader, FormState, Option
from server.web.htmx import redirect
from server.web.pages import render
from server.web.problems import Conflict, NotFound
from server.web.views.devices import device_line, moment_value

router = APIRouter()
_DEVICE_ID: Final = re.compile(r"^[a-z0-9][a-z0-9-]{2,39}$")
_ADDRESS: Final = re.compile(r"^([0-9A-F]{2}:){5}[0-9A-F]{2}$")
_KINDS: Final = (
    Option(value="blood-pressure", label="blood pressure"),
    Option(value="glucose", label="glucose"),
    Option(value="weight", label="weight"),
    Option(value="temperature", label="temperature"),
    Option(value="spot-oximetry", label="spot oximetry"),
    Option(value="continuous-oximetry", label="continuous oximetry"),
    Option(value="continuous-glucose", label="continuous glucose"),
)


@router.get("/devices")
async def list_devices(request: Request, conn: Tenant, user: User, now: Now) -> Response:
    lines = [device_line(item, zone=user.zone, now=now) for item in await devices.devices(conn)]
    return render(request, "registry/devices.html", devices=lines)


@router.get("/devices/new")
async def new_device(request: Request, conn: Tenant, device: str = "") -> Response:
    return await _new(request, conn, FormState(values={"device_id": device[:40]}))


@router.post("/devices/new")
async def add_device(
    request: Request,
    conn: Tenant,
    user: User,
    now: Now,
    device_id: Annotated[str, Form(max_length=200)] = "",
    kind: Annotated[str, Form(max_length=50)] = "",
    gateway_id: Annotated[str, Form(max_length=50)] = "",
    address: Annotated[str, Form(max_length=50)] = "",
    local_name: Annotated[str, Form(max_length=200)] = "",
    passkey: Annotated[str, Form(max_length=20)] = "",
    fda_defined: Annotated[str, Form(max_length=5)] = "",
) -> Response:
    reader = FieldReader(
        {
            "device_id": device_id.lower(),
            "kind": kind,
            "gateway_id": gateway_id,
            "address": address.upper(),
            "local_name": local_name,
            "passkey": passkey,
            "fda_defined": fda_defined,
        }
    )
    new_id = reader.text("device_id", "Device id", longest=40)
    if new_id and not _DEVICE_ID.match(new_id):
        reader.fail("device_id", "Device id: small letters, digits and dashes, at least three.")
    chosen_kind = reader.choice("kind", "Kind", {option.value for option in _KINDS})
    gateways = {gateway.id for gateway in await devices.gateways(conn)}
    chosen_gateway = reader.choice("gateway_id", "Gateway", gateways)
    chosen_address = reader.text("address", "Bluetooth address", required=False, longest=17)
    if chosen_address and not _ADDRESS.match(chosen_address):
        reader.fail("address", "Bluetooth address: six pairs such as F0:57:1E:00:01:01.")
    name = reader.text("local_name", "Advertised name", required=False, longest=60)
    code = reader.text("passkey", "Passkey", required=False, longest=6)
    if code and not (code.isascii() and code.isdigit()):
        reader.fail("passkey", "Passkey: up to six digits, as on the device.")
    if not reader.errors and not await devices.insert_device(
        conn,
        practice_id=user.practice_id,
        device_id=new_id,
        gateway_id=chosen_gateway,
        kind=chosen_kind,
        address=chosen_address or None,
        local_name=name or None,
        passkey=int(code) if code else None,
        fda_defined=fda_defined == "yes",
        created_at=now,
    ):
        reader.fail("device_id", "Device id: this one exists already.")
    if reader.errors:
        return await _new(request, conn, reader.state, HTTPStatus.UNPROCESSABLE_ENTITY)
    await _note(conn, user, "add", new_id)
    return redirect(request, f"/devices/{new_id}")


@router.get("/devices/{device_id}")
async def one_device(request: Request, conn: Tenant, user: User, now: Now, device_id: str) -> Response:
    return await _device(request, conn, user, now, await _find(conn, device_id), FormState())


@router.post("/devices/{device_id}/assign")
async def assign(
    request: Request,
    conn: Tenant,
    user: User,
    now: Now,
    device_id: str,
    patient_id: Annotated[str, Form(max_length=50)] = "",
    birth_on: Annotated[str, Form(max_length=20)] = "",
    from_at: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Two identifiers, read back: the patient is chosen by name and the birth date is asked, not shown."""
    device = await _find(conn, device_id)
    reader = FieldReader({"patient_id": patient_id, "birth_on": birth_on, "from_at": from_at})
    start = reader.moment("from_at", "From", user.zone, latest=now)
    born = reader.day("birth_on", "Birth date")
    patient = await patients.patient(conn, patient_id)
    if patient is None:
        reader.fail("patient_id", "Patient: choose one of the list.")
    elif born is not None and patient.birth_on != born:
        reader.fail("birth_on", "Birth date: this is not the birth date of the chosen patient. Ask again.")
    if reader.errors or patient is None or start is None:
        return await _device(request, conn, user, now, device, reader.state, HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        async with conn.transaction():
            await devices.assign(
                conn,
                practice_id=user.practice_id,
                device_id=device_id,
                patient_id=patient.id,
                from_at=start,
                recorded_at=now,
            )
    except psycopg.errors.ExclusionViolation:
        reader.fail("from_at", "From: somebody has this device at that time. End that assignment first.")
        return await _device(request, conn, user, now, device, reader.state, HTTPStatus.CONFLICT)
    await _note(conn, user, "assign", device_id, {"patient": patient.id})
    return redirect(request, f"/devices/{device_id}")


@router.post("/devices/{device_id}/end")
async def end(
    request: Request,
    conn: Tenant,
    user: User,
    now: Now,
    device_id: str,
    assignment_id: Annotated[str, Form(max_length=50)],
) -> Response:
    device = await _find(conn, device_id)
    if device.assignment_id != assignment_id or not await devices.end_assignment(conn, assignment_id, at=now):
        raise Conflict("This assignment has ended already. Load the page again.")
    await _note(conn, user, "end-assignment", device_id, {"assignment": assignment_id})
    return redirect(request, f"/devices/{device_id}")


async def _find(conn: AsyncConnection, device_id: str) -> Device:
    found = await devices.device(conn, device_id)
    if found is None:
        raise NotFound("This device", audit=("refused", "device", device_id))
    return found


async def _note(
    conn: AsyncConnection, user: CurrentUser, action: str, device_id: str, detail: dict[str, str] | None = None
) -> None:
    await append_audit(
        conn,
        practice_id=user.practice_id,
        actor=user.id,
        action=action,
        entity="device",
        entity_id=device_id,
        detail=dict(detail or {}),
    )


async def _new(
    request: Request, conn: AsyncConnection, form: FormState, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    gateways = [Option(value=gateway.id, label=gateway.id) for gateway in await devices.gateways(conn)]
    return render(request, "registry/new_device.html", status=status, form=form, kinds=_KINDS, gateways=gateways)


async def _device(
    request: Request,
    conn: AsyncConnection,
    user: CurrentUser,
    now: datetime,
    device: Device,
    form: FormState,
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    choices = [Option(value="", label="Choose a patient")]
    choices += [Option(value=one.id, label=one.name) for one in await patients.patients(conn)]
    if "from_at" not in form.values:
        form = FormState(values={**form.values, "from_at": moment_value(now, user.zone)}, errors=form.errors)
    return render(
        request,
        "registry/device.html",
        status=status,
        device=device_line(device, zone=user.zone, now=now),
        patients=choices,
        form=form,
    )
