"""The published language between gateway and server: topics, payloads, codec, schema version. Pure.

Input and output: MQTT topic strings and JSON bytes <-> frozen structs. Measured numbers travel as decimal strings.
Fields may be added within version 1; none changes its meaning. Unknown fields are ignored, unknown schemas refused.
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

_T = TypeVar("_T")

TOPIC_ROOT: Final = "vw/1/gw"
GATEWAY_ID_PATTERN: Final = r"^gw-[0-9a-z]{10,32}$"
GATEWAY_ID: Final = re.compile(GATEWAY_ID_PATTERN)
MAX_PAYLOAD_BYTES: Final = 64 * 1024
MAX_BATCH_READINGS: Final = 100

READING_SCHEMA: Final = "vitalwire.reading/1"
BATCH_SCHEMA: Final = "vitalwire.batch/1"
STATUS_SCHEMA: Final = "vitalwire.status/1"
RECEIPT_SCHEMA: Final = "vitalwire.receipt/1"
CONFIG_SCHEMA: Final = "vitalwire.config/1"

# Namespace of reading identities. Never change it: identities already stored would stop matching.
_MESSAGE_NAMESPACE: Final = uuid.UUID("6f0c7a52-5a0d-5c5e-9a3e-0b9d6a2f6d11")


class ContractError(ValueError):
    """A payload breaks the contract. `reason` is a closed word that reaches the gateway; no payload text."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class _Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Frozen wire struct."""


class DeviceRef(_Struct, frozen=True, kw_only=True):
    """The device as the gateway knows it; never a person."""

    id: str
    model: str | None = None
    firmware: str | None = None


class WireComponent(_Struct, frozen=True, kw_only=True):
    """One number on the wire; `value` in the unit we keep, `reported_value` as the device sent it."""

    metric: str
    value: Decimal | None
    unit: str
    reported_value: Decimal | None = None
    reported_unit: str | None = None
    absent_reason: str | None = None


class Reading(_Struct, tag_field="schema", tag=READING_SCHEMA, frozen=True, kw_only=True):
    """One reading of one device (`vitalwire.reading/1`)."""

    message_id: uuid.UUID
    device: DeviceRef
    kind: str
    measured_at: datetime
    received_at: datetime
    components: tuple[WireComponent, ...]
    entry: str = "automatic"
    memory: str = "live"
    device_time: str | None = None
    clock_offset_seconds: Decimal | None = None
    time_quality: str = "unknown"
    sequence_number: int | None = None
    user_id: int | None = None
    flags: tuple[str, ...] = ()
    context: dict[str, Any] = msgspec.field(default_factory=dict)
    raw: dict[str, str] = msgspec.field(default_factory=dict)


class Batch(_Struct, tag_field="schema", tag=BATCH_SCHEMA, frozen=True, kw_only=True):
    """At most `MAX_BATCH_READINGS` readings in one message. The items are decoded one by one, so that one bad
    reading costs only itself."""

    readings: tuple[msgspec.Raw, ...]


class DeviceStatus(_Struct, frozen=True, kw_only=True):
    """What a gateway last knew of one device."""

    id: str
    battery_percent: int | None = None
    rssi_dbm: int | None = None
    last_seen_at: datetime | None = None
    clock_offset_seconds: Decimal | None = None
    bond: str | None = None
    warning: str | None = None


class Status(_Struct, tag_field="schema", tag=STATUS_SCHEMA, frozen=True, kw_only=True):
    """Retained gateway status; `state: offline` is also the last will."""

    state: str
    at: datetime
    outbox_depth: int = 0
    oldest_pending_at: datetime | None = None
    software: str = ""
    devices: tuple[DeviceStatus, ...] = ()
    config_version: int | None = None
    warnings: tuple[str, ...] = ()


class Rejection(_Struct, frozen=True, kw_only=True):
    """A reading the server keeps in its dead-letter table, and why."""

    message_id: str
    reason: str


class Receipt(_Struct, tag_field="schema", tag=RECEIPT_SCHEMA, frozen=True, kw_only=True):
    """Sent only after COMMIT: these readings are in the database (or were there already)."""

    stored: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()


class DeviceConfig(_Struct, frozen=True, kw_only=True):
    """One device a gateway may read."""

    id: str
    kind: str
    address: str | None = None
    name: str | None = None
    driver: str | None = None
    passkey: int | None = None
    set_clock: str = "if-off"


class Config(_Struct, tag_field="schema", tag=CONFIG_SCHEMA, frozen=True, kw_only=True):
    """Retained, versioned configuration of one gateway: devices and prompts. No names of people."""

    version: int
    at: datetime
    devices: tuple[DeviceConfig, ...] = ()
    prompts: tuple[dict[str, Any], ...] = ()


# --- topics -----------------------------------------------------------------------------------------------------


def readings_topic(gateway_id: str) -> str:
    return f"{TOPIC_ROOT}/{gateway_id}/up/readings"


def status_topic(gateway_id: str) -> str:
    return f"{TOPIC_ROOT}/{gateway_id}/up/status"


def receipts_topic(gateway_id: str) -> str:
    return f"{TOPIC_ROOT}/{gateway_id}/down/receipts"


def config_topic(gateway_id: str) -> str:
    return f"{TOPIC_ROOT}/{gateway_id}/down/config"


def gateway_of(topic: str) -> str | None:
    """The gateway a topic belongs to, or None when the topic is not ours. The topic counts, never the payload."""
    parts = topic.split("/")
    if len(parts) != 6 or parts[0] != "vw" or parts[1] != "1" or parts[2] != "gw":
        return None
    return parts[3] if GATEWAY_ID.match(parts[3]) else None


# --- identity ---------------------------------------------------------------------------------------------------


def message_id(
    *,
    device_identity: str,
    kind: str,
    device_time: str | None,
    sequence_number: int | None,
    raw: Mapping[str, bytes],
) -> uuid.UUID:
    """Identity of a reading: the same bytes heard by two gateways give the same id.

    UUIDv5 over device identity, kind, sequence number or device-reported time, and a digest of the raw payloads.
    """
    digest = hashlib.sha256()
    for characteristic in sorted(raw):
        digest.update(characteristic.encode())
        digest.update(raw[characteristic])
    when = f"#{sequence_number}" if sequence_number is not None else f"@{device_time or 'unknown'}"
    return uuid.uuid5(_MESSAGE_NAMESPACE, f"{device_identity}|{kind}|{when}|{digest.hexdigest()}")


# --- codec ------------------------------------------------------------------------------------------------------

_encoder = msgspec.json.Encoder(decimal_format="string")
_reading_decoder = msgspec.json.Decoder(Reading)
_uplink_decoder: msgspec.json.Decoder[Reading | Batch] = msgspec.json.Decoder(Reading | Batch)
_status_decoder = msgspec.json.Decoder(Status)
_receipt_decoder = msgspec.json.Decoder(Receipt)
_config_decoder = msgspec.json.Decoder(Config)


def encode(message: msgspec.Struct) -> bytes:
    """JSON bytes of a wire struct."""
    return _encoder.encode(message)


def encode_batch(encoded_readings: list[bytes]) -> bytes:
    """One batch from readings that are already encoded. At most `MAX_BATCH_READINGS`."""
    if not 1 <= len(encoded_readings) <= MAX_BATCH_READINGS:
        raise ValueError(f"a batch holds 1 to {MAX_BATCH_READINGS} readings, not {len(encoded_readings)}")
    return b'{"schema":"' + BATCH_SCHEMA.encode() + b'","readings":[' + b",".join(encoded_readings) + b"]}"


def decode_uplink(payload: bytes) -> Reading | Batch:
    """One reading or a batch. Raises `ContractError` with a closed reason."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ContractError("too-large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
    try:
        message = _uplink_decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise ContractError(_schema_reason(str(error)), str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError("invalid-json") from error
    if isinstance(message, Batch) and not 1 <= len(message.readings) <= MAX_BATCH_READINGS:
        raise ContractError("batch-size", f"{len(message.readings)} readings, 1 to {MAX_BATCH_READINGS} allowed")
    return message


def decode_reading(payload: bytes | msgspec.Raw) -> Reading:
    """One reading out of a batch or from a journal."""
    try:
        return _reading_decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise ContractError(_schema_reason(str(error)), str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError("invalid-json") from error


def _schema_reason(text: str) -> str:
    return "unknown-schema" if "$.schema" in text or "`schema`" in text else "invalid-schema"


def decode_status(payload: bytes) -> Status:
    return _decode(_status_decoder, payload)


def decode_receipt(payload: bytes) -> Receipt:
    return _decode(_receipt_decoder, payload)


def decode_config(payload: bytes) -> Config:
    return _decode(_config_decoder, payload)


def _decode(decoder: msgspec.json.Decoder[_T], payload: bytes) -> _T:
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise ContractError(_schema_reason(str(error)), str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError("invalid-json") from error


def raw_to_wire(raw: Mapping[str, bytes]) -> dict[str, str]:
    """Raw payloads by characteristic as base64, as they travel."""
    return {characteristic: base64.b64encode(data).decode("ascii") for characteristic, data in raw.items()}
