"""Bonding: our own BlueZ agent, and what it saw.

Input: BlueZ's questions over D-Bus; passkeys from the registry or from a person. Output: answers for devices on the
list, refusals for all others, and a log of what was asked: bleak's error after a failed pairing never tells.
"""

# No `from __future__ import annotations` here: dbus-fast reads the annotations of methods as D-Bus signatures.

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from dbus_fast import BusType, DBusError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method

from gateway.errors import RadioError

log = structlog.get_logger(__name__)

AGENT_PATH: Final = "/org/vitalwire/agent"
_CAPABILITY: Final = "KeyboardDisplay"
_ANSWER_SECONDS: Final = 60.0  # SMP gives up after 30 s of silence on one side; a person needs the rest

PasskeyOf = Callable[[str], Awaitable[int | None]]
"""Address → six digits shown by the device, or None to refuse."""


def address_of(path: str) -> str:
    """ "/org/bluez/hci0/dev_AA_BB_CC_DD_EE_FF" → "AA:BB:CC:DD:EE:FF"."""
    return path.rsplit("/dev_", 1)[-1].replace("_", ":").upper()


class Agent(ServiceInterface):
    """org.bluez.Agent1. Answers only for devices that `is_allowed` names; remembers its last word on each device."""

    def __init__(self, *, is_allowed: Callable[[str], bool], passkey_of: PasskeyOf) -> None:
        super().__init__("org.bluez.Agent1")
        self._is_allowed = is_allowed
        self._passkey_of = passkey_of
        self._views: dict[str, str] = {}

    def view(self, address: str) -> str | None:
        """What the agent saw last of this device, in plain words; None when it was not asked."""
        return self._views.get(address.upper())

    def forget_view(self, address: str) -> None:
        self._views.pop(address.upper(), None)

    def _check(self, path: str, question: str) -> str:
        address = address_of(path)
        log.info("pairing_question", question=question, address=address)
        if not self._is_allowed(address):
            self._see(address, "refused: the device is not on this home's list")
            raise DBusError("org.bluez.Error.Rejected", "not on the list")
        return address

    def _see(self, address: str, words: str) -> None:
        log.info("pairing_view", address=address, view=words)
        self._views[address] = words

    @dbus_method()
    def Release(self) -> None:  # noqa: N802 -- names of the D-Bus interface
        log.info("agent_released")

    @dbus_method()
    async def RequestPasskey(self, device: "o") -> "u":  # type: ignore[name-defined]  # noqa: N802, F821
        return await self._digits(device, "RequestPasskey")

    @dbus_method()
    async def RequestPinCode(self, device: "o") -> "s":  # type: ignore[name-defined]  # noqa: N802, F821
        return f"{await self._digits(device, 'RequestPinCode'):06}"

    async def _digits(self, device: str, question: str) -> int:
        address = self._check(device, question)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                digits = await self._passkey_of(address)
        except TimeoutError:
            digits = None
        if digits is None:
            self._see(address, "the device shows a number and none was entered")
            raise DBusError("org.bluez.Error.Canceled", "no passkey")
        self._see(address, "a number was entered; if pairing failed, it was not the one the device shows")
        return digits

    @dbus_method()
    def RequestConfirmation(self, device: "o", passkey: "u") -> None:  # type: ignore[name-defined]  # noqa: N802, F821, ARG002
        address = self._check(device, "RequestConfirmation")
        self._see(address, "confirmed without a number (Just Works)")

    @dbus_method()
    def RequestAuthorization(self, device: "o") -> None:  # type: ignore[name-defined]  # noqa: N802, F821
        address = self._check(device, "RequestAuthorization")
        self._see(address, "authorised (Just Works)")

    @dbus_method()
    def AuthorizeService(self, device: "o", uuid: "s") -> None:  # type: ignore[name-defined]  # noqa: N802, F821, ARG002
        self._check(device, "AuthorizeService")

    @dbus_method()
    def DisplayPasskey(self, device: "o", passkey: "u", entered: "q") -> None:  # type: ignore[name-defined]  # noqa: N802, F821, ARG002
        self._see(self._check(device, "DisplayPasskey"), "the device wants a number typed on it; it cannot be used")

    @dbus_method()
    def DisplayPinCode(self, device: "o", pincode: "s") -> None:  # type: ignore[name-defined]  # noqa: N802, F821, ARG002
        self._see(self._check(device, "DisplayPinCode"), "the device wants a number typed on it; it cannot be used")

    @dbus_method()
    def Cancel(self) -> None:  # noqa: N802
        log.info("pairing_cancelled_by_bluez")


class BluezBus:
    """Our own connection to the system bus: registers the agent, watches the daemon, switches the adapter's power."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus

    @classmethod
    async def connect(cls) -> "BluezBus":
        try:
            return cls(await MessageBus(bus_type=BusType.SYSTEM).connect())
        except (OSError, EOFError) as error:
            raise RadioError(
                "the system bus cannot be reached; in a container mount /run/dbus/system_bus_socket"
            ) from error

    @property
    def is_connected(self) -> bool:
        return self._bus.connected

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._bus.disconnect()

    async def wait_closed(self) -> None:
        with contextlib.suppress(Exception):
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def export(self, agent: Agent) -> None:
        self._bus.export(AGENT_PATH, agent)

    async def register_agent(self) -> None:
        """Make our agent the one BlueZ asks. Again after every restart of the daemon. Raises `RadioError`."""
        await self._call("/org/bluez", "org.bluez.AgentManager1", "RegisterAgent", "os", [AGENT_PATH, _CAPABILITY])
        await self._call("/org/bluez", "org.bluez.AgentManager1", "RequestDefaultAgent", "o", [AGENT_PATH])

    async def watch_daemon(self, on_owner: Callable[[bool], None]) -> None:
        """Call `on_owner(True)` when bluetoothd appears on the bus and `on_owner(False)` when it goes."""

        def handle(message: Message) -> None:
            if (
                message.message_type is MessageType.SIGNAL
                and message.member == "NameOwnerChanged"
                and message.body
                and message.body[0] == "org.bluez"
            ):
                on_owner(bool(message.body[2]))

        self._bus.add_message_handler(handle)
        await self._call(
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "AddMatch",
            "s",
            ["type='signal',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.bluez'"],
            destination="org.freedesktop.DBus",
        )

    async def hang_up_stale(self, is_ours: Callable[[str], bool]) -> int:
        """End connections that a killed predecessor left open: a connected device does not advertise, and some keep a
        silent connection for half a minute. Returns how many."""
        reply = await self._call("/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "", [])
        count = 0
        for path, interfaces in reply.body[0].items():
            device = interfaces.get("org.bluez.Device1")
            if device is None or not device["Connected"].value or not is_ours(device["Address"].value):
                continue
            with contextlib.suppress(RadioError):
                await self._call(path, "org.bluez.Device1", "Disconnect", "", [])
                count += 1
        return count

    async def power_cycle(self, adapter: str, *, pause_seconds: float = 2.0) -> None:
        """Adapter off and on: what helps against a firmware that has stopped listening."""
        for value in (False, True):
            await self._call(
                f"/org/bluez/{adapter}",
                "org.freedesktop.DBus.Properties",
                "Set",
                "ssv",
                ["org.bluez.Adapter1", "Powered", Variant("b", value)],
            )
            await asyncio.sleep(pause_seconds)

    async def _call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str,
        body: list[object],
        *,
        destination: str = "org.bluez",
    ) -> Message:
        try:
            async with asyncio.timeout(10):
                reply = await self._bus.call(
                    Message(
                        destination=destination,
                        path=path,
                        interface=interface,
                        member=member,
                        signature=signature,
                        body=body,
                    )
                )
        except (OSError, EOFError, TimeoutError) as error:
            raise RadioError(f"BlueZ does not answer ({member})") from error
        if reply.message_type is MessageType.ERROR:
            raise RadioError(f"BlueZ refused {member}: {reply.error_name}")
        return reply
