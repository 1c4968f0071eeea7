"""Which decoder reads which characteristic: the whole set, written out.

Input: characteristic, octets and, when known, the model. Output: measurements, or `DecodeError`. The quirks of a model
change octets before the standard decoder reads them; a decoder never knows a vendor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from device_drivers.gatt import (
    blood_pressure,
    continuous_glucose,
    glucose,
    health_thermometer,
    pulse_oximeter,
    weight_scale,
)
from device_drivers.measurement import Measurement
from device_drivers.vendors import prepare

SINGLE_DECODERS: Final[Mapping[str, Callable[[bytes], Measurement]]] = MappingProxyType(
    {
        "2A35": blood_pressure.decode_measurement,
        "2A36": blood_pressure.decode_intermediate_cuff_pressure,
        "2A49": blood_pressure.decode_feature,
        "2A18": glucose.decode_measurement,
        "2A34": glucose.decode_context,
        "2A51": glucose.decode_feature,
        "2A9D": weight_scale.decode_measurement,
        "2A1C": health_thermometer.decode_measurement,
        "2A5E": pulse_oximeter.decode_spot_check,
        "2A5F": pulse_oximeter.decode_continuous,
    }
)
"""Characteristics whose payload is one record."""

MEASUREMENT_CHARACTERISTICS: Final = frozenset(SINGLE_DECODERS) | {"2AA7"}

_SIG_UUID: Final = re.compile(r"(?:0000)?([0-9a-f]{4})-0000-1000-8000-00805f9b34fb", re.IGNORECASE)
_SHORT: Final = re.compile(r"(?:0x)?([0-9a-f]{4})", re.IGNORECASE)


def canonical_characteristic(name: str) -> str:
    """ "2a35", "0x2A35" and the long form of a SIG UUID become "2A35"; any other UUID becomes lower case."""
    name = name.strip()
    found = _SHORT.fullmatch(name) or _SIG_UUID.fullmatch(name)
    return found[1].upper() if found else name.lower()


def decode_payload(characteristic: str, payload: bytes, *, model: str | None = None) -> tuple[Measurement, ...]:
    """The records of one payload of a measurement characteristic. Raises `DecodeError` only; `KeyError` for a
    characteristic outside `MEASUREMENT_CHARACTERISTICS`."""
    if model is not None:
        payload = prepare(characteristic, payload, model)
    if characteristic == "2AA7":
        return continuous_glucose.decode_measurements(payload)
    return (SINGLE_DECODERS[characteristic](payload),)
