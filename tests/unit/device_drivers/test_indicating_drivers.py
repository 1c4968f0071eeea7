"""Every device that hands over by indication: from its own packet through the session to its own kind of reading."""

from __future__ import annotations

from decimal import Decimal

import pytest

from device_drivers.drivers.indicating import BLOOD_PRESSURE, PULSE_OXIMETER, THERMOMETER, WEIGHT, IndicatingDriver
from tests.unit.device_drivers.scripted_link import HANG_UP, RecordingContext, ScriptedLink


@pytest.mark.parametrize(
    ("driver", "characteristic", "octets", "value", "unit"),
    [
        (BLOOD_PRESSURE, "2A35", "00 8000 4e00 5f00", "128", "mm[Hg]"),
        (WEIGHT, "2A9D", "00 e238", "72.810", "kg"),  # 14562 x 0.005 kg
        (THERMOMETER, "2A1C", "00 6c0100ff", "36.4", "Cel"),  # 364 x 10^-1
        (PULSE_OXIMETER, "2A5E", "00 6100 4000", "97", "%"),
    ],
)
async def test_one_measurement_from_the_air_to_a_reading(
    driver: IndicatingDriver, characteristic: str, octets: str, value: str, unit: str
) -> None:
    link = ScriptedLink(offers=[characteristic], sends=[(characteristic, bytes.fromhex(octets)), HANG_UP])
    ctx = RecordingContext(policy=driver.policy)

    await driver.collect(link, ctx)
    session = driver.decode(ctx.emitted)

    (reading,) = session.readings
    first = reading.measurement.components[0]
    assert reading.measurement.kind in driver.info.kinds
    assert (first.value, first.unit) == (Decimal(value), unit)
    assert reading.held is None
