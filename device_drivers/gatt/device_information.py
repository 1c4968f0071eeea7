"""Device Information Service (0x180A): who made the device, which model, which firmware.

Input: octets as read. Output: text safe to show and to store. Devices pad with NUL or blanks and send broken UTF-8.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from device_drivers.reader import Reader

SYSTEM_ID: Final = "2A23"
PNP_ID: Final = "2A50"

STRINGS: Final = MappingProxyType(
    {
        "2A29": "manufacturer",
        "2A24": "model",
        "2A25": "serial",
        "2A26": "firmware",
        "2A27": "hardware",
        "2A28": "software",
    }
)
_LONGEST: Final = 64  # no device needs more; an attribute may have 512 octets


def decode_text(payload: bytes) -> str:
    """Text up to the first NUL, without control characters and outer blanks; broken UTF-8 shows as U+FFFD."""
    text = payload.split(b"\0", 1)[0].decode("utf-8", errors="replace")
    return "".join(sign for sign in text if sign.isprintable()).strip()[:_LONGEST]


def decode_system_id(payload: bytes) -> str:
    """2A23: eight octets, most significant first, as EUI-64 text."""
    return Reader(SYSTEM_ID, payload).octets(8, "system id")[::-1].hex(":")


def decode_pnp_id(payload: bytes) -> str:
    """2A50 as `source:vendor:product:version`, hexadecimal."""
    reader = Reader(PNP_ID, payload)
    source = reader.u8("vendor id source")
    vendor, product, version = reader.u16("vendor id"), reader.u16("product id"), reader.u16("product version")
    return f"{source:02x}:{vendor:04x}:{product:04x}:{version:04x}"
