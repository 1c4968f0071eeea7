"""`vitalwire decode` as a person and a pipe use it: shape of the output, exit status, one line for one line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.decode import app, decode_line, decode_stream, decode_to_json

runner = CliRunner()


def _run(*arguments: str) -> tuple[int, list[Any], str]:
    result = runner.invoke(app, list(arguments))
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def _error(stderr: str) -> dict[str, Any]:
    (line,) = stderr.splitlines()
    error: dict[str, Any] = json.loads(line)["error"]
    return error


def test_the_whole_object_for_a_cuff() -> None:
    """Flags: time stamp, user, status; 128/78, mean 95; 2024-06-23 14:35:10; user 1; body movement."""
    code, (result,), _ = _run("2A35", "1a 8000 4e00 5f00 e80706170e230a 01 0100")

    def part(metric: str, value: str) -> dict[str, str | None]:
        return {
            "metric": metric,
            "value": value,
            "unit": "mm[Hg]",
            "reported_value": value,
            "reported_unit": "mm[Hg]",
            "absent_reason": None,
        }

    assert code == 0
    assert result == {
        "characteristic": "2A35",
        "kind": "blood-pressure",
        "outcome": "measured",
        "components": [part("systolic", "128"), part("diastolic", "78"), part("mean-arterial", "95")],
        "device_time": "2024-06-23T14:35:10",
        "time_offset_minutes": None,
        "sequence_number": None,
        "user_id": 1,
        "flags": ["body-movement"],
        "context": {},
        "warnings": [],
    }


def test_precision_survives_into_the_text() -> None:
    assert _component(decode_to_json("2A1C", bytes.fromhex("00 6c0100ff")))["value"] == "36.4"
    assert _component(decode_to_json("2A1C", bytes.fromhex("00 380e00fe")))["value"] == "36.40"


def _component(text: str) -> dict[str, Any]:
    component: dict[str, Any] = json.loads(text)["components"][0]
    return component


def test_numbers_never_show_an_exponent() -> None:
    assert json.loads(decode_to_json("SFLOAT", bytes.fromhex("0180")))["value"] == "0.00000001"
    assert json.loads(decode_to_json("SFLOAT", bytes.fromhex("0170")))["value"] == "10000000"
    assert _component(decode_to_json("2A9D", bytes.fromhex("00 0000")))["value"] == "0.000"


def test_records_of_a_sensor() -> None:
    _, (result,), _ = _run("2AA7", "06 00 7800 0500 06 00 ff07 0a00")

    assert result["kind"] == "continuous-glucose"
    assert result["outcome"] == "measured"
    assert [record["time_offset_minutes"] for record in result["records"]] == [5, 10]
    assert result["records"][1]["components"][0]["absent_reason"] == "not-a-number"
    assert set(result["records"][0]) == {
        "outcome",
        "components",
        "time_offset_minutes",
        "flags",
        "context",
        "warnings",
    }
    assert result["warnings"] == []


@pytest.mark.parametrize(
    ("name", "octets", "expected"),
    [
        ("SFLOAT", "fff7", {"kind": "number", "value": "204.7", "absent_reason": None, "warnings": []}),
        ("FLOAT", "ffff7f00", {"kind": "number", "value": None, "absent_reason": "not-a-number", "warnings": []}),
        (
            "sfloat",
            "640000",
            {
                "characteristic": "SFLOAT",
                "kind": "number",
                "value": "100",
                "absent_reason": None,
                "warnings": ["trailing-octets"],
                "extra_hex": "00",
            },
        ),
        ("2A08", "e80706170e230a", {"kind": "date-time", "device_time": "2024-06-23T14:35:10", "warnings": []}),
        (
            "2A2B",
            "e8070d170e230a000000",
            {
                "kind": "date-time",
                "device_time": None,
                "warnings": ["invalid-device-time"],
                "device_time_raw": "e8070d170e230a",
            },
        ),
        (
            "2A52",
            "0104010200ff01",
            {
                "kind": "record-access",
                "op_code": 1,
                "operator": 4,
                "filter_type": 1,
                "minimum": 2,
                "maximum": 511,
                "warnings": [],
            },
        ),
        (
            "2A52",
            "06000106",
            {
                "kind": "record-access",
                "op_code": 6,
                "operator": 0,
                "request_op_code": 1,
                "response_code": 6,
                "warnings": [],
            },
        ),
    ],
)
def test_building_blocks(name: str, octets: str, expected: dict[str, Any]) -> None:
    assert json.loads(decode_to_json(name, bytes.fromhex(octets))) == {"characteristic": name, **expected}


def test_a_short_payload_is_one_error_object_and_exit_2() -> None:
    code, results, stderr = _run("2A35", "04 8000 4e00 5f00")

    assert (code, results) == (2, [])
    error = _error(stderr)
    assert error["kind"] == "DecodeError"
    assert error["where"] == {"characteristic": "2A35", "offset": 7, "missing": 2}
    assert "pulse rate" in error["message"]


def test_a_wrong_crc_has_nothing_missing() -> None:
    code, _, stderr = _run("2AA7", "08 00 7800 0500 0000")

    assert code == 2
    assert _error(stderr)["where"] == {"characteristic": "2AA7", "offset": 6}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("2A37", "00"), "no decoder"),
        (("2A35", "0"), "hexadecimal"),
        (("2A35", "zz"), "hexadecimal"),
        (("2A35",), "--stdin"),
        ((), "--stdin"),
    ],
)
def test_input_that_cannot_be_tried_is_explained(arguments: tuple[str, ...], word: str) -> None:
    code, results, stderr = _run(*arguments)

    assert (code, results) == (2, [])
    assert _error(stderr)["kind"] == "InputError"
    assert word in _error(stderr)["message"]


def test_several_pairs_and_octets_in_several_words() -> None:
    code, results, _ = _run("2A35", "00", "8000", "4e", "00", "5f00", "2A49", "2100", "sfloat", "6400")

    assert code == 0
    assert [result["kind"] for result in results] == ["blood-pressure", "blood-pressure-feature", "number"]


def test_octets_that_look_like_a_characteristic_are_octets() -> None:
    _, (result,), _ = _run("2A49", "2A18")

    assert result["characteristic"] == "2A49"


def test_a_model_applies_its_quirk() -> None:
    octets = "566a0047000000ea07080b121f00003f000000"

    _, (result,), _ = _run("--model", "Beurer BM85", "2A35", octets)

    assert result["components"][3]["value"] == "63"


def test_one_line_in_one_line_out() -> None:
    lines = [
        b'{"characteristic": "2A35", "hex": "00 8000 4e00 5f00"}',
        b'{"characteristic": "2A35", "hex": "00"}',
        b"",
        b"no json",
        b'{"characteristic": "2A35"}',
        b'{"characteristic": "2A35", "hex": 5}',
        b'{"characteristic": "2A35", "hex": "0"}',
        b'{"characteristic": "1234", "hex": "00"}',
        b'{"characteristic": "2A35", "hex": "566a0047000000ea07080b121f00003f000000", "model": "BM85"}',
        b"\xff\xfe",
        b"[" * 5000,
        b'{"characteristic": "SFLOAT", "hex": "6400"}',
    ]
    target = io.BytesIO()

    decode_stream(io.BytesIO(b"\n".join(lines)), target)

    results = [json.loads(line) for line in target.getvalue().splitlines()]
    assert [result.get("kind") or result["error"]["kind"] for result in results] == [
        "blood-pressure",
        "DecodeError",
        "InputError",
        "InputError",
        "InputError",
        "InputError",
        "InputError",
        "blood-pressure",
        "InputError",
        "InputError",
        "number",
    ]
    assert results[2]["error"]["where"] == {"line": 4}
    assert results[7]["components"][3]["value"] == "63"


def test_the_model_of_a_line_wins_over_the_model_of_the_command() -> None:
    line = b'{"characteristic": "2A35", "hex": "566a0047000000ea07080b121f00003f000000"%s}'

    assert json.loads(decode_line(line % b"", number=1, model="BM85"))["user_id"] == 0
    assert json.loads(decode_line(line % b', "model": "UA-651BLE"', number=1, model="BM85"))["user_id"] is None


def test_lines_may_be_cut_anywhere_by_the_pipe() -> None:
    text = b'{"characteristic": "SFLOAT", "hex": "6400"}\n' * 3

    class Drip(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return super().read1(7)

    target = io.BytesIO()
    decode_stream(Drip(text), target)

    assert len(target.getvalue().splitlines()) == 3


def test_each_line_is_answered_before_the_next_one_is_asked() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.decode", "--stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        for value in (100, 101):
            process.stdin.write(
                b'{"characteristic": "SFLOAT", "hex": "%s"}\n' % value.to_bytes(2, "little").hex().encode()
            )
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["value"] == str(value)
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_equal_components_are_not_confused_by_the_text_cache() -> None:
    """2 and 2.0 are equal numbers with different texts."""
    for octets, text in (("0200", "2"), ("14f0", "2.0"), ("c8e0", "2.00"), ("0200", "2")):
        result = json.loads(decode_to_json("2A5E", bytes.fromhex(f"08 6100 4000 {octets}")))
        assert result["components"][2]["reported_value"] == text
