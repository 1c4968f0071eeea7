"""Readings that leave while their session runs: which may, which must wait. Payloads by hand from the specifications.

2A18 "base 2026-03-02 07:00:00, 105 mg/dL": flags 0x02 (concentration), 0x12 with a context to follow.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from device_drivers.catalog import driver_by_id
from device_drivers.driver import Driver, Packet, SessionReadings
from gateway import contract
from gateway.clock import ClockReading
from gateway.derive import derive, derive_early
from gateway.journal_rows import NewEntry, StoredSession

HEARD = datetime(2026, 3, 2, 12, 0, 9, tzinfo=UTC)
# 2A35: flags 0x06 (time stamp, pulse), 128/78 and 129/78, MAP NaN, 2026-03-02 07:00:00, pulse 64
CUFF_128 = bytes.fromhex("06 8000 4e00 ff07 ea07 03 02 07 00 00 4000".replace(" ", ""))
CUFF_129 = bytes.fromhex("06 8100 4e00 ff07 ea07 03 02 07 00 00 4000".replace(" ", ""))
# 2A35 without a time stamp: flags 0x00
TIMELESS_128 = bytes.fromhex("00 8000 4e00 ff07".replace(" ", ""))
TIMELESS_129 = bytes.fromhex("00 8100 4e00 ff07".replace(" ", ""))
TRANSFER_DONE = bytes.fromhex("06000101")


def record(number: int, *, announces: bool = False) -> bytes:
    return bytes((0x12 if announces else 0x02, number, 0)) + bytes.fromhex("ea0703020700 00 69b0 12".replace(" ", ""))


def context(number: int) -> bytes:
    """Flags 0x02 (meal), meal 1 preprandial."""
    return bytes((0x02, number, 0, 1))


def driver(name: str) -> Driver:
    found = driver_by_id(name)
    assert found is not None
    return found


CUFF, METER = driver("std.blood_pressure"), driver("std.glucose")


def session(*payloads: tuple[str, bytes], clock: str | None = None) -> StoredSession:
    packets = tuple(
        Packet(characteristic=name, payload=payload, received_at=HEARD + timedelta(seconds=n), monotonic=1.0 + n)
        for n, (name, payload) in enumerate(payloads)
    )
    reading = ClockReading(gateway_at=HEARD, device_time=None if clock is None else datetime.fromisoformat(clock))
    return StoredSession(
        id=1,
        device_id="d-1",
        driver="std",
        home_zone="America/New_York",
        model=None,
        firmware=None,
        ended=False,
        packet_ids=tuple(range(1, len(packets) + 1)),
        packets=packets,
        clock_readings=() if clock is None else (reading,),
    )


def values(entries: tuple[NewEntry, ...]) -> list[int]:
    """Systolic pressure, or sequence number of a record."""
    found = []
    for entry in entries:
        reading = contract.decode_reading(entry.envelope)
        value = reading.sequence_number if reading.kind == "glucose" else reading.components[0].value
        assert value is not None
        found.append(int(value))
    return found


def test_cuff_reading_goes_at_once_and_is_the_one_of_the_end() -> None:
    running = session(("2A35", CUFF_128), clock="2026-03-02T07:00:02")

    early = derive_early(running, CUFF)

    assert early == derive(running, CUFF).entries
    assert contract.decode_reading(early[0].envelope).time_quality == "corrected"


def test_reading_that_went_is_not_made_again() -> None:
    running = session(("2A35", CUFF_128), ("2A35", CUFF_129))
    (first, second) = derive_early(running, CUFF)

    assert derive_early(running, CUFF, known={first.message_id}) == (second,)
    assert derive_early(running, CUFF, known={first.message_id, second.message_id}) == ()


def test_reading_without_a_time_waits_until_it_is_known_whether_it_is_the_last() -> None:
    first, second = ("2A35", TIMELESS_128), ("2A35", TIMELESS_129)

    assert derive_early(session(first), CUFF) == ()
    (early,) = derive_early(session(first, second), CUFF)
    assert early == derive(session(first, second), CUFF).entries[0]
    assert early.memory == "stored"


@pytest.mark.parametrize(
    ("heard", "gone"),
    [
        ([("2A18", record(1))], []),
        ([("2A18", record(1)), ("2A52", TRANSFER_DONE)], [1]),
        ([("2A18", record(1)), ("2A18", record(2))], [1]),
        ([("2A18", record(1)), ("2A34", context(1))], [1]),
        ([("2A18", record(1, announces=True))], []),
        ([("2A18", record(1, announces=True)), ("2A34", context(1))], [1]),
        ([("2A18", record(1, announces=True)), ("2A18", record(2)), ("2A52", TRANSFER_DONE)], []),
        ([("2A34", context(1)), ("2A18", record(2)), ("2A52", TRANSFER_DONE)], []),
    ],
    ids=[
        "last record",
        "transfer ended",
        "next record came",
        "context nobody announced",
        "context announced",
        "announced context came",
        "nothing overtakes a record that waits",
        "nothing overtakes a context that waits",
    ],
)
def test_glucose_record_goes_when_no_context_can_follow(heard: list[tuple[str, bytes]], gone: list[int]) -> None:
    assert values(derive_early(session(*heard), METER)) == gone


def test_early_record_carries_its_context() -> None:
    heard = session(("2A18", record(1)), ("2A34", context(1)))

    (early,) = derive_early(heard, METER)

    assert contract.decode_reading(early.envelope).context["meal"] == "preprandial"
    assert (early,) == derive(heard, METER).entries


class Broken:
    """A third party's driver with a mistake."""

    def decode(self, packets: object, *, model: str | None = None, ended: bool = True) -> SessionReadings:
        raise ZeroDivisionError


def test_driver_that_fails_sends_nothing_early() -> None:
    assert derive_early(session(("2A35", CUFF_128)), Broken()) == ()  # type: ignore[arg-type]
