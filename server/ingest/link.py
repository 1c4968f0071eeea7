"""The ingest process's end of MQTT: paho driven by the event loop, acknowledging only when told to.

Input: broker settings and the subscriptions. Output: `Arrival`s in order of arrival; `acknowledge` and `publish`.
Only this module knows paho. Everything runs in the loop's thread: no locks, no hand-over, one system call for many
packets in each direction.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import structlog
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.contract import MAX_PAYLOAD_BYTES
from server.config import ServerSettings

_log = structlog.get_logger("vitalwire.ingest.link")

_READ_BYTES: Final = 256 * 1024
_CONNECT_SECONDS: Final = 10.0
# Too short hammers a broker that is starting, too long delays every receipt after a short outage.
_RETRY_FIRST_SECONDS: Final = 0.1
_RETRY_LAST_SECONDS: Final = 5.0
# Backlogs come in messages of up to 64 KiB: these bounds keep a burst of them from filling the memory.
_BATCH_BYTES: Final = 1024 * 1024
_INBOX_BYTES: Final = 4 * 1024 * 1024
# Receipts on their way to the broker. MQTT 5 brokers allow this many by default; beyond it paho queues.
_OUTGOING_INFLIGHT: Final = 500
_OUTGOING_QUEUED: Final = 20_000


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One message as it came. `session` tells connections apart: an acknowledgement is worth nothing on the next."""

    session: int
    packet_id: int
    topic: str
    payload: bytes
    repeated: bool


class _BufferedSocket:
    """Stands between paho, which reads byte by byte, and the socket: few system calls instead of four a message."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._incoming = bytearray()
        self._position = 0
        self._outgoing = bytearray()

    def fill(self) -> None:
        """Read what is there. Raises `BlockingIOError` when nothing is, `ConnectionError` at the end."""
        del self._incoming[: self._position]
        self._position = 0
        try:
            data = self._sock.recv(_READ_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error
        if not data:
            raise ConnectionResetError("the broker closed the connection")
        self._incoming += data

    def pending(self) -> int:
        return len(self._incoming) - self._position

    def undecrypted(self) -> int:
        """Bytes that TLS has read from the network already: the loop would not be woken for them."""
        return self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0

    def recv(self, size: int) -> bytes:
        start = self._position
        if start == len(self._incoming):
            raise BlockingIOError
        data = bytes(self._incoming[start : start + size])
        self._position = start + len(data)
        return data

    def send(self, data: bytes | bytearray) -> int:
        self._outgoing += data
        return len(data)

    def flush(self) -> bool:
        """Write what paho sent. True when nothing is left."""
        while self._outgoing:
            try:
                sent = self._sock.send(self._outgoing)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            del self._outgoing[:sent]
        return True

    def fileno(self) -> int:
        return int(self._sock.fileno())

    def setblocking(self, flag: bool) -> None:
        self._sock.setblocking(flag)

    def close(self) -> None:
        self._sock.close()


class _LoopClient(Client):
    """paho with our socket in between. `_create_socket` is its only hook for that; a canary test watches it."""

    buffered: _BufferedSocket

    def _create_socket(self) -> Any:
        self.buffered = _BufferedSocket(super()._create_socket())
        return self.buffered


class Link:
    """Connected as long as it can be: reconnects by itself, with the session kept by the broker."""

    def __init__(self, settings: ServerSettings, subscriptions: Iterable[str]) -> None:
        self._settings = settings
        self._subscriptions = [(topic, 1) for topic in subscriptions]
        self._inbox: deque[Arrival] = deque()
        self._bound = settings.ingest_queue_messages
        self._reading = False
        self._writer_waits = False
        self._lost = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._refused = ""
        self._loop = asyncio.get_running_loop()
        self._socket: _BufferedSocket | None = None
        self._bytes = 0
        self.session = 0
        self.connected = False
        self.published: dict[str, int] = {}
        self.first_connected = asyncio.Event()
        self.arrived = asyncio.Event()
        self.on_connected: Callable[[], None] | None = None
        self._client = self._make_client()

    # --- what the consumer uses ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._inbox)

    def take(self, most: int) -> list[Arrival]:
        """The oldest arrivals: at most so many, and no more than one statement should carry."""
        inbox, size = self._inbox, 0
        batch: list[Arrival] = []
        while inbox and len(batch) < most and size < _BATCH_BYTES:
            batch.append(inbox.popleft())
            size += len(batch[-1].payload)
        self._bytes -= size
        if not inbox:
            self.arrived.clear()
        if not self._full():
            self._read_on()
        return batch

    def _full(self) -> bool:
        return len(self._inbox) >= self._bound or self._bytes >= _INBOX_BYTES

    def acknowledge(self, arrivals: Iterable[Arrival]) -> None:
        """Tell the broker that these are stored. Those of an earlier connection come again and are known by then."""
        if not self.connected:
            return
        session, ack = self.session, self._client.ack
        for arrival in arrivals:
            if arrival.session == session:
                ack(arrival.packet_id, 1)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """QoS 1. False when it was not even queued: a gateway that misses a receipt sends its readings again."""
        if not self.connected:
            return False
        if len(payload) > MAX_PAYLOAD_BYTES:
            # The broker would close the connection, paho would send it again on the next one, for ever.
            _log.error("message too large to publish", count=len(payload))
            return False
        return self._client.publish(topic, payload, qos=1, retain=retain).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    async def run(self) -> None:
        """Connect, stay connected, connect again; until cancelled."""
        delay = _RETRY_FIRST_SECONDS
        try:
            while True:
                if await self._connect():
                    delay = _RETRY_FIRST_SECONDS
                    await self._tend()
                    _log.warning("broker connection lost")
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, hides nothing
                delay = min(delay * 2, _RETRY_LAST_SECONDS)
        finally:
            self._close()

    # --- connection ---------------------------------------------------------------------------------------------

    def _make_client(self) -> _LoopClient:
        settings = self._settings
        version5 = settings.mqtt_version == "5"
        client = _LoopClient(
            CallbackAPIVersion.VERSION2,
            client_id=settings.ingest_client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311,
            clean_session=None if version5 else False,
            manual_ack=True,
        )
        if settings.mqtt_username is not None:
            client.username_pw_set(settings.mqtt_username, settings.mqtt_password())
        if settings.mqtt_tls:
            context = ssl.create_default_context(cafile=settings.mqtt_ca_file)
            if settings.mqtt_cert_file and settings.mqtt_key_file:
                context.load_cert_chain(settings.mqtt_cert_file, settings.mqtt_key_file)
            client.tls_set_context(context)
        client.max_inflight_messages_set(_OUTGOING_INFLIGHT)
        client.max_queued_messages_set(_OUTGOING_QUEUED)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_socket_register_write = self._on_want_write
        client.on_socket_close = self._unwatch
        options: dict[str, Any] = {}
        if version5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
            properties.SessionExpiryInterval = settings.mqtt_session_expiry_seconds
            properties.ReceiveMaximum = max(1, self._bound // 2)
            options = {"clean_start": False, "properties": properties}
        client.connect_async(
            settings.mqtt_host, settings.mqtt_port, keepalive=settings.mqtt_keepalive_seconds, **options
        )
        return client

    async def _connect(self) -> bool:
        self._lost.clear()
        self._subscribed.clear()
        self._refused = "no answer"
        self._inbox.clear()  # not acknowledged: the broker sends them again
        self._bytes = 0
        self.arrived.clear()
        self.published.clear()
        self.session += 1
        try:
            await asyncio.to_thread(self._client.reconnect)
        except OSError as error:
            _log.warning("broker not reached", error=type(error).__name__)
            return False
        self._socket = self._client.buffered
        self._read_on()
        self._write()
        if not await self._within(_CONNECT_SECONDS, self._subscribed):
            _log.warning("broker does not take us in", reason=self._refused)
            self._close()
            return False
        self.connected = True
        self.first_connected.set()
        _log.info("broker connected", session=self.session)
        if self.on_connected is not None:
            self.on_connected()
        return True

    async def _within(self, seconds: float, event: asyncio.Event) -> bool:
        """Whether the event comes before the connection is lost or the time is over."""
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(self._lost.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        return event.is_set() and not self._lost.is_set()

    async def _tend(self) -> None:
        """Keep-alive, until the connection is lost."""
        while not self._lost.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), timeout=1.0)
            if self._client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._close()

    def _close(self) -> None:
        self.connected = False
        self._unwatch()
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()
        self._lost.set()

    def _unwatch(self, *_: object) -> None:
        """Take the socket from the loop while it still has its number; paho closes it by itself when it is refused."""
        if self._socket is not None and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
        self._reading = self._writer_waits = False

    # --- socket events ------------------------------------------------------------------------------------------

    def _read_on(self) -> None:
        if self._socket is not None and not self._reading:
            self._reading = True
            self._loop.add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        sock = self._socket
        if sock is None:
            return
        try:
            sock.fill()
            while True:
                while sock.pending():
                    if self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                        self._close()
                        return
                if not sock.undecrypted():
                    break
                sock.fill()
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        if self._full():
            # The broker keeps what we do not read: this is the back-pressure of MQTT 3.1.1.
            self._loop.remove_reader(sock.fileno())
            self._reading = False

    def _on_want_write(self, _client: Client, _userdata: object, _sock: object) -> None:
        self._loop.call_soon_threadsafe(self._write)

    def _write(self) -> None:
        sock = self._socket
        if sock is None:
            return
        self._client.loop_write()
        try:
            done = sock.flush()
        except OSError:
            self._close()
            return
        if done and self._writer_waits:
            self._loop.remove_writer(sock.fileno())
            self._writer_waits = False
        elif not done and not self._writer_waits:
            self._loop.add_writer(sock.fileno(), self._write)
            self._writer_waits = True

    # --- what paho tells ----------------------------------------------------------------------------------------

    def _on_connect(self, client: Client, _userdata: object, _flags: object, reason: ReasonCode, *_: object) -> None:
        if reason.is_failure:
            self._refused = str(reason)
            self._lost.set()
        else:
            client.subscribe(self._subscriptions)

    def _on_subscribe(
        self, _client: Client, _userdata: object, _mid: int, reasons: list[ReasonCode], *_: object
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._refused = f"subscription refused: {refused[0]}"
            self._lost.set()
        else:
            self._subscribed.set()

    def _on_disconnect(self, *_: object) -> None:
        self._lost.set()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        payload = bytes(message.payload)
        self._inbox.append(Arrival(self.session, message.mid, message.topic, payload, message.retain))
        self._bytes += len(payload)
        self.arrived.set()
