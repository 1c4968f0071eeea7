"""Power cuts: whatever instant the machine dies at, every packet that was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_drivers.driver import Packet
from gateway.outbox import Outbox
from tests.support.clocks import HeldClock

HEARD = datetime(2026, 3, 2, 12, 0, 9, tzinfo=UTC)
OFFSETS = 500
KILLS = 15


def packet(number: int) -> Packet:
    return Packet(characteristic="2A18", payload=number.to_bytes(4, "big") * 5, received_at=HEARD, monotonic=1.0)


async def written_journal(path: Path, count: int) -> list[int]:
    """Append packets one commit at a time; the length of the write-ahead log after each acknowledgement.

    The copy is taken while the journal is open: closing would move the log into the database.
    """
    outbox = Outbox(path / "journal.sqlite", clock=HeldClock())
    outbox.open()
    session = await outbox.begin_session(device_id="gl-1", driver="std.glucose", home_zone="UTC")
    lengths = []
    for number in range(count):
        await asyncio.wrap_future(outbox.append(session, packet(number)))
        lengths.append((path / "journal.sqlite-wal").stat().st_size)
    copy = path / "copy"
    copy.mkdir()
    for name in ("journal.sqlite", "journal.sqlite-wal"):
        shutil.copyfile(path / name, copy / name)
    await outbox.close()
    return lengths


async def stored_numbers(path: Path) -> list[int]:
    outbox = Outbox(path, clock=HeldClock())
    outbox.open()
    assert outbox.damage is None, "a cut log must never look like a damaged journal"
    numbers: list[int] = []
    for session in await outbox.undecoded_sessions():
        numbers.extend(int.from_bytes(p.payload[:4], "big") for p in (await outbox.load_session(session)).packets)
    await outbox.close()
    return numbers


@pytest.mark.parametrize("garbled", [False, True], ids=["truncated", "garbled"])
async def test_log_cut_at_any_offset_keeps_every_acknowledged_packet(tmp_path: Path, garbled: bool) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    lengths = await written_journal(tmp_path, 60)
    log = (tmp_path / "copy" / "journal.sqlite-wal").read_bytes()
    trial = tmp_path / "trial"

    for _ in range(OFFSETS // 2):
        offset = chance.randrange(len(log))
        shutil.rmtree(trial, ignore_errors=True)
        trial.mkdir()
        shutil.copyfile(tmp_path / "copy" / "journal.sqlite", trial / "journal.sqlite")
        tail = chance.randbytes(len(log) - offset) if garbled else b""
        (trial / "journal.sqlite-wal").write_bytes(log[:offset] + tail)

        found = await stored_numbers(trial / "journal.sqlite")

        synced = sum(length <= offset for length in lengths)
        assert found == list(range(len(found))), f"offset {offset}: not a prefix"
        assert len(found) >= synced, f"offset {offset}: {synced} were acknowledged, {len(found)} are there"
        connection = sqlite3.connect(trial / "journal.sqlite")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


_WRITER = """
import asyncio, os, sys
from datetime import UTC, datetime
from pathlib import Path
from device_drivers.driver import Packet
from gateway.clock import SystemClock
from gateway.outbox import Outbox

async def main():
    outbox = Outbox(Path(sys.argv[1]), clock=SystemClock())
    outbox.open()
    session = await outbox.begin_session(device_id="gl-1", driver="std.glucose", home_zone="UTC")
    number = int(sys.argv[2])
    while True:
        futures = []
        for number in range(number, number + 1 + number % 7):
            packet = Packet(characteristic="2A18", payload=number.to_bytes(4, "big"), received_at=datetime.now(UTC),
                            monotonic=0.0)
            futures.append(asyncio.wrap_future(outbox.append(session, packet)))
        await asyncio.gather(*futures)
        await outbox.set_resume("gl-1", "std.glucose", {"next": number + 1})
        os.write(1, b"%d\\n" % number)
        number += 1

asyncio.run(main())
"""


async def test_killed_writer_loses_no_acknowledged_packet_and_never_runs_ahead_of_its_resume_point(
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    path = tmp_path / "journal.sqlite"
    acknowledged = 0  # numbers below this were promised

    for _ in range(KILLS):
        process = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", _WRITER, str(path), str(acknowledged)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 30)[0], "the writer never wrote"
        heard = os.read(process.stdout.fileno(), 16)
        wanted = chance.randrange(4000)
        while len(heard) < wanted and heard.count(b"\n") < 400:
            heard += os.read(process.stdout.fileno(), 1024)
        process.send_signal(signal.SIGKILL)
        process.wait()
        heard += process.stdout.read()
        process.stdout.close()
        acknowledged = int(heard.rsplit(b"\n", 2)[-2]) + 1

        outbox = Outbox(path, clock=HeldClock())
        outbox.open()
        numbers: list[int] = []
        for session in await outbox.undecoded_sessions():
            numbers.extend(int.from_bytes(p.payload, "big") for p in (await outbox.load_session(session)).packets)
        resume = await outbox.resume("gl-1", "std.glucose")
        await outbox.close()
        assert outbox.damage is None
        assert set(range(acknowledged)) <= set(numbers)
        reached = resume["next"]
        assert isinstance(reached, int)
        assert acknowledged <= reached
        assert set(range(reached)) <= set(numbers), "the resume point covers packets that are not there"
        acknowledged = reached
