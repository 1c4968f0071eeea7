"""What a collector hears: advertisements as plain values.

Input: advertising data as bumble reports it. Output: `Heard`, with 128-bit UUID strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bumble.core import AdvertisingData
from bumble.device import Advertisement

_BASE_UUID_TAIL: Final = "-0000-1000-8000-00805f9b34fb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One advertisement. UUIDs are 128-bit lower-case strings."""

    address: str
    name: str | None
    service_uuids: tuple[str, ...] = ()
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    service_data: Mapping[str, bytes] = field(default_factory=dict)
    rssi: int = -127
    tx_power: int | None = None
    is_random: bool = True


def full_uuid(little_endian: bytes) -> str:
    """16-, 32- or 128-bit UUID as on the air -> the 36-character text."""
    digits = little_endian[::-1].hex()
    if len(little_endian) == 16:
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return digits.rjust(8, "0") + _BASE_UUID_TAIL


_UUID_LISTS: Final = {0x02: 2, 0x03: 2, 0x04: 4, 0x05: 4, 0x06: 16, 0x07: 16}
_SERVICE_DATA: Final = {0x16: 2, 0x20: 4, 0x21: 16}
_NAMES: Final = (0x08, 0x09)


def read_advertisement(advertisement: Advertisement) -> Heard:
    """Pick the known fields out of an advertisement. Broken fields of a bad neighbour are left out, never an error."""
    name: str | None = None
    uuids: dict[str, None] = {}
    manufacturer: dict[int, bytes] = {}
    service_data: dict[str, bytes] = {}
    tx_power: int | None = None
    data: AdvertisingData = advertisement.data
    for kind, value in data.ad_structures:
        if size := _UUID_LISTS.get(kind):
            whole = len(value) - len(value) % size
            uuids.update((full_uuid(value[i : i + size]), None) for i in range(0, whole, size))
        elif (size := _SERVICE_DATA.get(kind)) and len(value) >= size:
            service_data[full_uuid(value[:size])] = value[size:]
        elif kind == 0xFF and len(value) >= 2:
            manufacturer[int.from_bytes(value[:2], "little")] = value[2:]
        elif kind in _NAMES:
            name = value.decode("utf-8", errors="replace")
        elif kind == 0x0A and len(value) == 1:
            tx_power = int.from_bytes(value, "little", signed=True)
    return Heard(
        address=advertisement.address.to_string(with_type_qualifier=False),
        name=name,
        service_uuids=tuple(uuids),
        manufacturer_data=manufacturer,
        service_data=service_data,
        rssi=advertisement.rssi,
        tx_power=tx_power,
        is_random=advertisement.address.is_random,
    )
