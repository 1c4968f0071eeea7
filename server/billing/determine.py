"""Facts of one patient-month in, adjudication out: the pure heart of billing.

Input: the JSON object of the billing-facts format. Output: the adjudication of the billing contract as plain values.
Same facts and same pack give the same value: no clock, no randomness, no database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import Final

from server.billing import allocation, claim_edits, concurrency, locked_years, payer_rules, render, situations
from server.billing.codes import register
from server.billing.context import Context, Course
from server.billing.fact_types import Proposal
from server.billing.facts import facts_digest, parse_facts
from server.billing.outcome import Determination, Reason, Surplus
from server.billing.packs import MEDICARE, Pack, pack_for
from server.billing.parameter_tree import ParameterTree
from server.billing.rules import (
    apcm,
    behavioral,
    care_planning,
    ccm,
    data_review,
    oversight,
    pcm,
    rpm_device_supply,
    rpm_management,
    rpm_setup,
    rtm,
    rural_clinic,
    tcm,
)

Rule = Callable[[Context, Course], Iterator[Determination]]

# Which rules answer for which program, in the order of the output. Written out, so that a reader sees the whole set.
RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "rpm": (rpm_setup.decide, rpm_device_supply.decide, rpm_management.decide),
    "data-review": (data_review.decide,),
    "rtm": (rtm.decide,),
    "ccm": (ccm.decide, care_planning.decide),
    "pcm": (pcm.decide,),
    "apcm": (apcm.decide,),
    "tcm": (tcm.decide,),
    "bhi": (behavioral.decide,),
    "cocm": (behavioral.decide,),
    "home-health-oversight": (oversight.decide,),
    "hospice-oversight": (oversight.decide,),
}


def adjudicate(facts: Mapping[str, object]) -> dict[str, object]:
    """The adjudication of one patient-month. `FactsError` names every field that is wrong."""
    parsed = parse_facts(facts)
    pack, tree = pack_for(parsed.payer.pack)
    return _adjudication(Context(parsed, tree, pack), facts)


def adjudicate_with(facts: Mapping[str, object], tree: ParameterTree, pack: Pack = MEDICARE) -> dict[str, object]:
    """As `adjudicate`, with the parameter tree and the payer's pack handed in."""
    return _adjudication(Context(parse_facts(facts), tree, pack), facts)


def _adjudication(ctx: Context, facts: Mapping[str, object]) -> dict[str, object]:
    lines = determine(ctx)
    answer = render.adjudication(ctx, lines, facts_digest(facts))
    answer["proposals_for_allocation"] = allocation.propose(ctx, lines, determine)
    return answer


def determine(ctx: Context) -> list[Determination]:
    """Every code of every enrolled program, and every proposal, with its verdict."""
    lines = [line for course in ctx.courses for line in _course_lines(ctx, course)]
    lines = rural_clinic.bundle(ctx, lines)
    # What has neither evidence nor units is never said, and bears on no other line: only a proposal asks for it.
    proposed = {proposal.code for proposal in ctx.facts.proposals}
    lines = [line for line in lines if line.units or line.surplus or line.evident or line.code in proposed]
    if ctx.pack.id != MEDICARE.id:
        lines = [payer_rules.apply(ctx, line) for line in lines]
    lines = [situations.apply(ctx, line) for line in lines]
    lines = concurrency.exclude(ctx, lines)
    lines = [situations.limit_units(ctx, line) for line in lines]
    lines = claim_edits.hold_edited(ctx, lines)
    lines = situations.stand_on_base(ctx, lines)
    return [*lines, *_answers(ctx, lines)]


def _course_lines(ctx: Context, course: Course) -> Iterator[Determination]:
    if not ctx.rules_loaded(ctx.month.last):
        yield from _locked(ctx, course)
        return
    found: list[Determination] = []
    for rule in RULES.get(course.program, ()):
        found += rule(ctx, course)
    yield from found
    yield from _not_yet_codes(ctx, course, {line.code for line in found})


@lru_cache(maxsize=64)
def _codes_of(program: str) -> tuple[str, ...]:
    return tuple(code.number for code in register().values() if code.program == program and code.rule is not None)


def _not_yet_codes(ctx: Context, course: Course, answered: set[str]) -> Iterator[Determination]:
    """Codes of the program that are not in force in the month: said, when there is evidence that asks for them."""
    timed = any(entry.program == course.program for entry in ctx.entries)
    for number in _codes_of(course.program):
        if number in answered or ctx.codes[number].period != "month":
            continue
        reason = situations.not_in_force(ctx, number, ctx.month.last)
        if reason is not None:
            yield _bare(ctx, number, course, evident=timed, unmet=(reason,))


def _locked(ctx: Context, course: Course) -> Iterator[Determination]:
    """A month of a locked rule year: every base code with evidence is held, none is decided by older rules."""
    timed = any(entry.program == course.program for entry in ctx.entries)
    measured = course.program in {"rpm", "rtm"} and any(ctx.month.covers(day) for _, day in ctx.readings)
    untimed = course.program in {"apcm", "tcm"} and ctx.running(course)
    reason = _rules_not_loaded(ctx, course.program, ctx.month.last)
    for number in _codes_of(course.program):
        code = ctx.codes[number]
        evident = untimed or (timed if code.period == "month" else measured)
        if not code.bases and code.last is None:
            yield _bare(ctx, number, course, evident=evident, units=int(evident), holds=(reason,) if evident else ())


def _rules_not_loaded(ctx: Context, program: str | None, day: date) -> Reason:
    return Reason(
        reason="RULES_NOT_LOADED",
        text=f"the rules for {day.year} are not in this pack; older rules never decide them",
        citation=ctx.cite("situation/rule_year", day),
        question=locked_years.question(day.year, program),
    )


def _bare(
    ctx: Context,
    number: str,
    course: Course | None,
    *,
    evident: bool,
    units: int = 0,
    unmet: tuple[Reason, ...] = (),
    holds: tuple[Reason, ...] = (),
) -> Determination:
    """A determination without arithmetic."""
    code = ctx.codes[number]
    return Determination(
        code=number,
        program=course.program if course else code.program or "",
        practitioner=course.practitioner if course else None,
        period=ctx.month,
        service_from=ctx.month.last,
        service_to=ctx.month.last,
        units=units,
        evident=evident,
        unmet=unmet,
        holds=holds,
    )


# --- proposals ---


def _answers(ctx: Context, lines: Iterable[Determination]) -> Iterator[Determination]:
    """An answer for every proposal that the rules have not answered yet."""
    known = list(lines)
    for place, proposal in enumerate(ctx.facts.proposals):
        mine = [line for line in known if line.code == proposal.code and (line.units or line.surplus or line.unmet)]
        if mine and proposal.on is not None and _off_its_dates(ctx, proposal):
            mine = []
        if not mine:
            yield _unanswered(ctx, proposal, place)
            continue
        settled = sum(line.units for line in mine) + sum(s.units for line in mine for s in line.surplus)
        if 0 < settled < proposal.units:
            yield _too_many(ctx, mine[0], proposal, settled, place)


def _off_its_dates(ctx: Context, proposal: Proposal) -> bool:
    """A line offered on a date on which its code, or its rules, do not stand is answered for that date."""
    on = proposal.on
    return on is not None and (not ctx.codes[proposal.code].in_force(on) or not ctx.rules_loaded(on))


def _unanswered(ctx: Context, proposal: Proposal, place: int) -> Determination:
    evidence = (f"proposals/{place}",)
    code = ctx.codes.get(proposal.code)
    if code is None or code.rule is None:
        reason = Reason(
            reason="UNKNOWN_CODE",
            text=f"{proposal.code} is no code of this product and is never billed by it",
            citation=ctx.cite("situation/known_code"),
            evidence=evidence,
        )
        return _proposed(ctx, proposal, code.program if code else None, unmet=(reason,))
    day = proposal.on or ctx.month.last
    dated = situations.not_in_force(ctx, proposal.code, day)
    if dated is not None:
        return _proposed(ctx, proposal, code.program, unmet=(dated,))
    off = payer_rules.refusal(ctx, proposal.code, day)
    if off is not None:
        return _proposed(ctx, proposal, code.program, unmet=(off,))
    if not ctx.rules_loaded(day):
        return _proposed(ctx, proposal, code.program, holds=(_rules_not_loaded(ctx, code.program, day),))
    return _proposed(ctx, proposal, code.program, unmet=tuple(_not_enrolled(ctx, proposal, evidence)))


def _not_enrolled(ctx: Context, proposal: Proposal, evidence: tuple[str, ...]) -> Iterator[Reason]:
    code = ctx.codes[proposal.code]
    program = code.program or ""
    enrolled = any(course.program == program for course in ctx.courses)
    if enrolled:
        yield Reason(
            reason="CONDITIONS_NOT_MET",
            text=f"nothing in the facts supports {proposal.code} in {ctx.facts.month}",
            citation=ctx.cite("situation/known_code"),
            evidence=evidence,
        )
        return
    path = f"{program}/eligibility/consent"
    if ctx.tree.has(path, ctx.month.last):
        yield Reason(
            reason="NO_CONSENT",
            text=f"the patient is not enrolled in {program}: no consent on record",
            citation=ctx.cite(path),
            evidence=evidence,
        )
    else:
        yield Reason(
            reason="CONDITIONS_NOT_MET",
            text=f"the patient is not enrolled in {program}" if program else f"nothing supports {proposal.code}",
            citation=ctx.cite("situation/known_code"),
            evidence=evidence,
        )
    if ctx.tree.has(f"{program}/eligibility/order", ctx.month.last):
        yield Reason(
            reason="NO_ORDER",
            text="no order on record",
            citation=ctx.cite(f"{program}/eligibility/order"),
            evidence=evidence,
        )


def _proposed(
    ctx: Context,
    proposal: Proposal,
    program: str | None,
    *,
    unmet: tuple[Reason, ...] = (),
    holds: tuple[Reason, ...] = (),
) -> Determination:
    day = proposal.on or ctx.month.last
    return Determination(
        code=proposal.code,
        program=program or "",
        practitioner=None,
        period=ctx.month,
        service_from=day,
        service_to=day,
        units=proposal.units,
        unmet=unmet,
        holds=holds,
    )


def _too_many(ctx: Context, line: Determination, proposal: Proposal, settled: int, place: int) -> Determination:
    """More units offered than the facts carry: the rest is refused."""
    path = f"units/{line.code}" if ctx.tree.has(f"units/{line.code}", ctx.month.last) else "units/single"
    most = ctx.tree.whole(path, ctx.month.last)
    capped = settled >= most
    reason = Reason(
        reason="UNIT_CAP" if capped else "TIME_BELOW_THRESHOLD",
        text=f"{proposal.units} units offered, {settled} reached; the limit is {most} a period",
        citation=ctx.cite(path),
        have=str(settled),
        need=str(proposal.units),
        evidence=(f"proposals/{place}",),
    )
    return Determination(
        code=line.code,
        program=line.program,
        practitioner=line.practitioner,
        period=line.period,
        service_from=line.service_from,
        service_to=line.service_to,
        units=0,
        surplus=(Surplus(units=proposal.units - settled, held=False, reason=reason),),
        lane=line.lane,
    )
