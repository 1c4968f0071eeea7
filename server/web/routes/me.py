"""The patient's own page and its language switch. A patient's log-in names one patient, and no address does."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from server.db import accounts, observations, operations, patients
from server.db.audit import append_audit
from server.security.identity import CurrentUser
from server.security.phi import open_patient
from server.web.deps import Now, Tenant, User
from server.web.htmx import redirect
from server.web.pages import render
from server.web.problems import Malformed, NotFound
from server.web.views.me import CALENDAR_DAYS, me_page
from server.web.views.me_words import CATALOGUE, other_languages, words_for

router = APIRouter()


@router.get("/me")
async def own_page(request: Request, conn: Tenant, user: User, now: Now) -> Response:
    patient_id = _own_patient(user)
    patient = await open_patient(conn, user, patient_id, purpose="own page")
    zone = ZoneInfo(patient.zone)
    today = now.astimezone(zone).date()
    first = today - timedelta(days=CALENDAR_DAYS - 1)
    start = datetime.combine(first, time(), zone)
    words = words_for(user.language, is_simulated=user.is_simulated)
    looks = await operations.looks_at_patient(
        conn, patient_id, since=now - timedelta(days=CALENDAR_DAYS), but_not=user.id
    )
    page = me_page(
        name=user.display_name,
        goal=patient.goal,
        alert_profile=await patients.alert_profile(conn, patient_id),
        practice_name=user.practice_name,
        practice_phone=await accounts.practice_phone(conn),
        readings=await observations.latest(conn, patient_id, limit=1),
        pressure=await observations.since(conn, patient_id, kind="blood-pressure", start=start),
        glucose=await observations.since(conn, patient_id, kind="glucose", start=start),
        days=await observations.reading_days(conn, patient_id, first=first, last=today),
        seen_by=[(look.who, look.at) for look in looks],
        words=words,
        zone=zone,
        now=now,
    )
    languages = other_languages(words, is_simulated=user.is_simulated)
    return render(request, "me/page.html", page=page, words=words, languages=languages)


@router.post("/me/language")
async def switch_language(
    request: Request, conn: Tenant, user: User, language: Annotated[str, Form(max_length=10)]
) -> Response:
    """Kept in the account: the next log-in starts in it."""
    if language not in CATALOGUE:
        raise Malformed("language: choose one that the page offers.")
    await accounts.set_language(conn, user.id, language)
    await append_audit(
        conn, practice_id=user.practice_id, actor=user.id, action="set-language", entity="app_user", entity_id=user.id
    )
    return redirect(request, "/me")


def _own_patient(user: CurrentUser) -> str:
    if user.patient_id is None:
        raise NotFound("Your record")
    return user.patient_id
