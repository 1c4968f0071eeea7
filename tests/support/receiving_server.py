"""The server's side of the wire, for tests of the gateway: hears readings, answers with receipts when told to.

It speaks to a real broker. `committed` is its database: message ids, each once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway import contract
from tests.support.broker import Broker

T = TypeVar("T")


class ReceivingServer:
    """Counts what arrives. `answer` decides about each reading: None = silence, "" = stored, a word = rejected."""

    def __init__(self, broker: Broker, *, username: str | None = None, password: str | None = None) -> None:
        self._lock = threading.Lock()
        self.messages: list[tuple[str, bytes]] = []
        self.heard: list[str] = []
        self.committed: dict[str, contract.Reading] = {}
        self.statuses: list[contract.Status] = []
        self.answer: Callable[[contract.Reading], str | None] = lambda _reading: ""
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="receiving-server", protocol=MQTTProtocolVersion.MQTTv5
        )
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.reconnect_delay_set(1, 1)
        self._client.max_inflight_messages_set(1000)
        self._client.on_connect = lambda client, *_: client.subscribe("vw/1/gw/+/up/#", qos=1)
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._broker = broker

    def start(self) -> None:
        self._client.connect(self._broker.host, self._broker.port, keepalive=5)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def configure(self, gateway_id: str, config: contract.Config) -> None:
        self._client.publish(contract.config_topic(gateway_id), contract.encode(config), qos=1, retain=True)

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        gateway_id = contract.gateway_of(message.topic)
        assert gateway_id is not None
        if message.topic.endswith("/status"):
            with self._lock:
                self.statuses.append(contract.decode_status(bytes(message.payload)))
            return
        payload = bytes(message.payload)
        uplink = contract.decode_uplink(payload)
        readings = (
            [contract.decode_reading(raw) for raw in uplink.readings]
            if isinstance(uplink, contract.Batch)
            else [uplink]
        )
        stored, rejected = [], []
        with self._lock:
            self.messages.append((message.topic, payload))
            for reading in readings:
                self.heard.append(str(reading.message_id))
                verdict = self.answer(reading)
                if verdict == "":
                    self.committed[str(reading.message_id)] = reading
                    stored.append(str(reading.message_id))
                elif verdict is not None:
                    rejected.append(contract.Rejection(message_id=str(reading.message_id), reason=verdict))
        if stored or rejected:
            receipt = contract.Receipt(stored=tuple(stored), rejected=tuple(rejected))
            self._client.publish(contract.receipts_topic(gateway_id), contract.encode(receipt), qos=1)


@contextmanager
def receiving_server(
    broker: Broker, *, username: str | None = None, password: str | None = None
) -> Iterator[ReceivingServer]:
    server = ReceivingServer(broker, username=username, password=password)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def eventually(look: Callable[[], Awaitable[T]], condition: Callable[[T], bool], *, seconds: float = 20.0) -> T:
    """Look again and again until the condition holds of what was seen."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition(seen := await look()):
        if loop.time() > deadline:
            raise AssertionError(f"did not come true within {seconds} s; last seen: {seen}")
        await asyncio.sleep(0.02)
    return seen


async def until(condition: Callable[[], bool], *, seconds: float = 20.0, what: str = "") -> None:
    """Wait for a condition of another thread or process."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"did not come true within {seconds} s: {what or condition}")
        await asyncio.sleep(0.02)
