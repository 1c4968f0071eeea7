"""What a payer's pack refuses or asks for beyond Medicare's rules: codes not taken, authorisations wanted first.

Input: a determination and the pack of the run. Output: the same refused or held. The pack is data; this is its only
reader among the rules.
"""

from __future__ import annotations

from datetime import date

from server.billing.context import Context
from server.billing.outcome import Determination, Reason, with_holds, with_unmet


def apply(ctx: Context, line: Determination) -> Determination:
    """One determination after the payer's own switches."""
    off = refusal(ctx, line.code, line.service_to)
    if off is not None:
        return with_unmet(line, off)
    missing = _authorization(ctx, line)
    return with_holds(line, missing) if missing is not None and line.earned else line


def refusal(ctx: Context, code: str, day: date) -> Reason | None:
    """Why this payer does not take the code on the day."""
    found = ctx.pack.refusal(code, day)
    if found is None:
        return None
    word, dated = found
    ended = f"since {dated.since}" if word == "CODE_TERMINATED" else f"on {day}"
    return Reason(
        reason=word,
        text=f"{ctx.pack.label} does not take {code} {ended}",
        citation=dated.citation,
        have=day.isoformat(),
    )


def _authorization(ctx: Context, line: Determination) -> Reason | None:
    """The hold of a code that this payer authorises first, until an authorisation covers its date of service."""
    asked = ctx.pack.asks(line.code, line.service_to)
    if asked is None:
        return None
    known = [one for one in ctx.facts.authorizations if one.code == line.code and one.granted_at <= ctx.facts.as_of]
    if any(one.from_ <= line.service_to and (one.to is None or line.service_to <= one.to) for one in known):
        return None
    places = [f"authorizations/{place}" for place, one in enumerate(ctx.facts.authorizations) if one in known]
    return Reason(
        reason="CONDITIONS_NOT_MET",
        text=f"{ctx.pack.label} authorises {line.code} first, and no authorisation covers {line.service_to}",
        citation=asked.citation,
        question=f"Has {ctx.pack.label} authorised {line.code} for {line.service_to}? Record it, and the line stands.",
        evidence=tuple(places),
    )
