"""Device Information Service (0x180A): who made the device, which model, which firmware.

Input: octets as read. Output: text safe to show and to store. Devices pad with NUL or blanks and send broken UTF-8.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MODEL: Final = "2A24"

IDENTITY: Final[Mapping[str, str]] = MappingProxyType({MODEL: "model", "2A26": "firmware"})
"""What decides how a device's readings are read."""

STRINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **IDENTITY,
        "2A29": "manufacturer",
        "2A25": "serial",
        "2A27": "hardware",
        "2A28": "software",
    }
)
_LONGEST: Final = 64  # no device needs more; an attribute may have 512 octets


def decode_text(payload: bytes) -> str:
    """Text up to the first NUL, without control characters and outer blanks; broken UTF-8 shows as U+FFFD."""
    text = payload.split(b"\0", 1)[0].decode("utf-8", errors="replace")
    return "".join(sign for sign in text if sign.isprintable()).strip()[:_LONGEST]
