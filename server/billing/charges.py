"""Billable determinations as charges: units, dates, place of service, diagnoses, money.

Input: billable `Determination`s. Output: charge lines with Decimal amounts; `None` where no amount is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from server.billing.context import Context
from server.billing.fees import Amount, practitioner_percent, unit_amount
from server.billing.outcome import Determination, Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One line that could be claimed."""

    line: Determination
    unit: Decimal | None
    warnings: tuple[Notice, ...]

    @property
    def amount(self) -> Decimal | None:
        return None if self.unit is None else self.unit * self.line.units


def price(ctx: Context, code: str, line: Determination) -> Amount:
    """The amount of one unit of a code on the line's date of service."""
    payer, practice = ctx.facts.payer, ctx.facts.practice
    if ctx.pack.amounts == "unknown":
        said = f"{code}: {ctx.pack.label} has fees of its own; no amount is known"
        return Amount(unit=None, warnings=(("AMOUNT_UNKNOWN", said),))
    person = ctx.practitioners.get(line.practitioner or "")
    percent = practitioner_percent(ctx.tree, person.credential, line.service_to) if person else 100
    rural = practice.kind != "physician-practice"
    return unit_amount(
        code,
        line.service_to,
        qualifying=payer.qualifying_apm,
        locality=payer.locality,
        place_of_service=practice.place_of_service,
        rural=rural,
        percent=100 if rural else percent,
    )


def charge(ctx: Context, line: Determination) -> Charge:
    """The line with its money."""
    amount = price(ctx, line.code, line)
    warnings = tuple(Notice(reason=reason, text=text) for reason, text in amount.warnings)
    return Charge(line=line, unit=amount.unit, warnings=warnings)


def total(charges: Iterable[Charge]) -> Decimal | None:
    """Sum of the known amounts; `None` when lines stand but none has a known amount."""
    amounts = [one.amount for one in charges]
    known = [amount for amount in amounts if amount is not None]
    if amounts and not known:
        return None
    return sum(known, Decimal("0.00"))
