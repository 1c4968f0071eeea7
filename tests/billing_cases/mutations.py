"""One fact of a patient-month changed at a time, by a seeded generator.

Input: facts of a worked case and a `random.Random`. Output: `mutated(...)`: (what was done, facts). Every change
happens in a practice: a minute more, a reading typed in, a consent stopped, a service that turns up.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Change = Callable[[random.Random, Json], str | None]

CASES = [
    json.loads(line)
    for line in Path(__file__).with_name("public.jsonl").read_text(encoding="utf-8").splitlines()
    if line.strip()
]
THRESHOLDS = (600, 1200, 1800, 2400, 3600, 4800, 5400)
SERVICES = (
    *("99490", "99457", "99454", "99453", "99470", "99487", "99439", "99445", "99424", "99426", "98980", "98977"),
    *("99491", "99484", "99495", "99496", "G0506", "99091", "G0181", "90962", "99474", "G0557", "G0558"),
)


def later(text: str, **by: float) -> str:
    """An RFC 3339 instant moved."""
    return (datetime.fromisoformat(text) + timedelta(**by)).isoformat().replace("+00:00", "Z")


def shifted(text: str, days: int) -> str:
    """A date moved."""
    return (date.fromisoformat(text) + timedelta(days=days)).isoformat()


def _one(chance: random.Random, facts: Json, name: str) -> Json | None:
    return chance.choice(facts[name]) if facts.get(name) else None


def _some_day(chance: random.Random, facts: Json) -> str:
    return f"{facts['month']}-{chance.randint(1, 28):02d}"


def _practitioner(facts: Json) -> str:
    return str(facts["enrollments"][0]["practitioner"] if facts.get("enrollments") else "dr-a")


def entry_length(chance: random.Random, facts: Json) -> str | None:
    """A second, some minutes, or right to a threshold and a second on either side."""
    entry = _one(chance, facts, "time_entries")
    if entry is None:
        return None
    now = (datetime.fromisoformat(entry["end"]) - datetime.fromisoformat(entry["start"])).seconds
    length = chance.choice((now - 1, now + 1, now - 300, now + 300, now + 1200, *THRESHOLDS)) + chance.choice(
        (-1, 0, 1)
    )
    if length <= 0:
        return None
    entry["end"] = later(entry["start"], seconds=length)
    return f"{entry['id']} lasts {length} s"


def entry_overlaps(chance: random.Random, facts: Json) -> str | None:
    """Two entries at the same moment."""
    if len(facts.get("time_entries") or ()) < 2:
        return None
    one, other = chance.sample(facts["time_entries"], 2)
    length = datetime.fromisoformat(other["end"]) - datetime.fromisoformat(other["start"])
    other["start"] = later(one["start"], seconds=chance.choice((0, 60, -60)))
    other["end"] = later(other["start"], seconds=length.total_seconds())
    return f"{other['id']} over {one['id']}"


def entry_field(chance: random.Random, facts: Json) -> str | None:
    """Another tag, activity, person, place, day or date of record."""
    entry = _one(chance, facts, "time_entries")
    if entry is None:
        return None
    field = chance.choice(("program", "none", "flag", "activity", "performer", "recorded_at", "day"))
    if field == "program":
        entry["program"] = chance.choice(sorted({e["program"] for e in facts["enrollments"]} | {"rpm", "ccm"}))
        entry.pop("candidates", None)
    elif field == "none":
        entry.update(program=None, candidates=["ccm", "rpm"])
    elif field == "flag":
        flag = chance.choice(("automated", "part_of_visit", "in_person", "live"))
        entry[flag] = not entry[flag]
    elif field == "activity":
        entry["activity"] = chance.choice(("voicemail", "text", "setup", "clerical", "live-call", "data-review"))
    elif field == "performer":
        entry["performer"] = chance.choice([p["id"] for p in (*facts["practitioners"], *(facts.get("staff") or ()))])
    elif field == "recorded_at":
        entry["recorded_at"] = later(facts["as_of"], seconds=chance.choice((-1, 0, 1)))
    else:
        days = chance.choice((-30, -1, 1, 30))
        entry.update({name: later(entry[name], days=days) for name in ("start", "end", "recorded_at")})
    return f"{entry['id']} {field}"


def dropped(chance: random.Random, facts: Json) -> str | None:
    """A fact that is not there."""
    name = chance.choice(("time_entries", "readings", "consents", "care_plans", "visits", "designations"))
    fact = _one(chance, facts, name)
    if fact is None:
        return None
    facts[name].remove(fact)
    return f"without one of {name}"


def reading(chance: random.Random, facts: Json) -> str | None:
    """Typed, moved, late, added, or the first ones gone."""
    fact = _one(chance, facts, "readings")
    if fact is None:
        return None
    kind = chance.choice(("entry", "day", "late", "more", "fewer"))
    days = chance.choice((-3, -1, 1, 3))
    if kind == "entry":
        fact["entry"] = "manual" if fact["entry"] == "automatic" else "automatic"
    elif kind == "late":
        fact["received_at"] = later(facts["as_of"], seconds=chance.choice((-1, 0, 1)))
    elif kind == "fewer":
        del facts["readings"][: chance.randint(1, len(facts["readings"]))]
    else:
        if kind == "more":
            fact, days = {**fact, "id": "more"}, chance.randint(-20, 20)
            facts["readings"].append(fact)
        fact.update({name: later(fact[name], days=days) for name in ("measured_at", "received_at")})
    return f"reading {fact['id']} {kind} {days}"


def consent(chance: random.Random, facts: Json) -> str | None:
    """Stopped in the month, given late, or effective at the month's end."""
    fact = _one(chance, facts, "consents")
    if fact is None:
        return None
    moment = f"{_some_day(chance, facts)}T{chance.randint(10, 22)}:05:00Z"
    kind = chance.choice(("revoked_at", "granted_at", "month_end"))
    fact["revoked_at" if kind == "month_end" else kind] = moment
    if kind == "month_end":
        facts["practice"]["revocation_effective"] = "month_end"
    return f"{fact['program']} consent {kind} {moment}"


def enrollment(chance: random.Random, facts: Json) -> str | None:
    """Begun another day, ended, not ordered, not set up."""
    fact = _one(chance, facts, "enrollments")
    if fact is None:
        return None
    kind, day = chance.choice(("from", "to", "ordered_on", "setup_on")), _some_day(chance, facts)
    if kind == "from" and not fact["to"]:
        fact["from"] = shifted(fact["from"], chance.choice((-1, 1, 5)))
    elif kind == "to" and day >= fact["from"]:
        fact.update(to=day, end_reason="goals-met")
    elif fact.get(kind) and kind.endswith("_on"):
        fact[kind] = chance.choice((None, shifted(fact[kind], 1), shifted(fact[kind], -1)))
    else:
        return None
    return f"{fact['program']} {kind} {fact[kind]}"


def plan(chance: random.Random, facts: Json) -> str | None:
    """Approved late, or by another person."""
    fact = _one(chance, facts, "care_plans")
    if fact is None:
        return None
    change = {"approved_at": f"{_some_day(chance, facts)}T15:00:00Z"}
    fact.update(chance.choice((change, {"approved_by": "someone"})))
    return f"plan of {fact['program']}"


def patient(chance: random.Random, facts: Json) -> str | None:
    """Conditions, relationship, QMB, zone."""
    person, zones = facts["patient"], ("America/Los_Angeles", "Pacific/Honolulu", "Asia/Tokyo")
    kind = chance.choice(("condition", "established_on", "qualified_medicare_beneficiary", "time_zones"))
    if kind == "condition":
        ill = _one(chance, person, "conditions")
        if ill is None:
            return None
        field = chance.choice(("chronic_12_months", "significant_risk"))
        ill[field] = not ill[field]
    elif kind == "established_on":
        person[kind] = chance.choice((None, f"{facts['month']}-15"))
    elif kind == "time_zones":
        person[kind] = [{"from": "2015-01-01", "zone": chance.choice(zones)}]
    else:
        person[kind] = not person[kind]
    return f"patient's {kind}"


def practitioner(chance: random.Random, facts: Json) -> str | None:
    """What the practitioner says: decision making, lane; who the practitioner is."""
    who, kind = _practitioner(facts), chance.choice(("mdm", "lane", "credential"))
    if kind == "mdm":
        level = chance.choice(("low", "moderate", "high"))
        made = {"kind": "complex-mdm", "level": level, "practitioner": who, "on": _some_day(chance, facts)}
        facts.setdefault("attestations", []).append(made)
    elif kind == "lane" and facts.get("enrollments"):
        program = chance.choice(facts["enrollments"])["program"]
        lanes = {"ccm": ("staff", "complex", "practitioner"), "pcm": ("staff", "practitioner")}.get(program, (None,))
        facts["designations"] = [{"program": program, "lane": chance.choice(lanes), "practitioner": who}]
    else:
        facts["practitioners"][0]["credential"] = chance.choice(("NP", "PA", "CNS", "CNM", "RN", "DO"))
    return f"practitioner {kind}"


def service(chance: random.Random, facts: Json) -> str | None:
    """A line known from outside the run."""
    who, code = chance.choice(("dr-a", "dr-b")), chance.choice(SERVICES)
    if who not in {person["id"] for person in facts["practitioners"]}:
        facts["practitioners"].append({"id": who, "group": chance.choice(("pr1", "pr2")), "credential": "MD"})
    status, month = chance.choice(("met", "claimed", "paid", "denied")), facts["month"]
    made = {"code": code, "from": f"{month}-01", "to": f"{month}-28", "practitioner": who, "status": status}
    facts.setdefault("services", []).append(made)
    return f"service {code} of {who} {status}"


def situation(chance: random.Random, facts: Json) -> str | None:
    """A stay, hospice, surgery, a payment model, a person booked twice."""
    first = _some_day(chance, facts)
    kind = chance.choice(("stays", "hospice", "global_surgery", "models", "elsewhere"))
    made: Json = {"from": first, "to": shifted(first, chance.randint(0, 2))}
    if kind == "stays":
        made["kind"] = chance.choice(("inpatient", "snf-part-a"))
    elif kind == "hospice":
        made = {"elected_on": first, "revoked_on": None}
    elif kind == "global_surgery":
        made["practitioner"] = facts["practitioners"][0]["id"]
    elif kind == "models":
        made = {"name": "access", "aligned_with_us": chance.choice((True, False)), "from": "2026-07-05", "to": None}
    else:
        entry = _one(chance, facts, "time_entries")
        if entry is None:
            return None
        until = later(entry["start"], seconds=chance.choice((30, 60, 300)))
        made = {"performer": entry["performer"], "patient": "p9", "start": entry["start"], "end": until}
    facts.setdefault(kind, []).append(made)
    return f"{kind} {first}"


def practice(chance: random.Random, facts: Json) -> str | None:
    """Place of service, payment, locality, zone, staff, device, the date of the run."""
    kind = chance.choice(("place", "apm", "locality", "zone", "staff", "device", "as_of"))
    if kind == "place":
        facts["practice"]["place_of_service"] = chance.choice(("12", "19", "22", "21", "31"))
    elif kind == "apm":
        facts["payer"]["qualifying_apm"] = not facts["payer"]["qualifying_apm"]
    elif kind == "locality":
        facts["payer"]["locality"] = {"mac": "10112", "number": "00"}
    elif kind == "zone":
        facts["practice"]["time_zone"] = chance.choice(("America/Los_Angeles", "Pacific/Honolulu"))
    elif kind == "as_of":
        facts["as_of"] = later(facts["as_of"], days=chance.choice((-10, -3, 5)))
    else:
        fact = _one(chance, facts, {"staff": "staff", "device": "devices"}[kind])
        if fact is None:
            return None
        field = {"staff": "qualified", "device": "fda_defined"}[kind]
        fact[field] = not fact[field]
    return kind


def discharge(chance: random.Random, facts: Json) -> str | None:
    """A date or the level of a transition."""
    fact = _one(chance, facts, "discharges")
    field = chance.choice(("contact_on", "reconciled_on", "on", "mdm", "visit_at"))
    if fact is None or not fact.get(field):
        return None
    if field == "mdm":
        fact[field] = chance.choice(("low", "moderate", "high"))
    else:
        days = chance.choice((-2, -1, 1, 2))
        fact[field] = later(fact[field], days=days) if field == "visit_at" else shifted(fact[field], days)
    return f"discharge {field}"


CHANGES: tuple[Change, ...] = (
    *(entry_length, entry_length, entry_overlaps, entry_field, entry_field, entry_field, dropped, reading, reading),
    *(consent, enrollment, plan, patient, practitioner, service, service, situation, situation, practice, discharge),
)


def mutated(count: int, seed: int) -> Iterator[tuple[str, Json]]:
    """(what was done to which case, the changed facts), `count` times; the same for the same seed."""
    chance = random.Random(seed)
    done = 0
    while done < count:
        case = chance.choice(CASES)
        facts = copy.deepcopy(case["facts"])
        said = chance.choice(CHANGES)(chance, facts)
        if said is not None:
            done += 1
            yield f"{case['id']}: {said}", facts
