"""What the engine remembers of one patient: frozen, and the same after a trip through JSON.

Input and output: `PatientState` <-> JSON bytes. Bounded: readings older than the longest rule window are dropped.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from alerts.model import Alert, Value, Verdict

# A home patient measures a few times a day. The bound keeps a device gone wild from slowing its patient's judgement:
# 400 readings are eight days of one each half hour.
MAX_KEPT: Final = 400


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A reading in the patient's window. `at` is the effective time, `reported_at` what the gateway said."""

    id: str
    at: datetime
    reported_at: datetime
    values: tuple[Decimal | None, ...]
    day: int
    verdict: Verdict
    flags: tuple[str, ...] = ()
    device: str = ""
    sequence: int | None = None


class PatientState(Value, frozen=True, kw_only=True):
    """Everything a judgement may depend on. Dictionaries are never changed in place."""

    started_at: datetime
    clock: datetime
    next_number: int = 1
    history: dict[str, tuple[Kept, ...]] = msgspec.field(default_factory=dict)
    newest: dict[str, datetime] = msgspec.field(default_factory=dict)
    seen: dict[str, datetime] = msgspec.field(default_factory=dict)
    bad_in_row: dict[str, int] = msgspec.field(default_factory=dict)
    live: dict[str, Alert] = msgspec.field(default_factory=dict)
    closed: dict[str, Alert] = msgspec.field(default_factory=dict)
    silent_since: datetime | None = None  # silence clocks restarted here (gateway back, alert closed by a person)
    gateway_offline: bool = False
    profile_problem: str = ""


def new_state(started_at: datetime, clock: datetime | None = None) -> PatientState:
    """A patient nothing is known of; silence counts from `started_at`, nothing happens before `clock`."""
    return PatientState(started_at=started_at, clock=clock or started_at)


_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder = msgspec.json.Decoder(PatientState)


def encode_state(state: PatientState) -> bytes:
    return _encoder.encode(state)


def decode_state(payload: bytes | str) -> PatientState:
    return _decoder.decode(payload)
