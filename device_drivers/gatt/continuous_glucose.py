"""Continuous Glucose Monitoring Service (0x181F): Measurement 2AA7, one or more records in a payload.

Input: payload octets. Output: one `Measurement` for each record. Layout: Bluetooth SIG, GATT Specification Supplement,
CGM Measurement; service rules and E2E-CRC: CGMS 1.0.2 clause 3.
"""

from __future__ import annotations

from typing import Final

from device_drivers.component import judge_sfloat
from device_drivers.gatt.fields import names_of_bits, warnings_of
from device_drivers.ieee11073 import decode_sfloat, plain
from device_drivers.measurement import Kind, Measurement, Metric, Outcome
from device_drivers.reader import Reader

_TREND: Final = 0x01
_QUALITY: Final = 0x02
_RESERVED_FLAGS: Final = 0x1C
_WARNING: Final = 0x20
_CALIBRATION: Final = 0x40
_STATUS: Final = 0x80

_FIXED_OCTETS: Final = 6  # size, flags, glucose, time offset
_CRC_OCTETS: Final = 2

_STATUS_BITS: Final = (
    (0, "session-stopped"),
    (1, "battery-low"),
    (2, "sensor-type-incorrect"),
    (3, "sensor-malfunction"),
    (4, "device-specific-alert"),
    (5, "device-fault"),
)
_CALIBRATION_BITS: Final = (
    (0, "time-synchronisation-required"),
    (1, "calibration-not-allowed"),
    (2, "calibration-recommended"),
    (3, "calibration-required"),
    (4, "sensor-temperature-too-high"),
    (5, "sensor-temperature-too-low"),
)
_WARNING_BITS: Final = (
    (0, "below-patient-low"),
    (1, "above-patient-high"),
    (2, "below-hypo-level"),
    (3, "above-hyper-level"),
    (4, "falling-fast"),
    (5, "rising-fast"),
    (6, "result-too-low"),
    (7, "result-too-high"),
)
_RESERVED_ANNUNCIATION: Final = 0xC0


def decode_measurements(payload: bytes) -> tuple[Measurement, ...]:
    """2AA7. `time_offset_minutes` counts from the start of the sensor session, which another characteristic tells."""
    reader = Reader("2AA7", payload)
    records: list[Measurement] = []
    start = 0
    while start < len(payload) or not records:
        size = reader.u8("record size")
        if size < _FIXED_OCTETS:
            raise reader.error(f"a record of {size} octets cannot be, the shortest has {_FIXED_OCTETS}", offset=start)
        records.append(_decode_record(payload, start, size))
        start += size
        reader.offset = start
    return tuple(records)


def split_records(payload: bytes) -> tuple[bytes, ...]:
    """The octets of each record of a payload that `decode_measurements` accepts."""
    records = []
    start = 0
    while start < len(payload):
        end = start + payload[start]
        records.append(payload[start:end])
        start = end
    return tuple(records)


def _decode_record(payload: bytes, start: int, size: int) -> Measurement:
    whole = Reader("2AA7", payload, start=start)
    record = whole.octets(size, f"record of {size} octets")
    reader = Reader("2AA7", payload, start=start + 1, end=start + size)
    flags = reader.u8("flags")
    glucose = judge_sfloat(Metric.GLUCOSE, reader.u16("glucose concentration"), "mg/dL")
    time_offset = reader.u16("time offset")
    status = reader.u8("status") if flags & _STATUS else 0
    calibration = reader.u8("calibration and temperature") if flags & _CALIBRATION else 0
    warning = reader.u8("warning") if flags & _WARNING else 0
    parts = [glucose]
    if flags & _TREND:
        parts.append(judge_sfloat(Metric.GLUCOSE_TREND, reader.u16("trend"), "mg/dL/min"))
    quality = decode_sfloat(reader.u16("quality")).value if flags & _QUALITY else None
    if reader.remaining() == _CRC_OCTETS:
        _check_crc(reader, record)
    elif reader.remaining():
        raise reader.error(f"the record says {size} octets, its flags say {reader.offset - start}", offset=start)
    return Measurement(
        characteristic="2AA7",
        kind=Kind.CONTINUOUS_GLUCOSE,
        outcome=Outcome.NO_VALUE if glucose.component.value is None else Outcome.MEASURED,
        components=tuple(part.component for part in parts),
        time_offset_minutes=time_offset,
        flags=names_of_bits(status, _STATUS_BITS)
        + names_of_bits(calibration, _CALIBRATION_BITS)
        + names_of_bits(warning, _WARNING_BITS),
        context={} if quality is None else {"quality_percent": plain(quality)},
        warnings=warnings_of(
            reserved_bits=flags & _RESERVED_FLAGS | (status | calibration) & _RESERVED_ANNUNCIATION,
            implausible=not all(part.reportable for part in parts),
        ),
    )


def _check_crc(reader: Reader, record: bytes) -> None:
    offset = reader.offset
    sent = reader.u16("E2E-CRC")
    expected = crc16(record[:-_CRC_OCTETS])
    if sent != expected:
        raise reader.error(f"the E2E-CRC is 0x{sent:04X}, the record gives 0x{expected:04X}", offset=offset)


def crc16(octets: bytes) -> int:
    """CRC-16/MCRF4XX (polynomial 0x1021 reflected, start 0xFFFF); its check value over "123456789" is 0x6F91."""
    crc = 0xFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    return crc
