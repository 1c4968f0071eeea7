"""The record of a patient as the registry shows it: what is there, what is missing before anything counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from server.db.devices import Device
from server.db.enrollments import CarePlan, Consent, Enrollment, Practitioner
from server.db.patients import Condition, Patient
from server.web import formatting
from server.web.form_state import FormState, Option
from server.web.views.devices import moment_value

PROGRAMS: Final = (
    Option(value="rpm", label="RPM: remote monitoring of readings"),
    Option(value="ccm", label="CCM: chronic care management"),
)
# The four statements, as they are said to the patient.
CONSENT_WORDS: Final[Mapping[str, str]] = {
    "availability": "What the service is and that it is there for you",
    "cost-sharing": "That you may have to pay a share of its cost",
    "one-practitioner": "That only one practitioner can provide it in a month",
    "right-to-stop": "That you can stop it at any time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientLine:
    """One patient in the list."""

    id: str
    name: str
    born: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLine:
    """One episode of a program."""

    id: str
    name: str
    with_whom: str
    dates: str
    order: str
    running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentLine:
    """One consent."""

    id: str
    name: str
    when: str
    statements: str
    valid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """One version of a care plan."""

    id: str
    name: str
    status: str
    content: tuple[tuple[str, str], ...]
    waits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """The whole record. `missing` lists what still stands between the patient and a countable month."""

    id: str
    name: str
    born: str
    zone: str
    missing: tuple[str, ...]
    conditions: tuple[str, ...]
    programs: tuple[ProgramLine, ...]
    consents: tuple[ConsentLine, ...]
    plans: tuple[PlanLine, ...]
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordForms:
    """The forms of the page; the one that was sent keeps what was typed."""

    edit: FormState = field(default_factory=FormState)
    condition: FormState = field(default_factory=FormState)
    enroll: FormState = field(default_factory=FormState)
    consent: FormState = field(default_factory=FormState)
    plan: FormState = field(default_factory=FormState)

    def filled(self, patient: Mapping[str, str], *, now: datetime, zone: ZoneInfo) -> RecordForms:
        """Defaults for the forms that were not sent: the record itself, today, this minute."""
        today = now.astimezone(zone).date().isoformat()
        moment = moment_value(now, zone)
        return replace(
            self,
            edit=self.edit if self.edit.values else FormState(values=patient),
            enroll=self.enroll if self.enroll.values else FormState(values={"from_on": today, "ordered_on": today}),
            consent=self.consent
            if self.consent.values
            else FormState(values={"granted_at": moment, "language": patient["language"]}),
            plan=self.plan if self.plan.values else FormState(values={"program": "ccm"}),
        )


def patient_lines(found: Sequence[Patient]) -> tuple[PatientLine, ...]:
    return tuple(
        PatientLine(
            id=patient.id,
            name=patient.name,
            born=formatting.day(patient.birth_on) if patient.birth_on else "unknown",
            language=_language(patient.language),
        )
        for patient in found
    )


def values_of(patient: Patient) -> dict[str, str]:
    """The record as its form shows it."""
    return {
        "name": patient.name,
        "birth_on": patient.birth_on.isoformat() if patient.birth_on else "",
        "phone": patient.phone or "",
        "language": patient.language,
        "goal": patient.goal or "",
    }


def record_page(
    *,
    patient: Patient,
    conditions: Sequence[Condition],
    enrollments: Sequence[Enrollment],
    consents: Sequence[Consent],
    plans: Sequence[CarePlan],
    devices: Sequence[Device],
    practitioners: Sequence[Practitioner],
    zone: ZoneInfo,
) -> RecordPage:
    doctors = {one.id: one.name for one in practitioners}
    return RecordPage(
        id=patient.id,
        name=patient.name,
        born=formatting.day(patient.birth_on) if patient.birth_on else "unknown",
        zone=patient.zone,
        missing=missing(conditions, enrollments, consents, plans, devices),
        conditions=tuple(_condition(item) for item in conditions),
        programs=tuple(_program(item) for item in enrollments),
        consents=tuple(_consent(item, doctors, zone) for item in consents),
        plans=tuple(_plan(item, doctors, zone) for item in plans),
        devices=tuple(f"{item.id}, {item.kind.replace('-', ' ')}" for item in devices),
    )


def missing(
    conditions: Sequence[Condition],
    enrollments: Sequence[Enrollment],
    consents: Sequence[Consent],
    plans: Sequence[CarePlan],
    devices: Sequence[Device],
) -> tuple[str, ...]:
    """What a person should do next, in order. A help for the desk: the billing engine decides by itself."""
    running = [item for item in enrollments if item.to_on is None]
    if not running:
        return ("Enrol the patient in a program.",)
    todo: list[str] = []
    for item in running:
        consented = any(one.program == item.program and one.revoked_at is None for one in consents)
        if not consented:
            todo.append(f"Record consent to {item.program.upper()}.")
    programs = {item.program for item in running}
    if "ccm" in programs:
        if sum(item.chronic_12_months and item.significant_risk for item in conditions) < 2:
            todo.append("Attest two chronic conditions for CCM.")
        if not any(plan.program == "ccm" and plan.approved_at for plan in plans):
            todo.append("Have the CCM care plan approved.")
    if "rpm" in programs:
        if not devices:
            todo.append("Assign a device.")
        if any(item.program == "rpm" and item.setup_on is None for item in running):
            todo.append("Set the device up and note the day.")
    return tuple(todo)


def _condition(item: Condition) -> str:
    notes = [
        *(["expected to last 12 months"] if item.chronic_12_months else []),
        *(["significant risk"] if item.significant_risk else []),
    ]
    return f"{item.icd10}: {', '.join(notes) or 'nothing attested'}"


def _program(item: Enrollment) -> ProgramLine:
    start = formatting.day(item.from_on)
    end = f"to {formatting.day(item.to_on)}, {(item.end_reason or '').replace('-', ' ')}" if item.to_on else "running"
    order = []
    if item.ordered_on:
        order.append(f"ordered {formatting.day(item.ordered_on)}")
    if item.setup_on:
        order.append(f"set up {formatting.day(item.setup_on)}")
    if item.diagnosis:
        order.append(f"for {item.diagnosis}")
    return ProgramLine(
        id=item.id,
        name=item.program.upper(),
        with_whom=item.practitioner_name,
        dates=f"from {start}, {end}" if item.to_on is None else f"from {start} {end}",
        order=", ".join(order),
        running=item.to_on is None,
    )


def _consent(item: Consent, doctors: Mapping[str, str], zone: ZoneInfo) -> ConsentLine:
    when = f"given {formatting.local_date(item.granted_at, zone)}, {formatting.local_time(item.granted_at, zone)}"
    if item.revoked_at is not None:
        when += f"; withdrawn {formatting.local_date(item.revoked_at, zone)}"
    count = len(item.statements)
    return ConsentLine(
        id=item.id,
        name=f"{item.program.upper()}, {doctors.get(item.practitioner_id, item.practitioner_id)}",
        when=when,
        statements=f"{item.form}, {_language(item.language)}, {count} of {len(CONSENT_WORDS)} statements",
        valid=item.revoked_at is None,
    )


def _plan(item: CarePlan, doctors: Mapping[str, str], zone: ZoneInfo) -> PlanLine:
    if item.approved_at is not None:
        who = doctors.get(item.approved_by or "", item.approved_by or "")
        status = f"approved {formatting.local_date(item.approved_at, zone)} by {who}"
    else:
        status = "waits for approval"
    return PlanLine(
        id=item.id,
        name=f"{item.program.upper()} plan, version {item.version}",
        status=status,
        content=tuple(
            (name.capitalize(), ", ".join(map(str, value)) if isinstance(value, list) else str(value))
            for name, value in item.content.items()
        ),
        waits=item.approved_at is None,
    )


def _language(code: str) -> str:
    return {"en": "English", "es": "Spanish"}.get(code, code)
