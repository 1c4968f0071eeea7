"""A second opinion on an adjudication, derived from the facts by its own arithmetic: no line is shared with the engine.

Input: facts and adjudication as JSON values. Output: one finding a line: agree, disagree or unchecked, with a reason.
What is not derived here (`UNCHECKED`, rural clinics, services `under` another) is unchecked, never agreed to.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import date

from server.billing.proof_ledger import DAY, SHORT, Json, Ledger, Row, code_row, covers, document, rule, since

UNCHECKED = {"99492", "99493", "99494", "G2214", "G0511", "G0512", "G0568", "G0569", "G0570"}
# Base, add-on, program, rule, lane; the short month's code of a program; set-up, long and short supply of a system.
BLOCKS = """99457 99458 rpm management -|98980 98981 rtm management -|99490 99439 ccm clinical_staff staff
99487 99489 ccm complex complex|99491 99437 ccm practitioner practitioner|99426 99427 pcm clinical_staff staff
99424 99425 pcm practitioner practitioner|99484 - bhi clinical_staff -
G0181 - home-health-oversight practitioner -|G0182 - hospice-oversight practitioner -"""


class Month(Ledger):
    """One patient-month derived anew: `lines` meet their thresholds; their `refused` and `held` say what bars them."""

    def __init__(self, facts: Json) -> None:
        super().__init__(facts)
        self.lines = [line for e in self.f.enrollments or () for line in self.of_enrollment(e)]
        self.situations()
        self.concurrency()

    def of_enrollment(self, e: Row) -> Iterator[Row]:
        bills = self.people[e.practitioner].credential in rule("situation/billing_practitioner", self.last)
        if bills and e["from"] <= self.last and not e.under and self.f.practice.kind == "physician-practice":
            yield from self.supply(e) if e.program in SHORT else ()
            yield from self.blocks(e)
            yield from getattr(self, e.program.replace("-", "_"), lambda _: ())(e)

    def blocks(self, e: Row) -> Iterator[Row]:
        """Whole blocks of seconds in the calendar month, then one lane: designated and met, else the default."""
        span, lanes, met = (self.first, self.last), dict[str, list[Row]](), dict[str, int]()
        talks = [t for t in self.f.time_entries or () if t.live and t["with"] in ("patient", "caregiver")]
        levels = [
            a.level
            for a in self.f.attestations or ()
            if a.kind == "complex-mdm"
            and a.practitioner == e.practitioner
            and self.first <= a.on <= min(self.last, self.local(self.f.as_of))
        ]
        for base, addon, program, name, lane in (row.split() for row in BLOCKS.replace("\n", "|").split("|")):
            need = rule(f"{program}/{name}/first_block_seconds", self.last)
            if program != e.program or need is None:
                continue
            own = name == "practitioner"
            stretches = self.counted(e, span, own)
            have, most = self.seconds(e, span, own), self.seconds(e, span, own, double=True)
            rest = {t.id: self.seconds(e, span, own, drop=t.id) for t in self.f.time_entries or ()}
            gate = self.barred(e, stretches[-1][1] if stretches else None)
            spoke = any(a < t.end and t.start < b for t in talks if t.program == program for a, b in stretches)
            gate = gate or ("no live talk" if program in SHORT and not spoke else None)
            gate = gate or (
                "decision making not attested" if lane == "complex" and not {"moderate", "high"} & set(levels) else None
            )
            step, short = (
                rule(f"{program}/{name}/further_block_seconds", self.last),
                rule(f"{program}/{name}/short_block_seconds", self.last),
            )
            tries = [(base, need, have >= need), (addon, need + (step or 0), bool(step) and have >= need + (step or 0))]
            tries += [(SHORT[program], short, short <= have < need)] if program in SHORT and short else []
            met[lane] = have if have >= need and not gate else 0
            for code, least, fits in tries:
                self.why[code] = gate or f"{have} of {least} seconds"
                if not gate and code != "-" and (fits or (have < least <= most and step)):
                    units = max(1, (have - need) // step) if code == addon else 1
                    more = {"have": have, "need": least + (units - 1) * (step or 0), "rest": rest}
                    line = self.line(e, code, units, span, self.due(stretches, need if have >= need else least), **more)
                    line.held += [] if fits else ["rests on seconds booked on two patients"]
                    lanes.setdefault(lane, []).append(line)
        named = next((d.lane for d in self.f.designations or () if d.program == e.program and d.lane), None)
        alone = met.get("staff", 0) - met.get("practitioner", 0)
        personal = "practitioner" if met.get("practitioner") and alone < 1200 else "staff"
        chosen = (
            named
            if met.get(named or "")
            else "complex"
            if met.get("complex") and not named
            else personal
            if not named
            else "staff"
        )
        doubt = (named == "practitioner" != chosen) or (
            not named and chosen == "staff" and bool(met.get("practitioner"))
        )
        for line in lanes.get(str(chosen) if e.program in ("ccm", "pcm") else "-", ()):
            line.held += ["no lane designated"] * doubt
            yield line

    def data_review(self, e: Row) -> Iterator[Row]:
        every = [p for o in self.f.enrollments if o.program == "rpm" for p in self.periods(o)] or self.periods(e)
        if every and not any(self.first <= p[1] <= self.last for p in every):
            return
        span = next((p for p in every if self.first <= p[1] <= self.last), (self.first, self.last))
        have, need = self.seconds(e, span, True), rule("data-review/practitioner/first_block_seconds", span[1])
        self.why["99091"] = self.barred(e, None) or f"{have} of {need} seconds"
        if have >= need and not self.barred(e, None):
            line = self.line(e, "99091", 1, span, span[1], have=have, need=need)
            line.held += ["episode ended early"] * (bool(every) and self.over(e) < span[1])
            yield line

    def apcm(self, e: Row) -> Iterator[Row]:
        many = sum(c.chronic_12_months and c.significant_risk for c in self.f.patient.conditions or ()) >= (
            rule("apcm/level/chronic_conditions", self.last) or 2
        )
        code = "G0556" if not many else "G0558" if self.f.patient.qualified_medicare_beneficiary else "G0557"
        self.why[code] = self.barred(e, None) or ""
        if not self.why[code]:
            yield self.line(e, code, 1, (self.first, self.last), self.last)

    def ccm(self, e: Row) -> Iterator[Row]:
        for a in self.f.attestations or ():
            seen = any(v.practitioner == e.practitioner and self.local(v.at) == a.on for v in self.f.visits or ())
            if (
                a.kind == "extra-care-planning"
                and a.practitioner == e.practitioner
                and seen
                and self.first <= a.on <= self.last
            ):
                yield self.line(e, "G0506", 1, (a.on, a.on), a.on)

    def tcm(self, e: Row) -> Iterator[Row]:
        for d in self.f.discharges or ():
            visit, call, left = self.local(d.visit_at) if d.visit_at else date.max, d.on, 2
            while left:
                call += DAY
                left -= call.weekday() < 5
            called = (d.contact_on and d.on <= d.contact_on <= call) or sum(
                d.on <= day <= call for day in d.attempts_on or ()
            ) >= 2
            ready = called and d.reconciled_on and d.reconciled_on <= visit and d.mdm in ("moderate", "high")
            high, late = d.mdm == "high" and (visit - d.on).days <= 7, (visit - d.on).days > 14
            if self.first <= visit <= self.last and ready and not late and d.practitioner == e.practitioner:
                yield self.line(e, "99496" if high else "99495", 1, (d.on, d.on + 29 * DAY), visit)

    def situations(self) -> None:
        seen = [self.local(r.measured_at) for r in self.f.readings or () if r.received_at <= self.f.as_of]
        monitored = [e for e in self.f.enrollments or () if e.program in SHORT]
        start = min((a for e in monitored for a, b in self.periods(e) if b >= self.first), default=self.first)
        for line in self.lines:
            code, refused, held = code_row(line.code), line.refused, line.held
            held += ["rules of the year not loaded"] * (not rule("situation/rule_year", line.day))
            refused += ["code not in force"] * (not code["from"] <= line.day <= (code.to or date.max))
            hospice = line.code != "G0182" and any(covers(h, line.first, line.last) for h in self.f.hospice or ())
            held += ["hospice"] * hospice
            surgeons = [g.practitioner for g in self.f.global_surgery or () if covers(g, line.first, line.last)]
            held += ["global surgery"] * (line.program in SHORT and any(self.one_group(g, line.who) for g in surgeons))
            model = any(m.aligned_with_us and covers(m, line.day, line.day) for m in self.f.models or ())
            refused += ["ACCESS model"] * (model and bool(rule("situation/access_aligned", line.day)))
            wards = rule("situation/place_of_service", line.day) if line.program == "ccm" else ()
            refused += ["inpatient place of service"] * (self.f.practice.place_of_service in wards)
            bare = line.program in SHORT and line.group != "rpm-device" and (line.need or 0) >= 600
            held += ["nothing monitored"] * (bare and not any(start <= day <= self.last for day in seen))
            for s in self.f.services or ():
                other = code_row(s.code)
                same = s.practitioner == line.who and (
                    s.code == line.code
                    or (
                        other.group == line.group
                        and s.code not in (code.bases or ())
                        and line.code not in (other.bases or ())
                        and other.period == code.period
                    )
                )
                theirs = (
                    s.practitioner != line.who
                    and other.program == code.program != "pcm"
                    and "G0506" not in (line.code, s.code)
                )
                meets = (
                    covers(s, line.first, line.last)
                    or (line.code == s.code == "G0506")
                    or (code.period == "month" and covers(s, self.first, self.last))
                )
                if s.status != "denied" and meets and (same or theirs) and (theirs or code.period != "episode"):
                    (held if code.period == "episode" else refused).append("claimed, or another practitioner's")

    def concurrency(self) -> None:
        """Pairs of the matrix, then add-ons without their base and units above the limit."""
        named = {d.program for d in self.f.designations or ()}
        known = [
            Row(
                group=code_row(s.code).group,
                first=s["from"].replace(day=1),
                last=s.to.replace(day=monthrange(s.to.year, s.to.month)[1]),
                who=s.practitioner,
            )
            for s in self.f.services or ()
            if s.status != "denied"
        ]
        matrix = {frozenset(row["between"]): row["values"] for row in document("tables/concurrency.yaml")["pairs"]}
        for ours in (False, True):  # services of others first: what they refuse bars nothing any more
            left = [each for each in self.lines if not each.refused and not any("booked" in why for why in each.held)]
            turns = [(line, other) for line in self.lines if not line.refused for other in (left if ours else known)]
            for line, other in turns:
                if (ours and line not in left) or line.group == other.group:
                    continue
                found = since(matrix.get(frozenset((line.group, other.group)), {}), line.day)
                if not found or other.first > line.last or line.first > other.last:
                    continue
                verdict, code = found.get("verdict"), other.code
                bars = verdict == "nobody" or (verdict == "same-practitioner" and self.one_group(other.who, line.who))
                theirs = verdict == "same-practitioner" and "oversight" in (line.group, other.group)
                theirs = theirs and code is None and line.program not in named
                loses = code is None or line.code == "99091" or other.program in named
                if (bars and loses and not (code and line.program in named)) or (
                    verdict == "yields" and found["to"] == other.group
                ):
                    line.refused.append(f"not beside {other.group}")
                elif (bars and code != "99091" and line.program not in named) or verdict == "hold" or theirs:
                    line.held.append(f"a person decides beside {other.group}")
        for line in self.lines:
            bases = [o for o in self.lines if o.code in (code_row(line.code).bases or ())]
            line.units = min(line.units, rule(f"units/{line.code}", line.day) or 1)
            line.refused += ["no base"] * (bool(code_row(line.code).bases) and all(o.refused for o in bases))
            line.held += ["its base is held"] * (bool(bases) and all(o.held for o in bases))


def check(facts: Json, adjudication: Json) -> list[Json]:
    """One finding a line of the adjudication, and one a line derived here that the adjudication lacks."""
    month = Month(facts)
    ours, found = {(line.code, line.last.isoformat()): line for line in month.lines}, list[Json]()
    rural = facts["practice"]["kind"] != "physician-practice"
    under = {e["program"] for e in facts.get("enrollments") or () if e.get("under")}
    shown = {
        part: {(line["code"], (line["period"] or {}).get("to")) for line in adjudication[part]}
        for part in ("billable", "held", "refused")
    }
    for part in ("billable", "held", "refused"):
        for line in adjudication[part]:
            wrong = judge(month, part, line, ours.get((line["code"], (line["period"] or {}).get("to"))))
            out = rural or line["code"] in UNCHECKED or line["program"] in under
            found.append(
                {
                    "section": part,
                    "code": line["code"],
                    "period": line["period"],
                    "verdict": "unchecked" if out else "disagree" if wrong else "agree",
                    "reason": "not derived by this check" if out else wrong or "derived anew",
                }
            )
    lost = [
        line
        for key, line in ours.items()
        if not line.refused
        and key not in shown["billable"] | shown["held"]
        and not (line.held and key in shown["refused"])
        and not (code_row(line.code).bases and any("not loaded" in why for why in line.held))
    ]
    missing = {"section": None, "period": None, "verdict": "disagree", "reason": "derived here, not answered there"}
    return found + [{**missing, "code": line.code} for line in lost]


def judge(month: Month, part: str, line: Json, mine: Row | None) -> str | None:
    """What speaks against a line as it stands; None when nothing does."""
    clear = mine is not None and not mine.refused and not mine.held
    if part != "billable" or mine is None or not clear:
        further = {"UNIT_CAP", "MUE_EXCESS", "TIME_BELOW_THRESHOLD", "STAFF_DOUBLE_BOOKED"} & {
            r["reason"] for r in line.get("reasons", ())
        }
        if part != "billable":
            return "nothing bars this line" if clear and not further else None
        return (
            "; ".join([*mine.refused, *mine.held]) if mine is not None else month.why.get(line["code"], "not derived")
        )
    said, derived = (
        (line["units"], line["service_to"], line["amount"]),
        (mine.units, mine.day.isoformat(), month.amount(mine)),
    )
    if said != derived:
        return f"units, day and amount are {said}, derived {derived}"
    for proof in line["because"]:
        if (
            proof["unit"] in ("s", "day")
            and mine.have is not None
            and proof["rule"].rsplit(".")[-1].endswith(("_seconds", "y_days", "w_days"))
        ):
            if int(proof["have"]) != mine.have or int(proof["need"]) > mine.have:
                return f"{proof['rule']}: have {proof['have']}, derived {mine.have}"
            if any(int(left) != mine.rest[one] for one, left in proof["without"].items() if mine.rest):
                return f"{proof['rule']}: a counterfactual is not as derived"
    return None
