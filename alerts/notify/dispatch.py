"""Send what is due and record every attempt.

Input: a connection of the role `vw_alerts` inside a transaction, channels. Output: how many were settled. A worker that
dies in between leaves the notification unsettled, and the next one sends it: at least once, never not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from alerts.notify.channel import Channel, Notification


async def dispatch(
    conn: psycopg.AsyncConnection[Any], channels: Sequence[Channel], *, now: datetime, limit: int = 500
) -> int:
    """Send the oldest unsettled notifications on every channel; each attempt is a row."""
    async with conn.cursor(row_factory=class_row(Notification)) as cursor:
        await cursor.execute(
            """
            SELECT n.id, n.practice_id, n.alert_id, a.family, a.severity, n.level, n.due_at, n.late
            FROM notification n
            JOIN alert a ON a.id = n.alert_id
            WHERE n.settled_at IS NULL
            ORDER BY n.id
            LIMIT %s
            FOR UPDATE OF n SKIP LOCKED
            """,
            (limit,),
        )
        notifications = await cursor.fetchall()
    attempts = [(n, await channel.send(conn, n)) for n in notifications for channel in channels]
    if not attempts:
        return 0
    async with conn.cursor() as writer:
        await writer.executemany(
            "INSERT INTO delivery (practice_id, notification_id, channel, attempted_at, succeeded, reason)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [(n.practice_id, n.id, d.channel, now, d.succeeded, d.reason) for n, d in attempts],
        )
    await conn.execute(
        "UPDATE notification SET settled_at = %s WHERE id = ANY(%s)", (now, [n.id for n in notifications])
    )
    return len(notifications)
