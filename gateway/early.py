"""Readings on their way while their session still runs: a critical pressure does not wait for a cuff to hang up.

Input: a session's journalled packets, woken by every new one once the driver said what they are judged by. Output:
entries in the outbox. Nothing here is a promise: what this misses, or a crash cuts off, the session's end files, and
what both file is one entry, because both derive the same message id.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import structlog

from device_drivers.driver import Driver
from gateway.derive import derive_early
from gateway.errors import JournalError
from gateway.outbox import Outbox

log = structlog.get_logger(__name__)

_PAUSE_SECONDS: Final = 0.2
"""Between two looks. Every look reads the session from its start and costs a disk flush: shorter wears the card in a
meter's long transfer, longer delays its last reading. The first packet after a pause never waits."""
_REST_FACTOR: Final = 4
"""A look at a long session may take long on a small box: so many times its duration are left to the radio."""


class EarlyReader:
    """One for each session. `filed` counts the readings that went out before the end and were new."""

    def __init__(self, outbox: Outbox, session_id: int, driver: Driver) -> None:
        self._outbox = outbox
        self._session_id = session_id
        self._driver = driver
        self._news = asyncio.Event()
        self._ending = asyncio.Event()
        self._known: set[str] = set()
        self.filed = 0

    def wake(self) -> None:
        """There is something new in the journal, or on its way into it: looks queue behind it."""
        self._news.set()

    @contextlib.asynccontextmanager
    async def while_running(self) -> AsyncIterator[None]:
        """Look on, until the block ends. A look that has begun is finished: its entries are announced to the sender."""
        task = asyncio.create_task(self._run(), name="early-readings")
        try:
            yield
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            self._ending.set()
            self._news.set()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            if self._ending.is_set():
                return
            self._news.clear()
            began = loop.time()
            try:
                await self._look()
            except JournalError as error:
                log.warning("early_readings_given_up", session=self._session_id, trouble=error.trouble)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(_PAUSE_SECONDS, _REST_FACTOR * (loop.time() - began))):
                    await self._ending.wait()

    async def _look(self) -> None:
        session = await self._outbox.load_session(self._session_id)
        entries = await asyncio.to_thread(derive_early, session, self._driver, known=frozenset(self._known))
        if entries:
            # Packets stay unread until the session's end: after a crash they are read again, with the same ids.
            self.filed += len(await self._outbox.file_readings(self._session_id, entries, ()))
            self._known.update(entry.message_id for entry in entries)
