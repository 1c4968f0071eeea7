"""Device clocks: Date Time 2A08, Current Time 2A2B (service 0x1805), Local Time Information 2A0F.

Input: octets as read, or the naive local time to write. Output: naive times, octets to write. Layout: Bluetooth SIG,
GATT Specification Supplement; CTS 1.1 clause 3. The decision whether to set a clock is `clock_is_due`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from device_drivers.driver import ClockPolicy, SessionPolicy
from device_drivers.gatt.fields import warnings_of
from device_drivers.ieee11073 import decode_date_time
from device_drivers.measurement import DecodeWarning
from device_drivers.reader import Reader

DATE_TIME: Final = "2A08"
CURRENT_TIME: Final = "2A2B"
LOCAL_TIME_INFORMATION: Final = "2A0F"

_MANUAL_UPDATE: Final = 0x01
_DST_MINUTES: Final = {0: 0, 2: 30, 4: 60, 8: 120}
_ZONE_STEP_MINUTES: Final = 15
_ZONE_LIMIT: Final = range(-48, 57)  # UTC-12:00 to UTC+14:00


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockValue:
    """A device's clock: naive, zone unknown. `device_time` None means not known, or no date at all (`raw_hex` set)."""

    device_time: datetime | None
    raw_hex: str | None = None
    warnings: tuple[DecodeWarning, ...] = ()
    extra_hex: str | None = None


def decode_clock(characteristic: str, payload: bytes) -> ClockValue:
    """2A08 (seven octets) or 2A2B (ten: day of week, 1/256 s and reason of the last change follow)."""
    reader = Reader(characteristic, payload)
    time = decode_date_time(reader.octets(7, "date and time"))
    if characteristic == CURRENT_TIME:
        reader.octets(3, "day of week, fractions and adjust reason")
    extra = reader.rest()
    return ClockValue(
        device_time=time.value,
        raw_hex=time.raw_hex,
        warnings=warnings_of(trailing=extra, time=time),
        extra_hex=extra.hex() if extra else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTimeInformation:
    """What the device believes about its zone: minutes east of UTC without summer time, and summer time minutes."""

    zone_minutes: int | None
    dst_minutes: int | None


def decode_local_time_information(payload: bytes) -> LocalTimeInformation:
    """2A0F. Unknown and reserved codes give None."""
    reader = Reader(LOCAL_TIME_INFORMATION, payload)
    zone = reader.s8("time zone")
    dst = reader.u8("DST offset")
    return LocalTimeInformation(
        zone_minutes=zone * _ZONE_STEP_MINUTES if zone in _ZONE_LIMIT else None,
        dst_minutes=_DST_MINUTES.get(dst),
    )


def encode_clock(characteristic: str, local_time: datetime) -> bytes:
    """The octets that set a device's clock to a naive local time."""
    octets = local_time.year.to_bytes(2, "little") + bytes(
        (local_time.month, local_time.day, local_time.hour, local_time.minute, local_time.second)
    )
    if characteristic == DATE_TIME:
        return octets
    fractions = local_time.microsecond * 256 // 1_000_000
    return octets + bytes((local_time.isoweekday(), fractions, _MANUAL_UPDATE))


def clock_is_due(policy: SessionPolicy, *, device_time: datetime | None, desired: datetime | None) -> bool:
    """Whether this session should set the clock. Both times are naive and local to the home.

    A device that does not know its time counts as off. Without a trusted own clock (`desired` None) nothing is set.
    """
    if desired is None or policy.clock is ClockPolicy.NEVER:
        return False
    if policy.clock is ClockPolicy.ALWAYS or device_time is None:
        return True
    return abs(device_time - desired) >= timedelta(seconds=policy.clock_threshold_seconds)
