"""Beurer BM 85 cuff. Differs: the user id octet is sent although its flag is clear; pulse and status are big endian.

Known from two captures in the tests of derdilla/blood-pressure-monitor-fl (commit 17aba3d), not from hardware of ours.
The mean pressure is always 0 (not measured).
"""

from __future__ import annotations

from typing import Final

from device_drivers.vendors.quirk import Quirk

_TIME_PULSE_USER_STATUS: Final = 0x1E
_USER: Final = 0x08
_LENGTH: Final = 19  # flags, three pressures, time stamp, pulse, user id, status
_PULSE: Final = 14
_USER_ID: Final = 16
_STATUS: Final = 17


def restore_measurement(payload: bytes) -> bytes:
    """Set the missing flag and turn pulse and status round; a payload of another shape is left alone."""
    if len(payload) != _LENGTH or payload[0] & _TIME_PULSE_USER_STATUS != _TIME_PULSE_USER_STATUS & ~_USER:
        return payload
    return (
        bytes((payload[0] | _USER,))
        + payload[1:_PULSE]
        + payload[_PULSE:_USER_ID][::-1]
        + payload[_USER_ID:_STATUS]
        + payload[_STATUS:][::-1]
    )


BM85: Final = Quirk(
    title="Beurer BM 85",
    models=frozenset({"beurerbm85", "bm85"}),
    fixes={"2A35": restore_measurement},
)
