"""Units convert exactly or not at all; the table of terms is complete and in order."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest

from device_drivers.measurement import Metric
from device_drivers.terminology import GLUCOSE_MDC_BY_SAMPLE, TERMS, is_reportable
from device_drivers.units import UnknownConversionError, convert


@pytest.mark.parametrize(
    ("value", "from_unit", "to_unit", "expected"),
    [
        ("16.0", "kPa", "mm[Hg]", "120.00992"),
        ("5.5", "mmol/L", "mg/dL", "99.1001"),
        ("0.00090", "kg/L", "mg/dL", "90"),
        ("0.0055", "mol/L", "mmol/L", "5.5"),
        ("0.0055", "mol/L", "mg/dL", "99.1001"),
        ("1", "[lb_av]", "kg", "0.45359237"),
        ("72", "[in_i]", "m", "1.8288"),
        ("98.6", "[degF]", "Cel", "37"),
        ("32", "[degF]", "Cel", "0"),
        ("-40", "[degF]", "Cel", "-40"),
        ("37", "Cel", "[degF]", "98.6"),
        ("120", "mm[Hg]", "mm[Hg]", "120"),
        ("90.091", "mg/dL", "mmol/L", "5"),
    ],
)
def test_conversion(value: str, from_unit: str, to_unit: str, expected: str) -> None:
    assert convert(Decimal(value), from_unit, to_unit) == Decimal(expected)


def test_products_are_exact_whatever_the_thread_rounds_to() -> None:
    with localcontext() as context:
        context.prec = 3
        product = convert(Decimal("123456789.123456789"), "[lb_av]", "kg")

    assert product == Decimal("55999057.57109898751509993")  # 123456789123456789 x 45359237 x 10^-17


@pytest.mark.parametrize(("from_unit", "to_unit"), [("mm[Hg]", "mg/dL"), ("kg", "stone"), ("mmHg", "kPa")])
def test_no_other_pair_is_guessed(from_unit: str, to_unit: str) -> None:
    with pytest.raises(UnknownConversionError, match="no conversion"):
        convert(Decimal(1), from_unit, to_unit)


def test_every_metric_has_a_term_and_plausible_lies_within_reportable() -> None:
    assert set(TERMS) == set(Metric)
    for metric, term in TERMS.items():
        assert term.metric is metric
        assert term.reportable.low <= term.plausible.low < term.plausible.high <= term.reportable.high


@pytest.mark.parametrize(
    ("metric", "loinc", "mdc"),
    [
        (Metric.SYSTOLIC, "8480-6", "150021"),
        (Metric.DIASTOLIC, "8462-4", "150022"),
        (Metric.MEAN_ARTERIAL, "8478-0", "150023"),
        (Metric.PULSE_RATE, "8867-4", "149546"),
        (Metric.GLUCOSE, "41653-7", "160184"),
        (Metric.BODY_WEIGHT, "29463-7", "188736"),
        (Metric.SPO2, "59408-5", "150456"),
        (Metric.BODY_TEMPERATURE, "8310-5", "150364"),
    ],
)
def test_codes(metric: Metric, loinc: str, mdc: str) -> None:
    assert (TERMS[metric].loinc, TERMS[metric].mdc) == (loinc, mdc)


def test_control_solution_has_a_code_of_its_own() -> None:
    assert GLUCOSE_MDC_BY_SAMPLE["control-solution"] == "160208"


def test_both_ends_of_a_range_belong_to_it() -> None:
    assert is_reportable(Metric.SYSTOLIC, Decimal(30))
    assert is_reportable(Metric.SYSTOLIC, Decimal(320))
    assert not is_reportable(Metric.SYSTOLIC, Decimal("29.9"))
    assert not is_reportable(Metric.SYSTOLIC, Decimal("320.1"))
