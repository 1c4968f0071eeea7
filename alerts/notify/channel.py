"""What a channel is: something that takes a notification and says how the attempt went.

Input: a `Notification` (identifiers, severity, level: never a name or a value). Output: a `Delivery`. A channel that
fails says so as a value; it does not raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import psycopg


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Somebody must be told of an alert. `level` 0 is the first on call."""

    id: int
    practice_id: str
    alert_id: str
    family: str
    severity: str
    level: int
    due_at: datetime
    late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt on one channel."""

    channel: str
    succeeded: bool
    reason: str = ""


class Channel(Protocol):
    """A way to reach people."""

    name: str

    async def send(self, conn: psycopg.AsyncConnection[Any], notification: Notification) -> Delivery:
        """Try once. `conn` is in the transaction that records the attempt."""
        ...
