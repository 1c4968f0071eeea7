"""Watches the Bluetooth daemon for us: registers our agent, and tells when bluetoothd goes or comes back.

Input: NameOwnerChanged of org.bluez. Output: calls of `on_gone` and `on_back`. bleak sees neither.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import structlog

from gateway.errors import RadioError
from gateway.pairing import Agent, BluezBus

log = structlog.get_logger(__name__)

_RETRY_SECONDS: Final = 5.0


class DaemonWatch:
    """Until cancelled. `trouble` is None while the agent is registered."""

    def __init__(
        self,
        agent: Agent,
        *,
        on_gone: Callable[[], None],
        on_back: Callable[[], None],
        is_ours: Callable[[str], bool] = lambda _address: False,
    ) -> None:
        self._agent = agent
        self._is_ours = is_ours
        self._has_started = False
        self._on_gone = on_gone
        self._on_back = on_back
        self._owner = asyncio.Event()
        self._bus: BluezBus | None = None
        self.registered = asyncio.Event()
        self.trouble: str | None = "bluetooth-daemon-not-reached-yet"

    async def run(self) -> None:
        while True:
            try:
                await self._once()
            except RadioError as error:
                self._note("bluetooth-daemon-missing", detail=str(error))
            self.registered.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS):
                    await self._owner.wait()
            self._owner.clear()

    async def power_cycle(self, adapter: str) -> None:
        if self._bus is None:
            raise RadioError("the system bus is not connected")
        await self._bus.power_cycle(adapter)

    async def _once(self) -> None:
        """One connection to the bus, from registering the agent to the loss of the connection."""
        bus = self._bus = await BluezBus.connect()
        again = asyncio.Event()

        def on_owner(present: bool) -> None:
            if present:
                again.set()
                self._owner.set()
            else:
                log.warning("bluetooth_daemon_gone")
                self._note("bluetooth-daemon-missing")
                self.registered.clear()
                self._on_gone()

        try:
            bus.export(self._agent)
            await bus.watch_daemon(on_owner)
            await bus.register_agent()
            if not self._has_started:
                self._has_started = True
                if stale := await bus.hang_up_stale(self._is_ours):
                    log.info("stale_connections_ended", count=stale)
            self._registered()
            closed = asyncio.create_task(bus.wait_closed(), name="bus-closed")
            try:
                while not closed.done():
                    back = asyncio.create_task(again.wait(), name="daemon-back")
                    await asyncio.wait({closed, back}, return_when=asyncio.FIRST_COMPLETED)
                    back.cancel()
                    if again.is_set():
                        again.clear()
                        await bus.register_agent()
                        self._registered()
                        log.info("bluetooth_daemon_back")
                        self._on_back()
            finally:
                closed.cancel()
        finally:
            self._bus = None
            bus.close()

    def _registered(self) -> None:
        self.trouble = None
        self.registered.set()

    def _note(self, trouble: str, **fields: object) -> None:
        if self.trouble != trouble:
            log.warning("bluetooth_trouble", trouble=trouble, **fields)
        self.trouble = trouble
