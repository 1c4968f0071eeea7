"""Users and the audit log, for administrators. No clinical content."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from server.db import accounts, operations, patients
from server.db.audit import append_audit
from server.db.pool import AsyncConnection
from server.security.identity import Role
from server.web.deps import Now, State, Tenant, User
from server.web.form_state import FieldReader, FormState, Option
from server.web.htmx import redirect
from server.web.pages import render
from server.web.problems import Conflict, NotFound
from server.web.views.admin import audit_page, user_lines

router = APIRouter()
_LOGIN: Final = re.compile(r"^[a-z0-9][a-z0-9._@-]{2,63}$")
# NIST SP 800-63B-4: fifteen characters where the password is the only factor; no rules of composition.
_SHORTEST_PASSWORD: Final = 15
_LONGEST_PASSWORD: Final = 256


@router.get("/admin")
async def users_page(request: Request, conn: Tenant, user: User) -> Response:
    return await _users(request, conn, user.id, FormState())


@router.post("/admin/users")
async def create_user(
    request: Request,
    state: State,
    conn: Tenant,
    user: User,
    display_name: Annotated[str, Form(max_length=500)] = "",
    login: Annotated[str, Form(max_length=500)] = "",
    role: Annotated[str, Form(max_length=50)] = "",
    person: Annotated[str, Form(max_length=100)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    reader = FieldReader({"display_name": display_name, "login": login.lower(), "role": role, "person": person})
    name = reader.text("display_name", "Name")
    login_name = reader.text("login", "Log-in name", longest=64)
    chosen = reader.choice("role", "Role", {item.value for item in Role})
    if login_name and not _LOGIN.match(login_name):
        reader.fail("login", "Log-in name: 3 to 64 small letters, digits, dots, dashes or @.")
    if not _SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
        reader.fail("password", f"Password: {_SHORTEST_PASSWORD} to {_LONGEST_PASSWORD} characters, any characters.")
    if not reader.errors and await accounts.login_taken(conn, login_name):
        reader.fail("login", "Log-in name: this one is taken, choose another.")
    staff_id, practitioner_id, patient_id = await _person(conn, reader, chosen, person.strip())
    if reader.errors:
        return await _users(request, conn, user.id, reader.state, HTTPStatus.UNPROCESSABLE_ENTITY)
    new_id = await accounts.insert_user(
        conn,
        practice_id=user.practice_id,
        login=login_name,
        password_hash=await state.passwords.hash(password),
        role=chosen,
        display_name=name,
        staff_id=staff_id,
        practitioner_id=practitioner_id,
        patient_id=patient_id,
    )
    await append_audit(
        conn,
        practice_id=user.practice_id,
        actor=user.id,
        action="create",
        entity="app_user",
        entity_id=new_id,
        detail={"role": chosen},
    )
    return redirect(request, "/admin")


async def _person(
    conn: AsyncConnection, reader: FieldReader, role: str, person: str
) -> tuple[str | None, str | None, str | None]:
    """(staff, practitioner, patient) a log-in stands for. Roles that act for nobody need none."""
    team = {member.id: member.kind for member in await accounts.care_team(conn)}
    wanted = {Role.NURSE: "staff", Role.PRACTITIONER: "practitioner"}.get(Role(role)) if role in set(Role) else None
    if wanted is not None:
        if team.get(person) != wanted:
            reader.fail("person", f"Stands for: choose a {'staff member' if wanted == 'staff' else 'practitioner'}.")
        return (person, None, None) if wanted == "staff" else (None, person, None)
    if role == Role.PATIENT:
        if await patients.patient(conn, person) is None:
            reader.fail("person", "Stands for: choose a patient.")
        return None, None, person
    if person:
        reader.fail("person", "Stands for: leave empty for this role.")
    return None, None, None


@router.post("/admin/users/{user_id}/disable")
async def disable_user(request: Request, conn: Tenant, user: User, now: Now, user_id: str) -> Response:
    if user_id == user.id:
        raise Conflict("You cannot switch off your own log-in. Ask another administrator.")
    if not await accounts.disable_user(conn, user_id, at=now):
        raise NotFound("This active log-in")
    await append_audit(
        conn, practice_id=user.practice_id, actor=user.id, action="disable", entity="app_user", entity_id=user_id
    )
    return redirect(request, "/admin")


@router.get("/admin/audit")
async def audit(request: Request, conn: Tenant, user: User, before: int | None = None, verify: int = 0) -> Response:
    problems = await operations.audit_problems(conn, user.practice_id) if verify else None
    page = audit_page(
        await operations.audit_rows(conn, before=before),
        total=await operations.audit_count(conn),
        problems=problems,
        zone=user.zone,
    )
    return render(request, "admin/audit.html", page=page)


async def _users(
    request: Request, conn: AsyncConnection, own_id: str, form: FormState, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    people = [
        Option(value="", label="Nobody"),
        *(Option(value=one.id, label=f"{one.name}, {one.credential}") for one in await accounts.care_team(conn)),
        *(Option(value=one.id, label=f"Patient {one.name}") for one in await patients.patients(conn)),
    ]
    return render(
        request,
        "admin/users.html",
        status=status,
        users=user_lines(await accounts.users_of_practice(conn), own_id=own_id),
        form=form,
        roles=[Option(value=role.value, label=role.value) for role in Role],
        people=people,
    )
