"""The one door to a patient's data: it checks that this user may see this patient, and writes the audit row.

Input: a connection that sees one practice, the user, a patient id. Output: the patient, or `NotVisibleError`, which
does not tell a patient of another practice from one that does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.db import patients
from server.db.audit import append_audit
from server.db.pool import AsyncConnection
from server.security.identity import CurrentUser, Role


class NotVisibleError(Exception):
    """The user has no such patient; the attempt is to be audited outside the transaction that fails."""

    def __init__(self, entity: str, entity_id: str) -> None:
        super().__init__(f"{entity} is not visible to this user")
        self.entity = entity
        self.entity_id = entity_id


async def open_patient(
    conn: AsyncConnection, user: CurrentUser, patient_id: str, *, purpose: str, alert_id: str | None = None
) -> patients.Patient:
    """The patient, and one audit row that says who opened whom and what for. A patient opens only their own record."""
    if user.role is Role.PATIENT and patient_id != user.patient_id:
        raise NotVisibleError("patient", patient_id)
    found = await patients.patient(conn, patient_id)
    if found is None:
        raise NotVisibleError("patient", patient_id)
    detail: dict[str, str | int | list[str]] = {"purpose": purpose}
    if alert_id is not None:
        detail["alert"] = alert_id
    await append_audit(
        conn,
        practice_id=user.practice_id,
        actor=user.id,
        action="open",
        entity="patient",
        entity_id=patient_id,
        detail=detail,
    )
    return found


async def note_list(conn: AsyncConnection, user: CurrentUser, *, page: str, patient_ids: Sequence[str]) -> None:
    """One audit row for a page that names many patients."""
    await append_audit(
        conn,
        practice_id=user.practice_id,
        actor=user.id,
        action="list",
        entity="page",
        entity_id=page,
        detail={"patients": sorted(set(patient_ids))},
    )
