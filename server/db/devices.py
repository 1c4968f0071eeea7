"""Gateways, devices and who a device belongs to at which time. SQL beside the function that runs it.

Input: a connection with the practice of its transaction set. Output: frozen rows. Nothing here commits. Whatever
changes what a gateway must know raises its configuration's version and wakes the publisher with a notification.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from psycopg.rows import class_row

from server.db.pool import Connection
from server.db.returning import returned

CONFIG_CHANNEL: Final = "vw_gateway_config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device and whose it is now."""

    id: str
    kind: str
    model: str | None
    address: str | None
    local_name: str | None
    gateway_id: str | None
    fda_defined: bool
    patient_id: str | None
    patient_name: str | None
    assigned_from: datetime | None
    assignment_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayState:
    """One gateway, its last status (none when it was never heard) and how its configuration stands."""

    id: str
    label: str
    state: str | None
    heard_at: datetime | None
    outbox_depth: int | None
    oldest_pending_at: datetime | None
    software: str | None
    devices: list[dict[str, Any]]
    config_version: int | None
    config_changed_at: datetime | None
    config_published_at: datetime | None


def insert_gateway(conn: Connection, *, practice_id: str, gateway_id: str, label: str, created_at: datetime) -> None:
    conn.execute(
        "INSERT INTO gateway (id, practice_id, label, created_at) VALUES (%s, %s, %s, %s)",
        (gateway_id, practice_id, label, created_at),
    )


def insert_device(
    conn: Connection,
    *,
    practice_id: str,
    device_id: str,
    gateway_id: str | None,
    kind: str,
    model: str | None,
    address: str | None,
    local_name: str | None,
    passkey: int | None,
    fda_defined: bool,
    created_at: datetime,
) -> None:
    conn.execute(
        """
        INSERT INTO device
            (id, practice_id, gateway_id, kind, model, address, local_name, passkey, fda_defined, created_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (device_id, practice_id, gateway_id, kind, model, address, local_name, passkey, fda_defined, created_at),
    )


def assign(
    conn: Connection,
    *,
    practice_id: str,
    device_id: str,
    patient_id: str,
    from_at: datetime,
    recorded_at: datetime,
    user_slot: int | None = None,
) -> str:
    """Give a device to a patient from an instant on. Raises `ExclusionViolation` (device_assignment_one_patient) when
    somebody else has it then."""
    cursor = conn.execute(
        """
        INSERT INTO device_assignment (practice_id, device_id, user_slot, patient_id, valid, recorded_at)
        VALUES (%s, %s, %s, %s, tstzrange(%s, NULL, '[)'), %s)
        RETURNING id
        """,
        (practice_id, device_id, user_slot, patient_id, from_at, recorded_at),
    )
    assignment_id = str(returned(cursor))
    bump_config_of_device(conn, device_id, at=recorded_at)
    return assignment_id


def end_assignment(conn: Connection, assignment_id: str, *, at: datetime) -> bool:
    """The device stops belonging to the patient at `at`. False when there is no such running assignment."""
    row = conn.execute(
        """
        UPDATE device_assignment SET valid = tstzrange(lower(valid), %(at)s, '[)')
        WHERE id = %(id)s AND practice_id = current_practice() AND upper_inf(valid) AND lower(valid) < %(at)s
        RETURNING device_id
        """,
        {"at": at, "id": assignment_id},
    ).fetchone()
    if row is None:
        return False
    bump_config_of_device(conn, str(row[0]), at=at)
    return True


def bump_config_of_device(conn: Connection, device_id: str, *, at: datetime) -> None:
    """A new version of the configuration of the gateway that lists this device, and a call to publish it."""
    row = conn.execute("SELECT gateway_id FROM device WHERE id = %s", (device_id,)).fetchone()
    if row is not None and row[0] is not None:
        bump_config(conn, str(row[0]), at=at)


def bump_config(conn: Connection, gateway_id: str, *, at: datetime) -> None:
    """Raise the version; the publisher sends what has a version it did not publish yet."""
    conn.execute(
        """
        INSERT INTO gateway_config (gateway_id, practice_id, version, changed_at)
        SELECT id, practice_id, 1, %(at)s FROM gateway WHERE id = %(gateway)s
        ON CONFLICT (gateway_id) DO UPDATE
            SET version = gateway_config.version + 1, changed_at = excluded.changed_at, published_at = NULL
        """,
        {"at": at, "gateway": gateway_id},
    )
    conn.execute("SELECT pg_notify(%s, %s)", (CONFIG_CHANNEL, gateway_id))


_DEVICE = """
    SELECT d.id, d.kind, d.model, d.address, d.local_name, d.gateway_id, d.fda_defined, a.patient_id,
           p.name AS patient_name, lower(a.valid) AS assigned_from, a.id AS assignment_id
    FROM device d
    LEFT JOIN device_assignment a ON a.device_id = d.id AND upper_inf(a.valid)
    LEFT JOIN patient p ON p.id = a.patient_id
    WHERE d.practice_id = current_practice()
"""


def devices(conn: Connection) -> list[Device]:
    """Every device of the practice with its running assignment, if it has one."""
    with conn.cursor(row_factory=class_row(Device)) as cursor:
        return cursor.execute(_DEVICE + " ORDER BY d.id, a.id").fetchall()


def device(conn: Connection, device_id: str) -> Device | None:
    with conn.cursor(row_factory=class_row(Device)) as cursor:
        return cursor.execute(_DEVICE + " AND d.id = %s ORDER BY a.id LIMIT 1", (device_id,)).fetchone()


def devices_of_patient(conn: Connection, patient_id: str) -> list[Device]:
    with conn.cursor(row_factory=class_row(Device)) as cursor:
        return cursor.execute(_DEVICE + " AND a.patient_id = %s ORDER BY d.id", (patient_id,)).fetchall()


def gateways(conn: Connection) -> list[GatewayState]:
    """Every gateway of the practice: never heard first, then the longest silent."""
    with conn.cursor(row_factory=class_row(GatewayState)) as cursor:
        return cursor.execute(
            """
            SELECT g.id, g.label, s.state, s.heard_at, s.outbox_depth, s.oldest_pending_at, s.software,
                   coalesce(s.devices, '[]'::jsonb) AS devices,
                   c.version AS config_version, c.changed_at AS config_changed_at, c.published_at AS config_published_at
            FROM gateway g
            LEFT JOIN gateway_status s ON s.gateway_id = g.id
            LEFT JOIN gateway_config c ON c.gateway_id = g.id
            WHERE g.practice_id = current_practice() AND g.revoked_at IS NULL
            ORDER BY s.heard_at NULLS FIRST, g.id
            """
        ).fetchall()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWarning:
    """What a status message said about one device, as numbers."""

    device_id: str
    battery_percent: int | None
    rssi_dbm: int | None
    last_seen_at: str | None
    clock_offset_seconds: Decimal | None
    warning: str | None


def device_warnings(devices_of_status: list[dict[str, Any]]) -> list[DeviceWarning]:
    """The JSON of `gateway_status.devices` as rows. Pure."""
    return [
        DeviceWarning(
            device_id=str(item["id"]),
            battery_percent=item.get("battery_percent"),
            rssi_dbm=item.get("rssi_dbm"),
            last_seen_at=item.get("last_seen_at"),
            clock_offset_seconds=None
            if item.get("clock_offset_seconds") is None
            else Decimal(str(item["clock_offset_seconds"])),
            warning=item.get("warning"),
        )
        for item in devices_of_status
    ]
