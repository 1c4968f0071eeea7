"""A real ingest process and a small MQTT gateway for tests.

`IngestProcess` runs `vitalwire server ingest` against a database and a broker; `Home` is any MQTT client playing a
gateway: it publishes and collects receipts. `reading()` builds the payload of the contract with sane defaults.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

from gateway.contract import config_topic, readings_topic, receipts_topic, status_topic
from server.broker import MosquittoChild
from server.db.pool import connect
from server.provision import ProvisionedGateway, insert, plan


def wait_until(condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
    """Wait for an outside sign; fails with what was waited for."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:.0f} s in vain for: {what}")
        time.sleep(0.02)


def reading(device_id: str, /, **changes: Any) -> dict[str, Any]:
    """A blood-pressure reading as a gateway sends it."""
    return {
        "schema": "vitalwire.reading/1",
        "message_id": str(uuid.uuid4()),
        "device": {"id": device_id, "model": "UA-651BLE", "firmware": "1.0.2"},
        "kind": "blood-pressure",
        "entry": "automatic",
        "memory": "live",
        "measured_at": "2026-03-02T12:00:07Z",
        "received_at": "2026-03-02T12:00:09Z",
        "device_time": "2026-03-02T07:00:00",
        "clock_offset_seconds": "7",
        "time_quality": "corrected",
        "sequence_number": 12,
        "user_id": 1,
        "components": [component("systolic", "128"), component("diastolic", "78")],
        "flags": [],
        "context": {},
        "raw": {"2A35": "FoAATgBdAOgHBhcOIwo="},
        **changes,
    }


def component(metric: str, value: str | None, unit: str = "mm[Hg]", **changes: Any) -> dict[str, Any]:
    """One component; the reported value is the kept one unless said otherwise."""
    return {
        "metric": metric,
        "value": value,
        "unit": unit,
        "reported_value": value,
        "reported_unit": unit,
        "absent_reason": None,
        **changes,
    }


def batch(readings: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"schema": "vitalwire.batch/1", "readings": list(readings)}


def provisioned(dsn: str, gateways: int = 1, devices: int = 1) -> list[ProvisionedGateway]:
    """Gateways with devices that are assigned to patients, as `vitalwire simulate provision` makes them."""
    homes = plan(gateways, devices)
    with connect(dsn) as conn:
        insert(conn, homes)
    return homes


def rows(dsn: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What the owner of the database sees."""
    with connect(dsn) as conn:
        return conn.execute(query.encode(), parameters).fetchall()


class Home:
    """An MQTT client that plays one gateway."""

    def __init__(self, broker: MosquittoChild, gateway_id: str, *, password: str | None = None) -> None:
        self.gateway_id = gateway_id
        self.stored: list[str] = []
        self.rejected: dict[str, str] = {}
        self.configs: list[dict[str, Any]] = []
        self._subscribed = threading.Event()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=f"{gateway_id}-{uuid.uuid4().hex[:6]}", protocol=mqtt.MQTTv5
        )
        if password is not None:
            self.client.username_pw_set(gateway_id, password)
        self.client.max_inflight_messages_set(200)
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        self.client.on_connect = lambda client, *_: client.subscribe(
            [
                (receipts_topic(gateway_id), mqtt.SubscribeOptions(qos=1)),
                (config_topic(gateway_id), mqtt.SubscribeOptions(qos=1)),
            ]
        )
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = self._on_message
        self.client.connect(broker.host, broker.port, keepalive=10)
        self.client.loop_start()
        assert self._subscribed.wait(10), "the broker does not take the gateway in"

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        body = json.loads(message.payload)
        if message.topic.endswith("/config"):
            self.configs.append(body)
            return
        self.stored += body["stored"]
        self.rejected |= {item["message_id"]: item["reason"] for item in body["rejected"]}

    def publish(self, body: object, *, topic: str | None = None) -> None:
        """A dict becomes JSON; bytes go as they are."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.client.publish(topic or readings_topic(self.gateway_id), payload, qos=1)

    def publish_status(self, **changes: Any) -> None:
        body = {
            "schema": "vitalwire.status/1",
            "state": "online",
            "at": "2026-03-02T12:00:00Z",
            "outbox_depth": 0,
            "oldest_pending_at": None,
            "software": "0.1.0",
            "devices": [],
            **changes,
        }
        self.client.publish(status_topic(self.gateway_id), json.dumps(body).encode(), qos=1, retain=True)

    def wait_for(self, message_ids: Iterable[str], timeout: float = 30.0) -> None:
        """Until the server has receipted each of them, stored or rejected."""
        wanted = set(message_ids)
        wait_until(
            lambda: wanted <= {*self.stored, *self.rejected}, f"receipts of {len(wanted)} readings", timeout=timeout
        )

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def home(broker: MosquittoChild, gateway_id: str, *, password: str | None = None) -> Iterator[Home]:
    client = Home(broker, gateway_id, password=password)
    try:
        yield client
    finally:
        client.close()


class IngestProcess:
    """The product's own process, started as operators start it."""

    def __init__(self, dsn: str, broker: MosquittoChild, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "DATABASE_URL": dsn,
            "VITALWIRE_MQTT_URL": broker.url,
            "VITALWIRE_DATA": str(folder),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Returns when it takes readings in."""
        with (self.folder / "ingest.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", "server", "ingest"],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        if wait:
            line = self.process.stdout.readline()
            assert b'"ready": true' in line, (line, (self.folder / "ingest.log").read_text())

    def kill(self) -> None:
        """As a power cut would."""
        if self.process is not None:
            self.process.kill()
            self._reap()

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        code = self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


@contextmanager
def ingest(dsn: str, broker: MosquittoChild, folder: Path, **environment: str) -> Iterator[IngestProcess]:
    """A running ingest process; killed at the end when it still runs."""
    process = IngestProcess(dsn, broker, folder, **environment)
    process.start()
    try:
        yield process
    finally:
        if process.process is not None and process.process.poll() is None:
            process.kill()
