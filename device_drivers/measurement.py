"""The shared words: what a device reported, not yet tied to a person.

Input: decoded fields. Output: frozen values that every later stage passes on unchanged.
Numbers are `Decimal` with the precision the device sent; a missing number is a reason, never a zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Kind(StrEnum):
    """What a payload is about (the words of the decode contract)."""

    BLOOD_PRESSURE = "blood-pressure"
    INTERMEDIATE_CUFF_PRESSURE = "intermediate-cuff-pressure"
    BLOOD_PRESSURE_FEATURE = "blood-pressure-feature"
    GLUCOSE = "glucose"
    GLUCOSE_CONTEXT = "glucose-context"
    GLUCOSE_FEATURE = "glucose-feature"
    WEIGHT = "weight"
    TEMPERATURE = "temperature"
    SPOT_OXIMETRY = "spot-oximetry"
    CONTINUOUS_OXIMETRY = "continuous-oximetry"
    CONTINUOUS_GLUCOSE = "continuous-glucose"


class Metric(StrEnum):
    """One measured quantity (the words of the decode contract)."""

    SYSTOLIC = "systolic"
    DIASTOLIC = "diastolic"
    MEAN_ARTERIAL = "mean-arterial"
    PULSE_RATE = "pulse-rate"
    CUFF_PRESSURE = "cuff-pressure"
    GLUCOSE = "glucose"
    BODY_WEIGHT = "body-weight"
    BMI = "bmi"
    HEIGHT = "height"
    BODY_TEMPERATURE = "body-temperature"
    SPO2 = "spo2"
    PULSE_AMPLITUDE_INDEX = "pulse-amplitude-index"
    GLUCOSE_TREND = "glucose-trend"


class AbsentReason(StrEnum):
    """Why there is no number (FHIR data-absent-reason, IEEE 11073 special values)."""

    NOT_A_NUMBER = "not-a-number"
    NOT_AT_THIS_RESOLUTION = "not-at-this-resolution"
    POSITIVE_INFINITY = "positive-infinity"
    NEGATIVE_INFINITY = "negative-infinity"
    RESERVED = "reserved"


class Outcome(StrEnum):
    """Whether the device could measure at all."""

    MEASURED = "measured"
    NO_VALUE = "no-value"


class DecodeWarning(StrEnum):
    """What was odd about a payload that could be read all the same (the words of the decode contract)."""

    RESERVED_FLAG_BITS = "reserved-flag-bits"
    TRAILING_OCTETS = "trailing-octets"
    INVALID_DEVICE_TIME = "invalid-device-time"
    RESERVED_VALUE = "reserved-value"
    IMPLAUSIBLE = "implausible"  # outside what the metric can mean: whoever stores it keeps it apart


class TimeQuality(StrEnum):
    """How `measured_at` was derived (the words of the MQTT contract)."""

    SYNCHRONISED = "synchronised"  # device clock within tolerance of the gateway's
    CORRECTED = "corrected"  # device time shifted by the offset measured in the same session
    RECEIVED_AT = "received-at"  # device time absent or impossible: the gateway's receive time
    UNKNOWN = "unknown"  # device time kept, but its clock could not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One number of a measurement, in the unit we keep and exactly as the device sent it. Units are UCUM."""

    metric: Metric
    value: Decimal | None
    unit: str
    reported_value: Decimal | None
    reported_unit: str
    absent_reason: AbsentReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one record of a device says. `device_time` is the device's own wall clock: naive, zone unknown."""

    characteristic: str
    kind: Kind
    outcome: Outcome
    components: tuple[Component, ...] = ()
    device_time: datetime | None = None
    time_offset_minutes: int | None = None
    sequence_number: int | None = None
    user_id: int | None = None
    flags: tuple[str, ...] = ()
    context: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    extra_hex: str | None = None
    device_time_raw: str | None = None
