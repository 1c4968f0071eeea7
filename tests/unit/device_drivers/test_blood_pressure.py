"""2A35, 2A36 and 2A49 from octets put together by hand."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from device_drivers.errors import DecodeError
from device_drivers.gatt.blood_pressure import decode_feature, decode_intermediate_cuff_pressure, decode_measurement
from device_drivers.measurement import AbsentReason, Kind, Measurement, Outcome

# time stamp 2024-06-23 14:35:10, pulse 72, user 1, status 0x0001
EVERYTHING = "1e 8000 4e00 5f00 e80706170e230a 4800 01 0100"


def _read(text: str) -> Measurement:
    return decode_measurement(bytes.fromhex(text))


def _values(measurement: Measurement) -> dict[str, str]:
    return {part.metric.value: str(part.value) for part in measurement.components}


def test_every_field() -> None:
    measurement = _read(EVERYTHING)

    assert measurement.kind is Kind.BLOOD_PRESSURE
    assert measurement.outcome is Outcome.MEASURED
    assert _values(measurement) == {"systolic": "128", "diastolic": "78", "mean-arterial": "95", "pulse-rate": "72"}
    assert {part.unit for part in measurement.components} == {"mm[Hg]", "/min"}
    assert measurement.device_time == datetime.fromisoformat("2024-06-23T14:35:10")
    assert measurement.user_id == 1
    assert measurement.flags == ("body-movement",)
    assert measurement.warnings == ()
    assert measurement.extra_hex is None


def test_kilopascals_are_kept_as_sent_and_converted_exactly() -> None:
    """17.1 kPa x 7.50062 = 128.260602 mmHg, 10.4 x 7.50062 = 78.006448."""
    measurement = _read("01 abf0 68f0 ff07")

    systolic, diastolic, mean = measurement.components
    assert (systolic.reported_value, systolic.reported_unit) == (Decimal("17.1"), "kPa")
    assert (systolic.value, systolic.unit) == (Decimal("128.260602"), "mm[Hg]")
    assert diastolic.value == Decimal("78.006448")
    assert (mean.value, mean.absent_reason, mean.reported_unit) == (None, AbsentReason.NOT_A_NUMBER, "kPa")
    assert measurement.outcome is Outcome.MEASURED
    assert measurement.warnings == ()


@pytest.mark.parametrize(
    ("pressures", "outcome"),
    [
        ("ff07 ff07 ff07", Outcome.NO_VALUE),
        ("ff07 0008 fe07", Outcome.NO_VALUE),
        ("8000 ff07 ff07", Outcome.MEASURED),
        ("ff07 4e00 ff07", Outcome.MEASURED),
        ("ff07 ff07 5f00", Outcome.MEASURED),
    ],
)
def test_a_measurement_failed_when_no_pressure_is_there(pressures: str, outcome: Outcome) -> None:
    assert _read(f"00 {pressures}").outcome is outcome


@pytest.mark.parametrize(
    ("status", "flags", "warnings"),
    [
        (0x0000, (), ()),
        (0x0001, ("body-movement",), ()),
        (0x0002, ("cuff-loose",), ()),
        (0x0004, ("irregular-pulse",), ()),
        (0x0008, ("pulse-rate-above-range",), ()),
        (0x0010, ("pulse-rate-below-range",), ()),
        (0x0018, (), ("reserved-value",)),
        (0x0020, ("improper-position",), ()),
        (0x0027, ("body-movement", "cuff-loose", "irregular-pulse", "improper-position"), ()),
        (0x0040, (), ("reserved-flag-bits",)),
        (0x8000, (), ("reserved-flag-bits",)),
    ],
)
def test_measurement_status(status: int, flags: tuple[str, ...], warnings: tuple[str, ...]) -> None:
    measurement = decode_measurement(bytes.fromhex("10 8000 4e00 5f00") + status.to_bytes(2, "little"))

    assert measurement.flags == flags
    assert measurement.warnings == warnings


@pytest.mark.parametrize("flags", [0x20, 0x40, 0x80, 0xE0])
def test_reserved_flags_are_told_and_cost_nothing(flags: int) -> None:
    measurement = decode_measurement(bytes((flags,)) + bytes.fromhex("8000 4e00 5f00"))

    assert _values(measurement) == {"systolic": "128", "diastolic": "78", "mean-arterial": "95"}
    assert measurement.warnings == ("reserved-flag-bits",)


@pytest.mark.parametrize(("octet", "user_id"), [("00", 0), ("01", 1), ("fe", 254), ("ff", None)])
def test_user_255_is_unknown(octet: str, user_id: int | None) -> None:
    assert _read(f"08 8000 4e00 5f00 {octet}").user_id == user_id


def test_trailing_octets_are_kept() -> None:
    measurement = _read("00 8000 4e00 5f00 dead")

    assert measurement.extra_hex == "dead"
    assert measurement.warnings == ("trailing-octets",)


def test_a_nonsense_clock_costs_no_reading() -> None:
    measurement = _read("02 8000 4e00 5f00 e8070d170e230a")

    assert measurement.outcome is Outcome.MEASURED
    assert measurement.device_time is None
    assert measurement.device_time_raw == "e8070d170e230a"
    assert measurement.warnings == ("invalid-device-time",)


@pytest.mark.parametrize(
    ("pressures", "implausible"),
    [
        ("1e00 1d00 0000", False),  # 30 / 29, the lowest systolic that can be meant; a mean pressure of 0 is a filler
        ("1d00 1400 0000", True),  # 29 / 20
        ("4001 fa00 0000", False),  # 320 / 250
        ("4101 fa00 0000", True),  # 321
        ("4001 fb00 0000", True),  # 320 / 251
        ("8000 0a00 0000", False),  # 128 / 10
        ("8000 0900 0000", True),  # 128 / 9
        ("8000 7f00 0000", False),  # 128 / 127
        ("8000 8000 0000", True),  # systolic not above diastolic
        ("8000 8100 0000", True),
        ("8000 4e00 0900", True),  # mean 9
        ("8000 4e00 0a00", False),  # mean 10
    ],
)
def test_what_a_pressure_cannot_mean_is_told_and_printed_as_sent(pressures: str, implausible: bool) -> None:
    measurement = _read(f"00 {pressures}")

    assert ("implausible" in measurement.warnings) is implausible
    assert measurement.components[0].value == int.from_bytes(bytes.fromhex(pressures)[:2], "little")


@pytest.mark.parametrize(
    ("pulse", "implausible"),
    [("0000", False), ("0900", True), ("0a00", False), ("5e01", False), ("5f01", True), ("ff07", False)],
)
def test_what_a_pulse_cannot_mean(pulse: str, implausible: bool) -> None:
    """0 is what a cuff sends that lost the pulse; 10 and 350 are the ends of what can be meant; NaN says nothing."""
    assert ("implausible" in _read(f"04 8000 4e00 5f00 {pulse}").warnings) is implausible


@pytest.mark.parametrize(
    ("octets", "offset", "missing"),
    [
        ("", 0, 1),
        ("00", 1, 2),
        ("00 80", 1, 1),
        ("00 8000 4e00 5f", 5, 1),
        ("02 8000 4e00 5f00", 7, 7),
        ("02 8000 4e00 5f00 e80706170e23", 7, 1),
        ("04 8000 4e00 5f00", 7, 2),
        ("08 8000 4e00 5f00", 7, 1),
        ("10 8000 4e00 5f00 00", 7, 1),
        ("1e 8000 4e00 5f00 e80706170e230a 4800 01 01", 17, 1),
    ],
)
def test_a_short_payload_says_where_it_ends(octets: str, offset: int, missing: int) -> None:
    with pytest.raises(DecodeError) as caught:
        _read(octets)

    assert (caught.value.characteristic, caught.value.offset, caught.value.missing) == ("2A35", offset, missing)
    assert caught.value.payload == bytes.fromhex(octets)


def test_cuff_pressure_skips_the_unused_fields() -> None:
    """Flags: kPa, pulse. 11.1 kPa x 7.50062 = 83.256882."""
    measurement = decode_intermediate_cuff_pressure(bytes.fromhex("05 6ff0 ff07 0000 3c00"))

    pressure, pulse = measurement.components
    assert measurement.kind is Kind.INTERMEDIATE_CUFF_PRESSURE
    assert (pressure.metric, pressure.value) == ("cuff-pressure", Decimal("83.256882"))
    assert pulse.value == 60


def test_cuff_pressure_needs_its_unused_fields() -> None:
    with pytest.raises(DecodeError) as caught:
        decode_intermediate_cuff_pressure(bytes.fromhex("00 6400 ff07"))

    assert (caught.value.characteristic, caught.value.offset, caught.value.missing) == ("2A36", 3, 2)


def test_features() -> None:
    measurement = decode_feature(bytes.fromhex("2500"))

    assert measurement.kind is Kind.BLOOD_PRESSURE_FEATURE
    assert measurement.flags == ("body-movement-detection", "irregular-pulse-detection", "multiple-bonds")
    assert decode_feature(bytes.fromhex("0002")).warnings == ("reserved-flag-bits",)
    with pytest.raises(DecodeError):
        decode_feature(b"\x25")
