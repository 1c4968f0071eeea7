"""The demonstration's other broker: a real NATS server with its MQTT listener, real clients."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from server.broker_nats import NatsChild, configuration_text

A, B = "gw-aaaaaaaaaa", "gw-bbbbbbbbbb"


@pytest.fixture
def broker() -> Iterator[NatsChild]:
    with tempfile.TemporaryDirectory(prefix="vw-nats-") as folder:
        child = NatsChild(Path(folder), passwords={"ingest": "i", A: "a", B: "b"})
        child.start()
        yield child
        child.stop()


class Client:
    """A paho client that can be waited for."""

    def __init__(self, broker: NatsChild, user: str, password: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.connected, self.subscribed, self.message = threading.Event(), threading.Event(), threading.Event()
        self.refused: bool | None = None
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=user, protocol=mqtt.MQTTv311)
        self.client.username_pw_set(user, password)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._on_message
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()

    def _on_connect(self, _client, _data, _flags, reason, _properties) -> None:
        self.refused = reason.is_failure
        self.connected.set()

    def _on_message(self, _client, _data, message) -> None:
        self.heard.append((message.topic, message.payload))
        self.message.set()

    def subscribe(self, *topics: str) -> None:
        assert self.connected.wait(10)
        self.client.subscribe([(topic, 1) for topic in topics])
        assert self.subscribed.wait(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_gateway_reaches_ingest_and_cannot_speak_for_another(broker: NatsChild) -> None:
    ingest, gateway = Client(broker, "ingest", "i"), Client(broker, A, "a")
    ingest.subscribe("vw/1/gw/+/up/readings")
    assert gateway.connected.wait(10)

    gateway.client.publish(f"vw/1/gw/{B}/up/readings", b"forged", 1)
    gateway.client.publish(f"vw/1/gw/{A}/up/readings", b"mine", 1)

    # The broker keeps one sender's order: had the forged one been let through, it would have come first.
    assert ingest.message.wait(10)
    assert ingest.heard == [(f"vw/1/gw/{A}/up/readings", b"mine")]
    ingest.close()
    gateway.close()


def test_retained_configuration_reaches_its_gateway_only(broker: NatsChild) -> None:
    ingest = Client(broker, "ingest", "i")
    assert ingest.connected.wait(10)
    ingest.client.publish(f"vw/1/gw/{A}/down/config", b"for a", 1, retain=True).wait_for_publish(10)

    other, gateway = Client(broker, B, "b"), Client(broker, A, "a")
    other.subscribe(f"vw/1/gw/{A}/down/config")
    gateway.subscribe(f"vw/1/gw/{A}/down/config")

    assert gateway.message.wait(10)
    assert gateway.heard == [(f"vw/1/gw/{A}/down/config", b"for a")]
    assert other.heard == []
    for client in (ingest, other, gateway):
        client.close()


def test_wrong_password_is_refused_and_an_admitted_user_is_let_in(broker: NatsChild) -> None:
    stranger = Client(broker, A, "wrong")
    assert stranger.connected.wait(10)
    assert stranger.refused
    stranger.close()

    broker.admit({"gw-cccccccccc": "c"})
    for _ in range(50):
        late = Client(broker, "gw-cccccccccc", "c")
        assert late.connected.wait(10)
        late.close()
        if not late.refused:
            break
    assert not late.refused


def test_configuration_is_for_loopback_and_its_owner(broker: NatsChild) -> None:
    settings = json.loads(configuration_text(Path("/x"), 1883, {"ingest": "i", A: "a"}))

    assert settings["mqtt"]["listen"] == "127.0.0.1:1883"
    assert {user["user"] for user in settings["authorization"]["users"]} == {"ingest", A}
    assert (broker.folder / "nats.json").stat().st_mode & 0o077 == 0
