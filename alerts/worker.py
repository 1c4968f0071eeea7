"""The alert worker: wake on new readings or due clocks, judge in batches, tell people.

Input: a DSN and a rule set. Output: rows. It sleeps until ingest says that readings wait (`vw_alert_work`) or the next
clock is due, and looks by itself every second, so that a lost wake-up costs a second and never a reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
import structlog
from psycopg.conninfo import make_conninfo

from alerts import clock, tables
from alerts.batch import Done, Rulebook, run_batch, run_gateways
from alerts.notify.channel import Channel
from alerts.notify.console import Console
from alerts.notify.dispatch import dispatch
from alerts.notify.web import Web
from alerts.rule_set import RuleSet

log = structlog.get_logger(__name__)

CHANNEL: Final = "vw_alert_work"
# Timers may be this late (the promise is 5 s); shorter costs an index look-up more often.
POLL_SECONDS: Final = 1.0
# Patients who got a device but never measured are looked for this often.
ENROL_EVERY: Final = timedelta(minutes=5)
# A lost home is a task for the working day (P4): seconds do not matter, the load of looking does.
HOMES_EVERY: Final = timedelta(seconds=5)
_RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)


async def connect(dsn: str) -> tables.AsyncConnection:
    """A connection that has taken the role of the alert worker, outside any transaction."""
    conninfo = make_conninfo(dsn, options="-c timezone=UTC -c role=vw_alerts", application_name="vitalwire-alerts")
    return await psycopg.AsyncConnection.connect(conninfo, autocommit=True)


async def longest_wait_seconds(dsn: str) -> float | None:
    """How long the oldest stored reading has waited for its judgement; None when the database does not answer."""
    try:
        async with await connect(dsn) as conn:
            return await tables.longest_wait_seconds(conn)
    except psycopg.OperationalError:
        return None


class Worker:
    """One worker process. Any number may run: patients are locked, never shared."""

    def __init__(
        self,
        dsn: str,
        rule_set: RuleSet,
        *,
        channels: Sequence[Channel] = (),
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._dsn = dsn
        self._book = Rulebook(rule_set)
        self._channels = tuple(channels) or (Console(), Web())
        self._now = now
        self._enrolled_at: datetime | None = None
        self._homes_at: datetime | None = None

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], Any] = lambda: None) -> None:
        """Work until `stop` is set. A database that goes away is waited for, said once when it goes and returns."""
        failures = 0
        announced = False
        while not stop.is_set():
            try:
                async with await connect(self._dsn) as conn, await connect(self._dsn) as ear:
                    await ear.execute(f"LISTEN {CHANNEL}")
                    if failures:
                        log.warning("database-back", attempts=failures)
                    failures = 0
                    if not announced:
                        announced = True
                        on_ready()
                    await self._serve(conn, ear, stop)
            except psycopg.OperationalError as error:
                if failures == 0:
                    log.error("database-away", kind=type(error).__name__)
                wait = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
                failures += 1
                await _sleep(stop, wait)

    async def once(self, conn: tables.AsyncConnection) -> Done:
        """One batch and its notifications, each in a transaction of its own."""
        now = self._now()
        if self._enrolled_at is None or now - self._enrolled_at >= ENROL_EVERY:
            async with conn.transaction():
                await tables.enrol_silent_patients(conn, now=now)
            self._enrolled_at = now
        if self._homes_at is None or now - self._homes_at >= HOMES_EVERY:
            async with conn.transaction():
                await run_gateways(conn, self._book, now=now)
            self._homes_at = now
        async with conn.transaction():
            done = await run_batch(conn, self._book, now=now)
        if done.notifications:
            await self.tell(conn)
        return done

    async def tell(self, conn: tables.AsyncConnection) -> int:
        """Send what is unsettled, also what a worker before this one left."""
        async with conn.transaction():
            return await dispatch(conn, self._channels, now=self._now())

    async def _serve(self, conn: tables.AsyncConnection, ear: tables.AsyncConnection, stop: asyncio.Event) -> None:
        await self.tell(conn)
        stopping = asyncio.create_task(stop.wait(), name="alerts-stop")
        heard = asyncio.Event()
        listening = asyncio.create_task(_listen(ear, heard), name="alerts-listen")
        try:
            while not stop.is_set():
                heard.clear()
                done = await self.once(conn)
                if done.patients:
                    continue
                waking = asyncio.create_task(heard.wait(), name="alerts-wake")
                await asyncio.wait(
                    {waking, stopping, listening}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                waking.cancel()
                if listening.done():
                    listening.result()
        finally:
            for task in (stopping, listening):
                task.cancel()
            await asyncio.gather(stopping, listening, return_exceptions=True)


async def _listen(ear: tables.AsyncConnection, heard: asyncio.Event) -> None:
    async for _ in ear.notifies():
        heard.set()


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
