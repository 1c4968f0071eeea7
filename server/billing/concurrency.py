"""Which services may stand together: the pair matrix, services known from elsewhere, one practitioner a period.

Input: determinations of all rules, known services, designations. Output: the same with what excludes them.
The only place where one family of codes looks at another.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

import msgspec

from server.billing.calendar import ServicePeriod
from server.billing.context import Context
from server.billing.fact_types import Service
from server.billing.outcome import Determination, Reason, with_holds, with_unmet
from server.billing.parameter_tree import TABLES, Citation, ParameterError, citation_of, read_yaml

VERDICTS: Final = frozenset({"allowed", "distinct", "hold", "same-practitioner", "nobody", "yields"})
_EPISODE_CODES: Final = frozenset({"99453", "98975"})
_CCM_LANES: Final = frozenset({"ccm-staff", "ccm-complex", "ccm-practitioner"})
# Verdicts under which two services may both stand.
_STANDS: Final = frozenset({"allowed", "distinct"})
_RPM: Final = frozenset({"rpm-device", "rpm-time"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the matrix says of a pair from a date on; `to` names the group that stays where one yields."""

    since: date
    mode: str
    citation: Citation
    to: str | None = None


@lru_cache(maxsize=1)
def matrix() -> Mapping[frozenset[str], tuple[Verdict, ...]]:
    """Every pair of groups, symmetric by construction."""
    found: dict[frozenset[str], tuple[Verdict, ...]] = {}
    for row in read_yaml(TABLES / "concurrency.yaml")["pairs"]:
        pair = frozenset(row["between"])
        if pair in found or len(pair) != 2:
            raise ParameterError(f"concurrency.yaml: {sorted(pair)} is there twice or is no pair")
        verdicts = tuple(
            Verdict(
                since=since,
                mode=body["verdict"],
                to=body.get("to"),
                citation=citation_of(f"concurrency.yaml: {sorted(pair)}", body["reference"]),
            )
            for since, body in row["values"].items()
        )
        if any(verdict.mode not in VERDICTS for verdict in verdicts):
            raise ParameterError(f"concurrency.yaml: {sorted(pair)}: verdicts are {', '.join(sorted(VERDICTS))}")
        found[pair] = verdicts
    return found


@lru_cache(maxsize=8192)
def verdict(one: str, other: str, day: date) -> Verdict | None:
    """The verdict on two groups on the day; `None` for one group with itself or before the pair existed."""
    verdicts = matrix().get(frozenset((one, other)))
    if verdicts is None:
        return None
    place = bisect_right([v.since for v in verdicts], day)
    return verdicts[place - 1] if place else None


def exclude(ctx: Context, found: Sequence[Determination]) -> list[Determination]:
    """Determinations after services from elsewhere and after each other."""
    live = tuple(_live_services(ctx))
    lines = [_against_services(ctx, line, live) for line in found]
    lines = _one_practitioner(ctx, lines)
    return _against_each_other(ctx, lines)


# --- services known from elsewhere ---


def _live_services(ctx: Context) -> Iterator[tuple[int, Service]]:
    """Services that stand and whose code the product knows."""
    for place, service in enumerate(ctx.facts.services):
        if service.status != "denied" and service.code in ctx.codes:
            yield place, service


def _against_services(ctx: Context, line: Determination, live: Sequence[tuple[int, Service]]) -> Determination:
    for place, service in live:
        reason = _same_code(ctx, line, service, place)
        if reason is not None:
            line = with_unmet(line, reason)
        elif service.code != line.code and line.period.meets(service.from_, service.to):
            line = _other_code(ctx, line, service, place)
    return line


def _same_code(ctx: Context, line: Determination, service: Service, place: int) -> Reason | None:
    if service.code != line.code:
        return None
    evidence = (f"services/{place}",)
    episodic = line.code in _EPISODE_CODES
    mine = service.practitioner == line.practitioner
    once = line.code == "G0506"
    if episodic and mine:
        known_episode = service.episode is not None and line.episode is not None
        if known_episode and service.episode != line.episode:
            return None
        if not known_episode and service.from_ > line.period.last:
            return None
        text = f"{line.code} was {service.status} for this episode on {service.from_}"
        return Reason(
            reason="ALREADY_ONCE",
            text=text,
            citation=ctx.cite(f"{line.program}/setup/once_per_episode"),
            evidence=evidence,
        )
    if not once and not _span(line).meets(service.from_, service.to):
        return None
    if mine:
        text = f"{line.code} was {service.status} for {service.from_}..{service.to}"
        path = "care-planning/eligibility/once" if once else "units/single"
        return Reason(reason="ALREADY_ONCE", text=text, citation=ctx.cite(path), evidence=evidence)
    return None if once else _other_practitioner(ctx, line, service, evidence)


def _span(line: Determination) -> ServicePeriod:
    """The dates a line speaks for: its period, and its date of service where that lies before."""
    if line.period.first <= line.service_from:
        return line.period
    return msgspec.structs.replace(line.period, first=line.service_from)


def _other_practitioner(
    ctx: Context, line: Determination, service: Service, evidence: tuple[str, ...]
) -> Reason | None:
    """One practitioner a period, except PCM: another group may manage another condition."""
    if line.program == "pcm" and not ctx.same_group(service.practitioner, line.practitioner):
        return None
    path = f"{line.program}/eligibility/one_practitioner"
    return Reason(
        reason="OTHER_PRACTITIONER",
        text=f"{service.practitioner} has {service.code} for {service.from_}..{service.to}; one practitioner a period",
        citation=ctx.cite(path if ctx.tree.has(path, ctx.month.last) else "ccm/eligibility/one_practitioner"),
        evidence=evidence,
    )


def _other_code(ctx: Context, line: Determination, service: Service, place: int) -> Determination:
    evidence = (f"services/{place}",)
    mine, theirs = ctx.codes[line.code], ctx.codes[service.code]
    if mine.group is None or theirs.group is None:
        return line
    if _one_family(mine.group, theirs.group):
        return _within_family(ctx, line, service, evidence)
    if {mine.group, theirs.group} == _RPM and service.practitioner != line.practitioner:
        reason = _other_practitioner(ctx, line, service, evidence)
        question = f"Does {service.practitioner} monitor this patient? Only one practitioner bills remote monitoring."
        return _held(line, reason, question)
    found = verdict(mine.group, theirs.group, line.service_to)
    if found is None or found.mode in _STANDS:
        return line
    same = ctx.same_group(service.practitioner, line.practitioner)
    text = f"{service.code} was {service.status} by {service.practitioner} for {service.from_}..{service.to}"
    if found.mode == "hold" or (found.mode == "same-practitioner" and not same and theirs.group == "oversight"):
        question = f"Are {line.code} and {service.code} separate work that may stand together?"
        return with_holds(line, _exclusive(found.citation, text, evidence, question)) if line.earned else line
    if found.mode == "same-practitioner" and not same:
        return line
    if found.mode == "yields" and found.to == mine.group:
        return line
    word = "EXCLUSIVE_CODE" if mine.group == "data-review" and theirs.group in _RPM else "EXCLUSIVE_PROGRAM"
    return with_unmet(line, _exclusive(found.citation, text, evidence, None, word=word))


def _held(line: Determination, reason: Reason | None, question: str) -> Determination:
    if reason is None or not line.earned:
        return line
    return with_holds(line, msgspec.structs.replace(reason, question=question))


def _one_family(one: str, other: str) -> bool:
    return one == other or {one, other} <= _CCM_LANES


def _within_family(ctx: Context, line: Determination, service: Service, evidence: tuple[str, ...]) -> Determination:
    """Lanes and twins of one program, and the add-on of a base that is already known."""
    if service.practitioner != line.practitioner:
        reason = _other_practitioner(ctx, line, service, evidence)
        return with_unmet(line, reason) if reason else line
    mine = ctx.codes[line.code]
    theirs = ctx.codes[service.code]
    if service.code in mine.bases or line.code in theirs.bases or {line.code, service.code} & _EPISODE_CODES:
        return line
    if mine.period != theirs.period:
        return line
    text = f"{service.code} was {service.status} for {service.from_}..{service.to}; the two never share a period"
    return with_unmet(
        line,
        _exclusive(
            ctx.cite("ccm/lanes/exclusive" if mine.group in _CCM_LANES else "units/single"),
            text,
            evidence,
            None,
            word="EXCLUSIVE_CODE",
        ),
    )


def _exclusive(
    citation: Citation, text: str, evidence: tuple[str, ...], question: str | None, *, word: str = "EXCLUSIVE_PROGRAM"
) -> Reason:
    return Reason(reason=word, text=text, citation=citation, evidence=evidence, question=question)


# --- determinations of this run ---


def _one_practitioner(ctx: Context, lines: list[Determination]) -> list[Determination]:
    """The same family from two practitioners of this run: a person says whose month it is."""
    if len({line.practitioner for line in lines}) < 2:
        return lines
    kept = list(lines)
    for place, line in enumerate(lines):
        if not line.earned or line.program == "pcm":
            continue
        for other in lines:
            group, theirs = ctx.codes[line.code].group, ctx.codes[other.code].group
            if (
                other.earned
                and other.practitioner != line.practitioner
                and group is not None
                and theirs is not None
                and _one_family(group, theirs)
                and line.period.meets(other.period.first, other.period.last)
            ):
                kept[place] = with_holds(
                    kept[place],
                    Reason(
                        reason="OTHER_PRACTITIONER",
                        text=f"{other.practitioner} also reaches {other.code} in the period; one practitioner a period",
                        citation=ctx.cite("ccm/eligibility/one_practitioner"),
                        question=f"Which of {line.practitioner} and {other.practitioner} bills the period?",
                    ),
                )
    return kept


def _designated_programs(ctx: Context) -> frozenset[str]:
    return frozenset(designation.program for designation in ctx.facts.designations)


def _against_each_other(ctx: Context, lines: list[Determination]) -> list[Determination]:
    """Pairs of groups that both reach a line: the designated one stays, else both are held."""
    chosen = _designated_programs(ctx)
    kept = list(lines)
    groups = [ctx.codes[line.code].group for line in lines]
    for winner, theirs in zip(lines, groups, strict=True):
        if theirs is None or not winner.earned:
            continue
        for place, (line, mine) in enumerate(zip(lines, groups, strict=True)):
            if mine is None or mine == theirs or line is winner:
                continue
            found = verdict(mine, theirs, max(line.service_to, winner.service_to))
            if found is None or found.mode in _STANDS or _one_family(mine, theirs):
                continue
            if line.period.meets(winner.period.first, winner.period.last):
                kept[place] = _yield_to(ctx, kept[place], line, winner, chosen)
    return kept


def _yield_to(
    ctx: Context, now: Determination, line: Determination, winner: Determination, chosen: frozenset[str]
) -> Determination:
    mine, theirs = ctx.codes[line.code].group, ctx.codes[winner.code].group
    if mine is None or theirs is None or _one_family(mine, theirs):
        return now
    found = verdict(mine, theirs, max(line.service_to, winner.service_to))
    if found is None or found.mode in _STANDS:
        return now
    if found.mode == "same-practitioner" and not ctx.same_group(line.practitioner, winner.practitioner):
        return now
    text = f"{winner.code} also stands in {winner.period.first}..{winner.period.last}"
    if mine == "data-review" and theirs in _RPM:
        return with_unmet(now, _exclusive(found.citation, text, (), None, word="EXCLUSIVE_CODE"))
    if theirs == "data-review" and mine in _RPM:
        return now
    if found.mode == "yields":
        return now if found.to == mine else with_unmet(now, _exclusive(found.citation, text, (), None))
    if winner.program in chosen and line.program not in chosen:
        if found.mode == "hold":
            return with_holds(now, _question(found, text, line, winner)) if line.earned else now
        return with_unmet(now, _exclusive(found.citation, f"{text}, and {winner.program} was designated", (), None))
    if line.program in chosen and winner.program not in chosen:
        return now
    return with_holds(now, _question(found, text, line, winner)) if line.earned else now


def _question(found: Verdict, text: str, line: Determination, winner: Determination) -> Reason:
    question = f"Which of {line.program} and {winner.program} is billed for the period? Designate one."
    return _exclusive(found.citation, text, (), question)
