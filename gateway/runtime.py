"""The home box as a whole: scan → session → journal → publisher, with status beside it. The composition root.

Input: settings; in tests and scenarios also a radio and a clock. Output: readings at the server, a status. `drained()`
waits until nothing is left to do, for accelerated runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from device_drivers.catalog import DRIVERS, best_driver, driver_by_id
from device_drivers.driver import Advertisement, Driver
from device_drivers.measurement import Kind
from gateway import contract, health, schedule
from gateway.clock import Clock, SystemClock, is_trusted
from gateway.config import Settings
from gateway.errors import JournalError
from gateway.health import DeviceHealth, LocalStatus
from gateway.history import read_again
from gateway.journal_rows import Counts
from gateway.outbox import Outbox
from gateway.publisher import Publisher
from gateway.radio import BleakRadio, Radio
from gateway.registry import KnownDevice, Registry, write_private
from gateway.scan import Scan, Sighting
from gateway.session import SessionResult, SessionRunner

if TYPE_CHECKING:
    from gateway.watch import DaemonWatch

log = structlog.get_logger(__name__)

_STATUS_SECONDS: Final = 60.0
_TICK_SECONDS: Final = 5.0  # how soon a change nobody told of reaches the status
_CALM_SECONDS: Final = 0.5  # a burst of receipts is one change
_PURGE_EVERY: Final = timedelta(hours=6)
_AGENT_SECONDS: Final = 10.0
_DRAIN_POLL_SECONDS: Final = 0.01


class Gateway:
    """One home box. `start` and `stop` for those who embed it, `run` for the process."""

    def __init__(
        self,
        settings: Settings,
        *,
        radio: Radio | None = None,
        clock: Clock | None = None,
        drivers: Sequence[Driver] = DRIVERS,
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._drivers = tuple(drivers)
        self._radio = radio or BleakRadio(settings.bluetooth_adapter)
        self._changed = asyncio.Event()
        self.outbox = Outbox(
            settings.journal_path,
            clock=self.clock,
            max_bytes=settings.journal_max_bytes,
            keep=timedelta(days=settings.journal_keep_days),
        )
        self.registry = Registry(settings.registry_path, on_change=self._changed.set)
        self.publisher = Publisher(
            settings, self.outbox, will=self._last_will, on_config=self._apply_config, on_change=self._changed.set
        )
        self._runner = SessionRunner(
            radio=self._radio,
            outbox=self.outbox,
            clock=self.clock,
            home=settings.zone,
            clock_setting=settings.clock_setting,
            agent_view=self._agent_view,
        )
        self._scan = Scan(
            self._radio,
            on_sighting=self._on_sighting,
            silence_seconds=settings.radio_silence_seconds,
            power_cycle=self._power_cycle if self._radio.uses_bluez else None,
            on_change=self._changed.set,
        )
        self._watch = self._make_watch() if self._radio.uses_bluez else None
        self._windows: dict[str, schedule.Window] = {}
        self._sightings: dict[str, Sighting] = {}
        self._health: dict[str, DeviceHealth] = {}
        self._sighted = asyncio.Event()
        self._busy_with: str | None = None
        self._task: asyncio.Task[None] | None = None

    # --- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; then finish cleanly."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self.start()
        if self._task is None:
            raise AssertionError("a started gateway has a task")
        stopping = asyncio.create_task(stop.wait(), name="stop-signal")
        await asyncio.wait({stopping, self._task}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await self.stop()

    async def start(self) -> None:
        """Open the journal, read what a crash left unread, begin to listen."""
        self.outbox.open()
        with contextlib.suppress(JournalError):
            await read_again(self.outbox, ("raw",), drivers=self._drivers)
        self._task = asyncio.create_task(self._serve(), name="gateway")
        log.info("gateway_started", gateway=self.settings.gateway_id, devices=len(self.registry.view().devices))

    async def stop(self) -> None:
        """Hang up, say offline, close the journal. Raises what made the gateway fail, if it did."""
        task, self._task = self._task, None
        failure: BaseException | None = None
        if task is not None:
            if not task.done():
                with contextlib.suppress(JournalError):
                    status = await self._status(online=False)
                    self._save_locally(status)
                    await self.publisher.farewell(contract.encode(status))
            task.cancel()
            (failure,) = await asyncio.gather(task, return_exceptions=True)
        await self.outbox.close()
        log.info("gateway_stopped", gateway=self.settings.gateway_id)
        if failure is not None and not isinstance(failure, asyncio.CancelledError):
            raise failure

    async def idle(self) -> None:
        """Return when no session runs or is due. Whoever moves a simulated clock waits for this first: a device's
        clock is compared with ours in the session."""
        while self._busy_with is not None or self._next_window() is not None:
            self._raise_failure()
            await asyncio.sleep(_DRAIN_POLL_SECONDS)

    async def drained(self) -> None:
        """Return when the gateway is idle, every packet is read, and every reading has its receipt."""
        while True:
            await self.idle()
            counts = await self.outbox.counts()
            if counts.depth == 0 and counts.undecoded == 0 and self._busy_with is None:
                return
            self._raise_failure()
            await asyncio.sleep(_DRAIN_POLL_SECONDS)

    def _raise_failure(self) -> None:
        if self._task is not None and self._task.done():
            self._task.result()

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.publisher.run(), name="publisher")
            tasks.create_task(self._report_forever(), name="status")
            tasks.create_task(self._purge_forever(), name="purge")
            if self._watch is not None:
                tasks.create_task(self._watch.run(), name="bluetooth-daemon")
                with contextlib.suppress(TimeoutError):  # without an agent only bonded devices can be read
                    async with asyncio.timeout(_AGENT_SECONDS):
                        await self._watch.registered.wait()
            tasks.create_task(self._scan.run(), name="scan")
            tasks.create_task(self._sessions_forever(), name="sessions")

    # --- sightings and sessions -------------------------------------------------------------------------------------

    def _on_sighting(self, sighting: Sighting) -> None:
        """Many times a second: find out quickly whether it is one of ours."""
        heard = sighting.advertisement
        device = self.registry.find(heard.address, heard.name)
        if device is None:
            return
        driver = self.driver_for(device, heard)
        if driver is None:
            return
        now = self.clock.monotonic()
        self._sightings[device.id] = sighting
        self._windows[device.id] = schedule.heard(
            self._windows.get(device.id), device_id=device.id, urgency=driver.policy.urgency, at=now
        )
        self._health[device.id] = replace(
            self._health.get(device.id, DeviceHealth()), rssi_dbm=heard.rssi, last_seen_at=self.clock.now()
        )
        if schedule.is_ready(self._windows[device.id], now):
            self._sighted.set()

    def driver_for(self, device: KnownDevice, heard: Advertisement) -> Driver | None:
        """The driver the configuration names, else the best match, else the one for the device's kind."""
        if device.config.driver is not None:
            return driver_by_id(device.config.driver, self._drivers)
        matched = best_driver(heard, self._drivers)
        if matched is not None or device.config.kind not in set(Kind):
            return matched
        kind = Kind(device.config.kind)
        return next((driver for driver in self._drivers if kind in driver.info.kinds), None)

    def _next_window(self) -> schedule.Window | None:
        """Nobody while our own clock is wrong: readings are safe in the devices, and wrong times are for ever."""
        if not is_trusted(self.clock.now()):
            return None
        return schedule.choose(self._windows.values(), self.clock.monotonic())

    async def _sessions_forever(self) -> None:
        while True:
            window = self._next_window()
            if window is None:
                self._sighted.clear()
                await self._sighted.wait()
                continue
            self._busy_with = window.device_id
            try:
                await self._one_session(window.device_id)
            finally:
                self._busy_with = None
            self._changed.set()

    async def _one_session(self, device_id: str) -> None:
        sighting = self._sightings[device_id]
        device = self.registry.device(device_id)
        driver = None if device is None else self.driver_for(device, sighting.advertisement)
        if device is None or driver is None:  # taken off the list meanwhile
            self._windows.pop(device_id, None)
            return
        result = await self._runner.run(sighting, device, driver)
        now = self.clock.monotonic()
        window = self._windows[device_id]
        if result.remedy is None:
            self._windows[device_id] = schedule.after_success(window, now, readings=result.readings)
        else:
            self._windows[device_id] = schedule.after_failure(window, now, result.remedy)
        self._health[device_id] = health.after_session(
            self._health.get(device_id, DeviceHealth()), device, driver.policy, result, at=self.clock.now()
        )
        self._learn(device, sighting, result)

    def _learn(self, device: KnownDevice, sighting: Sighting, result: SessionResult) -> None:
        information = {} if result.notes is None else result.notes.information
        reached = result.remedy is None
        self.registry.learn(
            device.id,
            address=sighting.device.address if reached and device.config.address is None else None,
            bond=result.bond,
            model=information.get("model"),
            firmware=information.get("firmware"),
        )

    # --- the Bluetooth daemon ---------------------------------------------------------------------------------------

    def _make_watch(self) -> DaemonWatch:
        from gateway.pairing import Agent
        from gateway.watch import DaemonWatch

        agent = Agent(
            is_allowed=lambda address: self._known_at(address) is not None,
            passkey_of=self.passkey_of,
        )
        self._agent = agent
        return DaemonWatch(
            agent,
            on_gone=self._daemon_gone,
            on_back=self._scan_restart,
            is_ours=lambda address: self.registry.device_at(address) is not None,
        )

    def _known_at(self, address: str) -> KnownDevice | None:
        """By address, or by the name it advertised under this address."""
        known = self.registry.device_at(address)
        if known is not None:
            return known
        for device_id, sighting in self._sightings.items():
            if sighting.device.address.upper() == address.upper():
                return self.registry.device(device_id)
        return None

    async def passkey_of(self, address: str) -> int | None:
        """The six digits the configuration holds for a device, or None."""
        device = self._known_at(address)
        return None if device is None else device.config.passkey

    def _agent_view(self, address: str) -> str | None:
        return self._agent.view(address) if self._watch is not None else None

    def _daemon_gone(self) -> None:
        self._runner.fail_open_session()
        self._changed.set()

    def _scan_restart(self) -> None:
        self._scan.restart()
        self._changed.set()

    async def _power_cycle(self) -> None:
        if self._watch is not None:
            await self._watch.power_cycle(self._radio.adapter)

    # --- configuration and status -----------------------------------------------------------------------------------

    def _apply_config(self, payload: bytes) -> None:
        if not payload:  # the server cleared its retained message; the last list stays valid
            return
        try:
            config = contract.decode_config(payload)
        except contract.ContractError as error:
            log.error("config_unreadable", reason=error.reason)
            return
        if self.registry.apply(config):
            log.info("config_applied", version=config.version, devices=len(config.devices))
            self._changed.set()

    def warnings(self, counts: Counts | None) -> tuple[str, ...]:
        """Everything a person should look at, most urgent first, as closed words."""
        found = [
            None if self.outbox.trouble is None else self.outbox.trouble.trouble,
            "journal-damaged-and-replaced" if self.outbox.damage is not None else None,
            None if is_trusted(self.clock.now()) else "gateway-clock-not-set",
            None if self._watch is None else self._watch.trouble,
            self._scan.trouble,
            self.publisher.warning,
            "readings-rejected" if counts is not None and counts.rejected else None,
            "packets-not-understood" if counts is not None and counts.quarantined else None,
        ]
        return tuple(dict.fromkeys(word for word in found if word is not None))

    async def _status(self, *, online: bool) -> contract.Status:
        counts: Counts | None = None
        nearly_full = False
        with contextlib.suppress(JournalError):
            counts = await self.outbox.counts()
            nearly_full = (await self.outbox.space()).nearly_full
        warnings = self.warnings(counts)
        return health.build_status(
            online=online,
            at=self.clock.now(),
            counts=counts,
            registry=self.registry.view(),
            health=self._health,
            warnings=(*warnings, "journal-nearly-full") if nearly_full else warnings,
        )

    def _save_locally(self, status: contract.Status) -> None:
        local = LocalStatus(status=status, broker=self.publisher.trouble or "connected")
        with contextlib.suppress(OSError):  # the journal's own trouble tells about the disk
            write_private(self.settings.status_path, msgspec.json.encode(local))

    def _last_will(self) -> bytes:
        """What the broker says for us when we vanish; its time is the time of connecting."""
        return contract.encode(
            health.build_status(
                online=False,
                at=self.clock.now(),
                counts=None,
                registry=self.registry.view(),
                health=self._health,
                warnings=(),
            )
        )

    async def _report_forever(self) -> None:
        """Status on every change and every minute; while the journal is in trouble, try it."""
        loop = asyncio.get_running_loop()
        published: contract.Status | None = None
        saved: contract.Status | None = None
        publish_at = save_at = 0.0
        while True:
            if self.outbox.trouble is not None:
                with contextlib.suppress(JournalError):
                    await self.outbox.probe()
            self.registry.reload()
            status = await self._status(online=True)
            now = loop.time()
            if now >= save_at or health.is_news(saved, status):
                self._save_locally(status)
                saved, save_at = status, now + _STATUS_SECONDS
            if not self.publisher.is_connected:
                published = None
            elif (now >= publish_at or health.is_news(published, status)) and self.publisher.publish_status(
                contract.encode(status)
            ):
                published, publish_at = status, now + _STATUS_SECONDS
            await asyncio.sleep(_CALM_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._changed.wait()
            self._changed.clear()

    async def _purge_forever(self) -> None:
        while True:
            with contextlib.suppress(JournalError):
                await self.outbox.purge()
            await asyncio.sleep(_PURGE_EVERY.total_seconds())
