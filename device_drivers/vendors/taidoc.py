"""TaiDoc meters with the standard service (Fora TN'G Voice, TD-4272 and relatives).

Known from the driver of xDrip+ (NightscoutFoundation/xDrip), not from hardware of ours. Differs: sequence number 0 is
the newest record, so a resume by sequence number would miss everything new; the time offset is wrong, the base time is
right; a full memory (450 records) adds a record "HI" dated 2037 that nobody measured.
"""

from __future__ import annotations

from typing import Final

from device_drivers.driver import Held
from device_drivers.measurement import AbsentReason, Measurement
from device_drivers.vendors.quirk import Quirk

_TIME_OFFSET_PRESENT: Final = 0x01
_OFFSET_START: Final = 10
_OFFSET_END: Final = 12
_MEMORY_FULL_YEAR: Final = 2037


def drop_time_offset(payload: bytes) -> bytes:
    """The measurement without its offset; a payload that has none, or is too short, is left alone."""
    if len(payload) < _OFFSET_END or not payload[0] & _TIME_OFFSET_PRESENT:
        return payload
    return bytes((payload[0] & ~_TIME_OFFSET_PRESENT,)) + payload[1:_OFFSET_START] + payload[_OFFSET_END:]


def hold_memory_full_mark(measurement: Measurement) -> Held | None:
    """The record that stands for "memory full"."""
    time = measurement.device_time
    above_range = any(part.absent_reason is AbsentReason.POSITIVE_INFINITY for part in measurement.components)
    if time is not None and time.year == _MEMORY_FULL_YEAR and (above_range or "result-too-high" in measurement.flags):
        return Held.DEVICE_MARK
    return None


TAIDOC: Final = Quirk(
    title="TaiDoc TD-4272 and Fora TN'G Voice",
    models=frozenset({"foratngvoice", "tngvoice", "td4272", "taidoctd4272"}),
    fixes={"2A18": drop_time_offset},
    holds=hold_memory_full_mark,
    whole_memory=True,
)
