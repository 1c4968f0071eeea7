"""The journal's rows as values: what goes in, what comes out, and the SQL that reads and clears more than one table.

Input: an open connection. Output: frozen values. Instants are text in UTC with microseconds, so that they sort.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from device_drivers.driver import Packet
from gateway.clock import ClockReading


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


# A session that may go: everything it brought is settled and gone, nothing waits to be read (again).
FINISHED: Final = (
    "NOT EXISTS (SELECT 1 FROM entry e WHERE e.session_id = session.id) "
    "AND NOT EXISTS (SELECT 1 FROM packet p WHERE p.session_id = session.id AND p.state IN ('raw', 'quarantined'))"
)


def give_up_settled(connection: sqlite3.Connection, how_many: int) -> None:
    """Make room from what the server has confirmed, oldest first, before its keeping time is over."""
    connection.execute(
        "DELETE FROM entry WHERE position IN "
        "(SELECT position FROM entry WHERE state = 'stored' ORDER BY settled_at LIMIT ?)",
        (how_many,),
    )
    connection.execute(f"DELETE FROM session WHERE ended_at IS NOT NULL AND {FINISHED}")  # noqa: S608


def load_session(connection: sqlite3.Connection, session_id: int) -> StoredSession:
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
            Packet(characteristic=p[1], payload=p[2], received_at=moment_of(p[3]), monotonic=p[4]) for p in packets
        ),
        clock_readings=tuple(
            ClockReading(
                gateway_at=moment_of(c[0]),
                device_time=None if c[1] is None else datetime.fromisoformat(c[1]),
                characteristic=c[2],
            )
            for c in clocks
        ),
    )


def count_all(connection: sqlite3.Connection) -> Counts:
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
        oldest_pending_at=None if oldest is None else moment_of(oldest[0]),
    )


def row_id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise AssertionError("an insert without a row id")
    return cursor.lastrowid


def text_of(moment: datetime) -> str:
    """UTC with microseconds: sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def moment_of(text: str) -> datetime:
    return datetime.fromisoformat(text)
