"""The demo practice in the middle of a month: seeded, with readings as if its devices had measured. For page tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from argon2 import PasswordHasher

from server.demo.seed import SeedResult, seed
from tests.support import builders

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
# Of 24 days Anna measures on 18 (not on each fourth), Luis of 20 days on 10, Ruth of 12 days on 12.
ANNA, LUIS, RUTH = "pt-demo01", "pt-demo02", "pt-demo03"


def fill(conn: psycopg.Connection[Any], *, now: datetime = NOW) -> SeedResult:
    """Seed, then readings, a gateway's status, a held reading, a dead letter and one alert."""
    result = seed(conn, now=now, hasher=CHEAP, passwords=dict.fromkeys(LOGINS, builders.PASSWORD))
    for back in range(23, 0, -1):
        day = now - timedelta(days=back)
        if back % 4:
            _pressure(conn, 124 + back % 9, 76 + back % 5, day, ANNA, "bp-demo01", "gw-demohome00001")
            _sugar(conn, 108 + 7 * (back % 8), day, ANNA, "gl-demo01", "gw-demohome00001")
        if back <= 20 and back % 2:
            _sugar(conn, 150 + 6 * (back % 7), day, LUIS, "gl-demo02", "gw-demohome00002")
        if back <= 12:
            _pressure(conn, 138 + back % 11, 84 + back % 6, day, RUTH, "bp-demo03", "gw-demohome00003")
    newest = _pressure(conn, 128, 78, now - timedelta(hours=2), ANNA, "bp-demo01", "gw-demohome00001")
    builders.alert(
        conn, now - timedelta(hours=2), patient_id=ANNA, practice_id="pr-demo", evidence=[newest], alert_id="al-demo1"
    )
    _status(conn, "gw-demohome00001", now - timedelta(minutes=2), depth=0)
    _status(conn, "gw-demohome00002", now - timedelta(minutes=40), depth=12)
    _held(conn, now - timedelta(minutes=20))
    _dead_letter(conn, now - timedelta(minutes=30))
    return result


LOGINS = ("nurse", "doctor", "biller", "patient", "paciente", "tester", "admin")


def _pressure(
    conn: psycopg.Connection[Any], upper: int, lower: int, at: datetime, patient: str, device: str, gateway: str
) -> Any:
    return builders.blood_pressure(
        conn, upper, lower, at, patient_id=patient, practice_id="pr-demo", device_id=device, gateway_id=gateway
    )


def _sugar(conn: psycopg.Connection[Any], value: int, at: datetime, patient: str, device: str, gateway: str) -> Any:
    return builders.glucose(
        conn, value, at, patient_id=patient, practice_id="pr-demo", device_id=device, gateway_id=gateway
    )


def _status(conn: psycopg.Connection[Any], gateway: str, at: datetime, *, depth: int) -> None:
    conn.execute(
        """
        INSERT INTO gateway_status
            (gateway_id, practice_id, state, at, outbox_depth, oldest_pending_at, software, devices, heard_at)
        VALUES (%s, 'pr-demo', 'online', %s, %s, %s, 'vitalwire 0.1.0',
                '[{"id": "bp-demo01", "battery_percent": 15, "rssi_dbm": -61, "clock_offset_seconds": "7",
                   "last_seen_at": "2026-11-22T14:55:00Z"}]', %s)
        """,
        (gateway, at, depth, at - timedelta(minutes=50) if depth else None, at),
    )


def _held(conn: psycopg.Connection[Any], at: datetime) -> None:
    conn.execute(
        """
        INSERT INTO observation
            (message_id, practice_id, gateway_id, device_id, kind, measured_at, received_at, entry, memory,
             time_quality, components, verdict)
        VALUES ('00000000-0000-5000-8000-0000000000aa', 'pr-demo', 'gw-demohome00003', 'gl-stranger', 'glucose', %s, %s,
                'automatic', 'live', 'synchronised', '[]', 'held-unknown-device')
        """,
        (at, at + timedelta(seconds=3)),
    )


def _dead_letter(conn: psycopg.Connection[Any], at: datetime) -> None:
    conn.execute(
        """
        INSERT INTO dead_letter (practice_id, gateway_id, topic, reason, payload, payload_sha256, received_at)
        VALUES ('pr-demo', 'gw-demohome00002', 'vw/1/gw/gw-demohome00002/up/readings', 'invalid-json', %s, %s, %s)
        """,
        (b'{"schema": "vitalwire.reading/1", "secret-value": 217', b"\x01" * 32, at),
    )
