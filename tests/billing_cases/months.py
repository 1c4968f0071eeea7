"""Patient-months in a biller's words: a few keys become the full facts of the billing contract.

Unless told otherwise: one physician, a nurse, an established patient with two chronic conditions seen weeks before,
consent and care plan in place, RPM ordered, consented and set up the day before the first reading, 99453 paid before.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Json = dict[str, Any]

ZONE = "America/New_York"
STATEMENTS = ["availability", "cost-sharing", "one-practitioner", "right-to-stop"]


def seconds(text: str | int) -> int:
    """ "19:59" → 1199."""
    if isinstance(text, int):
        return text
    minutes, rest = text.split(":")
    return int(minutes) * 60 + int(rest)


def local(day: date, hour: int, minute: int = 0, zone: str = ZONE) -> str:
    moment = datetime.combine(day, time(hour, minute), tzinfo=ZoneInfo(zone))
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def entry(entry_id: str, program: str | None, start: str, length: int, **changes: Any) -> Json:
    begun = datetime.fromisoformat(start)
    end = begun + timedelta(seconds=length)
    return {
        "id": entry_id,
        "program": program,
        "performer": "rn-1",
        "start": start,
        "end": end.isoformat().replace("+00:00", "Z"),
        "activity": "coordination",
        "live": False,
        "with": None,
        "part_of_visit": False,
        "in_person": False,
        "automated": False,
        "recorded_at": (end + timedelta(minutes=1)).isoformat().replace("+00:00", "Z"),
        **changes,
    }


def entries(program: str, total: int, first: date, *, hour: int, prefix: str, **changes: Any) -> list[Json]:
    """The total in stretches of at most 14 minutes, one a day."""
    made: list[Json] = []
    day, left = first, total
    while left > 0:
        length = min(left, 14 * 60)
        made.append(entry(f"{prefix}{len(made) + 1}", program, local(day, hour), length, **changes))
        left -= length
        day += timedelta(days=1)
    return made


def reading(reading_id: str, day: date, *, entry_mode: str = "automatic", device: str = "d1", hour: int = 8) -> Json:
    moment = local(day, hour)
    received = (datetime.fromisoformat(moment) + timedelta(seconds=5)).isoformat().replace("+00:00", "Z")
    return {"id": reading_id, "device": device, "measured_at": moment, "received_at": received, "entry": entry_mode}


def month_facts(month: str, **said: Any) -> Json:
    """The facts of a month. Keys: see `rpm_part`, `ccm_part`; `changes` replaces top-level fields at the end."""
    first = date.fromisoformat(f"{month}-01")
    after = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    facts: Json = {
        "schema": "vitalwire.billing-facts/1",
        "as_of": f"{after + timedelta(days=1)}T12:00:00Z",
        "month": month,
        "payer": {"pack": "medicare-b", "qualifying_apm": False, "locality": None, "date_of_service": "last-day"},
        "practice": {
            "id": "pr1",
            "time_zone": ZONE,
            "kind": "physician-practice",
            "place_of_service": "11",
            "revocation_effective": "moment",
        },
        "practitioners": [{"id": "dr-a", "group": "pr1", "credential": "MD"}],
        "staff": [{"id": "rn-1", "credential": "RN", "employer": "practice", "qualified": True}],
        "patient": {
            "id": "p1",
            "time_zones": [{"from": "2010-01-01", "zone": ZONE}],
            "established_on": "2012-03-15",
            "qualified_medicare_beneficiary": False,
            "conditions": [
                {"icd10": "I10", "chronic_12_months": True, "significant_risk": True},
                {"icd10": "E11.9", "chronic_12_months": True, "significant_risk": True},
            ],
        },
        "visits": [],
        "enrollments": [],
        "consents": [],
        "care_plans": [],
        "devices": [],
        "readings": [],
        "time_entries": [],
        "services": [],
    }
    if any(key in said for key in ("rpm_time", "days", "period_from")):
        rpm_part(facts, first, said)
    if any(key in said for key in ("ccm_time", "own_time")):
        ccm_part(facts, first, said)
    facts["enrollments"].sort(key=lambda e: str(e["program"]))
    return {**facts, **said.get("changes", {})}


def visit(facts: Json, on: date, *programs: str) -> None:
    facts["visits"].append({"kind": "e-m", "practitioner": "dr-a", "at": local(on, 10), "discussed": list(programs)})


def consent(facts: Json, program: str, at: str) -> None:
    facts["consents"].append(
        {
            "program": program,
            "practitioner": "dr-a",
            "granted_at": at,
            "revoked_at": None,
            "form": "verbal",
            "statements": STATEMENTS,
        }
    )


def rpm_part(facts: Json, first: date, said: Json) -> None:
    """`rpm_time`, `live`, `days` (count from `period_from`), `new_episode`."""
    start = date.fromisoformat(str(said.get("period_from", first + timedelta(days=1))))
    eve = start - timedelta(days=1)
    visit(facts, eve - timedelta(days=45), "rpm")
    facts["enrollments"].append(
        {
            "program": "rpm",
            "practitioner": "dr-a",
            "from": str(eve),
            "to": None,
            "end_reason": None,
            "episode": "ep1",
            "ordered_on": str(eve),
            "diagnosis": "I10",
            "setup_on": str(eve),
        }
    )
    consent(facts, "rpm", local(eve, 9))
    facts["devices"].append({"id": "d1", "kind": "blood-pressure", "fda_defined": True})
    facts["readings"] += [reading(f"r{n + 1}", start + timedelta(days=n)) for n in range(int(said.get("days", 1)))]
    total = seconds(said.get("rpm_time", 0))
    made = entries("rpm", total, first + timedelta(days=4), hour=13, prefix="m", activity="data-review")
    if made and said.get("live", True):
        made[0] |= {"activity": "live-call", "live": True, "with": "patient"}
    facts["time_entries"] += made
    if not said.get("new_episode", False):
        facts["services"].append(
            {
                "code": "99453",
                "from": str(eve),
                "to": str(eve),
                "practitioner": "dr-a",
                "status": "paid",
                "episode": "ep1",
            }
        )


def ccm_part(facts: Json, first: date, said: Json) -> None:
    """`ccm_time` of the nurse, `own_time` of the practitioner, `lane`, `decision_making`."""
    seen = first - timedelta(days=45)
    visit(facts, seen, "ccm")
    start = seen + timedelta(days=1)
    facts["enrollments"].append(
        {"program": "ccm", "practitioner": "dr-a", "from": str(start), "to": None, "end_reason": None}
    )
    consent(facts, "ccm", local(seen, 11))
    facts["care_plans"].append({"program": "ccm", "version": 1, "approved_at": local(start, 9), "approved_by": "dr-a"})
    day = first + timedelta(days=4)
    facts["time_entries"] += entries("ccm", seconds(said.get("ccm_time", 0)), day, hour=9, prefix="c")
    facts["time_entries"] += entries(
        "ccm", seconds(said.get("own_time", 0)), day, hour=17, prefix="o", performer="dr-a"
    )
    if "lane" in said:
        facts["designations"] = [{"program": "ccm", "lane": said["lane"], "practitioner": "dr-a"}]
    if "decision_making" in said:
        facts["attestations"] = [
            {"kind": "complex-mdm", "level": said["decision_making"], "practitioner": "dr-a", "on": str(day)}
        ]
