"""Gates that stand above every program: effective dates, practitioner, hospice, surgery, models, place, unit limits.

Input: determinations of the rules. Output: the same with what these situations refuse or hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from typing import Final

import msgspec

from server.billing.context import Context
from server.billing.ncci_tables import bases_on, unit_limit
from server.billing.outcome import Determination, Notice, Reason, Surplus, with_holds, with_unmet

_MONITORING: Final = frozenset({"rpm", "rtm"})
_FOREVER: Final = date.max
_TWO_DAYS: Final = timedelta(days=2)


def apply(ctx: Context, line: Determination) -> Determination:
    """One determination after every gate."""
    unmet = [*_not_in_force(ctx, line), *_practitioner(ctx, line), *_aligned_model(ctx, line), *_place(ctx, line)]
    line = with_unmet(line, *unmet) if unmet else line
    facts = ctx.facts
    if not (facts.hospice or facts.global_surgery or facts.models) or not line.earned:
        return line
    return with_holds(line, *_hospice(ctx, line), *_surgery(ctx, line), *_partly_aligned(ctx, line))


def not_in_force(ctx: Context, number: str, day: date) -> Reason | None:
    """Why the code cannot be billed on the day, if its dates say so."""
    code = ctx.codes[number]
    if code.in_force(day):
        return None
    early = day < code.first
    return Reason(
        reason="CODE_NOT_EFFECTIVE" if early else "CODE_TERMINATED",
        text=f"{number} is billable from {code.first}" if early else f"{number} was last billable on {code.last}",
        citation=ctx.cite("situation/effective_dates"),
        have=day.isoformat(),
        need=(code.first if early else code.last or code.first).isoformat(),
    )


def _not_in_force(ctx: Context, line: Determination) -> tuple[Reason, ...]:
    reason = not_in_force(ctx, line.code, line.service_to)
    return () if reason is None else (reason,)


def _practitioner(ctx: Context, line: Determination) -> tuple[Reason, ...]:
    person = ctx.practitioners.get(line.practitioner or "")
    if person is None or ctx.may_bill(person):
        return ()
    reason = Reason(
        reason="WRONG_PERFORMER",
        text=f"{person.id} ({person.credential}) may not bill these services under an own number",
        citation=ctx.cite("situation/billing_practitioner"),
        evidence=(person.id,),
    )
    return (reason,)


def _place(ctx: Context, line: Determination) -> tuple[Reason, ...]:
    place = ctx.facts.practice.place_of_service
    path = "situation/place_of_service"
    if line.program != "ccm" or place not in ctx.tree.words(path, ctx.month.last):
        return ()
    reason = Reason(
        reason="INPATIENT_TIME",
        text=f"place of service {place} is an inpatient place; care management is not billed there",
        citation=ctx.cite(path),
    )
    return (reason,)


def _alignment_in_force(ctx: Context, day: date) -> bool:
    return ctx.tree.at("situation/access_aligned", day).value is True


def _aligned_model(ctx: Context, line: Determination) -> Iterator[Reason]:
    for place, model in enumerate(ctx.facts.models):
        aligned = model.from_ <= line.service_to <= (model.to or _FOREVER)
        if model.aligned_with_us and aligned and _alignment_in_force(ctx, line.service_to):
            yield Reason(
                reason="MODEL_EXCLUSION",
                text="the patient is aligned with us in the ACCESS model: only its own codes are billable",
                citation=ctx.cite("situation/access_aligned", line.service_to),
                evidence=(f"models/{place}",),
            )


def _partly_aligned(ctx: Context, line: Determination) -> Iterator[Reason]:
    for place, model in enumerate(ctx.facts.models):
        if (
            model.aligned_with_us
            and line.period.meets(model.from_, model.to)
            and _alignment_in_force(ctx, line.period.last)
        ):
            yield Reason(
                reason="MODEL_EXCLUSION",
                text="the patient was aligned with us in the ACCESS model for a part of the period",
                citation=ctx.cite("situation/access_aligned", line.period.last),
                question="May the service be billed for a period that the alignment covers in part?",
                evidence=(f"models/{place}",),
            )


def _hospice(ctx: Context, line: Determination) -> Iterator[Reason]:
    for place, election in enumerate(ctx.facts.hospice):
        if line.program != "hospice-oversight" and line.period.meets(election.elected_on, election.revoked_on):
            yield Reason(
                reason="HOSPICE_REVIEW",
                text=f"hospice elected on {election.elected_on}",
                citation=ctx.cite("situation/hospice"),
                question="Is the service unrelated to the terminal illness, or by the attending? Modifier GV or GW?",
                evidence=(f"hospice/{place}",),
            )


def _surgery(ctx: Context, line: Determination) -> Iterator[Reason]:
    for place, surgery in enumerate(ctx.facts.global_surgery):
        mine = ctx.same_group(surgery.practitioner, line.practitioner)
        if mine and line.program in _MONITORING and line.period.meets(surgery.from_, surgery.to):
            yield Reason(
                reason="GLOBAL_SURGERY_REVIEW",
                text=f"global surgery period of {surgery.practitioner} from {surgery.from_}",
                citation=ctx.cite("situation/global_surgery"),
                question="Does the monitoring treat a problem unrelated to the surgery, as a separate episode?",
                evidence=(f"global_surgery/{place}",),
            )


def limit_units(ctx: Context, line: Determination) -> Determination:
    """Units above the payer's limit: refused where it is absolute, held where records may support them."""
    if not line.units:
        return line
    path = f"units/{line.code}"
    if not ctx.tree.has(path, line.service_to):
        path = "units/single"
    loaded = unit_limit(line.code, line.service_to)
    most = loaded.most if loaded else ctx.tree.whole(path, line.service_to)
    if line.units <= most:
        return line
    over = line.units - most
    absolute = loaded.absolute if loaded else line.code in ctx.tree.words("units/absolute", line.service_to)
    reason = Reason(
        reason="UNIT_CAP" if absolute else "MUE_EXCESS",
        text=f"{line.units} units of {line.code} reached, {most} are the limit a period",
        citation=loaded.citation if loaded else ctx.cite(path, line.service_to),
        have=str(line.units),
        need=str(most),
        question=None if absolute else f"Do the records support {line.units} units, to be appealed after a cut?",
        evidence=tuple(dict.fromkeys(e for proof in line.because if proof.unit == "s" for e in proof.evidence)),
    )
    surplus = Surplus(units=over, held=not absolute, reason=reason)
    return msgspec.structs.replace(line, units=most, surplus=(*line.surplus, surplus))


def stand_on_base(ctx: Context, lines: Sequence[Determination]) -> list[Determination]:
    """An add-on shares the fate of its base: refused without it, held with it."""
    kept = []
    for line in lines:
        known = ctx.codes[line.code].bases
        bases = bases_on(line.code, line.service_to, known) if known else known
        kept.append(_with_base(ctx, line, lines, bases) if bases and line.earned else line)
    return kept


def _with_base(
    ctx: Context, line: Determination, lines: Sequence[Determination], bases: tuple[str, ...]
) -> Determination:
    standing = [
        base
        for base in lines
        if base.code in bases
        and base.practitioner == line.practitioner
        and base.period.meets(line.period.first, line.period.last)
    ]
    if any(base.billable for base in standing):
        return line
    held = next((base for base in standing if base.earned), None)
    if held is not None:
        return with_holds(line, *held.holds)
    reason = Reason(
        reason="ADDON_WITHOUT_BASE",
        text=f"{line.code} stands on {' or '.join(bases)} on the same claim, which is not billable",
        citation=ctx.cite("units/add_on_base"),
    )
    return with_unmet(line, reason)


def warnings(ctx: Context) -> Iterator[Notice]:
    """Situations a biller should see and that change no verdict."""
    for place, model in enumerate(ctx.facts.models):
        if (
            not model.aligned_with_us
            and ctx.month.meets(model.from_, model.to)
            and _alignment_in_force(ctx, ctx.month.last)
        ):
            yield Notice(
                reason="MODEL_EXCLUSION",
                text="the patient is aligned with another ACCESS participant: check before claiming",
                citation=ctx.cite("situation/access_aligned"),
                evidence=(f"models/{place}",),
            )
    yield from _same_day_visits(ctx)
    yield from _concurrent_effort(ctx)


def _same_day_visits(ctx: Context) -> Iterator[Notice]:
    if not ctx.entries:
        return
    # Two offsets differ by 26 hours at most: a visit two dates before the first entry or after the last is far away.
    near, until = ctx.entries[0].start.date() - _TWO_DAYS, ctx.entries[-1].start.date() + _TWO_DAYS
    dates = [ctx.zones.local_date(visit.at) for visit in ctx.facts.visits]
    visits = {day: place for place, day in enumerate(dates) if near <= day <= until}
    if not visits:
        return
    entries = [
        entry
        for entry in ctx.entries
        if entry.program is not None and not entry.part_of_visit and ctx.begun_on(entry) in visits
    ]
    if entries:
        places = sorted({f"visits/{visits[ctx.begun_on(entry)]}" for entry in entries})
        yield Notice(
            reason="SAME_DAY_EM",
            text="time was worked on the day of a visit: no minute of the visit may be in it; modifier 25 may be asked",
            citation=ctx.cite("time/same_day_visit"),
            evidence=(*(entry.id for entry in entries), *places),
        )


def _concurrent_effort(ctx: Context) -> Iterator[Notice]:
    found: set[str] = set()
    entries, spans = ctx.entries, ctx.spans
    for place, one in enumerate(entries):
        end = spans[one.id][1]
        for other in islice(entries, place + 1, None):
            if spans[other.id][0] >= end:
                break
            if other.program != one.program and other.performer != one.performer and one.program and other.program:
                found |= {one.id, other.id}
    if found:
        yield Notice(
            reason="CONCURRENT_EFFORT",
            text="two people worked for two programs at the same moment: the efforts must be distinct",
            citation=ctx.cite("time/concurrent_effort"),
            evidence=tuple(sorted(found)),
        )
