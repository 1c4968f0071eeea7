"""Live updates: one task listens to the database for all browsers and hands out hints over Server-Sent Events.

Input: rows of `ui_event` announced on the channel `vw_ui`. Output: per browser a bounded queue of (id, kind, ref). A
hint says that something changed; the page asks for the rows itself, so a lost or doubled hint does no harm.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool

from server.db.pool import AsyncConnection, async_transaction, conninfo

_log = structlog.get_logger(__name__)
CHANNEL: Final = "vw_ui"
# A browser that is this far behind asks for everything again instead: memory stays bounded whatever a client does.
QUEUE_LIMIT: Final = 64
# Numbers are given before the commit: a lower one can appear after a higher one. So look back a little.
_LOOK_BACK: Final = 200
_RECONNECT_SECONDS: Final = (0.2, 1.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Something changed. `kind` "refresh" means: ask for everything."""

    id: int | None
    kind: str
    ref: str = ""

    def encode(self) -> bytes:
        number = f"id: {self.id}\n" if self.id is not None else ""
        body = json.dumps({"kind": self.kind, "ref": self.ref}, separators=(",", ":"))
        return f"{number}event: hint\ndata: {body}\n\n".encode()


REFRESH: Final = Hint(id=None, kind="refresh")


@dataclass(slots=True, eq=False)
class Subscription:
    """One browser's queue."""

    practice_id: str
    queue: asyncio.Queue[Hint] = field(default_factory=lambda: asyncio.Queue(QUEUE_LIMIT))

    def offer(self, hint: Hint) -> None:
        """Never waits. When full, everything queued is replaced by one "refresh"."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(REFRESH)
        else:
            self.queue.put_nowait(hint)


@dataclass(slots=True)
class _Seen:
    newest: int = 0
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=2 * _LOOK_BACK))


class Hub:
    """All subscriptions of this process."""

    def __init__(self, *, dsn: str, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self._conninfo = conninfo(dsn, "vw_web", "vitalwire-web-live")
        self._pool = pool
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._seen: dict[str, _Seen] = {}
        self.listening = asyncio.Event()

    @asynccontextmanager
    async def subscribe(self, practice_id: str, *, after: int | None = None) -> AsyncIterator[Subscription]:
        """A queue that starts with what was missed after event `after`."""
        subscription = Subscription(practice_id)
        subscribers = self._subscriptions.setdefault(practice_id, set())
        if practice_id not in self._seen:
            self._seen[practice_id] = await self._already_there(practice_id)
        subscribers.add(subscription)
        try:
            if after is not None:
                for hint in await self._events(practice_id, after):
                    subscription.offer(hint)
            yield subscription
        finally:
            subscribers.discard(subscription)

    async def run(self) -> None:
        """Listen until cancelled. After a lost connection every page is told to ask again."""
        attempt = 0
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as conn:
                    await conn.execute("LISTEN vw_ui")
                    attempt = 0
                    self.listening.set()
                    self._tell_all(REFRESH)
                    async for notice in conn.notifies():
                        await self._hand_out(notice.payload)
            except psycopg.OperationalError as error:
                self.listening.clear()
                _log.warning("live-updates-lost", error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS[min(attempt, len(_RECONNECT_SECONDS) - 1)])
            attempt += 1

    async def _hand_out(self, practice_id: str) -> None:
        subscribers = self._subscriptions.get(practice_id)
        if not subscribers:
            self._seen.pop(practice_id, None)
            return
        seen = self._seen.setdefault(practice_id, _Seen())
        for hint in await self._events(practice_id, seen.newest - _LOOK_BACK):
            if hint.id is None or hint.id in seen.recent:
                continue
            seen.recent.append(hint.id)
            seen.newest = max(seen.newest, hint.id)
            for subscription in tuple(subscribers):
                subscription.offer(hint)

    async def _events(self, practice_id: str, after: int) -> list[Hint]:
        async with async_transaction(self._pool, practice_id) as conn:
            cursor = await conn.execute(
                "SELECT id, kind, ref FROM ui_event WHERE practice_id = %s AND id > %s ORDER BY id LIMIT 500",
                (practice_id, after),
            )
            return [Hint(id=number, kind=kind, ref=ref) for number, kind, ref in await cursor.fetchall()]

    async def _already_there(self, practice_id: str) -> _Seen:
        """What the pages already showed when they were loaded: not to be handed out again."""
        async with async_transaction(self._pool, practice_id) as conn:
            cursor = await conn.execute(
                "SELECT id FROM ui_event WHERE practice_id = %s ORDER BY id DESC LIMIT %s", (practice_id, _LOOK_BACK)
            )
            ids = [int(row[0]) for row in await cursor.fetchall()]
        seen = _Seen(newest=max(ids, default=0))
        seen.recent.extend(reversed(ids))
        return seen

    def _tell_all(self, hint: Hint) -> None:
        for subscribers in self._subscriptions.values():
            for subscription in subscribers:
                subscription.offer(hint)
