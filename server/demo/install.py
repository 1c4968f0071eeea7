"""One home of the demo, installed: a patient ready for remote monitoring and care management, a gateway, its devices.

Input: a connection as the owner of the database and a specification. Output: rows; never a reading.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from server.db.pool import Connection
from server.demo import records
from server.demo.homes import DeviceSpec, HomeSpec

PRACTITIONER_ID: Final = "dr-demo"
# An initiating visit this long before the enrolment, a set-up on its first day.
_VISIT_BEFORE: Final = timedelta(days=14)
_ESTABLISHED_BEFORE: Final = timedelta(days=400)
_CONSENT_STATEMENTS: Final = ("availability", "cost-sharing", "one-practitioner", "right-to-stop")


def install_home(conn: Connection, practice_id: str, spec: HomeSpec, *, monitored_from: date, now: datetime) -> None:
    """A patient, the gateway and the devices, all assigned to the patient from the first day on."""
    enrol_patient(conn, practice_id, spec, monitored_from=monitored_from, now=now)
    install_gateway(conn, practice_id, spec, monitored_from=monitored_from, now=now)
    for device in spec.devices:
        assign(conn, practice_id, spec, device.id, monitored_from=monitored_from)


def enrol_patient(conn: Connection, practice_id: str, spec: HomeSpec, *, monitored_from: date, now: datetime) -> None:
    """A patient with everything that remote monitoring and care management ask for."""
    start = _start(spec, monitored_from)
    records.insert_patient(
        conn,
        practice_id=practice_id,
        patient_id=spec.patient_id,
        name=spec.name,
        zone=spec.zone,
        zone_from=spec.born,
        birth_on=spec.born,
        sex=spec.sex,
        phone=spec.phone,
        language=spec.language,
        established_on=monitored_from - _ESTABLISHED_BEFORE,
        goal=spec.goal,
        alert_profile=dict(spec.alert_profile),
    )
    for icd10 in spec.conditions:
        records.insert_condition(
            conn,
            practice_id=practice_id,
            patient_id=spec.patient_id,
            icd10=icd10,
            chronic_12_months=True,
            significant_risk=True,
            attested_by=PRACTITIONER_ID,
        )
    for days_before, description in spec.medication_changes:
        records.insert_medication_change(
            conn,
            practice_id=practice_id,
            patient_id=spec.patient_id,
            changed_on=now.astimezone(ZoneInfo(spec.zone)).date() - timedelta(days=days_before),
            description=description,
            recorded_by=None,
        )
    records.insert_visit(
        conn,
        practice_id=practice_id,
        patient_id=spec.patient_id,
        kind="e-m",
        practitioner_id=PRACTITIONER_ID,
        at=start - _VISIT_BEFORE,
        discussed=("rpm", "ccm"),
        recorded_at=start - _VISIT_BEFORE + timedelta(hours=1),
    )
    _enrol(conn, practice_id, spec, monitored_from, start)


def install_gateway(conn: Connection, practice_id: str, spec: HomeSpec, *, monitored_from: date, now: datetime) -> None:
    """The gateway and its devices, nobody's yet."""
    start = _start(spec, monitored_from)
    records.insert_gateway(
        conn, practice_id=practice_id, gateway_id=spec.gateway_id, label=f"Home of {spec.patient_id}", created_at=start
    )
    for device in spec.devices:
        _device(conn, practice_id, spec, device, start=start)
    records.insert_gateway_config(conn, practice_id=practice_id, gateway_id=spec.gateway_id, at=now)


def assign(
    conn: Connection,
    practice_id: str,
    spec: HomeSpec,
    device_id: str,
    *,
    monitored_from: date,
    user_slot: int | None = None,
) -> None:
    """From the first local midnight on, what the device (or its user slot) measures is this patient's."""
    records.insert_assignment(
        conn,
        practice_id=practice_id,
        device_id=device_id,
        patient_id=spec.patient_id,
        user_slot=user_slot,
        from_at=datetime.combine(monitored_from, time(), ZoneInfo(spec.zone)),
        recorded_at=_start(spec, monitored_from),
    )


def _enrol(conn: Connection, practice_id: str, spec: HomeSpec, from_on: date, start: datetime) -> None:
    for program in ("rpm", "ccm"):
        is_rpm = program == "rpm"
        records.insert_enrollment(
            conn,
            practice_id=practice_id,
            patient_id=spec.patient_id,
            program=program,
            practitioner_id=PRACTITIONER_ID,
            from_on=from_on,
            recorded_at=start,
            episode=f"ep-{spec.patient_id}" if is_rpm else None,
            ordered_on=from_on if is_rpm else None,
            diagnosis=spec.conditions[0] if is_rpm else None,
            setup_on=from_on if is_rpm else None,
        )
        # Consent before anything counts: recorded at the visit at which the programs were explained.
        records.insert_consent(
            conn,
            practice_id=practice_id,
            patient_id=spec.patient_id,
            program=program,
            practitioner_id=PRACTITIONER_ID,
            granted_at=start - _VISIT_BEFORE + timedelta(minutes=30),
            form="verbal",
            statements=_CONSENT_STATEMENTS,
            language=spec.language,
            recorded_by=None,
            recorded_at=start - _VISIT_BEFORE + timedelta(minutes=35),
        )
    records.insert_care_plan(
        conn,
        practice_id=practice_id,
        patient_id=spec.patient_id,
        program="ccm",
        content={"goal": spec.goal, "conditions": list(spec.conditions)},
        recorded_at=start - timedelta(days=2),
        approved_at=start - timedelta(days=1),
        approved_by=PRACTITIONER_ID,
    )


def _device(conn: Connection, practice_id: str, spec: HomeSpec, device: DeviceSpec, *, start: datetime) -> None:
    records.insert_device(
        conn,
        practice_id=practice_id,
        device_id=device.id,
        gateway_id=spec.gateway_id,
        kind=device.kind,
        model=device.model,
        address=device.address,
        local_name=device.local_name,
        passkey=device.passkey,
        fda_defined=True,
        created_at=start,
    )


def _start(spec: HomeSpec, monitored_from: date) -> datetime:
    """Nine in the morning of the first day, at home."""
    return datetime.combine(monitored_from, time(9, 0), ZoneInfo(spec.zone))
