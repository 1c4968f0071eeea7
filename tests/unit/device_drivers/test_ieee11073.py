"""FLOAT, SFLOAT and Date Time by the standard's own tables; every SFLOAT against a model that shares no code."""

from datetime import datetime
from decimal import ROUND_DOWN, Decimal, localcontext
from fractions import Fraction

import pytest

from device_drivers.ieee11073 import decimal_of, decode_date_time, decode_float, decode_sfloat, plain
from device_drivers.measurement import AbsentReason

# HL7 Personal Health Device guide, page "FLOATS" (github.com/HL7/phd, input/pagecontent/FLOATS.md): hex and text.
SFLOAT_TABLE = [
    (0x0002, "2"),
    (0xF014, "2.0"),
    (0xE0C8, "2.00"),
    (0x1002, "20"),
    (0x2002, "200"),
    (0x00C8, "200"),
    (0x04D2, "1234"),
    (0x0B2E, "-1234"),
]
FLOAT_TABLE = [
    (0x00000002, "2"),
    (0xFF000014, "2.0"),
    (0xFE0000C8, "2.00"),
    (0x01000002, "20"),
    (0x02000002, "200"),
    (0x000000C8, "200"),
    (0x000004D2, "1234"),
    (0x00FFFB2E, "-1234"),
]
SPECIALS = [
    (0x07FF, 0x007FFFFF, AbsentReason.NOT_A_NUMBER),
    (0x0800, 0x00800000, AbsentReason.NOT_AT_THIS_RESOLUTION),
    (0x07FE, 0x007FFFFE, AbsentReason.POSITIVE_INFINITY),
    (0x0802, 0x00800002, AbsentReason.NEGATIVE_INFINITY),
    (0x0801, 0x00800001, AbsentReason.RESERVED),
]


@pytest.mark.parametrize(("raw", "text"), SFLOAT_TABLE)
def test_sfloat_keeps_the_precision_of_its_encoding(raw: int, text: str) -> None:
    value = decode_sfloat(raw).value

    assert value is not None
    assert plain(value) == text


@pytest.mark.parametrize(("raw", "text"), FLOAT_TABLE)
def test_float_keeps_the_precision_of_its_encoding(raw: int, text: str) -> None:
    value = decode_float(raw).value

    assert value is not None
    assert plain(value) == text


@pytest.mark.parametrize(("sfloat", "float32", "reason"), SPECIALS)
def test_special_values_are_reasons(sfloat: int, float32: int, reason: AbsentReason) -> None:
    for number in (decode_sfloat(sfloat), decode_float(float32)):
        assert number.value is None
        assert number.absent_reason is reason


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (0xF7FF, "204.7"),  # the mantissa of NaN with another exponent
        (0xF7FE, "204.6"),
        (0xF800, "-204.8"),
        (0xF801, "-204.7"),
        (0xF802, "-204.6"),
        (0x17FF, "20470"),
        (0x07FD, "2045"),  # one below the special values
        (0x0803, "-2045"),  # one above them
        (0x0000, "0"),
        (0xF000, "0.0"),
        (0x8001, "0.00000001"),
        (0x7001, "10000000"),
    ],
)
def test_only_exponent_zero_is_special(raw: int, text: str) -> None:
    value = decode_sfloat(raw).value

    assert value is not None
    assert plain(value) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (0xFF7FFFFF, "838860.7"),
        (0xFF800000, "-838860.8"),
        (0x007FFFFD, "8388605"),
        (0x00800003, "-8388605"),
        (0x7F000001, "1" + "0" * 127),
        (0x80000001, "0." + "0" * 127 + "1"),
    ],
)
def test_float_at_its_edges(raw: int, text: str) -> None:
    value = decode_float(raw).value

    assert value is not None
    assert plain(value) == text


def _model(raw: int) -> Fraction:
    """SFLOAT by integer arithmetic on the bits, without any decimal type."""
    mantissa = (raw & 0xFFF) - 2 * (raw & 0x800)
    exponent = (raw >> 12) - 2 * (raw >> 12 & 8)
    return Fraction(mantissa * 10**exponent) if exponent >= 0 else Fraction(mantissa, 10**-exponent)


def test_every_sfloat_agrees_with_integer_arithmetic() -> None:
    specials = {sfloat for sfloat, _, _ in SPECIALS}

    for raw in range(0x10000):
        number = decode_sfloat(raw)
        if raw in specials:
            assert number.value is None
        else:
            assert number.absent_reason is None
            assert number.value is not None
            assert Fraction(number.value) == _model(raw)


def test_the_arithmetic_context_of_a_thread_changes_nothing() -> None:
    with localcontext() as context:
        context.prec = 2
        context.rounding = ROUND_DOWN
        value = decode_float(0xFD01E240).value  # 123456 x 10^-3

    assert value == Decimal("123.456")


def test_the_shift_moves_the_decimal_point_and_nothing_else() -> None:
    """90 x 10^-5 kg/L is 90 mg/dL; 5.5 x 10^-3 mol/L is 5.5 mmol/L."""
    assert plain(decode_sfloat(0xB05A, shift=5).value or Decimal(-1)) == "90"
    assert plain(decode_sfloat(0xC037, shift=3).value or Decimal(-1)) == "5.5"
    assert plain(decimal_of(-5, -1)) == "-0.5"


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        ("e80706170e230a", "2024-06-23T14:35:10"),
        ("e80702 1d 000000", "2024-02-29T00:00:00"),
        ("2e06 0101 000000", "1582-01-01T00:00:00"),
        ("0f27 0c1f 173b3b", "9999-12-31T23:59:59"),
    ],
)
def test_date_time(octets: str, shown: str) -> None:
    time = decode_date_time(bytes.fromhex(octets))

    assert time.value == datetime.fromisoformat(shown)
    assert time.raw_hex is None


@pytest.mark.parametrize("octets", ["0000 0617 0e230a", "e807 0017 0e230a", "e807 0600 0e230a", "00000000000000"])
def test_year_month_or_day_zero_is_unknown_and_no_fault(octets: str) -> None:
    assert decode_date_time(bytes.fromhex(octets)) == (None, None)


@pytest.mark.parametrize(
    "octets",
    [
        "e8070d170e230a",  # month 13
        "e7 07 02 1d 000000",  # 29 February 2023
        "e80706 1f 0e230a",  # 31 June
        "e8070620 0e230a",  # day 32
        "e80706 17 18 230a",  # hour 24
        "e8070617 0e 3c 0a",  # minute 60
        "e80706170e23 3c",  # second 60
        "2d06 0101 000000",  # 1581, before the calendar
        "1027 0101 000000",  # 10000
        "ffffffffffffff",
    ],
)
def test_nonsense_dates_keep_their_octets(octets: str) -> None:
    assert decode_date_time(bytes.fromhex(octets)) == (None, bytes.fromhex(octets).hex())
