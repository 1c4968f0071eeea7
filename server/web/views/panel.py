"""The context panel of one patient: everything a nurse needs beside an alert, in the order she asks for it. Pure.

Input: rows of one patient. Output: texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from server.care.activity import BY_CODE, COUNTERPARTS, PROGRAMS
from server.care.protocol import CONTACT_OUTCOMES, DISPOSITIONS, SNOOZE_REASONS, Checklist, checklist_for
from server.db.alerts import AlertEvent, AlertRow
from server.db.devices import Device, DeviceWarning, GatewayState, device_warnings
from server.db.enrollments import Consent, Enrollment
from server.db.observations import Observation
from server.db.patients import Condition, MedicationChange, Patient
from server.db.time_entries import Entry
from server.security.identity import CurrentUser
from server.web.formatting import day, exact, iso, local_when, plain, span
from server.web.views.charts import Chart, glucose_chart, pressure_chart
from server.web.views.worklist import AlertLine, alert_line

_KINDS: Final = {"blood-pressure": "Cuff", "glucose": "Glucose meter", "weight": "Scale", "spot-oximetry": "Oximeter"}
_LANGUAGES: Final = {"en": "English", "es": "Spanish"}
_GOALS: Final = {"goal_sys": 130, "goal_dia": 80}  # the rule set's profile defaults
_LIMIT_LABELS: Final = {
    "goal_sys": "systolic goal",
    "goal_dia": "diastolic goal",
    "pulse_hi": "pulse above",
    "spo2_lo": "SpO2 below",
    "kinds": "profile",
}
_EVENT_WORDS: Final = {
    "claim": "claimed",
    "contact": "contact logged",
    "snooze": "snoozed",
    "close": "closed",
    "escalate": "escalated",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelRows:
    """What the queries gave."""

    patient: Patient
    profile: Mapping[str, Any]
    alert: AlertRow | None
    alerts: Sequence[AlertRow]
    events: Sequence[AlertEvent]
    conditions: Sequence[Condition]
    medication_changes: Sequence[MedicationChange]
    enrollments: Sequence[Enrollment]
    consents: Sequence[Consent]
    devices: Sequence[Device]
    gateways: Sequence[GatewayState]
    readings: Sequence[Observation]
    entries: Sequence[Entry]
    draft: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactLine:
    """One earlier stretch of work."""

    when: str
    at: str
    what: str
    who: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLine:
    """One device as it stands. `warning` is empty when all is well."""

    label: str
    state: str
    warning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLine:
    """One program: enrolled since when, with what consent."""

    label: str
    text: str
    warning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One step of the alert."""

    when: str
    at: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelView:
    """One patient's panel, with or without an alert in hand."""

    patient_id: str
    name: str
    born: str
    phone: str
    language: str
    interpreter: bool
    local_clock: str
    goal: str
    limits: str
    conditions: str
    alert: AlertLine | None
    family: str
    outcomes: tuple[tuple[str, str], ...]
    snooze_reasons: tuple[tuple[str, str], ...]
    dispositions: tuple[tuple[str, str], ...]
    can_act: bool
    can_snooze: bool
    checklist: Checklist | None
    others: tuple[AlertLine, ...]
    charts: tuple[Chart, ...]
    medicines: tuple[tuple[str, str], ...]
    programs: tuple[ProgramLine, ...]
    devices: tuple[DeviceLine, ...]
    contacts: tuple[ContactLine, ...]
    history: tuple[EventLine, ...]
    timed_programs: tuple[str, ...]
    program: str
    draft: str


def panel_view(rows: PanelRows, *, user: CurrentUser, now: datetime) -> PanelView:
    patient, alert, zone = rows.patient, rows.alert, user.zone
    today = now.astimezone(zone).date()
    timed = running_programs(rows.enrollments, today)
    charts = (
        pressure_chart(rows.readings, rows.medication_changes, zone=zone, now=now),
        glucose_chart(rows.readings, zone=zone, now=now),
    )
    others = [other for other in rows.alerts if other.state != "closed" and (alert is None or other.id != alert.id)]
    return PanelView(
        patient_id=patient.id,
        name=patient.name,
        born=_born(patient, today),
        phone=patient.phone or "",
        language=_LANGUAGES.get(patient.language, patient.language),
        interpreter=patient.language != "en",
        local_clock=now.astimezone(ZoneInfo(patient.zone)).strftime("%H:%M"),
        goal=patient.goal or "",
        limits=_limits(rows.profile),
        conditions=", ".join(condition.icd10 for condition in rows.conditions),
        alert=None if alert is None else alert_line(alert, user=user, now=now),
        family="" if alert is None else alert.family,
        outcomes=tuple(CONTACT_OUTCOMES.items()),
        snooze_reasons=tuple(SNOOZE_REASONS.items()),
        dispositions=tuple(DISPOSITIONS.items()),
        can_act=alert is not None and alert.state not in {"pending", "closed"},
        can_snooze=alert is not None and alert.state in {"open", "claimed"} and alert.severity != "P1",
        checklist=None if alert is None else checklist_for(alert.family),
        others=tuple(alert_line(other, user=user, now=now) for other in others),
        charts=tuple(chart for chart in charts if chart is not None),
        medicines=tuple((day(change.changed_on), change.description) for change in rows.medication_changes[:5]),
        programs=tuple(_program(enrollment, rows.consents, today) for enrollment in rows.enrollments),
        devices=tuple(_device(device, rows.gateways, now) for device in rows.devices),
        contacts=tuple(_contact(entry, zone, now) for entry in rows.entries[:3]),
        history=tuple(_event(event, zone, now) for event in rows.events),
        timed_programs=timed,
        program=program_of_work(timed, from_alert=alert is not None),
        draft=rows.draft,
    )


def running_programs(enrollments: Sequence[Enrollment], today: date) -> tuple[str, ...]:
    """The programs time can be logged for today, in the order the product names them."""
    running = {
        enrollment.program
        for enrollment in enrollments
        if enrollment.from_on <= today and (enrollment.to_on is None or today <= enrollment.to_on)
    }
    return tuple(program for program in PROGRAMS if program in running)


def program_of_work(programs: Sequence[str], *, from_alert: bool) -> str:
    """An alert comes from a device: remote monitoring. Other work on the record is care management. Empty: none."""
    preferred = "rpm" if from_alert else "ccm"
    return preferred if preferred in programs else next(iter(programs), "")


def _born(patient: Patient, today: date) -> str:
    if patient.birth_on is None:
        return ""
    birth = patient.birth_on
    years = today.year - birth.year - ((today.month, today.day) < (birth.month, birth.day))
    return f"{years} years, born {day(birth)}"


def _limits(profile: Mapping[str, Any]) -> str:
    own = {key: value for key, value in profile.items() if key in _LIMIT_LABELS}
    goal = f"{own.get('goal_sys', _GOALS['goal_sys'])}/{own.get('goal_dia', _GOALS['goal_dia'])} mmHg"
    if not own:
        return f"{goal} (practice default)"
    rest = [
        f"{_LIMIT_LABELS[key]} {', '.join(value) if isinstance(value, list) else value}"
        for key, value in own.items()
        if key not in _GOALS
    ]
    return "; ".join([f"{goal} (personal)" if own.keys() & _GOALS.keys() else f"{goal} (practice default)", *rest])


def _program(enrollment: Enrollment, consents: Sequence[Consent], today: date) -> ProgramLine:
    label = enrollment.program.upper()
    text = f"since {day(enrollment.from_on)} with {enrollment.practitioner_name}"
    if enrollment.to_on is not None and enrollment.to_on < today:
        return ProgramLine(label=label, text=f"ended {day(enrollment.to_on)}", warning="")
    consent = next((one for one in consents if one.program == enrollment.program and one.revoked_at is None), None)
    if consent is None:
        return ProgramLine(label=label, text=text, warning="no consent on record")
    return ProgramLine(label=label, text=f"{text}; {consent.form} consent {day(consent.granted_at.date())}", warning="")


def _device(device: Device, gateways: Sequence[GatewayState], now: datetime) -> DeviceLine:
    gateway = next((one for one in gateways if one.id == device.gateway_id), None)
    label = f"{_KINDS.get(device.kind, device.kind)} {device.model or ''}".strip()
    if gateway is None or gateway.heard_at is None:
        return DeviceLine(label=label, state="", warning="home gateway never heard")
    heard = span(max(int((now - gateway.heard_at).total_seconds()), 0))
    said = next((one for one in device_warnings(gateway.devices) if one.device_id == device.id), None)
    warnings = [] if gateway.state == "online" else [f"home gateway offline, last heard {heard} ago"]
    return DeviceLine(
        label=label,
        state=_device_state(said) if gateway.state == "online" else "",
        warning="; ".join(warnings + ([said.warning] if said and said.warning else [])),
    )


def _device_state(said: DeviceWarning | None) -> str:
    parts = ["gateway online"]
    if said and said.battery_percent is not None:
        parts.append(f"battery {said.battery_percent} %")
    if said and said.clock_offset_seconds is not None and abs(said.clock_offset_seconds) >= 60:
        parts.append(f"clock {plain(said.clock_offset_seconds)} s off, corrected")
    return ", ".join(parts)


def _contact(entry: Entry, zone: ZoneInfo, now: datetime) -> ContactLine:
    activity = BY_CODE[entry.activity].label
    spoke = f" with {COUNTERPARTS[entry.with_whom]}" if entry.live and entry.with_whom else ""
    program = f", {entry.program.upper()}" if entry.program else ""
    length = exact(int((entry.ended_at - entry.started_at).total_seconds()))
    return ContactLine(
        when=local_when(entry.started_at, zone, now),
        at=iso(entry.started_at),
        what=f"{activity}{spoke}, {length}{program}",
        who=entry.performer_name,
        note=entry.note,
    )


def _event(event: AlertEvent, zone: ZoneInfo, now: datetime) -> EventLine:
    words = _EVENT_WORDS.get(event.kind, event.kind.replace("_", " ").replace("-", " "))
    by = f" by {event.actor_name}" if event.actor_name else ""
    note = event.detail.get("note") or event.detail.get("reason")
    tail = f": {note}" if isinstance(note, str) and note else ""
    return EventLine(when=local_when(event.at, zone, now), at=iso(event.at), text=f"{words}{by}{tail}")
