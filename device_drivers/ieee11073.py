"""Numbers and times as personal health devices encode them (IEEE 11073-20601, Bluetooth GATT Specification Supplement).

Input: raw integers and octets. Output: exact `Decimal` with the precision of the encoding, or why there is no number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from device_drivers.measurement import AbsentReason

# IEEE 11073-20601 annex F.6 / F.7. The special values are whole raw integers with exponent 0, looked up before anything
# is split: 0xF7FF has the mantissa of NaN and is 204.7.
_SFLOAT_SPECIALS: Final = {
    0x07FE: AbsentReason.POSITIVE_INFINITY,
    0x07FF: AbsentReason.NOT_A_NUMBER,
    0x0800: AbsentReason.NOT_AT_THIS_RESOLUTION,
    0x0801: AbsentReason.RESERVED,
    0x0802: AbsentReason.NEGATIVE_INFINITY,
}
_FLOAT_SPECIALS: Final = {
    0x007FFFFE: AbsentReason.POSITIVE_INFINITY,
    0x007FFFFF: AbsentReason.NOT_A_NUMBER,
    0x00800000: AbsentReason.NOT_AT_THIS_RESOLUTION,
    0x00800001: AbsentReason.RESERVED,
    0x00800002: AbsentReason.NEGATIVE_INFINITY,
}


@dataclass(frozen=True, slots=True)
class Number:
    """A value, or the reason why there is none. Exactly one of the two is set."""

    value: Decimal | None
    absent_reason: AbsentReason | None = None


def decode_sfloat(raw: int, *, shift: int = 0) -> Number:
    """SFLOAT-Type: 4-bit exponent, 12-bit mantissa, both two's complement; `raw` is the unsigned 16-bit integer.

    `shift` moves the decimal point, for fields whose unit on the wire is a power of ten from the one people read
    (kg/L to mg/dL: 5).
    """
    special = _SFLOAT_SPECIALS.get(raw)
    if special is not None:
        return Number(None, special)
    exponent = raw >> 12
    mantissa = raw & 0x0FFF
    if mantissa & 0x0800:
        mantissa -= 0x1000
    if exponent & 0x8:
        exponent -= 0x10
    return Number(decimal_of(mantissa, exponent + shift))


def decode_float(raw: int) -> Number:
    """FLOAT-Type: 8-bit exponent, 24-bit mantissa, both two's complement; `raw` is the unsigned 32-bit integer."""
    special = _FLOAT_SPECIALS.get(raw)
    if special is not None:
        return Number(None, special)
    exponent = raw >> 24
    mantissa = raw & 0x00FFFFFF
    if mantissa & 0x800000:
        mantissa -= 0x1000000
    if exponent & 0x80:
        exponent -= 0x100
    return Number(decimal_of(mantissa, exponent))


def decimal_of(mantissa: int, exponent: int) -> Decimal:
    """`mantissa` x 10^`exponent`, exactly. Decimals after the point are those of the encoding: 3640 x 10^-2 is 36.40.

    Built by construction, which is exact whatever the arithmetic context of the thread is.
    """
    if exponent >= 0:
        return Decimal(mantissa * 10**exponent)
    return Decimal((mantissa < 0, tuple(map(int, str(abs(mantissa)))), exponent))


def plain(value: Decimal) -> str:
    """Decimal text without an exponent, trailing zeros kept."""
    return format(value, "f")


class DeviceTime(NamedTuple):
    """A device's wall clock, zone unknown. `raw_hex` is set only for octets that are no date and are not "unknown"."""

    value: datetime | None
    raw_hex: str | None = None


_UNKNOWN_TIME: Final = DeviceTime(None)
_FIRST_YEAR: Final = 1582  # GATT Specification Supplement, Date Time: 1582-9999, 0 = year is not known


def decode_date_time(octets: bytes) -> DeviceTime:
    """Date Time (2A08), exactly seven octets. Year, month or day 0 means "not known" and is legal."""
    year = octets[0] | octets[1] << 8
    month = octets[2]
    day = octets[3]
    if not year or not month or not day:
        return _UNKNOWN_TIME
    if year < _FIRST_YEAR:
        return DeviceTime(None, octets.hex())
    try:
        # The clock of a device has no zone; the gateway gives it one.
        return DeviceTime(datetime(year, month, day, octets[4], octets[5], octets[6]))  # noqa: DTZ001
    except ValueError:
        return DeviceTime(None, octets.hex())
