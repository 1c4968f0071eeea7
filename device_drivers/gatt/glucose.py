"""Glucose Service (0x1808): Measurement 2A18, Measurement Context 2A34, Feature 2A51.

Input: payload octets. Output: `Measurement`. Layout: Bluetooth SIG, GATT Specification Supplement, sections Glucose
Measurement, Glucose Measurement Context and Glucose Feature; service rules: GLS 1.0.1 clause 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from device_drivers.component import Judged, judge
from device_drivers.gatt.fields import code_name, names_of_bits, read_date_time, warnings_of
from device_drivers.ieee11073 import decode_sfloat, plain
from device_drivers.measurement import Kind, Measurement, Metric, Outcome
from device_drivers.reader import Reader

_TIME_OFFSET: Final = 0x01
_CONCENTRATION: Final = 0x02
_MOLES: Final = 0x04
_STATUS: Final = 0x08
_CONTEXT_FOLLOWS: Final = 0x10
_RESERVED_FLAGS: Final = 0xE0

_OFFSET_OVERRUN: Final = 0x7FFF
_OFFSET_UNDERRUN: Final = -0x8000

CONTROL_SOLUTION: Final = "control-solution"

# Low nibble of the type/location octet. Two published parsers have the nibbles the wrong way round.
_SAMPLE_TYPES: Final = {
    1: "capillary-whole-blood",
    2: "capillary-plasma",
    3: "venous-whole-blood",
    4: "venous-plasma",
    5: "arterial-whole-blood",
    6: "arterial-plasma",
    7: "undetermined-whole-blood",
    8: "undetermined-plasma",
    9: "interstitial-fluid",
    10: CONTROL_SOLUTION,
}
_SAMPLE_LOCATIONS: Final = {
    1: "finger",
    2: "alternate-site",
    3: "earlobe",
    4: CONTROL_SOLUTION,
    15: "not-available",
}

_STATUS_BITS: Final = (
    (0, "battery-low"),
    (1, "sensor-malfunction"),
    (2, "sample-insufficient"),
    (3, "strip-insertion-error"),
    (4, "strip-type-incorrect"),
    (5, "result-too-high"),
    (6, "result-too-low"),
    (7, "temperature-too-high"),
    (8, "temperature-too-low"),
    (9, "read-interrupted"),
    (10, "device-fault"),
    (11, "time-fault"),
)
_RESERVED_STATUS: Final = 0xF000

_FEATURE_BITS: Final = (
    (0, "battery-low-detection"),
    (1, "sensor-malfunction-detection"),
    (2, "sample-size-detection"),
    (3, "strip-insertion-error-detection"),
    (4, "strip-type-error-detection"),
    (5, "result-high-low-detection"),
    (6, "temperature-high-low-detection"),
    (7, "read-interruption-detection"),
    (8, "general-fault-detection"),
    (9, "time-fault-detection"),
    (10, "multiple-bonds"),
)
_RESERVED_FEATURES: Final = 0xF800


@lru_cache(maxsize=8192)
def _concentration(raw: int, moles: int) -> Judged:
    """The wire has mol/L or kg/L; people read mmol/L (10^3) or mg/dL (10^5): only the decimal point moves."""
    if moles:
        return judge(Metric.GLUCOSE, decode_sfloat(raw, shift=3), "mmol/L")
    return judge(Metric.GLUCOSE, decode_sfloat(raw, shift=5), "mg/dL")


@lru_cache(maxsize=256)
def _sample(octet: int) -> tuple[Mapping[str, object], bool]:
    """The words for the type/location octet, and whether one of them is reserved."""
    sample_type, location = octet & 0x0F, octet >> 4
    words = {
        "sample_type": code_name(sample_type, _SAMPLE_TYPES),
        "sample_location": code_name(location, _SAMPLE_LOCATIONS),
    }
    return MappingProxyType(words), sample_type not in _SAMPLE_TYPES or location not in _SAMPLE_LOCATIONS


_NO_CONTEXT: Final[Mapping[str, object]] = MappingProxyType({})


def decode_measurement(payload: bytes) -> Measurement:
    """2A18. `device_time` is the base time; the user-facing time is base time plus offset.

    Without a concentration field there is no component and the outcome is no-value.
    """
    reader = Reader("2A18", payload)
    flags = reader.u8("flags")
    sequence_number = reader.u16("sequence number")
    time = read_date_time(reader, "base time")
    offset = reader.s16("time offset") if flags & _TIME_OFFSET else None
    glucose: Judged | None = None
    context, reserved = _NO_CONTEXT, False
    if flags & _CONCENTRATION:
        glucose = _concentration(reader.u16("glucose concentration"), flags & _MOLES)
        context, reserved = _sample(reader.u8("sample type and location"))
    status = reader.u16("sensor status annunciation") if flags & _STATUS else 0
    extra = reader.rest()
    if offset in (_OFFSET_OVERRUN, _OFFSET_UNDERRUN):
        context = {**context, "time_offset": "overrun" if offset == _OFFSET_OVERRUN else "underrun"}
        offset, reserved = None, True
    return Measurement(
        characteristic="2A18",
        kind=Kind.GLUCOSE,
        outcome=Outcome.NO_VALUE if glucose is None or glucose.component.value is None else Outcome.MEASURED,
        components=() if glucose is None else (glucose.component,),
        device_time=time.value,
        time_offset_minutes=offset,
        sequence_number=sequence_number,
        flags=names_of_bits(status, _STATUS_BITS) if status else (),
        context=context,
        warnings=warnings_of(
            reserved_bits=flags & _RESERVED_FLAGS | status & _RESERVED_STATUS,
            trailing=extra,
            time=time,
            reserved_value=reserved,
            implausible=glucose is not None and not glucose.reportable,
        ),
        extra_hex=extra.hex() if extra else None,
        device_time_raw=time.raw_hex,
    )


def announces_context(payload: bytes) -> bool:
    """Whether a 2A18 payload says that its 2A34 follows."""
    return bool(payload) and bool(payload[0] & _CONTEXT_FOLLOWS)


def sequence_number_of(payload: bytes) -> int | None:
    """The sequence number of a 2A18 or 2A34 payload, without reading the rest; None when it is cut off before."""
    return payload[1] | payload[2] << 8 if len(payload) > 2 else None


# --- context --------------------------------------------------------------------------------------------------------

_CARBOHYDRATE: Final = 0x01
_MEAL: Final = 0x02
_TESTER_HEALTH: Final = 0x04
_EXERCISE: Final = 0x08
_MEDICATION: Final = 0x10
_LITRES: Final = 0x20
_HBA1C: Final = 0x40
_EXTENDED: Final = 0x80

_CARBOHYDRATES: Final = {1: "breakfast", 2: "lunch", 3: "dinner", 4: "snack", 5: "drink", 6: "supper", 7: "brunch"}
_MEALS: Final = {1: "preprandial", 2: "postprandial", 3: "fasting", 4: "casual", 5: "bedtime"}
_TESTERS: Final = {1: "self", 2: "health-care-professional", 3: "lab-test", 15: "not-available"}
_HEALTH: Final = {
    1: "minor-health-issues",
    2: "major-health-issues",
    3: "during-menses",
    4: "under-stress",
    5: "no-health-issues",
    15: "not-available",
}
_MEDICATIONS: Final = {
    1: "rapid-acting-insulin",
    2: "short-acting-insulin",
    3: "intermediate-acting-insulin",
    4: "long-acting-insulin",
    5: "pre-mixed-insulin",
}
_EXERCISE_OVERRUN: Final = 0xFFFF


def decode_context(payload: bytes) -> Measurement:
    """2A34. Joined to its measurement by the sequence number. Fields without a number are left out of `context`."""
    reader = Reader("2A34", payload)
    flags = reader.u8("flags")
    sequence_number = reader.u16("sequence number")
    extended = reader.u8("extended flags") if flags & _EXTENDED else 0
    context: dict[str, object] = {}
    if flags & _CARBOHYDRATE:
        context["carbohydrate_type"] = code_name(reader.u8("carbohydrate type"), _CARBOHYDRATES)
        _put_amount(context, "carbohydrate_grams", reader.u16("carbohydrate"), shift=3)
    if flags & _MEAL:
        context["meal"] = code_name(reader.u8("meal"), _MEALS)
    if flags & _TESTER_HEALTH:
        octet = reader.u8("tester and health")
        context["tester"] = code_name(octet & 0x0F, _TESTERS)
        context["health"] = code_name(octet >> 4, _HEALTH)
    if flags & _EXERCISE:
        seconds = reader.u16("exercise duration")
        if seconds == _EXERCISE_OVERRUN:
            context["exercise_duration"] = "overrun"
        else:
            context["exercise_seconds"] = seconds
        context["exercise_intensity_percent"] = reader.u8("exercise intensity")
    if flags & _MEDICATION:
        context["medication_type"] = code_name(reader.u8("medication type"), _MEDICATIONS)
        litres = flags & _LITRES
        if _put_amount(context, "medication_amount", reader.u16("medication"), shift=3 if litres else 6):
            context["medication_unit"] = "mL" if litres else "mg"
    if flags & _HBA1C:
        _put_amount(context, "hba1c_percent", reader.u16("HbA1c"), shift=0)
    extra = reader.rest()
    return Measurement(
        characteristic="2A34",
        kind=Kind.GLUCOSE_CONTEXT,
        outcome=Outcome.MEASURED,
        sequence_number=sequence_number,
        context=context,
        warnings=warnings_of(
            reserved_bits=extended,
            trailing=extra,
            reserved_value=any(isinstance(word, str) and word.startswith("reserved-") for word in context.values()),
        ),
        extra_hex=extra.hex() if extra else None,
    )


def _put_amount(context: dict[str, object], name: str, raw: int, *, shift: int) -> bool:
    """Add a number as plain decimal text, or leave it out when the device sent none."""
    value = decode_sfloat(raw, shift=shift).value
    if value is not None:
        context[name] = plain(value)
    return value is not None


def decode_feature(payload: bytes) -> Measurement:
    """2A51: what the meter can detect, as flags."""
    reader = Reader("2A51", payload)
    features = reader.u16("features")
    extra = reader.rest()
    return Measurement(
        characteristic="2A51",
        kind=Kind.GLUCOSE_FEATURE,
        outcome=Outcome.MEASURED,
        flags=names_of_bits(features, _FEATURE_BITS),
        warnings=warnings_of(reserved_bits=features & _RESERVED_FEATURES, trailing=extra),
        extra_hex=extra.hex() if extra else None,
    )
