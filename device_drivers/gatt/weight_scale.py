"""Weight Scale Service (0x181D): Weight Measurement 2A9D.

Input: payload octets. Output: `Measurement`. Layout: Bluetooth SIG, GATT Specification Supplement, Weight Measurement.
The resolution of 2A9E says what the display shows, not how the integer is scaled.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from device_drivers.component import Judged, judge
from device_drivers.gatt.fields import read_date_time, read_user_id, warnings_of
from device_drivers.ieee11073 import Number, decimal_of
from device_drivers.measurement import AbsentReason, Kind, Measurement, Metric, Outcome
from device_drivers.reader import Reader

_IMPERIAL: Final = 0x01
_TIME: Final = 0x02
_USER: Final = 0x04
_BMI_HEIGHT: Final = 0x08
_RESERVED_FLAGS: Final = 0xF0
_UNSUCCESSFUL: Final = 0xFFFF


def decode_measurement(payload: bytes) -> Measurement:
    """2A9D: weight in steps of 0.005 kg or 0.01 lb, BMI of 0.1, height of 0.001 m or 0.1 in."""
    reader = Reader("2A9D", payload)
    flags = reader.u8("flags")
    imperial = bool(flags & _IMPERIAL)
    parts = [_weight(reader.u16("weight"), imperial=imperial)]
    time = read_date_time(reader, "time stamp") if flags & _TIME else None
    user_id = read_user_id(reader) if flags & _USER else None
    if flags & _BMI_HEIGHT:
        parts.append(_body_mass_index(reader.u16("BMI")))
        parts.append(_height(reader.u16("height"), imperial=imperial))
    extra = reader.rest()
    return Measurement(
        characteristic="2A9D",
        kind=Kind.WEIGHT,
        outcome=Outcome.NO_VALUE if parts[0].component.value is None else Outcome.MEASURED,
        components=tuple(part.component for part in parts),
        device_time=None if time is None else time.value,
        user_id=user_id,
        warnings=warnings_of(
            reserved_bits=flags & _RESERVED_FLAGS,
            trailing=extra,
            time=time,
            # A scale that does not know the height sends 0 for it and for the BMI.
            implausible=not all(part.reportable or not part.component.reported_value for part in parts)
            or parts[0].component.value == 0,
        ),
        extra_hex=extra.hex() if extra else None,
        device_time_raw=None if time is None else time.raw_hex,
    )


# Components are shared, as everywhere: a person's weights of a year are a few hundred different integers.
@lru_cache(maxsize=4096)
def _weight(raw: int, *, imperial: bool) -> Judged:
    unit = "[lb_av]" if imperial else "kg"
    if raw == _UNSUCCESSFUL:
        return judge(Metric.BODY_WEIGHT, Number(None, AbsentReason.NOT_A_NUMBER), unit)
    return judge(Metric.BODY_WEIGHT, Number(decimal_of(raw, -2) if imperial else decimal_of(raw * 5, -3)), unit)


@lru_cache(maxsize=1024)
def _body_mass_index(raw: int) -> Judged:
    return judge(Metric.BMI, Number(decimal_of(raw, -1)), "kg/m2")


@lru_cache(maxsize=1024)
def _height(raw: int, *, imperial: bool) -> Judged:
    return judge(Metric.HEIGHT, Number(decimal_of(raw, -1 if imperial else -3)), "[in_i]" if imperial else "m")
