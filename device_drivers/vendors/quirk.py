"""The shape of a model's quirks. Input: a model name. Output: its key, under which the tables name it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from device_drivers.driver import Held
from device_drivers.measurement import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirk:
    """One model, or a family with the same firmware.

    `models`: keys as `model_key` makes them. `fixes`: octets as sent to octets as the standard has them, by
    characteristic; total, never raises. `holds`: why a decoded reading is nobody's glucose or pressure.
    `whole_memory`: the meter's sequence numbers do not say what is new, so every contact reads everything.
    """

    title: str
    models: frozenset[str]
    fixes: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    holds: Callable[[Measurement], Held | None] | None = None
    whole_memory: bool = False


def model_key(model: str) -> str:
    """Letters and digits only, lower case: "Beurer BM-85" and "beurer bm85" are one model."""
    return "".join(sign for sign in model.casefold() if sign.isalnum())
