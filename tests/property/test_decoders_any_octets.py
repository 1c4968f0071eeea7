"""Laws of the decoders: whatever the octets are, either a reading that they hold or a `DecodeError`."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from device_drivers.decoding import MEASUREMENT_CHARACTERISTICS, SINGLE_DECODERS, decode_payload
from device_drivers.errors import DecodeError
from device_drivers.gatt import battery, current_time, device_information, record_access
from device_drivers.ieee11073 import decode_float, decode_sfloat
from device_drivers.terminology import TERMS
from device_drivers.vendors import QUIRKS, prepare
from gateway.decode import decode_line, decode_to_json

MODELS: Final = [None, *sorted(name for quirk in QUIRKS for name in quirk.models)]
CHARACTERISTICS: Final = sorted(MEASUREMENT_CHARACTERISTICS)
BLOCKS: Final = ["SFLOAT", "FLOAT", "2A08", "2A2B", "2A52"]
OCTETS: Final = st.binary(max_size=40) | st.binary(min_size=200, max_size=520)

SPECIAL_SFLOATS: Final = frozenset({0x07FE, 0x07FF, 0x0800, 0x0801, 0x0802})


def _sfloat(octets: bytes) -> Fraction | None:
    """An independent reading: integers and fractions only."""
    raw = octets[0] + 256 * octets[1]
    if raw in SPECIAL_SFLOATS:
        return None
    mantissa = raw % 4096
    exponent = raw // 4096
    return Fraction(mantissa - 4096 * (mantissa > 2047)) * Fraction(10) ** (exponent - 16 * (exponent > 7))


def _fraction(value: str | None) -> Fraction | None:
    return None if value is None else Fraction(Decimal(value))


_Result = TypeVar("_Result")


def _decoded(decode: Callable[[bytes], _Result], payload: bytes) -> _Result | DecodeError:
    """The result, or the one error that is allowed; any other escapes and fails the test."""
    try:
        return decode(payload)
    except DecodeError as error:
        return error


@pytest.mark.parametrize("characteristic", CHARACTERISTICS)
@settings(max_examples=150)
@given(payload=OCTETS, model=st.sampled_from(MODELS))
def test_any_octets_give_a_measurement_or_a_decode_error(
    characteristic: str, payload: bytes, model: str | None
) -> None:
    result = _decoded(lambda octets: decode_payload(characteristic, octets, model=model), payload)

    if isinstance(result, DecodeError):
        assert 0 <= result.offset <= len(payload)
        assert result.missing is None or result.missing > 0
        assert result.characteristic == characteristic
        return
    assert result
    for measurement in result:
        for part in measurement.components:
            assert (part.value is None) == (part.absent_reason is not None) == (part.reported_value is None)
            assert part.unit == TERMS[part.metric].unit


@pytest.mark.parametrize("characteristic", [*CHARACTERISTICS, *BLOCKS])
@settings(max_examples=100)
@given(payload=OCTETS, model=st.sampled_from(MODELS))
def test_the_command_prints_one_json_object_for_any_octets(
    characteristic: str, payload: bytes, model: str | None
) -> None:
    request: dict[str, Any] = {"characteristic": characteristic, "hex": payload.hex()}
    if model is not None:
        request["model"] = model

    text = decode_line(json.dumps(request).encode(), number=1)

    assert "\n" not in text
    result = json.loads(text)
    if "error" in result:
        assert result["error"]["kind"] == "DecodeError"
    else:
        assert isinstance(result["warnings"], list)


@settings(max_examples=200)
@given(line=st.binary(max_size=80) | st.text(max_size=60).map(str.encode))
@example(line=b'{"characteristic": null, "hex": "00"}')
@example(line=b'{"characteristic": "2A35", "hex": "\\u0661\\u0662"}')
@example(line=b'{"characteristic": "\\ud800", "hex": ""}')
def test_any_line_gives_one_json_object(line: bytes) -> None:
    assert isinstance(json.loads(decode_line(line, number=1)), dict)


@settings(max_examples=400)
@given(flags=st.integers(0, 255), rest=st.binary(min_size=20, max_size=20))
def test_a_cuff_prints_the_numbers_the_octets_hold(flags: int, rest: bytes) -> None:
    result = json.loads(decode_to_json("2A35", bytes((flags,)) + rest))

    pulse_at = 6 + 7 * (flags >> 1 & 1)
    expected = [_sfloat(rest[at : at + 2]) for at in (0, 2, 4)]
    if flags & 4:
        expected.append(_sfloat(rest[pulse_at : pulse_at + 2]))
    assert [_fraction(part["reported_value"]) for part in result["components"]] == expected
    factor = Fraction("7.50062") if flags & 1 else Fraction(1)
    factors = [factor, factor, factor, Fraction(1)]
    assert [_fraction(part["value"]) for part in result["components"]] == [
        None if value is None else value * scale for value, scale in zip(expected, factors, strict=False)
    ]
    if flags & 8:
        user = rest[pulse_at + 2 * (flags >> 2 & 1)]
        assert result["user_id"] == (None if user == 255 else user)


@settings(max_examples=400)
@given(flags=st.integers(0, 255), rest=st.binary(min_size=16, max_size=16))
def test_a_meter_prints_the_numbers_the_octets_hold(flags: int, rest: bytes) -> None:
    result = json.loads(decode_to_json("2A18", bytes((flags,)) + rest))

    assert result["sequence_number"] == int.from_bytes(rest[0:2], "little")
    at = 9 + 2 * (flags & 1)
    if not flags & 2:
        assert result["components"] == []
        return
    (part,) = result["components"]
    wire = _sfloat(rest[at : at + 2])
    scale = 1_000 if flags & 4 else 100_000
    assert _fraction(part["reported_value"]) == (None if wire is None else wire * scale)
    to_kept = Fraction("18.0182") if flags & 4 else Fraction(1)
    assert _fraction(part["value"]) == (None if wire is None else wire * scale * to_kept)


@settings(max_examples=200)
@given(octets=st.binary(min_size=4, max_size=4))
def test_float_agrees_with_integer_arithmetic(octets: bytes) -> None:
    number = decode_float(int.from_bytes(octets, "little"))

    mantissa = octets[0] + 256 * octets[1] + 65536 * octets[2]
    exponent = octets[3]
    signed = mantissa - (1 << 24) * (mantissa >= 1 << 23)
    if exponent == 0 and mantissa in {0x7FFFFE, 0x7FFFFF, 0x800000, 0x800001, 0x800002}:
        assert number.value is None
    else:
        assert number.value is not None
        assert Fraction(number.value) == Fraction(signed) * Fraction(10) ** (exponent - 256 * (exponent > 127))


@given(raw=st.integers(0, 0xFFFF), shift=st.integers(-6, 6))
def test_a_shift_is_a_power_of_ten(raw: int, shift: int) -> None:
    plain, shifted = decode_sfloat(raw).value, decode_sfloat(raw, shift=shift).value

    if plain is None:
        assert shifted is None
    else:
        assert shifted is not None
        assert Fraction(shifted) == Fraction(plain) * Fraction(10) ** shift


@pytest.mark.parametrize("characteristic", sorted(SINGLE_DECODERS))
@settings(max_examples=100)
@given(payload=st.binary(min_size=1, max_size=30), extra=st.binary(min_size=1, max_size=8))
def test_octets_behind_a_record_change_no_number(characteristic: str, payload: bytes, extra: bytes) -> None:
    text = _decoded(lambda octets: decode_to_json(characteristic, octets), payload)
    if isinstance(text, DecodeError):
        return
    alone = json.loads(text)

    longer = json.loads(decode_to_json(characteristic, payload + extra))

    assert longer.pop("extra_hex") == alone.pop("extra_hex", "") + extra.hex()
    assert set(longer.pop("warnings")) == {*alone.pop("warnings"), "trailing-octets"}
    assert longer == alone


@pytest.mark.parametrize("characteristic", sorted(SINGLE_DECODERS))
@settings(max_examples=100)
@given(payload=st.binary(min_size=1, max_size=30))
def test_every_cut_of_a_whole_record_is_refused(characteristic: str, payload: bytes) -> None:
    result = _decoded(lambda octets: decode_payload(characteristic, octets), payload)
    if isinstance(result, DecodeError):
        return
    length = len(payload) - len(bytes.fromhex(result[0].extra_hex or ""))

    for end in range(length):
        with pytest.raises(DecodeError) as caught:
            decode_payload(characteristic, payload[:end])
        assert caught.value.missing is not None
        assert caught.value.offset + caught.value.missing <= length


@settings(max_examples=200)
@given(payload=st.binary(max_size=24))
def test_other_codecs_are_total_too(payload: bytes) -> None:
    decoders: list[Callable[[bytes], object]] = [
        record_access.decode,
        battery.decode_level,
        device_information.decode_text,
        current_time.decode_local_time_information,
        lambda octets: current_time.decode_clock("2A08", octets),
        lambda octets: current_time.decode_clock("2A2B", octets),
    ]
    for decode in decoders:
        result = _decoded(decode, payload)
        assert not isinstance(result, DecodeError) or result.payload == payload


@settings(max_examples=200)
@given(
    payload=st.binary(max_size=24), model=st.sampled_from(MODELS[1:]), characteristic=st.sampled_from(CHARACTERISTICS)
)
def test_quirks_are_total(payload: bytes, model: str, characteristic: str) -> None:
    assert isinstance(prepare(characteristic, payload, model), bytes)
