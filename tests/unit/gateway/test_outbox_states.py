"""What the journal keeps, hands out and forgets, on a real SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from device_drivers.driver import Packet
from gateway.clock import ClockReading
from gateway.errors import JournalError
from gateway.journal_rows import NewEntry, PacketState
from gateway.outbox import Outbox
from tests.support.clocks import HeldClock

HEARD = datetime(2026, 3, 2, 12, 0, 9, 250000, tzinfo=UTC)


def packet(number: int = 1) -> Packet:
    return Packet(
        characteristic="2A35", payload=number.to_bytes(4, "big"), received_at=HEARD, monotonic=1000.25 + number
    )


def entry(name: str, device: str = "bp-1") -> NewEntry:
    return NewEntry(message_id=name, device_id=device, memory="live", envelope=b'{"id":"' + name.encode() + b'"}')


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def outbox(tmp_path: Path, clock: HeldClock) -> AsyncIterator[Outbox]:
    journal = Outbox(tmp_path / "journal.sqlite", clock=clock)
    journal.open()
    yield journal
    await journal.close()


async def begin(outbox: Outbox, device: str = "bp-1") -> int:
    return await outbox.begin_session(device_id=device, driver="std.blood_pressure", home_zone="America/New_York")


async def test_packet_comes_back_as_it_was_heard(outbox: Outbox) -> None:
    session = await begin(outbox)
    first = await asyncio.wrap_future(outbox.append(session, packet(1)))
    second = await asyncio.wrap_future(outbox.append(session, packet(2)))
    reading = ClockReading(gateway_at=HEARD, device_time=datetime(2026, 3, 2, 7), characteristic="2A08")  # noqa: DTZ001
    outbox.note_clock(session, reading, raw=b"\x01")
    outbox.note_clock(session, reading, raw=b"\x02", written=True)
    outbox.note_information(session, model="UA-651BLE", firmware=None)

    stored = await outbox.load_session(session)

    assert stored.packets == (packet(1), packet(2))
    assert stored.packet_ids == (first, second)
    assert stored.clock_readings == (reading,)
    assert (stored.device_id, stored.model, stored.firmware, stored.ended) == ("bp-1", "UA-651BLE", None, False)


async def test_session_with_raw_packets_is_found_until_they_are_filed(outbox: Outbox) -> None:
    session = await begin(outbox)
    packet_id = await asyncio.wrap_future(outbox.append(session, packet()))
    assert await outbox.undecoded_sessions() == [session]

    await outbox.file_readings(session, [entry("m1")], [PacketState(packet_id=packet_id, state="read")])

    assert await outbox.undecoded_sessions() == []
    assert [found.message_id for found in await outbox.unsettled()] == ["m1"]


async def test_same_reading_is_kept_once_even_after_its_receipt(outbox: Outbox) -> None:
    session = await begin(outbox)
    assert await outbox.file_readings(session, [entry("m1"), entry("m1")], []) == ["m1"]
    await outbox.settle(["m1"])

    assert await outbox.file_readings(session, [entry("m1")], []) == []
    assert await outbox.unsettled() == []


async def test_only_a_receipt_settles(outbox: Outbox) -> None:
    session = await begin(outbox)
    await outbox.file_readings(session, [entry("m1"), entry("m2"), entry("m3")], [])
    await outbox.mark_sent([1, 2, 3])
    assert (await outbox.counts()).depth == 3

    changed = await outbox.settle(["m1", "not-ours"], [("m2", "unknown-device")])

    counts = await outbox.counts()
    assert changed == 2
    assert (counts.sent, counts.stored, counts.rejected, counts.depth) == (1, 1, 1, 1)
    assert [found.message_id for found in await outbox.unsettled()] == ["m3"]
    assert [(found.id, found.reason) for found in await outbox.rejected()] == [("m2", "unknown-device")]


async def test_rejection_never_takes_back_a_receipt_but_a_receipt_lifts_a_rejection(outbox: Outbox) -> None:
    session = await begin(outbox)
    await outbox.file_readings(session, [entry("m1"), entry("m2")], [])
    await outbox.settle(["m1"], [("m2", "unknown-device")])

    await outbox.settle(["m2"], [("m1", "invalid-schema")])

    counts = await outbox.counts()
    assert (counts.stored, counts.rejected) == (2, 0)


async def test_oldest_pending_is_the_age_of_the_oldest_without_receipt(outbox: Outbox, clock: HeldClock) -> None:
    session = await begin(outbox)
    await outbox.file_readings(session, [entry("m1")], [])
    clock.advance(timedelta(hours=1))
    await outbox.file_readings(session, [entry("m2")], [])
    first, second = clock.at - timedelta(hours=1), clock.at

    assert (await outbox.counts()).oldest_pending_at == first
    await outbox.settle(["m1"])
    assert (await outbox.counts()).oldest_pending_at == second
    await outbox.settle(["m2"])
    assert (await outbox.counts()).oldest_pending_at is None


@pytest.mark.parametrize(
    ("age", "left"),
    [(timedelta(days=30, microseconds=-1), 1), (timedelta(days=30), 1), (timedelta(days=30, microseconds=1), 0)],
)
async def test_receipted_reading_is_forgotten_after_thirty_days(
    outbox: Outbox, clock: HeldClock, age: timedelta, left: int
) -> None:
    session = await begin(outbox)
    await outbox.file_readings(session, [entry("m1")], [])
    await outbox.settle(["m1"])

    clock.advance(age)
    await outbox.purge()

    assert (await outbox.counts()).stored == left


async def test_unsent_and_unreadable_never_expire(outbox: Outbox, clock: HeldClock) -> None:
    session = await begin(outbox)
    packet_id = await asyncio.wrap_future(outbox.append(session, packet()))
    await outbox.file_readings(
        session, [entry("m1")], [PacketState(packet_id=packet_id, state="quarantined", reason="too short")]
    )

    clock.advance(timedelta(days=4000))
    await outbox.purge()

    counts = await outbox.counts()
    assert (counts.depth, counts.quarantined) == (1, 1)
    assert [found.reason for found in await outbox.unreadable()] == ["too short"]


async def test_server_that_went_back_in_time_gets_the_last_days_again(outbox: Outbox, clock: HeldClock) -> None:
    session = await begin(outbox)
    await outbox.file_readings(session, [entry("m1"), entry("m2")], [])
    await outbox.settle(["m1"])
    clock.advance(timedelta(days=2))
    await outbox.settle(["m2"])

    assert await outbox.send_again(settled_since=clock.at) == 1
    assert [found.message_id for found in await outbox.unsettled()] == ["m2"]


async def test_resume_point_is_per_device_and_driver(outbox: Outbox) -> None:
    await outbox.set_resume("gl-1", "std.glucose", {"next": 12})
    await outbox.set_resume("gl-1", "std.glucose", {"next": 13})

    assert await outbox.resume("gl-1", "std.glucose") == {"next": 13}
    assert await outbox.resume("gl-2", "std.glucose") == {}
    assert await outbox.resume("gl-1", "vendor.glucose") == {}


async def test_packet_is_committed_although_nobody_waits_for_it(tmp_path: Path, clock: HeldClock) -> None:
    journal = Outbox(tmp_path / "journal.sqlite", clock=clock)
    journal.open()
    session = await begin(journal)
    waiting = asyncio.ensure_future(asyncio.wrap_future(journal.append(session, packet())))
    waiting.cancel()
    await journal.close()

    again = Outbox(tmp_path / "journal.sqlite", clock=clock)
    again.open()
    assert (await again.load_session(session)).packets == (packet(),)
    await again.close()


async def test_one_bad_job_does_not_spoil_its_neighbours(outbox: Outbox) -> None:
    session = await begin(outbox)

    bad = outbox.append(999, packet(1))
    good = outbox.append(session, packet(2))

    with pytest.raises(sqlite3.IntegrityError):
        await asyncio.wrap_future(bad)
    assert await asyncio.wrap_future(good) > 0


async def test_power_cut_settings_are_on(tmp_path: Path, outbox: Outbox) -> None:
    await outbox.probe()

    def settings(connection: sqlite3.Connection) -> tuple[str, int]:
        return (
            connection.execute("PRAGMA journal_mode").fetchone()[0],
            connection.execute("PRAGMA synchronous").fetchone()[0],
        )

    assert await outbox._do(settings) == ("wal", 2)
    assert (tmp_path / "journal.sqlite").stat().st_mode & 0o077 == 0


async def test_journal_of_a_newer_version_is_left_alone(tmp_path: Path, clock: HeldClock) -> None:
    path = tmp_path / "journal.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()

    journal = Outbox(path, clock=clock)
    journal.open()

    with pytest.raises(JournalError, match="journal-too-new"):
        await journal.probe()
    await journal.close()
    kept = sqlite3.connect(path)
    assert kept.execute("PRAGMA user_version").fetchone() == (2,)
    kept.close()
