"""Every driver we ship, in order. Advertisement in, the driver that fits it best out, or none.

Written out, not registered: a reader sees the whole set. A gateway may add drivers that its configuration allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from device_drivers.driver import Advertisement, Driver
from device_drivers.drivers.glucose import GLUCOSE
from device_drivers.drivers.indicating import BLOOD_PRESSURE, PULSE_OXIMETER, THERMOMETER, WEIGHT

DRIVERS: Final[tuple[Driver, ...]] = (BLOOD_PRESSURE, GLUCOSE, WEIGHT, THERMOMETER, PULSE_OXIMETER)


def best_driver(advertisement: Advertisement, drivers: Sequence[Driver] = DRIVERS) -> Driver | None:
    """The driver with the highest score; of equal ones the earlier in the list."""
    scored = [(score, driver) for driver in drivers if (score := driver.match(advertisement)) is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def driver_by_id(driver_id: str, drivers: Sequence[Driver] = DRIVERS) -> Driver | None:
    """The driver that a configuration or a stored packet names."""
    return next((driver for driver in drivers if driver.info.id == driver_id), None)
