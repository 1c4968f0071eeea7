"""The registry: enrol a patient end to end, from the person to the approved care plan."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final

import psycopg
from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from server.db import devices, enrollments, patients
from server.db.audit import append_audit
from server.db.pool import AsyncConnection
from server.security.identity import CurrentUser
from server.security.phi import note_list, open_patient
from server.web.deps import Now, Tenant, User
from server.web.form_state import FieldReader, FormState, Option
from server.web.htmx import redirect
from server.web.pages import render
from server.web.problems import Conflict, Forbidden
from server.web.views.registry import CONSENT_WORDS, PROGRAMS, RecordForms, patient_lines, record_page, values_of

router = APIRouter()
_LANGUAGES: Final = (Option(value="en", label="English"), Option(value="es", label="Spanish"))
_SEXES: Final = (
    Option(value="", label="Not recorded"),
    Option(value="female", label="Female"),
    Option(value="male", label="Male"),
    Option(value="other", label="Other"),
)
_FORMS: Final = (Option(value="verbal", label="Spoken"), Option(value="written", label="Written"))
_END_REASONS: Final = tuple(
    Option(value=word, label=word.replace("-", " "))
    for word in ("order-stopped", "consent-withdrawn", "device-returned", "goals-met", "death", "transfer")
)
_Text = Annotated[str, Form(max_length=500)]
_Unprocessable: Final = HTTPStatus.UNPROCESSABLE_ENTITY


@router.get("/registry")
async def registry(request: Request, conn: Tenant, user: User, q: str = "") -> Response:
    found = await patients.patients(conn, search=q.strip()[:100])
    await note_list(conn, user, page="registry", patient_ids=[patient.id for patient in found])
    return render(request, "registry/patients.html", patients=patient_lines(found), search=q.strip()[:100])


@router.get("/registry/new")
async def new_patient(request: Request, user: User) -> Response:
    return _new(request, FormState(values={"zone": user.zone.key, "language": "en", "sex": ""}))


@router.post("/registry/new")
async def add_patient(
    request: Request,
    conn: Tenant,
    user: User,
    now: Now,
    name: _Text = "",
    birth_on: _Text = "",
    sex: _Text = "",
    phone: _Text = "",
    language: _Text = "",
    zone: _Text = "",
    goal: _Text = "",
    established_on: _Text = "",
) -> Response:
    reader = _patient_reader(
        name=name, birth_on=birth_on, phone=phone, language=language, goal=goal, sex=sex, zone=zone,
        established_on=established_on,
    )  # fmt: skip
    today = now.astimezone(user.zone).date()
    full_name = reader.text("name", "Name")
    born = reader.day("birth_on", "Birth date", latest=today)
    reader.choice("sex", "Sex", {option.value for option in _SEXES})
    number = reader.text("phone", "Telephone", required=False, longest=40)
    spoken = reader.choice("language", "Language", {option.value for option in _LANGUAGES})
    lives_in = reader.zone("zone", "Time zone")
    own_goal = reader.text("goal", "Goal", required=False)
    known_since = reader.day("established_on", "Established on", required=False, latest=today)
    if reader.errors or born is None:
        return _new(request, reader.state, _Unprocessable)
    patient_id = await patients.insert_patient(
        conn,
        practice_id=user.practice_id,
        name=full_name,
        birth_on=born,
        sex=reader.values["sex"] or None,
        phone=number or None,
        language=spoken,
        established_on=known_since,
        goal=own_goal or None,
        zone=lives_in,
        zone_from=born,
    )
    await _note(conn, user, "create", "patient", patient_id)
    return redirect(request, f"/registry/{patient_id}")


@router.get("/registry/{patient_id}")
async def record(request: Request, conn: Tenant, user: User, now: Now, patient_id: str) -> Response:
    return await _record(request, conn, user, now, patient_id, RecordForms())


@router.post("/registry/{patient_id}/edit")
async def edit(
    request: Request,
    conn: Tenant,
    user: User,
    now: Now,
    patient_id: str,
    name: _Text = "",
    birth_on: _Text = "",
    phone: _Text = "",
    language: _Text = "",
    goal: _Text = "",
) -> Response:
    reader = _patient_reader(name=name, birth_on=birth_on, phone=phone, language=language, goal=goal)
    full_name = reader.text("name", "Name")
    born = reader.day("birth_on", "Birth date", latest=now.astimezone(user.zone).date())
    number = reader.text("phone", "Telephone", required=False, longest=40)
    spoken = reader.choice("language", "Language", {option.value for option in _LANGUAGES})
    own_goal = reader.text("goal", "Goal", required=False)
    if reader.errors:
        return await _record(request, conn, user, now, patient_id, RecordForms(edit=reader.state), _Unprocessable)
    await open_patient(conn, user, patient_id, purpose="edit")
    await patients.update_patient(
        conn,
        patient_id,
        name=full_name,
        birth_on=born,
        phone=number or None,
        language=spoken,
        goal=own_goal or None,
    )
    await _note(conn, user, "edit", "patient", patient_id)
    return redirect(request, f"/registry/{patient_id}")


@router.post("/registry/{patient_id}/condition")
async def add_condition(
    request: Request,
    conn: Tenant,
    user: User,
    now: Now,
    patient_id: str,
    icd10: _Text = "",
    chronic: _Text = "",
    risk: _Text = "",
) -> Response:
    reader = FieldReader({"icd10": icd10, "chronic": chronic, "risk": risk})
    code = reader.diagnosis("icd10", "Diagnosis")
    if reader.errors:
        return await _record(request, conn, user, now, patient_id, RecordForms(condition=reader.state), _Unprocessable)
    await open_patient(conn, user, patient_id, purpose="add condition")
    await patients.insert_condition(
        conn,
        practice_id=user.practice_id,
        patient_id=patient_id,
        icd10=code,
        chronic_12_months=chronic == "yes",
        significant_risk=risk == "yes",
        attested_by=user.practitioner_id,
    )
    await _note(conn, user, "add-condition", "patient", patient_id)
    return redirect(request, f"/registry/{patient_id}#conditions")


@router.post("/registry/{patient_id}/enroll")
async def enroll(
    request: Request,
    conn: Tenant,
    user: User,
    now: Now,
    patient_id: str,
    program: _Text = "",
    practitioner: _Text = "",
    from_on: _Text = "",
    ordered_on: _Text = "",
    setup_on: _Text = "",
    diagnosis: _Text = "",
) -> Response:
    reader = FieldReader(
        {
            "program": program,
            "practitioner": practitioner,
            "from_on": from_on,
            "ordered_on": ordered_on,
            "setup_on": setup_on,
            "diagnosis": diagnosis,
        }
    )
    chosen = reader.choice("program", "Program", {option.value for option in PROGRAMS})
    doctor = reader.choice("practitioner", "Practitioner", {one.id for one in await enrollments.practitioners(conn)})
    start = reader.day("from_on", "From")
    is_rpm = chosen == "rpm"
    ordered = reader.day("ordered_on", "Ordered on", required=is_rpm)
    setup = reader.day("setup_on", "Set up on", required=False, earliest=ordered)
    code = reader.diagnosis("diagnosis", "Diagnosis", required=is_rpm)
    if reader.errors or start is None:
        return await _record(request, conn, user, now, patient_id, RecordForms(enroll=reader.state), _Unprocessable)
    await open_patient(conn, user, patient_id, purpose="enrol")
    try:
        async with conn.transaction():
            await enrollments.insert_enrollment(
                conn,
                practice_id=user.practice_id,
                patient_id=patient_id,
                program=chosen,
                practitioner_id=doctor,
                from_on=start,
                recorded_at=now,
                episode=f"ep-{patient_id}-{start.isoformat()}" if is_rpm else None,
                ordered_on=ordered,
                diagnosis=code or None,
                setup_on=setup,
            )
    except psycopg.errors.ExclusionViolation:
        reader.fail("from_on", "From: the patient is in this program with this practitioner then.")
        return await _record(
            request, conn, user, now, patient_id, RecordForms(enroll=reader.state), HTTPStatus.CONFLICT
        )
    await _note(conn, user, "enrol", "patient", patient_id, {"program": chosen})
    return redirect(request, f"/registry/{patient_id}#programs")


@router.post("/registry/{patient_id}/end-enrollment")
async def end_enrollment(
    request: Request,
    conn: Tenant,
    user: User,
    now: Now,
    patient_id: str,
    enrollment_id: _Text,
    end_reason: _Text = "",
) -> Response:
    if end_reason not in {option.value for option in _END_REASONS}:
        raise Conflict("Choose why the program ends.")
    await open_patient(conn, user, patient_id, purpose="end enrolment")
    mine = {item.id: item for item in await enrollments.enrollments(conn, patient_id)}
    today = now.astimezone(user.zone).date()
    found = mine.get(enrollment_id)
    if found is None or found.from_on > today:
        raise Conflict("This program is not running. Load the page again.")
    if not await enrollments.end_enrollment(conn, enrollment_id, to_on=today, end_reason=end_reason):
        raise Conflict("This program has ended already. Load the page again.")
    await _note(conn, user, "end-enrolment", "patient", patient_id, {"enrollment": enrollment_id})
    return redirect(request, f"/registry/{patient_id}#programs")


@router.post("/registry/{patient_id}/consent")
async def add_consent(request: Request, conn: Tenant, user: User, now: Now, patient_id: str) -> Response:
    form = await request.form()
    names = ("program", "practitioner", "granted_at", "form", "language")
    statements = tuple(word for word in CONSENT_WORDS if word in form.getlist("statements"))
    reader = FieldReader(
        {**{name: str(form.get(name, ""))[:100] for name in names}, **dict.fromkeys(statements, "yes")}
    )
    program = reader.choice("program", "Program", {option.value for option in PROGRAMS})
    doctor = reader.choice("practitioner", "Practitioner", {one.id for one in await enrollments.practitioners(conn)})
    granted = reader.moment("granted_at", "Given at", user.zone, latest=now)
    way = reader.choice("form", "Form", {option.value for option in _FORMS})
    spoken = reader.choice("language", "Language", {option.value for option in _LANGUAGES})
    if len(statements) != len(CONSENT_WORDS):
        reader.fail("statements", "Statements: consent counts only when all four were said.")
    if reader.errors or granted is None:
        return await _record(request, conn, user, now, patient_id, RecordForms(consent=reader.state), _Unprocessable)
    await open_patient(conn, user, patient_id, purpose="consent")
    await enrollments.insert_consent(
        conn,
        practice_id=user.practice_id,
        patient_id=patient_id,
        program=program,
        practitioner_id=doctor,
        granted_at=granted,
        form=way,
        statements=statements,
        language=spoken,
        recorded_by=user.id,
        recorded_at=now,
    )
    await _note(conn, user, "record-consent", "patient", patient_id, {"program": program})
    return redirect(request, f"/registry/{patient_id}#consents")


@router.post("/registry/{patient_id}/revoke")
async def revoke(request: Request, conn: Tenant, user: User, now: Now, patient_id: str, consent_id: _Text) -> Response:
    await open_patient(conn, user, patient_id, purpose="withdraw consent")
    mine = {item.id for item in await enrollments.consents(conn, patient_id)}
    if consent_id not in mine or not await enrollments.revoke_consent(conn, consent_id, revoked_at=now):
        raise Conflict("This consent was withdrawn already. Load the page again.")
    await _note(conn, user, "withdraw-consent", "patient", patient_id, {"consent": consent_id})
    return redirect(request, f"/registry/{patient_id}#consents")


@router.post("/registry/{patient_id}/care-plan")
async def write_plan(
    request: Request,
    conn: Tenant,
    user: User,
    now: Now,
    patient_id: str,
    program: _Text = "",
    problems: Annotated[str, Form(max_length=4000)] = "",
    goals: Annotated[str, Form(max_length=4000)] = "",
    actions: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """A new version; it counts from its approval."""
    reader = FieldReader({"program": program, "problems": problems, "goals": goals, "actions": actions})
    chosen = reader.choice("program", "Program", {option.value for option in PROGRAMS})
    for name, label in (("problems", "Problems"), ("goals", "Goals"), ("actions", "Actions")):
        if not reader.values[name]:
            reader.fail(name, f"{label}: please fill this in.")
    if reader.errors:
        return await _record(request, conn, user, now, patient_id, RecordForms(plan=reader.state), _Unprocessable)
    await open_patient(conn, user, patient_id, purpose="care plan")
    version = await enrollments.insert_care_plan(
        conn,
        practice_id=user.practice_id,
        patient_id=patient_id,
        program=chosen,
        content={name: reader.values[name] for name in ("problems", "goals", "actions")},
        recorded_at=now,
    )
    await _note(conn, user, "write-care-plan", "patient", patient_id, {"program": chosen, "version": str(version)})
    return redirect(request, f"/registry/{patient_id}#plans")


@router.post("/registry/{patient_id}/approve")
async def approve_plan(
    request: Request, conn: Tenant, user: User, now: Now, patient_id: str, care_plan_id: _Text
) -> Response:
    """Only a practitioner approves, and only as themselves."""
    if user.practitioner_id is None:
        raise Forbidden("Only a practitioner approves a care plan.", audit=("refused", "care_plan", care_plan_id[:50]))
    await open_patient(conn, user, patient_id, purpose="approve care plan")
    mine = {item.id for item in await enrollments.care_plans(conn, patient_id)}
    if care_plan_id not in mine or not await enrollments.approve_care_plan(
        conn, care_plan_id, approved_at=now, approved_by=user.practitioner_id
    ):
        raise Conflict("This plan was approved already. Load the page again.")
    await _note(conn, user, "approve-care-plan", "patient", patient_id, {"care_plan": care_plan_id})
    return redirect(request, f"/registry/{patient_id}#plans")


def _patient_reader(**values: str) -> FieldReader:
    return FieldReader(values)


def _new(request: Request, form: FormState, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return render(request, "registry/new_patient.html", status=status, form=form, languages=_LANGUAGES, sexes=_SEXES)


async def _note(
    conn: AsyncConnection,
    user: CurrentUser,
    action: str,
    entity: str,
    entity_id: str,
    detail: dict[str, str] | None = None,
) -> None:
    await append_audit(
        conn,
        practice_id=user.practice_id,
        actor=user.id,
        action=action,
        entity=entity,
        entity_id=entity_id,
        detail=dict(detail or {}),
    )


async def _record(
    request: Request,
    conn: AsyncConnection,
    user: CurrentUser,
    now: datetime,
    patient_id: str,
    forms: RecordForms,
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    patient = await open_patient(conn, user, patient_id, purpose="record")
    doctors = await enrollments.practitioners(conn)
    page = record_page(
        patient=patient,
        conditions=await patients.conditions(conn, patient_id),
        enrollments=await enrollments.enrollments(conn, patient_id),
        consents=await enrollments.consents(conn, patient_id),
        plans=await enrollments.care_plans(conn, patient_id),
        devices=await devices.devices_of_patient(conn, patient_id),
        practitioners=doctors,
        zone=user.zone,
    )
    return render(
        request,
        "registry/record.html",
        status=status,
        page=page,
        forms=forms.filled(values_of(patient), now=now, zone=user.zone),
        programs=PROGRAMS,
        practitioners=[Option(value=one.id, label=f"{one.name}, {one.credential}") for one in doctors],
        languages=_LANGUAGES,
        ways=_FORMS,
        end_reasons=_END_REASONS,
        statements=CONSENT_WORDS,
        may_approve=user.practitioner_id is not None,
    )
