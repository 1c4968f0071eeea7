"""Rural health clinics and health centers: bundled codes G0511 and G0512 while they were payable.

Input: the determinations of individual codes of one month. Output: the same, replaced by the bundle where the date, or
the clinic in the year of change, asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import msgspec

from server.billing.context import Context
from server.billing.outcome import Determination, Reason, with_unmet

# The bundle of collaborative care asks for the full first or later month: the short month does not earn it.
_TOO_SHORT: Final = frozenset({"G2214"})
_BUNDLES: Final = {"G0511": ("ccm", "pcm", "bhi", "rpm", "rtm"), "G0512": ("cocm",)}
# One unit a month until then; afterwards each service of the bundle may be reported (MUE 8).
_UNITS_BY_SERVICE: Final = date(2024, 1, 1)
_REPLACES: Final = "rural_clinic/bundle/replaces"


def bundle(ctx: Context, lines: Sequence[Determination]) -> list[Determination]:
    """Individual codes give way to the bundle that carries their programs."""
    if ctx.facts.practice.kind == "physician-practice" or not ctx.rules_loaded(ctx.month.last):
        return list(lines)
    kept = list(lines)
    for code, programs in _BUNDLES.items():
        if _wanted(ctx, code):
            mine = [line for line in kept if line.program in programs]
            kept = [_replaced(ctx, line, code) if line.program in programs else line for line in kept]
            kept += _bundled(ctx, code, mine)
    return kept


def _wanted(ctx: Context, code: str) -> bool:
    """While only the bundle was payable; in the year of change, when it is offered."""
    if not ctx.codes[code].in_force(ctx.month.last) or not ctx.tree.has(_REPLACES, ctx.month.last):
        return False
    offered = any(proposal.code == code for proposal in ctx.facts.proposals)
    return offered or ctx.tree.at(_REPLACES, ctx.month.last).value is True


def _replaced(ctx: Context, line: Determination, code: str) -> Determination:
    reason = Reason(
        reason="EXCLUSIVE_CODE",
        text=f"the clinic reports {code} for this month instead of individual codes",
        citation=ctx.cite(_REPLACES),
    )
    return with_unmet(line, reason)


def _bundled(ctx: Context, code: str, lines: Sequence[Determination]) -> list[Determination]:
    earned: dict[str, Determination] = {}
    for line in lines:
        if line.code in _TOO_SHORT:
            continue
        if line.earned and not ctx.codes[line.code].bases and ctx.codes[line.code].period == "month":
            earned.setdefault(line.program, line)
    if not earned:
        return []
    first = next(iter(earned.values()))
    units = len(earned) if ctx.month.last >= _UNITS_BY_SERVICE else 1
    because = tuple(proof for line in earned.values() for proof in line.because)
    diagnoses = tuple(dict.fromkeys(icd for line in earned.values() for icd in line.diagnoses))
    holds = tuple(dict.fromkeys(hold for line in earned.values() for hold in line.holds))
    return [
        msgspec.structs.replace(
            first, code=code, units=units, because=because, diagnoses=diagnoses, holds=holds, lane=None, surplus=()
        )
    ]
