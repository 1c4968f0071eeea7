"""Build a device's attribute table: characteristics with their security.

Input: a GATT server and functions to read and write. Output: bumble services.
bumble's own CCCD needs no security, real devices' do: so each notifying characteristic brings its own here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bumble import att
from bumble.device import Connection
from bumble.gatt import GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR, Characteristic, Descriptor
from bumble.gatt_server import Server

READ: Final = Characteristic.Properties.READ
WRITE: Final = Characteristic.Properties.WRITE
NOTIFY: Final = Characteristic.Properties.NOTIFY
INDICATE: Final = Characteristic.Properties.INDICATE

OPEN: Final = att.Attribute.Permissions(0)
NEEDS_ENCRYPTION: Final = Characteristic.READ_REQUIRES_ENCRYPTION | Characteristic.WRITE_REQUIRES_ENCRYPTION
NEEDS_AUTHENTICATION: Final = Characteristic.READ_REQUIRES_AUTHENTICATION | Characteristic.WRITE_REQUIRES_AUTHENTICATION

_READ_SECURITY: Final = Characteristic.READ_REQUIRES_ENCRYPTION | Characteristic.READ_REQUIRES_AUTHENTICATION
_WRITE_SECURITY: Final = Characteristic.WRITE_REQUIRES_ENCRYPTION | Characteristic.WRITE_REQUIRES_AUTHENTICATION


def characteristic(
    server: Server,
    uuid: int,
    properties: Characteristic.Properties,
    *,
    security: att.Attribute.Permissions = OPEN,
    value: bytes | None = None,
    read: Callable[[], bytes] | None = None,
    write: Callable[[Connection, bytes], None] | None = None,
    on_subscription: Callable[[Connection, bool], None] | None = None,
) -> Characteristic[bytes]:
    """A characteristic whose value is fixed or read and written by functions; CCCD and value have one security."""
    permissions = OPEN
    if properties & READ:
        permissions |= Characteristic.READABLE | security & _READ_SECURITY
    if properties & WRITE:
        permissions |= Characteristic.WRITEABLE | security & _WRITE_SECURITY
    content: Any = value
    if read is not None or write is not None:
        content = att.AttributeValue(read=None if read is None else lambda _connection: read(), write=write)
    made: Characteristic[bytes] = Characteristic(f"{uuid:04X}", properties, permissions, content)
    if properties & (NOTIFY | INDICATE):
        made.descriptors = (_configuration(server, made, security),)
        if on_subscription is not None:
            made.on(
                Characteristic.EVENT_SUBSCRIPTION,
                lambda bearer, notify, indicate: on_subscription(bearer, notify or indicate),
            )
    return made


def _configuration(server: Server, described: Characteristic[bytes], security: att.Attribute.Permissions) -> Descriptor:
    return Descriptor(
        GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR,
        Characteristic.READABLE | Characteristic.WRITEABLE | security & _WRITE_SECURITY,
        server.make_descriptor_value(described),
    )
