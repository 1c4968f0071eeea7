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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from device_drivers.driver import Packet
from gateway.clock import Clock, ClockReading
from gateway.errors import JournalError
from gateway.journal_file import HEADROOM_BYTES, Space, space
from gateway.journal_writer import Damage, JournalWriter

T = TypeVar("T")

DEFAULT_MAX_BYTES: Final = 512 * 1024 * 1024
_EARLY_PURGE: Final = 500  # settled readings given up at a time when room is needed


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """One reading on its way to the server. `position` gives the order of sending."""

    position: int
    message_id: str
    device_id: str
    memory: str
    envelope: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """A reading to keep; `message_id` decides whether it is new."""

    message_id: str
    device_id: str
    memory: str
    envelope: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketState:
    """What became of one packet when it was read."""

    packet_id: int
    state: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """One session as the journal remembers it, with everything needed to read it again."""

    id: int
    device_id: str
    driver: str
    home_zone: str
    model: str | None
    firmware: str | None
    ended: bool
    packet_ids: tuple[int, ...]
    packets: tuple[Packet, ...]
    clock_readings: tuple[ClockReading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many of what, and since when the oldest waits."""

    pending: int
    sent: int
    stored: int
    rejected: int
    quarantined: int
    held: int
    undecoded: int
    oldest_pending_at: datetime | None

    @property
    def depth(self) -> int:
        """Readings without a receipt."""
        return self.pending + self.sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A reading the server refused, or a packet nobody could read; shown to a person, never sent again blindly."""

    id: str
    device_id: str
    at: datetime
    reason: str


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
        now = _text(self._clock.now())

        def job(connection: sqlite3.Connection) -> int:
            room = space(connection, self._path)
            if room.free_bytes < HEADROOM_BYTES:
                _give_up_settled(connection, _EARLY_PURGE)
                room = space(connection, self._path)
            if room.free_bytes < HEADROOM_BYTES:
                raise JournalError("journal-full", "no room for new readings; free space on the box")
            cursor = connection.execute(
                "INSERT INTO session (device_id, driver, home_zone, model, firmware, started_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (device_id, driver, home_zone, model, firmware, now),
            )
            return _id(cursor)

        return await self._do(job)

    def append(self, session_id: int, packet: Packet) -> Future[int]:
        """Queue a packet, at once and in order; never blocks (radio callbacks call it). Resolves after the commit."""

        def job(connection: sqlite3.Connection) -> int:
            return _id(
                connection.execute(
                    "INSERT INTO packet (session_id, characteristic, payload, received_at, monotonic) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (session_id, packet.characteristic, packet.payload, _text(packet.received_at), packet.monotonic),
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
                    _text(reading.gateway_at),
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
        now = _text(self._clock.now())

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

    async def load_session(self, session_id: int) -> StoredSession:
        return await self._do(lambda connection: _load_session(connection, session_id))

    async def file_readings(
        self, session_id: int, entries: Sequence[NewEntry], packets: Sequence[PacketState]
    ) -> list[str]:
        """Keep what a session's packets mean. One commit; a reading already known is not kept twice.

        Returns the message ids that are new.
        """
        now = _text(self._clock.now())

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
        now, text = _text(self._clock.now()), json.dumps(dict(token), sort_keys=True)

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
        now = _text(self._clock.now())
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
        now = _text(self._clock.now())
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
                (_text(settled_since),),
            ).rowcount

        return await self._do(job)

    # --- housekeeping and views -------------------------------------------------------------------------------------

    async def purge(self) -> int:
        """Forget readings whose receipt is older than the keeping time, with their packets. Returns how many."""
        before = _text(self._clock.now() - self._keep)

        def job(connection: sqlite3.Connection) -> int:
            gone = connection.execute("DELETE FROM entry WHERE state = 'stored' AND settled_at < ?", (before,)).rowcount
            connection.execute(f"DELETE FROM session WHERE started_at < ? AND {_FINISHED}", (before,))  # noqa: S608
            return gone

        return await self._do(job)

    async def probe(self) -> None:
        """Write something small: finds out that the disk works, or works again. Raises `JournalError`."""
        now = _text(self._clock.now())

        def job(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO probe (id, written_at) VALUES (1, ?)", (now,))

        await self._do(job)

    async def space(self) -> Space:
        return await self._do(lambda connection: space(connection, self._path))

    async def counts(self) -> Counts:
        return await self._do(_counts)

    async def rejected(self, *, limit: int = 100) -> list[Rejected]:
        """Readings the server refused, newest first."""

        def job(connection: sqlite3.Connection) -> list[Rejected]:
            rows = connection.execute(
                "SELECT message_id, device_id, settled_at, reason FROM entry WHERE state = 'rejected' "
                "ORDER BY settled_at DESC, position DESC LIMIT ?",
                (limit,),
            )
            return [Rejected(id=r[0], device_id=r[1], at=_moment(r[2]), reason=r[3] or "") for r in rows]

        return await self._do(job)

    async def unreadable(self, *, limit: int = 100) -> list[Rejected]:
        """Packets in quarantine, newest first."""

        def job(connection: sqlite3.Connection) -> list[Rejected]:
            rows = connection.execute(
                "SELECT p.id, s.device_id, p.received_at, p.reason FROM packet p JOIN session s ON s.id = p.session_id "
                "WHERE p.state = 'quarantined' ORDER BY p.id DESC LIMIT ?",
                (limit,),
            )
            return [Rejected(id=str(r[0]), device_id=r[1], at=_moment(r[2]), reason=r[3] or "") for r in rows]

        return await self._do(job)


# A session that may go: everything it brought is settled and gone, nothing waits to be read (again).
_FINISHED: Final = (
    "NOT EXISTS (SELECT 1 FROM entry e WHERE e.session_id = session.id) "
    "AND NOT EXISTS (SELECT 1 FROM packet p WHERE p.session_id = session.id AND p.state IN ('raw', 'quarantined'))"
)


def _give_up_settled(connection: sqlite3.Connection, how_many: int) -> None:
    """Make room from what the server has confirmed, oldest first, before its keeping time is over."""
    connection.execute(
        "DELETE FROM entry WHERE position IN "
        "(SELECT position FROM entry WHERE state = 'stored' ORDER BY settled_at LIMIT ?)",
        (how_many,),
    )
    connection.execute(f"DELETE FROM session WHERE ended_at IS NOT NULL AND {_FINISHED}")  # noqa: S608


def _load_session(connection: sqlite3.Connection, session_id: int) -> StoredSession:
    row = connection.execute(
        "SELECT device_id, driver, home_zone, model, firmware, ended_at FROM session WHERE id = ?", (session_id,)
    ).fetchone()
    if row is None:
        raise ValueError(f"there is no session {session_id} in the journal")
    packets = connection.execute(
        "SELECT id, characteristic, payload, received_at, monotonic FROM packet WHERE session_id = ? ORDER BY id",
        (session_id,),
    ).fetchall()
    clocks = connection.execute(
        "SELECT gateway_at, device_time, characteristic FROM clock_reading "
        "WHERE session_id = ? AND written = 0 ORDER BY id",
        (session_id,),
    ).fetchall()
    return StoredSession(
        id=session_id,
        device_id=row[0],
        driver=row[1],
        home_zone=row[2],
        model=row[3],
        firmware=row[4],
        ended=row[5] is not None,
        packet_ids=tuple(p[0] for p in packets),
        packets=tuple(
            Packet(characteristic=p[1], payload=p[2], received_at=_moment(p[3]), monotonic=p[4]) for p in packets
        ),
        clock_readings=tuple(
            ClockReading(
                gateway_at=_moment(c[0]),
                device_time=None if c[1] is None else datetime.fromisoformat(c[1]),
                characteristic=c[2],
            )
            for c in clocks
        ),
    )


def _counts(connection: sqlite3.Connection) -> Counts:
    entries = dict(connection.execute("SELECT state, count(*) FROM entry GROUP BY state").fetchall())
    packets = dict(
        connection.execute(
            "SELECT state, count(*) FROM packet WHERE state IN ('raw', 'quarantined', 'held') GROUP BY state"
        ).fetchall()
    )
    oldest = connection.execute(
        "SELECT created_at FROM entry WHERE state IN ('pending', 'sent') ORDER BY position LIMIT 1"
    ).fetchone()
    return Counts(
        pending=entries.get("pending", 0),
        sent=entries.get("sent", 0),
        stored=entries.get("stored", 0),
        rejected=entries.get("rejected", 0),
        quarantined=packets.get("quarantined", 0),
        held=packets.get("held", 0),
        undecoded=packets.get("raw", 0),
        oldest_pending_at=None if oldest is None else _moment(oldest[0]),
    )


def _id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise AssertionError("an insert without a row id")
    return cursor.lastrowid


def _text(moment: datetime) -> str:
    """UTC with microseconds: sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
