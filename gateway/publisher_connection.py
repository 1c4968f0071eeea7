"""One MQTT connection that comes back by itself: TLS, last will, persistent session, backoff with jitter.

Input: settings, what to say as last will, what to subscribe to. Output: callbacks in the event loop (the network
thread of paho hands over here and nowhere else). Nothing is queued while the broker is away: the journal is the queue.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.config import Settings

log = structlog.get_logger(__name__)

_FIRST_RETRY_SECONDS: Final = 1.0
_LONGEST_RETRY_SECONDS: Final = 300.0
_TAKEN_OVER_RETRY_SECONDS: Final = 30.0  # two boxes with one identity: do not steal the session back and forth
_SHORT_LIFE_SECONDS: Final = 60.0
_SHORT_LIVES: Final = 4
"""So many connections that broke so soon mean more than bad luck: a second box with this identity, most likely.
Mosquitto 2.0 closes the old connection without the reason MQTT 5 has for it."""
_LONGEST_RETRY_AFTER_SHORT_LIFE_SECONDS: Final = 15.0
_CONNACK_SECONDS: Final = 20.0
_SESSION_EXPIRY_SECONDS: Final = 24 * 3600  # the broker keeps receipts for us that long
_RECEIVE_MAXIMUM: Final = 100  # down-messages in flight to us: back-pressure while the disk is slow
_MAX_INFLIGHT: Final = 20
_MAX_PACKET_BYTES: Final = 256 * 1024

_NO_SUBSCRIBERS: Final = 0x10
_SESSION_TAKEN_OVER: Final = 0x8E


class Events(Protocol):
    """Who hears of the connection. All calls come in the event loop."""

    def connected(self) -> None: ...

    def disconnected(self) -> None: ...

    def message(self, topic: str, payload: bytes) -> None: ...

    def unheard(self, reason: str) -> None:
        """The broker took a message but nobody has it: `nobody-listens` or `publish-refused`."""
        ...


def backoff_seconds(attempt: int, *, first: float, longest: float, jitter: float) -> float:
    """Doubling delay, spread over ±50 % by `jitter` (0 to 1) so that a fleet does not come back in one instant."""
    return min(longest, first * 2.0 ** min(attempt, 32)) * (0.5 + jitter)


class BrokerConnection:
    """Connects, subscribes, reconnects until cancelled. `trouble` is the reason the broker is not there, or None."""

    def __init__(
        self, settings: Settings, *, topics: tuple[str, ...], will_topic: str, will: Callable[[], bytes], events: Events
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._will_topic = will_topic
        self._will = will
        self._events = events
        self._client: paho.Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._answered = asyncio.Event()
        self._status_flushed = asyncio.Event()
        self._flush_mid: int | None = None
        self._refusal: ReasonCode | None = None
        self._up_since = 0.0
        self._short_lives = 0
        self.is_up = False
        self.trouble: str | None = "broker-not-reached-yet"

    @property
    def keeps_breaking(self) -> bool:
        """Whether connections are made and lost again and again."""
        return self._short_lives >= _SHORT_LIVES

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        self._loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            was_up = await self._once()
            self._short_lives = self._short_lives_after(was_up=was_up)
            attempt = self._short_lives if was_up else attempt + 1
            pause = backoff_seconds(
                attempt,
                first=_FIRST_RETRY_SECONDS,
                longest=_LONGEST_RETRY_AFTER_SHORT_LIFE_SECONDS if was_up else _LONGEST_RETRY_SECONDS,
                jitter=random.random(),  # noqa: S311
            )
            if self.trouble == "identity-used-twice":
                pause = max(pause, _TAKEN_OVER_RETRY_SECONDS)
            await asyncio.sleep(min(pause, _LONGEST_RETRY_SECONDS))

    def _short_lives_after(self, *, was_up: bool) -> int:
        if not was_up:
            return self._short_lives
        life = asyncio.get_running_loop().time() - self._up_since
        return self._short_lives + 1 if life < _SHORT_LIFE_SECONDS else 0

    async def _once(self) -> bool:
        """One connection from start to end. True when it had been up."""
        self._ended.clear()
        self._answered.clear()
        self._refusal = None
        was_up = False
        client: paho.Client | None = None
        try:
            client = self._new_client()
            await asyncio.to_thread(self._connect, client)
            client.loop_start()
            async with asyncio.timeout(_CONNACK_SECONDS):
                await self._answered.wait()
            if self.is_up:
                was_up = True
                await self._ended.wait()
        except TimeoutError:
            self._note_trouble("broker-does-not-answer")
        except ssl.SSLError as error:
            self._note_trouble("broker-certificate-refused" if _is_certificate(error) else "tls-failed")
        except OSError:
            self._note_trouble("broker-unreachable")
        finally:
            self._client = None
            if self.is_up:
                self.is_up = False
                self._events.disconnected()
            if client is not None:
                await _shielded_to_thread(lambda: _close(client))
        return was_up

    def _new_client(self) -> paho.Client:
        settings = self._settings
        version = MQTTProtocolVersion.MQTTv5 if settings.mqtt_version == "5" else MQTTProtocolVersion.MQTTv311
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.gateway_id,
            protocol=version,
            clean_session=None if version is MQTTProtocolVersion.MQTTv5 else False,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(_MAX_INFLIGHT)
        if settings.mqtt_username is not None:
            client.username_pw_set(settings.mqtt_username, settings.mqtt_password())
        if settings.tls:
            context = ssl.create_default_context(
                cafile=None if settings.mqtt_ca_file is None else str(settings.mqtt_ca_file)
            )
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if settings.mqtt_cert_file is not None and settings.mqtt_key_file is not None:
                context.load_cert_chain(str(settings.mqtt_cert_file), str(settings.mqtt_key_file))
            client.tls_set_context(context)
        client.will_set(self._will_topic, self._will(), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    def _connect(self, client: paho.Client) -> None:
        settings = self._settings
        if settings.mqtt_version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_EXPIRY_SECONDS
            properties.ReceiveMaximum = _RECEIVE_MAXIMUM
            properties.MaximumPacketSize = _MAX_PACKET_BYTES
            client.connect(
                settings.mqtt_host,
                settings.mqtt_port,
                keepalive=settings.mqtt_keepalive_seconds,
                clean_start=False,
                properties=properties,
            )
        else:
            client.connect(settings.mqtt_host, settings.mqtt_port, keepalive=settings.mqtt_keepalive_seconds)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand a message to the network thread, QoS 1. False when the connection is down. Never blocks."""
        client = self._client
        if client is None:
            return False
        return client.publish(topic, payload, qos=1, retain=retain).rc is MQTTErrorCode.MQTT_ERR_SUCCESS

    async def farewell(self, payload: bytes, *, timeout_seconds: float = 2.0) -> None:
        """Publish a last retained status and wait for the broker's acknowledgement. A polite end fires no last will."""
        client = self._client
        if client is None:
            return
        self._status_flushed.clear()
        self._flush_mid = client.publish(self._will_topic, payload, qos=1, retain=True).mid
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._status_flushed.wait()
        except TimeoutError:
            log.info("farewell_not_acknowledged")

    # --- callbacks: the network thread of paho; everything goes to the loop through `_hand_over` --------------------

    def _hand_over(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _on_connect(
        self, client: paho.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if not reason.is_failure:
            client.subscribe([(topic, 1) for topic in self._topics])
        self._hand_over(self._answer, client, reason)

    def _on_disconnect(
        self, _client: paho.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._hand_over(self._end, reason)

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        self._hand_over(self._events.message, message.topic, bytes(message.payload))

    def _on_publish(
        self, _client: paho.Client, _userdata: Any, mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._hand_over(self._acknowledge, mid, reason)

    # --- in the loop ------------------------------------------------------------------------------------------------

    def _answer(self, client: paho.Client, reason: ReasonCode) -> None:
        if reason.is_failure:
            self._refusal = reason
            self._note_trouble(_refusal_word(reason))
        else:
            if self.trouble is not None:
                log.info("broker_connected", after=self.trouble)
            self.trouble = None
            self._client = client
            self._up_since = asyncio.get_running_loop().time()
            self.is_up = True
            self._events.connected()
        self._answered.set()

    def _end(self, reason: ReasonCode) -> None:
        if self._refusal is None:
            taken_over = reason.value == _SESSION_TAKEN_OVER
            self._note_trouble("identity-used-twice" if taken_over else "connection-lost")
        self._client = None
        self._answered.set()
        self._ended.set()

    def _acknowledge(self, mid: int, reason: ReasonCode) -> None:
        if mid == self._flush_mid:
            self._status_flushed.set()
        elif reason.is_failure:
            self._events.unheard("publish-refused")
        elif reason.value == _NO_SUBSCRIBERS:
            self._events.unheard("nobody-listens")

    def _note_trouble(self, word: str) -> None:
        if self.trouble != word:
            log.warning("broker_unavailable", trouble=word, host=self._settings.mqtt_host)
        self.trouble = word


def _refusal_word(reason: ReasonCode) -> str:
    if reason.value in {0x86, 0x87} or "authori" in str(reason).lower():
        return "broker-refused-credentials"
    if "protocol" in str(reason).lower():
        return "broker-refused-protocol-version"
    return "broker-refused-connection"


def _is_certificate(error: ssl.SSLError) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError)


def _close(client: paho.Client) -> None:
    client.disconnect()
    client.loop_stop()


async def _shielded_to_thread(function: Callable[[], None]) -> None:
    """Run in a thread and wait for its end even when we are being cancelled: two network threads must not overlap."""
    task = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
