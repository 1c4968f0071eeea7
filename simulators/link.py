"""Ways to an air or a real controller: in this process, through a hub for any number of processes, or hardware.

Input: hub addresses (`tcp://HOST:PORT`, `unix:PATH`) or bumble names of real controllers (`usb:0`, `hci-socket:0`,
`serial:/dev/ttyACM0`). Output: a `Hub` that listens, a `Radio` that a host drives.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from bumble.core import InvalidPacketError
from bumble.host import Host
from bumble.transport import open_transport
from bumble.transport.common import PacketParser, TransportLostError

from simulators.air import DROP_LINKS_COMMAND, SET_RADIO_COMMAND, Air, VirtualController, vendor_command

logger = logging.getLogger(__name__)


class _HubClient(asyncio.Protocol):
    """One host connected to the hub: its HCI stream and the controller made for it."""

    def __init__(self, air: Air, number: int, on_gone: Callable[[_HubClient], None]) -> None:
        self._air = air
        self._number = number
        self._on_gone = on_gone
        self._transport: asyncio.Transport | None = None
        self._parser = PacketParser()
        self.controller: VirtualController | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.controller = VirtualController(f"radio-{self._number}", air=self._air, host_sink=self)
        self._parser.set_packet_sink(self.controller)

    def on_packet(self, packet: bytes) -> None:
        """From the controller to the host."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(packet)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (InvalidPacketError, ValueError, IndexError):
            logger.warning("radio %d: not an HCI stream, closing", self._number)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.controller is not None:
            self.controller.leave()
            self.controller = None
        self._transport = None
        self._on_gone(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Hub:
    """An air that other processes join by TCP or unix socket. One connection is one radio."""

    def __init__(self, air: Air | None = None) -> None:
        self.air = air or Air()
        self._server: asyncio.Server | None = None
        self._clients: set[_HubClient] = set()
        self._counter = 0
        self._path: Path | None = None

    async def listen(self, address: str) -> str:
        """Listen on `tcp://HOST:PORT` (port 0: a free one) or `unix:PATH`; returns the address hosts use."""
        loop = asyncio.get_running_loop()
        if address.startswith("unix:"):
            self._path = Path(address.removeprefix("unix://").removeprefix("unix:"))
            self._server = await loop.create_unix_server(self._accept, path=self._path)
            return f"unix:{self._path}"
        host, port = parse_tcp(address)
        self._server = await loop.create_server(self._accept, host, port)
        bound = self._server.sockets[0].getsockname()
        return f"tcp://{bound[0]}:{bound[1]}"

    def _accept(self) -> _HubClient:
        self._counter += 1
        client = _HubClient(self.air, self._counter, self._clients.discard)
        self._clients.add(client)
        return client

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for client in list(self._clients):
            client.close()
        if self._server is not None:
            await self._server.wait_closed()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def parse_tcp(address: str) -> tuple[str, int]:
    """(host, port) of `tcp://HOST:PORT`. Raises ValueError with what to write instead."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{address!r}: {error}; write tcp://127.0.0.1:0") from error
    if parts.scheme != "tcp" or not parts.hostname or port is None:
        raise ValueError(f"{address!r} is no hub address; write tcp://HOST:PORT or unix:PATH")
    return parts.hostname, port


def bumble_transport_name(address: str) -> str:
    """The bumble transport for a hub address; anything else (`usb:0`, `serial:…`) is passed through."""
    if address.startswith("unix:"):
        return "unix:" + address.removeprefix("unix://").removeprefix("unix:")
    if address.startswith("tcp:"):
        host, port = parse_tcp(address)
        return f"tcp-client:{host}:{port}"
    return address


def flush_host(host: Host) -> None:
    """Tell a host that its controller is gone: what waits fails, every link ends.

    bumble's own `on_transport_lost` stumbles over an answer that has arrived but is not taken yet.
    """
    pending = host.pending_response
    if pending is not None and not pending.done():
        pending.set_exception(TransportLostError("transport lost"))
    host.emit("flush")


class Radio:
    """A host's way to its controller: in this process, at a hub, or real hardware. Close it when done."""

    def __init__(self, source: Any, sink: Any, close: Callable[[], Any], *, virtual: bool) -> None:
        self.source = source
        self.sink = sink
        self._close = close
        self.is_virtual = virtual

    @classmethod
    async def open(cls, air_or_address: Air | str, *, name: str) -> Radio:
        if isinstance(air_or_address, Air):
            return cls._in_process(air_or_address, name)
        transport = await open_transport(bumble_transport_name(air_or_address))
        virtual = air_or_address.startswith(("tcp:", "unix:", "tcp-client:"))
        return cls(transport.source, transport.sink, transport.close, virtual=virtual)

    @classmethod
    def _in_process(cls, air: Air, name: str) -> Radio:
        controller = VirtualController(name, air=air)

        async def close() -> None:
            controller.leave()

        return cls(controller, controller, close, virtual=True)

    @property
    def lost(self) -> asyncio.Future[None] | None:
        """Done when the hub or the hardware is gone; None for an air in this process."""
        return getattr(self.source, "terminated", None) if not isinstance(self.source, VirtualController) else None

    def drop_links(self) -> None:
        """Fall off the air now. Only virtual radios can; a real one raises ValueError."""
        self._shape(vendor_command(DROP_LINKS_COMMAND))

    def shape(self, *, answers_connections: bool = True, rssi: int = -55, delay_ms: int = 0) -> None:
        """Choose whether connection requests are answered, the strength others see (dBm), the delay of each packet."""
        parameters = struct.pack("<BbH", answers_connections, rssi, delay_ms)
        self._shape(vendor_command(SET_RADIO_COMMAND, parameters))

    def _shape(self, packet: bytes) -> None:
        if not self.is_virtual:
            raise ValueError("only a virtual radio can be shaped; take the real device out of range instead")
        self.sink.on_packet(packet)

    async def close(self) -> None:
        await self._close()
