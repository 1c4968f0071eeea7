"""Devices and whose they are, as rows of ready strings. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from server.db.devices import Device
from server.web import formatting


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLine:
    """One device."""

    id: str
    kind: str
    model: str
    address: str
    gateway: str
    qualified: str
    patient: str
    assigned: str
    assignment_id: str | None


def device_line(device: Device, *, zone: ZoneInfo, now: datetime) -> DeviceLine:
    since = f"since {formatting.local_when(device.assigned_from, zone, now)}" if device.assigned_from else ""
    return DeviceLine(
        id=device.id,
        kind=device.kind.replace("-", " "),
        model=device.model or "unknown",
        address=device.address or device.local_name or "found by its advertisement",
        gateway=device.gateway_id or "none",
        qualified="defined medical device" if device.fda_defined else "not confirmed as a medical device",
        patient=device.patient_name or "nobody",
        assigned=since,
        assignment_id=device.assignment_id,
    )


def moment_value(now: datetime, zone: ZoneInfo) -> str:
    """The value of a `datetime-local` field: the wall clock, to the minute."""
    return f"{now.astimezone(zone):%Y-%m-%dT%H:%M}"
