"""`/patients`: find a patient; `/patients/{patient_id}`: the same panel as beside the worklist, for work without an
alert.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from server.db import patients as patient_rows
from server.security.phi import note_list
from server.web.deps import Now, Tenant, User
from server.web.pages import render
from server.web.patient_panel import gather_panel

router = APIRouter()


@router.get("/patients")
async def find(request: Request, conn: Tenant, user: User, q: Annotated[str, Query(max_length=100)] = "") -> Response:
    found = await patient_rows.patients(conn, search=q.strip(), limit=100)
    await note_list(conn, user, page="patients", patient_ids=[patient.id for patient in found])
    return render(request, "patients/page.html", patients=found, q=q)


@router.get("/patients/{patient_id}")
async def patient(request: Request, patient_id: str, conn: Tenant, user: User, now: Now) -> Response:
    view = await gather_panel(conn, user, patient_id=patient_id, alert=None, now=now, purpose="care")
    return render(request, "patients/patient.html", panel=view, show="all")
