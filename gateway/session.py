"""One driver session over one connection: connect, bond if needed, collect, hang up, read what was journalled.

Input: a fresh sighting of a device on the list. Output: a `SessionResult` with the remedy when it did not work.
Every step has a time limit; a driver's mistake ends its own session and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import structlog
from bleak import BleakClient
from bleak.exc import BleakDBusError, BleakDeviceNotFoundError, BleakError

from device_drivers.driver import Driver, Pairing, SessionPolicy, SessionWarning
from device_drivers.errors import AttError, DeviceDriverError, LinkError
from gateway.clock import Clock
from gateway.context import Notes, SessionContext, policy_for
from gateway.derive import derive
from gateway.early import EarlyReader
from gateway.errors import JournalError
from gateway.link import PAIRING_CODES, BleakLink
from gateway.outbox import Outbox
from gateway.radio import Radio
from gateway.registry import Bond, KnownDevice
from gateway.scan import Sighting
from gateway.schedule import Remedy

log = structlog.get_logger(__name__)

_PAIR_SECONDS: Final = 70.0  # a person may have to read six digits off the device
_DISCONNECT_SECONDS: Final = 5.0
_CONNECT_GRACE_SECONDS: Final = 3.0  # beyond bleak's own limit, for the silent failures it has
_KEY_MISSING: Final = ("PIN or Key Missing", "PIN_OR_KEY_MISSING", "Key Missing")
_BUSY: Final = ("org.bluez.Error.InProgress", "org.bluez.Error.Busy", "le-connection-abort-by-local")
_AUTHENTICATION: Final = (
    "org.bluez.Error.AuthenticationFailed",
    "org.bluez.Error.AuthenticationCanceled",
    "org.bluez.Error.AuthenticationRejected",
    "org.bluez.Error.AuthenticationTimeout",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """How a session went. `remedy` is None when it worked; `problem` is a closed word for the status."""

    device_id: str
    readings: int = 0
    new: int = 0
    remedy: Remedy | None = None
    problem: str | None = None
    bond: Bond | None = None
    notes: Notes | None = None
    held: tuple[str, ...] = ()
    quarantined: int = 0


class _Failed(Exception):  # noqa: N818 -- carries a verdict inside this module
    def __init__(self, remedy: Remedy, problem: str, *, bond: Bond | None = None) -> None:
        super().__init__(problem)
        self.remedy = remedy
        self.problem = problem
        self.bond = bond


class SessionRunner:
    """Runs one session at a time (one connection attempt at a time on an adapter)."""

    def __init__(
        self,
        *,
        radio: Radio,
        outbox: Outbox,
        clock: Clock,
        home: ZoneInfo,
        clock_setting: str | None = None,
        agent_view: Callable[[str], str | None] = lambda _address: None,
    ) -> None:
        self._radio = radio
        self._outbox = outbox
        self._clock = clock
        self._home = home
        self._clock_setting = clock_setting
        self._agent_view = agent_view
        self._link: BleakLink | None = None

    def fail_open_session(self) -> None:
        """The Bluetooth daemon died: bleak will not tell, so we do."""
        if self._link is not None:
            self._link.mark_closed()

    async def run(self, sighting: Sighting, device: KnownDevice, driver: Driver) -> SessionResult:
        """From connecting to filing. Never raises for what devices, drivers or disks do."""
        policy = policy_for(driver, device_setting=device.config.set_clock, home_setting=self._clock_setting)
        try:
            session_id = await self._outbox.begin_session(
                device_id=device.id,
                driver=driver.info.id,
                home_zone=self._home.key,
                model=device.model,
                firmware=device.firmware,
            )
            resume = await self._outbox.resume(device.id, driver.info.id)
        except JournalError as error:
            # Nobody is asked for readings that could not be kept.
            return SessionResult(device_id=device.id, remedy=Remedy.NEXT_ADVERTISEMENT, problem=error.trouble)
        early = EarlyReader(self._outbox, session_id, driver)
        context = SessionContext(
            outbox=self._outbox,
            session_id=session_id,
            device_id=device.id,
            driver_id=driver.info.id,
            resume=resume,
            policy=policy,
            clock=self._clock,
            home=self._home,
            on_news=early.wake,
        )
        failure: _Failed | None = None
        bond: Bond | None = None
        log.info("session_started", device=device.id, session=session_id, driver=driver.info.id)
        try:
            async with early.while_running():
                bond = await self._over_the_air(sighting, device, driver, policy, context)
        except _Failed as error:
            failure = error
        return await self._filed(session_id, device, driver, context, early=early.filed, failure=failure, bond=bond)

    async def _filed(
        self,
        session_id: int,
        device: KnownDevice,
        driver: Driver,
        context: SessionContext,
        *,
        early: int,
        failure: _Failed | None,
        bond: Bond | None,
    ) -> SessionResult:
        outcome = "done" if failure is None else failure.problem
        readings, new, quarantined = 0, early, 0
        held: tuple[str, ...] = ()
        remedy = None if failure is None else failure.remedy
        problem = None if failure is None else failure.problem
        if failure is None and SessionWarning.TRANSFER_INCOMPLETE in context.notes.warnings:
            remedy, problem = Remedy.RETRY_NOW, SessionWarning.TRANSFER_INCOMPLETE.value
        try:
            await context.all_committed()
        except JournalError as error:
            remedy, problem = remedy or Remedy.NEXT_ADVERTISEMENT, error.trouble
        try:
            await self._outbox.end_session(session_id, outcome)
            derived = await asyncio.to_thread(derive, await self._outbox.load_session(session_id), driver)
            new += len(await self._outbox.file_readings(session_id, derived.entries, derived.packets))
            readings, held, quarantined = len(derived.entries), derived.held, derived.quarantined
        except JournalError as error:
            remedy, problem = remedy or Remedy.NEXT_ADVERTISEMENT, error.trouble
        log.info(
            "session_ended",
            device=device.id,
            session=session_id,
            outcome=outcome,
            readings=readings,
            new=new,
            early=early,
        )
        return SessionResult(
            device_id=device.id,
            readings=readings,
            new=new,
            remedy=remedy,
            problem=problem,
            bond=bond if failure is None else failure.bond,
            notes=context.notes,
            held=held,
            quarantined=quarantined,
        )

    async def _over_the_air(
        self, sighting: Sighting, device: KnownDevice, driver: Driver, policy: SessionPolicy, context: SessionContext
    ) -> Bond:
        client, link = self._open(sighting, device, policy, context)
        self._link = link
        try:
            await self._connect(client, link, device, policy)
            if not link.bonded and policy.pairing is not Pairing.NONE and device.bond != Bond.NOT_NEEDED.value:
                await self._pair(client, link, policy)
            try:
                await self._collect(link, driver, policy, context)
            except AttError as error:
                if error.code not in PAIRING_CODES:
                    raise
                await self._pair_after_refusal(client, link, device, policy)
                await self._collect(link, driver, policy, context)
        except AttError as error:
            problem = "pairing-needed" if error.code in PAIRING_CODES else "device-refused"
            raise _Failed(Remedy.RETRY_NOW, problem) from error
        except LinkError as error:
            raise _Failed(Remedy.RETRY_NOW, "link-lost") from error
        finally:
            self._link = None
            await _hang_up(client, link)
        return Bond.BONDED if link.bonded else Bond.NOT_NEEDED

    def _open(
        self, sighting: Sighting, device: KnownDevice, policy: SessionPolicy, context: SessionContext
    ) -> tuple[BleakClient, BleakLink]:
        opened: list[BleakLink] = []

        def on_disconnect(_client: BleakClient) -> None:
            for link in opened:
                link.mark_closed()

        client = self._radio.make_client(
            sighting.device, on_disconnect=on_disconnect, timeout_seconds=policy.connect_timeout_seconds
        )
        link = BleakLink(
            client,
            address=sighting.device.address,
            bonded=_is_bonded(sighting, device),
            clock=self._clock,
            journal=context.journal,
        )
        opened.append(link)
        return client, link

    async def _connect(self, client: BleakClient, link: BleakLink, device: KnownDevice, policy: SessionPolicy) -> None:
        try:
            async with asyncio.timeout(policy.connect_timeout_seconds + _CONNECT_GRACE_SECONDS):
                await client.connect()
        except (BleakError, OSError, EOFError, TimeoutError, KeyError) as error:
            bonded = link.bonded or device.bond == Bond.BONDED.value
            failure = classify_connect(error, bonded=bonded)
            if failure.remedy is Remedy.PAIR_AGAIN or (failure.remedy is Remedy.REFRESH_CACHE and not bonded):
                await _unpair(client)  # BlueZ forgets keys and service table together
            raise failure from error
        if link.is_closed:
            raise _Failed(Remedy.RETRY_NOW, "link-lost")

    async def _pair(self, client: BleakClient, link: BleakLink, policy: SessionPolicy) -> None:
        """Bond before the first subscription: a meter with a passkey hangs up on whoever subscribes too early."""
        try:
            async with asyncio.timeout(_PAIR_SECONDS):
                await client.pair()
        except (BleakError, OSError, EOFError, TimeoutError, NotImplementedError) as error:
            view = self._agent_view(link.address)
            log.warning("pairing_failed", address=link.address, error=_word(error), agent=view or "was not asked")
            if policy.pairing is Pairing.PASSKEY:
                raise _Failed(Remedy.GIVE_UP, "pairing-failed", bond=Bond.UNPAIRED) from error
            if link.is_closed or not client.is_connected:
                raise _Failed(Remedy.NEXT_ADVERTISEMENT, "pairing-failed", bond=Bond.UNPAIRED) from error
            return  # some cuffs hand over their readings without a bond
        link.bonded = True
        log.info("paired", address=link.address)

    async def _pair_after_refusal(
        self, client: BleakClient, link: BleakLink, device: KnownDevice, policy: SessionPolicy
    ) -> None:
        """The device refuses an unencrypted link: bond now, or renew a bond it has forgotten."""
        if policy.pairing is Pairing.NONE:
            raise _Failed(Remedy.GIVE_UP, "pairing-needed")
        if link.bonded or device.bond == Bond.BONDED.value:
            await _unpair(client)
            raise _Failed(Remedy.PAIR_AGAIN, "bond-lost", bond=Bond.BOND_LOST)
        await self._pair(client, link, policy)
        if not link.bonded:
            raise _Failed(Remedy.GIVE_UP, "pairing-needed", bond=Bond.UNPAIRED)

    async def _collect(self, link: BleakLink, driver: Driver, policy: SessionPolicy, context: SessionContext) -> None:
        try:
            async with asyncio.timeout(policy.session_limit_seconds):
                await driver.collect(link, context)
        except TimeoutError as error:
            raise _Failed(Remedy.NEXT_ADVERTISEMENT, "session-too-long") from error
        except JournalError as error:
            raise _Failed(Remedy.NEXT_ADVERTISEMENT, error.trouble) from error
        except LinkError:
            raise
        except DeviceDriverError as error:
            log.warning("driver_gave_up", driver=driver.info.id, error=type(error).__name__)
            raise _Failed(Remedy.GIVE_UP, "device-not-understood") from error
        except Exception as error:
            log.exception("driver_failed", driver=driver.info.id, error=type(error).__name__)
            raise _Failed(Remedy.GIVE_UP, "driver-failed") from error


def classify_connect(error: BaseException, *, bonded: bool) -> _Failed:
    """What a failed connection attempt asks for."""
    text = str(error)
    if any(word in text for word in _KEY_MISSING) or (bonded and _dbus_name(error) in _AUTHENTICATION):
        return _Failed(Remedy.PAIR_AGAIN, "bond-lost", bond=Bond.BOND_LOST)
    if _dbus_name(error) in _AUTHENTICATION:
        return _Failed(Remedy.GIVE_UP, "pairing-failed", bond=Bond.UNPAIRED)
    if isinstance(error, BleakDeviceNotFoundError):
        return _Failed(Remedy.NEXT_ADVERTISEMENT, "device-gone")
    if any(word in text for word in _BUSY):
        return _Failed(Remedy.RETRY_NOW, "adapter-busy")
    if isinstance(error, TimeoutError):
        return _Failed(Remedy.NEXT_ADVERTISEMENT, "connect-timeout")
    if isinstance(error, KeyError) or "failed to discover services" in text:
        return _Failed(Remedy.REFRESH_CACHE, "services-unknown")
    return _Failed(Remedy.RETRY_NOW, "connect-failed")


def _is_bonded(sighting: Sighting, device: KnownDevice) -> bool:
    """BlueZ knows it (its property came with the sighting); another backend leaves it to our own book."""
    details = sighting.device.details
    properties = details.get("props") if isinstance(details, dict) else None
    if isinstance(properties, dict) and "Paired" in properties:
        return bool(properties["Paired"])
    return device.bond == Bond.BONDED.value


async def _unpair(client: BleakClient) -> None:
    with contextlib.suppress(BleakError, OSError, EOFError, TimeoutError, NotImplementedError):
        async with asyncio.timeout(_DISCONNECT_SECONDS):
            await client.unpair()


async def _hang_up(client: BleakClient, link: BleakLink) -> None:
    """Some cuffs take our hanging up as "transferred"; everything is committed by now."""
    try:
        async with asyncio.timeout(_DISCONNECT_SECONDS):
            await client.disconnect()
    except (BleakError, OSError, EOFError, TimeoutError, AttributeError, AssertionError) as error:
        log.info("disconnect_failed", error=_word(error))
    link.mark_closed()


def _dbus_name(error: BaseException) -> str | None:
    return error.dbus_error if isinstance(error, BleakDBusError) else None


def _word(error: BaseException) -> str:
    """The kind of an error, never its text: texts carry names of devices."""
    return _dbus_name(error) or type(error).__name__
