"""What one session may do with disk and books: the `Context` that a driver gets.

Input: a driver's packets, clock readings and notes. Output: committed packets, resume points that never run ahead of
them, `Notes` for the status, and a call for every packet once the driver said that readings may go out early.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import structlog

from device_drivers.driver import ClockPolicy, Driver, Packet, SessionPolicy
from gateway.clock import Clock, ClockReading, clock_offset, is_trusted
from gateway.outbox import Outbox

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Notes:
    """What a session learnt beside readings."""

    battery_percent: int | None = None
    clock_offset_seconds: Decimal | None = None
    information: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def policy_for(driver: Driver, *, device_setting: str, home_setting: str | None) -> SessionPolicy:
    """The driver's policy with the device's and the home's own wish about its clock. "never" always wins."""
    wishes = [ClockPolicy(word) for word in (device_setting, home_setting) if word in set(ClockPolicy)]
    if ClockPolicy.NEVER in wishes or driver.policy.clock is ClockPolicy.NEVER:
        return replace(driver.policy, clock=ClockPolicy.NEVER)
    if ClockPolicy.ALWAYS in wishes:
        return replace(driver.policy, clock=ClockPolicy.ALWAYS)
    return driver.policy


class SessionContext:
    """See the module. One for each session."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        session_id: int,
        device_id: str,
        driver_id: str,
        resume: Mapping[str, object],
        policy: SessionPolicy,
        clock: Clock,
        home: ZoneInfo,
        on_news: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._session_id = session_id
        self._device_id = device_id
        self._driver_id = driver_id
        self._resume = dict(resume)
        self._policy = policy
        self._clock = clock
        self._home = home
        self._on_news = on_news
        self._basis_known = False
        self._commits: dict[int, tuple[Packet, Future[int]]] = {}
        self._last: Future[int] | None = None
        self.notes = Notes()

    # --- for the link -----------------------------------------------------------------------------------------------

    def journal(self, packet: Packet) -> None:
        """Queue a packet for the disk in the very callback that heard it; `emit` only waits for its commit."""
        future = self._outbox.append(self._session_id, packet)
        self._commits[id(packet)] = (packet, future)
        self._last = future
        if self._basis_known:
            self._on_news()

    async def all_committed(self) -> None:
        """Return when everything heard is on the disk. Raises `JournalError` when it is not."""
        for _, future in list(self._commits.values()):
            await asyncio.wrap_future(future)
        if self._last is not None:
            await asyncio.wrap_future(self._last)

    # --- for the driver (device_drivers.driver.Context) ---------------------------------------------------------------

    @property
    def resume(self) -> Mapping[str, object]:
        return self._resume

    @property
    def policy(self) -> SessionPolicy:
        return self._policy

    async def emit(self, packet: Packet) -> None:
        known = self._commits.pop(id(packet), None)
        if known is None:  # the driver made it itself, out of a read
            self.journal(packet)
            known = self._commits.pop(id(packet))
        await asyncio.wrap_future(known[1])

    async def set_resume(self, resume: Mapping[str, object]) -> None:
        await self.all_committed()
        await self._outbox.set_resume(self._device_id, self._driver_id, resume)
        self._resume = dict(resume)

    def note_clock(self, device_time: datetime | None, *, raw: bytes, characteristic: str) -> None:
        reading = ClockReading(gateway_at=self._clock.now(), device_time=device_time, characteristic=characteristic)
        self._outbox.note_clock(self._session_id, reading, raw=raw)
        if device_time is not None and self.notes.clock_offset_seconds is None:
            self.notes.clock_offset_seconds = Decimal(round(clock_offset(reading, self._home).total_seconds()))

    def note_clock_set(self, device_time: datetime, *, characteristic: str) -> None:
        reading = ClockReading(gateway_at=self._clock.now(), device_time=device_time, characteristic=characteristic)
        self._outbox.note_clock(self._session_id, reading, raw=b"", written=True)
        log.info("device_clock_set", device=self._device_id, session=self._session_id)

    def note_battery(self, percent: int) -> None:
        self.notes.battery_percent = percent

    def note_information(self, **strings: str) -> None:
        self.notes.information.update(strings)
        self._outbox.note_information(
            self._session_id, model=strings.get("model") or None, firmware=strings.get("firmware") or None
        )

    def basis_known(self) -> None:
        self._basis_known = True
        if self._last is not None:
            self._on_news()

    def note_warning(self, word: str) -> None:
        if word not in self.notes.warnings:
            self.notes.warnings.append(str(word))
            log.warning("session_warning", device=self._device_id, warning=str(word))

    def desired_clock(self) -> datetime | None:
        now = self._clock.now()
        return now.astimezone(self._home).replace(tzinfo=None) if is_trusted(now) else None
