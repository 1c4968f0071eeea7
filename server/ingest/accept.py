"""Decide about what arrived: each reading of a message is accepted or rejected with one closed word. Pure.

Input: topic, payload bytes, and which practice each gateway belongs to. Output: `Accepted` and `Rejected` values.
The gateway of the topic counts, whatever the payload says. One bad reading in a batch costs only itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal, TypeAlias

import msgspec

from device_drivers.measurement import AbsentReason, Kind, Metric, TimeQuality
from device_drivers.terminology import TERMS
from gateway.contract import (
    MAX_PAYLOAD_BYTES,
    Batch,
    ContractError,
    Reading,
    WireComponent,
    decode_reading,
    decode_uplink,
    gateway_of,
)

Reason: TypeAlias = Literal[
    "invalid-json",
    "invalid-schema",  # a field is missing or has the wrong type
    "unknown-schema",
    "too-large",
    "batch-size",
    "unknown-topic",
    "unknown-gateway",
    "unknown-kind",
    "unknown-word",  # a word outside its closed list: entry, memory, time quality, absent reason
    "naive-instant",
    "time-out-of-range",
    "number-out-of-range",  # sequence number, user slot or clock offset that no device can have
    "metric-not-of-kind",
    "unit-mismatch",
    "duplicate-component",
    "value-missing",  # neither a value nor a reason, or both
    "value-out-of-range",
    "not-storable",  # the database refused it (a NUL character, say)
]

Verdict: TypeAlias = Literal["accepted", "control-solution", "no-value"]


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """One reading to be stored. `verdict` is what the payload alone says; the device's assignment may still hold it."""

    reading: Reading
    gateway_id: str
    practice_id: str
    verdict: Verdict
    raw: bytes


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """One reading (or a whole message) for the dead-letter table. `detail` names fields, never values."""

    topic: str
    payload: bytes
    reason: Reason
    detail: str = ""
    gateway_id: str | None = None
    practice_id: str | None = None
    message_ids: tuple[str, ...] = ()


class _Identity(msgspec.Struct, frozen=True):
    """The least that must be readable for a receipt to name a rejected reading."""

    message_id: str | None = None
    readings: tuple[msgspec.Raw, ...] = ()


_MAIN: Final[Mapping[str, frozenset[str]]] = {
    Kind.BLOOD_PRESSURE: frozenset({Metric.SYSTOLIC, Metric.DIASTOLIC}),
    Kind.GLUCOSE: frozenset({Metric.GLUCOSE}),
    Kind.CONTINUOUS_GLUCOSE: frozenset({Metric.GLUCOSE}),
    Kind.WEIGHT: frozenset({Metric.BODY_WEIGHT}),
    Kind.TEMPERATURE: frozenset({Metric.BODY_TEMPERATURE}),
    Kind.SPOT_OXIMETRY: frozenset({Metric.SPO2}),
    Kind.CONTINUOUS_OXIMETRY: frozenset({Metric.SPO2}),
}
_OTHER: Final[Mapping[str, frozenset[str]]] = {
    Kind.BLOOD_PRESSURE: frozenset({Metric.MEAN_ARTERIAL, Metric.PULSE_RATE}),
    Kind.GLUCOSE: frozenset(),
    Kind.CONTINUOUS_GLUCOSE: frozenset({Metric.GLUCOSE_TREND}),
    Kind.WEIGHT: frozenset({Metric.BMI, Metric.HEIGHT}),
    Kind.TEMPERATURE: frozenset(),
    Kind.SPOT_OXIMETRY: frozenset({Metric.PULSE_RATE, Metric.PULSE_AMPLITUDE_INDEX}),
    Kind.CONTINUOUS_OXIMETRY: frozenset({Metric.PULSE_RATE, Metric.PULSE_AMPLITUDE_INDEX}),
}
_ALLOWED: Final = {kind: _MAIN[kind] | _OTHER[kind] for kind in _MAIN}
_LIMITS: Final[Mapping[str, tuple[str, Decimal, Decimal]]] = {
    metric.value: (term.unit, term.reportable.low, term.reportable.high) for metric, term in TERMS.items()
}
_ENTRIES: Final = frozenset({"automatic", "manual", "imported"})
_MEMORIES: Final = frozenset({"live", "stored"})
_TIME_QUALITIES: Final = frozenset(quality.value for quality in TimeQuality)
_ABSENT_REASONS: Final = frozenset(reason.value for reason in AbsentReason)
# Outside these a clock is broken beyond correction; the gateway should have used its own receive time.
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_LARGEST_INTEGER: Final = 2**31 - 1
_LARGEST_OFFSET: Final = Decimal(2**32)
_MOST_TEXT: Final = 128
_identity_decoder: Final = msgspec.json.Decoder(_Identity)


def accept(topic: str, payload: bytes, practices: Mapping[str, str]) -> list[Accepted | Rejected]:
    """One value for each reading of the message; one `Rejected` for a message that cannot be taken apart.

    `practices`: gateway id → practice id of every gateway that may send. Never raises, whatever the bytes.
    """
    gateway_id = gateway_of(topic)
    practice_id = None if gateway_id is None else practices.get(gateway_id)
    try:
        if gateway_id is None:
            raise ContractError("unknown-topic")
        if practice_id is None:
            raise ContractError("unknown-gateway")
        message = decode_uplink(payload)
    except ContractError as error:
        return [_rejected(topic, payload, error, gateway_id, practice_id, _identities(payload))]
    if isinstance(message, Batch):
        return [_accept_raw(topic, bytes(raw), gateway_id, practice_id) for raw in message.readings]
    return [_judge(topic, message, payload, gateway_id, practice_id)]


def _accept_raw(topic: str, raw: bytes, gateway_id: str, practice_id: str) -> Accepted | Rejected:
    try:
        reading = decode_reading(raw)
    except ContractError as error:
        return _rejected(topic, raw, error, gateway_id, practice_id, _identities(raw))
    return _judge(topic, reading, raw, gateway_id, practice_id)


def _judge(topic: str, reading: Reading, raw: bytes, gateway_id: str, practice_id: str) -> Accepted | Rejected:
    try:
        verdict = check(reading)
    except ContractError as error:
        return _rejected(topic, raw, error, gateway_id, practice_id, (str(reading.message_id),))
    return Accepted(reading, gateway_id, practice_id, verdict, raw)


def check(reading: Reading) -> Verdict:
    """What the reading is, or `ContractError` with the first thing wrong in it."""
    allowed = _ALLOWED.get(reading.kind)
    if allowed is None:
        raise ContractError("unknown-kind", "kind")
    if reading.entry not in _ENTRIES:
        raise ContractError("unknown-word", "entry")
    if reading.memory not in _MEMORIES:
        raise ContractError("unknown-word", "memory")
    if reading.time_quality not in _TIME_QUALITIES:
        raise ContractError("unknown-word", "time_quality")
    _check_instant("measured_at", reading.measured_at)
    _check_instant("received_at", reading.received_at)
    _check_numbers(reading)
    seen: set[str] = set()
    measured = False
    main = _MAIN[reading.kind]
    for component in reading.components:
        metric = component.metric
        if metric not in allowed:
            raise ContractError("metric-not-of-kind", "components.metric")
        if metric in seen:
            raise ContractError("duplicate-component", "components.metric")
        seen.add(metric)
        measured |= _check_component(component) and metric in main
    if not measured:
        return "no-value"
    return "control-solution" if _is_control(reading) else "accepted"


def _is_control(reading: Reading) -> bool:
    context = reading.context
    return context.get("sample_type") == "control-solution" or context.get("sample_location") == "control-solution"


def _check_component(component: WireComponent) -> bool:
    """Whether the component holds a number."""
    unit, low, high = _LIMITS[component.metric]
    if component.unit != unit:
        raise ContractError("unit-mismatch", f"components.unit of {component.metric}: {unit} is expected")
    value = component.value
    if value is None:
        if component.absent_reason is None:
            raise ContractError("value-missing", "components.absent_reason")
        if component.absent_reason not in _ABSENT_REASONS:
            raise ContractError("unknown-word", "components.absent_reason")
        return False
    if component.absent_reason is not None:
        raise ContractError("value-missing", "components.absent_reason beside a value")
    if not value.is_finite() or not low <= value <= high:
        raise ContractError("value-out-of-range", f"components.value of {component.metric}: {low} to {high} {unit}")
    reported = component.reported_value
    if reported is not None and not reported.is_finite():
        raise ContractError("value-out-of-range", "components.reported_value")
    return True


def _check_instant(field: str, instant: datetime) -> None:
    if instant.tzinfo is None:
        raise ContractError("naive-instant", field)
    if not _EARLIEST <= instant < _LATEST:
        raise ContractError("time-out-of-range", field)


def _check_numbers(reading: Reading) -> None:
    for field, number in (("sequence_number", reading.sequence_number), ("user_id", reading.user_id)):
        if number is not None and not 0 <= number <= _LARGEST_INTEGER:
            raise ContractError("number-out-of-range", field)
    offset = reading.clock_offset_seconds
    if offset is not None and not (offset.is_finite() and abs(offset) <= _LARGEST_OFFSET):
        raise ContractError("number-out-of-range", "clock_offset_seconds")
    device = reading.device
    if not 0 < len(device.id) <= _MOST_TEXT or len(reading.device_time or "") > _MOST_TEXT:
        raise ContractError("invalid-schema", "device.id and device_time have at most 128 characters")


def _rejected(
    topic: str,
    payload: bytes,
    error: ContractError,
    gateway_id: str | None,
    practice_id: str | None,
    message_ids: tuple[str, ...],
) -> Rejected:
    return Rejected(
        topic=topic,
        payload=payload,
        reason=error.reason,  # type: ignore[arg-type]  # the contract's reasons are among ours, see test_accept
        detail=error.detail,
        gateway_id=gateway_id,
        practice_id=practice_id,
        message_ids=message_ids,
    )


def _identities(payload: bytes) -> tuple[str, ...]:
    """The message ids that can be read in a payload we refuse, so that the gateway learns of the refusal."""
    if len(payload) > 4 * MAX_PAYLOAD_BYTES:
        return ()
    try:
        found = _identity_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    if found.message_id is not None:
        return (found.message_id,) if len(found.message_id) <= _MOST_TEXT else ()
    return tuple(name for raw in found.readings for name in _identities(bytes(raw)))
