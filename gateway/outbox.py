"""The journal of the home box: raw packets, the readings made of them, and what the server has confirmed.

Input: packets as heard, readings as decoded, receipts. Output: readings to send, oldest first. Every promise is made
after a COMMIT with `synchronous=FULL`: a packet before it is decoded, a resume point not before the packets it covers,
`stored` only on the server's receipt. Nothing unsent ever expires; what the disk cannot take is refused and shown.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from device_drivers.driver import Packet
from gateway.clock import Clock, ClockReading
from gateway.errors import JournalError
from gateway.journal_file import HEADROOM_BYTES, Space, space
from gateway.journal_rows import (
    FINISHED,
    Counts,
    NewEntry,
    OutboxEntry,
    PacketState,
    Rejected,
    StoredSession,
    count_all,
    give_up_settled,
    load_session,
    moment_of,
    row_id,
    text_of,
)
from gateway.journal_writer import Damage, JournalWriter

T = TypeVar("T")

DEFAULT_MAX_BYTES: Final = 512 * 1024 * 1024
_EARLY_PURGE: Final = 500  # settled readings given up at a time when room is needed


class Outbox:
    """The journal. Safe to call from any thread; the `async` methods return after the commit."""

    def __init__(
        self, path: Path, *, clock: Clock, max_bytes: int = DEFAULT_MAX_BYTES, keep: timedelta = timedelta(days=30)
    ) -> None:
        self._path = path
        self._clock = clock
        self._keep = keep
        self._writer = JournalWriter(path, max_bytes=max_bytes, clock=clock)
        self._listeners: list[Callable[[], None]] = []

    def open(self) -> None:
        """Open or create the file. A disk that fails is reported by `trouble` and tried again with every job."""
        self._writer.start()

    async def close(self) -> None:
        """Commit what is queued and close."""
        await asyncio.to_thread(self._writer.stop)

    @property
    def trouble(self) -> JournalError | None:
        return self._writer.trouble

    @property
    def damage(self) -> Damage | None:
        """The last damaged file that was set aside in this run."""
        return self._writer.damage

    def on_new_entry(self, listener: Callable[[], None]) -> None:
        """Call `listener` (from the writer's thread) after new entries were committed."""
        self._listeners.append(listener)

    def _do(self, job: Callable[[sqlite3.Connection], T]) -> Awaitable[T]:
        return asyncio.wrap_future(self._writer.submit(job))

    # --- sessions and packets ---------------------------------------------------------------------------------------

    async def begin_session(
        self, *, device_id: str, driver: str, home_zone: str, model: str | None = None, firmware: str | None = None
    ) -> int:
        """Open a session. Raises `JournalError` when there is no room for what a device may send: without room
        nobody must be connected to, because devices forget what the Bluetooth stack confirmed."""
        now = text_of(self._clock.now())

        def job(connection: sqlite3.Connection) -> int:
            room = space(connection, self._path)
            if room.free_bytes < HEADROOM_BYTES:
                give_up_settled(connection, _EARLY_PURGE)
                room = space(connection, self._path)
            if room.free_bytes < HEADROOM_BYTES:
                raise JournalError("journal-full", "no room for new readings; free space on the box")
            cursor = connection.execute(
                "INSERT INTO session (device_id, driver, home_zone, model, firmware, started_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (device_id, driver, home_zone, model, firmware, now),
            )
            return row_id(cursor)

        return await self._do(job)

    def append(self, session_id: int, packet: Packet) -> Future[int]:
        """Queue a packet, at once and in order; never blocks (radio callbacks call it). Resolves after the commit."""

        def job(connection: sqlite3.Connection) -> int:
            return row_id(
                connection.execute(
                    "INSERT INTO packet (session_id, characteristic, payload, received_at, monotonic) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (session_id, packet.characteristic, packet.payload, text_of(packet.received_at), packet.monotonic),
                )
            )

        return self._writer.submit(job)

    def note_clock(self, session_id: int, reading: ClockReading, *, raw: bytes, written: bool = False) -> Future[None]:
        """Keep a coincident clock pair (`written=False`) or the fact that the clock was set (`written=True`)."""

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO clock_reading (session_id, gateway_at, device_time, characteristic, payload, written) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    session_id,
                    text_of(reading.gateway_at),
                    None if reading.device_time is None else reading.device_time.isoformat(),
                    reading.characteristic,
                    raw,
                    int(written),
                ),
            )

        return self._writer.submit(job)

    def note_information(self, session_id: int, *, model: str | None, firmware: str | None) -> Future[None]:
        """Keep what the device says of itself; the model decides how its packets are read."""

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE session SET model = coalesce(?, model), firmware = coalesce(?, firmware) WHERE id = ?",
                (model, firmware, session_id),
            )

        return self._writer.submit(job)

    async def end_session(self, session_id: int, outcome: str) -> None:
        now = text_of(self._clock.now())

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE session SET ended_at = ?, outcome = ? WHERE id = ? AND ended_at IS NULL",
                (now, outcome, session_id),
            )

        await self._do(job)

    async def undecoded_sessions(self, *, states: Sequence[str] = ("raw",)) -> list[int]:
        """Sessions with packets in one of the states (`raw` after a crash; `quarantined`, `held` to read again)."""

        def job(connection: sqlite3.Connection) -> list[int]:
            marks = ", ".join("?" * len(states))
            rows = connection.execute(
                f"SELECT DISTINCT session_id FROM packet WHERE state IN ({marks}) ORDER BY session_id",  # noqa: S608
                tuple(states),
            )
            return [row[0] for row in rows]

        return await self._do(job)

    async def sessions_of(self, device_id: str) -> list[int]:
        """The sessions of one device that the journal still has, oldest first."""

        def job(connection: sqlite3.Connection) -> list[int]:
            rows = connection.execute("SELECT id FROM session WHERE device_id = ? ORDER BY id", (device_id,))
            return [row[0] for row in rows]

        return await self._do(job)

    async def load_session(self, session_id: int) -> StoredSession:
        return await self._do(lambda connection: load_session(connection, session_id))

    async def file_readings(
        self, session_id: int, entries: Sequence[NewEntry], packets: Sequence[PacketState]
    ) -> list[str]:
        """Keep what a session's packets mean. One commit; a reading already known is not kept twice.

        Returns the message ids that are new.
        """
        now = text_of(self._clock.now())

        def job(connection: sqlite3.Connection) -> list[str]:
            new: list[str] = []
            for entry in entries:
                cursor = connection.execute(
                    "INSERT INTO entry (message_id, session_id, device_id, memory, envelope, created_at) "
                    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (message_id) DO NOTHING",
                    (entry.message_id, session_id, entry.device_id, entry.memory, entry.envelope, now),
                )
                if cursor.rowcount:
                    new.append(entry.message_id)
            connection.executemany(
                "UPDATE packet SET state = ?, reason = ? WHERE id = ?",
                [(packet.state, packet.reason, packet.packet_id) for packet in packets],
            )
            return new

        new = await self._do(job)
        if new:
            for listener in self._listeners:
                listener()
        return new

    # --- resume points ----------------------------------------------------------------------------------------------

    async def resume(self, device_id: str, driver: str) -> dict[str, object]:
        """What the driver stored at the last contact; empty at the first, and after the journal was lost."""

        def job(connection: sqlite3.Connection) -> dict[str, object]:
            row = connection.execute(
                "SELECT token FROM resume WHERE device_id = ? AND driver = ?", (device_id, driver)
            ).fetchone()
            token: dict[str, object] = {} if row is None else json.loads(row[0])
            return token

        return await self._do(job)

    async def set_resume(self, device_id: str, driver: str, token: Mapping[str, object]) -> None:
        """Move the resume point. The writer keeps the order of calls: packets appended before are in the same commit
        or an earlier one."""
        now, text = text_of(self._clock.now()), json.dumps(dict(token), sort_keys=True)

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO resume (device_id, driver, token, moved_at) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (device_id, driver) DO UPDATE SET token = excluded.token, moved_at = excluded.moved_at",
                (device_id, driver, text, now),
            )

        await self._do(job)

    # --- sending ----------------------------------------------------------------------------------------------------

    async def unsettled(self, *, after: int = 0, limit: int = 100) -> list[OutboxEntry]:
        """Readings without a receipt, in order, from behind a position."""

        def job(connection: sqlite3.Connection) -> list[OutboxEntry]:
            rows = connection.execute(
                "SELECT position, message_id, device_id, memory, envelope FROM entry "
                "WHERE state IN ('pending', 'sent') AND position > ? ORDER BY position LIMIT ?",
                (after, limit),
            )
            return [
                OutboxEntry(position=row[0], message_id=row[1], device_id=row[2], memory=row[3], envelope=row[4])
                for row in rows
            ]

        return await self._do(job)

    async def mark_sent(self, positions: Iterable[int]) -> None:
        now = text_of(self._clock.now())
        parameters = [(now, position) for position in positions]

        def job(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE entry SET state = 'sent', attempts = attempts + 1, sent_at = ? "
                "WHERE position = ? AND state IN ('pending', 'sent')",
                parameters,
            )

        await self._do(job)

    async def settle(self, stored: Iterable[str], rejected: Iterable[tuple[str, str]] = ()) -> int:
        """Apply a receipt. `stored` also lifts an earlier rejection (the server replayed it). Returns how many of our
        readings changed; ids that are not ours are ignored."""
        now = text_of(self._clock.now())
        stored_rows = [(now, message_id) for message_id in stored]
        rejected_rows = [(now, reason, message_id) for message_id, reason in rejected]

        def job(connection: sqlite3.Connection) -> int:
            changed = connection.executemany(
                "UPDATE entry SET state = 'stored', settled_at = ?, reason = NULL "
                "WHERE message_id = ? AND state <> 'stored'",
                stored_rows,
            ).rowcount
            changed += connection.executemany(
                "UPDATE entry SET state = 'rejected', settled_at = ?, reason = ? "
                "WHERE message_id = ? AND state IN ('pending', 'sent')",
                rejected_rows,
            ).rowcount
            return changed

        return await self._do(job)

    async def send_again(self, *, settled_since: datetime) -> int:
        """Make everything stored since then pending again (the server restored an older backup). Returns how many."""

        def job(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "UPDATE entry SET state = 'pending', settled_at = NULL WHERE state = 'stored' AND settled_at >= ?",
                (text_of(settled_since),),
            ).rowcount

        return await self._do(job)

    # --- housekeeping and views -------------------------------------------------------------------------------------

    async def purge(self) -> int:
        """Forget readings whose receipt is older than the keeping time, with their packets. Returns how many."""
        before = text_of(self._clock.now() - self._keep)

        def job(connection: sqlite3.Connection) -> int:
            gone = connection.execute("DELETE FROM entry WHERE state = 'stored' AND settled_at < ?", (before,)).rowcount
            connection.execute(f"DELETE FROM session WHERE started_at < ? AND {FINISHED}", (before,))  # noqa: S608
            return gone

        return await self._do(job)

    async def probe(self) -> None:
        """Write something small: finds out that the disk works, or works again. Raises `JournalError`."""
        now = text_of(self._clock.now())

        def job(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO probe (id, written_at) VALUES (1, ?)", (now,))

        await self._do(job)

    async def space(self) -> Space:
        return await self._do(lambda connection: space(connection, self._path))

    async def counts(self) -> Counts:
        return await self._do(count_all)

    async def rejected(self, *, limit: int = 100) -> list[Rejected]:
        """Readings the server refused, newest first."""

        def job(connection: sqlite3.Connection) -> list[Rejected]:
            rows = connection.execute(
                "SELECT message_id, device_id, settled_at, reason FROM entry WHERE state = 'rejected' "
                "ORDER BY settled_at DESC, position DESC LIMIT ?",
                (limit,),
            )
            return [Rejected(id=r[0], device_id=r[1], at=moment_of(r[2]), reason=r[3] or "") for r in rows]

        return await self._do(job)

    async def unreadable(self, *, limit: int = 100) -> list[Rejected]:
        """Packets in quarantine, newest first."""

        def job(connection: sqlite3.Connection) -> list[Rejected]:
            rows = connection.execute(
                "SELECT p.id, s.device_id, p.received_at, p.reason FROM packet p JOIN session s ON s.id = p.session_id "
                "WHERE p.state = 'quarantined' ORDER BY p.id DESC LIMIT ?",
                (limit,),
            )
            return [Rejected(id=str(r[0]), device_id=r[1], at=moment_of(r[2]), reason=r[3] or "") for r in rows]

        return await self._do(job)
