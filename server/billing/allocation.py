"""Lawful homes for time that nobody has allocated: proposals for a named person, never a decision.

Input: a context whose entries carry `program: null` and candidates, and the engine itself. Output: proposals ranked by
compliance, fewest changes, then value, each with a certificate. A tagged minute is never moved.

The search is exact: allocations are visited level by level, one more entry a level, and every allocation that could
be worth more than what is known is decided by the engine itself, so no rule is modelled twice. A branch is cut only
when its bound, a sum of threshold ladders that ignores every rule but the seconds, cannot beat what is known. Months
hold few such entries and few thresholds, so this stays small where a general solver would need each rule as a
constraint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product
from typing import Final, TypeAlias

import msgspec

from server.billing.blocks import BlockCodes
from server.billing.calendar import MICROSECONDS
from server.billing.charges import price
from server.billing.context import Context
from server.billing.fact_types import TimeEntry
from server.billing.outcome import Determination
from server.billing.rules import ccm, pcm, rpm_management, rtm
from server.billing.time_ledger import NEVER_COUNTS

Decide = Callable[[Context], list[Determination]]
Assignment: TypeAlias = tuple[tuple[str, str], ...]

# Beyond these the search stops and the certificate says that it is not complete.
MOST_DECISIONS: Final = 500
MOST_ALLOCATIONS: Final = 5_000
_CROSS: Final = "OVERLAP_CROSS_PROGRAM"
# Unmet requirements that no minute changes: what lacks one of these is worth nothing in any allocation.
_STAYS: Final = frozenset(
    {
        "ALREADY_ONCE",
        "CODE_NOT_EFFECTIVE",
        "CODE_TERMINATED",
        "DAYS_BELOW_THRESHOLD",
        "MDM_NOT_MET",
        "MODEL_EXCLUSION",
    }
)
_NOTHING: Final = Decimal("0.00")

# The ladders of time of each program: of one program the month carries one of them.
_LADDERS: Final[Mapping[str, tuple[BlockCodes, ...]]] = {
    "rpm": (
        rpm_management.CODES.blocks,
        BlockCodes(base=rpm_management.CODES.short, first=f"{rpm_management.CODES.rules}/short_block_seconds"),
    ),
    "rtm": (
        rtm.MANAGEMENT.blocks,
        BlockCodes(base=rtm.MANAGEMENT.short, first=f"{rtm.MANAGEMENT.rules}/short_block_seconds"),
    ),
    "ccm": (ccm.STAFF, ccm.COMPLEX, ccm.PRACTITIONER),
    "pcm": (pcm.STAFF, pcm.PRACTITIONER),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an allocation comes to: its lines, its money, and whether it is clean."""

    units: Mapping[str, int]
    value: Decimal
    compliant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Where one entry may go, and why it may not go elsewhere."""

    entry: str
    seconds: int
    allowed: tuple[str, ...]
    barred: tuple[tuple[str, str], ...]


@dataclass(slots=True, kw_only=True)
class Search:
    """What was looked at; `complete` says that nothing was left unlooked."""

    decided: int = 0
    cut: int = 0
    visited: int = 0
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The best of all allocations with as few changes, and what is sure of it."""

    assignment: Assignment
    outcome: Outcome
    bound: Decimal | None
    complete: bool


def propose(ctx: Context, lines: Sequence[Determination], decide: Decide) -> list[dict[str, object]]:
    """Ranked proposals, fewest changes first; each worth more than any lawful one with as few changes."""
    loose = [entry for entry in ctx.entries if entry.program is None and entry.candidates]
    if not loose or not ctx.rules_loaded(ctx.month.last):
        return []
    before = _outcome(ctx, lines, None)
    permissions = [_permission(ctx, entry, decide) for entry in loose]
    movable = [one for one in permissions if one.allowed]
    bound = _Bound(ctx, lines, movable)
    search = Search()
    found: list[Found] = []
    best = before.value
    level: list[tuple[Assignment, int]] = [((), 0)]
    for _ in movable:
        level = list(_next_level(level, movable, bound, best, search))
        choice: tuple[Assignment, Outcome] | None = None
        # The most promising first: what is found early spares the engine the rest of the level.
        ranked = sorted(((bound.of(one, ()), one) for one, _start in level), key=lambda pair: -pair[0])
        for most, assignment in ranked:
            if most <= best:
                break
            if search.decided >= MOST_DECISIONS:
                search.complete = False
                break
            search.decided += 1
            outcome = _try(ctx, assignment, decide, lines)
            if outcome.compliant and outcome.value > best:
                best, choice = outcome.value, (assignment, outcome)
        if choice is not None:
            limit = best if search.complete else bound.of((), movable)
            sure = limit if limit.is_finite() else None
            found.append(Found(assignment=choice[0], outcome=choice[1], bound=sure, complete=search.complete))
        if not level or not search.complete:
            break
    most = best if search.complete else bound.of((), movable)
    return [_shown(rank, one, before, search, permissions, most) for rank, one in enumerate(found, start=1)]


def _next_level(
    level: Sequence[tuple[Assignment, int]],
    movable: Sequence[Permission],
    bound: _Bound,
    best: Decimal,
    search: Search,
) -> Iterator[tuple[Assignment, int]]:
    """Each allocation with one more, later entry, unless nothing below it can beat the best known."""
    for assignment, start in level:
        for place in range(start, len(movable)):
            for program in movable[place].allowed:
                if search.visited >= MOST_ALLOCATIONS:
                    search.complete = False
                    return
                search.visited += 1
                grown = (*assignment, (movable[place].entry, program))
                if bound.of(grown, movable[place + 1 :]) <= best:
                    search.cut += 1
                    continue
                yield grown, place + 1


def allocated(ctx: Context, assignment: Assignment) -> Context:
    """The same month with these entries tagged."""
    homes = dict(assignment)
    entries = tuple(
        msgspec.structs.replace(entry, program=homes[entry.id], candidates=()) if entry.id in homes else entry
        for entry in ctx.facts.time_entries
    )
    return Context(msgspec.structs.replace(ctx.facts, time_entries=entries), ctx.tree, ctx.pack)


def _try(ctx: Context, assignment: Assignment, decide: Decide, before: Sequence[Determination]) -> Outcome:
    tagged = allocated(ctx, assignment)
    outcome = _outcome(tagged, decide(tagged), before)
    if any(_disputes(tagged, entry, program) for entry, program in assignment):
        return replace(outcome, compliant=False)
    return outcome


def _disputes(ctx: Context, entry: str, program: str) -> frozenset[str]:
    """The entries of other programs, or of none, that the same person worked in the same moments."""
    return frozenset(
        other
        for (name, _, _), ledger in ctx.known_ledgers().items()
        if name == program
        for row in ledger.rows
        if row.entry.id == entry
        for cut in row.exclusions
        if cut.reason == _CROSS
        for other in cut.with_
    )


def _outcome(ctx: Context, lines: Sequence[Determination], before: Sequence[Determination] | None) -> Outcome:
    """Lines and money. Clean: no question to a person that did not stand before."""
    units: Counter[str] = Counter()
    value = _NOTHING
    for line in lines:
        if line.billable:
            units[line.code] += line.units
            value += (price(ctx, line.code, line).unit or _NOTHING) * line.units
    compliant = before is None or _questions(lines) <= _questions(before)
    return Outcome(units=dict(units), value=value, compliant=compliant)


def _questions(lines: Sequence[Determination]) -> frozenset[tuple[str, str]]:
    """Held lines, and units held beyond the billable ones."""
    held = {(line.code, reason.reason) for line in lines if line.earned for reason in line.holds}
    return frozenset(
        held | {(line.code, extra.reason.reason) for line in lines for extra in line.surplus if extra.held}
    )


def _permission(ctx: Context, entry: TimeEntry, decide: Decide) -> Permission:
    """The programs in which at least a second of the entry counts, as the engine's own ledgers say."""
    low, high = ctx.spans[entry.id]
    allowed, barred = [], []
    for program in dict.fromkeys(entry.candidates):
        reason = _bar(ctx, entry, program, decide)
        if reason is None:
            allowed.append(str(program))
        else:
            barred.append((str(program), reason))
    return Permission(entry=entry.id, seconds=high - low, allowed=tuple(sorted(allowed)), barred=tuple(sorted(barred)))


def _bar(ctx: Context, entry: TimeEntry, program: str, decide: Decide) -> str | None:
    if entry.automated:
        return "WRONG_PERFORMER"
    if entry.activity in NEVER_COUNTS:
        return "CONDITIONS_NOT_MET"
    tagged = allocated(ctx, ((entry.id, program),))
    decide(tagged)
    loose = {other.id for other in ctx.entries if other.program is None}
    if _disputes(tagged, entry.id, program) - loose:
        return _CROSS
    reason = "NO_CONSENT"  # not enrolled: no ledger speaks of the entry
    for (name, _, _), ledger in sorted(tagged.known_ledgers().items()):
        if name == program:
            if any(piece.entry == entry.id for piece in (*ledger.clean, *ledger.disputed)):
                return None
            cuts = [cut for row in ledger.rows if row.entry.id == entry.id for cut in row.exclusions]
            if any(cut.reason == _CROSS and cut.with_ for cut in cuts):
                return None  # shared with an entry that nobody has allocated either: it depends on that one
            reason = cuts[0].reason if cuts else reason
    return reason


class _Bound:
    """No lawful allocation that contains this one is worth more: money of ladders, every rule but seconds left out.

    Sound because a second serves one program, a program's lines come from one ladder a practitioner, and what does not
    rest on time is counted in full.
    """

    def __init__(self, ctx: Context, lines: Sequence[Determination], movable: Sequence[Permission]) -> None:
        self._seconds = {one.entry: one.seconds for one in movable}
        self._programs = sorted({program for one in movable for program in one.allowed})
        self._known = ctx.facts.practice.kind == "physician-practice" and all(p in _LADDERS for p in self._programs)
        timed = {code for program in self._programs for code in _codes(program)}
        self._fixed = sum(
            (
                (price(ctx, line.code, line).unit or _NOTHING) * line.units
                for line in lines
                if line.code not in timed and not _stays_unmet(line)
            ),
            _NOTHING,
        )
        self._base = {program: self._worked(ctx, program) for program in self._programs}
        self._levels: list[tuple[Decimal, tuple[int, ...]]] = []
        if self._known:
            ladders = [_ladder(ctx, program, lines) for program in self._programs]
            self._levels = sorted(
                (
                    (sum((worth for worth, _ in rungs), _NOTHING), tuple(need for _, need in rungs))
                    for rungs in product(*ladders)
                ),
                reverse=True,
            )

    @staticmethod
    def _worked(ctx: Context, program: str) -> int:
        """Microseconds the program has or could get back; entries that dispute each other count in full."""
        return max(
            (
                sum(piece.end - piece.start for piece in (*ledger.clean, *ledger.disputed)) + ledger.excluded(_CROSS)
                for (name, _, _), ledger in ctx.known_ledgers().items()
                if name == program
            ),
            default=0,
        )

    def of(self, assignment: Assignment, later: Sequence[Permission]) -> Decimal:
        """The bound with the later entries free to go where they may."""
        if not self._known:
            return Decimal("Infinity")
        have = dict(self._base)
        for entry, program in assignment:
            have[program] += self._seconds[entry]
        free = sum(one.seconds for one in later)
        reach = {p: sum(one.seconds for one in later if p in one.allowed) for p in self._programs}
        for worth, needs in self._levels:
            gaps = [max(need - have[program], 0) for program, need in zip(self._programs, needs, strict=True)]
            if sum(gaps) <= free and all(
                gap <= reach[program] for program, gap in zip(self._programs, gaps, strict=True)
            ):
                return self._fixed + worth
        return self._fixed


def _stays_unmet(line: Determination) -> bool:
    return any(reason.reason in _STAYS for reason in line.unmet)


def _codes(program: str) -> Iterator[str]:
    for ladder in _LADDERS.get(program, ()):
        yield ladder.base
        if ladder.add_on:
            yield ladder.add_on


def _ladder(ctx: Context, program: str, lines: Sequence[Determination]) -> list[tuple[Decimal, int]]:
    """(money, microseconds needed) of every step, of all courses of the program together."""
    steps: list[tuple[Decimal, int]] = [(_NOTHING, 0)]
    courses = [course for course in ctx.courses if course.program == program]
    dead = {line.code for line in lines if _stays_unmet(line)}
    alive = {line.code for line in lines if not _stays_unmet(line)}
    for ladder in _LADDERS[program]:
        if not ctx.tree.has(ladder.first, ctx.month.last) or ladder.base in dead - alive:
            continue
        first = ctx.tree.whole(ladder.first, ctx.month.last) * MICROSECONDS
        worth = sum((_worth(ctx, ladder.base, course.practitioner) for course in courses), _NOTHING)
        steps.append((worth, first))
        if ladder.add_on is None or ladder.further is None or not ctx.tree.has(ladder.further, ctx.month.last):
            continue
        further = ctx.tree.whole(ladder.further, ctx.month.last) * MICROSECONDS
        more = sum((_worth(ctx, ladder.add_on, course.practitioner) for course in courses), _NOTHING)
        path = f"units/{ladder.add_on}"
        most = ctx.tree.whole(path if ctx.tree.has(path, ctx.month.last) else "units/single", ctx.month.last)
        steps += [(worth + more * count, first + further * count) for count in range(1, most + 1)]
    return steps


def _worth(ctx: Context, code: str, practitioner: str) -> Decimal:
    """The most that a unit is worth on any day of the month: factors change within one."""
    amounts = []
    for day in (ctx.month.first, ctx.month.last):
        line = Determination(
            code=code,
            program="",
            practitioner=practitioner,
            period=ctx.month,
            service_from=day,
            service_to=day,
            units=1,
        )
        amounts.append(price(ctx, code, line).unit or _NOTHING)
    return max(amounts)


def _shown(
    rank: int, one: Found, before: Outcome, search: Search, permissions: Sequence[Permission], most: Decimal
) -> dict[str, object]:
    outcome, changes = one.outcome, len(one.assignment)
    codes = sorted(outcome.units.keys() | before.units.keys())
    change = {code: outcome.units.get(code, 0) - before.units.get(code, 0) for code in codes}
    return {
        "rank": rank,
        "assign": [{"entry": entry, "program": program} for entry, program in one.assignment],
        "changes": changes,
        "left": sorted({p.entry for p in permissions} - {entry for entry, _ in one.assignment}),
        "lines": [{"code": code, "units": by} for code, by in change.items() if by],
        "total_before": f"{before.value:.2f}",
        "total": f"{outcome.value:.2f}",
        "barred": [
            {"entry": p.entry, "program": program, "reason": reason}
            for p in permissions
            for program, reason in p.barred
        ],
        "certificate": {
            "bound": None if one.bound is None else f"{one.bound:.2f}",
            "complete": one.complete,
            "any_changes": {
                "bound": f"{most:.2f}" if most.is_finite() else None,
                "complete": search.complete,
            },
            "decided": search.decided,
            "cut": search.cut,
            "text": (
                f"no lawful allocation of at most {changes} of these entries is worth more"
                if one.complete
                else "the search was stopped: the bound is the most that any allocation could be worth"
            ),
        },
    }
