"""Encoders against octets written by hand from IEEE 11073-20601 and the GATT Specification Supplement."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from simulators.encoding import (
    AdjustReason,
    BloodPressureFeature,
    BloodPressurePacket,
    BloodPressureStatus,
    EncodingError,
    GlucoseContextPacket,
    GlucoseFeature,
    GlucosePacket,
    GlucoseStatus,
    GlucoseUnit,
    Meal,
    PressureUnit,
    SampleLocation,
    SampleType,
    Special,
    blood_pressure_feature,
    blood_pressure_measurement,
    current_time,
    date_time,
    glucose_context,
    glucose_feature,
    glucose_measurement,
    medical_float,
    parse_date_time,
    racp_number_of_records,
    racp_response,
    sfloat,
)

MORNING = datetime(2026, 10, 1, 7, 30, 0)  # noqa: DTZ001 - device clocks have no zone


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        ("120", "7800"),
        ("0", "0000"),
        ("5.6", "38f0"),
        ("5.60", "30e2"),  # 560 = 0x230, exponent -2: the precision is kept
        ("0.00105", "69b0"),
        ("-1.5", "f1ff"),
        ("2045", "fd07"),  # the largest plain mantissa that is no special code
        ("204.7", "fff7"),  # 2047 with exponent -1 is a number, not NaN
        ("-2045", "0308"),
        ("12000", "b014"),  # 1200 x 10^1
        ("1E+9", "6470"),  # 100 x 10^7
    ],
)
def test_sfloat_octets(value: str, octets: str) -> None:
    assert sfloat(Decimal(value)).hex() == octets


@pytest.mark.parametrize(
    ("value", "short", "long"),
    [
        (Special.NAN, "ff07", "ffff7f00"),
        (Special.NRES, "0008", "00008000"),
        (Special.POSITIVE_INFINITY, "fe07", "feff7f00"),
        (Special.NEGATIVE_INFINITY, "0208", "02008000"),
        (Special.RESERVED, "0108", "01008000"),
    ],
)
def test_special_values(value: Special, short: str, long: str) -> None:
    assert sfloat(value).hex() == short
    assert medical_float(value).hex() == long


@pytest.mark.parametrize("value", ["2046", "2047", "2048", "-2046", "-2047", "-2048", "1.2345", "1E-9", "2048E+7"])
def test_sfloat_refuses_what_it_cannot_say_exactly(value: str) -> None:
    with pytest.raises(EncodingError):
        sfloat(Decimal(value))


def test_float_octets() -> None:
    assert medical_float(Decimal("36.4")).hex() == "6c0100ff"


def test_date_time_octets() -> None:
    assert date_time(MORNING).hex() == "ea070a01071e00"
    assert date_time(None).hex() == "00000000000000"
    assert parse_date_time(bytes.fromhex("ea070a01071e00")) == MORNING


@pytest.mark.parametrize("octets", ["", "ea070a01071e", "00000000000000", "ea070d01071e00", "ea070a01181e00"])
def test_a_written_clock_that_is_no_date_is_refused(octets: str) -> None:
    with pytest.raises(EncodingError):
        parse_date_time(bytes.fromhex(octets))


def test_current_time_octets() -> None:
    thursday = MORNING.replace(microsecond=500_000)

    assert current_time(thursday, adjust_reason=AdjustReason.MANUAL).hex() == "ea070a01071e00048001"


def test_blood_pressure_with_every_field() -> None:
    packet = BloodPressurePacket(
        systolic=Decimal(142),
        diastolic=Decimal(91),
        mean=Decimal(108),
        timestamp=MORNING,
        pulse=Decimal(72),
        user_id=1,
        status=BloodPressureStatus.BODY_MOVEMENT | BloodPressureStatus.IRREGULAR_PULSE,
    )

    assert blood_pressure_measurement(packet).hex() == "1e8e005b006c00ea070a01071e004800010500"


def test_blood_pressure_in_kilopascal_and_nothing_else() -> None:
    packet = BloodPressurePacket(systolic=Decimal("18.9"), diastolic=Decimal("12.1"), unit=PressureUnit.KPA)

    assert blood_pressure_measurement(packet).hex() == "01bdf079f0ff07"


def test_glucose_with_offset_in_kilograms_per_litre() -> None:
    packet = GlucosePacket(
        sequence=10,
        base_time=MORNING,
        time_offset_minutes=-60,
        concentration=Decimal("0.00105"),
        sample_type=SampleType.CAPILLARY_PLASMA,
    )

    assert glucose_measurement(packet).hex() == "030a00ea070a01071e00c4ff69b012"


def test_glucose_in_moles_with_context_to_follow() -> None:
    packet = GlucosePacket(
        sequence=0x1234,
        base_time=MORNING,
        concentration=Decimal("0.0056"),
        unit=GlucoseUnit.MOL_PER_L,
        sample_type=SampleType.CONTROL_SOLUTION,
        location=SampleLocation.CONTROL_SOLUTION,
        context_follows=True,
    )

    assert glucose_measurement(packet).hex() == "163412ea070a01071e0038c04a"


def test_glucose_above_range() -> None:
    packet = GlucosePacket(
        sequence=12, base_time=MORNING, concentration=Special.POSITIVE_INFINITY, status=GlucoseStatus.ABOVE_RANGE
    )

    assert glucose_measurement(packet).hex() == "0a0c00ea070a01071e00fe07112000"


def test_failed_strip_has_a_status_and_no_concentration() -> None:
    packet = GlucosePacket(sequence=1, base_time=MORNING, status=GlucoseStatus.SAMPLE_TOO_SMALL)

    assert glucose_measurement(packet).hex() == "080100ea070a01071e000400"


def test_context_octets() -> None:
    assert glucose_context(GlucoseContextPacket(sequence=10, meal=Meal.FASTING)).hex() == "020a0003"
    full = GlucoseContextPacket(
        sequence=10,
        carbohydrate=(1, Decimal("0.05")),
        meal=Meal.POSTPRANDIAL,
        tester_health=(1, 5),
        exercise=(600, 80),
        medication=(2, Decimal("0.000012")),
        hba1c=Decimal("6.5"),
    )
    assert glucose_context(full).hex() == "5f0a000105e00251580250020ca041f0"


def test_feature_octets() -> None:
    cuff = BloodPressureFeature.BODY_MOVEMENT | BloodPressureFeature.IRREGULAR_PULSE
    assert blood_pressure_feature(cuff).hex() == "0500"
    assert glucose_feature(GlucoseFeature.LOW_BATTERY | GlucoseFeature.MULTIPLE_BONDS).hex() == "0104"


def test_record_access_answers() -> None:
    assert racp_number_of_records(10).hex() == "05000a00"
    assert racp_response(1, 6).hex() == "06000106"
