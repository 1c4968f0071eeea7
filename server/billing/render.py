"""The adjudication as plain values, sorted, ready for canonical JSON.

Input: the context of the run and its determinations. Output: the object of the billing contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Final

from server.billing import claim_edits, situations
from server.billing.calendar import seconds_text
from server.billing.charges import Charge, charge, price, total
from server.billing.context import Context
from server.billing.fact_types import Enrollment, TimeEntry
from server.billing.outcome import Determination, Notice, Proof, Reason
from server.billing.supply import DecidedPeriod, decided_periods, running_periods
from server.billing.time_ledger import EntryRow, Exclusion, Tally, TimeLedger, tally

SCHEMA: Final = "vitalwire.adjudication/1"
_DAY_PROGRAMS: Final = frozenset({"rpm", "rtm", "data-review"})


def adjudication(ctx: Context, lines: Sequence[Determination], facts_digest: str) -> dict[str, object]:
    """The whole answer."""
    ordered = sorted(lines, key=partial(_rank, ctx))
    charges = [charge(ctx, line) for line in lines if line.billable]
    warnings = [
        *situations.warnings(ctx),
        *claim_edits.notices(ctx, lines),
        *_plan_unchanged(ctx, lines),
        *_running_month(ctx, lines),
        *(w for one in charges for w in one.warnings),
    ]
    return {
        "schema": SCHEMA,
        "patient": ctx.facts.patient.id,
        "month": ctx.facts.month,
        "pack": {"id": ctx.pack.id, "rule_year": str(ctx.month.last.year), "digest": ctx.tree.digest},
        "facts_digest": facts_digest,
        "billable": [_billable(ctx, one) for one in sorted(charges, key=lambda one: _rank(ctx, one.line))],
        "refused": list(_refused(ctx, ordered)),
        "held": list(_held(ctx, ordered)),
        "time": list(_time(ctx, lines)),
        "days": [_days(one) for one in _periods(ctx, running=False)],
        "running": [_days(one) for one in _periods(ctx, running=True)],
        "alternatives": list(_alternatives(ctx, ordered)),
        "warnings": [_notice(one) for one in _once(warnings)],
        "total": money(total(charges)),
    }


def money(amount: Decimal | None) -> str | None:
    """Dollars and cents as text; unknown stays unknown."""
    return None if amount is None else f"{amount:.2f}"


def _rank(ctx: Context, line: Determination) -> tuple[int, str, date, str]:
    """The place of a line in the output."""
    rank = ctx.rank
    return rank.get(line.code, len(rank)), line.code, line.service_to, line.practitioner or ""


def _proof(proof: Proof) -> dict[str, object]:
    return {
        "rule": proof.rule,
        "have": proof.have,
        "need": proof.need,
        "unit": proof.unit,
        "text": proof.text,
        "citation": proof.citation.as_json(),
        "evidence": list(proof.evidence),
        "without": dict(proof.without),
    }


def _reason(reason: Reason) -> dict[str, object]:
    found: dict[str, object] = {
        "reason": reason.reason,
        "text": reason.text,
        "have": reason.have,
        "need": reason.need,
        "citation": reason.citation.as_json(),
        "evidence": list(reason.evidence),
    }
    if reason.question is not None:
        found["question"] = reason.question
    return found


def _billable(ctx: Context, one: Charge) -> dict[str, object]:
    line = one.line
    return {
        "code": line.code,
        "label": ctx.codes[line.code].label,
        "units": line.units,
        "program": line.program,
        "lane": line.lane,
        "practitioner": line.practitioner,
        "service_from": line.service_from.isoformat(),
        "service_to": line.service_to.isoformat(),
        "period": line.period.as_facts(),
        "amount": money(one.amount),
        "unit_amount": money(one.unit),
        "place_of_service": ctx.facts.practice.place_of_service,
        "modifiers": [],
        "diagnoses": list(line.diagnoses),
        "because": [_proof(proof) for proof in line.because],
    }


def _verdict(ctx: Context, line: Determination, units: int, reasons: Iterable[Reason]) -> dict[str, object]:
    code = ctx.codes.get(line.code)
    return {
        "code": line.code,
        "label": code.label if code else None,
        "units": units,
        "program": line.program or None,
        "lane": line.lane,
        "practitioner": line.practitioner,
        "period": line.period.as_facts(),
        "reasons": [_reason(reason) for reason in reasons],
    }


def _refused(ctx: Context, ordered: Sequence[Determination]) -> Iterator[dict[str, object]]:
    for line in ordered:
        if line.unmet:
            yield _verdict(ctx, line, max(line.units, 1), line.unmet)
        for extra in line.surplus:
            if not extra.held:
                yield _verdict(ctx, line, extra.units, (extra.reason,))


def _held(ctx: Context, ordered: Sequence[Determination]) -> Iterator[dict[str, object]]:
    for line in ordered:
        if line.earned and line.holds:
            yield _verdict(ctx, line, line.units, line.holds)
        for extra in line.surplus:
            if extra.held and not _refused_otherwise(line):
                yield _verdict(ctx, line, extra.units, (extra.reason, *line.holds))


def _refused_otherwise(line: Determination) -> bool:
    """Whether the code is refused for more than the seconds in dispute."""
    return any(reason.reason not in {"TIME_BELOW_THRESHOLD", "ADDON_WITHOUT_BASE"} for reason in line.unmet)


# --- ledgers ---


def _time(ctx: Context, lines: Sequence[Determination]) -> Iterator[dict[str, object]]:
    """Every entry of the month: what counted, what did not and why."""
    rows: dict[str, tuple[int, tuple[Exclusion, ...]]] = {}
    for (program, practitioner, _), ledger in sorted(ctx.known_ledgers().items()):
        personal = _practitioner_lane(lines, program, practitioner)
        for row_id, counted, cuts in _ledger_rows(ledger, practitioner if personal else None):
            if row_id not in rows or counted > rows[row_id][0]:
                rows[row_id] = (counted, cuts)
    for entry in ctx.entries:
        known = rows.get(entry.id)
        counted, cuts = known if known is not None else (0, (_unledgered(ctx, entry),))
        yield {
            "entry": entry.id,
            "program": entry.program,
            "counted_seconds": seconds_text(counted),
            "excluded": [
                {"seconds": seconds_text(cut.microseconds), "reason": cut.reason, "with": list(cut.with_)}
                for cut in cuts
            ]
            if cuts
            else [],
        }


def _practitioner_lane(lines: Sequence[Determination], program: str, practitioner: str) -> bool:
    standing = [x.lane for x in lines if x.billable and x.program == program and x.practitioner == practitioner]
    return bool(standing) and all(lane == "practitioner" for lane in standing)


def _ledger_rows(ledger: TimeLedger, only: str | None) -> Iterator[tuple[str, int, tuple[Exclusion, ...]]]:
    union: Tally = ledger.union if only is None else tally(piece for piece in ledger.clean if piece.performer == only)
    by_entry, overlaps = union.by_entry, union.overlaps
    for row in ledger.rows:
        entry = row.entry
        cuts = row.exclusions
        if entry.id in overlaps:
            cuts = (*cuts, *overlaps[entry.id])
        if only is not None and entry.performer != only:
            cuts = (*cuts, *_staff_cut(row, ledger))
        yield entry.id, by_entry.get(entry.id, 0), cuts


def _staff_cut(row: EntryRow, ledger: TimeLedger) -> list[Exclusion]:
    left = sum(piece.end - piece.start for piece in ledger.clean if piece.entry == row.entry.id)
    return [Exclusion(microseconds=left, reason="WRONG_PERFORMER")] if left else []


def _unledgered(ctx: Context, entry: TimeEntry) -> Exclusion:
    """An entry without a program, or of a program without enrolment."""
    low, high = ctx.spans[entry.id]
    reason = "LANE_NOT_DESIGNATED" if entry.program is None else "NO_CONSENT"
    if not ctx.rules_loaded(ctx.month.last):
        reason = "RULES_NOT_LOADED"
    return Exclusion(microseconds=high - low, reason=reason, with_=tuple(entry.candidates))


def _monitored(ctx: Context) -> Iterator[tuple[Enrollment, bool]]:
    for course in ctx.courses:
        if course.program in _DAY_PROGRAMS and ctx.rules_loaded(ctx.month.last):
            for enrollment in course.enrollments:
                yield enrollment, course.program == "rtm"


def _periods(ctx: Context, *, running: bool) -> Iterator[tuple[Enrollment, DecidedPeriod]]:
    chooser = running_periods if running else decided_periods
    for enrollment, self_reported in _monitored(ctx):
        found = chooser(ctx, enrollment, self_reported=self_reported)
        for one in found:
            yield enrollment, one
        days = ctx.day_ledger(enrollment, self_reported=self_reported)
        if not running and not found and days.anchor is None and days.excluded:
            yield enrollment, DecidedPeriod(period=ctx.month, ended=None, days=days, enrollment=enrollment)


def _days(found: tuple[Enrollment, DecidedPeriod]) -> dict[str, object]:
    enrollment, one = found
    return {
        "program": enrollment.program,
        "period": one.period.as_facts(),
        "dates": [day.isoformat() for day in one.days.dates(one.period)],
        "excluded": [
            {"reading": cut.reading, "date": cut.day.isoformat(), "reason": cut.reason}
            for cut in one.days.excluded_in(one.period)
        ],
    }


# --- alternatives ---


def _alternatives(ctx: Context, ordered: Sequence[Determination]) -> Iterator[dict[str, object]]:
    """Lanes that the facts would lawfully carry and that were not chosen, with their amounts. Never a choice."""
    by_lane: dict[tuple[str, str, str], list[Determination]] = {}
    for line in ordered:
        doubts = {reason.reason for reason in line.unmet} - {"EXCLUSIVE_CODE"}
        doubts |= {reason.reason for reason in line.holds} - {"LANE_NOT_DESIGNATED"}
        lawful = line.units and line.lane and not doubts
        if lawful and not line.billable:
            by_lane.setdefault((line.program, line.lane or "", line.practitioner or ""), []).append(line)
    for (program, lane, practitioner), found in sorted(by_lane.items()):
        if all(ctx.codes[line.code].bases for line in found):
            continue
        amounts = [(price(ctx, line.code, line).unit, line.units) for line in found]
        known = [unit * units for unit, units in amounts if unit is not None]
        yield {
            "program": program,
            "lane": lane,
            "practitioner": practitioner,
            "lines": [{"code": line.code, "units": line.units} for line in found],
            "total": money(sum(known, Decimal("0.00")) if len(known) == len(amounts) else None),
        }


def _plan_unchanged(ctx: Context, lines: Sequence[Determination]) -> Iterator[Notice]:
    """Complex care without a new version of the plan: no requirement any more, but reviewers look for it."""
    complex_lines = [line for line in lines if line.billable and line.lane == "complex"]
    changed = any(
        plan.program == "ccm"
        and plan.approved_at is not None
        and ctx.month.covers(ctx.zones.local_date(plan.approved_at))
        for plan in ctx.facts.care_plans
    )
    if complex_lines and not changed:
        yield Notice(
            reason="PLAN_NOT_CHANGED",
            text="complex care is billed, and no version of the care plan was approved in the month",
            citation=ctx.cite("ccm/complex/plan_change"),
            evidence=tuple(line.code for line in complex_lines),
        )


def _running_month(ctx: Context, lines: Sequence[Determination]) -> Iterator[Notice]:
    """Lines whose date of service has not come at `as_of`: met already, to be claimed later."""
    today = ctx.today
    early = [line for line in lines if line.billable and line.service_to > today]
    if early:
        yield Notice(
            reason="NOT_YET_DUE",
            text=f"the date of service is {early[0].service_to}: to be claimed after it has passed",
            evidence=tuple(line.code for line in early),
        )


def _notice(one: Notice) -> dict[str, object]:
    found: dict[str, object] = {"reason": one.reason, "text": one.text, "evidence": list(one.evidence)}
    if one.citation is not None:
        found["citation"] = one.citation.as_json()
    return found


def _once(warnings: Iterable[Notice]) -> Iterator[Notice]:
    seen: set[tuple[str, str]] = set()
    for one in warnings:
        if (one.reason, one.text) not in seen:
            seen.add((one.reason, one.text))
            yield one
