"""The operator's terminal: one log line a notification, with identifiers only."""

from __future__ import annotations

from typing import Any

import psycopg
import structlog

from alerts.notify.channel import Delivery, Notification

log = structlog.get_logger(__name__)


class Console:
    """Says it in the worker's log."""

    name = "console"

    async def send(self, conn: psycopg.AsyncConnection[Any], notification: Notification) -> Delivery:  # noqa: ARG002
        log.warning(
            "notification",
            alert_id=notification.alert_id,
            family=notification.family,
            severity=notification.severity,
            level=notification.level,
            late=notification.late,
        )
        return Delivery(channel=self.name, succeeded=True)
