"""What may be counted of a patient-month, for the second opinion in `proof_check.py`; shares nothing with the engine.

Input: a facts object; the dated values under parameters/ and tables/. Output: `Ledger`: counted stretches, dates
with readings, device periods and their lines, what a program asks before anything counts, the amount of a line.
"""

from __future__ import annotations

import csv
import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

Json = dict[str, Any]
HERE, DAY = Path(__file__).resolve().parent, timedelta(days=1)
FOREVER = datetime.max.replace(tzinfo=UTC)
IDLE = {"voicemail", "text", "scheduling", "setup", "clerical"}

FACILITY = ["19", "21", "22", "23", "24", "26", "31", "34", "51", "52", "53", "56", "61"]
SHORT = {"rpm": "99470", "rtm": "98979"}
SUPPLY = {None: "99453 99454 99445", "respiratory": "98975 98976 98984", "musculoskeletal": "98975 98977 98985"}


class Row(dict[str, Any]):
    """A JSON object with its fields as attributes, None where absent, dates and instants read."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def read(raw: Any) -> Any:
    if isinstance(raw, dict):
        return Row({key: read(each) for key, each in raw.items()})
    if isinstance(raw, list):
        return [read(each) for each in raw]
    if isinstance(raw, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", raw):
        return date.fromisoformat(raw)
    if isinstance(raw, str) and re.match(r"\d{4}-\d\d-\d\dT", raw):
        return datetime.fromisoformat(raw).astimezone(UTC)
    return raw


@cache
def document(name: str) -> Any:
    if name.endswith("csv"):
        return list(csv.DictReader((HERE / name).read_text(encoding="utf-8").splitlines()))
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8")) if (HERE / name).exists() else {"values": {}}


def since(values: dict[Any, Any], day: date) -> Any:
    return values[max(known)] if (known := [begun for begun in values if begun <= day]) else {}


def rule(path: str, day: date) -> Any:
    """The value of a rule on a day; None where it does not exist or has not begun."""
    return since(document(f"parameters/medicare/{path}.yaml")["values"], day).get("value")


def code_row(code: str) -> Row:
    return Row(document("codes.yaml")["codes"].get(code, {}))


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def covers(span: Row, first: date, last: date) -> bool:
    begun: date = span.get("from") or span.elected_on
    ended: date = span.to or span.revoked_on or date.max
    return begun <= last and ended >= first


class Ledger:
    """The facts of one patient-month, read, with what may be counted of them."""

    def __init__(self, facts: Json) -> None:
        self.f = read(facts)
        self.zone = ZoneInfo(self.f.practice.time_zone)
        year, month = map(int, facts["month"].split("-"))
        self.first, self.last = date(year, month, 1), date(year, month, monthrange(year, month)[1])
        self.people = {p.id: p for p in self.f.practitioners or ()}
        self.why: dict[str, str] = {}
        self.staff = {p.id for p in self.f.staff or () if p.qualified}

    def local(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def one_group(self, one: str, other: str) -> bool:
        groups = [self.people.get(who, Row()).group for who in (one, other)]
        return one == other or (groups[0] is not None and groups[0] == groups[1])

    def consents(self, e: Row) -> list[tuple[datetime, datetime]]:
        found = []
        for c in self.f.consents or ():
            stop = c.revoked_at if c.revoked_at and c.revoked_at <= self.f.as_of else FOREVER
            if stop < FOREVER and self.f.practice.revocation_effective == "month_end":
                day = self.local(stop)
                stop = self.midnight(day.replace(day=monthrange(day.year, day.month)[1]) + DAY)
            if (c.program, c.practitioner) == (e.program, e.practitioner) and c.granted_at <= self.f.as_of:
                found.append((c.granted_at, stop))
        return found

    def open_from(self, e: Row) -> datetime | None:
        """From when on the patient is established and seen as the program asks; None when never."""
        start, born = self.midnight(e["from"]), self.f.patient.established_on
        if rule(f"{e.program}/eligibility/established_patient", self.last):
            start = max(start, self.midnight(born)) if born and born <= self.last else FOREVER
        days = rule(f"{e.program}/eligibility/initiating_visit_days", self.last)
        if days:
            old = e["from"] - timedelta(days=days)
            mine = [v for v in self.f.visits or () if v.practitioner == e.practitioner and v.at <= self.f.as_of]
            # The visit that made the patient one of the practice is the initiating one: it must speak of the program.
            known = [v for v in mine if e.program in (v.discussed or ()) or (born and born < self.local(v.at))]
            near = any(old <= self.local(v.at) <= e["from"] for v in known) or (
                e.program == "apcm" and born and born >= old
            )
            talks = [v.at for v in mine if e.program in (v.discussed or ()) and self.local(v.at) >= e["from"]]
            start = start if near else max(start, min(talks, default=FOREVER))
        return start if start < FOREVER else None

    def barred(self, e: Row, until: datetime | None) -> str | None:
        """The first shut gate of the program, in words; `until` is the last counted instant."""
        gate = f"{e.program}/eligibility/"
        if self.people[e.practitioner].credential not in rule("situation/billing_practitioner", self.last):
            return "not a billing practitioner"
        if rule(gate + "consent", self.last) and not self.consents(e):
            return "no consent"
        if rule(gate + "order", self.last) and not (e.ordered_on and e.ordered_on <= self.last):
            return "no order"
        one = e.diagnosis if e.program == "pcm" else None
        found = [c for c in self.f.patient.conditions or () if one in (None, c.icd10)]
        ill = sum(c.chronic_12_months and c.significant_risk for c in found)
        if ill < (rule(gate + "chronic_conditions", self.last) or 0):
            return "too few chronic conditions with significant risk"
        if self.open_from(e) is None:
            return "not established, or no initiating visit"
        plans = [
            p
            for p in self.f.care_plans or ()
            if p.approved_at and (p.program, p.approved_by) == (e.program, e.practitioner)
        ]
        due = min(until or FOREVER, self.f.as_of)
        return (
            "no care plan in time"
            if rule(gate + "care_plan", self.last) and all(p.approved_at > due for p in plans)
            else None
        )

    def works(self, t: Row, e: Row) -> bool:
        """Whether a person did work that can count for the program of `e`."""
        able = rule("situation/billing_practitioner", self.last)
        other = t.performer in self.people and self.people[t.performer].credential in able
        person = t.performer in self.staff or (other and self.one_group(t.performer, e.practitioner))
        here = t.in_person and not e.program.endswith("oversight")
        return (
            not (t.activity in IDLE or t.automated or t.part_of_visit or here or not person)
            and t.recorded_at <= self.f.as_of
        )

    def counted(
        self, e: Row, span: tuple[date, date], own: bool, double: bool = False, drop: str = ""
    ) -> list[tuple[datetime, datetime]]:
        """Counted stretches of a program: every stretch between two changes of anything is looked at once."""
        low, high = self.midnight(span[0]), self.midnight(span[1] + DAY)
        mine = {o.program: o for o in self.f.enrollments}
        entries = [t for t in self.f.time_entries or () if t.id != drop and self.works(t, mine.get(t.program, e))]
        changes = {low, high, self.open_from(e) or high, *(m for pair in self.consents(e) for m in pair)}
        for t in (*entries, *(self.f.elsewhere or ())):
            changes |= {
                t.start,
                t.end,
                *(self.midnight(self.local(t.start) + n * DAY) for n in range((t.end - t.start).days + 3)),
            }
        cuts, found = sorted(c for c in changes if low <= c <= high), []
        for a, b in pairwise(cuts):
            here, day = [t for t in entries if t.start <= a < t.end], self.local(a)
            shut = any(covers(stay, day, day) for stay in self.f.stays or ()) or a < (self.open_from(e) or FOREVER)
            asked = rule(f"{e.program}/eligibility/consent", self.last)
            if shut or not covers(e, day, day) or (asked and not any(x <= a < y for x, y in self.consents(e))):
                continue
            for t in here:
                others = [o for o in self.f.time_entries if o.start <= a < o.end and o.performer == t.performer]
                others = [o for o in others if o in here or (o.part_of_visit and o.recorded_at <= self.f.as_of)]
                rival = any([o.program] != [e.program] != o.candidates for o in others)
                busy = any(w.performer == t.performer and w.start <= a < w.end for w in self.f.elsewhere or ())
                if (
                    t.program == e.program
                    and not rival
                    and (double or not busy)
                    and (not own or t.performer == e.practitioner)
                ):
                    found.append((a, b))
                    break
        return found

    def seconds(self, *args: Any, **more: Any) -> int:
        return sum((b - a for a, b in self.counted(*args, **more)), timedelta()) // timedelta(seconds=1)

    def days(self, e: Row) -> dict[date, list[str]]:
        """Local dates with a reading that the device took and sent itself, and the readings of each."""
        start = max(day for day in (e["from"], e.ordered_on, e.setup_on) if day)
        fit, found = {d.id for d in self.f.devices or () if d.fda_defined}, dict[date, list[str]]()
        zones = {z["from"]: z for z in self.f.patient.time_zones}
        for r in self.f.readings or ():
            zone = since(zones, r.measured_at.date()).get("zone", self.zone.key)
            day = r.measured_at.astimezone(ZoneInfo(zone)).date()
            sent = (r.entry == "automatic" or e.program == "rtm") and r.device in fit and r.received_at <= self.f.as_of
            agreed = any(a <= r.measured_at < b for a, b in self.consents(e))
            if sent and agreed and start <= day and covers(e, day, day):
                found.setdefault(day, []).append(r.id)
        return found

    def over(self, e: Row) -> date:
        """The last day of the episode."""
        stops = [self.local(stop) for _, stop in self.consents(e) if stop < FOREVER]
        return min([*stops, *([e.to] if e.to else [])], default=date.max)

    def periods(self, e: Row) -> list[tuple[date, date]]:
        """Thirty-day periods back to back from the first date on, none moved to find more days."""
        first, found = min(self.days(e), default=date.max), []
        while first <= min(self.last, self.over(e)):
            found.append((first, first + timedelta(days=rule("rpm/device_supply/period_days", first) - 1)))
            first = found[-1][1] + DAY
        return found

    def line(self, e: Row, code: str, units: int, span: tuple[date, date], day: date, **more: Any) -> Row:
        empty: Json = {
            "refused": [],
            "held": [],
            "group": code_row(code).group,
            "program": e.program,
            "who": e.practitioner,
        }
        return Row(empty, code=code, units=units, first=span[0], last=span[1], day=day, **more)

    def due(self, stretches: list[tuple[datetime, datetime]], need: int) -> date:
        """Date of service of a calendar month's line, as the payer wants it."""
        left = timedelta(seconds=need)
        for a, b in stretches if self.f.payer.date_of_service == "threshold-date" else ():
            if left <= b - a:
                return self.local(a + left)
            left -= b - a
        return self.last

    def supply(self, e: Row) -> Iterator[Row]:
        """Distinct local dates with readings in 30-day periods from the first one on; set-up once an episode."""
        days, over = self.days(e), self.over(e)
        gate = self.barred(e, None) if e.ordered_on and e.setup_on else "not ordered or not set up"
        ready, codes = None, SUPPLY.get(e.system, "98975 98978 98986").split()
        for span in self.periods(e):
            first = span[0]
            here = sorted(day for day in days if span[0] <= day <= span[1])
            floor = rule(f"{e.program}/setup/data_days", e.setup_on or first)
            ready = ready or ((first, here[floor - 1]) if len(here) >= floor else None)
            many, few = (rule(f"{e.program}/device_supply/{size}_days", span[1]) for size in ("many", "few"))
            code = codes[1] if len(here) >= many else codes[2]
            shut = gate or ("not established" if (self.open_from(e) or FOREVER) >= self.midnight(first + DAY) else None)
            self.why.update(dict.fromkeys(codes[1:], shut or f"{len(here)} days from {first}"))
            if self.first <= min(span[1], over) <= self.last and not shut and len(here) >= (few or many):
                need = many if code == codes[1] else few
                line = self.line(
                    e,
                    code,
                    1,
                    span,
                    span[1],
                    have=len(here),
                    need=need,
                    rest={i: len(here) - (len(days[d]) == 1) for d in here for i in days[d]},
                )
                line.held += ["episode ended early"] * (over < span[1]) + ["period still running"] * (
                    self.local(self.f.as_of) <= span[1]
                )
                line.held += ["straddles a rule change"] * (code == codes[2] and first < date(2026, 1, 1))
                awake = sum(not any(covers(stay, day, day) for stay in self.f.stays or ()) for day in here)
                line.held += ["rests on inpatient days"] * (awake < need)
                yield line
        if ready and not gate and self.first <= ready[1] <= self.last:
            line = self.line(e, codes[0], 1, ready, e.setup_on)
            done = [s for s in self.f.services or () if s.code == codes[0] and s.status != "denied"]
            line.refused += ["not established"] * ((self.open_from(e) or FOREVER) >= self.midnight(e.setup_on + DAY))
            line.refused += ["claimed before"] * any(s.episode in (None, e.episode) for s in done)
            yield line

    def amount(self, line: Row) -> str | None:
        """Relative values x geographic indices x conversion factor, to the cent; None where a carrier prices."""
        day, payer = line.day.isoformat(), self.f.payer
        rvu, factor = (
            [r for r in document(f"tables/{n}.csv") if r["effective_from"] <= day <= r["effective_to"]]
            for n in ("rvu", "conversion_factors")
        )
        row = next((r for r in rvu if r["code"] == line.code and r["status"] != "C"), None)
        factor = [r for r in factor if r["kind"] in ("all", "qp" if payer.qualifying_apm else "non-qp")]
        if row is None or not factor:
            return None
        place = "facility_pe_rvu" if self.f.practice.place_of_service in FACILITY else "nonfacility_pe_rvu"
        index = {"work_gpci": "1", "pe_gpci": "1", "mp_gpci": "1"}
        if payer.locality:
            at = (day[:4], payer.locality.mac, payer.locality.number)
            index = next(
                (g for g in document("tables/gpci.csv") if (g["year"], g["mac"], g["locality_number"]) == at), index
            )
        pairs = (
            (row["work_rvu"], index["work_gpci"]),
            (row[place], index["pe_gpci"]),
            (row["mp_rvu"], index["mp_gpci"]),
        )
        unit = cents(sum((Decimal(a) * Decimal(b) for a, b in pairs), Decimal(0)) * Decimal(factor[0]["value"]))
        if self.people[line.who].credential in ("NP", "PA", "CNS"):
            unit = cents(unit * rule("situation/non_physician_percent", line.day) / 100)
        return str(unit * line.units)
