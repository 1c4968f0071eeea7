"""The common part of every simulated device: power, advertising window, bonding, clock, memory, hanging up.

Input: an air (or a hub address, or a real controller), the true time, persistent memory. Output: a connectable device.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

from bumble import att, hci
from bumble.core import ProtocolError
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.gatt import Characteristic, Service
from bumble.gatt_server import Server

from simulators.advertising import AdvertisingWindow, advertising_data
from simulators.air import Air
from simulators.clock import DeviceClock, GlucoseClock, TrueClock
from simulators.common_services import common_services
from simulators.device_pairing import ProtectedSession, pairing_config
from simulators.device_settings import DeviceSettings
from simulators.faults import FaultSwitches
from simulators.gatt_table import INDICATE
from simulators.ledger import Ledger
from simulators.link import Radio, flush_host
from simulators.memory import DeviceMemory

logger = logging.getLogger(__name__)

_LARGEST_MTU: Final = 517


class Peripheral(abc.ABC):
    """A simulated device. Not thread-safe: everything happens in the loop that powered it on."""

    kind: ClassVar[str]
    service_uuid: ClassVar[int]
    shows_passkey: ClassVar[bool] = False

    def __init__(
        self,
        settings: DeviceSettings,
        *,
        air: Air | str,
        clock: TrueClock,
        memory: DeviceMemory | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.settings = settings
        self.memory = memory or DeviceMemory()
        self.ledger = ledger or Ledger()
        self.faults = FaultSwitches()
        self.displayed_passkey: str | None = None
        self.sessions = 0
        self._air = air
        self._true_clock = clock
        self._radio: Radio | None = None
        self._device: Device | None = None
        self._window: AdvertisingWindow | None = None
        self._connection: Connection | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._session_tasks: set[asyncio.Task[None]] = set()
        self._pairing_mode = False
        self._asked_for_window = False
        self._last_activity = 0.0
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._sent_in_session = 0
        self._octets_in_session = 0
        if self.memory.clock is None:
            self.memory.clock = self._new_clock(self._shown_at_first())
            self.memory.save()

    # What a kind of device adds ---------------------------------------------------------------------------------------

    @abc.abstractmethod
    def services(self, server: Server) -> list[Service]:
        """Its own GATT services, without those every device has."""

    @abc.abstractmethod
    def _new_clock(self, shown: datetime) -> DeviceClock | GlucoseClock:
        """A clock that shows `shown` now."""

    @property
    @abc.abstractmethod
    def undelivered(self) -> int:
        """Records no gateway has taken over yet."""

    @abc.abstractmethod
    def finished(self) -> bool:
        """Whether this session has nothing left to do, so that the device hangs up after `idle_seconds`."""

    @abc.abstractmethod
    def on_encrypted(self, connection: Connection) -> None:
        """The link has become secure."""

    # Time -------------------------------------------------------------------------------------------------------------

    @property
    def clock(self) -> DeviceClock | GlucoseClock:
        return self.memory.clock or self._new_clock(self._shown_at_first())

    def true_now(self) -> datetime:
        return self._true_clock.now()

    def shown_time(self) -> datetime:
        """What the device's display shows now: local, no zone."""
        return self.clock.read(self.true_now())

    def set_clock(self, shown: datetime) -> None:
        self.memory.clock = self.clock.set(shown, self.true_now())
        self.memory.save()

    def jump_clock(self, seconds: float) -> None:
        self.memory.clock = self.clock.jump(timedelta(seconds=seconds), self.true_now())
        self.memory.save()

    def change_batteries(self) -> None:
        """Full batteries, and a clock at midnight of 1 January 2000."""
        self.memory.battery_percent = 100
        self.memory.clock = self._new_clock(datetime(2000, 1, 1))  # noqa: DTZ001 - a bare date on a display
        self.memory.save()

    def right_time(self) -> datetime:
        """What a right clock would show at the device's place now."""
        return self.true_now().astimezone(ZoneInfo(self.settings.zone)).replace(tzinfo=None)

    def _shown_at_first(self) -> datetime:
        return self.right_time() + timedelta(seconds=self.settings.clock_offset_seconds)

    # Power ------------------------------------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        return self._device is not None

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    @property
    def is_advertising(self) -> bool:
        return self._window is not None and self._window.is_advertising

    @property
    def accepts_pairing(self) -> bool:
        return self.settings.pairs_any_time or self._pairing_mode

    @property
    def fixed_passkey(self) -> int | None:
        return self.settings.passkey

    @property
    def radio_lost(self) -> asyncio.Future[None] | None:
        """Done when the hub or controller has gone away."""
        return None if self._radio is None else self._radio.lost

    async def power_on(self) -> None:
        """Start the radio. The device does not advertise: only a measurement or its buttons make it."""
        if self._device is not None:
            return
        self._radio = await Radio.open(self._air, name=self.settings.device_id)
        config = DeviceConfiguration(
            name=self.settings.name,
            address=hci.Address(self.settings.address),
            irk=self.memory.irk,
            advertising_interval_min=self.settings.advertising_interval_ms,
            advertising_interval_max=self.settings.advertising_interval_ms,
        )
        device = Device.from_config_with_hci(config, self._radio.source, self._radio.sink)
        device.keystore = self.memory.bonds
        device.pairing_config_factory = lambda _connection: pairing_config(self)
        device.smp_session_proxy = ProtectedSession
        device.add_services([*self.services(device.gatt_server), *common_services(self, device.gatt_server)])
        device.on(Device.EVENT_CONNECTION, self._on_connection)
        self._listen_to_requests(device)
        self._device = device
        self._window = AdvertisingWindow(device, advertising_data(self.settings.name, self.service_uuid))
        self.apply_faults()
        await device.power_on()

    async def power_off(self) -> None:
        """Batteries out: the peer sees a supervision timeout. Memory and bonds stay."""
        device, radio, window = self._device, self._radio, self._window
        if device is None or radio is None or window is None:
            return
        self._device = self._radio = self._window = None
        await radio.close()
        flush_host(device.host)
        self._drop_session()
        await window.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def apply_faults(self) -> None:
        """Bring radio and GATT server in line with the fault switches."""
        if self._device is not None:
            self._device.gatt_server.max_mtu = self.faults.mtu or _LARGEST_MTU
        if self._radio is not None and self._radio.is_virtual:
            self._radio.shape(
                answers_connections=not self.faults.ignore_connections, delay_ms=self.faults.slow_radio or 0
            )

    async def lose_bonds(self) -> None:
        """Forget every bond, as after a factory reset; the gateway still believes in its own."""
        await self.memory.bonds.delete_all()
        self.memory.remembered_subscription = False
        self.memory.save()
        if self._device is not None:
            await self._device.refresh_resolving_list()

    async def bonded_with(self) -> list[str]:
        return [address for address, _ in await self.memory.bonds.get_all()]

    def drop_link(self) -> None:
        """Lose the link now, without a word."""
        if self._radio is not None:
            self._radio.drop_links()

    async def delivered(self) -> None:
        """Wait until a gateway has taken over every record. The caller sets the time limit."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.undelivered == 0)

    async def open_window(self, seconds: float | None = None, *, pairing: bool = False) -> None:
        """Advertise for a while (again), as when its button is held; during a session: after it."""
        self._pairing_mode = pairing
        self._asked_for_window = True
        await self.go_on_air(seconds)

    async def go_on_air(self, seconds: float | None = None) -> None:
        """Advertise as after a measurement: until a gateway has taken everything over, at most for the window."""
        if self._window is not None:
            await self._window.open(self.settings.window_seconds if seconds is None else seconds)

    # One session ------------------------------------------------------------------------------------------------------

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        self.sessions += 1
        self._sent_in_session = self._octets_in_session = 0
        self._asked_for_window = False
        self._touch()
        connection.on(Connection.EVENT_DISCONNECTION, lambda _reason: self._on_disconnection(connection))
        connection.on(Connection.EVENT_CONNECTION_ENCRYPTION_CHANGE, lambda: self._on_encryption(connection))
        connection.on(Connection.EVENT_PAIRING, lambda _keys: self._on_paired(connection))
        self._start(self._watch_idle(connection), self._session_tasks)

    def _on_disconnection(self, connection: Connection) -> None:
        if self._connection is not connection:
            return
        was_useless = not connection.is_encrypted
        self._drop_session()
        if self._window is not None and self._window.is_open:
            # Records left, or a pairing that failed: stay on the air for the rest of the window.
            self._start(self._after_session(was_useless=was_useless), self._tasks)

    async def _after_session(self, *, was_useless: bool) -> None:
        window = self._window
        if window is not None and (self.undelivered or was_useless or self._asked_for_window):
            await window.resume()
        elif window is not None:
            await window.close()

    def _drop_session(self) -> None:
        self._connection = None
        for task in list(self._session_tasks):
            task.cancel()

    def _on_encryption(self, connection: Connection) -> None:
        if connection.is_encrypted:
            self.on_encrypted(connection)

    def _on_paired(self, connection: Connection) -> None:
        self._pairing_mode = False
        self._start(self._keep_one_bond(str(connection.peer_address)), self._tasks)

    async def _keep_one_bond(self, address: str) -> None:
        # Most home devices hold one bond: the newest collector wins, the phone paired before is forgotten.
        for known, _ in await self.memory.bonds.get_all():
            if known != address:
                await self.memory.bonds.delete(known)

    async def _watch_idle(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            limit = self.settings.idle_seconds if self.finished() else self.settings.patience_seconds
            remaining = self._last_activity + limit - loop.time()
            if remaining <= 0:
                break
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(remaining):
                    await self._wake.wait()
        with contextlib.suppress(ProtocolError, asyncio.CancelledError):
            await connection.disconnect()

    def _touch(self) -> None:
        self._last_activity = asyncio.get_running_loop().time()
        self._wake.set()

    def _listen_to_requests(self, device: Device) -> None:
        handle = device.gatt_server.on_gatt_pdu

        def on_gatt_pdu(bearer: att.Bearer, att_pdu: att.ATT_PDU) -> None:
            self._touch()
            if not self.faults.silent_gatt:
                handle(bearer, att_pdu)

        device.gatt_server.on_gatt_pdu = on_gatt_pdu  # type: ignore[method-assign]

    async def send(self, connection: Connection, value: Characteristic[bytes], payload: bytes) -> None:
        """Indicate or notify one value, with the faults of this device. Returns when sent (or confirmed)."""
        if self._device is None:
            return
        faults, position = self.faults, self._sent_in_session + 1
        if faults.drop_at_byte is not None and self._octets_in_session + len(payload) > faults.drop_at_byte:
            faults.drop_at_byte = None
            await self._lose_link()
        self._sent_in_session = position
        self._octets_in_session += len(payload)
        indicate = bool(value.properties & INDICATE)
        transmit = self._device.indicate_subscriber if indicate else self._device.notify_subscriber
        # A remembered subscription was not written in this session, so it must be forced past bumble's check.
        force = faults.early_indication
        if position == faults.drop_at_notification:
            faults.drop_at_notification = None
            sending = asyncio.ensure_future(transmit(connection, value, payload, force=force))
            await asyncio.sleep(0)  # the value leaves, its confirmation is never seen
            sending.cancel()
            await self._lose_link()
        await transmit(connection, value, payload, force=force)
        if indicate and position == faults.duplicate_indication:
            faults.duplicate_indication = None
            await transmit(connection, value, payload, force=force)
        self._touch()

    async def _lose_link(self) -> None:
        self.drop_link()
        await asyncio.get_running_loop().create_future()  # this session's tasks are cancelled when the link is gone

    async def _notify_change(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _start(self, work: Coroutine[Any, Any, None], group: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=self.settings.device_id)
        group.add(task)
        task.add_done_callback(lambda done: self._on_task_done(done, group))

    def _on_task_done(self, task: asyncio.Task[None], group: set[asyncio.Task[None]]) -> None:
        group.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("%s: %s: %s", self.settings.device_id, type(error).__name__, error)
