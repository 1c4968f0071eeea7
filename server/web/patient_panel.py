"""Gather what the panel of one patient shows: one audited opening, then one query for each part."""

from __future__ import annotations

from datetime import datetime

from server.db import alerts as alert_rows
from server.db import devices, enrollments, patients, time_entries
from server.db.pool import AsyncConnection
from server.security.identity import CurrentUser
from server.security.phi import open_patient
from server.web.views.charts import WINDOW
from server.web.views.panel import PanelRows, PanelView, panel_view


async def gather_panel(
    conn: AsyncConnection,
    user: CurrentUser,
    *,
    patient_id: str,
    alert: alert_rows.AlertRow | None,
    now: datetime,
    purpose: str,
) -> PanelView:
    """Raises `NotVisibleError` unless this user may see this patient."""
    patient = await open_patient(conn, user, patient_id, purpose=purpose, alert_id=None if alert is None else alert.id)
    rows = PanelRows(
        patient=patient,
        profile=await alert_rows.profile_of_patient(conn, patient_id),
        alert=alert,
        alerts=await alert_rows.alerts_of_patient(conn, patient_id),
        events=[] if alert is None else await alert_rows.events(conn, alert.id),
        conditions=await patients.conditions(conn, patient_id),
        medication_changes=await patients.medication_changes(conn, patient_id, limit=20),
        enrollments=await enrollments.enrollments(conn, patient_id),
        consents=await enrollments.consents(conn, patient_id),
        devices=await devices.devices_of_patient(conn, patient_id),
        gateways=await devices.gateways(conn),
        readings=await alert_rows.readings_since(conn, patient_id, start=now - WINDOW),
        entries=await time_entries.entries_of_patient(conn, patient_id, limit=3),
        draft=await time_entries.draft_of(conn, user_id=user.id, patient_id=patient_id),
    )
    return panel_view(rows, user=user, now=now)
