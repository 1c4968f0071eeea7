"""`vitalwire demo --check`: one reading, followed through every hand it passes, with the moment each one had it.

Input: a started or startable demo. Output: a table of stamps on standard output; exit code 0 only when none is missing.
The reading is made by a simulated cuff on request; everything after that is the production path.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from gateway import contract
from server import clock
from server.demo.device_control import ask
from server.demo.layout import Layout
from server.demo.seed import DemoDevice, DemoHome
from server.demo.system import OBSERVER_USER, DemoSystem
from server.demo.visitor import Visitor

STAMPS: Final = ("device", "gateway journal", "broker", "database", "receipt", "alert", "page")
# Critical at once, so that the alert needs no second measurement: the whole way in one reading.
SYSTOLIC: Final = 228
DIASTOLIC: Final = 118
_WAIT_SECONDS: Final = 45.0


@dataclass(slots=True)
class Trail:
    """What is known so far of the reading that is followed."""

    device_id: str
    message_id: str | None = None
    alert_id: str | None = None
    stamps: dict[str, datetime] = field(default_factory=dict)

    def stamp(self, name: str, at: datetime) -> None:
        self.stamps.setdefault(name, at)

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name in STAMPS if name not in self.stamps)


class Observer:
    """Listens at the broker with a user of its own, beside the server."""

    def __init__(self, system: DemoSystem, gateway_id: str, trail: Trail) -> None:
        self._trail = trail
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="vw-demo-observer")
        self._client.username_pw_set(OBSERVER_USER, system.memory.password(OBSERVER_USER))
        self._client.on_message = self._heard
        self._client.on_connect = lambda client, *_: client.subscribe(
            [(contract.readings_topic(gateway_id), 1), (contract.receipts_topic(gateway_id), 1)]
        )
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", system.memory.broker_port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        if not self._subscribed.wait(10):
            raise RuntimeError("the observer could not subscribe at the broker")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _heard(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        at = clock.now()
        if message.topic.endswith("/receipts"):
            if self._trail.message_id in contract.decode_receipt(bytes(message.payload)).stored:
                self._trail.stamp("receipt", at)
            return
        uplink = contract.decode_uplink(bytes(message.payload))
        items = [uplink] if isinstance(uplink, contract.Reading) else map(contract.decode_reading, uplink.readings)
        for reading in items:
            if reading.device.id == self._trail.device_id and _is_ours(reading):
                self._trail.message_id = str(reading.message_id)
                self._trail.stamp("broker", at)


def _is_ours(reading: contract.Reading) -> bool:
    return any(part.metric == "systolic" and part.value == SYSTOLIC for part in reading.components)


def run_check(system: DemoSystem, say: Callable[[str], None]) -> int:
    """Start the demo, follow one reading, print the stamps. 0 when all seven are there, else 1."""
    began = time.monotonic()
    system.start(measure_every=None)
    home, cuff = _first_cuff(system.homes)
    trail = Trail(cuff.id)
    stop = threading.Event()
    login = next(login for login in system.logins if login.role == "nurse")
    visitor = Visitor(system.url)
    visitor.log_in(login.login, login.password)
    visitor.listen(lambda data, at: _event(trail, data, at), stop)
    with Observer(system, home.gateway_id, trail), psycopg.connect(system.dsn, autocommit=True) as conn:
        _wait_for_configuration(system.layout, home.gateway_id, cuff.id)
        say(f"{cuff.id} measures {SYSTOLIC}/{DIASTOLIC}")
        measure = {"do": "measure", "values": {"systolic": SYSTOLIC, "diastolic": DIASTOLIC, "pulse": 84}}
        asyncio.run(ask(system.control_of(cuff.id), measure))
        trail.stamp("device", clock.now())
        deadline = time.monotonic() + _WAIT_SECONDS
        while trail.missing and time.monotonic() < deadline and system.trouble() is None:
            _look(trail, system.layout, home.gateway_id, conn, visitor)
            time.sleep(0.05)
    stop.set()
    _print(trail, time.monotonic() - began)
    trouble = system.trouble()
    if trouble:
        print(trouble)
    return 1 if trail.missing or trouble else 0


def _first_cuff(homes: tuple[DemoHome, ...]) -> tuple[DemoHome, DemoDevice]:
    return next((home, device) for home in homes for device in home.devices if device.kind == "blood-pressure")


def _wait_for_configuration(layout: Layout, gateway_id: str, device_id: str) -> None:
    """A gateway reads only devices it was told of; the retained configuration arrives right after it connects."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        known = layout.gateway(gateway_id) / "registry.json"
        if known.exists() and device_id in known.read_text(encoding="utf-8"):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{gateway_id} never heard which devices it may read; see its log in {layout.logs}")


def _look(trail: Trail, layout: Layout, gateway_id: str, conn: psycopg.Connection, visitor: Visitor) -> None:
    """Fill in what has become true since the last look."""
    if trail.message_id is None:
        return
    if "gateway journal" not in trail.stamps:
        at = _journalled_at(layout, gateway_id, trail.message_id)
        if at is not None:
            trail.stamp("gateway journal", at)
    if "database" not in trail.stamps:
        row = conn.execute("SELECT stored_at FROM reading_v1 WHERE message_id = %s", (trail.message_id,)).fetchone()
        if row is not None:
            trail.stamp("database", row[0])
    if trail.alert_id is None:
        row = conn.execute(
            "SELECT a.id, j.judged_at FROM alert a JOIN observation_judgement j ON j.message_id = ANY (a.evidence)"
            " WHERE j.message_id = %s AND a.state <> 'closed' ORDER BY a.opened_at DESC LIMIT 1",
            (trail.message_id,),
        ).fetchone()
        if row is not None:
            trail.alert_id = row[0]
            trail.stamp("alert", row[1])
    if trail.alert_id is not None and "page" not in trail.stamps and trail.alert_id in visitor.read("/worklist"):
        trail.stamp("page", clock.now())


def _event(trail: Trail, data: str, at: datetime) -> None:
    """A live event that names the alert is the moment an open page learns of it."""
    if trail.alert_id is not None and trail.alert_id in data:
        trail.stamp("page", at)


def _journalled_at(layout: Layout, gateway_id: str, message_id: str) -> datetime | None:
    """When the raw packet of the reading was on the gateway's disk, read from its journal without disturbing it."""
    journal = layout.gateway(gateway_id) / "journal.sqlite"
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=5) as reader:
        row = reader.execute(
            "SELECT min(p.received_at) FROM packet p JOIN entry e USING (session_id)"
            " WHERE e.message_id = ? AND p.state = 'read'",
            (message_id,),
        ).fetchone()
    reader.close()
    return datetime.fromisoformat(row[0]) if row and row[0] else None


def _print(trail: Trail, seconds: float) -> None:
    print(f"\n  reading {trail.message_id or '(never seen)'}")
    first = trail.stamps.get("device")
    for name in STAMPS:
        at = trail.stamps.get(name)
        if at is None:
            print(f"  {name:<16} MISSING")
        else:
            delay = f"+{(at - first).total_seconds() * 1000:.0f} ms" if first else ""
            print(f"  {name:<16} {at.isoformat(timespec='milliseconds')}  {delay}")
    print(f"\n  {'all stamps present' if not trail.missing else 'FAILED'} after {seconds:.0f} s")
