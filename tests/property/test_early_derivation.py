"""A session told piece by piece and then at its end says the same, in the same order, as at its end alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from device_drivers.catalog import driver_by_id
from device_drivers.driver import Packet
from gateway import contract
from gateway.clock import ClockReading
from gateway.derive import derive, derive_early
from gateway.journal_rows import NewEntry, StoredSession

Sent = tuple[str, bytes]
START: Final = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)


def _record(number: int, minute: int, value: int, *, announces: bool, timed: bool = True) -> Sent:
    time = bytes.fromhex("ea07030207") + bytes((minute, 0)) if timed else bytes.fromhex("000000000700 00")
    flags = 0x12 if announces else 0x02
    return "2A18", bytes((flags, number, 0)) + time + (0xB000 | value).to_bytes(2, "little") + b"\x11"


def _context(number: int, meal: int) -> Sent:
    return "2A34", bytes((0x02, number, 0, meal))


def _pressure(systolic: int, minute: int, *, timed: bool) -> Sent:
    time = bytes.fromhex("ea07030207") + bytes((minute, 0)) if timed else b""
    return "2A35", bytes((0x02 if timed else 0x00, systolic, 0, 78, 0, 0xFF, 0x07)) + time


MINUTES: Final = st.sampled_from([0, 1, 59])
PRESSURES: Final = st.lists(
    st.builds(_pressure, st.sampled_from([118, 128, 131]), MINUTES, timed=st.booleans())
    | st.tuples(st.just("2A35"), st.binary(max_size=9)),
    max_size=8,
)


@st.composite
def _transfers(draw: st.DrawFn) -> list[Sent]:
    """As meters send: a record, right behind it its context if it has one, announced or not; anything sent twice."""
    sent: list[Sent] = []
    for number in range(draw(st.integers(0, 6))):
        announces, follows = draw(st.booleans()), draw(st.booleans())
        record = _record(number, draw(MINUTES), 90 + number, announces=announces, timed=draw(st.booleans()))
        block = [record] * draw(st.integers(1, 2))
        if follows:
            block += [_context(number, draw(st.integers(1, 2)))] * draw(st.integers(1, 2))
        sent += block
    return [*sent, ("2A52", bytes.fromhex("06000101"))] if draw(st.booleans()) else sent


CLOCKS: Final = st.sampled_from([None, "2026-03-02T07:00:00", "2026-03-02T06:58:00", "2025-01-01T00:00:00"])


def _session(sent: list[Sent], device_time: str | None) -> StoredSession:
    packets = tuple(
        Packet(characteristic=name, payload=payload, received_at=START + timedelta(seconds=n), monotonic=float(n))
        for n, (name, payload) in enumerate(sent)
    )
    pair = ClockReading(gateway_at=START, device_time=datetime.fromisoformat(device_time) if device_time else None)
    return StoredSession(
        id=1,
        device_id="d-1",
        driver="std",
        home_zone="America/New_York",
        model=None,
        firmware=None,
        ended=False,
        packet_ids=tuple(range(len(packets))),
        packets=packets,
        clock_readings=(pair,),
    )


def _told(sent: list[Sent], looks: list[int], device_time: str | None, name: str) -> list[NewEntry]:
    """The outbox after early looks at some prefixes and the pass at the end: whoever has an id first, keeps it."""
    driver = driver_by_id(name)
    assert driver is not None
    outbox: dict[str, NewEntry] = {}
    for heard in sorted(looks):
        early = derive_early(_session(sent[:heard], device_time), driver, known=outbox.keys())
        assert outbox.keys().isdisjoint(entry.message_id for entry in early)
        for entry in early:
            outbox[entry.message_id] = entry
    for entry in derive(_session(sent, device_time), driver).entries:
        outbox.setdefault(entry.message_id, entry)
    return list(outbox.values())


LOOKS: Final = st.lists(st.integers(0, 30), max_size=8)


@settings(max_examples=300)
@given(sent=PRESSURES, looks=LOOKS, clock=CLOCKS)
def test_cuff_told_early_and_late_is_the_cuff_told_late(sent: list[Sent], looks: list[int], clock: str | None) -> None:
    assert _told(sent, looks, clock, "std.blood_pressure") == _told(sent, [], clock, "std.blood_pressure")


@settings(max_examples=400)
@given(sent=_transfers(), looks=LOOKS, clock=CLOCKS)
def test_meter_told_early_and_late_is_the_meter_told_late(
    sent: list[Sent], looks: list[int], clock: str | None
) -> None:
    assert _told(sent, looks, clock, "std.glucose") == _told(sent, [], clock, "std.glucose")


ANY_ORDER: Final = st.lists(
    st.builds(_record, st.integers(0, 3), MINUTES, st.integers(90, 92), announces=st.booleans())
    | st.builds(_context, st.integers(0, 3), st.integers(1, 2))
    | st.tuples(st.sampled_from(["2A18", "2A34", "2A52", "2A35"]), st.binary(max_size=14)),
    max_size=14,
)


@settings(max_examples=300)
@given(sent=ANY_ORDER, looks=LOOKS, clock=CLOCKS)
def test_no_order_of_packets_loses_or_doubles_a_reading_or_changes_its_numbers(
    sent: list[Sent], looks: list[int], clock: str | None
) -> None:
    """A context that comes out of turn, unannounced, may stay behind; nothing else may differ."""
    told, late = (
        {
            entry.message_id: (entry.memory, reading.measured_at, reading.time_quality, reading.components)
            for entry in _told(sent, when, clock, "std.glucose")
            for reading in [contract.decode_reading(entry.envelope)]
        }
        for when in (looks, [])
    )
    assert told == late
