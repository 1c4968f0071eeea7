"""Encode what devices send: IEEE 11073 numbers, date-time, Bluetooth blood pressure and glucose characteristics.

Input: Python values (Decimal, naive datetime, flags). Output: the exact bytes on the air, little endian.
Written from the specifications (IEEE 11073-20601; GATT Specification Supplement) and sharing nothing with the decoders.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final


class EncodingError(ValueError):
    """A value cannot be sent in the wanted form; the message names the value and the limit."""


class Special(enum.Enum):
    """The values of IEEE 11073-20601 that are not numbers. They exist with exponent 0 only."""

    NAN = "NaN"
    NRES = "NRes"
    POSITIVE_INFINITY = "+INFINITY"
    NEGATIVE_INFINITY = "-INFINITY"
    RESERVED = "reserved"


Number = Decimal | Special

_SFLOAT_SPECIAL: Final = {
    Special.NAN: 0x07FF,
    Special.NRES: 0x0800,
    Special.POSITIVE_INFINITY: 0x07FE,
    Special.NEGATIVE_INFINITY: 0x0802,
    Special.RESERVED: 0x0801,
}
_FLOAT_SPECIAL: Final = {
    Special.NAN: 0x007FFFFF,
    Special.NRES: 0x00800000,
    Special.POSITIVE_INFINITY: 0x007FFFFE,
    Special.NEGATIVE_INFINITY: 0x00800002,
    Special.RESERVED: 0x00800001,
}


def sfloat(value: Number) -> bytes:
    """SFLOAT-Type: 4-bit exponent, 12-bit mantissa. The precision of `value` is kept: 5.60 is sent as 560 x 10^-2.

    Raises EncodingError where no mantissa and exponent give exactly this value.
    """
    if isinstance(value, Special):
        return struct.pack("<H", _SFLOAT_SPECIAL[value])
    mantissa, exponent = _fit(value, mantissa_bits=12, exponent_bits=4, taken=_SFLOAT_SPECIAL.values())
    return struct.pack("<H", (exponent & 0xF) << 12 | mantissa & 0xFFF)


def medical_float(value: Number) -> bytes:
    """FLOAT-Type: 8-bit exponent, 24-bit mantissa. See `sfloat`."""
    if isinstance(value, Special):
        return struct.pack("<I", _FLOAT_SPECIAL[value])
    mantissa, exponent = _fit(value, mantissa_bits=24, exponent_bits=8, taken=_FLOAT_SPECIAL.values())
    return struct.pack("<I", (exponent & 0xFF) << 24 | mantissa & 0xFFFFFF)


def _fit(value: Decimal, *, mantissa_bits: int, exponent_bits: int, taken: Iterable[int]) -> tuple[int, int]:
    """(mantissa, exponent) of exactly `value`, nearest to its own number of digits, avoiding the special codes."""
    if not value.is_finite():
        raise EncodingError(f"{value} is no number; use Special")
    sign, digits, power = value.as_tuple()
    exponent = int(power)
    mantissa = int("".join(map(str, digits))) * (-1 if sign else 1)
    largest = (1 << (mantissa_bits - 1)) - 1
    lowest_exponent, highest_exponent = -(1 << (exponent_bits - 1)), (1 << (exponent_bits - 1)) - 1
    while exponent > highest_exponent:
        mantissa, exponent = mantissa * 10, exponent - 1
    while (abs(mantissa) > largest or exponent < lowest_exponent) and mantissa % 10 == 0 and mantissa:
        mantissa, exponent = mantissa // 10, exponent + 1
    if mantissa == 0:
        exponent = max(exponent, lowest_exponent)
    reserved = {_signed(code, mantissa_bits) for code in taken}
    if exponent == 0 and mantissa in reserved:
        raise EncodingError(f"{value} has the code of a special value")
    if abs(mantissa) > largest or not lowest_exponent <= exponent <= highest_exponent:
        raise EncodingError(f"{value} needs more than {mantissa_bits} bits of mantissa")
    return mantissa, exponent


def _signed(code: int, bits: int) -> int:
    return code - (1 << bits) if code >> (bits - 1) else code


def date_time(value: datetime | None) -> bytes:
    """Date Time 2A08, 7 octets, device-local, no zone. None is sent as "not known": year, month and day 0."""
    if value is None:
        return bytes(7)
    return struct.pack("<HBBBBB", value.year, value.month, value.day, value.hour, value.minute, value.second)


def parse_date_time(data: bytes) -> datetime:
    """The clock a collector writes to 2A08. Raises EncodingError for anything that is no date."""
    if len(data) < 7:
        raise EncodingError(f"Date Time has 7 octets, got {len(data)}")
    try:
        return datetime(*struct.unpack("<HBBBBB", data[:7]))  # noqa: DTZ001 - device clocks have no zone
    except ValueError as error:
        raise EncodingError(f"Date Time {data[:7].hex()} is no date") from error


class AdjustReason(enum.IntFlag):
    """Why the clock last changed (Current Time 2A2B)."""

    NONE = 0
    MANUAL = 1
    EXTERNAL_REFERENCE = 2
    TIME_ZONE = 4
    DAYLIGHT_SAVING = 8


def current_time(value: datetime, *, adjust_reason: AdjustReason = AdjustReason.NONE) -> bytes:
    """Current Time 2A2B, 10 octets: date-time, day of week (1 = Monday), 1/256 s, adjust reason."""
    fraction = value.microsecond * 256 // 1_000_000
    return date_time(value) + bytes((value.isoweekday(), fraction, adjust_reason))


class PressureUnit(enum.Enum):
    """Unit of a blood pressure packet: bit 0 of its flags."""

    MMHG = "mm[Hg]"
    KPA = "kPa"


class BloodPressureStatus(enum.IntFlag):
    """Measurement Status of 2A35 (bits 3-4 are a two-bit pulse range)."""

    NONE = 0
    BODY_MOVEMENT = 0x01
    CUFF_TOO_LOOSE = 0x02
    IRREGULAR_PULSE = 0x04
    PULSE_ABOVE_RANGE = 0x08
    PULSE_BELOW_RANGE = 0x10
    IMPROPER_POSITION = 0x20


class BloodPressureFeature(enum.IntFlag):
    """Blood Pressure Feature 2A49."""

    BODY_MOVEMENT = 0x01
    CUFF_FIT = 0x02
    IRREGULAR_PULSE = 0x04
    PULSE_RANGE = 0x08
    POSITION = 0x10
    MULTIPLE_BONDS = 0x20


def blood_pressure_feature(feature: BloodPressureFeature) -> bytes:
    return struct.pack("<H", feature)


@dataclass(frozen=True, slots=True, kw_only=True)
class BloodPressurePacket:
    """One Blood Pressure Measurement. Fields that are None are not sent (their flag bit is 0)."""

    systolic: Number
    diastolic: Number
    mean: Number = Special.NAN
    unit: PressureUnit = PressureUnit.MMHG
    timestamp: datetime | None = None
    pulse: Number | None = None
    user_id: int | None = None
    status: BloodPressureStatus | None = None


def blood_pressure_measurement(packet: BloodPressurePacket) -> bytes:
    """Blood Pressure Measurement 2A35."""
    flags = 0x01 if packet.unit is PressureUnit.KPA else 0
    body = sfloat(packet.systolic) + sfloat(packet.diastolic) + sfloat(packet.mean)
    if packet.timestamp is not None:
        flags |= 0x02
        body += date_time(packet.timestamp)
    if packet.pulse is not None:
        flags |= 0x04
        body += sfloat(packet.pulse)
    if packet.user_id is not None:
        flags |= 0x08
        body += bytes((packet.user_id,))
    if packet.status is not None:
        flags |= 0x10
        body += struct.pack("<H", packet.status)
    return bytes((flags,)) + body


class GlucoseUnit(enum.Enum):
    """Unit of a concentration on the wire: flag bit 2. kg/L x 100 000 = mg/dL; mol/L x 1 000 = mmol/L."""

    KG_PER_L = "kg/L"
    MOL_PER_L = "mol/L"


class GlucoseStatus(enum.IntFlag):
    """Sensor Status Annunciation of 2A18."""

    NONE = 0
    BATTERY_LOW = 0x0001
    SENSOR_MALFUNCTION = 0x0002
    SAMPLE_TOO_SMALL = 0x0004
    STRIP_INSERTION_ERROR = 0x0008
    STRIP_TYPE_WRONG = 0x0010
    ABOVE_RANGE = 0x0020
    BELOW_RANGE = 0x0040
    TEMPERATURE_HIGH = 0x0080
    TEMPERATURE_LOW = 0x0100
    READ_INTERRUPTED = 0x0200
    GENERAL_FAULT = 0x0400
    TIME_FAULT = 0x0800


class GlucoseFeature(enum.IntFlag):
    """Glucose Feature 2A51."""

    LOW_BATTERY = 0x0001
    MALFUNCTION = 0x0002
    SAMPLE_SIZE = 0x0004
    STRIP_INSERTION = 0x0008
    STRIP_TYPE = 0x0010
    HIGH_LOW = 0x0020
    TEMPERATURE = 0x0040
    READ_INTERRUPT = 0x0080
    GENERAL_FAULT = 0x0100
    TIME_FAULT = 0x0200
    MULTIPLE_BONDS = 0x0400


def glucose_feature(feature: GlucoseFeature) -> bytes:
    return struct.pack("<H", feature)


class SampleType(enum.IntEnum):
    """What was measured: low nibble of the type/location octet."""

    CAPILLARY_WHOLE_BLOOD = 1
    CAPILLARY_PLASMA = 2
    VENOUS_WHOLE_BLOOD = 3
    VENOUS_PLASMA = 4
    ARTERIAL_WHOLE_BLOOD = 5
    ARTERIAL_PLASMA = 6
    UNDETERMINED_WHOLE_BLOOD = 7
    UNDETERMINED_PLASMA = 8
    INTERSTITIAL_FLUID = 9
    CONTROL_SOLUTION = 10


class SampleLocation(enum.IntEnum):
    """Where it was taken: high nibble of the type/location octet."""

    FINGER = 1
    ALTERNATE_SITE = 2
    EARLOBE = 3
    CONTROL_SOLUTION = 4
    NOT_AVAILABLE = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucosePacket:
    """One Glucose Measurement. `time_offset_minutes` is added to `base_time` for the user-facing time."""

    sequence: int
    base_time: datetime
    time_offset_minutes: int | None = None
    concentration: Number | None = None
    unit: GlucoseUnit = GlucoseUnit.KG_PER_L
    sample_type: SampleType = SampleType.CAPILLARY_WHOLE_BLOOD
    location: SampleLocation = SampleLocation.FINGER
    status: GlucoseStatus | None = None
    context_follows: bool = False


def glucose_measurement(packet: GlucosePacket) -> bytes:
    """Glucose Measurement 2A18."""
    flags = 0
    body = struct.pack("<H", packet.sequence) + date_time(packet.base_time)
    if packet.time_offset_minutes is not None:
        flags |= 0x01
        body += struct.pack("<h", packet.time_offset_minutes)
    if packet.concentration is not None:
        flags |= 0x02
        flags |= 0x04 if packet.unit is GlucoseUnit.MOL_PER_L else 0
        body += sfloat(packet.concentration) + bytes((packet.location << 4 | packet.sample_type,))
    if packet.status is not None:
        flags |= 0x08
        body += struct.pack("<H", packet.status)
    if packet.context_follows:
        flags |= 0x10
    return bytes((flags,)) + body


class Meal(enum.IntEnum):
    """Meal of 2A34."""

    PREPRANDIAL = 1
    POSTPRANDIAL = 2
    FASTING = 3
    CASUAL = 4
    BEDTIME = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseContextPacket:
    """One Glucose Measurement Context; it names its measurement by sequence number."""

    sequence: int
    carbohydrate: tuple[int, Decimal] | None = None  # (carbohydrate id, kg)
    meal: Meal | None = None
    tester_health: tuple[int, int] | None = None
    exercise: tuple[int, int] | None = None  # (seconds, intensity %)
    medication: tuple[int, Decimal] | None = None  # (medication id, kg or L)
    medication_in_litres: bool = False
    hba1c: Decimal | None = None  # %


def glucose_context(packet: GlucoseContextPacket) -> bytes:
    """Glucose Measurement Context 2A34."""
    flags = 0
    body = struct.pack("<H", packet.sequence)
    if packet.carbohydrate is not None:
        flags |= 0x01
        body += bytes((packet.carbohydrate[0],)) + sfloat(packet.carbohydrate[1])
    if packet.meal is not None:
        flags |= 0x02
        body += bytes((packet.meal,))
    if packet.tester_health is not None:
        flags |= 0x04
        body += bytes((packet.tester_health[1] << 4 | packet.tester_health[0],))
    if packet.exercise is not None:
        flags |= 0x08
        body += struct.pack("<HB", *packet.exercise)
    if packet.medication is not None:
        flags |= 0x10 | (0x20 if packet.medication_in_litres else 0)
        body += bytes((packet.medication[0],)) + sfloat(packet.medication[1])
    if packet.hba1c is not None:
        flags |= 0x40
        body += sfloat(packet.hba1c)
    return bytes((flags,)) + body


def racp_number_of_records(count: int) -> bytes:
    """Record Access Control Point: the answer to "report number of stored records"."""
    return struct.pack("<BBH", 5, 0, count)


def racp_response(request_op_code: int, value: int) -> bytes:
    """Record Access Control Point: response code for a request."""
    return bytes((6, 0, request_op_code, value))
