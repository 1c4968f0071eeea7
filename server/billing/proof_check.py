"""A second opinion on an adjudication, derived from the facts by arithmetic of its own: no line is shared with the engine.

Input: facts and adjudication as JSON values; the values under parameters/ and tables/. Output: one finding a line, agree,
disagree or unchecked, with a reason. What it does not derive (`UNCHECKED`, rural clinics, `under`) it never agrees to.
"""

from __future__ import annotations

import csv
import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

Json = dict[str, Any]
HERE, DAY = Path(__file__).resolve().parent, timedelta(days=1)
FOREVER = datetime.max.replace(tzinfo=UTC)
UNCHECKED = {"99492", "99493", "99494", "G2214", "G0511", "G0512", "G0568", "G0569", "G0570"}
IDLE = {"voicemail", "text", "scheduling", "setup", "clerical"}
# Base, add-on, program, rule, lane; the short month's code of a program; set-up, long and short supply of a system.
BLOCKS = """99457 99458 rpm management -|98980 98981 rtm management -|99490 99439 ccm clinical_staff staff
99487 99489 ccm complex complex|99491 99437 ccm practitioner practitioner|99426 99427 pcm clinical_staff staff
99424 99425 pcm practitioner practitioner|99484 - bhi clinical_staff -
G0181 - home-health-oversight practitioner -|G0182 - hospice-oversight practitioner -"""
SHORT = {"rpm": "99470", "rtm": "98979"}
SUPPLY = {None: "99453 99454 99445", "respiratory": "98975 98976 98984", "musculoskeletal": "98975 98977 98985"}
FACILITY = "19 21 22 23 24 26 31 34 51 52 53 56 61".split()


class Row(dict[str, Any]):
    """A JSON object with its fields as attributes, None where absent, dates and instants read."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name)


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


def since(values: Json, day: date) -> Any:
    return values[max(known)] if (known := [begun for begun in values if begun <= day]) else {}


def rule(path: str, day: date) -> Any:
    """The value of a rule on a day; None where it does not exist or has not begun."""
    return since(document(f"parameters/medicare/{path}.yaml")["values"], day).get("value")


def code_row(code: str) -> Row:
    return Row(document("codes.yaml")["codes"].get(code, {}))


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def covers(span: Row, first: date, last: date) -> bool:
    return bool((span["from"] if "from" in span else span.elected_on) <= last and (span.to or span.revoked_on or date.max) >= first)


class Month:
    """One patient-month derived anew: `lines` meet their thresholds; `refused` and `held` of a line say what bars it."""

    def __init__(self, facts: Json) -> None:
        self.f = read(facts)
        self.zone = ZoneInfo(self.f.practice.time_zone)
        year, month = map(int, facts["month"].split("-"))
        self.first, self.last = date(year, month, 1), date(year, month, monthrange(year, month)[1])
        self.people = {p.id: p for p in self.f.practitioners or ()}
        self.staff = {p.id for p in self.f.staff or () if p.qualified}
        self.why: dict[str, str] = {}
        self.periods: list[tuple[date, date]] = []
        self.lines = [line for e in self.f.enrollments or () for line in self.of_enrollment(e)]
        self.situations()
        self.concurrency()

    def local(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def one_group(self, one: str, other: str) -> bool:
        groups = [self.people.get(who, Row()).group for who in (one, other)]
        return one == other or (groups[0] is not None and groups[0] == groups[1])

    def line(self, e: Row, code: str, units: int, span: tuple[date, date], day: date, **more: Any) -> Row:
        empty: Json = {"refused": [], "held": [], "group": code_row(code).group, "program": e.program, "who": e.practitioner}
        return Row(empty, code=code, units=units, first=span[0], last=span[1], day=day, **more)

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
            near = any(old <= self.local(v.at) <= e["from"] for v in mine) or (e.program == "apcm" and born and born >= old)
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
        ill = sum(c.chronic_12_months and c.significant_risk for c in self.f.patient.conditions or ())
        if ill < (rule(gate + "chronic_conditions", self.last) or 0):
            return "too few chronic conditions with significant risk"
        if self.open_from(e) is None:
            return "not established, or no initiating visit"
        plans = [p for p in self.f.care_plans or () if p.approved_at and (p.program, p.approved_by) == (e.program, e.practitioner)]
        due = min(until or FOREVER, self.f.as_of)
        return "no care plan in time" if rule(gate + "care_plan", self.last) and all(p.approved_at > due for p in plans) else None

    def works(self, t: Row, e: Row) -> bool:
        """Whether a person did work that can count for the program of `e`."""
        able = rule("situation/billing_practitioner", self.last)
        other = t.performer in self.people and self.people[t.performer].credential in able
        person = t.performer in self.staff or (other and self.one_group(t.performer, e.practitioner))
        here = t.in_person and not e.program.endswith("oversight")
        return not (t.activity in IDLE or t.automated or t.part_of_visit or here or not person) and t.recorded_at <= self.f.as_of

    def counted(self, e: Row, span: tuple[date, date], own: bool, double: bool = False, drop: str = "") -> list[tuple[datetime, datetime]]:
        """Counted stretches of a program: every stretch between two changes of anything is looked at once."""
        low, high = self.midnight(span[0]), self.midnight(span[1] + DAY)
        mine = {o.program: o for o in self.f.enrollments}
        entries = [t for t in self.f.time_entries or () if t.id != drop and self.works(t, mine.get(t.program, e))]
        changes = {low, high, self.open_from(e) or high, *(m for pair in self.consents(e) for m in pair)}
        for t in (*entries, *(self.f.elsewhere or ())):
            changes |= {t.start, t.end, *(self.midnight(self.local(t.start) + n * DAY) for n in range((t.end - t.start).days + 3))}
        cuts, found = sorted(c for c in changes if low <= c <= high), []
        for a, b in zip(cuts, cuts[1:], strict=False):
            here, day = [t for t in entries if t.start <= a < t.end], self.local(a)
            shut = any(covers(stay, day, day) for stay in self.f.stays or ()) or a < (self.open_from(e) or FOREVER)
            asked = rule(f"{e.program}/eligibility/consent", self.last)
            if shut or not covers(e, day, day) or (asked and not any(x <= a < y for x, y in self.consents(e))):
                continue
            for t in here:
                rival = any(o.performer == t.performer and o.program not in (e.program, None) for o in here)
                busy = any(w.performer == t.performer and w.start <= a < w.end for w in self.f.elsewhere or ())
                if t.program == e.program and not rival and (double or not busy) and (not own or t.performer == e.practitioner):
                    found.append((a, b))
                    break
        return found

    def seconds(self, *args: Any, **more: Any) -> int:
        return sum((b - a for a, b in self.counted(*args, **more)), timedelta()) // timedelta(seconds=1)

    def of_enrollment(self, e: Row) -> Iterator[Row]:
        if e["from"] <= self.last and not e.under and self.f.practice.kind == "physician-practice":
            yield from self.supply(e) if e.program in SHORT else ()
            yield from self.blocks(e)
            yield from getattr(self, e.program.replace("-", "_"), lambda _: ())(e)

    def supply(self, e: Row) -> Iterator[Row]:
        """Distinct local dates with a reading the device sent itself, in 30-day periods from the first on; set-up once."""
        start = max(day for day in (e["from"], e.ordered_on, e.setup_on) if day)
        fit, days = {d.id for d in self.f.devices or () if d.fda_defined}, dict[date, list[str]]()
        for r in self.f.readings or ():
            zone = since({z["from"]: z for z in self.f.patient.time_zones}, r.measured_at.date()).get("zone", self.zone.key)
            day = r.measured_at.astimezone(ZoneInfo(zone)).date()
            sent = (r.entry == "automatic" or e.program == "rtm") and r.device in fit and r.received_at <= self.f.as_of
            if sent and start <= day and covers(e, day, day) and any(a <= r.measured_at < b for a, b in self.consents(e)):
                days.setdefault(day, []).append(r.id)
        gate = self.barred(e, None) if e.ordered_on and e.setup_on else "not ordered or not set up"
        ends = [e.to] if e.to else []
        over = min(ends + [self.local(b) for _, b in self.consents(e) if b < FOREVER], default=date.max)
        first, ready, codes = min(days, default=date.max), None, SUPPLY.get(e.system, "98975 98978 98986").split()
        while first <= self.last and first <= over:
            span = (first, first + timedelta(days=rule("rpm/device_supply/period_days", first) - 1))
            self.periods.append(span)
            here = sorted(day for day in days if span[0] <= day <= span[1])
            floor = rule(f"{e.program}/setup/data_days", e.setup_on or first)
            ready = ready or ((first, here[floor - 1]) if len(here) >= floor else None)
            many, few = (rule(f"{e.program}/device_supply/{size}_days", span[1]) for size in ("many", "few"))
            code = codes[1] if len(here) >= many else codes[2]
            shut = gate or ("not established" if (self.open_from(e) or FOREVER) >= self.midnight(first + DAY) else None)
            self.why.update(dict.fromkeys(codes[1:], shut or f"{len(here)} days from {first}"))
            if self.first <= min(span[1], over) <= self.last and not shut and few and len(here) >= few or len(here) >= many:
                need = many if code == codes[1] else few
                line = self.line(e, code, 1, span, span[1], have=len(here), need=need, rest={i: len(here) - (len(days[d]) == 1) for d in here for i in days[d]})
                line.held += ["episode ended early"] * (over < span[1]) + ["period still running"] * (self.local(self.f.as_of) <= span[1])
                line.held += ["straddles a rule change"] * (code == codes[2] and first < date(2026, 1, 1))
                awake = sum(not any(covers(stay, day, day) for stay in self.f.stays or ()) for day in here)
                line.held += ["rests on inpatient days"] * (awake < need)
                yield line
            first = span[1] + DAY
        if ready and not gate and self.first <= ready[1] <= self.last:
            line = self.line(e, codes[0], 1, ready, e.setup_on)
            done = [s for s in self.f.services or () if s.code == codes[0] and s.status != "denied"]
            line.refused += ["claimed before"] * any(s.episode in (None, e.episode) for s in done)
            yield line
 not (e.get("ordered_on") and e.get("setup_on")) else self.barred(e, None)
        stops = [self.local(stop) for _, stop in self.consents(e) if stop.year < 9999]
        over = min(filter(None, (day_of(e.get("to")), max(stops, default=None))), default=None)
        first, floor_met = min(by_date, default=date.max), None
        while first <= self.last:
            last = first + timedelta(days=value("rpm/device_supply/period_days", first) - 1)
            days = sorted(day for day in by_date if first <= day <= last)
            self.dates[(program, first)] = {day: by_date[day] for day in days}
            floor = value(f"{program}/setup/data_days", day_of(e.get("setup_on")) or last)
            if floor_met is None and len(days) >= floor:
                floor_met = (first, days[floor - 1])
            cut = over is not None and first <= over < last
            if self.first <= (over if cut and over else last) <= self.last:
                many, few = (value(f"{program}/device_supply/{w}_days", last) for w in ("many", "few"))
                code = long if len(days) >= many else short if few and len(days) >= few else None
                awake = [day for day in days if not any(within(day, stay) for stay in self.rows("stays"))]
                for each, need in ((long, many), (short, few)):
                    self.says(each, f"{len(days)} days from {first}, {need} needed")
                if code and gate:
                    self.says(code, gate)
                elif code:
                    line = self.line(e, code, 1, first, last, last, len(days))
                    line.held += ["episode ended early"] if cut else []
                    line.held += (
                        ["straddles a rule change"] if code == short and not value_before(program, first) else []
                    )
                    line.held += ["rests on inpatient days"] if len(awake) < (many if code == long else few) else []
                    yield line
            if cut:
                break
            first = last + ONE
        if floor_met and gate is None and self.first <= floor_met[1] <= self.last:
            day = date.fromisoformat(e["setup_on"])
            line = self.line(e, setup, 1, *floor_met, day, None)
            done = [s for s in self.rows("services") if s["code"] == setup and s["status"] != "denied"]
            if any(s.get("episode") in (None, e.get("episode")) for s in done):
                line.refused.append("set-up was already claimed for this episode")
            yield line

    def line(self, e: Json, code: str, units: int, first: date, last: date, day: date, have: int | None) -> Line:
        return Line(
            code=code,
            units=units,
            first=first,
            last=last,
            day=day,
            program=e["program"],
            practitioner=e["practitioner"],
            have=have,
        )

    def blocks(self, e: Json) -> Iterator[Line]:
        """Codes that count whole blocks of time in the calendar month of the practice."""
        low, high = self.midnight(self.first), self.midnight(self.last + ONE)
        found: dict[str, Line] = {}
        own_time: dict[str, int] = {}
        for program, lane, base, first, addon, further, own in BLOCKS:
            need, step = (value(f"{program}/{name}_block_seconds", self.last) for name in (first, further))
            if program != e["program"] or need is None:
                continue
            spans = self.seconds(program, low, high, e["practitioner"] if own else None)
            have, disputed = (
                total(spans),
                total(self.seconds(program, low, high, e["practitioner"] if own else None, True)),
            )
            own_time[lane or ""] = have
            gate = self.barred(e, spans[-1][1] if spans else None)
            short = value(f"{program}/management/short_block_seconds", self.last) if program in SHORT else None
            if program in SHORT:
                live = [t for t in self.rows("time_entries") if t["program"] == program and t["live"]]
                live = [t for t in live if t["with"] in ("patient", "caregiver") and self.countable(t, None)]
                if not any(self.first <= self.local(instant(t["start"])) <= self.last for t in live):
                    gate = gate or "no live talk with patient or caregiver"
            if lane == "complex" and not self.attested("complex-mdm", e["practitioner"], ("moderate", "high")):
                gate = gate or "decision making not attested"
            for code, least in ((SHORT.get(program, ""), short), (base, need), (addon, need + (step or 0))):
                if not code or least is None or (code == addon and not step):
                    continue
                units = 1 if code != addon else (have - need) // step
                also = 1 if code != addon else (disputed - need) // step
                self.says(code, gate or f"{have} of {least} seconds")
                fits = have >= least and not (code == SHORT.get(program) and have >= need)
                if gate or not (fits or disputed >= least):
                    continue
                line = self.line(e, code, max(units, 1), self.first, self.last, self.last, have)
                if have < least:
                    line.held.append("rests on seconds booked on two patients")
                if fits or have < least:
                    found[code] = line
        yield from self.in_lane(e, found, own_time)

    def attested(self, kind: str, who: str, levels: tuple[str, ...]) -> bool:
        return any(
            a["kind"] == kind
            and a["practitioner"] == who
            and a.get("level") in levels
            and self.first <= date.fromisoformat(a["on"]) <= min(self.last, self.local(self.as_of))
            for a in self.rows("attestations")
        )

    def in_lane(self, e: Json, found: dict[str, Line], own_time: dict[str, int]) -> Iterator[Line]:
        """One lane of a program a month: the designated one if it is met, else as reference 3.6 orders."""
        lanes = {
            lane: {base, addon} for program, lane, base, _, addon, _, _ in BLOCKS if lane and program == e["program"]
        }
        named = [d["lane"] for d in self.rows("designations") if d["program"] == e["program"] and d.get("lane")]
        met = [lane for lane in lanes if lanes[lane] & set(found)]
        chosen = named[0] if named and named[0] in met else "staff"
        tie = False
        if not named and lanes:
            staff_alone = own_time.get("staff", 0) - own_time.get("practitioner", 0)
            tie = "practitioner" in met and staff_alone >= 1200 and "complex" not in met
            chosen = (
                "complex"
                if "complex" in met
                else "practitioner"
                if "practitioner" in met and staff_alone < 1200
                else "staff"
            )
        for code, line in found.items():
            if not lanes or code in lanes[chosen]:
                line.held += ["no lane designated"] if tie else []
                yield line
            else:
                self.says(code, "another lane of the program is billed")

    def data_review(self, e: Json) -> Iterator[Line]:
        ends = [(first, first + timedelta(days=29)) for _, first in self.dates]
        span = next((p for p in ends if self.first <= p[1] <= self.last), (self.first, self.last))
        spans = self.seconds("data-review", self.midnight(span[0]), self.midnight(span[1] + ONE), e["practitioner"])
        need = value("data-review/practitioner/first_block_seconds", span[1])
        gate = self.barred(e, None)
        self.says("99091", gate or f"{total(spans)} of {need} seconds")
        if total(spans) >= need and not gate:
            yield self.line(e, "99091", 1, *span, span[1], total(spans))

    def apcm(self, e: Json) -> Iterator[Line]:
        many = sum(c["chronic_12_months"] for c in self.facts["patient"].get("conditions") or ()) >= 2
        level = (
            "G0558"
            if many and self.facts["patient"]["qualified_medicare_beneficiary"]
            else "G0557"
            if many
            else "G0556"
        )
        gate = self.barred(e, None)
        self.says(level, gate or "level")
        if gate is None:
            yield self.line(e, level, 1, self.first, self.last, self.last, None)

    def ccm(self, e: Json) -> Iterator[Line]:
        """G0506, once ever, on the day of the initiating visit."""
        for a in self.rows("attestations"):
            day = date.fromisoformat(a["on"])
            visits = [
                v
                for v in self.rows("visits")
                if v["practitioner"] == e["practitioner"] and self.local(instant(v["at"])) == day
            ]
            mine = a["kind"] == "extra-care-planning" and a["practitioner"] == e["practitioner"]
            if mine and visits and self.first <= day <= self.last:
                line = self.line(e, "G0506", 1, day, day, day, None)
                before = [s for s in self.rows("services") if s["code"] == "G0506" and s["status"] != "denied"]
                line.refused += (
                    ["paid once before"] if any(s["practitioner"] == e["practitioner"] for s in before) else []
                )
                yield line

    def tcm(self, e: Json) -> Iterator[Line]:
        for d in self.rows("discharges"):
            on = date.fromisoformat(d["on"])
            if not d.get("visit_at") or d["practitioner"] != e["practitioner"]:
                continue
            visit = self.local(instant(d["visit_at"]))
            due, left = on, value("tcm/contact/business_days", on)
            while left:
                due += ONE
                left -= due.weekday() < 5
            tries = [day for day in d.get("attempts_on") or () if on < date.fromisoformat(day) <= due]
            called = d.get("contact_on") and date.fromisoformat(d["contact_on"]) <= due
            pills = d.get("reconciled_on") and date.fromisoformat(d["reconciled_on"]) <= visit
            high = d["mdm"] == "high" and (visit - on).days <= value("tcm/visit/days_high", visit)
            fair = d["mdm"] in ("moderate", "high") and (visit - on).days <= value("tcm/visit/days_moderate", visit)
            if self.first <= visit <= self.last and (called or len(tries) >= 2) and pills and (high or fair):
                yield self.line(e, "99496" if high else "99495", 1, on, on + timedelta(days=29), visit, None)

    # --- what else bars a line ---

    def situations(self) -> None:
        monitored = {day for days in self.dates.values() for day in days}
        for line in self.lines:
            touches = lambda span, first="from", last="to", line=line: (  # noqa: E731
                date.fromisoformat(span[first]) <= line.last and (day_of(span.get(last)) or date.max) >= line.first
            )
            code = document("codes.yaml")["codes"][line.code]
            if not value("situation/rule_year", line.day):
                line.held.append("rules of the year are not loaded")
            if code["from"] > line.day or (code.get("to") or date.max) < line.day:
                line.refused.append("code not in force")
            if any(touches(h, "elected_on", "revoked_on") for h in self.rows("hospice")) and line.code != "G0182":
                line.held.append("hospice")
            surgeons = [g for g in self.rows("global_surgery") if touches(g)]
            if line.program in ("rpm", "rtm") and any(
                self.same_person(g["practitioner"], line.practitioner) for g in surgeons
            ):
                line.held.append("global surgery")
            aligned = value("situation/access_aligned", line.day)
            if aligned and any(m["aligned_with_us"] and within(line.day, m) for m in self.rows("models")):
                line.refused.append("ACCESS model")
            if self.facts["practice"]["place_of_service"] in value("situation/place_of_service", line.day):
                line.refused.append("place of service")
            if line.program in SHORT and line.first == self.first and line.have and line.have > 60 and not monitored:
                line.held.append("nothing monitored")
            for s in self.rows("services"):
                other = document("codes.yaml")["codes"].get(s["code"], {})
                if s["status"] == "denied" or not touches({"from": s["from"], "to": s["to"]}) or line.code == "G0506":
                    continue
                if s["code"] == line.code and s["practitioner"] == line.practitioner:
                    line.refused.append("already claimed for the period")
                elif other.get("program") == line.program != "pcm" and s["practitioner"] != line.practitioner:
                    line.refused.append("another practitioner has it")

    def concurrency(self) -> None:
        known = []
        for s in self.rows("services"):
            group = document("codes.yaml")["codes"].get(s["code"], {}).get("group")
            first, last = date.fromisoformat(s["from"]), date.fromisoformat(s["to"])
            if s["status"] != "denied" and group:
                known.append(
                    (
                        group,
                        first.replace(day=1),
                        last.replace(day=monthrange(last.year, last.month)[1]),
                        s["practitioner"],
                        None,
                    )
                )
        standing = [line for line in self.lines if not line.refused]
        mine = [(line.group, line.first, line.last, line.practitioner, line) for line in standing]
        named = {d["program"] for d in self.rows("designations")}
        for line in standing:
            for group, first, last, who, other in known + mine:
                verdict, stays = pair(line.group, group, line.day)
                if other is line or not (first <= line.last and line.first <= last) or line.group == group:
                    continue
                if verdict == "hold" and (other is None or other.program not in named):
                    line.held.append(f"a person decides beside {group}")
                bars = (
                    verdict == "nobody" or verdict == "same-practitioner" and self.same_person(who, line.practitioner)
                )
                if verdict == "yields" and stays != line.group:
                    line.refused.append(f"{group} takes its place")
                elif bars and (other is None or line.code == "99091"):
                    line.refused.append(f"not beside {group}")
                elif bars and other and other.code != "99091" and line.program not in named:
                    (line.refused if other.program in named else line.held).append(f"not beside {group}")

    def bases(self) -> None:
        """Unit limits and add-ons without a base."""
        for line in self.lines:
            limit = value(f"units/{line.code}", line.day) or 1
            line.units = min(line.units, limit)
            bases = document("codes.yaml")["codes"][line.code].get("bases") or ()
            stand = [o for o in self.lines if o.code in bases]
            if bases and not any(not o.refused for o in stand):
                line.refused.append("no base line")
            elif bases and all(o.held for o in stand):
                line.held.append("its base is held")

    def amount(self, line: Line) -> str | None:
        """Relative values x geographic indices x conversion factor, halves up to the cent."""
        payer, day = self.facts["payer"], line.day.isoformat()
        rows = [r for r in table("rvu") if r["code"] == line.code and r["effective_from"] <= day <= r["effective_to"]]
        kinds = ("all", "qp" if payer.get("qualifying_apm") else "non-qp")
        factors = [
            r
            for r in table("conversion_factors")
            if r["effective_from"] <= day <= r["effective_to"] and r["kind"] in kinds
        ]
        if not rows or rows[0]["status"] == "C" or not factors:
            return None
        place = "facility" if self.facts["practice"]["place_of_service"] in FACILITY else "nonfacility"
        parts = [Decimal(rows[0][name]) for name in ("work_rvu", f"{place}_pe_rvu", "mp_rvu")]
        spot, index = payer.get("locality"), [Decimal(1)] * 3
        for g in table("gpci") if spot else ():
            if (g["year"], g["mac"], g["locality_number"]) == (day[:4], spot["mac"], spot["number"]):
                index = [Decimal(g[name]) for name in ("work_gpci", "pe_gpci", "mp_gpci")]
        unit = cents(sum((p * i for p, i in zip(parts, index, strict=True)), Decimal(0)) * Decimal(factors[0]["value"]))
        if self.credentials[line.practitioner] in ("NP", "PA", "CNS"):
            unit = cents(unit * value("situation/non_physician_percent", line.day) / 100)
        return str(unit * line.units)


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def total(spans: list[tuple[datetime, datetime]]) -> int:
    return sum((b - a for a, b in spans), timedelta()) // timedelta(seconds=1)


def value_before(program: str, first: date) -> Any:
    return value(f"{program}/device_supply/few_days", first)


def pair(one: str, other: str, day: date) -> tuple[str, str]:
    for row in document("tables/concurrency.yaml")["pairs"]:
        if set(row["between"]) == {one, other}:
            found = on_day(row["values"], day) or {}
            return found.get("verdict", ""), found.get("to", "")
    return "", ""


def check(facts: Json, adjudication: Json) -> list[Json]:
    """One finding a line of the adjudication, and one a line that ours has and it lacks."""
    month = Month(facts)
    ours = {(line.code, line.last.isoformat()): line for line in month.lines}
    odd = {e["program"] for e in facts.get("enrollments") or () if e.get("under") or e["program"] == "cocm"}
    rural = facts["practice"]["kind"] != "physician-practice"
    findings, seen = [], set()
    for section in ("billable", "held", "refused"):
        for line in adjudication[section]:
            code, until = line["code"], (line.get("period") or {}).get("to")
            mine = ours.get((code, until))
            why = judge(month, section, line, mine)
            scope = code in OUT_OF_SCOPE or rural or line.get("program") in odd
            if section == "billable" or (section == "held" and mine and mine.held):
                seen.add((code, until))
            verdict = "unchecked" if scope else "agree" if why is None else "disagree"
            findings.append(
                {
                    "section": section,
                    "code": code,
                    "period": line.get("period"),
                    "verdict": verdict,
                    "reason": "outside what this check derives" if scope else why or "derived anew",
                }
            )
    for key, line in ours.items():
        if key not in seen and not line.refused:
            findings.append(
                {
                    "section": None,
                    "code": key[0],
                    "period": None,
                    "verdict": "disagree",
                    "reason": f"ours has it {'held' if line.held else 'billable'}, the adjudication does not",
                }
            )
    return findings


def judge(month: Month, section: str, line: Json, mine: Line | None) -> str | None:
    """What speaks against a line as it stands; None when nothing does."""
    billable = mine is not None and not mine.refused and not mine.held
    if section != "billable":
        more = mine and line["reasons"][0]["reason"] in (
            "UNIT_CAP",
            "MUE_EXCESS",
            "TIME_BELOW_THRESHOLD",
            "STAFF_DOUBLE_BOOKED",
        )
        return "nothing bars this line" if billable and not more else None
    if mine is None:
        return "; ".join(month.why.get(line["code"], ["not derived"]))
    if not billable:
        return "; ".join(mine.refused + mine.held)
    got = (line["units"], line["service_to"], line["amount"])
    want = (mine.units, mine.day.isoformat(), month.amount(mine))
    return None if got == want else f"units, day and amount {got}, derived {want}"
