"""Thousands of gateways at MQTT level, in one thread: they publish, keep what has no receipt, and send it again.

Input: a broker, homes, a pattern, and how fast and how long. Output: the ledger (JSON lines, on its way to the disk
before a reading leaves) and what became of the readings. Each gateway is a paho client without a thread of its own;
one selector drives them all. A reading is delivered only with its receipt.
"""

from __future__ import annotations

import heapq
import json
import math
import queue
import random
import selectors
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import IO, Any, Final

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from gateway import contract
from simulators.clock import SystemClock
from simulators.fleet_pattern import Act, FleetError, FleetHome, Pattern, acts, habits_of, ledger_line

# More at once only fill the broker's listen queue, and each of those beyond it waits a second for nothing.
_CONNECTING: Final = 64
_CONNECT_SECONDS: Final = 20.0
_ASSEMBLY_SECONDS: Final = 120.0
_KEEPALIVE_SECONDS: Final = 60
_RETRY_SECONDS: Final = (0.5, 10.0)
_RESEND_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 1.0
# What has no receipt stays in memory: above this the fleet makes nothing new until receipts come.
_MOST_PENDING: Final = 50_000
_BATCH_BYTES: Final = contract.MAX_PAYLOAD_BYTES - 1024
_CHUNK: Final = 200
_DELAY_STEP: Final = math.log(1.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetBroker:
    """Where the gateways log in; `tls` for mqtts://."""

    host: str
    port: int
    version: str = "5"
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`speed`: simulated seconds in a second. Making ends after `duration` seconds or `readings`, whichever is first;
    the run ends when all are receipted, or when none has been for `patience` seconds."""

    speed: float
    duration: float | None = None
    readings: int | None = None
    patience: float = 60.0


@dataclass(slots=True, kw_only=True)
class FleetResult:
    """What one run did. Seconds of real time; delays are from first publish to receipt."""

    gateways: int
    connected: int = 0
    refused: int = 0
    lost_connections: int = 0
    made: int = 0
    stored_batches: int = 0
    sent_again: int = 0
    receipted: int = 0
    rejected: int = 0
    seconds: float = 0.0
    delays: Counter[int] = field(default_factory=Counter)

    @property
    def unreceipted(self) -> int:
        return self.made - self.receipted - self.rejected

    def delay_ms(self, share: float) -> float | None:
        """The delay below which this share of the readings was receipted, to 2 %; None without any."""
        wanted, seen = share * self.delays.total(), 0
        for step, count in sorted(self.delays.items()):
            seen += count
            if seen >= wanted:
                return round(1000 * math.exp((step + 0.5) * _DELAY_STEP), 1)
        return None

    def note_delay(self, seconds: float) -> None:
        self.delays[math.floor(math.log(max(seconds, 1e-5)) / _DELAY_STEP)] += 1


@dataclass(frozen=True, slots=True)
class _Made:
    """An act, encoded."""

    due: float  # seconds of real time after the begin
    gateway: str
    message_id: str
    payload: bytes
    is_stored: bool
    line: str


@dataclass(slots=True)
class _Pending:
    payload: bytes
    is_stored: bool
    first_at: float = 0.0
    last_at: float = 0.0


class _FleetClient(Client):
    """paho that does not wait for its connection: the selector says when it stands. TLS shakes hands blocking."""

    address: tuple[socket.AddressFamily, Any]

    def _create_socket_connection(self) -> socket.socket:
        if self._ssl:
            return super()._create_socket_connection()
        family, address = self.address
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        sock.connect_ex(address)
        return sock


class _Gateway:
    """One gateway: its connection, and the readings that have no receipt yet."""

    def __init__(self, fleet: Fleet, home: FleetHome) -> None:
        self.fleet = fleet
        self.home = home
        self.pending: dict[str, _Pending] = {}
        self.client: _FleetClient | None = None
        self.is_up = False
        self.attempt = 0
        self.began = 0.0

    # --- connection ---------------------------------------------------------------------------------------------

    def connect(self, now: float) -> None:
        broker, home = self.fleet.broker, self.home
        version5 = broker.version == "5"
        client = _FleetClient(
            CallbackAPIVersion.VERSION2,
            client_id=home.gateway,
            protocol=MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311,
        )
        client.address = self.fleet.address
        client.username_pw_set(home.username, home.password)
        if broker.tls is not None:
            client.tls_set_context(broker.tls)
        client.will_set(contract.status_topic(home.gateway), self._status("offline"), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = lambda *_: self.fleet.ended.append(self)
        client.on_socket_open = lambda _client, _userdata, sock: self.fleet.watch(sock, self)
        client.on_socket_close = lambda _client, _userdata, sock: self.fleet.unwatch(sock)
        client.on_socket_register_write = lambda _client, _userdata, sock: self.fleet.watch_writes(sock, on=True)
        client.on_socket_unregister_write = lambda _client, _userdata, sock: self.fleet.watch_writes(sock, on=False)
        self.client, self.began, self.is_up = client, now, False
        try:
            client.connect_async(broker.host, broker.port, keepalive=_KEEPALIVE_SECONDS)
            client.reconnect()
        except OSError:
            self.fleet.ended.append(self)

    def _status(self, state: str) -> bytes:
        return contract.encode(contract.Status(state=state, at=SystemClock().now(), software="simulated fleet"))

    def _on_connect(self, client: Client, _userdata: object, _flags: object, reason: ReasonCode, *_: object) -> None:
        if reason.is_failure:
            self.fleet.result.refused += 1
        else:
            client.subscribe(contract.receipts_topic(self.home.gateway), qos=1)

    def _on_subscribe(
        self, client: Client, _userdata: object, _mid: int, reasons: list[ReasonCode], *_: object
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self.fleet.result.refused += 1
            client.disconnect()
            return
        client.publish(contract.status_topic(self.home.gateway), self._status("online"), qos=1, retain=True)
        self.is_up, self.attempt = True, 0
        for one in self.pending.values():
            one.last_at = 0.0  # what the last connection carried may be lost
        self.fleet.came_up(self)

    def events(self, mask: int) -> None:
        client = self.client
        if client is None:
            return
        if mask & selectors.EVENT_READ:
            client.loop_read()
            while (sock := client.socket()) is not None and isinstance(sock, ssl.SSLSocket) and sock.pending():
                client.loop_read()
        if mask & selectors.EVENT_WRITE:
            client.loop_write()

    def drop(self) -> None:
        """Forget the connection, however it stands."""
        client, self.client, self.is_up = self.client, None, False
        sock = client.socket() if client is not None else None
        if sock is not None:
            self.fleet.unwatch(sock)
            sock.close()

    def leave(self) -> None:
        """The end of the run: the broker says the last will, so that nobody takes the gateway for present."""
        if self.client is not None and self.client.is_connected():
            with_will = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")
            self.client.disconnect(with_will if self.fleet.broker.version == "5" else None)
            self.client.loop_write()
        self.drop()

    # --- readings -----------------------------------------------------------------------------------------------

    def publish(self, now: float) -> None:
        """Send what was never sent or has waited too long: live readings singly, everything else in batches."""
        if not self.is_up or self.client is None:
            return
        batch: list[bytes] = []
        for one in self.pending.values():
            if one.last_at and now - one.last_at < _RESEND_SECONDS:
                continue
            again = one.first_at > 0.0
            self.fleet.result.sent_again += again
            one.last_at = now
            one.first_at = one.first_at or now
            if one.is_stored or again:
                batch.append(one.payload)
            else:
                self._send(one.payload)
        for payloads in batches(batch):
            self.fleet.result.stored_batches += 1
            self._send(contract.encode_batch(payloads))

    def _send(self, payload: bytes) -> None:
        if self.client is not None:
            self.client.publish(contract.readings_topic(self.home.gateway), payload, qos=1)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        receipt = contract.decode_receipt(bytes(message.payload))
        now, result = time.monotonic(), self.fleet.result
        for name in receipt.stored:
            if (one := self.pending.pop(name, None)) is not None:
                result.receipted += 1
                result.note_delay(now - one.first_at)
                self.fleet.last_receipt = now
        for rejection in receipt.rejected:
            if self.pending.pop(rejection.message_id, None) is not None:
                result.rejected += 1
                self.fleet.last_receipt = now


def batches(payloads: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Cut by both bounds of the contract: readings and bytes."""
    batch: list[bytes] = []
    size = 0
    for payload in payloads:
        if batch and (len(batch) == contract.MAX_BATCH_READINGS or size + len(payload) + 1 > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(payload)
        size += len(payload) + 1
    if batch:
        yield batch


class Fleet:
    """All gateways and the loop that drives them. `progress` is called about once a second, in the loop."""

    def __init__(
        self,
        broker: FleetBroker,
        homes: Sequence[FleetHome],
        pattern: Pattern,
        bounds: Bounds,
        ledger: IO[str],
        progress: Callable[[FleetResult], None] | None = None,
    ) -> None:
        self.broker = broker
        self.pattern = pattern
        self.bounds = bounds
        self.ledger = ledger
        self.progress = progress
        self.result = FleetResult(gateways=len(homes))
        self.ended: list[_Gateway] = []
        self.last_receipt = 0.0
        self.address = _resolve(broker)
        self._gateways = {home.gateway: _Gateway(self, home) for home in homes}
        self._powered = [home.gateway for home in homes if not habits_of(home, pattern).loses_power]
        self._selector = selectors.DefaultSelector()
        self._retries: list[tuple[float, str]] = []
        self._connecting: set[str] = set()
        self._wanted: set[str] = set()
        self._ever_up: set[str] = set()
        self._dirty: set[str] = set()
        self._looked_at = 0.0

    # --- what gateways tell -------------------------------------------------------------------------------------

    def watch(self, sock: Any, gateway: _Gateway) -> None:
        self._selector.register(sock, selectors.EVENT_READ, gateway)

    def unwatch(self, sock: Any) -> None:
        if sock.fileno() >= 0 and sock.fileno() in self._selector.get_map():
            self._selector.unregister(sock)

    def watch_writes(self, sock: Any, *, on: bool) -> None:
        if sock.fileno() >= 0 and sock.fileno() in self._selector.get_map():
            key = self._selector.get_key(sock)
            self._selector.modify(sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if on else 0), key.data)

    def came_up(self, gateway: _Gateway) -> None:
        self._connecting.discard(gateway.home.gateway)
        self._ever_up.add(gateway.home.gateway)
        self._dirty.add(gateway.home.gateway)
        self.result.connected = len(self._ever_up)

    # --- the run ------------------------------------------------------------------------------------------------

    def run(self) -> FleetResult:
        """Live until the bounds; raises `FleetError` when the broker takes no gateway in."""
        source = _Source(self._gateways.values(), self.pattern, self.bounds)
        try:
            self._assemble()
            start = self.last_receipt = time.monotonic()
            self._live(source, start)
            self.result.seconds = time.monotonic() - start
        finally:
            source.stop()
            for gateway in self._gateways.values():
                gateway.leave()
            self._selector.close()
        return self.result

    def _assemble(self) -> None:
        """The clock begins when every gateway that has power is there."""
        for name in self._powered:
            self._want(name)
        deadline = time.monotonic() + _ASSEMBLY_SECONDS
        while len(self._ever_up) < len(self._powered) and time.monotonic() < deadline:
            self._turn(0.05)
            if not self._ever_up and time.monotonic() > deadline - _ASSEMBLY_SECONDS + _CONNECT_SECONDS:
                raise FleetError(
                    f"the broker at {self.broker.host}:{self.broker.port} takes no gateway in; "
                    "check VITALWIRE_MQTT_URL and whether the identities are known to it"
                )

    def _live(self, source: _Source, start: float) -> None:
        bounds, result = self.bounds, self.result
        while True:
            now = time.monotonic()
            is_open = (bounds.readings is None or result.made < bounds.readings) and (
                bounds.duration is None or now - start < bounds.duration
            )
            if is_open:
                self._make(source, now - start)
            elif result.unreceipted == 0 or now - max(self.last_receipt, start) > bounds.patience:
                return
            for name in self._dirty:
                self._gateways[name].publish(now)
            self._dirty.clear()
            self._turn(0.01)

    def _make(self, source: _Source, elapsed: float) -> None:
        made = 0
        while self.result.unreceipted < _MOST_PENDING and made < _CHUNK * 5:
            if self.bounds.readings is not None and self.result.made >= self.bounds.readings:
                break
            if (item := source.take(elapsed)) is None:
                break
            self.ledger.write(item.line)
            self._gateways[item.gateway].pending[item.message_id] = _Pending(item.payload, item.is_stored)
            self.result.made += 1
            made += 1
            self._dirty.add(item.gateway)
            self._want(item.gateway)
        if made:
            self.ledger.flush()

    def _want(self, name: str) -> None:
        if name not in self._wanted:
            self._wanted.add(name)
            heapq.heappush(self._retries, (0.0, name))

    def _turn(self, wait: float) -> None:
        """One round: connect who is due, serve sockets, look after the clocks."""
        now = time.monotonic()
        while self._retries and self._retries[0][0] <= now and len(self._connecting) < _CONNECTING:
            _, name = heapq.heappop(self._retries)
            self._connecting.add(name)
            self._gateways[name].connect(now)
        for key, mask in self._selector.select(wait):
            key.data.events(mask)
        if now - self._looked_at > _LOOK_SECONDS:
            self._looked_at = now
            self._look(now)
        ended, self.ended = self.ended, []
        for gateway in ended:
            self._after_end(gateway, now)

    def _look(self, now: float) -> None:
        for name, gateway in self._gateways.items():
            if gateway.client is None:
                continue
            is_late = name in self._connecting and now - gateway.began > _CONNECT_SECONDS
            if gateway.client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS or is_late:
                self.ended.append(gateway)
            elif gateway.pending:
                self._dirty.add(name)
        if self.progress is not None:
            self.progress(self.result)

    def _after_end(self, gateway: _Gateway, now: float) -> None:
        if gateway.client is None:
            return
        self.result.lost_connections += gateway.is_up
        gateway.drop()
        self._connecting.discard(gateway.home.gateway)
        first, longest = _RETRY_SECONDS
        pause = min(longest, first * 2.0**gateway.attempt) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads retries
        gateway.attempt = min(gateway.attempt + 1, 8)
        heapq.heappush(self._retries, (now + pause, gateway.home.gateway))


class _Source:
    """Makes readings ahead of time in a thread of its own, so that a new day of thousands of homes stops nobody."""

    def __init__(self, gateways: Iterable[_Gateway], pattern: Pattern, bounds: Bounds) -> None:
        self._queue: queue.Queue[list[_Made]] = queue.Queue(maxsize=50)
        self._stopped = threading.Event()
        self._ready: list[_Made] = []
        homes = [gateway.home for gateway in gateways]
        self._thread = threading.Thread(target=self._fill, args=(homes, pattern, bounds), name="fleet-source")
        self._thread.start()

    def take(self, elapsed: float) -> _Made | None:
        """The next reading that is due so many seconds after the begin; None when none is."""
        if not self._ready:
            try:
                self._ready = self._queue.get_nowait()
            except queue.Empty:
                if not self._thread.is_alive():
                    raise FleetError("readings cannot be made any more; the reason stands above") from None
                return None
            self._ready.reverse()
        return self._ready.pop() if self._ready[-1].due <= elapsed else None

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _fill(self, homes: Sequence[FleetHome], pattern: Pattern, bounds: Bounds) -> None:
        chunk: list[_Made] = []
        for act in acts(homes, pattern):
            chunk.append(_encode(act, pattern, bounds.speed))
            if len(chunk) == _CHUNK:
                self._put(chunk)
                chunk = []
            if self._stopped.is_set():
                return

    def _put(self, chunk: list[_Made]) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(chunk, timeout=0.2)
            except queue.Full:
                continue
            return


def _encode(act: Act, pattern: Pattern, speed: float) -> _Made:
    reading = act.reading
    return _Made(
        due=(act.leaves_at - pattern.begin) / timedelta(seconds=speed),
        gateway=act.gateway,
        message_id=str(reading.message_id),
        payload=contract.encode(reading),
        is_stored=reading.memory == "stored",
        line=json.dumps(ledger_line(act)) + "\n",
    )


def _resolve(broker: FleetBroker) -> tuple[socket.AddressFamily, Any]:
    try:
        family, _, _, _, address = socket.getaddrinfo(broker.host, broker.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise FleetError(f"{broker.host} is not known here; check VITALWIRE_MQTT_URL") from error
    return family, address
