"""What the home box says about itself: the status message, and the same for the installer on the box.

Input: what sessions, scan, journal and publisher report. Output: `contract.Status`; words, never texts of devices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import msgspec

from device_drivers.driver import SessionPolicy, Urgency
from gateway import contract
from gateway.journal_rows import Counts
from gateway.registry import Bond, KnownDevice, RegistryView
from gateway.session import SessionResult

READING_MAY_BE_LOST: Final = "reading-may-be-lost-repeat-measurement"
"""A bonded cuff was on the air, we connected, and nothing came: the radio stack may have confirmed an indication before
anybody listened (a cuff that remembers our subscription sends as soon as the link is encrypted)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHealth:
    """What is known of one device since the gateway started."""

    battery_percent: int | None = None
    rssi_dbm: int | None = None
    last_seen_at: datetime | None = None
    last_contact_at: datetime | None = None
    clock_offset_seconds: Decimal | None = None
    warning: str | None = None


class LocalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The file that `vitalwire gateway status` reads: the status message and what only the box can know."""

    status: contract.Status
    broker: str


def after_session(
    health: DeviceHealth, device: KnownDevice, policy: SessionPolicy, result: SessionResult, *, at: datetime
) -> DeviceHealth:
    """The device's health after a session."""
    notes = result.notes
    battery, offset = (None, None) if notes is None else (notes.battery_percent, notes.clock_offset_seconds)
    return replace(
        health,
        last_contact_at=at if result.remedy is None else health.last_contact_at,
        battery_percent=health.battery_percent if battery is None else battery,
        clock_offset_seconds=health.clock_offset_seconds if offset is None else offset,
        warning=warning_of(device, policy, result),
    )


def warning_of(device: KnownDevice, policy: SessionPolicy, result: SessionResult) -> str | None:
    """The most important thing a person should know about this contact, as a closed word."""
    if result.problem is not None:
        return result.problem
    if result.quarantined:
        return "packet-not-understood"
    if result.notes is not None and result.notes.warnings:
        return result.notes.warnings[-1]
    if result.held:
        return "reading-held"
    was_bonded = device.bond == Bond.BONDED.value
    if policy.urgency is Urgency.CUFF and was_bonded and result.readings == 0:
        return READING_MAY_BE_LOST
    return None


def build_status(
    *,
    online: bool,
    at: datetime,
    counts: Counts | None,
    registry: RegistryView,
    health: dict[str, DeviceHealth],
    warnings: tuple[str, ...],
) -> contract.Status:
    """The retained message. Every device on the list is named, also one that was never heard."""
    return contract.Status(
        state="online" if online else "offline",
        at=at,
        outbox_depth=0 if counts is None else counts.depth,
        oldest_pending_at=None if counts is None else counts.oldest_pending_at,
        software=software(),
        devices=tuple(_device_status(device, health.get(device.id, DeviceHealth())) for device in registry.devices),
        config_version=registry.version,
        warnings=warnings,
    )


def _device_status(device: KnownDevice, health: DeviceHealth) -> contract.DeviceStatus:
    return contract.DeviceStatus(
        id=device.id,
        battery_percent=health.battery_percent,
        rssi_dbm=health.rssi_dbm,
        last_seen_at=health.last_seen_at,
        clock_offset_seconds=health.clock_offset_seconds,
        bond=device.bond,
        warning=health.warning,
    )


def is_news(before: contract.Status | None, after: contract.Status) -> bool:
    """Whether the server should hear at once; signal strength and the time can wait for the next minute."""
    return before is None or _lasting(before) != _lasting(after)


def _lasting(status: contract.Status) -> contract.Status:
    return msgspec.structs.replace(
        status,
        at=datetime.min,  # noqa: DTZ901 -- a placeholder that is compared, never sent
        oldest_pending_at=None,
        outbox_depth=0,
        devices=tuple(
            msgspec.structs.replace(device, rssi_dbm=None, last_seen_at=None, clock_offset_seconds=None)
            for device in status.devices
        ),
    )


def software() -> str:
    """Name and version as installed."""
    try:
        return f"vitalwire/{version('vitalwire')}"
    except PackageNotFoundError:
        return "vitalwire/0"
