"""Open browser pages: a `notice` event in the stream every page of the practice listens to."""

from __future__ import annotations

from typing import Any

import psycopg

from alerts.notify.channel import Delivery, Notification


class Web:
    """Wakes the pages; the event carries the alert's identifier and nothing else."""

    name = "web"

    async def send(self, conn: psycopg.AsyncConnection[Any], notification: Notification) -> Delivery:
        await conn.execute("SELECT emit_ui_event(%s, 'notice', %s)", (notification.practice_id, notification.alert_id))
        return Delivery(channel=self.name, succeeded=True)
