"""Full, read-only and damaged disks: nothing is acknowledged, somebody is told, it goes on by itself."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_drivers.driver import Packet
from gateway.errors import JournalError
from gateway.journal_rows import NewEntry
from gateway.outbox import Outbox
from tests.support.clocks import HeldClock

HEARD = datetime(2026, 3, 2, 12, 0, 9, tzinfo=UTC)
MEBIBYTE = 1024 * 1024


def packet(payload: bytes) -> Packet:
    return Packet(characteristic="2A35", payload=payload, received_at=HEARD, monotonic=1.0)


async def begin(outbox: Outbox) -> int:
    return await outbox.begin_session(device_id="bp-1", driver="std.blood_pressure", home_zone="UTC")


async def fill(outbox: Outbox, session: int) -> int:
    """Append 64 KiB packets until one is refused; how many were taken."""
    for number in range(10_000):
        try:
            await asyncio.wrap_future(outbox.append(session, packet(bytes(65536))))
        except JournalError:
            return number
    raise AssertionError("the bound does not hold")


async def test_full_journal_refuses_packets_and_sessions_and_keeps_what_it_has(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "journal.sqlite", clock=HeldClock(), max_bytes=4 * MEBIBYTE)
    outbox.open()
    session = await begin(outbox)

    taken = await fill(outbox, session)

    assert outbox.trouble is not None
    assert outbox.trouble.trouble == "journal-full"
    assert 40 <= taken <= 64
    assert len((await outbox.load_session(session)).packets) == taken
    with pytest.raises(JournalError, match="journal-full"):
        await begin(outbox)
    assert (await outbox.space()).nearly_full
    await outbox.close()


async def test_room_is_made_from_receipted_readings_only(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "journal.sqlite", clock=HeldClock(), max_bytes=4 * MEBIBYTE)
    outbox.open()
    session = await begin(outbox)
    big = [NewEntry(message_id=f"m{n}", device_id="bp-1", memory="stored", envelope=bytes(60_000)) for n in range(54)]
    await outbox.file_readings(session, big, [])
    with pytest.raises(JournalError):
        await begin(outbox)
    assert (await outbox.counts()).depth == 54

    await outbox.settle([f"m{n}" for n in range(40)])
    await begin(outbox)

    counts = await outbox.counts()
    assert (counts.depth, counts.stored) == (14, 0)
    await outbox.close()


async def test_resume_point_stays_when_the_packets_it_covers_were_refused(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "journal.sqlite", clock=HeldClock(), max_bytes=4 * MEBIBYTE)
    outbox.open()
    session = await begin(outbox)
    await outbox.set_resume("bp-1", "std.blood_pressure", {"next": 5})
    await fill(outbox, session)

    with pytest.raises(JournalError):
        await asyncio.wrap_future(outbox.append(session, packet(bytes(65536))))

    assert await outbox.resume("bp-1", "std.blood_pressure") == {"next": 5}
    await outbox.close()


_LIMITED_WRITER = """
import asyncio, json, resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from device_drivers.driver import Packet
from gateway.clock import SystemClock
from gateway.errors import JournalError
from gateway.outbox import Outbox

async def main():
    outbox = Outbox(Path(sys.argv[1]), clock=SystemClock())
    outbox.open()
    session = await outbox.begin_session(device_id="bp-1", driver="std.blood_pressure", home_zone="UTC")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
    taken, trouble = 0, None
    for number in range(2000):
        packet = Packet(characteristic="2A35", payload=number.to_bytes(4, "big") + bytes(2000),
                        received_at=datetime.now(UTC), monotonic=0.0)
        try:
            await asyncio.wrap_future(outbox.append(session, packet))
        except JournalError as error:
            trouble = error.trouble
            break
        taken += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await outbox.probe()
    stored = [int.from_bytes(p.payload[:4], "big") for p in (await outbox.load_session(session)).packets]
    print(json.dumps({"taken": taken, "trouble": trouble, "stored": stored, "after": outbox.trouble is None}))
    await outbox.close()

asyncio.run(main())
"""


def test_file_system_that_refuses_more_bytes_loses_nothing_acknowledged_and_resumes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED_WRITER, str(tmp_path / "journal.sqlite")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    result = json.loads(done.stdout.splitlines()[-1])

    assert result["trouble"] in {"journal-full", "journal-disk-error"}
    assert result["taken"] > 20
    assert result["stored"] == list(range(result["taken"]))
    assert result["after"] is True


async def test_folder_that_cannot_be_made_is_reported_and_tried_again(tmp_path: Path) -> None:
    obstacle = tmp_path / "data"
    obstacle.write_text("a file stands where the folder should be", encoding="utf-8")
    outbox = Outbox(obstacle / "journal.sqlite", clock=HeldClock())
    outbox.open()

    with pytest.raises(JournalError):
        await begin(outbox)
    assert outbox.trouble is not None

    obstacle.unlink()
    await begin(outbox)
    assert outbox.trouble is None
    await outbox.close()


async def test_journal_that_became_read_only_recovers(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    outbox = Outbox(path, clock=HeldClock())
    outbox.open()
    session = await begin(outbox)

    await outbox._do(lambda connection: connection.execute("PRAGMA query_only = ON").fetchall())
    with pytest.raises(JournalError, match="journal-read-only"):
        await asyncio.wrap_future(outbox.append(session, packet(b"x")))

    await asyncio.wrap_future(outbox.append(session, packet(b"y")))  # opened again by itself
    assert [p.payload for p in (await outbox.load_session(session)).packets] == [b"y"]
    await outbox.close()


async def _journal_with_readings(path: Path, count: int) -> None:
    outbox = Outbox(path, clock=HeldClock())
    outbox.open()
    session = await begin(outbox)
    await outbox.set_resume("bp-1", "std.blood_pressure", {"next": 5})
    entries = [
        NewEntry(message_id=f"m{n:04}", device_id="bp-1", memory="live", envelope=b"{}" + bytes(400))
        for n in range(count)
    ]
    await outbox.file_readings(session, entries, [])
    await outbox.close()


async def test_damaged_header_starts_a_new_journal_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    await _journal_with_readings(path, 10)
    with path.open("r+b") as file:
        file.write(os.urandom(100))

    outbox = Outbox(path, clock=HeldClock())
    outbox.open()
    session = await begin(outbox)

    assert outbox.damage is not None
    assert (tmp_path / outbox.damage.kept_as).exists()
    assert await outbox.resume("bp-1", "std.blood_pressure") == {}  # the device's history is read again
    await asyncio.wrap_future(outbox.append(session, packet(b"new")))
    await outbox.close()


async def test_damaged_page_costs_only_what_stood_on_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    await _journal_with_readings(path, 400)
    connection = sqlite3.connect(path)
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'packet_session'").fetchone()[0]
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:  # an index the unsettled readings do not need
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    outbox = Outbox(path, clock=HeldClock())
    outbox.open()

    assert outbox.damage is not None
    assert outbox.damage.salvaged == 400
    assert [found.message_id for found in await outbox.unsettled(limit=500)] == [f"m{n:04}" for n in range(400)]
    await outbox.close()
