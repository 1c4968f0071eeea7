"""Exact conversion between the UCUM units that devices send and the units we keep.

Input: a `Decimal` and two UCUM strings of the table. Output: a `Decimal`; any other pair is an error, never a guess.
"""

from __future__ import annotations

from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Final

from device_drivers.errors import DeviceDriverError

# Wide enough that no product of a FLOAT (up to 10^134) and a factor below is rounded; rounding would raise.
_EXACT: Final = Context(prec=400, traps=[Inexact, InvalidOperation, Overflow])
# Quotients need not end (degrees Fahrenheit): 28 digits, far finer than any sensor.
_QUOTIENT: Final = Context(prec=28, traps=[InvalidOperation, DivisionByZero, Overflow])


class UnknownConversionError(DeviceDriverError, ValueError):
    """No rule leads from one unit to the other."""


_FACTORS: Final[dict[tuple[str, str], Decimal]] = {
    # 1 mmHg = 133.3224 Pa (NIST SP 811, appendix B.8), so 1 kPa = 7.50062 mmHg.
    ("kPa", "mm[Hg]"): Decimal("7.50062"),
    # Molar mass of glucose 180.182 g/mol (IUPAC atomic weights, as the ISO 15197 conversion 18.0182).
    ("mmol/L", "mg/dL"): Decimal("18.0182"),
    ("kg/L", "mg/dL"): Decimal(100_000),
    ("mol/L", "mmol/L"): Decimal(1_000),
    ("mol/L", "mg/dL"): Decimal("18018.2"),
    # International yard and pound agreement, 1959: exact.
    ("[lb_av]", "kg"): Decimal("0.45359237"),
    ("[in_i]", "m"): Decimal("0.0254"),
}
_FREEZING_FAHRENHEIT: Final = Decimal(32)
_FIVE: Final = Decimal(5)
_NINE: Final = Decimal(9)


def convert(value: Decimal, from_unit: str, to_unit: str) -> Decimal:
    """`value` in `to_unit`. Products are exact; quotients carry 28 significant digits."""
    if from_unit == to_unit:
        return value
    if factor := _FACTORS.get((from_unit, to_unit)):
        return _EXACT.multiply(value, factor)
    if divisor := _FACTORS.get((to_unit, from_unit)):
        return _QUOTIENT.divide(value, divisor)
    if (from_unit, to_unit) == ("[degF]", "Cel"):
        return _QUOTIENT.divide(_EXACT.multiply(_EXACT.subtract(value, _FREEZING_FAHRENHEIT), _FIVE), _NINE)
    if (from_unit, to_unit) == ("Cel", "[degF]"):
        return _EXACT.add(_QUOTIENT.divide(_EXACT.multiply(value, _NINE), _FIVE), _FREEZING_FAHRENHEIT)
    raise UnknownConversionError(f"no conversion from {from_unit} to {to_unit}")
