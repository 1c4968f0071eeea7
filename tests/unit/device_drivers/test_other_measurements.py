"""Scale 2A9D, thermometer 2A1C, oximeter 2A5E/2A5F and continuous glucose 2AA7 from octets put together by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from device_drivers.errors import DecodeError
from device_drivers.gatt.continuous_glucose import crc16, decode_measurements, split_records
from device_drivers.gatt.health_thermometer import decode_measurement as decode_temperature
from device_drivers.gatt.pulse_oximeter import decode_continuous, decode_spot_check
from device_drivers.gatt.weight_scale import decode_measurement as decode_weight
from device_drivers.measurement import AbsentReason, Measurement, Outcome


def _texts(measurement: Measurement) -> dict[str, str]:
    return {part.metric.value: f"{part.reported_value} {part.reported_unit}" for part in measurement.components}


# --- weight: 0.005 kg or 0.01 lb, height 0.001 m or 0.1 in, BMI 0.1 ------------------------------------------------


def test_metric_weight_with_everything() -> None:
    """14562 x 0.005 = 72.810 kg, BMI 23.4, 1.764 m, user 2."""
    measurement = decode_weight(bytes.fromhex("0e e238 e80706170e230a 02 ea00 e406"))

    assert _texts(measurement) == {"body-weight": "72.810 kg", "bmi": "23.4 kg/m2", "height": "1.764 m"}
    assert measurement.user_id == 2
    assert measurement.warnings == ()


def test_imperial_weight_is_converted_exactly() -> None:
    """160.52 lb x 0.45359237 = 72.8106472324 kg; 69.4 in x 0.0254 = 1.76276 m."""
    measurement = decode_weight(bytes.fromhex("09 b43e ea00 b602"))

    assert _texts(measurement) == {"body-weight": "160.52 [lb_av]", "bmi": "23.4 kg/m2", "height": "69.4 [in_i]"}
    assert measurement.components[0].value == Decimal("72.8106472324")
    assert measurement.components[2].value == Decimal("1.76276")


def test_unsuccessful_weighing() -> None:
    measurement = decode_weight(bytes.fromhex("00 ffff"))

    assert measurement.outcome is Outcome.NO_VALUE
    assert measurement.components[0].absent_reason is AbsentReason.NOT_A_NUMBER
    assert measurement.warnings == ()


@pytest.mark.parametrize(
    ("octets", "implausible"),
    [
        ("00 6300", True),  # 0.495 kg
        ("00 6400", False),  # 0.500 kg
        ("00 0000", True),
        ("08 e238 0000 0000", False),  # neither height nor BMI known
        ("08 e238 3100 e406", True),  # BMI 4.9
    ],
)
def test_what_a_weight_cannot_mean(octets: str, implausible: bool) -> None:
    assert ("implausible" in decode_weight(bytes.fromhex(octets)).warnings) is implausible


@pytest.mark.parametrize("octets", ["", "00", "00 e2", "02 e238 e80706170e23", "04 e238", "08 e238 ea00 e4"])
def test_short_weight(octets: str) -> None:
    with pytest.raises(DecodeError, match="2A9D"):
        decode_weight(bytes.fromhex(octets))


# --- temperature: FLOAT --------------------------------------------------------------------------------------------


def test_celsius_keeps_its_digits() -> None:
    """3640 x 10^-2 = 36.40."""
    measurement = decode_temperature(bytes.fromhex("04 380e00fe 03"))

    assert _texts(measurement) == {"body-temperature": "36.40 Cel"}
    assert measurement.context == {"temperature_type": "ear"}


def test_fahrenheit_is_converted() -> None:
    """98.6 degF = 37.0 Cel exactly; 100.0 degF = 37.777... Cel to 28 digits."""
    exact = decode_temperature(bytes.fromhex("01 da0300ff")).components[0]
    repeating = decode_temperature(bytes.fromhex("01 e80300ff")).components[0]

    assert (exact.reported_value, exact.reported_unit, exact.value) == (Decimal("98.6"), "[degF]", Decimal("37.0"))
    assert repeating.value == Decimal("37.77777777777777777777777778")


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("01", "armpit"),
        ("02", "body"),
        ("05", "gastro-intestinal-tract"),
        ("09", "tympanum"),
        ("00", "reserved-0"),
        ("0a", "reserved-10"),
    ],
)
def test_temperature_type(code: str, word: str) -> None:
    measurement = decode_temperature(bytes.fromhex(f"04 720100ff {code}"))

    assert measurement.context == {"temperature_type": word}
    assert ("reserved-value" in measurement.warnings) is word.startswith("reserved")


@pytest.mark.parametrize("octets", ["", "00 720100", "02 720100ff e80706170e23", "04 720100ff"])
def test_short_temperature(octets: str) -> None:
    with pytest.raises(DecodeError, match="2A1C"):
        decode_temperature(bytes.fromhex(octets))


# --- oximetry ------------------------------------------------------------------------------------------------------


def test_spot_check_with_everything() -> None:
    """97 %, 64 /min, status from storage (bit 9), sensor low perfusion (bit 5), amplitude 2.1 %, clock not set."""
    measurement = decode_spot_check(bytes.fromhex("1f 6100 4000 e80706170e230a 0002 200000 15f0"))

    assert _texts(measurement) == {"spo2": "97 %", "pulse-rate": "64 /min", "pulse-amplitude-index": "2.1 %"}
    assert measurement.flags == ("from-storage", "low-perfusion", "clock-not-set")
    assert measurement.warnings == ()


def test_continuous_keeps_fast_and_slow_apart_from_the_normal_values() -> None:
    measurement = decode_continuous(bytes.fromhex("03 6100 4000 6000 4100 ff07 4200"))

    assert _texts(measurement) == {"spo2": "97 %", "pulse-rate": "64 /min"}
    assert measurement.context == {"spo2_fast": "96", "pulse_rate_fast": "65", "pulse_rate_slow": "66"}


def test_finger_out() -> None:
    measurement = decode_spot_check(bytes.fromhex("04 ff07 ff07 000800"))

    assert measurement.outcome is Outcome.NO_VALUE
    assert measurement.flags == ("sensor-not-on-user",)


@pytest.mark.parametrize(("raw", "implausible"), [("0900", True), ("0a00", False), ("6400", False), ("6500", True)])
def test_what_a_saturation_cannot_mean(raw: str, implausible: bool) -> None:
    measurement = decode_spot_check(bytes.fromhex(f"00 {raw} 4000"))

    assert ("implausible" in measurement.warnings) is implausible


def test_reserved_oximeter_bits() -> None:
    assert decode_spot_check(bytes.fromhex("02 6100 4000 0100")).warnings == ("reserved-flag-bits",)
    assert decode_spot_check(bytes.fromhex("04 6100 4000 000001")).warnings == ("reserved-flag-bits",)
    assert decode_continuous(bytes.fromhex("20 6100 4000")).warnings == ("reserved-flag-bits",)


@pytest.mark.parametrize(
    "octets", ["00 6100 40", "01 6100 4000 e80706170e23", "02 6100 4000 00", "04 6100 4000 0000", "08 6100 4000 15"]
)
def test_short_spot_check(octets: str) -> None:
    with pytest.raises(DecodeError, match="2A5E"):
        decode_spot_check(bytes.fromhex(octets))


# --- continuous glucose --------------------------------------------------------------------------------------------


def test_crc_by_its_published_check_value() -> None:
    """CRC-16/MCRF4XX in the catalogue of parametrised CRC algorithms: check 0x6F91."""
    assert crc16(b"123456789") == 0x6F91


def test_several_records_with_annunciation_trend_and_quality() -> None:
    """120 mg/dL at minute 5; then 95 mg/dL at minute 10 with all three octets, trend -1.5, quality 98 %."""
    payload = bytes.fromhex("06 00 7800 0500" + "0d e3 5f00 0a00 02 04 08 f1ff 6200")

    first, second = decode_measurements(payload)

    assert (_texts(first), first.time_offset_minutes) == ({"glucose": "120 mg/dL"}, 5)
    assert second.time_offset_minutes == 10
    assert second.components[0].value == 95
    assert second.components[1].metric == "glucose-trend"
    assert second.flags == ("battery-low", "calibration-recommended", "above-hyper-level")
    assert second.context == {"quality_percent": "98"}
    assert split_records(payload) == (payload[:6], payload[6:])


def test_trend_is_a_signed_number() -> None:
    """0xFFF1 is mantissa -15 x 10^-1."""
    (record,) = decode_measurements(bytes.fromhex("08 01 5f00 0a00 f1ff"))

    assert record.components[1].value == Decimal("-1.5")


def test_a_right_crc_is_taken_off_and_a_wrong_one_refused() -> None:
    body = bytes.fromhex("08 00 7800 0500")
    good = body + crc16(body).to_bytes(2, "little")

    assert decode_measurements(good)[0].components[0].value == 120
    for position in range(len(good)):
        if position == 0:
            continue  # a wrong size is another fault
        wrong = bytearray(good)
        wrong[position] ^= 0x04 if position == 1 else 0x01
        with pytest.raises(DecodeError):
            decode_measurements(bytes(wrong))


@pytest.mark.parametrize(
    ("octets", "offset"),
    [
        ("", 0),
        ("00", 0),  # a size of 0 would never end
        ("05 00 7800 05", 0),  # shorter than any record
        ("06 00 7800 05", 0),  # cut off
        ("06 80 7800 0500", 6),  # the flags promise a status octet
        ("07 00 7800 0500 00", 0),  # an octet that no flag explains
        ("06 00 7800 0500 06", 6),  # a second record without its rest
    ],
)
def test_record_sizes_that_cannot_be(octets: str, offset: int) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_measurements(bytes.fromhex(octets))

    assert caught.value.offset == offset
