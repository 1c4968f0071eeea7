"""Pulse Oximeter Service (0x1822): Spot-Check Measurement 2A5E, Continuous Measurement 2A5F.

Input: payload octets. Output: `Measurement`. Layout: Bluetooth SIG, GATT Specification Supplement, PLX Spot-Check
Measurement and PLX Continuous Measurement; status bits: PLXS 1.0.1 clause 3.
"""

from __future__ import annotations

from typing import Final

from device_drivers.component import Judged, judge_sfloat
from device_drivers.gatt.fields import names_of_bits, read_date_time, warnings_of
from device_drivers.ieee11073 import DeviceTime, plain
from device_drivers.measurement import Kind, Measurement, Metric, Outcome
from device_drivers.reader import Reader

# The two characteristics order the same optional fields differently, each has its own flag bits.
_SPOT_TIME: Final = 0x01
_SPOT_STATUS: Final = 0x02
_SPOT_SENSOR: Final = 0x04
_SPOT_AMPLITUDE: Final = 0x08
_SPOT_CLOCK_NOT_SET: Final = 0x10
_SPOT_RESERVED: Final = 0xE0

_FAST: Final = 0x01
_SLOW: Final = 0x02
_STATUS: Final = 0x04
_SENSOR: Final = 0x08
_AMPLITUDE: Final = 0x10
_RESERVED: Final = 0xE0

_STATUS_BITS: Final = (
    (5, "measurement-ongoing"),
    (6, "early-estimate"),
    (7, "validated"),
    (8, "fully-qualified"),
    (9, "from-storage"),
    (10, "demonstration"),
    (11, "testing"),
    (12, "calibration"),
    (13, "unavailable"),
    (14, "questionable"),
    (15, "invalid"),
)
_RESERVED_STATUS: Final = 0x001F
_SENSOR_BITS: Final = (
    (0, "extended-display-update"),
    (1, "equipment-malfunction"),
    (2, "signal-processing-irregularity"),
    (3, "inadequate-signal"),
    (4, "poor-signal"),
    (5, "low-perfusion"),
    (6, "erratic-signal"),
    (7, "nonpulsatile-signal"),
    (8, "questionable-pulse"),
    (9, "signal-analysis-ongoing"),
    (10, "sensor-interface"),
    (11, "sensor-not-on-user"),
    (12, "unknown-sensor"),
    (13, "sensor-displaced"),
    (14, "sensor-malfunction"),
    (15, "sensor-disconnected"),
)
_RESERVED_SENSOR: Final = 0xFF0000


def decode_spot_check(payload: bytes) -> Measurement:
    """2A5E: one finished measurement."""
    reader = Reader("2A5E", payload)
    flags = reader.u8("flags")
    parts = _read_pair(reader, "")
    time = read_date_time(reader, "time stamp") if flags & _SPOT_TIME else None
    return _finish(
        reader,
        "2A5E",
        Kind.SPOT_OXIMETRY,
        parts,
        reserved_bits=flags & _SPOT_RESERVED,
        has_status=bool(flags & _SPOT_STATUS),
        has_sensor=bool(flags & _SPOT_SENSOR),
        has_amplitude=bool(flags & _SPOT_AMPLITUDE),
        time=time,
        words=("clock-not-set",) if flags & _SPOT_CLOCK_NOT_SET else (),
    )


def decode_continuous(payload: bytes) -> Measurement:
    """2A5F: about one a second. The fast and slow averages of some devices go to `context`."""
    reader = Reader("2A5F", payload)
    flags = reader.u8("flags")
    parts = _read_pair(reader, "")
    context: dict[str, object] = {}
    for bit, name in ((_FAST, "fast"), (_SLOW, "slow")):
        if flags & bit:
            for metric, judged in zip(("spo2", "pulse_rate"), _read_pair(reader, f" ({name})"), strict=True):
                if judged.component.value is not None:
                    context[f"{metric}_{name}"] = plain(judged.component.value)
    return _finish(
        reader,
        "2A5F",
        Kind.CONTINUOUS_OXIMETRY,
        parts,
        reserved_bits=flags & _RESERVED,
        has_status=bool(flags & _STATUS),
        has_sensor=bool(flags & _SENSOR),
        has_amplitude=bool(flags & _AMPLITUDE),
        context=context,
    )


def _read_pair(reader: Reader, which: str) -> list[Judged]:
    return [
        judge_sfloat(Metric.SPO2, reader.u16(f"SpO2{which}"), "%"),
        judge_sfloat(Metric.PULSE_RATE, reader.u16(f"pulse rate{which}"), "/min"),
    ]


def _finish(
    reader: Reader,
    characteristic: str,
    kind: Kind,
    parts: list[Judged],
    *,
    reserved_bits: int,
    has_status: bool,
    has_sensor: bool,
    has_amplitude: bool,
    time: DeviceTime | None = None,
    words: tuple[str, ...] = (),
    context: dict[str, object] | None = None,
) -> Measurement:
    """The fields both characteristics end with, in their order on the wire."""
    no_value = all(part.component.value is None for part in parts)
    status = reader.u16("measurement status") if has_status else 0
    sensor = reader.u24("device and sensor status") if has_sensor else 0
    if has_amplitude:
        parts.append(judge_sfloat(Metric.PULSE_AMPLITUDE_INDEX, reader.u16("pulse amplitude index"), "%"))
    extra = reader.rest()
    return Measurement(
        characteristic=characteristic,
        kind=kind,
        outcome=Outcome.NO_VALUE if no_value else Outcome.MEASURED,
        components=tuple(part.component for part in parts),
        device_time=None if time is None else time.value,
        flags=names_of_bits(status, _STATUS_BITS) + names_of_bits(sensor, _SENSOR_BITS) + words,
        context=context or {},
        warnings=warnings_of(
            reserved_bits=reserved_bits | status & _RESERVED_STATUS | sensor & _RESERVED_SENSOR,
            trailing=extra,
            time=time,
            implausible=not all(part.reportable for part in parts),
        ),
        extra_hex=extra.hex() if extra else None,
        device_time_raw=None if time is None else time.raw_hex,
    )
