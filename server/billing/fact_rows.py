"""Rows of the database as facts of the billing contract; pure.

Input: rows by column name, already chosen for one patient, month and instant. Output: the JSON-like facts object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

from server.billing.fact_types import SCHEMA

Row: TypeAlias = Mapping[str, Any]


def _instant(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _day(value: date | None) -> str | None:
    return None if value is None else value.isoformat()


def facts_of(
    patient: Row,
    practice: Row,
    lists: Mapping[str, Sequence[Row]],
    people: Mapping[str, Row],
    *,
    month: str,
    as_of: datetime,
) -> dict[str, object]:
    """The facts object of one patient; every list holds the rows of this patient alone."""
    named = {row["practitioner_id"] for row in lists["enrollments"]} | {
        row["performer_id"] for row in lists["time_entries"]
    }
    named |= {row["practitioner_id"] for row in lists["services"]}
    here = [people[person] for person in sorted(named) if person in people]
    care = lists["care_facts"]
    return {
        "schema": SCHEMA,
        "as_of": _instant(as_of),
        "month": month,
        "payer": {
            "pack": practice["pack"] or "medicare-b",
            "qualifying_apm": bool(practice["qualifying_apm"]),
            "locality": practice["locality"],
            "date_of_service": practice["date_of_service"] or "last-day",
        },
        "practice": {
            "id": practice["id"],
            "time_zone": practice["time_zone"],
            "kind": practice["kind"],
            "place_of_service": practice["place_of_service"],
            "revocation_effective": practice["revocation_effective"],
        },
        "practitioners": [
            {"id": p["id"], "group": p["practice_id"], "credential": p["credential"]}
            for p in here
            if p["role"] == "practitioner"
        ],
        "staff": [
            {"id": p["id"], "credential": p["credential"], "employer": p["employer"], "qualified": p["qualified"]}
            for p in here
            if p["role"] == "staff"
        ],
        "patient": {
            "id": patient["id"],
            "time_zones": [{"from": _day(z["from_on"]), "zone": z["zone"]} for z in lists["zones"]],
            "established_on": _day(patient["established_on"]),
            "qualified_medicare_beneficiary": patient["qualified_medicare_beneficiary"],
            "conditions": [
                {k: c[k] for k in ("icd10", "chronic_12_months", "significant_risk")} for c in lists["conditions"]
            ],
        },
        "visits": [
            {
                "kind": v["kind"],
                "practitioner": v["practitioner_id"],
                "at": _instant(v["at"]),
                "discussed": v["discussed"],
            }
            for v in lists["visits"]
        ],
        "enrollments": [_enrollment(row) for row in lists["enrollments"]],
        "consents": [_consent(row) for row in lists["consents"]],
        "care_plans": [
            {
                "program": c["program"],
                "version": c["version"],
                "approved_at": _instant(c["approved_at"]),
                "approved_by": c["approved_by"],
            }
            for c in lists["care_plans"]
        ],
        "attestations": [
            {"kind": a["kind"], "level": a["level"], "practitioner": a["practitioner_id"], "on": _day(a["on_date"])}
            for a in lists["attestations"]
        ],
        "designations": [
            {"program": d["program"], "lane": d["lane"], "practitioner": d["practitioner_id"]}
            for d in lists["designations"]
        ],
        **_device_facts(lists["readings"]),
        "time_entries": [_time_entry(row) for row in lists["time_entries"]],
        "elsewhere": [
            {
                "performer": e["performer_id"],
                "patient": e["other"],
                "start": _instant(e["started_at"]),
                "end": _instant(e["ended_at"]),
            }
            for e in lists["elsewhere"]
        ],
        "stays": [{"kind": s["kind"], "from": _day(s["from_on"]), "to": _day(s["to_on"])} for s in lists["stays"]],
        "hospice": [c["fact"] for c in care if c["kind"] == "hospice"],
        "global_surgery": [c["fact"] for c in care if c["kind"] == "global_surgery"],
        "models": [c["fact"] for c in care if c["kind"] == "model"],
        "discharges": [c["fact"] for c in care if c["kind"] == "discharge"],
        "services": [_service(row) for row in lists["services"]],
        "proposals": [],
        **_authorizations(care),
    }


def _authorizations(care: Sequence[Row]) -> dict[str, object]:
    """Only payers that authorise first have any: the list is absent where there are none."""
    known = [c["fact"] for c in care if c["kind"] == "authorization"]
    return {"authorizations": known} if known else {}


def _enrollment(row: Row) -> dict[str, object]:
    return {
        "program": row["program"],
        "practitioner": row["practitioner_id"],
        "from": _day(row["from_on"]),
        "to": _day(row["to_on"]),
        "end_reason": row["end_reason"],
        "episode": row["episode"],
        "ordered_on": _day(row["ordered_on"]),
        "diagnosis": row["diagnosis"],
        "setup_on": _day(row["setup_on"]),
        "system": row["system"],
        "under": row["under"],
    }


def _consent(row: Row) -> dict[str, object]:
    return {
        "program": row["program"],
        "practitioner": row["practitioner_id"],
        "granted_at": _instant(row["granted_at"]),
        "revoked_at": _instant(row["revoked_at"]),
        "form": row["form"],
        "statements": row["statements"],
    }


def _time_entry(row: Row) -> dict[str, object]:
    return {
        "id": row["id"],
        "program": row["program"],
        "candidates": row["candidates"],
        "performer": row["performer_id"],
        "start": _instant(row["started_at"]),
        "end": _instant(row["ended_at"]),
        "activity": row["activity"],
        "live": row["live"],
        "with": row["with_whom"],
        "part_of_visit": row["part_of_visit"],
        "in_person": row["in_person"],
        "automated": row["automated"],
        "recorded_at": _instant(row["recorded_at"]),
    }


def _service(row: Row) -> dict[str, object]:
    return {
        "code": row["code"],
        "from": _day(row["from_on"]),
        "to": _day(row["to_on"]),
        "practitioner": row["practitioner_id"],
        "status": row["status"],
        "episode": row["episode"],
    }


def _device_facts(rows: Sequence[Row]) -> dict[str, object]:
    """Devices that measured, and their readings. What a person imported is not sent by the device: manual."""
    devices = {row["device_id"]: row for row in rows}
    return {
        "devices": [
            {"id": name, "kind": devices[name]["kind"], "fda_defined": devices[name]["fda_defined"]}
            for name in sorted(devices)
        ],
        "readings": [
            {
                "id": str(row["message_id"]),
                "device": row["device_id"],
                "measured_at": _instant(row["measured_at"]),
                # When it reached us: a batch uploaded late counts only if it arrived before the claim was built.
                "received_at": _instant(row["stored_at"]),
                "entry": "automatic" if row["entry"] == "automatic" else "manual",
            }
            for row in rows
        ],
    }
