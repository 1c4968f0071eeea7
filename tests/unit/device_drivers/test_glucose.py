"""2A18, 2A34 and 2A51 from octets put together by hand."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from device_drivers.errors import DecodeError
from device_drivers.gatt.glucose import announces_context, decode_context, decode_feature, decode_measurement
from device_drivers.measurement import AbsentReason, Measurement, Outcome

BASE = "e80706170e230a"  # 2024-06-23 14:35:10


def _read(text: str) -> Measurement:
    return decode_measurement(bytes.fromhex(text))


def _context(text: str) -> dict[str, object]:
    return dict(decode_context(bytes.fromhex(text)).context)


def test_every_field_in_mg_dl() -> None:
    """142 x 10^-5 kg/L = 142 mg/dL; offset -90 minutes; type 1 in the low nibble, location 1 in the high one."""
    measurement = _read(f"0b 0a01 {BASE} a6ff 8eb0 11 0100")

    (glucose,) = measurement.components
    assert (str(glucose.value), glucose.unit) == ("142", "mg/dL")
    assert (str(glucose.reported_value), glucose.reported_unit) == ("142", "mg/dL")
    assert measurement.sequence_number == 266
    assert measurement.device_time == datetime.fromisoformat("2024-06-23T14:35:10")
    assert measurement.time_offset_minutes == -90
    assert measurement.flags == ("battery-low",)
    assert dict(measurement.context) == {"sample_type": "capillary-whole-blood", "sample_location": "finger"}
    assert measurement.warnings == ()


def test_moles_are_reported_as_sent_and_kept_in_mg_dl() -> None:
    """5.5 x 10^-3 mol/L = 5.5 mmol/L; x 18.0182 = 99.10010 mg/dL."""
    (glucose,) = _read(f"06 0000 {BASE} 37c0 12").components

    assert (str(glucose.reported_value), glucose.reported_unit) == ("5.5", "mmol/L")
    assert (glucose.value, glucose.unit) == (Decimal("99.10010"), "mg/dL")


def test_the_precision_of_the_encoding_is_kept() -> None:
    """550 x 10^-5 mol/L is 5.50 mmol/L, not 5.5."""
    (glucose,) = _read(f"06 0000 {BASE} 26b2 12").components

    assert str(glucose.reported_value) == "5.50"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("fe07", AbsentReason.POSITIVE_INFINITY),  # "HI"
        ("0208", AbsentReason.NEGATIVE_INFINITY),  # "LO"
        ("ff07", AbsentReason.NOT_A_NUMBER),
        ("0008", AbsentReason.NOT_AT_THIS_RESOLUTION),
        ("0108", AbsentReason.RESERVED),
    ],
)
@pytest.mark.parametrize(("flags", "unit"), [("02", "mg/dL"), ("06", "mmol/L")])
def test_high_low_and_failed_are_reasons(raw: str, reason: AbsentReason, flags: str, unit: str) -> None:
    measurement = _read(f"{flags} 0000 {BASE} {raw} 11")

    (glucose,) = measurement.components
    assert measurement.outcome is Outcome.NO_VALUE
    assert (glucose.value, glucose.absent_reason, glucose.reported_unit) == (None, reason, unit)


def test_without_a_concentration_there_is_no_component() -> None:
    measurement = _read(f"00 0100 {BASE}")

    assert measurement.components == ()
    assert measurement.outcome is Outcome.NO_VALUE
    assert measurement.context == {}


@pytest.mark.parametrize(
    ("octet", "sample_type", "location", "warnings"),
    [
        ("1a", "control-solution", "finger", ()),
        ("41", "capillary-whole-blood", "control-solution", ()),
        ("f2", "capillary-plasma", "not-available", ()),
        ("23", "venous-whole-blood", "alternate-site", ()),
        ("34", "venous-plasma", "earlobe", ()),
        ("15", "arterial-whole-blood", "finger", ()),
        ("16", "arterial-plasma", "finger", ()),
        ("17", "undetermined-whole-blood", "finger", ()),
        ("18", "undetermined-plasma", "finger", ()),
        ("19", "interstitial-fluid", "finger", ()),
        ("10", "reserved-0", "finger", ("reserved-value",)),
        ("1b", "reserved-11", "finger", ("reserved-value",)),
        ("01", "capillary-whole-blood", "reserved-0", ("reserved-value",)),
        ("51", "capillary-whole-blood", "reserved-5", ("reserved-value",)),
        ("e1", "capillary-whole-blood", "reserved-14", ("reserved-value",)),
    ],
)
def test_sample_nibbles(octet: str, sample_type: str, location: str, warnings: tuple[str, ...]) -> None:
    measurement = _read(f"02 0000 {BASE} 64b0 {octet}")

    assert dict(measurement.context) == {"sample_type": sample_type, "sample_location": location}
    assert measurement.warnings == warnings


@pytest.mark.parametrize(
    ("bit", "flag"),
    [
        (0, "battery-low"),
        (1, "sensor-malfunction"),
        (2, "sample-insufficient"),
        (3, "strip-insertion-error"),
        (4, "strip-type-incorrect"),
        (5, "result-too-high"),
        (6, "result-too-low"),
        (7, "temperature-too-high"),
        (8, "temperature-too-low"),
        (9, "read-interrupted"),
        (10, "device-fault"),
        (11, "time-fault"),
    ],
)
def test_sensor_status(bit: int, flag: str) -> None:
    assert decode_measurement(bytes.fromhex(f"08 0000 {BASE}") + (1 << bit).to_bytes(2, "little")).flags == (flag,)


def test_reserved_status_bits_are_told() -> None:
    assert _read(f"08 0000 {BASE} 0010").warnings == ("reserved-flag-bits",)


@pytest.mark.parametrize(
    ("raw", "minutes", "context"),
    [
        ("fe7f", 32766, {}),
        ("ff7f", None, {"time_offset": "overrun"}),
        ("0080", None, {"time_offset": "underrun"}),
        ("0180", -32767, {}),
        ("0000", 0, {}),
        ("ffff", -1, {}),
    ],
)
def test_time_offset_and_its_overrun(raw: str, minutes: int | None, context: dict[str, str]) -> None:
    measurement = _read(f"01 0000 {BASE} {raw}")

    assert measurement.time_offset_minutes == minutes
    assert dict(measurement.context) == context


@pytest.mark.parametrize(
    ("raw", "implausible"),
    [
        ("ffff", True),  # -0.1 kg/L, seen from a meter that had no result
        ("00b0", True),  # 0 mg/dL
        ("01b0", False),  # 1 mg/dL
        ("d0b7", False),  # 2000 mg/dL
        ("d1b7", True),  # 2001 mg/dL
    ],
)
def test_what_a_glucose_cannot_mean_is_told(raw: str, implausible: bool) -> None:
    assert ("implausible" in _read(f"02 0000 {BASE} {raw} 11").warnings) is implausible


@pytest.mark.parametrize(
    ("octets", "offset", "missing"),
    [
        ("", 0, 1),
        ("00 00", 1, 1),
        ("00 0000 e80706170e23", 3, 1),
        (f"01 0000 {BASE} 00", 10, 1),
        (f"02 0000 {BASE} 64b0", 12, 1),
        (f"0b 0000 {BASE} 0000 64b0 11 00", 15, 1),
    ],
)
def test_a_short_measurement_says_where_it_ends(octets: str, offset: int, missing: int) -> None:
    with pytest.raises(DecodeError) as caught:
        _read(octets)

    assert (caught.value.offset, caught.value.missing) == (offset, missing)


def test_context_announcement() -> None:
    assert announces_context(b"\x10")
    assert not announces_context(b"\xef")
    assert not announces_context(b"")


def test_every_context_field() -> None:
    """Extended flags 0; lunch 60 x 10^-3 kg; after a meal; self, no health issues; 1800 s at 75 %; 12 x 10^-6 kg of
    rapid insulin; HbA1c 7.1 %."""
    assert _context("df 0700 00 02 3cd0 02 51 0807 4b 01 0ca0 47f0") == {
        "carbohydrate_type": "lunch",
        "carbohydrate_grams": "60",
        "meal": "postprandial",
        "tester": "self",
        "health": "no-health-issues",
        "exercise_seconds": 1800,
        "exercise_intensity_percent": 75,
        "medication_type": "rapid-acting-insulin",
        "medication_amount": "12",
        "medication_unit": "mg",
        "hba1c_percent": "7.1",
    }


def test_medication_in_litres() -> None:
    """25 x 10^-5 L = 0.25 mL."""
    assert _context("30 0700 04 19b0") == {
        "medication_type": "long-acting-insulin",
        "medication_amount": "0.25",
        "medication_unit": "mL",
    }


def test_context_without_fields() -> None:
    measurement = decode_context(bytes.fromhex("00 0700"))

    assert measurement.context == {}
    assert measurement.sequence_number == 7
    assert measurement.outcome is Outcome.MEASURED


def test_amounts_without_a_number_are_left_out() -> None:
    assert _context("51 0700 01 ff07 01 fe07 0008") == {
        "carbohydrate_type": "breakfast",
        "medication_type": "rapid-acting-insulin",
    }


@pytest.mark.parametrize(
    ("octets", "context"),
    [
        ("01 0000 08 01d0", {"carbohydrate_type": "reserved-8", "carbohydrate_grams": "1"}),
        ("02 0000 00", {"meal": "reserved-0"}),
        ("02 0000 06", {"meal": "reserved-6"}),
        ("04 0000 64", {"tester": "reserved-4", "health": "reserved-6"}),
    ],
)
def test_reserved_context_codes_are_named(octets: str, context: dict[str, object]) -> None:
    measurement = decode_context(bytes.fromhex(octets))

    assert dict(measurement.context) == context
    assert measurement.warnings == ("reserved-value",)


@pytest.mark.parametrize(
    ("raw", "context"),
    [
        ("feff", {"exercise_seconds": 65534, "exercise_intensity_percent": 0}),
        ("ffff", {"exercise_duration": "overrun", "exercise_intensity_percent": 0}),
    ],
)
def test_exercise_overrun_is_no_number(raw: str, context: dict[str, object]) -> None:
    assert _context(f"08 0000 {raw} 00") == context


def test_extended_flags_come_first_and_are_reserved() -> None:
    measurement = decode_context(bytes.fromhex("82 0000 b3 03"))

    assert dict(measurement.context) == {"meal": "fasting"}
    assert measurement.warnings == ("reserved-flag-bits",)


@pytest.mark.parametrize(
    ("octets", "offset"), [("", 0), ("00 07", 1), ("80 0700", 3), ("01 0700 01 64", 4), ("40 0700 47", 3)]
)
def test_a_short_context_says_where_it_ends(octets: str, offset: int) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_context(bytes.fromhex(octets))

    assert (caught.value.characteristic, caught.value.offset) == ("2A34", offset)


def test_features() -> None:
    assert decode_feature(bytes.fromhex("2104")).flags == (
        "battery-low-detection",
        "result-high-low-detection",
        "multiple-bonds",
    )
    assert decode_feature(bytes.fromhex("0008")).warnings == ("reserved-flag-bits",)
