"""Start and stop the whole facade: private bus, `org.bluez` name, agent manager, one adapter on the air.

Input: an air (or hub address, or real controller), an address, a state folder. Output: a bus address for bleak.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from bumble.keys import JsonKeyStore, KeyStore, MemoryKeyStore
from dbus_fast import Message, MessageType, RequestNameReply
from dbus_fast.aio import MessageBus

from simulators.air import Air
from simulators.bluez.adapter import Adapter
from simulators.bluez.agents import AgentManager
from simulators.bluez.objects import ObjectTree
from simulators.bluez.private_bus import PrivateBus
from simulators.central import Central

BLUEZ: Final = "org.bluez"
_MANAGER: Final = "org.bluez.AgentManager1"


class BluezFacade:
    """A running facade; `bus_address` goes into `DBUS_SYSTEM_BUS_ADDRESS`. Close it when done."""

    def __init__(self, daemon: PrivateBus, folder: Path, start: Callable[[], Awaitable[Bluetoothd]]) -> None:
        self._daemon = daemon
        self._folder = folder
        self._start = start
        self._bluetoothd: Bluetoothd | None = None
        self.bus_address = daemon.address

    @classmethod
    async def open(
        cls,
        air_or_address: Air | str,
        address: str,
        *,
        state: Path | None = None,
        authorise_just_works: bool = False,
    ) -> BluezFacade:
        """Start everything. Without `state` bonds are kept in memory, over restarts of bluetoothd too."""
        if state is not None:
            state.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
        key_store = MemoryKeyStore() if state is None else JsonKeyStore("adapter", str(state / "bonds.json"))
        folder = Path(tempfile.mkdtemp(prefix="vw-bus-"))  # short: a socket path has some 100 characters
        try:
            daemon = await PrivateBus.start(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

        async def start() -> Bluetoothd:
            return await Bluetoothd.start(
                daemon.address,
                air_or_address,
                address,
                key_store=key_store,
                names=None if state is None else state / "devices.json",
                authorise_just_works=authorise_just_works,
            )

        facade = cls(daemon, folder, start)
        try:
            await facade.start_bluetoothd()
        except BaseException:
            await facade.close()
            raise
        return facade

    @property
    def radio_lost(self) -> asyncio.Future[None] | None:
        """Done when the hub or controller has gone away."""
        return None if self._bluetoothd is None else self._bluetoothd.central.radio_lost

    async def start_bluetoothd(self) -> None:
        if self._bluetoothd is None:
            self._bluetoothd = await self._start()

    async def stop_bluetoothd(self) -> None:
        """As when bluetoothd crashes: its name and objects vanish from the bus, links are lost; the bus lives on."""
        bluetoothd, self._bluetoothd = self._bluetoothd, None
        if bluetoothd is not None:
            await bluetoothd.stop()

    async def close(self) -> None:
        await self.stop_bluetoothd()
        await self._daemon.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class Bluetoothd:
    """What bluetoothd is on a real bus."""

    def __init__(self, bus: MessageBus, tree: ObjectTree, adapter: Adapter, central: Central) -> None:
        self.central = central
        self._bus = bus
        self._tree = tree
        self._adapter = adapter
        self._leavers: set[asyncio.Task[None]] = set()
        bus.add_message_handler(self._on_signal)

    @classmethod
    async def start(
        cls,
        bus_address: str,
        air_or_address: Air | str,
        address: str,
        *,
        key_store: KeyStore,
        names: Path | None,
        authorise_just_works: bool,
    ) -> Bluetoothd:
        """Join the bus and the air. Raises RuntimeError where the bus has an `org.bluez` already."""
        bus = await MessageBus(bus_address=bus_address).connect()
        agents = AgentManager(bus, authorise_just_works=authorise_just_works)
        tree = ObjectTree(bus)
        adapter = Adapter(tree, agents, "/org/bluez/hci0", names=names)
        central = await Central.open(
            air_or_address, address, delegate=adapter.pairing_delegate, key_store=key_store, name="hci0"
        )
        bluetoothd = cls(bus, tree, adapter, central)
        tree.add("/org/bluez", {_MANAGER: agents.interface()})
        await adapter.start(central, "vitalwire")
        await bluetoothd._watch_clients()
        if await bus.request_name(BLUEZ) is not RequestNameReply.PRIMARY_OWNER:
            await bluetoothd.stop()
            raise RuntimeError(f"{BLUEZ} has an owner already on {bus_address}")
        return bluetoothd

    async def stop(self) -> None:
        await self._tree.close()
        self._bus.disconnect()
        await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        await self._adapter.stop()
        await self.central.close()

    async def _watch_clients(self) -> None:
        rule = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged'"
        await self._bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="AddMatch",
                signature="s",
                body=[rule],
            )
        )

    def _on_signal(self, message: Message) -> bool:
        if message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
            name, _, new_owner = message.body
            if name.startswith(":") and not new_owner:
                leaver = asyncio.get_running_loop().create_task(self._adapter.client_gone(name))
                self._leavers.add(leaver)
                leaver.add_done_callback(self._leavers.discard)
        return False
