"""What the measurement characteristics share: named bits, reserved codes, time stamps, user ids, octets left over.

Input: raw integers or a `Reader`. Output: words of the decode contract. Nothing here raises but the reader.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from device_drivers.ieee11073 import DeviceTime, decode_date_time
from device_drivers.measurement import DecodeWarning
from device_drivers.reader import Reader

UNKNOWN_USER: Final = 0xFF  # GATT Specification Supplement, User Index: 0xFF is "unknown user"


@lru_cache(maxsize=1024)
def names_of_bits(value: int, names: tuple[tuple[int, str], ...]) -> tuple[str, ...]:
    """The names of the bits that are set, in the order of the table. Bits without a name are left out."""
    return tuple(name for bit, name in names if value >> bit & 1)


def code_name(code: int, names: dict[int, str]) -> str:
    """The word for a code, or `reserved-<n>`."""
    return names.get(code) or f"reserved-{code}"


def read_date_time(reader: Reader, field: str) -> DeviceTime:
    return decode_date_time(reader.octets(7, field))


def read_user_id(reader: Reader) -> int | None:
    """The user slot of the device, or None for an unknown user."""
    user_id = reader.u8("user id")
    return None if user_id == UNKNOWN_USER else user_id


def warnings_of(
    *,
    reserved_bits: int = 0,
    trailing: bytes = b"",
    time: DeviceTime | None = None,
    reserved_value: bool = False,
    implausible: bool = False,
) -> tuple[DecodeWarning, ...]:
    """The warnings of one payload, in a fixed order."""
    words = []
    if reserved_bits:
        words.append(DecodeWarning.RESERVED_FLAG_BITS)
    if trailing:
        words.append(DecodeWarning.TRAILING_OCTETS)
    if time is not None and time.raw_hex is not None:
        words.append(DecodeWarning.INVALID_DEVICE_TIME)
    if reserved_value:
        words.append(DecodeWarning.RESERVED_VALUE)
    if implausible:
        words.append(DecodeWarning.IMPLAUSIBLE)
    return tuple(words)
