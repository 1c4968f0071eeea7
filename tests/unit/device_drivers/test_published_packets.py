"""Every packet that others have published decodes to what its source says, digit for digit."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.decode import decode_to_json

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "published_packets.json").read_text())

ABSENT = {
    "NaN": "not-a-number",
    "NRes": "not-at-this-resolution",
    "+INFINITY": "positive-infinity",
    "-INFINITY": "negative-infinity",
    "Reserved": "reserved",
}
METRICS = {
    "systolic": "systolic",
    "diastolic": "diastolic",
    "mean_arterial_pressure": "mean-arterial",
    "current_cuff_pressure": "cuff-pressure",
    "pulse_rate": "pulse-rate",
    "weight": "body-weight",
    "bmi": "bmi",
    "height": "height",
    "temperature": "body-temperature",
    "spo2_percent": "spo2",
    "pulse_amplitude_index": "pulse-amplitude-index",
    "mmol_l": "glucose",
}
UNITS = {"mmHg": "mm[Hg]", "kPa": "kPa", "C": "Cel", "F": "[degF]"}
SAME_NAME = ("op_code", "operator", "request_op_code", "response_code", "number_of_records", "sequence_number")
MEALS = {1: "preprandial", 2: "postprandial", 3: "fasting", 4: "casual", 5: "bedtime"}
SAMPLE_TYPES = {1: "capillary-whole-blood", 8: "undetermined-plasma", 9: "interstitial-fluid"}
LOCATIONS = {1: "finger", 5: "reserved-5", 15: "not-available"}


def _decimal(value: object) -> Decimal:
    return Decimal(str(value))


def _assert_component(result: dict[str, Any], metric: str, expected: object, field: str = "reported_value") -> None:
    component = next((part for part in result["components"] if part["metric"] == metric), None)
    if expected is None:
        assert component is None
    elif isinstance(expected, str):
        assert component is not None
        assert component["value"] is None
        assert component["absent_reason"] == ABSENT[expected]
    else:
        assert component is not None
        assert Decimal(component[field]) == _decimal(expected)


def _pressure_flags(status: int) -> set[str]:
    words = {0: "body-movement", 1: "cuff-loose", 2: "irregular-pulse", 5: "improper-position"}
    ranges = {1: "pulse-rate-above-range", 2: "pulse-rate-below-range"}
    named = {word for bit, word in words.items() if status & 1 << bit}
    return named | {word for code, word in ranges.items() if status >> 3 & 3 == code}


def _assert_glucose(result: dict[str, Any], expected: dict[str, Any]) -> None:
    assert result["device_time"] == expected["base_time"]
    assert result["time_offset_minutes"] == expected.get("time_offset_min")
    if "mg_dl" in expected:
        _assert_component(result, "glucose", expected["mg_dl"], "value")
    if expected.get("type") is not None:
        assert result["context"]["sample_type"] == SAMPLE_TYPES[expected["type"]]
        assert result["context"]["sample_location"] == LOCATIONS[expected["sample_location"]]


def _assert_context(result: dict[str, Any], expected: dict[str, Any]) -> None:
    context = result["context"]
    assert context["meal"] == MEALS[expected["meal"]]
    assert Decimal(context["carbohydrate_grams"]) == _decimal(expected["carbohydrate_kg"]) * 1000
    assert context["exercise_seconds"] == expected["exercise_duration_s"]
    assert context["exercise_intensity_percent"] == expected["exercise_intensity_percent"]
    if expected["medication"] is not None:
        assert context["medication_unit"] == {"L": "mL", "kg": "mg"}[expected["medication_unit"]]
        scale = 1000 if expected["medication_unit"] == "L" else 1_000_000
        assert Decimal(context["medication_amount"]) == _decimal(expected["medication"]) * scale
    if expected["hba1c_percent"] is not None:
        assert Decimal(context["hba1c_percent"]) == _decimal(expected["hba1c_percent"])


def _assert_record(record: dict[str, Any], expected: dict[str, Any]) -> None:
    _assert_component(record, "glucose", expected["glucose_mg_dl"], "value")
    _assert_component(record, "glucose-trend", expected["trend_mg_dl_min"])
    assert record["time_offset_minutes"] == expected["time_offset_min"]
    quality = expected["quality_percent"]
    assert record["context"] == ({} if quality is None else record["context"])
    if quality is not None:
        assert Decimal(record["context"]["quality_percent"]) == _decimal(quality)


@pytest.mark.parametrize("vector", VECTORS, ids=[f"{entry['characteristic']}-{entry['hex']}" for entry in VECTORS])
def test_published_packet(vector: dict[str, Any]) -> None:
    characteristic, expected = vector["characteristic"], vector["expected"]

    result = json.loads(decode_to_json(characteristic, bytes.fromhex(vector["hex"]), model=vector.get("model")))

    assert result["characteristic"] == characteristic
    for key in SAME_NAME:
        if key in expected:
            assert result[key] == expected[key]
    if characteristic == "2A34":
        _assert_context(result, expected)
        return
    if characteristic == "2A18":
        _assert_glucose(result, expected)
    for key, metric in METRICS.items():
        if key in expected:
            _assert_component(result, metric, expected[key])
    if expected.get("unit") in UNITS:
        assert result["components"][0]["reported_unit"] == UNITS[expected["unit"]]
    if expected.get("measurement_status") is not None and characteristic in ("2A35", "2A36"):
        assert set(result["flags"]) == _pressure_flags(expected["measurement_status"])
    if "timestamp" in expected:
        assert result["device_time"] == expected["timestamp"]
    if "user_id" in expected:
        assert result["user_id"] == expected["user_id"]
    if characteristic in ("SFLOAT", "FLOAT"):
        want = expected["value"]
        assert result["absent_reason"] == (ABSENT[want] if isinstance(want, str) else None)
        assert result["value"] is None if isinstance(want, str) else Decimal(result["value"]) == _decimal(want)
    if characteristic == "2AA7":
        assert len(result["records"]) == len(expected["records"])
        for record, wanted in zip(result["records"], expected["records"], strict=True):
            _assert_record(record, wanted)
    if characteristic == "2A08":
        assert result["device_time"] is None


def test_there_are_vectors_of_every_kind() -> None:
    assert {entry["characteristic"] for entry in VECTORS} >= {
        "2A35", "2A36", "2A18", "2A34", "2A9D", "2A1C", "2A5F", "2AA7", "2A52", "2A08", "SFLOAT", "FLOAT",
    }  # fmt: skip


def test_a_failed_measurement_has_no_number_anywhere() -> None:
    """The cuff could not measure: all three pressures and the pulse are NaN, the time stamp is right."""
    result = json.loads(decode_to_json("2A35", bytes.fromhex("16FF07FF07FF07E80706170E230AFF070000")))

    assert result["outcome"] == "no-value"
    assert [part["value"] for part in result["components"]] == [None] * 4
    assert {part["absent_reason"] for part in result["components"]} == {"not-a-number"}
    assert result["device_time"] == "2024-06-23T14:35:10"


def test_a_quirk_applies_to_its_model_alone() -> None:
    """Read by the standard, the big-endian pulse 63 of this cuff is 0x3F00: -256 x 10^3, and an octet is over."""
    payload = bytes.fromhex("566a0047000000ea07080b121f00003f000000")

    plain = json.loads(decode_to_json("2A35", payload))
    other = json.loads(decode_to_json("2A35", payload, model="UA-651BLE"))

    assert plain == other
    assert plain["components"][3]["value"] == "-256000"
    assert plain["extra_hex"] == "00"
    assert plain["warnings"] == ["reserved-flag-bits", "trailing-octets", "implausible"]
