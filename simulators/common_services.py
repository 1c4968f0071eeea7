"""What every device's attribute table has: device information, battery, current time; and a settable Date Time.

Input: a view of the device and its GATT server. Output: bumble services and the Date Time characteristic.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

from bumble import att
from bumble.gatt import Characteristic, Service
from bumble.gatt_server import Server

from simulators.device_settings import DeviceSettings
from simulators.encoding import EncodingError, current_time, date_time, parse_date_time
from simulators.gatt_table import NEEDS_ENCRYPTION, NOTIFY, READ, WRITE, characteristic
from simulators.memory import DeviceMemory

DATA_FIELD_IGNORED: Final = 0x80  # Current Time Service: the written value is not taken


class ClockedDevice(Protocol):
    """What the common services need to know of a device."""

    settings: DeviceSettings
    memory: DeviceMemory

    def shown_time(self) -> datetime: ...

    def set_clock(self, shown: datetime) -> None: ...


def clock_characteristic(
    device: ClockedDevice, server: Server, *, security: att.Attribute.Permissions
) -> Characteristic[bytes]:
    """Date Time 2A08 inside the device's own service, as A&D cuffs and Accu-Chek meters have it."""
    return characteristic(
        server,
        0x2A08,
        READ | WRITE,
        security=security,
        read=lambda: date_time(device.shown_time()),
        write=lambda _connection, value: _write_clock(device, value),
    )


def common_services(device: ClockedDevice, server: Server) -> list[Service]:
    """Device Information, Battery and Current Time."""
    settings = device.settings
    information = [
        characteristic(server, uuid, READ, value=text.encode())
        for uuid, text in (
            (0x2A29, settings.manufacturer),
            (0x2A24, settings.model),
            (0x2A25, settings.serial),
            (0x2A26, settings.firmware),
        )
    ]
    battery = characteristic(server, 0x2A19, READ, read=lambda: bytes((device.memory.battery_percent,)))
    now = characteristic(
        server,
        0x2A2B,
        READ | WRITE | NOTIFY,
        security=NEEDS_ENCRYPTION,
        read=lambda: current_time(device.shown_time()),
        write=lambda _connection, value: _write_clock(device, value),
    )
    return [Service("180A", information), Service("180F", [battery]), Service("1805", [now])]


def _write_clock(device: ClockedDevice, value: bytes) -> None:
    try:
        device.set_clock(parse_date_time(value))
    except EncodingError as error:
        raise att.ATT_Error(DATA_FIELD_IGNORED) from error
