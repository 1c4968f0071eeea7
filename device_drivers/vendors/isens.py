"""i-SENS meters (CareSens N Plus BT, CareSens Dual, ReliOn Premier BLU). Differs: meal code 6 marks a ketone value.

Known from the driver of xDrip+ (NightscoutFoundation/xDrip, caresens/ContextRx and GlucoseReadingRx), not from
hardware of ours: such a record holds beta-hydroxybutyrate x 10 in the glucose field. Read as glucose, a normal ketone
value would page somebody for a deadly low. The same firmware sends a month 13 at times: the standard decoder tells it
as an invalid device time, and the reading stays.
"""

from __future__ import annotations

from typing import Final

from device_drivers.driver import Held
from device_drivers.measurement import Measurement
from device_drivers.vendors.quirk import Quirk

_KETONE_MEAL: Final = "reserved-6"


def hold_ketone(measurement: Measurement) -> Held | None:
    return Held.NOT_GLUCOSE if measurement.context.get("meal") == _KETONE_MEAL else None


CARESENS: Final = Quirk(
    title="i-SENS CareSens and ReliOn Premier BLU",
    models=frozenset(
        {
            "caresensnplusbt",
            "caresensnplus",
            "caresensnplusbluetooth",
            "caresensdual",
            "relionpremierblu",
            "premierblu",
        }
    ),
    holds=hold_ketone,
)
