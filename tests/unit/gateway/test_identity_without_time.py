"""Devices without a clock: equal readings of two days are two readings, history read again is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.derive import derive
from gateway.journal_rows import StoredSession
from tests.unit.gateway.test_derive_readings import CUFF_128, METER_105, driver, session

NO_TIME = bytes.fromhex("00 8000 4e00 ff07")
UNKNOWN_TIME = bytes.fromhex("02 8000 4e00 ff07 00000000000000")


def _a_day_later(stored: StoredSession) -> StoredSession:
    packets = tuple(replace(packet, received_at=packet.received_at + timedelta(days=1)) for packet in stored.packets)
    return replace(stored, id=2, packets=packets)


def _ids(stored: StoredSession) -> list[str]:
    return [entry.message_id for entry in derive(stored, driver(stored.driver)).entries]


@pytest.mark.parametrize("payload", [NO_TIME, UNKNOWN_TIME])
def test_the_same_values_tomorrow_are_another_reading(payload: bytes) -> None:
    today = session("std.blood_pressure", ("2A35", payload))

    assert _ids(today) != _ids(_a_day_later(today))
    assert _ids(today) == _ids(replace(today, id=9))


@pytest.mark.parametrize(
    ("name", "characteristic", "payload"),
    [("std.blood_pressure", "2A35", CUFF_128), ("std.glucose", "2A18", METER_105)],
)
def test_a_record_with_time_or_number_of_its_own_keeps_its_identity(
    name: str, characteristic: str, payload: bytes
) -> None:
    today = session(name, (characteristic, payload))

    assert _ids(today) == _ids(_a_day_later(today))
