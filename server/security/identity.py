"""Who is asking: the user of a session, as every route sees it.

Input: a session row joined with its user and practice. Output: one frozen value; no password, no cookie.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo


class Role(StrEnum):
    """What a person may do is decided by one of these words (`app_user.role`)."""

    PATIENT = "patient"
    NURSE = "nurse"
    PRACTITIONER = "practitioner"
    BILLER = "biller"
    ADMIN = "admin"
    TESTER = "tester"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentUser:
    """The person behind a request. `zone` is the practice's; instants stay UTC until they are shown."""

    id: str
    practice_id: str
    practice_name: str
    zone: ZoneInfo
    is_simulated: bool
    role: Role
    display_name: str
    language: str
    staff_id: str | None
    practitioner_id: str | None
    patient_id: str | None
    csrf_token: str
    session_hash: bytes
    session_ends_at: datetime

    @property
    def performer_id(self) -> str | None:
        """Whose time is counted: the clinical staff member or the practitioner behind the login."""
        return self.staff_id or self.practitioner_id
