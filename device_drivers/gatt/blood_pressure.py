"""Blood Pressure Service (0x1810): Measurement 2A35, Intermediate Cuff Pressure 2A36, Feature 2A49.

Input: payload octets. Output: `Measurement`. Layout: Bluetooth SIG, GATT Specification Supplement, sections Blood
Pressure Measurement, Intermediate Cuff Pressure and Blood Pressure Feature; service rules: BLS 1.1.1 clause 3.
"""

from __future__ import annotations

from typing import Final

from device_drivers.component import Judged, judge_sfloat
from device_drivers.gatt.fields import names_of_bits, read_date_time, read_user_id, warnings_of
from device_drivers.measurement import Component, Kind, Measurement, Metric, Outcome
from device_drivers.reader import Reader

_KPA: Final = 0x01
_TIME: Final = 0x02
_PULSE: Final = 0x04
_USER: Final = 0x08
_STATUS: Final = 0x10
_RESERVED_FLAGS: Final = 0xE0  # some cuffs set them: told, but never a reason to refuse a reading

_STATUS_BITS: Final = ((0, "body-movement"), (1, "cuff-loose"), (2, "irregular-pulse"), (5, "improper-position"))
_RESERVED_STATUS: Final = 0xFFC0
_PULSE_RANGES: Final = {0: (), 1: ("pulse-rate-above-range",), 2: ("pulse-rate-below-range",), 3: ()}
_RESERVED_PULSE_RANGE: Final = 3

_FEATURE_BITS: Final = (
    (0, "body-movement-detection"),
    (1, "cuff-fit-detection"),
    (2, "irregular-pulse-detection"),
    (3, "pulse-rate-range-detection"),
    (4, "measurement-position-detection"),
    (5, "multiple-bonds"),
    (6, "e2e-crc"),
    (7, "user-data-service"),
    (8, "user-facing-time"),
)
_RESERVED_FEATURES: Final = 0xFE00


def decode_measurement(payload: bytes) -> Measurement:
    """2A35. `outcome` is no-value when systolic, diastolic and mean pressure are all absent: a failed measurement."""
    reader = Reader("2A35", payload)
    flags = reader.u8("flags")
    unit = "kPa" if flags & _KPA else "mm[Hg]"
    systolic = judge_sfloat(Metric.SYSTOLIC, reader.u16("systolic"), unit)
    diastolic = judge_sfloat(Metric.DIASTOLIC, reader.u16("diastolic"), unit)
    mean = judge_sfloat(Metric.MEAN_ARTERIAL, reader.u16("mean arterial pressure"), unit)
    high = systolic.component.reported_value
    low = diastolic.component.reported_value
    return _finish(
        reader,
        "2A35",
        Kind.BLOOD_PRESSURE,
        flags,
        pressures=(systolic.component, diastolic.component, mean.component),
        # A cuff without a mean pressure fills the field with NaN or with 0; neither speaks against the other two.
        plausible=systolic.reportable
        and diastolic.reportable
        and (mean.reportable or not mean.component.reported_value)
        and (high is None or low is None or high > low),
    )


def decode_intermediate_cuff_pressure(payload: bytes) -> Measurement:
    """2A36: the pressure in the cuff while it inflates. The second and third field of the layout are unused."""
    reader = Reader("2A36", payload)
    flags = reader.u8("flags")
    unit = "kPa" if flags & _KPA else "mm[Hg]"
    pressure = judge_sfloat(Metric.CUFF_PRESSURE, reader.u16("cuff pressure"), unit)
    reader.octets(4, "unused pressure fields")
    return _finish(
        reader,
        "2A36",
        Kind.INTERMEDIATE_CUFF_PRESSURE,
        flags,
        pressures=(pressure.component,),
        plausible=pressure.reportable,
    )


def _finish(
    reader: Reader,
    characteristic: str,
    kind: Kind,
    flags: int,
    *,
    pressures: tuple[Component, ...],
    plausible: bool,
) -> Measurement:
    """The optional fields that 2A35 and 2A36 share, in their order on the wire."""
    time = read_date_time(reader, "time stamp") if flags & _TIME else None
    pulse: Judged | None = None
    if flags & _PULSE:
        pulse = judge_sfloat(Metric.PULSE_RATE, reader.u16("pulse rate"), "/min")
    user_id = read_user_id(reader) if flags & _USER else None
    status = reader.u16("measurement status") if flags & _STATUS else 0
    extra = reader.rest()
    pulse_range = status >> 3 & 3
    return Measurement(
        characteristic=characteristic,
        kind=kind,
        outcome=Outcome.NO_VALUE if all(part.value is None for part in pressures) else Outcome.MEASURED,
        components=pressures if pulse is None else (*pressures, pulse.component),
        device_time=None if time is None else time.value,
        user_id=user_id,
        flags=names_of_bits(status, _STATUS_BITS) + _PULSE_RANGES[pulse_range] if status else (),
        warnings=warnings_of(
            reserved_bits=flags & _RESERVED_FLAGS | status & _RESERVED_STATUS,
            trailing=extra,
            time=time,
            reserved_value=pulse_range == _RESERVED_PULSE_RANGE,
            # A cuff that lost the pulse sends 0 for it beside good pressures.
            implausible=not plausible or (pulse is not None and not pulse.reportable and pulse.component.value != 0),
        ),
        extra_hex=extra.hex() if extra else None,
        device_time_raw=None if time is None else time.raw_hex,
    )


def decode_feature(payload: bytes) -> Measurement:
    """2A49: what the cuff can detect, as flags."""
    reader = Reader("2A49", payload)
    features = reader.u16("features")
    extra = reader.rest()
    return Measurement(
        characteristic="2A49",
        kind=Kind.BLOOD_PRESSURE_FEATURE,
        outcome=Outcome.MEASURED,
        flags=names_of_bits(features, _FEATURE_BITS),
        warnings=warnings_of(reserved_bits=features & _RESERVED_FEATURES, trailing=extra),
        extra_hex=extra.hex() if extra else None,
    )
