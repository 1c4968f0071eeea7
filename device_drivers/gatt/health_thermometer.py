"""Health Thermometer Service (0x1809): Temperature Measurement 2A1C.

Input: payload octets. Output: `Measurement`. Layout: Bluetooth SIG, GATT Specification Supplement, Temperature
Measurement; the sample payload of the SIG's white paper on personal health devices decodes to 37.0 Cel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from device_drivers.component import Judged, judge
from device_drivers.gatt.fields import code_name, read_date_time, warnings_of
from device_drivers.ieee11073 import decode_float
from device_drivers.measurement import Kind, Measurement, Metric, Outcome
from device_drivers.reader import Reader

_FAHRENHEIT: Final = 0x01
_TIME: Final = 0x02
_TYPE: Final = 0x04
_RESERVED_FLAGS: Final = 0xF8

_TEMPERATURE_TYPES: Final = {
    1: "armpit",
    2: "body",
    3: "ear",
    4: "finger",
    5: "gastro-intestinal-tract",
    6: "mouth",
    7: "rectum",
    8: "toe",
    9: "tympanum",
}


def decode_measurement(payload: bytes) -> Measurement:
    """2A1C: the final temperature, and where it was taken when the device says so."""
    reader = Reader("2A1C", payload)
    flags = reader.u8("flags")
    unit = "[degF]" if flags & _FAHRENHEIT else "Cel"
    temperature = _temperature(reader.u32("temperature"), unit)
    time = read_date_time(reader, "time stamp") if flags & _TIME else None
    site = reader.u8("temperature type") if flags & _TYPE else None
    extra = reader.rest()
    return Measurement(
        characteristic="2A1C",
        kind=Kind.TEMPERATURE,
        outcome=Outcome.NO_VALUE if temperature.component.value is None else Outcome.MEASURED,
        components=(temperature.component,),
        device_time=None if time is None else time.value,
        context={} if site is None else {"temperature_type": code_name(site, _TEMPERATURE_TYPES)},
        warnings=warnings_of(
            reserved_bits=flags & _RESERVED_FLAGS,
            trailing=extra,
            time=time,
            reserved_value=site is not None and site not in _TEMPERATURE_TYPES,
            implausible=not temperature.reportable,
        ),
        extra_hex=extra.hex() if extra else None,
        device_time_raw=None if time is None else time.raw_hex,
    )


@lru_cache(maxsize=4096)
def _temperature(raw: int, unit: str) -> Judged:
    return judge(Metric.BODY_TEMPERATURE, decode_float(raw), unit)
