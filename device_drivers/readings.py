"""From the packets of one session to readings: join, tell apart, lose nothing.

Input: committed packets in the order heard, and the model when known. Output: `SessionReadings`. A glucose measurement
is joined with its context by sequence number, a packet sent twice is one reading, what cannot be read is quarantined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from device_drivers.decoding import MEASUREMENT_CHARACTERISTICS, decode_payload
from device_drivers.driver import Held, Packet, QuarantineEntry, ReadingDraft, SessionReadings
from device_drivers.errors import DecodeError
from device_drivers.gatt.continuous_glucose import split_records
from device_drivers.gatt.glucose import CONTROL_SOLUTION, announces_context
from device_drivers.measurement import DecodeWarning, Kind, Measurement, Metric
from device_drivers.vendors import held_by

# Live cuff pressure and feature bits: true, and nobody's reading.
_NO_READINGS: Final = frozenset({"2A36", "2A49", "2A51"})
# What devices put in a field they cannot measure or were not told.
_FILLED_WITH_ZERO: Final = frozenset({Metric.MEAN_ARTERIAL, Metric.PULSE_RATE, Metric.BMI, Metric.HEIGHT})
_NOT_FROM_WEARER: Final = frozenset({"demonstration", "testing", "calibration"})
_OXIMETRY: Final = frozenset({Kind.SPOT_OXIMETRY, Kind.CONTINUOUS_OXIMETRY})


@dataclass(slots=True, kw_only=True)
class _Open:
    """A reading that may still get its context or its duplicates."""

    measurement: Measurement
    raws: dict[str, bytes]
    packets: list[int]
    received_at: datetime
    context_announced: bool = False
    context: Measurement | None = None


@dataclass(slots=True)
class _Sorting:
    """The packets of one session while they are being told apart."""

    model: str | None
    opened: list[_Open] = field(default_factory=list)
    by_raw: dict[tuple[str, bytes], _Open] = field(default_factory=dict)
    orphans: list[tuple[int, Packet, Measurement]] = field(default_factory=list)
    quarantine: list[QuarantineEntry] = field(default_factory=list)
    transport: list[int] = field(default_factory=list)


def readings_of(packets: Sequence[Packet], *, model: str | None = None, ended: bool = True) -> SessionReadings:
    """What the packets of one session say. Pure, total, repeatable: the same packets give the same readings.

    With `ended=False` the session still runs: a measurement that announced a context waits for it, and so does a
    context whose measurement has not come. With `ended=True` nothing waits.
    """
    sorting = _Sorting(model)
    for index, packet in enumerate(packets):
        _sort(sorting, index, packet)
    waiting = _settle_orphans(sorting, ended=ended)
    readings = []
    for entry in sorting.opened:
        if not ended and entry.context_announced and entry.context is None:
            waiting += entry.packets
        else:
            readings.append(_draft(entry, model))
    return SessionReadings(
        readings=tuple(readings),
        quarantine=tuple(sorted(sorting.quarantine, key=lambda entry: entry.packet)),
        pending=tuple(sorted(waiting)),
        transport=tuple(sorting.transport),
    )


def _sort(sorting: _Sorting, index: int, packet: Packet) -> None:
    characteristic = packet.characteristic
    if characteristic not in MEASUREMENT_CHARACTERISTICS or characteristic in _NO_READINGS:
        sorting.transport.append(index)
        return
    try:
        measurements = decode_payload(characteristic, packet.payload, model=sorting.model)
    except DecodeError as error:
        sorting.quarantine.append(QuarantineEntry(packet=index, error=error))
        return
    if characteristic == "2A34":
        if not _attach(sorting, index, packet, measurements[0]):
            sorting.orphans.append((index, packet, measurements[0]))
        return
    raws = split_records(packet.payload) if characteristic == "2AA7" else (packet.payload,)
    for measurement, raw in zip(measurements, raws, strict=True):
        _open(sorting, index, packet, measurement, raw)


def _open(sorting: _Sorting, index: int, packet: Packet, measurement: Measurement, raw: bytes) -> None:
    known = sorting.by_raw.get((packet.characteristic, raw))
    if known is not None:
        known.packets.append(index)
        return
    entry = _Open(
        measurement=measurement,
        raws={packet.characteristic: raw},
        packets=[index],
        received_at=packet.received_at,
        context_announced=packet.characteristic == "2A18" and announces_context(raw),
    )
    sorting.by_raw[packet.characteristic, raw] = entry
    sorting.opened.append(entry)
    if measurement.kind is Kind.GLUCOSE:
        # A context that came first is taken at once, so that later packets never change what is already joined.
        sorting.orphans = [orphan for orphan in sorting.orphans if not _attach(sorting, *orphan)]


def _attach(sorting: _Sorting, index: int, packet: Packet, context: Measurement) -> bool:
    """Give a context to the latest measurement with its sequence number. A second, different one is not attached."""
    for entry in reversed(sorting.opened):
        if entry.measurement.kind is not Kind.GLUCOSE or entry.measurement.sequence_number != context.sequence_number:
            continue
        if entry.context is None:
            entry.context = context
            entry.raws[packet.characteristic] = packet.payload
        elif entry.raws[packet.characteristic] != packet.payload:
            continue
        entry.packets.append(index)
        return True
    return False


def _settle_orphans(sorting: _Sorting, *, ended: bool) -> list[int]:
    """Contexts without their measurement wait while the session runs, and are quarantined at its end."""
    if not ended:
        return [index for index, _, _ in sorting.orphans]
    for index, packet, context in sorting.orphans:
        error = DecodeError(
            f"2A34: no measurement with sequence number {context.sequence_number} takes this context",
            characteristic=packet.characteristic,
            payload=packet.payload,
            offset=1,
        )
        sorting.quarantine.append(QuarantineEntry(packet=index, error=error))
    return []


def _draft(entry: _Open, model: str | None) -> ReadingDraft:
    measurement = _without_fillers(_joined(entry))
    return ReadingDraft(
        measurement=measurement,
        raws=dict(entry.raws),
        packets=tuple(sorted(entry.packets)),
        received_at=entry.received_at,
        user_facing_time=user_facing_time(measurement),
        held=why_held(measurement, model),
    )


def _joined(entry: _Open) -> Measurement:
    context = entry.context
    if context is None:
        return entry.measurement
    warnings = {*entry.measurement.warnings, *context.warnings}
    return replace(
        entry.measurement,
        context={**entry.measurement.context, **context.context},
        warnings=tuple(word for word in DecodeWarning if word in warnings),
    )


def _without_fillers(measurement: Measurement) -> Measurement:
    """Without the zeros that stand for "not measured": a mean pressure of 0 is no pressure."""
    kept = tuple(
        part
        for part in measurement.components
        if part.metric not in _FILLED_WITH_ZERO or part.value is None or part.value != 0
    )
    return measurement if len(kept) == len(measurement.components) else replace(measurement, components=kept)


def user_facing_time(measurement: Measurement) -> datetime | None:
    """What the display showed at the measurement: for a glucose record, base time plus time offset (GLS 1.0.1).

    None when the device did not know, and when its offset overran.
    """
    time, offset = measurement.device_time, measurement.time_offset_minutes
    if time is None or "time_offset" in measurement.context:
        return None
    try:
        return time if offset is None else time + timedelta(minutes=offset)
    except OverflowError:
        return None


def why_held(measurement: Measurement, model: str | None = None) -> Held | None:
    """Why a decoded measurement must not become anybody's reading, or None."""
    if held := held_by(measurement, model):
        return held
    if _is_control_solution(measurement.context):
        return Held.CONTROL_SOLUTION
    if measurement.kind in _OXIMETRY:
        if not _NOT_FROM_WEARER.isdisjoint(measurement.flags):
            return Held.NOT_FROM_WEARER
        if "invalid" in measurement.flags:
            return Held.INVALID
    return Held.IMPLAUSIBLE if DecodeWarning.IMPLAUSIBLE in measurement.warnings else None


def _is_control_solution(context: Mapping[str, object]) -> bool:
    return CONTROL_SOLUTION in (context.get("sample_type"), context.get("sample_location"))
