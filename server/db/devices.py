"""Gateways, devices and who a device belongs to at which time. SQL beside the function that runs it.

Input: a connection with the practice of its transaction set. Output: frozen rows. Nothing here commits. Whatever
changes what a gateway must know raises its configuration's version and wakes the publisher with a notification.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from server.db.pool import AsyncConnection
from server.db.rows import changed, many, one, value

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


async def insert_device(
    conn: AsyncConnection,
    *,
    practice_id: str,
    device_id: str,
    gateway_id: str,
    kind: str,
    address: str | None,
    local_name: str | None,
    passkey: int | None,
    fda_defined: bool,
    created_at: datetime,
) -> bool:
    """A new device, told to its gateway. False when the id exists, in this practice or in another."""
    added = await changed(
        conn,
        """
        INSERT INTO device
            (id, practice_id, gateway_id, kind, address, local_name, passkey, fda_defined, created_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO NOTHING
        """,
        (device_id, practice_id, gateway_id, kind, address, local_name, passkey, fda_defined, created_at),
    )
    if added:
        await bump_config(conn, gateway_id, at=created_at)
    return added


async def assign(
    conn: AsyncConnection,
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
    assignment_id = str(
        await value(
            conn,
            """
        INSERT INTO device_assignment (practice_id, device_id, user_slot, patient_id, valid, recorded_at)
        VALUES (%s, %s, %s, %s, tstzrange(%s, NULL, '[)'), %s)
        RETURNING id
        """,
            (practice_id, device_id, user_slot, patient_id, from_at, recorded_at),
        )
    )
    await bump_config_of_device(conn, device_id, at=recorded_at)
    return assignment_id


async def end_assignment(conn: AsyncConnection, assignment_id: str, *, at: datetime) -> bool:
    """The device stops belonging to the patient at `at`. False when there is no such running assignment."""
    cursor = await conn.execute(
        """
        UPDATE device_assignment SET valid = tstzrange(lower(valid), %(at)s, '[)')
        WHERE id = %(id)s AND practice_id = current_practice() AND upper_inf(valid) AND lower(valid) < %(at)s
        RETURNING device_id
        """,
        {"at": at, "id": assignment_id},
    )
    row = await cursor.fetchone()
    if row is None:
        return False
    await bump_config_of_device(conn, str(row[0]), at=at)
    return True


async def bump_config_of_device(conn: AsyncConnection, device_id: str, *, at: datetime) -> None:
    """A new version of the configuration of the gateway that lists this device, and a call to publish it."""
    row = await (await conn.execute("SELECT gateway_id FROM device WHERE id = %s", (device_id,))).fetchone()
    if row is not None and row[0] is not None:
        await bump_config(conn, str(row[0]), at=at)


async def bump_config(conn: AsyncConnection, gateway_id: str, *, at: datetime) -> None:
    """Raise the version; the publisher sends what has a version it did not publish yet."""
    await conn.execute(
        """
        INSERT INTO gateway_config (gateway_id, practice_id, version, changed_at)
        SELECT id, practice_id, 1, %(at)s FROM gateway WHERE id = %(gateway)s
        ON CONFLICT (gateway_id) DO UPDATE
            SET version = gateway_config.version + 1, changed_at = excluded.changed_at, published_at = NULL
        """,
        {"at": at, "gateway": gateway_id},
    )
    await conn.execute("SELECT pg_notify(%s, %s)", (CONFIG_CHANNEL, gateway_id))


_DEVICE = """
    SELECT d.id, d.kind, d.model, d.address, d.local_name, d.gateway_id, d.fda_defined, a.patient_id,
           p.name AS patient_name, lower(a.valid) AS assigned_from, a.id AS assignment_id
    FROM device d
    LEFT JOIN device_assignment a ON a.device_id = d.id AND upper_inf(a.valid)
    LEFT JOIN patient p ON p.id = a.patient_id
    WHERE d.practice_id = current_practice()
"""


async def devices(conn: AsyncConnection) -> list[Device]:
    """Every device of the practice with its running assignment, if it has one."""
    return await many(conn, Device, _DEVICE + " ORDER BY d.id, a.id")


async def device(conn: AsyncConnection, device_id: str) -> Device | None:
    return await one(conn, Device, _DEVICE + " AND d.id = %s ORDER BY a.id LIMIT 1", (device_id,))


async def devices_of_patient(conn: AsyncConnection, patient_id: str) -> list[Device]:
    return await many(conn, Device, _DEVICE + " AND a.patient_id = %s ORDER BY d.id", (patient_id,))


async def gateways(conn: AsyncConnection) -> list[GatewayState]:
    """Every gateway of the practice: never heard first, then the longest silent."""
    return await many(
        conn,
        GatewayState,
        """
            SELECT g.id, g.label, s.state, s.heard_at, s.outbox_depth, s.oldest_pending_at, s.software,
                   coalesce(s.devices, '[]'::jsonb) AS devices,
                   c.version AS config_version, c.changed_at AS config_changed_at, c.published_at AS config_published_at
            FROM gateway g
            LEFT JOIN gateway_status s ON s.gateway_id = g.id
            LEFT JOIN gateway_config c ON c.gateway_id = g.id
            WHERE g.practice_id = current_practice() AND g.revoked_at IS NULL
            ORDER BY s.heard_at NULLS FIRST, g.id
            """,
    )


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
