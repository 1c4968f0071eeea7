"""What single models do differently from the standard: the whole set, written out.

Input: characteristic, octets as sent, model name. Output: octets as the standard would have them. A quirk sees octets
and nothing else; the octets that are kept as evidence are always those that were sent.
"""

from __future__ import annotations

from typing import Final

from device_drivers.driver import Held
from device_drivers.measurement import Measurement
from device_drivers.vendors import beurer, isens, taidoc
from device_drivers.vendors.quirk import Quirk, model_key

QUIRKS: Final[tuple[Quirk, ...]] = (beurer.BM85, isens.CARESENS, taidoc.TAIDOC)


def quirk_of(model: str | None) -> Quirk | None:
    """The quirks of a model, by the name an operator or the device itself gives; None for a plain device."""
    if model is None:
        return None
    key = model_key(model)
    return next((quirk for quirk in QUIRKS if key in quirk.models), None)


def prepare(characteristic: str, payload: bytes, model: str) -> bytes:
    """The payload as the standard would have it. Octets that do not show the model's fault are left alone."""
    quirk = quirk_of(model)
    fix = quirk.fixes.get(characteristic) if quirk else None
    return fix(payload) if fix else payload


def held_by(measurement: Measurement, model: str | None) -> Held | None:
    """Why a model's reading is none, beyond what holds for every device."""
    quirk = quirk_of(model)
    return quirk.holds(measurement) if quirk and quirk.holds else None
