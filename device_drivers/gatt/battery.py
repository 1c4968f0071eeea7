"""Battery Service (0x180F): Battery Level 2A19.

Input: octets as read. Output: percent, or None for a value above 100, which the specification reserves.
"""

from __future__ import annotations

from typing import Final

from device_drivers.reader import Reader

BATTERY_LEVEL: Final = "2A19"


def decode_level(payload: bytes) -> int | None:
    percent = Reader(BATTERY_LEVEL, payload).u8("battery level")
    return percent if percent <= 100 else None
